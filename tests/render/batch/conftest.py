"""Passes that do as the file says that they are given, and what runs them."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dft.configs.errors import CorruptVideoError


def fake_analyze(video: Path, output: Path, **more: Any) -> Any:
    """Writes the video's content; before that, does what it says."""
    return _fake(video, output, b"tracks of ", **more)


def fake_render(video: Path, tracks: Path, output: Path, **more: Any) -> Any:
    return _fake(video, output, tracks.read_bytes() + b" in ", **more)


def _fake(
    video: Path, output: Path, head: bytes, *, settings: Any, overwrite: bool, progress: Any, helpers: Any = None
) -> Any:
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
        case b"scan" if num_runs == 1:
            for _ in range(12):
                time.sleep(0.5)
                with Path("/dev/zero").open("rb") as file:
                    file.read(2**21)
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
    if content.startswith(b"die-late") and num_runs == 1:
        os._exit(3)
    return SimpleNamespace(frames=10, notes=("a note",), recovered=(), resumed_frames=0, reused=0)


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


@pytest.fixture(scope="session")
def two_people(media, tmp_path_factory):
    """Make small videos of two people, of so many frames, of yesterday, in a folder; a keyframe every half a second."""
    from dft.engines.cpu.draw import to_bgr
    from dft.render.portraits import eileen_collins, grace_hopper
    from dft.render.scene import Key, Scene, SceneShot, draw

    def make(**lengths: int) -> Path:
        folder = tmp_path_factory.mktemp("people") / "in"
        folder.mkdir()
        for number, (name, length) in enumerate(lengths.items()):
            left, right = Key(0, 0.27, 0.44, 0.42), Key(0, 0.72, 0.42, 0.4)
            shot = SceneShot(length / 25, {"A": (left,), "B": (right, Key(3, 0.68, 0.44, 0.42))}, background=number)
            scene = Scene({"A": grace_hopper, "B": eileen_collins}, (shot,), width=240, height=136)
            pictures = [np.ascontiguousarray(to_bgr(image)[..., ::-1]) for image, _ in draw(scene)]
            recipe = media.recipe(num_frames=length, size=(240, 136), options=media.x264(13, 2), audio=True)
            path = media.write(folder / f"{name}.mp4", recipe, pictures.__getitem__)
            os.utime(path, (time.time() - 86400,) * 2)
        return folder

    return make
