"""Copying a decoder's surface into a slot of ours, on the decoder's stream, and to another depth on request."""

from functools import cache
from typing import Any

import numpy as np

from .image import DeviceArray, Stream
from .ring import Slot

Plane = tuple[int, int]  # address on the GPU, bytes from row to row


def copy_planes(slot: Slot, luma: Plane, chroma: Plane, bits: int, stream: Stream) -> None:
    """Enqueue the copy of NV12 (``bits`` 8) or P016 (10) into ``slot`` on ``stream``.

    The surface must stay as it is until what follows on ``stream`` begins.
    """
    for target, plane in ((slot.y, luma), (slot.uv, chroma)):
        if bits == (8 if target.dtype == np.uint8 else 10):
            _copy(target, plane, stream)
        else:
            _convert(target, plane, bits, stream)


def _copy(target: DeviceArray, plane: Plane, stream: Stream) -> None:
    import cupy

    runtime = cupy.cuda.runtime
    pointer, pitch = plane
    row_bytes, num_rows = target.strides[0], target.shape[0]
    runtime.memcpy2DAsync(
        target.data.ptr, row_bytes, pointer, pitch, row_bytes, num_rows, runtime.memcpyDeviceToDevice, stream.ptr
    )


def _convert(target: DeviceArray, plane: Plane, bits: int, stream: Stream) -> None:
    import cupy

    pointer, pitch = plane
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
    memory = cupy.cuda.UnownedMemory(pointer, pitch * target.shape[0], None, 0)
    inner = tuple(stride // target.itemsize * dtype.itemsize for stride in target.strides[1:])
    surface = cupy.ndarray(target.shape, dtype, cupy.cuda.MemoryPointer(memory, 0), (pitch, *inner))
    with stream:
        _depth_kernel(bits)(surface, target)


@cache
def _depth_kernel(bits: int) -> Any:
    """The kernel that makes P016 of NV12 (``bits`` 8), or NV12 of P016 (10), rounded to the nearest."""
    import cupy

    if bits == 8:
        return cupy.ElementwiseKernel("uint8 x", "uint16 y", "y = (unsigned short)(x << 8)", "dft_p016_of_nv12")
    return cupy.ElementwiseKernel("uint16 x", "uint8 y", "y = min((x + 128) >> 8, 255)", "dft_nv12_of_p016")
