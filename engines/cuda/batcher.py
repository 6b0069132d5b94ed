"""One inference thread for all streams of a GPU: it gathers frames of many streams into batches, fairly.

A batch is begun when it is full, when its oldest item has waited long enough, or when nothing more can come because
every stream that is at work waits for answers. One batch is under way on the GPU while the next one is gathered, so
answers are read one batch late. The rules are in :class:`Queues`, which knows no threads and no clock;
:class:`Batcher` runs them.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from typing import Generic, Protocol, TypeVar

from ...configs.errors import EngineError
from ..protocols import Closing

MAX_BATCH = 32
MAX_WAIT_SECONDS = 0.006
IDLE_SECONDS = 0.1  # after which nothing is expected of a stream: a video's second looks are rare
MAX_WAITING = 64  # items of one stream, after which it is held back

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Ticket(Protocol[R_co]):
    """Work under way."""

    def result(self) -> R_co:
        """Wait for it.

        Raises:
            EngineError: The work failed.
        """


@dataclass(eq=False)
class Request(Generic[T, R]):
    """Items that one stream hands in together.

    Attributes:
        items: What is to be worked on.
        answer: Becomes the results in the order of ``items``, or the error.
        results: Those that are there so far.
    """

    items: Sequence[T]
    answer: Future[list[R]] = field(default_factory=Future)
    results: dict[int, R] = field(default_factory=dict)

    def give(self, position: int, result: R) -> None:
        """Note the result of one item."""
        self.results[position] = result
        if len(self.results) == len(self.items) and not self.answer.done():
            self.answer.set_result([self.results[i] for i in range(len(self.items))])

    def fail(self, error: BaseException) -> None:
        """Note that an item failed, and with it the request."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, eq=False)
class Item(Generic[T, R]):
    """One item in a queue.

    Attributes:
        stream: Number of its stream.
        request: What it belongs to.
        position: Its place in the request.
        since: When it came, in the clock's seconds.
    """

    stream: int
    request: Request[T, R]
    position: int
    since: float

    @property
    def value(self) -> T:
        """What is to be worked on."""
        return self.request.items[self.position]


class Queues(Generic[T, R]):
    """Which items make the next batch: round-robin over the streams, in order within each. Not thread-safe.

    Every stream that has items when a batch is made is served within the next ``ceil(streams / max_batch)`` batches.

    Args:
        max_batch: Items in a batch.
        max_wait_seconds: How long an item may wait for company.
    """

    def __init__(self, max_batch: int = MAX_BATCH, max_wait_seconds: float = MAX_WAIT_SECONDS):
        self._max_batch, self._max_wait = max_batch, max_wait_seconds
        self._waiting: dict[int, deque[Item[T, R]]] = {}
        self._under_way: dict[int, int] = {}
        self._last: dict[int, float] = {}  # when a stream last handed something in, or was answered
        self._turn: deque[int] = deque()  # streams, the next one to be served first

    def open(self, stream: int) -> None:
        """Add a stream."""
        self._waiting[stream], self._under_way[stream], self._last[stream] = deque(), 0, -inf
        self._turn.append(stream)

    def close(self, stream: int) -> list[Item[T, R]]:
        """Take a stream away; returns its items that were not begun."""
        self._turn.remove(stream)
        del self._under_way[stream], self._last[stream]
        return list(self._waiting.pop(stream))

    def add(self, stream: int, request: Request[T, R], now: float) -> None:
        """Queue the items of a request."""
        self._last[stream] = now
        self._waiting[stream].extend(Item(stream, request, i, now) for i in range(len(request.items)))

    def num_waiting(self, stream: int) -> int:
        """Items of a stream that are not begun."""
        return len(self._waiting[stream])

    def due(self) -> float | None:
        """The time at which the next batch is to begin at the latest; None if nothing waits."""
        heads = [items[0].since for items in self._waiting.values() if items]
        return min(heads) + self._max_wait if heads else None

    def is_ready(self, now: float) -> bool:
        """Whether a batch should begin."""
        due = self.due()
        if due is None:
            return False
        if now >= due or sum(map(len, self._waiting.values())) >= self._max_batch:
            return True
        return not any(self._is_expected(stream, now) for stream in self._waiting)

    def _is_expected(self, stream: int, now: float) -> bool:
        """Whether a stream may soon bring something: it is at work, and does not wait for an answer."""
        if self._waiting[stream] or self._under_way[stream]:
            return False
        return now - self._last[stream] < IDLE_SECONDS

    def take(self) -> list[Item[T, R]]:
        """The next batch: one item of each stream in turn, until it is full or nothing is left."""
        taken: list[Item[T, R]] = []
        passed_over = 0
        while len(taken) < self._max_batch and passed_over < len(self._turn):
            stream = self._turn[0]
            self._turn.rotate(-1)
            if not self._waiting[stream]:
                passed_over += 1
                continue
            passed_over = 0
            taken.append(self._waiting[stream].popleft())
            self._under_way[stream] += 1
        return taken

    def done(self, items: Sequence[Item[T, R]], now: float) -> None:
        """Note that items are no longer under way."""
        for item in items:
            if item.stream in self._under_way:
                self._under_way[item.stream] -= 1
                self._last[item.stream] = now


