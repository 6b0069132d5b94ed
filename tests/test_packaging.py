"""The wheel holds everything, and the command that it installs works."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "demo", "*.egg-info", "__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source],
        check=True, capture_output=True,
    )  # fmt: skip
    (made,) = folder.glob("*.whl")
    return made


def test_wheel_holds_every_module_and_no_test(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    packages = ("analyze", "configs", "engines", "render", "trackio")
    kinds = ("*.py", "*.cu", "static/*")
    ours = {
        f"dft/{path.relative_to(ROOT)}"
        for package in packages
        for kind in kinds
        for path in (ROOT / package).rglob(kind)
    }
    ours |= {"dft/__init__.py", "dft/__main__.py", "dft/cli.py", "dft/py.typed"}
    assert ours - held == set()
    assert {name for name in held if name.startswith("dft/")} - ours == set()
    assert any(name.endswith("licenses/NOTICE") for name in held)
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_installed_command_runs(wheel, tmp_path):
    target = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel], check=True
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}

    def run(*command):
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True).stdout

    where = run(sys.executable, "-c", "import dft; print(dft.__file__)")
    assert Path(where.strip()).is_relative_to(target)
    assert run(str(target / "bin" / "dft"), "--version").startswith("dft, version ")
    assert "| `crf` |" in run(str(target / "bin" / "dft"), "settings")
