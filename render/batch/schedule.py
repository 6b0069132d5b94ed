"""What comes next, what has come of it, and when a batch is over.

Knows no processes: whatever runs the steps asks it.
"""

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from ...configs.errors import DftError, VideoUnreadableError
from ...trackio.atomic import translate_os_error
from .faults import Fault, fault_of, is_degraded, is_given_up, is_hopeless, lost
from .files import growing
from .plan import QUIET_SECONDS, BatchOptions, Job, Step
from .stalls import NoAnswerError, in_time
from .state import BatchState, step_key
from .work import Advanced, Made, Task

Status = Literal["waiting", "running", "done", "skipped", "failed"]
Place = Literal["node", "gpu"]

PATIENCE_SECONDS = 30.0  # for files that are being written, once nothing else is left to do
SILENT_SECONDS = 1.0  # for a video beside one that did not answer
MAX_PASSED = 16  # videos that come before the first one, since their pictures are of the size that is wanted


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
        notes: By step that is done, in this run or before: what a reader should know.
        faults: What went wrong, in order.
        tries: How often each step was begun.
        nodes_lost: How often its machine was lost.
        gpus_lost: How often its GPU was, which is not counted as a try.
    """

    job: Job
    status: Status = "waiting"
    step: Step = "analyze"
    advanced: Advanced = Advanced(0, 0)  # noqa: RUF009 - immutable
    fps: float = 0.0
    made: dict[Step, Made] = field(default_factory=dict)
    notes: dict[Step, tuple[str, ...]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    tries: dict[Step, int] = field(default_factory=dict)
    nodes_lost: dict[Step, int] = field(default_factory=dict)
    gpus_lost: dict[Step, int] = field(default_factory=dict)
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
        max_encoding: Renderings at once of those that wait for a GPU's encoder; None for any number.

    Attributes:
        records: A record for each job.
        stopped: Whether too many failed to go on.
    """

    def __init__(
        self, jobs: Sequence[Job], state: BatchState, options: BatchOptions, view: View, max_encoding: int | None = None
    ) -> None:
        self.records = [Record(job) for job in jobs]
        self.stopped = False
        self._max_encoding = max_encoding
        self._encoding: set[int] = set()  # those at work that may need one of the GPU's encoders
        self._parked: list[int] = []  # those for whom there is none now
        self._state, self._options, self._view = state, options, view
        self._waiting: list[tuple[tuple[bool, int, bool, int, str], int]] = []
        self._deadline: float | None = None
        self._silent: set[Path] = set()  # folders in which a video did not answer
        self._passed = 0  # how often another one came before the first one that waits
        for number in range(len(self.records)):
            self._queue(number)
        view.begin(self.records)

    @property
    def through(self) -> list[Record]:
        """What was brought to an end, good or bad, in this run or before."""
        return [record for record in self.records if record.status in ("done", "skipped", "failed")]

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
        return not self.num_waiting

    @property
    def num_waiting(self) -> int:
        """How many are left to begin."""
        return 0 if self.stopped else len(self._waiting) + len(self._parked)

    def take(self, like: tuple[int, int] | None = None) -> tuple[int, Task] | None:
        """The next step to do, with the number of its record; None if there is none now.

        Args:
            like: Where a video with such pictures comes next to the first one, it comes first, up to ``MAX_PASSED``
                times in a row: on a GPU, networks are opened for each size of pictures.

        Raises:
            OutputError: The state cannot be written.
        """
        if self._parked and not self._all_encoders_taken:
            first = min(self._parked, key=lambda number: self.records[number].job.rank)
            self._parked.remove(first)
            self._queue(first)
        while self._waiting and not self.stopped:
            number = self._pop(like)
            if number is None:
                return None
            record = self.records[number]
            try:
                task = self._next(record)
            except NoAnswerError as error:
                self._silent.add(record.job.video.parent)
                self._end(record, fault_of(record.step, error))
                return None  # the others have not been heard meanwhile
            except DftError as error:
                self._end(record, fault_of(record.step, error))
                continue
            except OSError as error:  # of a folder that cannot be looked into
                self._end(record, fault_of(record.step, translate_os_error(error, record.job.output)))
                continue
            needs_encoder = task is not None and task.step == "render" and record.job.waits_for_encoder
            if needs_encoder and self._all_encoders_taken:
                self._parked.append(number)
            elif task is not None:
                self._encoding |= {number} if needs_encoder else set()
                self._state.begin(task.job, task.step, task.key)
                record.begin(task.step)
                self._view.changed(record)
                return number, task
            else:
                self._end(record)
        return None

    @property
    def _all_encoders_taken(self) -> bool:
        return self._max_encoding is not None and len(self._encoding) >= self._max_encoding

    def told(self, number: int, task: Task, message: object) -> None:
        """What the step has to say: ``Advanced``, ``Made``, or a ``Fault``."""
        record = self.records[number]
        if isinstance(message, Advanced):
            record.advance(message)
        elif isinstance(message, Made):
            self._encoding.discard(number)
            record.made[task.step] = message
            record.faults += message.recovered
            record.notes[task.step] = (*message.notes, *(task.job.notes if task.step == "render" else ()))
            self._state.finish(task.job, task.step, task.key, message.prints, record.notes[task.step])
            self._view.changed(record)
            record.status = "waiting"
            self._queue(number)
        elif isinstance(message, Fault):
            self._encoding.discard(number)
            self._end(record, message)

    def lost(
        self, number: int, task: Task, kind: Literal["died", "hung"], how: str, *, with_its: Place | None = None
    ) -> None:
        """The step's process is gone, or its machine or GPU: it is begun again, or given up, if it had not ended."""
        record = self.records[number]
        if record.status != "running" or record.step != task.step:
            return None
        self._encoding.discard(number)
        record.nodes_lost[task.step] = nodes_lost = record.nodes_lost.get(task.step, 0) + (with_its == "node")
        record.gpus_lost[task.step] = gpus_lost = record.gpus_lost.get(task.step, 0) + (with_its == "gpu")
        tries = record.tries[task.step] - gpus_lost
        fault = lost(task.step, kind, how, tries, nodes_lost)
        if is_given_up(tries, nodes_lost):
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

    def _pop(self, like: tuple[int, int] | None) -> int | None:
        """The next job whose file is whole; one that is not for too long comes too, and is told at the next step."""
        self._settle()
        if not self._waiting[0][0][0]:
            return self._alike(like)
        if any(record.status == "running" for record in self.records):
            self._deadline = None
            return None
        now = time.monotonic()
        self._deadline = self._deadline or now + PATIENCE_SECONDS
        return heapq.heappop(self._waiting)[1] if now > self._deadline else None

    def _settle(self) -> None:
        """Files that are not being written any more take their places among the others."""
        for item in [item for item in self._waiting if item[0][0]]:
            if not self._is_growing(self.records[item[1]].job):
                self._waiting.remove(item)
                self._waiting.append(((False, *item[0][1:]), item[1]))
                heapq.heapify(self._waiting)
                self._deadline = None

    def _alike(self, like: tuple[int, int] | None) -> int:
        """The first job, or the first of its priority with such pictures."""
        chosen = first = self._waiting[0]
        if like is not None and self._passed < MAX_PASSED:
            peers = (item for item in self._waiting if item[0][:3] == first[0][:3])
            chosen = min((item for item in peers if self.records[item[1]].job.picture == like), default=first)
        if chosen is first:
            self._passed = 0
            return heapq.heappop(self._waiting)[1]
        self._passed += 1
        self._waiting.remove(chosen)
        heapq.heapify(self._waiting)
        return chosen[1]

    def _is_growing(self, job: Job) -> bool:
        return job.video.exists() and any(growing([job.video], time.time(), QUIET_SECONDS))

    def _next(self, record: Record) -> Task | None:
        """The job's next step, or None if nothing is left to do."""
        job = record.job
        for step in self._options.steps:
            if step in record.made:
                continue
            record.step = step
            seconds = SILENT_SECONDS if job.video.parent in self._silent else None
            key = in_time(partial(step_key, job, step), job.video, seconds)
            if self._state.is_done(job, step, key):
                record.notes[step] = self._state.notes(job, step)
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
            record.status = "done" if record.made or record.tries else "skipped"
        if not self._options.keep_going and is_hopeless(len(self.failed), len(self.through)):
            self.stopped = True
        self._view.changed(record)
