"""``import dft`` is cheap, and its passes are functions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dft

HEAVY = ("av", "cv2", "onnxruntime", "onnx", "numpy", "scipy", "pyarrow", "matplotlib", "click", "rich")


def run(script: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(dft.__path__[0]).parent)}
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_importing_dft_loads_nothing_heavy():
    assert run(f"import sys, dft; print([m for m in {HEAVY} if m in sys.modules])") == "[]\n"


def test_touching_a_pass_loads_nothing_heavy():
    script = f"import sys, dft; dft.analyze; dft.render; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(script) == "[]\n"


def test_the_command_line_loads_no_codec_and_no_runtime():
    script = f"import sys, dft.cli; print([m for m in {HEAVY[:8]} if m in sys.modules])"
    assert run(script) == "[]\n"


@pytest.mark.parametrize("name", ["analyze", "render"])
def test_a_pass_is_a_package_and_a_function(name):
    package = getattr(dft, name)
    assert callable(package) and package.__path__
    with pytest.raises(dft.DftError, match="there is no"):
        package("/nonexistent/in.mp4", *(["/nonexistent/t.parquet"] if name == "render" else []))


def test_analyze_is_called_with_its_own_arguments(talk, tmp_path):
    report = dft.analyze(talk.video, output=tmp_path / "t.parquet")
    assert report.output == tmp_path / "t.parquet" and report.persons == ("A", "B")


def test_what_is_exported():
    assert set(dft.__all__) >= {"DftError", "analyze", "render", "__version__"}
    assert all(getattr(dft, name) is not None for name in dft.__all__)
    with pytest.raises(AttributeError, match="no attribute 'anlyze'"):
        _ = dft.anlyze
