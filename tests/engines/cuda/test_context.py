"""What a process takes of a GPU: the calls, on a stand-in for the runtime."""

import os
import sys
import types

import pytest

from dft.engines.cuda import context


@pytest.fixture
def limits(monkeypatch):
    """A runtime that notes its limits."""
    told: dict[int, int] = {}
    cuda = types.ModuleType("cupy.cuda")
    cuda.runtime = types.SimpleNamespace(deviceSetLimit=told.__setitem__)
    cupy = types.ModuleType("cupy")
    cupy.cuda = cuda
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    for name in ("CUBLAS_WORKSPACE_CONFIG", "CUBLASLT_WORKSPACE_SIZE"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    context.spare_memory.cache_clear()
    yield told
    context.spare_memory.cache_clear()


def test_the_stack_and_the_workspaces_are_made_small_once(limits):
    context.spare_memory()
    assert limits == {context.STACK_LIMIT: context.STACK_BYTES}
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == context.CUBLAS_WORKSPACES
    limits.clear()
    context.spare_memory()
    assert limits == {}


def test_what_the_environment_says_is_left_as_it_is(limits, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:2")
    context.spare_memory()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:2"


def test_a_limit_that_is_refused_stops_nothing(limits, monkeypatch):
    def refuse(*_):
        raise RuntimeError("cudaErrorUnsupportedLimit")

    monkeypatch.setattr(sys.modules["cupy.cuda"].runtime, "deviceSetLimit", refuse)
    context.spare_memory()
    assert os.environ["CUBLASLT_WORKSPACE_SIZE"] == "64"
