"""Sharing work out over threads."""

import threading

import pytest

from dft.engines.workers import share_out


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_every_item_is_worked_on_once(num_workers):
    done = [[] for _ in range(num_workers)]
    share_out(range(40), [lambda item, _, own=own: own.append(item) for own in done])
    assert sorted(item for own in done for item in own) == list(range(40))
    assert all(own == sorted(own) for own in done)


def test_each_worker_keeps_to_one_thread_and_all_work_at_once():
    together = threading.Barrier(3)
    names = [set() for _ in range(3)]

    def worker(own):
        def work(item, _):
            together.wait(timeout=30)
            own.add(threading.get_ident())

        return work

    share_out(range(3), [worker(own) for own in names])
    assert [len(own) for own in names] == [1, 1, 1] and len(set.union(*names)) == 3


def test_one_worker_runs_in_the_callers_thread():
    seen = []
    share_out([1], [lambda item, _: seen.append(threading.current_thread())])
    assert seen == [threading.current_thread()]


def test_an_error_stops_the_others_and_is_raised():
    begun, told = threading.Event(), []

    def fails(item, _):
        assert begun.wait(timeout=30)
        raise KeyError(item)

    def goes_on(item, stopped):
        begun.set()
        told.append(item)
        while not stopped():
            pass

    with pytest.raises(KeyError):
        share_out(range(9), [fails, goes_on])
    assert len(told) == 1
    with pytest.raises(ZeroDivisionError):
        share_out([0], [lambda item, _: 1 / item])


def test_nothing_to_do():
    share_out([], [lambda item, _: pytest.fail("there is no item")] * 2)
