"""The CUDA kernels of ``kernels.cu``, and the layouts of their arguments.

Every kernel takes one structure by value, so nothing is uploaded to launch it. Addresses in it are plain numbers: what
they point to must live until the launch is enqueued, and come from memory that is used in the order of the stream.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import compiled
from .image import DeviceArray

SOURCE = "kernels.cu"
BLOCK = (32, 8)  # threads: a warp reads along a row
MAX_PARTS, MAX_FACES = 24, 32  # of one launch; CUDA takes 4096 bytes of arguments
FILL, SHARP, SOFT = 0, 1, 2
THUMBNAIL_SHAPE = (18, 32)
STORE_KINDS = {np.dtype(np.uint8): 0, np.dtype(np.float16): 1, np.dtype(np.float32): 2}


def _struct(**fields: Any) -> np.dtype[np.void]:
    """A C structure's layout; a field is a type, or a type and a length."""
    return np.dtype([(name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind in fields.items()], True)


_POINTER = "u8"
AXIS = _struct(first="i4", taken="i4", made="i4", skipped="i4", filtered="i4", weights=("f4", 4))
PART = _struct(
    source=_POINTER, pitch="i8", kind="i4", x="i4", y="i4", width="i4", height="i4", rotation="i4", columns="i4",
    rows="i4", shift="i4", values=("i4", 2), across=AXIS, down=AXIS,
)  # fmt: skip
COMPOSITION = _struct(
    target=_POINTER, pitch="i8", columns="i4", rows="i4", lift="i4", top="i4", keep="i4", background=("i4", 2),
    count="i4", parts=(PART, MAX_PARTS),
)  # fmt: skip
HALVING = _struct(
    source=_POINTER, target=_POINTER, pitch="i8", columns="i4", rows="i4", shift="i4", x="i4", y="i4", width="i4",
    height="i4",
)  # fmt: skip
BLURRING = _struct(
    source=_POINTER, target=_POINTER, columns="i4", rows="i4", radius_x="i4", radius_y="i4", sigma_x="f4", sigma_y="f4"
)
ENLARGING = _struct(
    source=_POINTER, target=_POINTER, across=AXIS, down=AXIS, columns="i4", rows="i4", width="i4", height="i4"
)
PLANES = _struct(
    y=_POINTER, uv=_POINTER, y_pitch="i8", uv_pitch="i8", columns="i4", rows="i4", scale="f4", matrix=("f4", 12)
)
PREPARATION = _struct(
    source=PLANES, target=_POINTER, luma=_POINTER, kind="i4", rotation="i4", width="i4", height="i4",
    padded_width="i4", padded_height="i4", luma_halvings="i4", chroma_halvings="i4", mean=("f4", 3), gain=("f4", 3),
)  # fmt: skip
THUMBNAIL = _struct(luma=_POINTER, target=_POINTER, columns="i4", rows="i4")
PLANAR = _struct(
    y=_POINTER, uv=_POINTER, target=_POINTER, y_pitch="i8", uv_pitch="i8", columns="i4", rows="i4", shift="i4"
)
WARP = _struct(
    first_x="i4", first_y="i4", columns="i4", rows="i4", halvings="i4", density="i4", matrix=("f4", 6)
)  # fmt: skip
FACE = _struct(luma=WARP, chroma=WARP)
CHIPS = _struct(source=PLANES, target=_POINTER, kind="i4", size="i4", count="i4", faces=(FACE, MAX_FACES))


def launch(name: str, arguments: NDArray[np.void], width: int, height: int, depth: int = 1) -> None:
    """Enqueue a kernel on the thread's current CuPy stream, with a thread for each of ``width x height x depth``.

    Args:
        name: Of the kernel.
        arguments: ``()`` array of its structure, which is copied at once.
        width: Threads along x, rounded up to whole blocks.
        height: Threads along y, rounded up likewise.
        depth: Blocks along z.

    Raises:
        EngineError: The kernels cannot be compiled, or not launched.
    """
    grid = (-(-width // BLOCK[0]), -(-height // BLOCK[1]), depth)
    compiled.launch(_kernel(name), grid, (*BLOCK, 1), arguments.reshape(1))


def address(array: DeviceArray) -> int:
    """Where the values of a CuPy array lie."""
    return int(array.data.ptr)


def pitch(array: DeviceArray) -> int:
    """Values from the start of one row to the next."""
    return int(array.strides[0]) // int(array.dtype.itemsize)


def suffix(array: DeviceArray) -> str:
    """What the names of kernels for its type end with: ``8`` or ``16``."""
    return "8" if array.dtype == np.uint8 else "16"


def source_text() -> str:
    """The kernels in CUDA C++."""
    return compiled.text(SOURCE)


def _kernel(name: str) -> Any:
    return compiled.kernel(SOURCE, name)
