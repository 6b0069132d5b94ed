"""Sharing work out over processes, and over helpers that come and go."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from ..configs.errors import EngineError
from .processes import SAME, Died, Done, Failed, OpenWork, Ready, Told, Worker, WorkerProcess

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")

MAX_TRIES = 2  # of an item whose worker died


@dataclass(frozen=True)
class HelperLost:
    """A helper is gone, or could not help: others do what it had begun."""

    how: str


def share_out_to_processes(
    items: Sequence[T], num: int, open_work: OpenWork[A, T], argument: A, heard: Callable[[Any], None],
    environments: Sequence[Mapping[str, str]] = (SAME,),
) -> None:  # fmt: skip
    """Have every item worked on by one of ``num`` new processes; see :func:`share_out`.

    Args:
        items: What is to be done; like ``argument``, it can be pickled.
        num: Processes; no more than items are started.
        open_work: Called in each process, with ``argument``: a function at the top of a module. What it opens is
            called with one item after another, and with what tells the caller something, from any thread.
        argument: For ``open_work``.
        heard: Called in the caller's thread with what was told.
        environments: What the processes' environments say that the caller's does not, in turn: each its own GPU.

    Raises:
        EngineError: An item's process died, as did the one that tried it again.
        BaseException: Whatever a worker raises.
    """

    def hire(number: int) -> Worker[T]:
        return WorkerProcess(number, open_work, argument, environments[number % len(environments)])

    share_out(items, hire, num, 0, heard)


def share_out(
    items: Sequence[T], hire: Callable[[int], Worker[T]], own: int, helpers: int, heard: Callable[[Any], None]
) -> int:
    """Have every item worked on by one of ``own`` workers, or by helpers.

    Each begins with a stretch of neighbouring items of its own, and takes half of the longest that is left when it is
    through: neighbours are cheap to work on one after another. A worker that dies is replaced. A helper may be long in
    coming, or never come; one that dies or fails is not replaced, and ``heard`` gets ``HelperLost``. After an error, or
    an interrupt of the caller, all are ended.

    Args:
        items: What is to be done.
        hire: Gives the worker of that number: below ``own`` an own one, which is ready at once, else a helper.
        own: Workers; no more than items are hired.
        helpers: Likewise.
        heard: Called in the caller's thread with what was told.

    Returns:
        How many items helpers have done.

    Raises:
        EngineError: An item's worker died, as did the one that tried it again.
        BaseException: Whatever an own worker raises.
    """
    own = min(own, len(items))
    with ExitStack() as hired:
        sharing = _Sharing(items, hire, own, min(own + helpers, len(items)), hired)
        while sharing.num_left:
            for message in sharing.messages():
                heard(message)
        sharing.dismiss()
        return sharing.num_helped


class _Sharing(Generic[T]):
    """Who works on what; see :func:`share_out`."""

    def __init__(
        self, items: Sequence[T], hire: Callable[[int], Worker[T]], num_own: int, num: int, hired: ExitStack
    ) -> None:
        self.num_left, self.num_helped = len(items), 0
        self._items, self._num_own, self._hired = items, num_own, hired
        self._hire = hire
        self._stretches, self._tries = _Stretches(len(items), num), [0] * len(items)
        self._staff: list[Worker[T]] = []  # but for those who were dismissed
        self._idle: list[Worker[T]] = []
        for number in range(num):
            self._start(number)

    def messages(self) -> list[Any]:
        """What is told next; waits for it."""
        told: list[Any] = []
        ready = wait([worker.connection for worker in self._staff])
        for worker in [worker for worker in self._staff if worker.connection in ready]:
            message = worker.receive()
            if isinstance(message, Told):
                told.append(message.message)
            elif isinstance(message, Done):
                self.num_left -= 1
                self.num_helped += worker.number >= self._num_own
                self._begin(worker)
            elif isinstance(message, Ready):
                self._begin(worker)
            elif isinstance(message, Died | Failed):
                told += self._lost(worker, message)
        return told

    def dismiss(self) -> None:
        """Let all end."""
        for worker in self._staff:
            worker.dismiss()

    def _start(self, number: int) -> None:
        worker = self._hired.enter_context(self._hire(number))
        self._staff.append(worker)
        if worker.ready:
            self._begin(worker)

    def _begin(self, worker: Worker[T]) -> None:
        item = self._stretches.take(worker.number)
        if item is not None:
            self._tries[item] += 1
            worker.begin(item, self._items[item])
        elif worker.number < self._num_own:
            worker.item = -1
            self._idle.append(worker)  # what a helper does not finish is left to do
        else:
            self._staff.remove(worker)
            worker.dismiss()

    def _lost(self, worker: Worker[T], message: Died | Failed) -> list[HelperLost]:
        self._staff.remove(worker)
        if worker.number >= self._num_own:
            if worker.item >= 0:
                self._tries[worker.item] -= 1
                self._stretches.put_back(worker.number, worker.item)
            idle, self._idle = self._idle, []
            for other in idle:
                self._begin(other)
            return [HelperLost(message.how if isinstance(message, Died) else f"failed: {message.error}")]
        if isinstance(message, Failed):
            raise message.error
        if worker in self._idle:
            self._idle.remove(worker)
        elif self._tries[worker.item] >= MAX_TRIES:
            raise EngineError(
                f"a process died, and so did the next at the same work: {message.how}",
                hint="is there enough memory? run it with --workers 1 to see more",
            )
        else:
            log.warning("a process died (%s): its work is begun again in a new one", message.how)
            self._stretches.put_back(worker.number, worker.item)
        self._start(worker.number)
        return []


class _Stretches:
    """Which items are left to each worker.

    Args:
        num_items: All items, in order.
        num: Workers.
    """

    def __init__(self, num_items: int, num: int):
        self.num = num
        self._left = [(num_items * k // num, num_items * (k + 1) // num) for k in range(num)]

    def take(self, worker: int) -> int | None:
        """The next item for a worker; None if nothing is left for anybody."""
        if not self._size(worker):
            longest = max(range(self.num), key=self._size)
            first, end = self._left[longest]
            middle = (first + end) // 2
            self._left[longest], self._left[worker] = (first, middle), (middle, end)
        if not self._size(worker):
            return None
        first, end = self._left[worker]
        self._left[worker] = first + 1, end
        return first

    def put_back(self, worker: int, item: int) -> None:
        """The item that the worker took last is still to be done."""
        self._left[worker] = item, self._left[worker][1]

    def _size(self, worker: int) -> int:
        first, end = self._left[worker]
        return end - first
