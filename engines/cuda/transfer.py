"""Pictures from host to GPU and back, each in one copy, counted."""

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cpu.image import YuvImage
from ..memory import failure
from .counters import count_to_device, count_to_host
from .image import CudaImage
from .ring import Ring, Slot

NUM_STAGING = 4  # pictures that may be on their way at once
UNUSED_BITS = 6  # low bits of a P016 value that holds 10 bits

Values = NDArray[np.uint8 | np.uint16]


class Uploader:
    """Copies pictures of one size to the GPU through pinned memory.

    Waits on the host only if the copy of the fourth picture before is still under way, and when it is dropped, until
    the last copy is through: pinned memory that is given back is given out again at once.

    Args:
        width: Coded width in pixels.
        height: Coded height in pixels.
        depth: Bits of a value: 8 or 10.

    Raises:
        MemoryFullError: There is no such memory left.
    """

    def __init__(self, width: int, height: int, depth: int = 8):
        import cupy
        import cupyx

        self._runtime = cupy.cuda.runtime
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._ring = Ring(width, height, depth)
        self._luma_size = width * height
        self._chroma_shape = ((height + 1) // 2, (width + 1) // 2, 2)
        num_values = self._luma_size + self._chroma_shape[0] * self._chroma_shape[1] * 2
        dtype = np.uint8 if depth == 8 else np.uint16
        try:
            pinned = [cupyx.empty_pinned(num_values, dtype) for _ in range(NUM_STAGING)]
        except Exception as error:  # the driver's errors have no common base with anything
            raise failure("no page-locked memory for pictures", error) from error
        self._staging = [(memory, cupy.cuda.Event(block=True, disable_timing=True)) for memory in pinned]
        self._num_uploaded = 0
        weakref.finalize(self, self._stream.synchronize)

    def __call__(self, image: YuvImage) -> CudaImage:
        """The picture on the GPU; ``image`` may be dropped at once.

        Raises:
            EngineError: Too many images are held, or the GPU has no memory left.
        """
        staging, through = self._staging[self._num_uploaded % NUM_STAGING]
        self._num_uploaded += 1
        through.synchronize()
        self._write(staging, image)

        def enqueue(slot: Slot) -> None:
            self._runtime.memcpyAsync(
                slot.y.data.ptr, staging.ctypes.data, staging.nbytes, self._runtime.memcpyHostToDevice, self._stream.ptr
            )

        made = self._ring.fill(self._stream, enqueue, image.colour, image.rotation)
        self._stream.record(through)
        count_to_device("frames", staging.nbytes)
        return made

    def _write(self, staging: Values, image: YuvImage) -> None:
        luma = staging[: self._luma_size].reshape(image.y.shape)
        chroma = staging[self._luma_size :].reshape(self._chroma_shape)
        for target, plane in ((luma, image.y), (chroma[..., 0], image.u), (chroma[..., 1], image.v)):
            np.left_shift(plane, 0 if image.depth == 8 else UNUSED_BITS, out=target)


def download(image: CudaImage, stream: Any) -> YuvImage:
    """The picture in host memory; waits until it is there.

    Args:
        image: A picture on the GPU.
        stream: The ``cupy.cuda.Stream`` to copy on.
    """
    with stream, image.reading(stream):
        y, uv = image.y.get(stream=stream), image.uv.get(stream=stream)
    stream.synchronize()
    count_to_host("frames", y.nbytes + uv.nbytes)
    if image.depth == 10:
        y, uv = y >> UNUSED_BITS, uv >> UNUSED_BITS
    u, v = (np.ascontiguousarray(uv[..., part]) for part in (0, 1))
    return YuvImage(y, u, v, image.colour, image.rotation)
