"""Kernels of CUDA C++ in files beside this one: compiled by NVRTC through CuPy when they are first launched."""

from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import EngineError
from ..memory import failure

OPTIONS = ("--std=c++17",)


def text(file: str) -> str:
    """The CUDA C++ of a file."""
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")


@cache
def kernel(file: str, name: str) -> Any:
    """A kernel of a file, as a ``cupy.RawKernel``.

    Raises:
        EngineError: It cannot be compiled.
    """
    try:
        return _module(file).get_function(name)
    except Exception as error:  # NVRTC's, the driver's and CuPy's own errors have no common base
        raise EngineError(f"the CUDA kernel {name} cannot be compiled", got=error) from error


def launch(kernel: Any, grid: tuple[int, ...], block: tuple[int, ...], argument: NDArray[np.void]) -> None:
    """Enqueue a kernel on the thread's current CuPy stream.

    Args:
        kernel: See :func:`kernel`.
        grid: Blocks.
        block: Threads of each.
        argument: ``(1,)`` array of its structure, which is copied at once. That is how CuPy's own example gives
            structures by value, ``examples/custom_struct/complex_struct.py``.

    Raises:
        EngineError: It cannot be launched.
    """
    try:
        kernel(grid, block, (argument,))
    except Exception as error:  # the driver's and CuPy's own errors have no common base
        raise failure("a CUDA kernel cannot be run", error) from error


@cache
def _module(file: str) -> Any:
    import cupy

    return cupy.RawModule(code=text(file), options=OPTIONS)