class Batcher(Closing, Generic[T, R]):
    """Gathers batches from many streams in a thread of its own.

    Args:
        submit: Begins the work on a batch; the ticket's results are in the batch's order. Called in one thread only.
        max_batch: Items in a batch.
        max_wait_seconds: How long an item may wait for company.
        clock: Seconds that never run backwards.
        first: Called in the thread before any item is taken; its errors are raised here.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[T]], Ticket[Sequence[R]]],
        *,
        first: Callable[[], None] | None = None,
        max_batch: int = MAX_BATCH,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._submit, self._clock = submit, clock
        self._queues: Queues[T, R] = Queues(max_batch, max_wait_seconds)
        self._changed = threading.Condition()
        self._closed = False
        self._num_opened = 0
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(first, started), name="dft-inference", daemon=True)
        self._thread.start()
        started.result()

    def stream(self, max_waiting: int = MAX_WAITING) -> "BatchStream[T, R]":
        """A new stream of items.

        Args:
            max_waiting: Items that may wait before the stream is held back.

        Raises:
            EngineError: The batcher is closed.
        """
        with self._changed:
            self._check_open()
            self._num_opened += 1
            self._queues.open(self._num_opened)
            return BatchStream(self, self._num_opened, max_waiting)

    def close(self) -> None:
        """Finish what is under way; what was not begun fails. Waits for the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def add(self, stream: int, request: Request[T, R], max_waiting: int) -> None:
        """Queue a request, once its stream has room. For :class:`BatchStream`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._queues.num_waiting(stream) < max_waiting)
            self._check_open()
            self._queues.add(stream, request, self._clock())
            self._changed.notify_all()

    def leave(self, stream: int) -> None:
        """Take a stream away; what it has waiting fails. For :class:`BatchStream`."""
        with self._changed:
            left = self._queues.close(stream)
            self._changed.notify_all()
        _fail(left, EngineError("the stream was closed before its items were worked on"))

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the inference thread has ended")

    def _run(self, first: Callable[[], None] | None, started: Future[None]) -> None:
        try:
            if first is not None:
                first()
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(None)
        self._work()

    def _work(self) -> None:
        under_way: tuple[list[Item[T, R]], Ticket[Sequence[R]]] | None = None
        while True:
            batch = self._next(wait=under_way is None)
            if batch is None and under_way is None:
                return
            begun = self._begin(batch) if batch else None
            if under_way is not None:
                self._deliver(*under_way)
            under_way = begun

    def _next(self, *, wait: bool) -> list[Item[T, R]] | None:
        """The next batch; empty if it is not yet time and ``wait`` is false; None once closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                if self._queues.is_ready(now):
                    batch = self._queues.take()
                    self._changed.notify_all()
                    return batch
                if not wait:
                    return []
                due = self._queues.due()
                self._changed.wait(None if due is None else max(0.0, due - now))
            left = self._queues.take()
            while more := self._queues.take():
                left += more
        _fail(left, EngineError("the inference thread has ended"))
        return None

    def _begin(self, batch: list[Item[T, R]]) -> tuple[list[Item[T, R]], Ticket[Sequence[R]]] | None:
        try:
            return batch, self._submit([item.value for item in batch])
        except Exception as error:  # whatever it is, it belongs to whoever handed the item in
            self._one_by_one(batch, error)
            return None

    def _deliver(self, batch: list[Item[T, R]], ticket: Ticket[Sequence[R]]) -> None:
        try:
            results = ticket.result()
        except Exception as error:
            self._one_by_one(batch, error)
            return
        self._finish(batch, results)

    def _one_by_one(self, batch: list[Item[T, R]], error: Exception) -> None:
        """After a failure: each stream's items on their own, so that only the stream at fault gets the error."""
        streams = {item.stream for item in batch}
        if len(streams) == 1:
            with self._changed:
                self._queues.done(batch, self._clock())
            _fail(batch, error)
            return
        for stream in sorted(streams):
            own = [item for item in batch if item.stream == stream]
            if (begun := self._begin(own)) is not None:
                self._deliver(*begun)

    def _finish(self, batch: list[Item[T, R]], results: Sequence[R]) -> None:
        with self._changed:
            self._queues.done(batch, self._clock())
        for item, result in zip(batch, results, strict=True):
            item.request.give(item.position, result)


class BatchStream(Closing, Generic[T, R]):
    """One stream's way into a :class:`Batcher`; used by one thread at a time."""

    def __init__(self, batcher: Batcher[T, R], number: int, max_waiting: int):
        self._batcher, self._number, self._max_waiting = batcher, number, max_waiting
        self._closed = False

    def submit(self, items: Sequence[T]) -> Future[list[R]]:
        """Hand items in; waits while too many of this stream are waiting.

        Returns:
            What becomes their results, in order, or the error of one of them.

        Raises:
            EngineError: The stream or the batcher is closed.
        """
        if self._closed:
            raise EngineError("the stream is closed")
        request: Request[T, R] = Request(list(items))
        if not request.items:
            request.answer.set_result([])
            return request.answer
        self._batcher.add(self._number, request, self._max_waiting)
        return request.answer

    def run(self, items: Sequence[T]) -> list[R]:
        """Hand items in and wait for their results.

        Raises:
            EngineError: The work failed, or the stream or the batcher is closed.
        """
        return self.submit(items).result()

    def close(self) -> None:
        """Leave the batcher; what is waiting fails."""
        if not self._closed:
            self._closed = True
            self._batcher.leave(self._number)


def _fail(items: Sequence[Item[T, R]], error: BaseException) -> None:
    for item in items:
        item.request.fail(error)
