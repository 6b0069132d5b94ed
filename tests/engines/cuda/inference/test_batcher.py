"""Batching over streams: the rules by random traffic, the thread by stand-ins that the test steps by hand."""

import threading
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import EngineError
from dft.engines.cuda.batcher import IDLE_SECONDS, Batcher, Queues, Request

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


@given(st.lists(st.integers(0, 30), min_size=2, max_size=9), st.integers(1, 8))
def test_shares_of_a_batch_differ_by_one_at_most(loads, max_batch):
    q = queues(len(loads), max_batch)
    left = {}
    for stream, load in enumerate(loads):
        left[stream] = load
        if load:
            q.add(stream, Request(list(range(load))), 0.0)
    while any(left.values()):
        batch = q.take()
        share = {stream: sum(item.stream == stream for item in batch) for stream in left}
        assert len(batch) == min(max_batch, sum(left.values()))
        had_more = [share[stream] for stream, load in left.items() if load > share[stream]]
        assert max(share.values()) <= min(had_more, default=max_batch) + 1
        for stream, taken in share.items():
            left[stream] -= taken


@given(st.integers(2, 20), st.integers(1, 8))
def test_a_slow_stream_is_served_beside_greedy_ones(num_streams, max_batch):
    q = queues(num_streams, max_batch)
    for stream in range(1, num_streams):
        q.add(stream, Request(list(range(1000))), 0.0)
    for _ in range(3):
        q.take()
    q.add(0, Request(["slow"]), 0.0)
    within = ceil(num_streams / max_batch)
    assert any(item.stream == 0 for _ in range(within) for item in q.take())


def test_a_batch_begins_when_everybody_waits():
    q = queues(2)
    q.add(1, Request([0]), -0.01)
    q.done(q.take(), -0.001)
    q.add(0, Request([1]), 0.0)
    assert not q.is_ready(0.001), "the other stream may still bring something"
    q.add(1, Request([2]), 0.002)
    assert q.is_ready(0.002)
    assert [item.value for item in q.take()] == [1, 2]
    q.add(0, Request([3]), 0.003)
    assert q.is_ready(0.003), "the other stream waits for its answer"


def test_nothing_is_expected_of_a_stream_that_is_idle():
    q = queues(3)
    q.add(1, Request([0]), 0.0)
    q.done(q.take(), 0.0)
    q.add(0, Request([1]), IDLE_SECONDS / 2)
    assert not q.is_ready(IDLE_SECONDS / 2)
    q.take()
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
    with batcher._changed:
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
    assert gpu.batches == [["a", "x", "b"]]


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
        # nothing is read yet: one batch is under way, another may be, and one item may wait
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
    with batcher._changed:
        assert batcher._changed.wait_for(lambda: batcher._closed, timeout=30)
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
