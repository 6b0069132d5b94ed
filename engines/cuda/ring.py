"""Device memory for pictures of one size, used over and over.

A slot is filled on the producer's stream, goes out as a :class:`CudaImage`, and comes back when that is dropped. The
next filling waits, on the GPU, for the events of all who read it.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ...configs.errors import EngineError
from ..memory import failure
from ..protocols import Colour
from .image import CudaImage, DeviceArray, Event, Readers, Stream

MAX_SLOTS = 64  # 1080p of 8 bits: 200 MB; more than any stage holds at once


@dataclass(frozen=True, eq=False)
class Slot:
    """Memory of one picture.

    Attributes:
        y: ``(H, W)`` uint8 or uint16, contiguous.
        uv: ``(ceil(H/2), ceil(W/2), 2)`` of the same type, contiguous. It follows ``y`` in memory, so that
            pictures of even size are one block of ``3H/2`` rows, as NVDEC gives and NVENC takes them.
        depth: Bits of a value: 8 or 10.
        ready: Recorded when a filling is enqueued.
        readers: Who reads what it holds.
    """

    y: DeviceArray
    uv: DeviceArray
    depth: int
    ready: Event
    readers: Readers = field(default_factory=Readers)


class _Lease:
    """What an image holds of its slot: dropped with the image, it gives the slot back."""

    __slots__ = ("_free", "_slot")

    def __init__(self, free: deque[Slot], slot: Slot):
        self._free, self._slot = free, slot

    def __del__(self) -> None:
        self._free.append(self._slot)


class Ring:
    """Slots of one size; made as they are needed, kept until the ring and the images made from it are gone.

    One thread fills; images may be read and dropped in any thread.

    Args:
        width: Coded width in pixels.
        height: Coded height in pixels.
        depth: Bits of a value: 8 (NV12) or 10 (P016).
        max_slots: Images that may be held at once.
    """

    def __init__(self, width: int, height: int, depth: int = 8, max_slots: int = MAX_SLOTS):
        import cupy

        self.width, self.height, self.depth = width, height, depth
        self.num_slots = 0
        self._max_slots = max_slots
        self._free: deque[Slot] = deque()  # appended to by leases, in any thread: its operations are atomic
        self._cuda_error = cupy.cuda.runtime.CUDARuntimeError

    def fill(self, stream: Stream, enqueue: Callable[[Slot], None], colour: Colour, rotation: int = 0) -> CudaImage:
        """A picture made on ``stream``.

        Args:
            stream: The producer's stream.
            enqueue: Enqueues, on ``stream`` and nowhere else, what writes the slot's planes.
            colour: How the values are to be read.
            rotation: Clockwise degrees from the coded to the displayed picture.

        Raises:
            MemoryFullError: The GPU has no memory left.
            EngineError: Too many images are held, or CUDA failed.
        """
        slot = self._take()
        try:
            slot.readers.wait_on(stream)
            enqueue(slot)
            stream.record(slot.ready)
        except self._cuda_error as error:
            self._free.append(slot)
            raise failure("a picture could not be made on the GPU", error) from error
        except BaseException:
            self._free.append(slot)
            raise
        return CudaImage(slot.y, slot.uv, colour, slot.ready, rotation, slot.readers, _Lease(self._free, slot))

    def trim(self) -> None:
        """Free the slots that nobody holds; by the thread that fills."""
        with suppress(IndexError):
            while True:
                self._free.popleft()
                self.num_slots -= 1

    def _take(self) -> Slot:
        try:
            return self._free.popleft()
        except IndexError:
            pass
        if self.num_slots >= self._max_slots:
            raise EngineError(
                f"{self.num_slots} pictures are held on the GPU at once",
                expected=f"at most {self._max_slots}: drop images once they are used",
            )
        slot = _allocate(self.width, self.height, self.depth)
        self.num_slots += 1
        return slot


def _allocate(width: int, height: int, depth: int) -> Slot:
    """Memory of its own, not of cupy's pool: cudaFree waits for all work, so that late readers stay safe."""
    import cupy

    chroma = ((height + 1) // 2, (width + 1) // 2, 2)
    dtype = cupy.dtype(cupy.uint8 if depth == 8 else cupy.uint16)
    luma_bytes = height * width * dtype.itemsize
    num_bytes = luma_bytes + chroma[0] * chroma[1] * 2 * dtype.itemsize
    try:
        memory = cupy.cuda.Memory(num_bytes)
    except (cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError) as error:
        raise failure(f"no memory for a picture of {width}x{height} on the GPU", error) from error
    return Slot(
        cupy.ndarray((height, width), dtype, memptr=cupy.cuda.MemoryPointer(memory, 0)),
        cupy.ndarray(chroma, dtype, memptr=cupy.cuda.MemoryPointer(memory, luma_bytes)),
        depth,
        cupy.cuda.Event(disable_timing=True),
    )
