"""The batch on this machine: a few processes that stay, each with one step at a time."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait

from ....configs.console import count
from ....configs.errors import DeviceLostError, DftError, EngineError
from ....engines.processes import Died, Done, Failed, NodeLost, Told, Worker, WorkerProcess
from ..schedule import Place, Schedule
from ..work import Task, Workplace, Worn, never_lost, working

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
OPEN_SECONDS = 120.0  # within which a process is there, with its libraries, however busy the machine


@dataclass(frozen=True)
class Spare:
    """What is used once GPUs are lost: what the environments of processes say that are begun then.

    Attributes:
        gpus: On GPUs that are not used; one for each process of a lost one.
        cpu: On the CPU, when no GPU is left; none if the CPU is not to go on.
    """

    gpus: tuple[Mapping[str, str], ...] = ()
    cpu: tuple[Mapping[str, str], ...] = ()


class Crew:
    """The processes of a batch; as a context, they are gone at its end.

    Args:
        seats: For each process what its environment says: on which GPU it is. No more than these are started, and
            each only when there is something for it to do.
        place: What they need to know.
        schedule: What they are to do.
        stall_seconds: One that says nothing for so long is killed.
        spare: What is used once GPUs are lost.
    """

    def __init__(
        self,
        seats: Sequence[Mapping[str, str]],
        place: Workplace,
        schedule: Schedule,
        stall_seconds: float,
        spare: Spare = Spare(),
    ) -> None:
        self._seats, self._place, self._schedule, self._stall_seconds = list(seats), place, schedule, stall_seconds
        self._spare, self._closed = spare, set[int]()  # seats whose GPU is lost
        self._workers: dict[int, Worker[Task]] = {}  # by their seats, which are their numbers
        self._pictures: dict[Worker[Task], tuple[int, int] | None] = {}  # of the video that each had last
        self._worn: set[Worker[Task]] = set()
        self._silent: set[Worker[Task]] = set()  # of which nothing was heard yet
        self._at_work: dict[Worker[Task], tuple[int, Task, float]] = {}  # record, step, when it was heard of last

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers.values():  # all of them, before the first one is waited for
            if worker in self._at_work:
                worker.kill()
            else:
                worker.dismiss()
        for worker in self._workers.values():
            worker.end(at_once=False)

    def work(self) -> None:
        """Do everything that is to be done, or until too much has failed.

        Raises:
            EngineError: No GPU is left.
            OutputError: The state cannot be written.
        """
        while True:
            self._hand_out()
            if self._schedule.stopped or (not self._at_work and self._schedule.is_empty):
                return
            self._listen()
            self._end_hung()
            self._schedule.tick()

    def _hand_out(self) -> None:
        while (seat := self._free_seat()) is not None:
            worker = self._workers.get(seat)
            taken = self._schedule.take(None if worker is None else self._pictures.get(worker))
            if taken is None:
                return
            number, task = taken
            begun = time.monotonic() + (0.0 if worker else OPEN_SECONDS)
            if worker is None:
                worker = self._hired(seat)
            self._pictures[worker] = task.job.picture
            log.info("%s: %s in process %d%s", task.job.name, task.step, seat, self._where(seat))
            self._at_work[worker] = number, task, begun  # before it begins: an interrupt may come at once
            worker.begin(number, task)

    def _hired(self, seat: int) -> Worker[Task]:
        worker = WorkerProcess[Workplace, Task](seat, working, self._place, self._seats[seat])
        self._workers[seat] = worker
        self._silent.add(worker)
        return worker

    def _free_seat(self) -> int | None:
        """Where the fewest are at work on the same GPU; a process that is there already comes before a new one."""
        taken = {worker.number for worker in self._at_work}
        load = Counter(tuple(self._seats[seat].items()) for seat in taken)
        free = [seat for seat in range(len(self._seats)) if seat not in taken | self._closed]
        return min(
            free,
            key=lambda seat: (load[tuple(self._seats[seat].items())], seat not in self._workers, seat),
            default=None,
        )

    def _listen(self) -> None:
        workers = list(self._workers.values())
        if not workers:
            time.sleep(POLL_SECONDS)  # only files that are being written are left
            return
        ready = wait([worker.connection for worker in workers], POLL_SECONDS)
        for worker in [worker for worker in workers if worker.connection in ready]:
            if self._workers.get(worker.number) is worker:  # else it went with another one's GPU
                self._hear(worker, worker.receive())

    def _hear(self, worker: Worker[Task], message: object) -> None:
        if worker not in self._at_work:
            if isinstance(message, Died | Failed):
                self._drop(worker)
            return
        self._silent.discard(worker)
        number, task, _ = self._at_work[worker]
        if isinstance(message, Told) and isinstance(message.message, Worn):
            self._worn.add(worker)
        elif isinstance(message, Told):
            self._at_work[worker] = number, task, time.monotonic()
            self._schedule.told(number, task, message.message)
        elif isinstance(message, Done) and worker in self._worn:
            self._drop(worker)
        elif isinstance(message, Done):
            del self._at_work[worker]
        elif isinstance(message, Died):
            self._drop(worker)
            lost_with: Place | None = "node" if isinstance(message, NodeLost) else None
            self._schedule.lost(number, task, "died", f"died ({message.how})", with_its=lost_with)
        elif isinstance(message, Failed):
            self._drop(worker)
            how = str(message.error) if isinstance(message.error, DftError) else repr(message.error)
            is_lost = isinstance(message.error, DeviceLostError)
            self._schedule.lost(number, task, "died", f"gave up ({how})", with_its="gpu" if is_lost else None)
            if is_lost:
                self._close(worker.number, how)

    def _close(self, lost: int, how: str) -> None:
        """Nothing more is done where a seat's GPU is; on the others, or else on the CPU."""
        closed = {seat for seat, environment in enumerate(self._seats) if environment == self._seats[lost]}
        if closed <= self._closed:
            return
        log.warning("%s: no more is given to it%s", how, self._where(lost))
        self._closed |= closed
        for worker in [self._workers[seat] for seat in closed if seat in self._workers]:
            if worker not in self._at_work:
                self._drop(worker)
        free, gpus = len(closed), self._spare.gpus
        self._seats += gpus[:free]
        self._spare = replace(self._spare, gpus=gpus[free:])
        if len(self._closed) < len(self._seats):
            return
        if not self._spare.cpu:
            raise EngineError("no GPU is left", got=how, hint="once there is one, the same command goes on")
        log.warning("no GPU is left: the CPU goes on, with %s at once", count(len(self._spare.cpu), "video"))
        self._seats += self._spare.cpu
        self._spare, self._place = Spare(), replace(self._place, why_lost=never_lost)

    def _end_hung(self) -> None:
        now = time.monotonic()
        for worker, (number, task, heard) in list(self._at_work.items()):
            if now - heard > self._stall_seconds:
                log.warning("%s: no progress for %.0f s: its process is killed", task.job.name, self._stall_seconds)
                worker.kill()
                is_lost = worker in self._silent and any(self._seats[worker.number].values())
                self._drop(worker)
                how = f"made no progress for {self._stall_seconds:g} s"
                self._schedule.lost(number, task, "hung", how, with_its="gpu" if is_lost else None)
                if is_lost:
                    self._close(worker.number, "the GPU does not answer")

    def _drop(self, worker: Worker[Task]) -> None:
        for known in (self._at_work, self._pictures):
            known.pop(worker, None)
        self._worn.discard(worker)
        self._silent.discard(worker)
        del self._workers[worker.number]
        worker.end(at_once=True)

    def _where(self, seat: int) -> str:
        return "".join(f", {name}={value}" for name, value in self._seats[seat].items())
