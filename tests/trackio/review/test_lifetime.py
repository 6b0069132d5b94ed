"""When the server ends, by a clock that is set by hand; and how long a plan is waited for."""

import threading

import numpy as np
import pytest

from dft.configs.errors import NoFaceError
from dft.trackio.review import planned
from dft.trackio.review.lifetime import Lifetime
from dft.trackio.review.planned import PLANNING, PlannedCrops, listed


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def life(clock):
    return Lifetime(idle_seconds=30, goodbye_seconds=4, clock=clock)


def visit(life):
    with life.request():
        pass


def test_it_waits_for_the_first_page_for_good(life, clock):
    clock.now = 1e6
    assert not life.over


def test_it_ends_after_a_silence(life, clock):
    visit(life)
    clock.now = 29.9
    assert not life.over
    visit(life)
    clock.now = 59.8
    assert not life.over
    clock.now = 59.9
    assert life.over


def test_a_request_that_is_being_answered_is_no_silence(life, clock):
    with life.request():
        clock.now = 100
        assert not life.over
    assert not life.over
    clock.now = 130
    assert life.over


def test_a_closed_page_ends_it_sooner_unless_another_asks(life, clock):
    visit(life)
    life.goodbye()
    clock.now = 3.9
    assert not life.over
    visit(life)
    clock.now = 33.8
    assert not life.over
    life.goodbye()
    clock.now = 37.8
    assert life.over


def test_kept_open_it_never_ends(clock):
    life = Lifetime(keep_open=True, idle_seconds=1, goodbye_seconds=1, clock=clock)
    visit(life)
    life.goodbye()
    clock.now = 1e6
    assert not life.over


class Planner:
    """Plans as soon as it may, and counts."""

    def __init__(self):
        self.may, self.planned = threading.Event(), []

    def crops(self, track_file):
        assert self.may.wait(20)
        self.planned.append(track_file)
        if track_file == "nobody":
            raise NoFaceError("nobody is there")
        return {"left": np.full((3, 4), len(self.planned))}


@pytest.fixture
def planner():
    return Planner()


@pytest.fixture
def crops(planner, monkeypatch):
    made = PlannedCrops(planner)
    yield made
    planner.may.set()
    made.close()
    assert not made._thread.is_alive()


def test_a_revision_is_planned_once(crops, planner):
    planner.may.set()
    assert crops.get(1, "one") is crops.get(1, "one")
    crops.get(2, "two")
    assert planner.planned == ["one", "two"]


def test_a_long_plan_is_not_waited_for(crops, planner, monkeypatch):
    monkeypatch.setattr(planned, "PATIENCE_SECONDS", 0.05)
    assert crops.get(1, "one") == PLANNING
    monkeypatch.setattr(planned, "PATIENCE_SECONDS", 20)
    planner.may.set()
    assert crops.get(1, "one")["left"][0, 0] == 1 and planner.planned == ["one"]


def test_what_cannot_be_planned_says_why(crops, planner):
    planner.may.set()
    assert crops.get(1, "nobody") == "nobody is there"


def test_listed_crops():
    values = np.array([[1.04, 2, 3, 4], [np.nan] * 4, [5, 6, 7, 8]])
    assert listed(values, 0, 1) == [[1.0, 2.0, 3.0, 4.0], None]
