"""What comes next, what has come of it, and when a batch is over.

Knows no processes: whatever runs the steps asks it.
"""

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ...configs.errors import DftError, VideoUnreadableError
from .faults import MAX_TRIES, Fault, fault_of, is_degraded, is_hopeless, lost
from .inputs import growing
from .plan import QUIET_SECONDS, BatchOptions, Job, Step
from .state import BatchState, step_key
from .work import Advanced, Made, Task

Status = Literal["waiting", "running", "done", "skipped", "failed"]

PATIENCE_SECONDS = 30.0  # for a file that is being written, when nothing else is left to begin


@dataclass
class Record:
    """A job's way through the batch.

    Attributes:
        job: The video.
        status: ``waiting`` for its first step or the next one; at the end, of a batch that was stopped, left undone.
        step: The one that runs, or ran last.
        advanced: How far that is.
        fps: Frames per second of it, or 0.
        made: What each step has made in this run.
        faults: What went wrong, in order.
        tries: How often each step was begun.
    """

    job: Job
    status: Status = "waiting"
    step: Step = "analyze"
    advanced: Advanced = Advanced(0, 0)  # noqa: RUF009 - immutable
    fps: float = 0.0
    made: dict[Step, Made] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    tries: dict[Step, int] = field(default_factory=dict)
    _first: tuple[float, int] | None = None

    def begin(self, step: Step) -> None:
        """A step begins, or begins again."""
        self.status, self.step, self.advanced, self.fps, self._first = "running", step, Advanced(0, 0), 0.0, None
        self.tries[step] = self.tries.get(step, 0) + 1

    def advance(self, advanced: Advanced) -> None:
        """The step is so far."""
        now = time.monotonic()
        if self._first is None and advanced.total:
            self._first = now, advanced.done  # what was finished before does not count
        self.advanced = advanced
        begun, before = self._first or (now, 0)
        self.fps = (advanced.done - before) / (now - begun) if now > begun else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Of the step that runs, if that can be told."""
        return (self.advanced.total - self.advanced.done) / self.fps if self.fps > 0 else None


class View(Protocol):
    """Shows a batch to somebody."""

    def begin(self, records: Sequence["Record"]) -> None:
        """These are all, and change as time goes by."""

    def changed(self, record: Record) -> None:
        """A step of it began or ended."""

    def tick(self) -> None:
        """Some time has gone by."""


class Schedule:
    """The jobs of a batch.

    A video's second step comes before the next video's first one: what is begun is delivered soon.

    Args:
        jobs: All of them.
        state: What is known of earlier runs.
        options: How the batch is run.
        view: Shows it.

    Attributes:
        records: A record for each job.
        stopped: Whether too many failed to go on.
    """

    def __init__(self, jobs: Sequence[Job], state: BatchState, options: BatchOptions, view: View):
        self.records = [Record(job) for job in jobs]
        self.stopped = False
        self._state, self._options, self._view = state, options, view
        self._waiting: list[tuple[tuple[bool, int, bool, int, str], int]] = []
        self._deadline: float | None = None
        for number in range(len(self.records)):
            self._queue(number)
        view.begin(self.records)

    @property
    def through(self) -> list[Record]:
        """What was brought to an end in this run, good or bad."""
        return [record for record in self.records if record.status in ("done", "failed")]

    @property
    def failed(self) -> list[Record]:
        """Of these, the bad ones."""
        return [record for record in self.records if record.status == "failed"]

    @property
    def is_degraded(self) -> bool:
        """Whether more failed than may be expected."""
        return is_degraded(len(self.failed), len(self.through))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to begin."""
        return self.stopped or not self._waiting

    def take(self) -> tuple[int, Task] | None:
        """The next step to do, with the number of its record; None if there is none now.

        Raises:
            OutputError: The state cannot be written.
        """
        while not self.is_empty:
            number = self._pop()
            if number is None:
                return None
            record = self.records[number]
            try:
                task = self._next(record)
            except DftError as error:
                self._end(record, fault_of(record.step, error))
                continue
            if task is not None:
                self._state.begin(task.job, task.step, task.key)
                record.begin(task.step)
                self._view.changed(record)
                return number, task
            self._end(record)
        return None

    def told(self, number: int, task: Task, message: object) -> None:
        """What the step has to say: ``Advanced``, ``Made``, or a ``Fault``."""
        record = self.records[number]
        if isinstance(message, Advanced):
            record.advance(message)
        elif isinstance(message, Made):
            record.made[task.step] = message
            self._state.finish(task.job, task.step, task.key, message.prints)
            self._view.changed(record)
            record.status = "waiting"
            self._queue(number)
        elif isinstance(message, Fault):
            self._end(record, message)

    def lost(self, number: int, task: Task, kind: Literal["died", "hung"], how: str) -> None:
        """The step's process is gone: it is begun again, or given up, if it had not ended before."""
        record = self.records[number]
        if record.status != "running" or record.step != task.step:
            return None
        tries = record.tries[task.step]
        fault = lost(task.step, kind, how, tries)
        if tries >= MAX_TRIES:
            return self._end(record, fault)
        record.faults.append(fault)
        record.status = "waiting"
        self._view.changed(record)
        return self._queue(number)

    def tick(self) -> None:
        """Some time has gone by."""
        self._view.tick()

    def _queue(self, number: int) -> None:
        job = self.records[number].job
        is_growing, priority, size, name = job.rank
        begun = bool(self.records[number].tries)
        heapq.heappush(self._waiting, ((is_growing and not begun, priority, not begun, size, name), number))

    def _pop(self) -> int | None:
        """The next job whose file is whole; one that is not for too long comes too, and is told at the next step."""
        if not self._waiting[0][0][0]:
            return heapq.heappop(self._waiting)[1]
        now = time.monotonic()
        self._deadline = self._deadline or now + PATIENCE_SECONDS
        for item in sorted(self._waiting):
            if now > self._deadline or not self._is_growing(self.records[item[1]].job):
                self._waiting.remove(item)
                heapq.heapify(self._waiting)
                return item[1]
        return None

    def _is_growing(self, job: Job) -> bool:
        return job.video.exists() and any(growing([job.video], time.time(), QUIET_SECONDS))

    def _next(self, record: Record) -> Task | None:
        """The job's next step, or None if nothing is left to do."""
        job = record.job
        for step in self._options.steps:
            if step in record.made:
                continue
            record.step = step
            key = step_key(job, step)
            if self._state.is_done(job, step, key):
                continue
            if not record.tries and job.growing and self._is_growing(job):
                raise VideoUnreadableError(f"{job.video} is being written", hint="run it again when the file is whole")
            if step not in record.tries:
                self._state.check_replaceable(job, step, overwrite=self._options.overwrite)
            return Task(job, step, key, self._state.stills(job))
        return None

    def _end(self, record: Record, fault: Fault | None = None) -> None:
        if fault is not None:
            record.faults.append(fault)
            record.status = "failed"
        else:
            record.status = "done" if record.made else "skipped"
        if not self._options.keep_going and is_hopeless(len(self.failed), len(self.through)):
            self.stopped = True
        self._view.changed(record)
