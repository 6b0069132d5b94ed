"""The stand-in for a GPU on which inference is tested."""

import pytest

from dft.engines.cuda import compiled

from .host_kernels import COMPILED, Decoder, extend


@pytest.fixture
def gpu(cupy, tmp_path_factory):
    """CuPy's stand-in with what inference needs; the kernels are compiled once."""
    if not COMPILED:
        COMPILED[tmp_path_factory.mktemp("kernels")] = {}
    extend(cupy, next(iter(COMPILED)))
    caches = compiled.kernel, compiled._module
    for cache in caches:
        cache.cache_clear()
    yield cupy
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def on_gpu(gpu):
    return Decoder(gpu)
