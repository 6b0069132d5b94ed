"""Passes that do as the file says that they are given, and what runs them."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dft.configs.errors import CorruptVideoError


def fake_analyze(video: Path, output: Path, **more: Any) -> Any:
    """Writes the video's content; before that, does what it says."""
    return _fake(video, output, b"tracks of ", **more)


def fake_render(video: Path, tracks: Path, output: Path, **more: Any) -> Any:
    return _fake(video, output, tracks.read_bytes() + b" in ", **more)


def _fake(video: Path, output: Path, head: bytes, *, settings: Any, overwrite: bool, progress: Any) -> Any:
    content = video.read_bytes()
    with video.with_suffix(".runs").open("a") as runs:
        runs.write(f"{os.getpid()} {output.name}\n")
    num_runs = len(video.with_suffix(".runs").read_text().splitlines())
    progress(1, 10)
    match content.split()[0]:
        case b"error":
            raise CorruptVideoError(f"{video} is damaged", got="noise", hint="film it again")
        case b"bug":
            raise KeyError("missing")
        case b"poison":
            os._exit(3)
        case b"hang":
            time.sleep(600)
        case b"die-once" if num_runs == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        case b"interrupt":
            os.kill(os.getppid(), signal.SIGINT)
            time.sleep(600)
    progress(10, 10)
    assert overwrite or not output.exists()
    output.write_bytes(head + content)
    return SimpleNamespace(frames=10, notes=("a note",))


@pytest.fixture
def files(tmp_path):
    """Make files of given contents, of yesterday, in a folder ``in``."""

    def make(**contents: str) -> Path:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        for name, content in contents.items():
            path = folder / f"{name}.mp4"
            path.write_text(content)
            yesterday = time.time() - 86400
            os.utime(path, (yesterday, yesterday))
        return folder

    return make


def num_runs(folder: Path) -> dict[str, int]:
    """How often a pass was begun, by video."""
    return {path.stem: len(path.read_text().splitlines()) for path in folder.glob("*.runs")}
