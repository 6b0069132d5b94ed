"""One inference thread for all streams of a GPU: it gathers frames of many streams into batches, fairly.

A batch is begun when it is full, when its oldest item has waited long enough, or when the GPU is idle and nothing more
can come, because every stream that is at work waits for answers. While one batch is under way another one can begin
behind it, so that the GPU never waits for us; answers are read and given in a second thread. The rules are in
:class:`Queues`, which knows no threads and no clock; :class:`Batcher` runs them.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from ...configs.errors import EngineError
from ..protocols import Closing

MAX_BATCH = 32
MAX_WAIT_SECONDS = 0.006
IDLE_SECONDS = 0.1  # after which nothing is expected of a stream: a video's second looks are rare
MAX_WAITING = 64  # items of one stream, after which it is held back
MAX_UNDER_WAY = 2  # batches: one that runs, and one behind it
TURN = 8  # items that a stream may give at a time: what was handed in together is answered together
NUM_REMEMBERED = 4096  # batches whose times are kept

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
    """

    items: Sequence[T]
    answer: Future[list[R]] = field(default_factory=Future)

    def __post_init__(self) -> None:
        self._results: dict[int, R] = {}

    def give(self, position: int, result: R) -> None:
        """Note the result of one item."""
        self._results[position] = result
        if len(self._results) == len(self.items) and not self.answer.done():
            self.answer.set_result([self._results[i] for i in range(len(self.items))])

    def fail(self, error: BaseException) -> None:
        """Note that an item failed, and with it the request."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(eq=False, slots=True)
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
    """Which items make the next batch: streams in turn, in order within each. Not thread-safe.

    A stream whose turn it is gives up to :data:`TURN` items, so that streams that hand in a few at a time are answered
    whole, and hand in again while others are served. No other stream gets two turns meanwhile, but for one that goes on
    where the batch before was full.

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
        self._left = TURN  # of the first one's turn
        self._num_waiting, self._num_batches = 0, 0

    def open(self, stream: int) -> None:
        """Add a stream."""
        self._waiting[stream], self._under_way[stream], self._last[stream] = deque(), 0, -inf
        self._turn.append(stream)

    def close(self, stream: int) -> list[Item[T, R]]:
        """Take a stream away; returns its items that were not begun."""
        if self._turn[0] == stream:
            self._left = TURN
        self._turn.remove(stream)
        del self._under_way[stream], self._last[stream]
        left = list(self._waiting.pop(stream))
        self._num_waiting -= len(left)
        return left

    def add(self, stream: int, request: Request[T, R], now: float) -> None:
        """Queue the items of a request."""
        self._last[stream] = now
        self._waiting[stream].extend(Item(stream, request, i, now) for i in range(len(request.items)))
        self._num_waiting += len(request.items)

    def num_waiting(self, stream: int) -> int:
        """Items of a stream that are not begun."""
        return len(self._waiting[stream])

    @property
    def num_streams(self) -> int:
        """Streams that are open."""
        return len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be begun."""
        return self._num_waiting == 0

    def due(self) -> float | None:
        """The time at which the next batch is to begin at the latest; None if none can begin now."""
        if self._num_waiting == 0 or self._num_batches >= MAX_UNDER_WAY:
            return None
        return min(items[0].since for items in self._waiting.values() if items) + self._max_wait

    def is_ready(self, now: float) -> bool:
        """Whether a batch should begin."""
        due = self.due()
        if due is None:
            return False
        if now >= due or self._num_waiting >= self._max_batch:
            return True
        # behind another batch, one that is not full would begin no sooner, and would be smaller
        return self._num_batches == 0 and not any(self._is_expected(stream, now) for stream in self._waiting)

    def _is_expected(self, stream: int, now: float) -> bool:
        """Whether a stream may soon bring something: it is at work, and does not wait for an answer."""
        if self._waiting[stream] or self._under_way[stream]:
            return False
        return now - self._last[stream] < IDLE_SECONDS

    def take(self) -> list[Item[T, R]]:
        """The next batch: of each stream in turn, until it is full or nothing is left."""
        taken: list[Item[T, R]] = []
        wanted = min(self._max_batch, self._num_waiting)
        while len(taken) < wanted:
            items = self._waiting[self._turn[0]]
            num = min(len(items), self._left, wanted - len(taken))
            taken += [items.popleft() for _ in range(num)]
            self._under_way[self._turn[0]] += num
            self._left -= num
            if not items or self._left == 0:
                self._turn.rotate(-1)
                self._left = TURN
        self._num_waiting -= len(taken)
        self._num_batches += 1
        return taken

    def done(self, batch: Sequence[Item[T, R]], now: float) -> None:
        """Note that a batch is no longer under way."""
        self._num_batches -= 1
        for item in batch:
            if item.stream in self._under_way:
                self._under_way[item.stream] -= 1
                self._last[item.stream] = now


@dataclass(eq=False)
class _Begun(Generic[T, R]):
    """A batch under way."""

    batch: list[Item[T, R]]
    ticket: Ticket[Sequence[R]]
    since: float


class Batcher(Closing, Generic[T, R]):
    """Gathers batches from many streams in a thread of its own, and gives the answers in another.

    Args:
        submit: Begins the work on a batch; the ticket's results are in the batch's order. Called in one thread at a
            time.
        max_batch: Items in a batch.
        max_wait_seconds: How long an item may wait for company.
        clock: Seconds that never run backwards.

    Attributes:
        recent: Of the last :data:`NUM_REMEMBERED` batches: how many items, and the seconds from beginning to answers.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[T]], Ticket[Sequence[R]]],
        *,
        max_batch: int = MAX_BATCH,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._submit, self._clock = submit, clock
        self.recent: deque[tuple[int, float]] = deque(maxlen=NUM_REMEMBERED)
        self._queues: Queues[T, R] = Queues(max_batch, max_wait_seconds)
        self._lock, self._submitting = threading.Lock(), threading.Lock()
        self._changed, self._room = threading.Condition(self._lock), threading.Condition(self._lock)
        self._begun: SimpleQueue[_Begun[T, R] | None] = SimpleQueue()
        self._closed = False
        self._num_opened = 0
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for work, name in ((self._gather, "dft-inference"), (self._answer, "dft-answers"))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def num_streams(self) -> int:
        """Streams that are open."""
        with self._lock:
            return self._queues.num_streams

    def stream(self, max_waiting: int = MAX_WAITING) -> "BatchStream[T, R]":
        """A new stream of items.

        Args:
            max_waiting: Items that may wait before the stream is held back.

        Raises:
            EngineError: The batcher is closed.
        """
        with self._lock:
            self._check_open()
            self._num_opened += 1
            self._queues.open(self._num_opened)
            return BatchStream(self, self._num_opened, max_waiting)

    def close(self) -> None:
        """Finish what is under way; what was not begun fails. Waits for the threads."""
        with self._lock:
            self._closed = True
            self._changed.notify()
            self._room.notify_all()
        for thread in self._threads:
            thread.join()

    def add(self, stream: int, request: Request[T, R], max_waiting: int) -> None:
        """Queue a request, once its stream has room. For :class:`BatchStream`."""
        with self._lock:
            self._room.wait_for(lambda: self._closed or self._queues.num_waiting(stream) < max_waiting)
            self._check_open()
            now, due = self._clock(), self._queues.due()
            self._queues.add(stream, request, now)
            if due != self._queues.due() or self._queues.is_ready(now):
                self._changed.notify()

    def leave(self, stream: int) -> None:
        """Take a stream away; what it has waiting fails. For :class:`BatchStream`."""
        with self._lock:
            left = self._queues.close(stream)
            self._changed.notify()
        _fail(left, EngineError("the stream was closed before its items were worked on"))

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the inference thread has ended")

    def _gather(self) -> None:
        while (batch := self._next()) is not None:
            begun = self._begin(batch)
            if begun is not None and self._is_alone():
                self._deliver(begun)  # nothing else could be done meanwhile, and passing it on would take longer
            elif begun is not None:
                self._begun.put(begun)
        self._begun.put(None)

    def _is_alone(self) -> bool:
        """Whether there is one stream, and all that it handed in is under way."""
        with self._lock:
            return self._queues.num_streams == 1 and self._queues.is_empty

    def _answer(self) -> None:
        while (begun := self._begun.get()) is not None:
            self._deliver(begun)

    def _next(self) -> list[Item[T, R]] | None:
        """The next batch, once it is time for it; None once closed."""
        with self._lock:
            while not self._closed:
                now = self._clock()
                if self._queues.is_ready(now):
                    batch = self._queues.take()
                    self._room.notify_all()
                    return batch
                due = self._queues.due()
                self._changed.wait(None if due is None else max(0.0, due - now))
            left = self._queues.take()
            while more := self._queues.take():
                left += more
        _fail(left, EngineError("the inference thread has ended"))
        return None

    def _begin(self, batch: list[Item[T, R]]) -> _Begun[T, R] | None:
        since = self._clock()
        try:
            with self._submitting:
                return _Begun(batch, self._submit([item.value for item in batch]), since)
        except Exception as error:  # whatever it is, it belongs to whoever handed the item in
            self._one_by_one(batch, error)
            return None

    def _deliver(self, begun: _Begun[T, R]) -> None:
        try:
            results = begun.ticket.result()
        except Exception as error:
            self._one_by_one(begun.batch, error)
            return
        self.recent.append((len(begun.batch), self._clock() - begun.since))
        self._end(begun.batch)
        for item, result in zip(begun.batch, results, strict=True):
            item.request.give(item.position, result)

    def _one_by_one(self, batch: list[Item[T, R]], error: Exception) -> None:
        """After a failure: each stream's items on their own, so that only the stream at fault gets the error."""
        outcomes = self._outcomes(batch, error)
        self._end(batch)
        for own, outcome in outcomes:
            if isinstance(outcome, Exception):
                _fail(own, outcome)
            else:
                for item, result in zip(own, outcome, strict=True):
                    item.request.give(item.position, result)

    def _outcomes(
        self, batch: list[Item[T, R]], error: Exception
    ) -> list[tuple[list[Item[T, R]], Sequence[R] | Exception]]:
        streams = sorted({item.stream for item in batch})
        if len(streams) == 1:
            return [(batch, error)]
        outcomes: list[tuple[list[Item[T, R]], Sequence[R] | Exception]] = []
        for stream in streams:
            own = [item for item in batch if item.stream == stream]
            try:
                with self._submitting:
                    ticket = self._submit([item.value for item in own])
                outcomes.append((own, ticket.result()))
            except Exception as fault:
                outcomes.append((own, fault))
        return outcomes

    def _end(self, batch: Sequence[Item[T, R]]) -> None:
        with self._lock:
            self._queues.done(batch, self._clock())
            self._changed.notify()


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
