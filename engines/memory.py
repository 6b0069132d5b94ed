"""A full memory: telling it from other failures, for each library says it in words of its own; and making room."""

import gc
import re
import sys

from ..configs.errors import DftError, EngineError, MemoryFullError
from .cuda.shared import close_unused

# CUDA's runtime and driver, NVDEC and NVENC, cuDNN and cuBLAS, ONNX Runtime's arena, C++, OpenCV, the C library
FULL = re.compile(
    r"out[ _]of[ _]memory|MemoryAllocation|STATUS_ALLOC_FAILED|failed to allocate memory|bad[_ ]alloc|"
    r"insufficient memory|cannot allocate memory",
    re.IGNORECASE,
)
HINT = "run fewer videos at once"


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no memory; one of dft's own must be the one for that."""
    if isinstance(error, DftError):
        return isinstance(error, MemoryFullError)
    return isinstance(error, MemoryError) or FULL.search(str(error)) is not None


def failure(what: str, error: BaseException) -> EngineError:
    """A library's error as one of ours: ``MemoryFullError`` if it says so. One of ours is left as it is.

    Args:
        what: What failed.
        error: What the library raised.
    """
    if isinstance(error, EngineError):
        return error
    said = str(error) or type(error).__name__
    return MemoryFullError(what, got=said, hint=HINT) if is_full(error) else EngineError(what, got=said)


def free() -> None:
    """Give back what is only kept for later: networks, garbage that holds pictures, and the blocks of CuPy's pools."""
    close_unused()
    gc.collect()
    cupy = sys.modules.get("cupy")
    if cupy is not None:
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
