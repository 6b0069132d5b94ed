"""Batching over streams: the rules by random traffic, the thread by stand-ins that the test steps by hand."""

import heapq
import itertools
import threading
import time
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import EngineError
from dft.engines.cuda.batcher import IDLE_SECONDS, MAX_UNDER_WAY, TURN, Batcher, Queues, Request

MAX_WAIT = 0.006


def queues(num_streams, max_batch=8):
    made = Queues(max_batch, MAX_WAIT)
    for stream in range(num_streams):
        made.open(stream)
    return made


# a history: which stream hands in how many items, and how long after the one before
traffic = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 12), st.floats(0, 0.01)),
    min_size=1,
    max_size=40,
)


def drain(q, now):
    batches = []
    while q.is_ready(now):
        batch = q.take()
        q.done(batch, now)
        batches.append(batch)
    return batches


@given(traffic, st.integers(1, 32))
def test_nothing_is_lost_doubled_or_out_of_order(history, max_batch):
    q = queues(5, max_batch)
    sent, got, now = {s: [] for s in range(5)}, {s: [] for s in range(5)}, 0.0
    batches = []
    for number, (stream, count, pause) in enumerate(history):
        now += pause
        request = Request([(number, i) for i in range(count)])
        sent[stream] += request.items
        q.add(stream, request, now)
        batches += drain(q, now)
    batches += drain(q, now + MAX_WAIT)
    for batch in batches:
        assert 1 <= len(batch) <= max_batch
        for item in batch:
            got[item.stream].append(item.value)
    assert got == sent


@given(traffic)
def test_no_item_waits_longer_than_allowed(history):
    """Whenever the thread looks, an item that is due is in a batch that begins then."""
    q, now = queues(5, max_batch=100), 0.0
    for stream, count, pause in history:
        until = now + pause
        due = q.due()
        if due is not None and due <= until:
            assert q.is_ready(due)
            taken = q.take()
            q.done(taken, due)
            assert min(item.since for item in taken) == pytest.approx(due - MAX_WAIT)
            assert q.due() is None, "a batch that is not full takes everything"
        now = until
        q.add(stream, Request(list(range(count))), now)
    assert q.due() <= now + MAX_WAIT


@given(st.lists(st.integers(0, 30), min_size=2, max_size=9), st.integers(1, 40))
def test_streams_give_in_turn(loads, max_batch):
    """Over any number of batches, streams that still wait have given the same but for one turn."""
    q = queues(len(loads), max_batch)
    left, given_so_far = dict(enumerate(loads)), dict.fromkeys(range(len(loads)), 0)
    for stream, load in left.items():
        if load:
            q.add(stream, Request(list(range(load))), 0.0)
    while any(left.values()):
        batch = q.take()
        assert len(batch) == min(max_batch, sum(left.values()))
        for item in batch:
            left[item.stream] -= 1
            given_so_far[item.stream] += 1
        waiting = [given_so_far[stream] for stream, load in left.items() if load]
        assert max(given_so_far.values()) <= min(waiting, default=max(loads)) + TURN


@given(st.integers(2, 20), st.integers(1, 32))
def test_a_slow_stream_is_served_beside_greedy_ones(num_streams, max_batch):
    q = queues(num_streams, max_batch)
    for stream in range(1, num_streams):
        q.add(stream, Request(list(range(1000))), 0.0)
    for _ in range(3):
        q.take()
    q.add(0, Request(["slow"]), 0.0)
    within = ceil(((num_streams - 1) * TURN + 1) / max_batch)
    assert any(item.stream == 0 for _ in range(within) for item in q.take())


