"""What a batch knows of earlier runs into the same folder: what was made, of what, and by which settings."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...configs.errors import OutputError, OutputExistsError, TrackFileError, VideoError
from ...configs.settings import as_values
from ...configs.version import VERSION
from ...trackio.atomic import translate_os_error
from ...trackio.edits.log import log_path
from ...trackio.fingerprint import fingerprint
from .journal import Journal, unreadable
from .plan import STEPS, Job, Step

PROFILE = "dft_batch_state 2.0"
FOLDER, NAME = ".dft-batch", "state.jsonl"
OLD_PROFILE, OLD_NAME = "dft_batch_state 1.0", "state.json"  # one JSON document, written anew with each change
LINES_PER_VIDEO = 8  # twice what a video takes that goes through both steps at the first attempt
# settings that decide where the work runs, not what comes of it
WHERE = ("device", "threads", "workers", "encoder_busy")
FILES = ("layout", "detector", "embedder")  # settings that may name a file, whose content counts
PATIENCE_SECONDS, POLL_SECONDS = 30.0, 0.05  # for workers of a batch that was killed: they end by themselves


def step_key(job: Job, step: Step) -> str:
    """Digest of everything that decides what a step makes: the input's content, the settings, dft's version.

    Of a rendering, its tracks with their edits count too; where there are none yet, that counts as well.

    Raises:
        VideoError: The input cannot be read.
        TrackFileError: Its tracks cannot.
    """
    settings = as_values(job.analysis if step == "analyze" else job.asked or job.rendering)
    values: dict[str, Any] = {name: value for name, value in settings.items() if name not in WHERE}
    for name in FILES:
        if isinstance(values.get(name), str) and Path(values[name]).is_file():
            values[name] = fingerprint(Path(values[name]))
    digest = hashlib.sha256(json.dumps([VERSION, step, fingerprint(job.video), values], sort_keys=True).encode())
    if step == "render":
        for path in (job.tracks, log_path(job.tracks)):
            digest.update(hashlib.sha256(_content(path)).digest())
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    """Of tracks or their edits, where there are any."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise TrackFileError(f"cannot read {path}", got=error.strerror, hint="check its rights") from error


def fingerprints(paths: Sequence[Path]) -> list[str]:
    """Of results that are there."""
    return [fingerprint(path) for path in paths]


