"""Running ``dft batch`` as a process that can be disturbed, and telling what it has made and what it keeps."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from dft.render.batch.journal import Journal
from dft.render.batch.state import FOLDER, NAME, PROFILE

SRC = str(Path(sys.modules["dft"].__path__[0]).parent)
SHORT_PARTS = ["--chunk-seconds", "0.5", "--segment-seconds", "0.5"]
SMALL = ["--preset", "ultrafast", "--size", "160x90", "--streams", "1", *SHORT_PARTS]


@dataclass(frozen=True)
class Ended:
    """A run that came to its end.

    Attributes:
        status: Exit status.
        report: What it printed with ``--json``.
        stderr: What it said besides.
    """

    status: int
    report: dict[str, Any]
    stderr: str

    def stages(self, name: str) -> dict[str, dict[str, float]]:
        """What was done of one video."""
        return next(video["stages"] for video in self.report["videos"] if video["name"] == name)


@contextmanager
def begun(folder: Path, output: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A batch that runs, in a process group of its own."""
    given = [sys.executable, "-m", "dft", "batch", str(folder), "-o", str(output), *SMALL, "--json", *words]
    with subprocess.Popen(
        given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": SRC},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def run(folder: Path, output: Path, *words: str) -> Ended:
    """A batch that nobody disturbs, to its end."""
    with begun(folder, output, *words) as process:
        out, err = process.communicate(timeout=300)
    return Ended(process.returncode, json.loads(out) if out.startswith("{") else {}, err)


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """Its worker processes."""
    children = [
        Path(f"/proc/{process.pid}/task/{task.name}/children") for task in Path(f"/proc/{process.pid}/task").iterdir()
    ]
    return [int(pid) for path in children for pid in path.read_text().split()]


def kill_all(process: "subprocess.Popen[str]") -> None:
    """Every process at the same moment, as when the machine goes down; and wait until they are gone."""
    workers = workers_of(process)
    os.kill(process.pid, signal.SIGSTOP)  # so that it begins none meanwhile
    for pid in {*workers, *workers_of(process)}:
        os.kill(pid, signal.SIGKILL)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for pid in workers:
        while not _is_gone(pid):
            time.sleep(0.005)


def _is_gone(pid: int) -> bool:
    """Whether none of its threads is left: one may still end a call to the system when the first is a zombie."""
    try:
        num_threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return True
    return num_threads <= 1 and "State:\tZ" in _status(pid)


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "State:\tZ"


def unfinished_step(output: Path) -> str:
    """The step that was begun and is not done, as the batch has noted it; or ``none``."""
    is_done = {(c["name"], c["step"]): c["done"] for c in Journal(output / FOLDER / NAME, PROFILE).read() or ()}
    return next((step for (_, step), done in is_done.items() if not done), "none")


def kept(output: Path, name: str) -> dict[str, int]:
    """Frames of a video in finished chunks, and in finished segments, that lie on the disk now; and what is made."""
    chunks = _found(output / f".{name}.tracks.parquet.chunks", "chunk-*.npz")
    notes = _found(output / f".{name}.dft.mp4.segments", "[!.]*.json")
    return {
        "analyze": sum(_if_there(path, lambda path: len(np.load(path)["frame_index"])) for path in chunks),
        "render": sum(_if_there(path, lambda path: _length(json.loads(path.read_text()))) for path in notes),
        "analyze made": (output / f"{name}.tracks.parquet").exists(),
        "render made": (output / f"{name}.dft.mp4").exists(),
    }


def _found(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except FileNotFoundError:  # it goes while it is looked through
        return []


def _length(note: dict[str, int]) -> int:
    return note["end"] - note["first"]


def _if_there(path: Path, count: Callable[[Path], int]) -> int:
    try:
        return count(path)
    except FileNotFoundError:
        return 0


def pictures(path: Path) -> str:
    """Digest of every decoded picture with its time, and of the sound's packets."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(f"{frame.pts}".encode() + frame.to_ndarray().tobytes())
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            digest.update(bytes(packet))
    return digest.hexdigest()


def results(output: Path, *names: str) -> dict[str, str]:
    """Digests of the tracks' bytes and of the renderings' pictures."""
    made = {}
    for name in names:
        made[f"{name}, tracks"] = hashlib.sha256((output / f"{name}.tracks.parquet").read_bytes()).hexdigest()
        made[f"{name}, pictures"] = pictures(output / f"{name}.dft.mp4")
    return made


def hidden_files(output: Path) -> list[str]:
    """What lies in the output folder besides results: the batch's own folder alone, if all is well."""
    return sorted(path.name for path in output.rglob(".*"))
