import threading
import time

import pytest

from dft.engines.prefetch import prefetch


class Source:
    """Counts what it gave, and notes that it was closed and where it ran."""

    def __init__(self, num: int, fails_at: int | None = None):
        self.num, self.fails_at = num, fails_at
        self.given = 0
        self.closed = False
        self.thread: threading.Thread | None = None

    def __iter__(self):
        self.thread = threading.current_thread()
        try:
            for i in range(self.num):
                if i == self.fails_at:
                    raise ValueError(f"at {i}")
                self.given += 1
                yield i
        finally:
            self.closed = True


def test_everything_in_order():
    source = Source(200)
    with prefetch(source, 3) as items:
        assert list(items) == list(range(200))
    assert source.closed and source.thread is not threading.current_thread() and not source.thread.is_alive()


def test_nothing():
    with prefetch([], 1) as items:
        assert list(items) == []


@pytest.mark.parametrize("fails_at", [0, 5])
def test_an_error_comes_after_the_items_before_it(fails_at):
    got = []
    with pytest.raises(ValueError, match=f"at {fails_at}"), prefetch(Source(9, fails_at), 2) as items:
        got.extend(items)
        for item in items:
            got.append(item)
    assert got in ([], list(range(fails_at)))


def test_items_before_an_error_arrive():
    got = []
    with prefetch(Source(9, 5), 2) as items, pytest.raises(ValueError, match="at 5"):
        for item in items:
            got.append(item)
    assert got == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("depth", [1, 4])
def test_it_runs_ahead_no_further_than_told(depth):
    source = Source(100)
    with prefetch(source, depth) as items:
        for taken in range(1, 6):
            next(items)
            deadline = time.monotonic() + 5
            while source.given < taken + depth and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.02)
            assert taken + depth <= source.given <= taken + depth + 1  # one is in the worker's hand


def test_stopping_early_closes_the_source_and_ends_the_thread():
    source = Source(10**9)
    with prefetch(source, 2) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
    assert source.closed and not source.thread.is_alive()


def test_the_consumers_error_passes_and_the_thread_ends():
    source = Source(10**9)
    with pytest.raises(KeyError, match="mine"), prefetch(source, 2) as items:
        next(items)
        raise KeyError("mine")
    assert source.closed and not source.thread.is_alive()
