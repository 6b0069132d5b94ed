"""Kernels of CUDA C++ compiled with g++, and the part of CuPy that inference uses, on top of the lazy streams of
``../conftest.py``: what is not ordered by events runs in a bad order, and freed memory is spoilt at once.
"""

import ctypes
import re
import shutil
import subprocess
import sys
import types
import weakref
from pathlib import Path

import numpy as np
import pytest

from dft.engines.cuda.ring import Ring

HEADER = Path(__file__).with_name("grid.h")
MOST_THREADS = 8  # of a block whose threads meet at barriers
SPOILT = 0xA5
COMPILED = {}  # by folder and text


class Kernels:
    """Every kernel of a text.

    Args:
        text: CUDA C++.
        folder: Where it is compiled.
    """

    def __init__(self, text, folder):
        if shutil.which("g++") is None:
            pytest.skip("no g++ to compile the CUDA kernels for the CPU")
        self.with_threads = "__syncthreads" in text
        names = re.findall(r"__global__ void (\w+)\(", text)
        runners = "\n".join(f"RUNNER({name}, {int(self.with_threads)})" for name in names)
        stem = folder / f"kernels{len(list(folder.glob('*.cpp')))}"
        stem.with_suffix(".cpp").write_text(f'#include "{HEADER}"\n{text}\n{runners}\n')
        command = ["g++", "-std=c++20", "-O2", "-fPIC", "-shared", "-pthread", "-ffp-contract=off", "-w"]
        command += [f"{stem}.cpp", "-o", f"{stem}.so"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        self._library = ctypes.CDLL(f"{stem}.so")

    def size(self, name):
        """Bytes of a kernel's argument."""
        size = getattr(self._library, f"size_{name}")
        size.restype = ctypes.c_ulonglong
        return size()

    def run(self, name, grid, block, argument):
        """Run a kernel now."""
        assert type(argument) is np.ndarray and argument.shape == (1,)
        assert argument.nbytes == self.size(name) <= 4096, f"{argument.nbytes} bytes for {self.size(name)}"
        if self.with_threads:
            block = (min(block[0], MOST_THREADS),)
        grid, block = ((ctypes.c_int * 3)(*sides, *[1] * (3 - len(sides))) for sides in (grid, block))
        getattr(self._library, f"run_{name}")(ctypes.c_void_p(argument.ctypes.data), grid, block)


class Block:
    """What arrays on the same memory share, views included."""


class Values(np.ndarray):
    """A host array as ``cupy.ndarray``."""

    def __array_finalize__(self, source):
        self.block = getattr(source, "block", None)

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)

    @property
    def device(self):
        return types.SimpleNamespace(id=0)

    def get(self, stream):
        made = np.empty(self.shape, self.dtype)
        stream.enqueue(lambda: np.copyto(made, self.view(np.ndarray)))
        stream.synchronize()
        return made

    def set(self, values, stream):
        stream.enqueue(lambda: np.copyto(self.view(np.ndarray), values))


class Graph:
    """A CUDA graph: what was enqueued while a stream was captured."""

    def __init__(self, works):
        self._works = works

    def launch(self, stream):
        def replay():
            for work in self._works:
                work()

        stream.enqueue(replay)


def capturing_stream(plain):
    """The stand-in's stream with what the real one can do for graphs, and may not do during a capture."""

    class Stream(plain):
        device_id, captured = 0, None

        def begin_capture(self, mode=None):
            assert mode is None, "the relaxed one"
            self.synchronize()
            self.captured = []

        def end_capture(self):
            works, self.captured = self.captured, None
            return Graph(works)

        def enqueue(self, work):
            (self._work if self.captured is None else self.captured).append(work)

        def synchronize(self):
            assert self.captured is None, "a stream that is captured cannot be waited for"
            super().synchronize()

    return Stream


def extend(cupy, folder):
    """Add to the stand-in what inference needs."""
    compiled = COMPILED.setdefault(folder, {})
    current = sys.modules[cupy.cuda.Stream.__module__].CURRENT
    held = []

    def alloc(size):
        assert current, "memory of the null stream's pool"
        made = empty(size, np.uint8)
        return types.SimpleNamespace(ptr=made.ctypes.data, block=made.block)

    def empty(shape, dtype=float):
        own = np.full(shape, 0, dtype)
        own.view(np.uint8)[...] = SPOILT
        held.append(own)  # so that late readers find rubbish and do not crash
        made = own.view(Values)
        made.block = Block()
        weakref.finalize(made.block, own.view(np.uint8).fill, SPOILT)
        return made

    def zeros(shape, dtype=float):
        made = empty(shape, dtype)
        current[-1].enqueue(lambda: made.fill(0))
        return made

    class RawModule:
        def __init__(self, code, options=()):
            if code not in compiled:
                compiled[code] = Kernels(code, folder)
            self._kernels = compiled[code]

        def get_function(self, name):
            def launch(grid, block, arguments):
                (argument,) = arguments
                copied = argument.copy()
                current[-1].enqueue(lambda: self._kernels.run(name, grid, block, copied))

            return launch

    cupy.cuda.Stream = capturing_stream(cupy.cuda.Stream)
    cupy.empty, cupy.zeros, cupy.RawModule, cupy.cuda.alloc = empty, zeros, RawModule, alloc
    cupy.float32, cupy.int32 = np.float32, np.int32
    cupy.cuda.runtime.memcpyDeviceToHost = 2
    cupy.cuda.Event.done = property(lambda event: event.stream is None or event.position <= event.stream._done)
    return cupy


class Decoder:
    """Hands pictures out as the decoder does: in memory that it uses again, filled when its stream runs."""

    def __init__(self, cupy):
        self._stream, self.rings = cupy.cuda.Stream(non_blocking=True), {}

    def __call__(self, image):
        ring = self.rings.setdefault(image.y.shape, Ring(image.width, image.height))

        def enqueue(slot):
            def fill():
                slot.y[...], slot.uv[...] = image.y, np.stack([image.u, image.v], axis=-1)

            self._stream.enqueue(fill)

        return ring.fill(self._stream, enqueue, image.colour, image.rotation)
