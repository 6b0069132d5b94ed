"""What is missing is said in one line each, with what to do."""

import importlib
import sys
import types

import pytest

from dft.engines.cuda import available


def refuse(monkeypatch, name, error):
    real = importlib.import_module

    def load(wanted, *rest):
        if wanted == name:
            raise error
        return real(wanted, *rest)

    monkeypatch.setattr(available.importlib, "import_module", load)


def test_each_part_is_one_line_or_there():
    found = available.parts()
    assert [part.name for part in found] == [
        "NVIDIA driver", "cupy", "onnxruntime-gpu", "video decoding of the driver", "PyNvVideoCodec",
        "video encoding of the driver",
    ]  # fmt: skip
    assert {part.role for part in found} == {"all", "infer", "decode", "encode"}
    assert all(part.missing is None or "\n" not in part.missing for part in found)


def test_a_missing_package_says_what_to_install(monkeypatch):
    for name, why in (("cupy", available.why_no_cupy), ("onnxruntime", available.why_no_onnxruntime)):
        refuse(monkeypatch, name, ModuleNotFoundError(f"No module named {name!r}", name=name))
        assert why() == f"{name} is not installed (pip install 'dual-face-tracker[gpu]')"


def test_a_package_that_lacks_another_is_not_called_missing(monkeypatch):
    refuse(monkeypatch, "cupy", ModuleNotFoundError("No module named 'cuda'", name="cuda"))
    assert available.why_no_cupy() == (
        "cupy cannot be imported: No module named 'cuda' (pip install 'dual-face-tracker[gpu]')"
    )


def test_a_package_that_fails_is_quoted_with_its_first_line(monkeypatch):
    monkeypatch.setattr(available, "why_no_library", lambda name: None)
    refuse(monkeypatch, "PyNvVideoCodec", RuntimeError("Driver version is too old\n\n=== TROUBLESHOOTING ==="))
    assert available.why_no_pynvvideocodec() == "PyNvVideoCodec does not start: Driver version is too old"


def test_a_container_without_video_is_told_what_to_set(monkeypatch):
    assert available.why_no_library("libnothing-of-that-name.so.1") == (
        "the driver's libnothing-of-that-name.so.1 is not there "
        "(in a container, set NVIDIA_DRIVER_CAPABILITIES=compute,utility,video)"
    )
    lacking = {"libnvidia-encode.so.1": "the driver's libnvidia-encode.so.1 is not there (set it)"}
    monkeypatch.setattr(available, "why_no_library", lacking.get)
    assert available.why_no_pynvvideocodec() == (
        "PyNvVideoCodec does not start: the driver's libnvidia-encode.so.1 is not there (set it)"
    )


def test_an_onnxruntime_without_cuda_says_which_package(monkeypatch):
    module = types.ModuleType("onnxruntime")
    module.get_available_providers = lambda: ["CPUExecutionProvider"]
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    assert available.why_no_onnxruntime().startswith("onnxruntime is built without CUDA (pip uninstall onnxruntime")
    module.get_available_providers = lambda: ["CUDAExecutionProvider"]
    assert available.why_no_onnxruntime() is None


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ({}, None),
        ({"why_no_cuda": "no driver", "why_no_cupy": "no cupy"}, "no driver"),
        ({"why_no_cupy": "no cupy"}, "no cupy"),
        ({"why_no_onnxruntime": "no onnxruntime"}, "no onnxruntime"),
        ({"why_no_pynvvideocodec": "has a substitute"}, None),
    ],
)
def test_the_first_piece_without_substitute_is_the_reason(monkeypatch, missing, reason):
    for name in ("why_no_cuda", "why_no_cupy", "why_no_onnxruntime", "why_no_pynvvideocodec"):
        monkeypatch.setattr(available, name, lambda name=name: missing.get(name))
    monkeypatch.setattr(available, "why_no_library", lambda name: None)
    assert available.why_unusable() == reason