class BatchState:
    """The note on what was made, ``OUT/.dft-batch/state.jsonl``: a line for each change, on the disk once it is noted.

    Where there is none, a ``state.json`` of dft's first batches counts.

    Args:
        output: The output folder.

    Attributes:
        folder: Where the batch keeps what is its own.

    Raises:
        OutputError: The note cannot be read.
    """

    def __init__(self, output: Path):
        self.folder = output / FOLDER
        self._journal = Journal(self.folder / NAME, PROFILE)
        self._videos: dict[str, dict[str, Any]] = {}
        changes = self._journal.read()
        self._is_carried_over = changes is None and (self.folder / OLD_NAME).exists()
        if self._is_carried_over:
            self._videos = _read_old(self.folder / OLD_NAME)
        for change in changes or ():
            self._apply(change)

    def compact(self) -> None:
        """Write the note anew if it has many more lines than videos, or is of an older kind; under the batch's lock.

        Raises:
            OutputError: It cannot be written.
        """
        if self._is_carried_over or self._journal.num_changes > LINES_PER_VIDEO * len(self._videos):
            self._journal.write(self._changes())
        with suppress(OSError):  # where it stays, it is not looked at any more
            (self.folder / OLD_NAME).unlink(missing_ok=True)

    def is_done(self, job: Job, step: Step, key: str) -> bool:
        """Whether a step was finished just as it would be now. Tracks count even if somebody has changed them since."""
        noted = self._noted(job, step)
        if noted.get("key") != key or not all(path.exists() for path in job.results(step)):
            return False
        if not noted["done"]:  # tracks appear whole: its process has made them after the batch was gone
            return step == "analyze" and noted.get("before") != fingerprints(job.results(step))
        return step == "analyze" or noted["made"] == fingerprints(job.results(step))

    def check_replaceable(self, job: Job, step: Step, *, overwrite: bool) -> None:
        """Make sure that a step, if it is done now, replaces only what this batch has made, and nobody changed.

        Args:
            job: The video.
            step: Of it.
            overwrite: Whether it may replace anything but edits.

        Raises:
            OutputExistsError: It would replace something else.
            OutputError: It would replace tracks that have edits.
        """
        if step == "analyze" and job.tracks.exists() and log_path(job.tracks).exists():
            raise OutputError(
                f"{job.tracks} has edits, and would be made anew", got="another input, setting or version of dft",
                hint="take another output folder, or remove the tracks and their edits",
            )  # fmt: skip
        there = [path for path in job.results(step) if path.exists()]
        noted, video = self._noted(job, step), self._videos.get(job.name, {}).get("video")
        if overwrite or not there:
            return
        if noted and video != str(job.video.resolve()):
            raise OutputExistsError(
                f"{there[0]} was made from another video", got=job.video, expected=video,
                hint="choose another folder, or allow replacing it with --overwrite",
            )  # fmt: skip
        if noted and not noted["done"]:
            return
        if noted.get("made") != fingerprints(there):
            raise OutputExistsError(
                f"{there[0]} exists, and is not as this batch has made it",
                hint="remove it, allow replacing it with --overwrite, or choose another folder",
            )

    def begin(self, job: Job, step: Step, key: str) -> None:
        """Note that a step begins: whatever comes to lie under its results' names from now on is its own."""
        before: list[str] = []
        with suppress(VideoError):  # the step tells what is wrong with a name that it cannot take
            before = fingerprints([path for path in job.results(step) if path.exists()])
        self._note(job, step, {"key": key, "done": False, "made": [], "before": before})

    def finish(self, job: Job, step: Step, key: str, made: Sequence[str], notes: Sequence[str] = ()) -> None:
        """Note that a step is finished, has made results of these fingerprints, and what a reader should know."""
        self._note(job, step, {"key": key, "done": True, "made": list(made), "notes": list(notes)})

    def notes(self, job: Job, step: Step) -> tuple[str, ...]:
        """What a reader should know of a step that is done."""
        return tuple(self._noted(job, step).get("notes", ()))

    def stills(self, job: Job) -> Path:
        """The folder of a job's stills."""
        return self.folder / "stills" / hashlib.sha256(job.name.encode()).hexdigest()[:16]

    def _noted(self, job: Job, step: Step) -> Mapping[str, Any]:
        noted: Mapping[str, Any] = self._videos.get(job.name, {}).get(step, {})
        return noted

    def _note(self, job: Job, step: Step, values: dict[str, Any]) -> None:
        change = {"name": job.name, "video": str(job.video.resolve()), "step": step, **values}
        if not self._journal.append(change):
            self._journal.write([*self._changes(), change])
        self._apply(change)

    def _apply(self, change: dict[str, Any]) -> None:
        values = dict(change)
        name, video, step = values.pop("name"), values.pop("video"), values.pop("step")
        self._videos.setdefault(name, {}).update({"video": video, step: values})

    def _changes(self) -> list[dict[str, Any]]:
        """As few changes as come to the same."""
        return [
            {"name": name, "video": noted["video"], "step": step, **noted[step]}
            for name, noted in self._videos.items()
            for step in STEPS
            if step in noted
        ]


def _read_old(path: Path) -> dict[str, dict[str, Any]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["profile"] != OLD_PROFILE:
            raise ValueError(document["profile"])
        videos: dict[str, dict[str, Any]] = dict(document["videos"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(path, repr(error), OLD_PROFILE) from error
    return videos


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have a batch's own folder to oneself, made if it is not there.

    Raises:
        OutputError: Another batch works there, or the folder cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
        ours, theirs = _opened(folder, "batch.lock"), _opened(folder, "workers.lock")
    except OSError as error:
        raise translate_os_error(error, folder) from error
    try:
        if not _lock(ours, 0.0):
            raise OutputError(
                f"another dft batch works in {folder.parent}", hint="wait for it, or choose another folder"
            )
        if not _lock(theirs, PATIENCE_SECONDS):
            raise OutputError(f"processes of an earlier dft batch still work in {folder.parent}", hint="end them")
        fcntl.flock(theirs, fcntl.LOCK_UN)
        yield
    finally:
        os.close(ours)
        os.close(theirs)


@contextmanager
def worked_in(folder: Path) -> Iterator[None]:
    """Keep the next batch waiting while a process works."""
    descriptor = _opened(folder, "workers.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _opened(folder: Path, name: str) -> int:
    return os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _lock(descriptor: int, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
