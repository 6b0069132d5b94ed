"""Helpers beside own workers: they may never come, die or fail, and all is done once all the same."""

import os
import time
from contextlib import contextmanager

import pytest

from dft.configs.errors import EngineError
from dft.engines.processes import Died, WorkerProcess
from dft.engines.sharing import HelperLost, share_out


@contextmanager
def working(as_helper: str):
    """Tells items with the process; ``as_helper`` says what becomes of a helper."""
    if as_helper == "cannot open":
        raise EngineError("it has no such file")

    def work(item: int, tell) -> None:
        if as_helper == "dies":
            os._exit(3)
        if as_helper == "fails":
            raise EngineError("its disk is full")
        if as_helper == "dies alone":
            time.sleep(1)  # nobody else has anything left to do
            os._exit(3)
        time.sleep(0.02)
        tell((item, os.getpid()))

    yield work


class Pending(WorkerProcess):
    """Never gets its place."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ready = False


def shared(num_items: int, as_helper: str, kind: type = WorkerProcess):
    told = []

    def hire(number: int):
        return (WorkerProcess if number < 1 else kind)(number, working, as_helper if number else "an own one")

    helped = share_out(list(range(num_items)), hire, 1, 2, told.append)
    items = sorted(message[0] for message in told if isinstance(message, tuple))
    assert items == list(range(num_items)), "each is done once"
    return helped, [message.how for message in told if isinstance(message, HelperLost)], told


def test_helpers_do_their_part():
    helped, lost, told = shared(300, "helps")
    assert 0 < helped < 300 and lost == []
    assert len({pid for _, pid in told}) == 3


@pytest.mark.parametrize(
    ("as_helper", "how"),
    [
        ("dies", "exit status 3"),
        ("fails", "failed: its disk is full"),
        ("cannot open", "failed: it has no such file"),
        ("dies alone", "exit status 3"),
    ],
)
def test_what_a_helper_leaves_others_do(as_helper, how):
    helped, lost, _ = shared(3 if as_helper == "dies alone" else 60, as_helper)
    assert helped == 0 and lost == [how, how]


def test_helpers_that_never_come_are_not_waited_for():
    helped, lost, _ = shared(20, "helps", Pending)
    assert (helped, lost) == (0, [])


def test_an_own_worker_that_dies_twice_at_the_same_work_is_an_error():
    with pytest.raises(EngineError, match="so did the next"):
        share_out([1], lambda number: WorkerProcess(number, working, "dies"), 1, 0, print)


def test_a_worker_says_how_it_ended():
    with WorkerProcess(0, working, "dies") as worker:
        worker.begin(0, 1)
        assert worker.receive() == Died("exit status 3")
