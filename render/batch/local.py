"""The batch on this machine: a few processes that stay, each with one step at a time."""

import logging
import time
from multiprocessing.connection import wait

from ...engines.processes import Died, Done, Failed, Told, WorkerProcess
from .schedule import Schedule
from .work import Task, Workplace, working

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
OPEN_SECONDS = 120.0  # within which a process is there, with its libraries, however busy the machine

Worker = WorkerProcess[Workplace, Task]


class Crew:
    """The processes of a batch; as a context, they are gone at its end.

    Args:
        num: No more processes than this; one is started when there is something for it to do.
        place: What they need to know.
        schedule: What they are to do.
        stall_seconds: One that says nothing for so long is killed.
    """

    def __init__(self, num: int, place: Workplace, schedule: Schedule, stall_seconds: float):
        self._num, self._place, self._schedule, self._stall_seconds = num, place, schedule, stall_seconds
        self._workers: list[Worker] = []
        self._at_work: dict[Worker, tuple[int, Task, float]] = {}  # record, step, when it was heard of last

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:  # all of them, before the first one is waited for
            if worker in self._at_work:
                worker.kill()
            else:
                worker.dismiss()
        for worker in self._workers:
            worker.end(at_once=False)

    def work(self) -> None:
        """Do everything that is to be done, or until too much has failed.

        Raises:
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
        while len(self._at_work) < self._num:
            taken = self._schedule.take()
            if taken is None:
                return
            number, task = taken
            worker = self._free_worker()
            begun = time.monotonic() + (0.0 if worker.item >= 0 else OPEN_SECONDS)
            self._at_work[worker] = number, task, begun  # before it begins: an interrupt may come at once
            worker.begin(number, task)

    def _free_worker(self) -> Worker:
        for worker in self._workers:
            if worker not in self._at_work:
                return worker
        self._workers.append(WorkerProcess(len(self._workers), working, self._place))
        return self._workers[-1]

    def _listen(self) -> None:
        if not self._at_work:
            time.sleep(POLL_SECONDS)  # only files that are being written are left
            return
        ready = wait([worker.connection for worker in self._at_work], POLL_SECONDS)
        for worker in [worker for worker in self._at_work if worker.connection in ready]:
            message = worker.receive()
            number, task, _ = self._at_work[worker]
            if isinstance(message, Told):
                self._at_work[worker] = number, task, time.monotonic()
                self._schedule.told(number, task, message.message)
            elif isinstance(message, Done):
                del self._at_work[worker]
            elif isinstance(message, Died):
                self._drop(worker)
                self._schedule.lost(number, task, "died", f"died ({message.how})")
            elif isinstance(message, Failed):
                self._drop(worker)
                self._schedule.lost(number, task, "died", f"gave up ({message.error!r})")

    def _end_hung(self) -> None:
        now = time.monotonic()
        for worker, (number, task, heard) in list(self._at_work.items()):
            if now - heard > self._stall_seconds:
                log.warning("%s: no progress for %.0f s: its process is killed", task.job.name, self._stall_seconds)
                worker.kill()
                self._drop(worker)
                self._schedule.lost(number, task, "hung", f"made no progress for {self._stall_seconds:g} s")

    def _drop(self, worker: Worker) -> None:
        del self._at_work[worker]
        self._workers.remove(worker)
        worker.end(at_once=True)
