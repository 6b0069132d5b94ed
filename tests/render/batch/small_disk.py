"""Both passes and a batch on a disk that is full: a program that needs a mount namespace of its own.

It mounts a small tmpfs; again and again it leaves so many bytes free, tries, makes space, and tries the same once more.
What was seen goes to stdout as JSON, a line each, and what was made to a folder elsewhere, for ``test_full_disk.py``.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRACKS, VIDEO = "talk.tracks.parquet", "talk.dft.mp4"


def leave_free(folder: Path, num_bytes: int) -> Path:
    """Fill the disk up to so many bytes, with a file that is to be removed."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        disk = os.statvfs(folder)
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - num_bytes)
    return ballast


def tried(work: Callable[[], Any]) -> dict[str, Any]:
    """What came of it: ``done``, or an ``error`` with whether it was ours."""
    from dft.configs.errors import OutputError

    try:
        return {"done": work()}
    except OutputError as error:
        return {"error": str(error), "ours": True}
    except Exception as error:  # told, and the test fails for it
        return {"error": repr(error), "ours": False}


def main(video: Path, tracks: Path, disk: Path, made: Path, plan: dict[str, Any]) -> None:
    """Try each pass with each amount of free space."""
    from dft.analyze.pipeline import analyze
    from dft.configs.analysis import AnalyzeSettings
    from dft.configs.rendering import RenderSettings
    from dft.configs.settings import build
    from dft.render.batch.pipeline import batch
    from dft.render.batch.plan import BatchOptions, Values
    from dft.render.pipeline import render

    values = Values(plan["analysis"], plan["rendering"])
    analysis, rendering = build(AnalyzeSettings, values.analysis), build(RenderSettings, values.rendering)

    def passes(folder: Path) -> dict[str, Callable[[], Any]]:
        options = BatchOptions(streams=1)
        return {
            "analyze": lambda: analyze(video, folder / TRACKS, settings=analysis).resumed_frames,
            "render": lambda: render(video, tracks, folder / VIDEO, settings=rendering).reused,
            "batch": lambda: batch([video], folder / "out", values=values, options=options).as_dict(),
        }

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)], check=True)
    for name, amounts in plan["amounts"].items():
        for free in amounts:
            folder = disk / f"{name}-{free}"
            folder.mkdir()
            ballast = leave_free(disk, free)
            first = tried(passes(folder)[name])
            there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
            ballast.unlink()
            second = tried(passes(folder)[name])
            row = {"pass": name, "free": free, "first": first, "there": there, "second": second, "folder": str(folder)}
            print(json.dumps(row), flush=True)
            shutil.copytree(folder, made / folder.name)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]), json.loads(sys.argv[5]))
