"""Asking PyNvVideoCodec without being left in another CUDA context."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def aside(ask: Callable[[], T]) -> T:
    """The answer of ``ask``, called in a thread that then ends.

    PyNvVideoCodec's questions about what a card can do make a CUDA context and leave it current in their thread.
    Streams and kernels that are made in that thread afterwards belong to it, and are refused everywhere else (seen on
    an H100).
    """
    with ThreadPoolExecutor(1, "dft-aside") as worker:
        return worker.submit(ask).result()


def back_to_own_context(gpu: int) -> None:
    """Make the context that CuPy uses current again in this thread."""
    import cupy

    cupy.cuda.runtime.setDevice(gpu)
