import numpy as np
import pytest

from dft.analyze.identity.persons import OTHER
from dft.analyze.outcome.rows import Rows
from dft.analyze.outcome.sides import a_is_left, sides_by_identity
from dft.analyze.stage_two import assign_sides
from dft.configs.analysis import AnalyzeSettings, SideSettings
from dft.configs.settings import build

SETTINGS = SideSettings()


def followed(fps, x_of_a, x_of_b, seconds=12.0, settings=SETTINGS):
    """Times, and whether A is left, for places given as functions of time in seconds."""
    times = np.arange(round(seconds * fps)) / fps
    return times, a_is_left(times, *(np.array([float(x(t)) for t in times]) for x in (x_of_a, x_of_b)), settings)


def nowhere(_):
    return np.nan


def test_by_identity_a_is_left_and_b_right():
    assert [sides_by_identity(num).tolist() for num in range(5)] == [[], [0], [0, 1], [0, 1, -1], [0, 1, -1, -1]]


@pytest.mark.parametrize(("assign", "sides"), [("identity", [0, 1]), ("position", [1, 0])])
def test_only_a_and_b_have_a_side(chain, assign, sides):
    """B is left of A; C and a bystander have no side, wherever they are."""
    persons = [0, 1, 2, OTHER]
    rows = Rows.of_chains([chain(range(50), x) for x in (500.0, 150.0, 50.0, 600.0)], np.array(persons, np.int8))
    found = assign_sides(rows, np.arange(50) / 25.0, 640, 3, build(AnalyzeSettings, {"assign": assign}))
    assert found.dtype == np.int8
    for person, side in zip(persons, [*sides, -1, -1], strict=True):
        assert set(found[rows.person == person].tolist()) == {side}


def test_a_side_by_place_is_that_of_the_frame(chain):
    """They have changed places at the cut: with the side held, whoever is left then becomes left."""
    rows = Rows.of_chains(
        [
            chain([*range(50), *range(50, 150)], [150.0] * 50 + [500.0] * 100),
            chain(range(150), [500.0] * 50 + [150.0] * 100),
        ],
        np.array([0, 1], np.int8),
    )
    found = assign_sides(rows, np.arange(150) / 25.0, 640, 2, build(AnalyzeSettings, {"assign": "position"}))
    by_frame = found.reshape(150, 2)
    assert by_frame[0].tolist() == [0, 1] and by_frame[-1].tolist() == [1, 0]
    assert (by_frame.sum(axis=1) == 1).all(), "one is left and one is right in every frame"


@pytest.mark.parametrize(("a", "b", "left"), [(0.3, 0.7, True), (0.7, 0.3, False)])
def test_who_stays_has_one_side(a, b, left):
    _, is_left = followed(25, lambda _: a, lambda _: b)
    assert (is_left == left).all()


@pytest.mark.parametrize("fps", [12.5, 25, 50, 60])
def test_who_changes_place_changes_side_after_the_same_time(fps):
    times, left = followed(fps, lambda t: 0.3 if t < 5 else 0.7, lambda t: 0.7 if t < 5 else 0.3)
    changes = times[np.flatnonzero(np.diff(left.astype(int))) + 1]
    # half the distance of the means, 0.4 exp(-t) - 0.2, leaves the band; then the side is held for a while
    middle = 5 + SETTINGS.side_mean_seconds * np.log(0.4 / (0.2 - SETTINGS.side_margin / 2))
    assert left[0] and not left[-1]
    assert changes == pytest.approx([middle + SETTINGS.side_hold_seconds], abs=1.5 / fps)


@pytest.mark.parametrize("fps", [12.5, 25, 50])
def test_a_short_visit_changes_nothing(fps):
    _, left = followed(fps, lambda t: 0.7 if 5 < t < 5.6 else 0.3, lambda t: 0.3 if 5 < t < 5.6 else 0.7)
    assert left.all()


def test_swaying_around_the_middle_changes_nothing():
    _, left = followed(25, lambda t: 0.49 + 0.2 * np.sin(6 * t), lambda t: 0.51 - 0.2 * np.sin(6 * t))
    assert np.count_nonzero(np.diff(left.astype(int))) == 0


def test_a_lone_person_goes_by_half_of_the_picture():
    for x, left in ((0.3, True), (0.7, False)):
        _, is_left = followed(25, lambda _, x=x: x, nowhere)
        assert (is_left == left).all()
        _, is_left = followed(25, nowhere, lambda _, x=x: x)
        assert (is_left != left).all()


def test_a_side_is_kept_while_nobody_is_seen():
    _, left = followed(25, lambda t: 0.7 if t < 3 else np.nan, lambda t: 0.3 if t < 3 else np.nan)
    assert not left.any()


def test_nobody_at_all():
    _, left = followed(25, nowhere, nowhere)
    assert left.all()


def test_real_time_counts_at_a_variable_rate():
    """The same motion seen at irregular moments changes sides at the same time."""
    times = np.concatenate([[0], np.cumsum(np.random.default_rng(2).choice([0.02, 0.04, 0.1], 300))])
    x = np.where(times < 5, 0.3, 0.7)
    left = a_is_left(times, x, 1 - x, SETTINGS)
    regular, at_regular = followed(50, lambda t: 0.3 if t < 5 else 0.7, lambda t: 0.7 if t < 5 else 0.3)
    assert times[np.argmin(left)] == pytest.approx(regular[np.argmin(at_regular)], abs=0.15)