@given(st.integers(1, 40), st.integers(1, 8))
def test_what_is_handed_in_together_is_begun_together(num_streams, num):
    q = queues(num_streams, max_batch=8 * num)
    for stream in range(num_streams):
        q.add(stream, Request(list(range(num))), 0.0)
    for _ in range(ceil(num_streams / 8)):
        batch = q.take()
        assert [item.position for item in batch] == list(range(num)) * (len(batch) // num)


def test_a_batch_begins_when_everybody_waits():
    q = queues(2)
    q.add(1, Request([0]), -0.01)
    q.done(q.take(), -0.001)
    q.add(0, Request([1]), 0.0)
    assert not q.is_ready(0.001), "the other stream may still bring something"
    q.add(1, Request([2]), 0.002)
    assert q.is_ready(0.002)
    under_way = q.take()
    assert [item.value for item in under_way] == [1, 2]
    q.done(under_way[:1], 0.003)
    q.add(0, Request([3]), 0.003)
    assert q.is_ready(0.003), "the other stream waits for its answer"


def test_behind_a_batch_only_a_full_or_a_late_one_begins():
    q = queues(3, max_batch=4)
    q.add(0, Request([1]), 0.0)
    q.take()
    q.add(1, Request([2]), 0.001)
    assert not q.is_ready(0.002) and q.due() == pytest.approx(0.001 + MAX_WAIT)
    assert q.is_ready(0.001 + MAX_WAIT)
    q.add(2, Request([3, 4, 5]), 0.003)
    assert q.is_ready(0.003)
    q.take()
    q.add(0, Request([6, 7, 8, 9]), 0.004)
    assert not q.is_ready(1.0) and q.due() is None, "two are under way"


def test_nothing_is_expected_of_a_stream_that_is_idle():
    q = queues(3)
    q.add(1, Request([0]), 0.0)
    q.done(q.take(), 0.0)
    q.add(0, Request([1]), IDLE_SECONDS / 2)
    assert not q.is_ready(IDLE_SECONDS / 2)
    q.done(q.take(), IDLE_SECONDS / 2)
    q.add(0, Request([2]), IDLE_SECONDS)
    assert q.is_ready(IDLE_SECONDS), "stream 1 has been idle for long, and stream 2 always"


def test_one_stream_never_waits_for_company():
    q = queues(1)
    q.add(0, Request([1, 2, 3]), 0.0)
    assert q.is_ready(0.0)


def test_a_closed_stream_holds_nobody_up():
    q = queues(2)
    q.add(0, Request([1]), 0.0)
    assert q.close(1) == []
    assert q.is_ready(0.0)


def gpu_seconds(num):
    """YuNet on an H100: bound by launches up to 8 pictures."""
    return 0.0016 + 0.0019 * max(0, num - 8) / 24


class Simulation:
    """Streams that hand in 4 frames, wait, work on the answer, and hand in the next 4, as soon as they are decoded.

    Args:
        num_streams: Streams at once.
        python: Seconds that the process needs for a frame after its answer, one frame at a time.
        decoding: Frames per second that a stream's decoder gives.
    """

    def __init__(self, num_streams, python, decoding):
        self.q = queues(num_streams, max_batch=32)
        self._python, self._decoding = python, decoding
        self._events, self._count = [], itertools.count()
        self._gpu_free = self._python_free = 0.0
        self.sizes, self.waits, self.num_frames = [], [], 0

    def run(self, seconds):
        for stream in self.q._waiting:
            self._at(0.0, self._hand_in, stream, 0.0)
        while self._events[0][0] < seconds:
            now, _, work, arguments = heapq.heappop(self._events)
            work(now, *arguments)
            self._look(now)
        return self.num_frames / seconds

    def _at(self, when, work, *arguments):
        heapq.heappush(self._events, (when, next(self._count), work, arguments))

    def _look(self, now):
        while self.q.is_ready(now):
            batch = self.q.take()
            self.sizes.append(len(batch))
            self.waits += [now - item.since for item in batch]
            self._gpu_free = max(self._gpu_free, now) + gpu_seconds(len(batch))
            self._at(self._gpu_free, self._answer, batch)
        if (due := self.q.due()) is not None:
            self._at(max(due, now + 1e-6), lambda now: None)

    def _hand_in(self, now, stream, decoded):
        request = Request(list(range(4)))
        request.answer.add_done_callback(lambda _: self._at(self._now, self._work, stream, decoded))
        self.q.add(stream, request, now)

    def _answer(self, now, batch):
        self._now = now
        self.q.done(batch, now)
        for item in batch:
            item.request.give(item.position, None)

    def _work(self, now, stream, decoded):
        self.num_frames += 4
        self._python_free = max(self._python_free, now) + 4 * self._python
        decoded = max(decoded, now - 12 / self._decoding) + 4 / self._decoding  # 12 frames ahead at most
        self._at(max(self._python_free, decoded), self._hand_in, stream, decoded)


FULL = 32 / gpu_seconds(32)  # frames per second of full batches, one after the other


@pytest.mark.parametrize("num_streams", [16, 32])
def test_many_streams_are_as_fast_as_full_batches(num_streams):
    simulation = Simulation(num_streams, python=20e-6, decoding=1e6)
    assert simulation.run(2.0) > 0.99 * FULL
    assert sum(simulation.sizes) / len(simulation.sizes) > 31


@pytest.mark.parametrize("num_streams", [1, 2, 4, 8])
def test_few_streams_share_every_batch(num_streams):
    """Split into two batches by turns, they would be slower: small ones take the GPU as long."""
    simulation = Simulation(num_streams, python=20e-6, decoding=1e6)
    at_best = 4 * num_streams / (gpu_seconds(4 * num_streams) + 4 * num_streams * 20e-6)
    assert simulation.run(2.0) > 0.97 * at_best
    assert sum(simulation.sizes) / len(simulation.sizes) > 0.97 * 4 * num_streams


@pytest.mark.parametrize("num_streams", [1, 2, 4, 7, 8, 12, 16])
def test_decoding_is_what_limits(num_streams):
    """With the decoders of an H100 (3,500 frames/s together, 550 alone), and 120 us of Python for a frame."""
    decoding = min(550, 3500 / num_streams)
    simulation = Simulation(num_streams, python=120e-6, decoding=decoding)
    assert simulation.run(2.0) > 0.98 * num_streams * decoding
    assert max(simulation.waits) < MAX_WAIT + MAX_UNDER_WAY * gpu_seconds(32)


class Gpu:
    """A stand-in whose work ends when the test says so."""

    def __init__(self, *, steps=True, bad=()):
        self.batches, self.bad = [], bad
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self._steps = steps

    def submit(self, items):
        self.batches.append(list(items))
        self.begun.release()
        if "refused" in items and "refused" in self.bad:
            raise EngineError("refused")
        return self.Ticket(self, list(items))

    class Ticket:
        def __init__(self, gpu, items):
            self._gpu, self._items = gpu, items

        def result(self):
            if self._gpu._steps:
                assert self._gpu.go.acquire(timeout=30)
            if any(item in self._gpu.bad for item in self._items):
                raise EngineError(f"failed on {[i for i in self._items if i in self._gpu.bad]}")
            return [f"<{item}>" for item in self._items]


@pytest.fixture
def still():
    """A clock that stands still: only full batches and waiting streams begin one."""
    return lambda: 0.0


def streams_at_work(batcher):
    """Two streams of which something is expected, as if both had just been answered."""
    streams = batcher.stream(), batcher.stream()
    with batcher._lock:
        for stream in streams:
            batcher._queues._last[stream._number] = 0.0
    return streams


def test_results_in_order_and_one_batch_late(still):
    gpu = Gpu()
    with Batcher(gpu.submit, max_batch=2, clock=still) as batcher, batcher.stream() as stream:
        answer = stream.submit(["a", "b", "c", "d", "e"])
        for _ in range(2):
            assert gpu.begun.acquire(timeout=30)
        assert not answer.done(), "the second batch is under way before the first one is read"
        gpu.go.release(3)
        assert answer.result(timeout=30) == ["<a>", "<b>", "<c>", "<d>", "<e>"]
    assert gpu.batches == [["a", "b"], ["c", "d"], ["e"]]


def test_streams_share_a_batch(still):
    gpu = Gpu(steps=False)
    with Batcher(gpu.submit, clock=still) as batcher:
        one, other = streams_at_work(batcher)
        first, second = one.submit(["a", "b"]), other.submit(["x"])
        assert first.result(timeout=30) == ["<a>", "<b>"] and second.result(timeout=30) == ["<x>"]
    assert gpu.batches == [["a", "b", "x"]]


@pytest.mark.parametrize("bad", ["bad", "refused"])
def test_an_error_reaches_its_own_stream_alone(still, bad):
    gpu = Gpu(steps=False, bad=(bad,))
    with Batcher(gpu.submit, clock=still) as batcher:
        one, other = streams_at_work(batcher)
        first, second = one.submit(["a", bad]), other.submit(["x"])
        with pytest.raises(EngineError, match=r"failed on|refused"):
            first.result(timeout=30)
        assert second.result(timeout=30) == ["<x>"]
        assert one.submit(["later"]) is not None
        other.close()
        assert one.run(["again"]) == ["<again>"], "a failure does not end the stream"


def test_a_stream_that_hands_in_too_much_is_held_back(still):
    gpu = Gpu()
    with Batcher(gpu.submit, max_batch=1, clock=still) as batcher, batcher.stream(max_waiting=1) as stream:
        answers = [stream.submit([0])]
        handed_in = threading.Semaphore(0)

        def feed():
            for number in range(1, 6):
                answers.append(stream.submit([number]))
                handed_in.release()

        feeder = threading.Thread(target=feed)
        feeder.start()
        assert handed_in.acquire(timeout=30)
        # nothing is read yet: two batches may be under way, and one item may wait
        handed_in.acquire(timeout=0.2)
        assert not handed_in.acquire(timeout=0.2) and feeder.is_alive()
        gpu.go.release(6)
        feeder.join(timeout=30)
        assert [answer.result(timeout=30) for answer in answers] == [[f"<{number}>"] for number in range(6)]


def test_closing_finishes_what_is_under_way_and_fails_the_rest(still):
    gpu = Gpu()
    batcher = Batcher(gpu.submit, max_batch=1, clock=still)
    stream = batcher.stream()
    answers = [stream.submit(numbers) for numbers in ([0, 1], [2], [3], [4])]
    assert gpu.begun.acquire(timeout=30) and gpu.begun.acquire(timeout=30)  # 0 and 1 are under way
    closer = threading.Thread(target=batcher.close)
    closer.start()
    deadline = time.monotonic() + 30
    while not batcher._closed and time.monotonic() < deadline:
        time.sleep(0.001)
    gpu.go.release(5)
    closer.join(timeout=30)
    outcomes = [answer.exception(timeout=30) for answer in answers]
    assert outcomes[0] is None
    assert all(isinstance(error, EngineError) for error in outcomes[1:])
    with pytest.raises(EngineError, match="has ended"):
        stream.submit(["late"])
    batcher.close()


def test_leaving_fails_only_the_own_items(still):
    gpu = Gpu(steps=False)
    with Batcher(gpu.submit, clock=still) as batcher:
        one, other = streams_at_work(batcher)
        waiting = one.submit(["a"])
        one.close()
        with pytest.raises(EngineError, match="stream was closed"):
            waiting.result(timeout=30)
        with pytest.raises(EngineError, match="closed"):
            one.submit(["b"])
        assert other.run(["x"]) == ["<x>"]
        one.close()


def test_the_times_of_batches_are_kept():
    clock = itertools.count()
    with Batcher(Gpu(steps=False).submit, clock=lambda: float(next(clock))) as batcher, batcher.stream() as stream:
        for num in (1, 3, 2):
            stream.run(range(num))
        assert [num for num, _ in batcher.recent] == [1, 3, 2]
        assert all(seconds >= 1.0 for _, seconds in batcher.recent)


def test_a_failure_of_the_gpu_leaves_room_for_what_follows(still):
    gpu = Gpu(steps=False, bad=("bad",))
    with Batcher(gpu.submit, max_batch=1, clock=still) as batcher, batcher.stream() as stream:
        for _ in range(2 * MAX_UNDER_WAY):
            with pytest.raises(EngineError, match="failed on"):
                stream.run(["bad"])
        assert stream.run(["good"]) == ["<good>"]


def test_nothing_in_nothing_out(still):
    with Batcher(Gpu().submit, clock=still) as batcher, batcher.stream() as stream:
        assert stream.run([]) == []


def test_many_threads_get_their_own_results():
    gpu = Gpu(steps=False)
    wrong = []
    with Batcher(gpu.submit, max_wait_seconds=0.001) as batcher:

        def work(name):
            with batcher.stream() as stream:
                for start in range(0, 60, 3):
                    items = [f"{name}-{start + i}" for i in range(3)]
                    if stream.run(items) != [f"<{item}>" for item in items]:
                        wrong.append(items)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert not wrong and sum(map(len, gpu.batches)) == 8 * 60
    assert max(map(len, gpu.batches)) <= 32
