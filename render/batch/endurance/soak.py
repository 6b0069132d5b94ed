"""Whether long runs stay as they are: both passes over the same videos, again and again, in a batch's own workers."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....analyze.pipeline import analyze
from ....configs.console import count
from ....configs.errors import EngineError, SettingError
from ....configs.hardware import num_cores
from ....engines.processes import Died, Done, Failed, Told, WorkerProcess
from ...pipeline import render
from ..faults import Fault
from ..inputs import find_inputs
from ..plan import STEPS, Job, Step, Values, make_jobs
from ..work import Passes, Task, Workplace, working
from .vitals import LEAST_SAMPLES, Trend, Vitals

PROFILE = "dft_soak 1.0"
PASSES = Passes(analyze, render)

Progress = Callable[[int, int], None]
Worker = WorkerProcess[Workplace, Task]


@dataclass(frozen=True)
class SoakReport:
    """What has come of it.

    Attributes:
        videos: The files.
        passes: How often one of them was analyzed and rendered, or failed.
        failed: How often it failed.
        streams: Workers.
        seconds: Wall-clock time.
        processes: This one and each worker.
        samples: By process: rows of videos seen to, bytes, descriptors and threads, with those of the warm-up.
    """

    videos: tuple[Path, ...]
    passes: int
    failed: int
    streams: int
    seconds: float
    processes: tuple[Trend, ...]
    samples: dict[str, list[list[int]]] = field(repr=False)

    @property
    def steady(self) -> bool:
        """Whether nothing grows."""
        return all(process.steady for process in self.processes)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        document = asdict(self) | {"videos": [str(video) for video in self.videos]}
        return {"profile": PROFILE, "steady": self.steady, **document}

    def as_text(self) -> str:
        """A line for the run, and one for each process."""
        head = (
            f"{count(self.passes, 'video')} analyzed and rendered, {self.failed} of them failed, "
            f"{self.streams} at once, in {self.seconds:.0f} s"
        )
        return "\n".join([head, *(process.as_text() for process in self.processes)])


def soak(
    given: Sequence[Path],
    passes: int,
    *,
    values: Values | None = None,
    streams: int = 1,
    progress: Progress | None = None,
    work: Passes = PASSES,
) -> SoakReport:
    """Analyze and render videos again and again, and see whether anything grows. What is made is removed at once.

    Args:
        given: Files, folders and manifests, as of a batch.
        passes: How many videos, in all.
        values: Settings of both passes.
        streams: Workers.
        progress: Called with the videos done and the videos in all.
        work: What is done with a video.

    Raises:
        DftError: The videos or settings are not right, or there are too few passes to tell.
        EngineError: A worker died, or all videos failed.
        BackendUnavailableError: This system does not tell how a process is.
    """
    values, least = values or Values({}, {}), 2 * LEAST_SAMPLES * streams
    if passes < least:
        raise SettingError("too few passes to tell whether anything grows", got=passes, expected=f"at least {least}")
    Vitals.of(os.getpid())  # before any work
    with TemporaryDirectory(prefix="dft-soak-") as scratch:
        entries = find_inputs([Path(path) for path in given], Path(scratch)).entries
        threads = max(1, num_cores() // streams)
        place = Workplace(work, Path(scratch))
        begun = time.perf_counter()
        with ExitStack() as opened:
            lanes = []
            for number in range(streams):
                folder = Path(scratch) / str(number)
                jobs = make_jobs(entries, folder, values, threads if streams > 1 else None)
                worker = opened.enter_context(WorkerProcess(number, working, place))
                lanes.append(_Lane(worker, jobs, folder, passes))
            caller = Samples(os.getpid(), passes)
            _go_round(lanes, caller, passes, progress)
        return _report(lanes, caller, time.perf_counter() - begun)


class Samples:
    """Vitals of a process, one row for each time that it was looked at.

    Args:
        pid: Of the process.
        most: Rows, at most.
    """

    def __init__(self, pid: int, most: int):
        self._pid, self._num = pid, 0
        self._rows = np.full((most, 4), -1, np.int64)  # written now: taking samples takes no memory

    def take(self, videos: int) -> None:
        """Look at it, after so many videos."""
        vitals = Vitals.of(self._pid)
        self._rows[self._num] = videos, vitals.memory, vitals.descriptors, vitals.threads
        self._num += 1

    @property
    def rows(self) -> NDArray[np.int64]:
        """``(N, 4)`` int64, see :meth:`dft.render.batch.endurance.vitals.Trend.of`."""
        return self._rows[: self._num]


class _Lane:
    """A worker and its videos, one after another.

    Args:
        worker: It.
        jobs: The videos; their results lie in a folder of its own.
        folder: That.
        most: How often it does one of them, at most.

    Attributes:
        worker: It.
        samples: Of the worker.
        videos: The files.
        num_videos: How many it has seen to.
        num_failed: How many of them failed.
        fault: Of the last one that did.
    """

    def __init__(self, worker: Worker, jobs: Sequence[Job], folder: Path, most: int):
        self.worker, self.samples = worker, Samples(worker.pid, most)
        self.num_videos = self.num_failed = 0
        self.fault: Fault | None = None
        self.videos = tuple(job.video for job in jobs)
        self._jobs, self._folder = jobs, folder
        self._step: Step = STEPS[0]
        self._failed = False

    def begin(self) -> None:
        """Begin the next video."""
        self._failed = False
        self._begin(STEPS[0])

    def hear(self) -> bool:
        """Hear the worker, which has something to say; whether a video is over.

        Raises:
            EngineError: It died.
        """
        message = self.worker.receive()
        if isinstance(message, Died):
            raise EngineError("a worker died", got=message.how, hint="dft batch says more about each video")
        if isinstance(message, Failed):
            raise message.error
        if isinstance(message, Told) and isinstance(message.message, Fault):
            self.fault, self._failed = message.message, True
        if not isinstance(message, Done):
            return False
        if not self._failed and self._step != STEPS[-1]:
            self._begin(STEPS[-1])
            return False
        shutil.rmtree(self._folder, ignore_errors=True)
        self.num_videos += 1
        self.num_failed += self._failed
        self.samples.take(self.num_videos)
        return True

    def _begin(self, step: Step) -> None:
        self._step = step
        job = self._jobs[self.num_videos % len(self._jobs)]
        self.worker.begin(self.num_videos, Task(job, step, "", self._folder / "stills"))


def _go_round(lanes: Sequence[_Lane], caller: Samples, passes: int, progress: Progress | None) -> None:
    """Have the lanes do ``passes`` videos together."""
    at_work, begun = list(lanes), len(lanes)
    for lane in lanes:
        lane.begin()
    while at_work:
        ready = wait([lane.worker.connection for lane in at_work])
        for lane in [lane for lane in at_work if lane.worker.connection in ready]:
            if not lane.hear():
                continue
            done = sum(one.num_videos for one in lanes)
            caller.take(done)
            if progress is not None:
                progress(done, passes)
            if begun < passes:
                lane.begin()
                begun += 1
            else:
                at_work.remove(lane)
                lane.worker.dismiss()


def _report(lanes: Sequence[_Lane], caller: Samples, seconds: float) -> SoakReport:
    faults = [lane.fault for lane in lanes if lane.fault is not None]
    passes, failed = sum(lane.num_videos for lane in lanes), sum(lane.num_failed for lane in lanes)
    if failed == passes:
        raise EngineError("no video could be worked on", got=faults[0].cause)
    samples = {"caller": caller.rows, **{f"worker {lane.worker.number}": lane.samples.rows for lane in lanes}}
    return SoakReport(
        lanes[0].videos, passes, failed, len(lanes), round(seconds, 1),
        tuple(Trend.of(name, rows) for name, rows in samples.items()),
        {name: rows.tolist() for name, rows in samples.items()},
    )  # fmt: skip
