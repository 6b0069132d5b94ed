"""The CUDA kernels on a CPU: their very text, compiled with g++, on the lazy streams of the folder above."""

import ctypes
import importlib
import inspect
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

HEADER = Path(__file__).parent / "host_cuda.h"
LARGEST = 4096  # bytes of arguments that CUDA takes


class Array(np.ndarray):
    """Host memory with the attributes of ``cupy.ndarray``."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)

    def get(self, stream=None):
        if stream is not None:
            stream.synchronize()
        return np.array(self)


class RawModule:
    """Kernels of CUDA C++ compiled for the host; each takes one structure by value, as a ``numpy`` array."""

    def __init__(self, code, folder):
        names = re.findall(r"__global__ void (\w+)\(", code)
        text = f'#include "{HEADER}"\n{code}\n' + "\n".join(f"RUNNER({name})" for name in names)
        source, library = folder / "kernels.cpp", folder / "kernels.so"
        source.write_text(text)
        warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-function"]
        command = ["g++", "-std=c++17", "-O2", "-shared", "-fPIC", *warnings, "-o", str(library), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self._library = ctypes.CDLL(str(library))

    def get_function(self, name, stream_of, launched):
        run, size = getattr(self._library, f"run_{name}"), getattr(self._library, f"size_{name}")()

        def launch(grid, block, arguments):
            (structure,) = arguments
            assert type(structure) is np.ndarray and structure.shape == (1,), "a structure goes as an array of numpy"
            assert structure.nbytes == size <= LARGEST, f"{structure.nbytes} bytes for a structure of {size}"
            copied, stream = structure.copy(), stream_of()
            address = (ctypes.c_void_p * 1)(copied.ctypes.data)
            shape = (ctypes.c_int * 3)(*grid), (ctypes.c_int * 3)(*block)
            launched.append((name, stream))
            stream.enqueue(lambda: (copied, run(*shape, address)))

        return launch


@pytest.fixture(scope="session")
def compiled_kernels(tmp_path_factory):
    """The kernels of ``kernels.cu``, compiled for the CPU once."""
    from dft.engines.cuda import kernels

    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the CUDA kernels for the CPU")
    return RawModule(kernels.source_text(), tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def cupy_on_host(cupy, compiled_kernels, monkeypatch):
    """``import cupy`` gives the stand-in during one test, and its streams run the kernels; ``launched`` lists them."""
    from dft.engines.cuda import kernels

    cupy.launched, kept = [], []
    current = vars(inspect.getmodule(type(cupy.cuda.Stream.null)))["CURRENT"]

    def stream_of():
        assert current, "a kernel on the null stream"
        return current[-1]

    def empty(shape, dtype=float):
        assert current, "memory of the null stream's pool"
        made = np.full(shape, 77, dtype).view(Array)
        kept.append(made)  # the pool gives it to later work of the same stream only
        return made

    cupy.empty, cupy.float32, cupy.float16 = empty, np.float32, np.float16
    cupy.cuda.runtime.memcpyDeviceToHost, cupy.cuda.runtime.getDevice = 2, lambda: 0
    cupy.cuda.runtime.setDevice = lambda _: None
    monkeypatch.setattr(kernels, "_kernel", lambda name: compiled_kernels.get_function(name, stream_of, cupy.launched))
    return cupy


@pytest.fixture(params=["host", "gpu"])
def any_cupy(request):
    """CuPy: the stand-in, and the real one where a GPU is."""
    if request.param == "host":
        return request.getfixturevalue("cupy_on_host")
    request.getfixturevalue("needs_cuda")()
    return importlib.import_module("cupy")


def smooth_plane(rng, height, width, blur):
    noise = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    return np.clip(128 + 40 * noise / noise.std(), 16, 235)


class Pictures:
    """Pictures on the CPU, and their way to the GPU and back."""

    def of(self, planes, depth=8, rotation=0, colour=None):
        """The CPU's image of planes of 0..255 (floats), in ``depth`` bits."""
        from dft.engines.cpu.image import YuvImage
        from dft.engines.protocols import Colour

        scale, dtype, top = (1, np.uint8, 255) if depth == 8 else (4, np.uint16, 1023)
        made = [np.clip(np.rint(plane * scale), 0, top).astype(dtype) for plane in planes]
        return YuvImage(*made, colour or Colour(1, 1, 1), rotation)

    def smooth(self, seed, width, height, blur=2.0, **form):
        """Smooth noise."""
        rng = np.random.default_rng(seed)
        half = ((height + 1) // 2, (width + 1) // 2)
        return self.of([smooth_plane(rng, *shape, blur) for shape in ((height, width), half, half)], **form)

    def natural(self, width, height, **form):
        """A portrait and what surrounds it."""
        from skimage.data import astronaut

        rgb = cv2.resize(astronaut(), (width, height), interpolation=cv2.INTER_AREA)
        even = (width + 1) // 2 * 2, (height + 1) // 2 * 2
        yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV).astype(float)
        chroma = cv2.resize(yuv[..., 1:], (even[0] // 2, even[1] // 2), interpolation=cv2.INTER_AREA)
        return self.of([yuv[..., 0], chroma[..., 0], chroma[..., 1]], **form)

    def on_gpu(self, image):
        """``image`` as a ``CudaImage``."""
        from dft.engines.cuda.transfer import Uploader

        uploader = Uploader(image.width, image.height, image.depth)
        made = uploader(image)
        made.ready.synchronize()  # the memory that it is copied from goes with its uploader
        return made

    def from_gpu(self, image):
        """The planes of a ``CudaImage`` in numbers of its depth: y, u, v."""
        import cupy

        from dft.engines.cuda.transfer import download

        held = download(image, cupy.cuda.Stream(non_blocking=True))
        return held.y, held.u, held.v

    @staticmethod
    def errors(got, wanted, depth=8):
        """Mean absolute difference in grey levels of 8 bits, and PSNR in dB."""
        difference = (np.asarray(got, float) - np.asarray(wanted, float)) / 2 ** (depth - 8)
        square = np.mean(difference**2)
        return np.abs(difference).mean(), 99.0 if square == 0 else 10 * np.log10(255**2 / square)


@pytest.fixture(scope="session")
def pictures():
    return Pictures()
