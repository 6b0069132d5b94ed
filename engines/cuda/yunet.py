"""YuNet on the GPU: pictures are gathered into batches, and only faces come back."""

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter, itemgetter
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import DftError, EngineError
from ..memory import failure
from ..protocols import Closing, Detections
from ..weights import ModelFile
from ..yunet import ALIGNMENT, STRIDES, dynamic_graph, input_size
from .counters import count_to_host
from .faces import (
    ANSWER_BYTES,
    ANSWER_NUMBERS,
    FIND_THREADS,
    GATHER_BLOCKS,
    GATHER_THREADS,
    MAX_BATCH,
    THUMBNAIL_SHAPE,
    gathering,
    heads,
    launch,
    num_cells,
    put_pictures,
    read_answers,
)
from .image import CudaImage, DeviceArray, Event, Stream
from .infer import LAUNCHING, RUNGS, Bound, NetworkSource, open_network
from .picture import THUMBNAIL_BYTES, CudaPicture, Preparing, Size
from .trt import Profile, Shape

log = logging.getLogger(__name__)

HEAD_NUMBERS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
USUAL_ASPECT = 16 / 9  # of the pictures for which engines are made fastest
# To these, batches are filled up. On an H100, YuNet on pictures of 640x384 is bound by launches up to 8 of them, which
# take as long as one; 32 take twice as long. Sizes between would gain little, and each takes seconds at the start, and
# memory. Larger pictures keep a GPU busy in the smaller batches.
BATCH_SIZES = (8, 32)
MAX_BATCH_PIXELS = 32 * 448 * 448
# Second looks come one by one, and at 896x512 a batch of 8 takes 200 MB more than one of 4 (measured on an H100).
LARGE_PIXELS, LARGE_BATCH = 640 * 640, 4
FEW_VIDEOS = 1  # that fit into the smallest batch together: a video hands in 8 pictures at a time


class DetectionTicket:
    """Detection under way: of :meth:`CudaYuNetDetector.submit`.

    Args:
        batch: The pictures, in the order of their answers.
        places: Where each of them was handed in.
        answers: Pinned memory of :data:`MAX_BATCH` answers.
        done: Recorded when they have come.
        free: Where the memory goes when it has been read.
    """

    def __init__(
        self,
        batch: Sequence[CudaPicture],
        places: Sequence[int],
        answers: NDArray[np.float32],
        done: Event,
        free: "deque[NDArray[np.float32]]",
    ):
        self._batch, self._places, self._answers, self._done, self._free = batch, places, answers, done, free
        self._found: list[Detections] | None = None

    @property
    def is_done(self) -> bool:
        """Whether the GPU has finished."""
        return bool(self._done.done)

    def result(self) -> list[Detections]:
        """Wait for the faces of each picture, best score first.

        Raises:
            EngineError: The GPU failed.
        """
        if self._found is None:
            try:
                self._done.synchronize()
            except Exception as error:  # the driver's errors have no common base with anything
                raise failure("face detection failed on the GPU", error) from error
            found, thumbnails = read_answers(self._answers, [picture.scale for picture in self._batch])
            for picture, thumbnail in zip(self._batch, thumbnails, strict=True):
                picture.thumbnail = thumbnail
            self._free.append(self._answers)
            self._found = [faces for _, faces in sorted(zip(self._places, found, strict=True), key=itemgetter(0))]
        return self._found


class _Lane:
    """All that stays the same from batch to batch, of pictures of one size on their way through a network.

    Args:
        bound: The network.
        workspace: See :func:`~dft.engines.cuda.faces.heads`.
        answers: Address of the first picture's answer.
        min_score: Faces below are left out.
    """

    def __init__(self, bound: Bound, workspace: tuple[int, int], answers: int, min_score: float):
        # not the network itself, which may give way to others
        height, width = bound.input.shape[2:]
        self._size: Size = int(height), int(width)
        self._gathering = gathering(int(bound.input.data.ptr), answers, self._size)
        outputs = {name: int(array.data.ptr) for name, array in bound.outputs.items()}
        self._heads = heads(outputs, workspace, answers, self._size, min_score)

    def enqueue(self, bound: Bound, batch: Sequence[CudaPicture]) -> None:
        """Enqueue all that is done with a batch, on the network's stream, which is the thread's current one."""
        put_pictures(self._gathering, [(*picture.addresses, *self._size) for picture in batch])
        launch("gather", (GATHER_BLOCKS, 3 * len(batch)), GATHER_THREADS, self._gathering)
        bound.enqueue()
        launch("find_faces", (len(batch), 1), FIND_THREADS, self._heads)


@cache
def batch_sizes(size: Size) -> tuple[int, ...]:
    """Those of :data:`BATCH_SIZES` that pictures of a size are put into, or :data:`LARGE_BATCH`."""
    height, width = size
    if height * width > LARGE_PIXELS:
        return (LARGE_BATCH,)
    return (BATCH_SIZES[0], *(num for num in BATCH_SIZES[1:] if num * height * width <= MAX_BATCH_PIXELS))


