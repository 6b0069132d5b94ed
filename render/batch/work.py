"""One step of one video, as a worker's process does it."""

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...configs.errors import DeviceLostError, DftError, EngineError, TrackFileNotFoundError
from ...engines.cuda.shared import keeping_open
from ...engines.processes import Tell, Work, ask_aside
from .faults import Fault, fault_of, recovered
from .plan import ANALYZE_FIRST, Job, Step, make_folder
from .pulse import beating
from .reporting.sheet import write_stills
from .state import fingerprints, worked_in

TELL_SECONDS = 0.2
ANSWER_SECONDS = 60.0  # for a process that is to see whether the GPU is there


@dataclass(frozen=True)
class Task:
    """A step of a job.

    Attributes:
        job: The video.
        step: What is to be done.
        key: See :func:`dft.render.batch.state.step_key`.
        stills: Folder for the stills of a rendering.
    """

    job: Job
    step: Step
    key: str
    stills: Path


@dataclass(frozen=True)
class Passes:
    """What does the work: functions at the top of a module, called as ``dft.analyze`` and ``dft.render`` are.

    Attributes:
        analyze: Pass one.
        render: Pass two.
    """

    analyze: Callable[..., Any]
    render: Callable[..., Any]


def never_lost() -> None:
    """Of the CPU, which always answers."""


@dataclass(frozen=True)
class Workplace:
    """What every worker needs to know.

    Attributes:
        passes: What does the work.
        folder: The batch's own folder.
        why_lost: Asked in the worker's process: why its GPU does not answer, or None.
    """

    passes: Passes
    folder: Path
    why_lost: Callable[[], str | None] = never_lost


@dataclass(frozen=True)
class Advanced:
    """How far a step is.

    Attributes:
        done: Frames.
        total: Of so many.
    """

    done: int
    total: int


@dataclass(frozen=True)
class Alive:
    """The step goes on, though no frame is done."""


@dataclass(frozen=True)
class Made:
    """What a step has made.

    Attributes:
        frames: Of the video.
        seconds: Wall-clock time that it took.
        prints: Fingerprints of the results.
        notes: What a reader should know.
        recovered: What went wrong, and was answered.
        resumed: Frames that were taken from an earlier try.
    """

    frames: int
    seconds: float
    prints: tuple[str, ...]
    notes: tuple[str, ...]
    recovered: tuple[Fault, ...] = ()
    resumed: int = 0


@dataclass(frozen=True)
class Worn:
    """The process is to end: a GPU that has failed in it may do so with every video that follows."""


@contextmanager
def working(place: Workplace) -> Iterator[Work[Task]]:
    """Do tasks, one after another, in a process of its own; each ends by telling ``Made`` or a ``Fault``.

    Raises:
        DeviceLostError: The GPU does not answer.
        Exception: What a task raises, if CUDA answers other processes, but this one no more.
    """
    import cv2

    _check_device(place.why_lost())

    # OpenCV keeps 900 bytes for each thread that has it share out work; the stages of a pass fill the cores anyway
    cv2.setNumThreads(1)
    named = _Named()
    for handler in logging.getLogger(__name__.partition(".")[0]).handlers:
        handler.addFilter(named)

    def work(task: Task, tell: Tell) -> None:
        named.name = task.job.name
        tell(Advanced(0, 0))
        try:
            with beating(lambda: tell(Alive())):
                made = _do(task, place.passes, _Throttled(tell))
            tell(made)
        except Exception as error:  # whatever a pass raises is this video's alone
            if place.why_lost() is not None:
                _check_device(_why_lost_to_all(place))
                raise  # CUDA does not answer this process any more: the next try is another one's
            tell(fault_of(task.step, error))
            if isinstance(error, EngineError) or not isinstance(error, DftError):
                tell(Worn())
        gc.collect()  # cycles keep what a video needed, and the process would grow until they are found

    with worked_in(place.folder), keeping_open():
        yield work


def _check_device(reason: str | None) -> None:
    if reason is not None:
        raise DeviceLostError("the GPU does not answer", got=reason)


def _why_lost_to_all(place: Workplace) -> str | None:
    """The same, as a new process finds it: one in which a kernel went wrong cannot tell."""
    try:
        return ask_aside(place.why_lost, ANSWER_SECONDS)
    except EngineError as error:
        return error.reason


def _do(task: Task, passes: Passes, progress: Callable[[int, int], None]) -> Made:
    job, begun = task.job, time.perf_counter()
    make_folder(job.tracks.parent)
    if task.step == "analyze":
        report = passes.analyze(job.video, job.tracks, settings=job.analysis, overwrite=True, progress=progress)
    else:
        if not job.tracks.exists():
            raise TrackFileNotFoundError(f"there is no track file {job.tracks}", hint=ANALYZE_FIRST)
        report = passes.render(
            job.video, job.tracks, job.output, settings=job.rendering, overwrite=True, progress=progress
        )
    told = [recovery.cause for recovery in report.recovered]
    notes = [note for note in report.notes if not any(cause in note for cause in told)]
    if task.step == "render":
        try:
            write_stills(job.results("render"), task.stills)
        except (DftError, OSError) as error:
            notes.append(f"no stills: {error}")
    prints = tuple(fingerprints(job.results(task.step)))
    faults = recovered(task.step, report.recovered)
    resumed = report.resumed_frames if task.step == "analyze" else report.reused
    return Made(report.frames, time.perf_counter() - begun, prints, tuple(notes), faults, resumed)


class _Throttled:
    """Tells how far a step is, a few times a second."""

    def __init__(self, tell: Tell):
        self._tell, self._told = tell, 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told > TELL_SECONDS or done == total:
            self._told = now
            self._tell(Advanced(done, total))


class _Named(logging.Filter):
    """Has each line of the log say which video it is about."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass."""
        record.msg, record.args = f"{self.name}: {record.getMessage()}", ()
        return True
