"""Kernels: compiled once, and whatever fails is an error of ours."""

import numpy as np
import pytest

from dft.configs.errors import EngineError
from dft.engines.cuda import compiled, faces, kernels


@pytest.mark.parametrize("file", [faces.SOURCE, kernels.SOURCE])
def test_a_file_is_compiled_once(gpu, monkeypatch, file):
    made, plain = [], gpu.RawModule
    monkeypatch.setattr(gpu, "RawModule", lambda **given: made.append(given) or plain(**given))
    name = {"faces.cu": "gather", "kernels.cu": "thumbnail"}[file]
    assert compiled.kernel(file, name) is compiled.kernel(file, name)
    assert [given["code"] for given in made] == [compiled.text(file)]


def test_what_does_not_compile_is_told(gpu, monkeypatch):
    def fail(code, options):
        raise RuntimeError("nvrtc: error")

    monkeypatch.setattr(gpu, "RawModule", fail)
    with pytest.raises(EngineError, match="kernel gather cannot be compiled; got nvrtc: error"):
        compiled.kernel(faces.SOURCE, "gather")


def test_what_is_not_launched_is_told():
    def fail(*_):
        raise RuntimeError("out of resources")

    with pytest.raises(EngineError, match="cannot be run; got out of resources"):
        compiled.launch(fail, (1,), (1,), np.zeros(1, faces.HEADS))