class CudaYuNetDetector(Closing):
    """YuNet on a GPU; implements :class:`dft.engines.protocols.Detector`. Usable from any thread.

    Args:
        model: The weights.
        size: Longer side of the picture that the network sees, in pixels.
        min_score: Faces below are left out.
        rungs: Where the network may run, in order of preference.

    Attributes:
        rung: Where it runs, and why not on a rung before.

    Raises:
        ModelError: The weights are no YuNet.
        BackendUnavailableError: No rung can be had.
    """

    usual_batch = BATCH_SIZES[0]

    def __init__(self, model: ModelFile, *, size: int, min_score: float, rungs: Sequence[str] = RUNGS):
        import cupy

        self.model = model
        self._size, self._min_score = size, min_score
        self._stream: Stream = cupy.cuda.Stream(non_blocking=True)
        self._network = open_network(yunet_source(model, size), self._stream, rungs=rungs)
        self.rung = self._network.rung
        self._preparing = Preparing(size)
        with self._stream:
            self._answers = cupy.zeros((MAX_BATCH, ANSWER_NUMBERS), cupy.float32)
        self._workspaces: dict[Size, tuple[DeviceArray, DeviceArray]] = {}
        self._lanes: WeakKeyDictionary[Bound, dict[int, _Lane]] = WeakKeyDictionary()
        self._pinned: deque[NDArray[np.float32]] = deque()
        self._under_way: deque[DetectionTicket] = deque()  # keeps pictures alive until they have been read
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Finish what is under way, and free the network and its memory."""
        if not self._closed:
            self._closed = True
            self._network.close()
            self._under_way.clear()
            self._lanes.clear()
            self._workspaces.clear()

    def warm_up(self, display_width: int, display_height: int, num_videos: int = 1) -> None:
        """Make ready for pictures of that size, which takes seconds; others go on detecting meanwhile.

        Args:
            display_width: Of the pictures, in pixels.
            display_height: Likewise.
            num_videos: How many videos there are at once: more make larger batches.

        Raises:
            EngineError: The runtime fails, or the GPU's memory is full.
        """
        _, _, width, height = input_size(display_width, display_height, self._size)
        if not self._network.is_exact:
            for num in batch_sizes((height, width))[: 1 if num_videos <= FEW_VIDEOS else None]:
                self._network.bound((num, 3, height, width))

    def prepare(self, image: CudaImage) -> CudaPicture:
        """See :meth:`dft.engines.protocols.Detector.prepare`; only enqueues.

        Raises:
            EngineError: The GPU's memory is full, or the kernels cannot be run.
        """
        import cupy

        own = self._preparing
        stream, way = own.stream, own.way(image)
        with stream:
            try:
                memory = cupy.cuda.alloc(way.num_bytes)
            except cupy.cuda.memory.OutOfMemoryError as error:
                raise failure("no memory for a picture on the GPU", error) from error
            first = int(memory.ptr)
            with image.reading(stream):
                way.plan.enqueue(image, first, int(way.luma.data.ptr), first + way.num_bytes - THUMBNAIL_BYTES)
        ready = next(own.events)
        stream.record(ready)
        return CudaPicture(memory, way.height, way.width, stream, ready, way.scale)

    def thumbnail(self, prepared: CudaPicture) -> NDArray[np.uint8]:
        """See :meth:`dft.engines.protocols.Detector.thumbnail`; it comes with the faces, and is fetched before."""
        if prepared.thumbnail is None:
            import cupy

            runtime, made = cupy.cuda.runtime, np.empty(THUMBNAIL_SHAPE, np.uint8)
            runtime.memcpyAsync(
                made.ctypes.data, prepared.addresses[1], made.nbytes, runtime.memcpyDeviceToHost, prepared.stream.ptr
            )  # fmt: skip
            prepared.stream.synchronize()
            prepared.thumbnail = made
            count_to_host("thumbnails", made.nbytes)
        return prepared.thumbnail

    def submit(self, batch: Sequence[CudaPicture]) -> DetectionTicket:
        """Begin detection, without waiting for it.

        Args:
            batch: 1 to 32 pictures, of any sizes; those of one size go through the network together.

        Raises:
            EngineError: The runtime fails, the GPU's memory is full, or the detector is closed.
        """
        if not 1 <= len(batch) <= MAX_BATCH:
            raise EngineError("a batch of another size", got=len(batch), expected=f"1 to {MAX_BATCH} pictures")
        with self._lock:
            if self._closed:
                raise EngineError("the detector is closed")
            while self._under_way and self._under_way[0].is_done:
                self._under_way.popleft()
            try:
                ticket = self._enqueue(batch)
            except DftError:
                raise
            except Exception as error:  # the driver's and CuPy's own errors have no common base
                raise failure("face detection failed on the GPU", error) from error
            self._under_way.append(ticket)
            return ticket

    def detect(self, batch: Sequence[CudaPicture]) -> list[Detections]:
        """See :meth:`dft.engines.protocols.Detector.detect`.

        Raises:
            EngineError: The runtime fails, or the GPU's memory is full.
        """
        parts = [batch[first : first + MAX_BATCH] for first in range(0, len(batch), MAX_BATCH)]
        tickets = [self.submit(part) for part in parts]
        return [faces for ticket in tickets for faces in ticket.result()]

    def _enqueue(self, given: Sequence[CudaPicture]) -> DetectionTicket:
        import cupy

        runtime, num_bytes = cupy.cuda.runtime, len(given) * ANSWER_BYTES
        places = sorted(range(len(given)), key=lambda place: given[place].size)
        batch = tuple(given[place] for place in places)
        runs = list(self._runs(batch))  # what is not ready yet takes its seconds before others are kept from launching
        pinned = self._pinned_answers()
        with LAUNCHING, self._stream:
            for picture in batch:
                self._stream.wait_event(picture.ready)
            for bound, lane, part in runs:
                lane.enqueue(bound, part)
            runtime.memcpyAsync(
                pinned.ctypes.data, int(self._answers.data.ptr), num_bytes, runtime.memcpyDeviceToHost,
                self._stream.ptr,
            )  # fmt: skip
            done = self._stream.record(cupy.cuda.Event(block=True, disable_timing=True))
        count_to_host("faces", num_bytes)
        return DetectionTicket(batch, places, pinned, done, self._pinned)

    def _runs(self, batch: Sequence[CudaPicture]) -> Iterator[tuple[Bound, _Lane, Sequence[CudaPicture]]]:
        """The parts of a batch that go through a network together: of one size, and as many as it is ready for."""
        first = 0
        for size, alike in groupby(batch, key=attrgetter("size")):
            rest = list(alike)
            while rest:
                num = self._batch_size(len(rest), size)
                bound = self._network.bound((num, 3, *size))
                yield bound, self._lane(bound, first), rest[:num]
                first, rest = first + len(rest[:num]), rest[num:]

    def _batch_size(self, num: int, size: Size) -> int:
        """Pictures of the batch that ``num`` pictures are best put into: what is not ready yet is not waited for."""
        if self._network.is_exact:
            return num
        sizes = batch_sizes(size)
        ready = [n for n in sizes if self._network.is_ready((n, 3, *size))] or sizes[:1]
        return next((n for n in ready if n >= num), ready[-1])

    def _lane(self, bound: Bound, first: int) -> _Lane:
        """The way through a network, of pictures whose first is the batch's picture number ``first``."""
        lanes = self._lanes.setdefault(bound, {})
        if first not in lanes:
            _, _, height, width = bound.input.shape
            answers = int(self._answers.data.ptr) + first * ANSWER_BYTES
            lanes[first] = _Lane(bound, self._workspace((int(height), int(width))), answers, self._min_score)
        return lanes[first]

    def _pinned_answers(self) -> NDArray[np.float32]:
        import cupyx

        try:
            return self._pinned.popleft()
        except IndexError:
            made: NDArray[np.float32] = cupyx.empty_pinned((MAX_BATCH, ANSWER_NUMBERS), np.float32)
            return made

    def _workspace(self, size: Size) -> tuple[int, int]:
        """Addresses of the candidates' scores and cells, of any batch of that size."""
        import cupy

        if size not in self._workspaces:
            shape = (MAX_BATCH, num_cells(*size))
            with self._stream:
                self._workspaces[size] = cupy.empty(shape, cupy.float32), cupy.empty(shape, cupy.int32)
        scores, cells = self._workspaces[size]
        return int(scores.data.ptr), int(cells.data.ptr)


def yunet_source(model: ModelFile, size: int) -> NetworkSource:
    """YuNet as a network to be opened.

    Args:
        model: The weights.
        size: Longer side of the pictures, in pixels.

    Raises:
        ModelError: The weights are no YuNet.
    """
    side = max(ALIGNMENT, size // ALIGNMENT * ALIGNMENT)
    _, _, width, height = input_size(side * 16, round(side * 16 / USUAL_ASPECT), size)
    profile = Profile(
        "input", (1, 3, ALIGNMENT, ALIGNMENT), (8, 3, height, width), (MAX_BATCH, 3, side, side)
    )  # fmt: skip
    return NetworkSource(dynamic_graph(model.path), profile, yunet_outputs)


def yunet_outputs(shape: Shape) -> dict[str, Shape]:
    """Shapes of YuNet's outputs for an input of ``shape``."""
    num, _, height, width = shape
    return {
        f"{head}_{stride}": (num, (height // stride) * (width // stride), numbers)
        for head, numbers in HEAD_NUMBERS.items()
        for stride in STRIDES
    }
