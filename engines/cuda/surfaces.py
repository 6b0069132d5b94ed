"""Copying a decoder's surfaces into slots of ours, on the decoder's stream, and to another depth on request."""

from functools import cache
from typing import Any

import numpy as np

from .image import DeviceArray, Stream
from .ring import Slot

Plane = tuple[int, int]  # address on the GPU, bytes from row to row


class SurfaceCopy:
    """Copies surfaces of one size, NV12 or P016, of even width and height.

    Args:
        width: Coded width in pixels.
        height: Coded height in pixels.
        bits: Of a value of the surfaces: 8 (NV12) or 10 (P016).
        stream: To copy on.
    """

    def __init__(self, width: int, height: int, bits: int, stream: Stream):
        import cupy

        self._bits, self._height, self._stream = bits, height, stream
        self._row_bytes = width * (1 if bits == 8 else 2)
        self._copy_2d = cupy.cuda.runtime.memcpy2DAsync
        self._kind = cupy.cuda.runtime.memcpyDeviceToDevice
        self._stream_pointer = stream.ptr

    def __call__(self, slot: Slot, luma: Plane, chroma: Plane) -> None:
        """Enqueue the copy into ``slot``; the surface must stay as it is until what follows on the stream begins."""
        if self._bits != slot.depth:
            self._convert(slot.y, luma)
            self._convert(slot.uv, chroma)
        elif chroma == (luma[0] + self._height * luma[1], luma[1]):
            self._copy(slot.y, luma, self._height * 3 // 2)  # both planes are one block, in the slot as well
        else:
            self._copy(slot.y, luma, self._height)
            self._copy(slot.uv, chroma, self._height // 2)

    def block(self, slot: Slot, pointer: int) -> None:
        """The same for a surface at ``pointer`` whose rows and planes follow each other without a gap."""
        luma = (pointer, self._row_bytes)
        self(slot, luma, (pointer + self._height * self._row_bytes, self._row_bytes))

    def _copy(self, target: DeviceArray, plane: Plane, num_rows: int) -> None:
        row_bytes = self._row_bytes
        self._copy_2d(target.data.ptr, row_bytes, *plane, row_bytes, num_rows, self._kind, self._stream_pointer)

    def _convert(self, target: DeviceArray, plane: Plane) -> None:
        import cupy

        pointer, pitch = plane
        dtype = np.dtype(np.uint8 if self._bits == 8 else np.uint16)
        memory = cupy.cuda.UnownedMemory(pointer, pitch * target.shape[0], None, 0)
        inner = tuple(stride // target.itemsize * dtype.itemsize for stride in target.strides[1:])
        surface = cupy.ndarray(target.shape, dtype, cupy.cuda.MemoryPointer(memory, 0), (pitch, *inner))
        with self._stream:
            _depth_kernel(self._bits)(surface, target)


@cache
def _depth_kernel(bits: int) -> Any:
    """The kernel that makes P016 of NV12 (``bits`` 8), or NV12 of P016 (10), rounded to the nearest."""
    import cupy

    if bits == 8:
        return cupy.ElementwiseKernel("uint8 x", "uint16 y", "y = (unsigned short)(x << 8)", "dft_p016_of_nv12")
    return cupy.ElementwiseKernel("uint16 x", "uint8 y", "y = min((x + 128) >> 8, 255)", "dft_nv12_of_p016")
