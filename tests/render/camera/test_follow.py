"""One axis of the camera: the tube, and the path through it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.render.camera.follow import Bounds, Range, Tube, Zone, _highest, follow, tube_around, weights_for

N, FPS, UNIT = 500, 25, 200.0
TIMES = np.arange(N) / FPS
ANYWHERE = Range(-np.inf, np.inf)
PICTURE = Range(0.0, 1000.0)


def tube(
    centre, times=TIMES, tolerance=50.0, quick=0.0, seconds=0.8, *, whole=ANYWHERE, picture=PICTURE, clear=ANYWHERE
):
    return tube_around(times, np.asarray(centre, float), Zone(tolerance, quick), seconds, Bounds(picture, whole, clear))


def test_a_face_at_rest_makes_a_straight_tube():
    made = tube(np.full(N, 400))
    assert (made.low == 350).all() and (made.high == 450).all() and (made.target == 400).all()


def test_the_picture_wins():
    made = tube(np.linspace(-100, 1100, N))
    assert made.low.min() == 0 and made.high.max() == 1000
    assert (made.low <= made.high).all()


@pytest.mark.parametrize(("length", "bends"), [(5, False), (18, False), (24, True), (100, True)])
@pytest.mark.parametrize("at", ["start", "middle", "end"])
def test_only_brief_excursions_are_let_go(length, bends, at):
    """Brief is 0.8 s, or 20 frames; at an end half of it."""
    if at != "middle":
        length = length // 2
    first = {"start": 0, "middle": 200, "end": N - length}[at]
    centre = np.full(N, 400.0)
    centre[first : first + length] = 600
    assert (tube(centre).low.max() == 550) == bends


def test_a_walk_bends_the_tube_at_once():
    centre = 400 + 50 * TIMES
    made = tube(centre, picture=ANYWHERE)
    inner = slice(20, -20)
    np.testing.assert_allclose(made.low[inner], centre[inner] - 50)
    np.testing.assert_allclose(made.high[inner], centre[inner] + 50)


def test_the_whole_face_is_kept_even_briefly():
    centre = np.full(N, 400.0)
    centre[200:205] = 600
    made = tube(centre, whole=Range(centre - 60, centre + 60))
    assert made.low[200:205].min() == 540


def test_unseen_frames_leave_the_tube_open_and_the_target_goes_on_evenly():
    centre = np.where(np.arange(N) < 100, 400.0, 600.0)
    centre[100:200] = np.nan
    made = tube(centre)
    assert (made.low[100:200] == 0).all() and (made.high[100:200] == 1000).all()
    assert np.ptp(np.diff(made.target[99:201])) < 1e-9
    assert (made.low[:80] == 350).all()


def test_seen_now_and_then_is_a_tube_all_the_same():
    centre = np.full(N, np.nan)
    centre[::3] = 400
    assert (tube(centre).low[::3] == 350).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_the_highest_of_any_windows(seed, length):
    rng = np.random.default_rng(seed)
    values = rng.choice([-np.inf, -1.0, 0.0, 2.5, np.inf], length)
    first = rng.integers(0, length, 50)
    end = rng.integers(first + 1, length + 1)
    wanted = [values[one:two].max() for one, two in zip(first, end, strict=True)]
    np.testing.assert_array_equal(_highest(values, first, end), wanted)


def test_a_walk_widens_the_tube_and_a_lean_does_not():
    lean = 400 + 100 * np.clip(TIMES - 10, 0, 1)
    walk = 400 + 600 * np.clip(TIMES - 10, 0, 1)
    for centre, widest in ((lean, 50), (walk, 120)):
        made = tube(centre, quick=120.0, picture=ANYWHERE)
        assert (made.target - made.low).max() == pytest.approx(widest, abs=0.01)
        assert made.care.min() == pytest.approx((50 / widest) ** 2)
        assert (made.care[TIMES < 8] == 1).all()


def test_a_walk_is_followed_more_calmly_in_a_wider_tube():
    centre = 400 + 800 * np.clip((TIMES - 9) / 2, 0, 1)
    narrow, wide = (np.diff(follow(tube(centre, quick=quick, picture=ANYWHERE), 0.8, UNIT), 2) for quick in (0, 120))
    assert np.sqrt((wide**2).mean()) < 0.75 * np.sqrt((narrow**2).mean())


def clear_of(high, first, end):
    return Range(-np.inf, np.where((np.arange(N) >= first) & (np.arange(N) < end), high, np.inf))


def test_the_tube_gives_way_and_leaves_room_for_the_way():
    made = tube(np.full(N, 400), clear=clear_of(320.0, 200, 400))
    assert (made.high[200:400] == 320).all() and (made.low[200:400] == 270).all()
    assert (made.high[:200] == 450).all() and (made.low[:140] == 350).all() and made.low[199] == 270
    mirrored = tube(np.full(N, 600), clear=Range(1000 - clear_of(320.0, 200, 400).high, np.inf))
    np.testing.assert_array_equal(mirrored.low, 1000 - made.high)
    np.testing.assert_array_equal(mirrored.high, 1000 - made.low)


def test_the_tube_does_not_give_way_to_what_is_brief_or_against_the_whole_face():
    assert (tube(np.full(N, 400), clear=clear_of(320.0, 200, 215)).high == 450).all()
    made = tube(np.full(N, 400), whole=Range(360.0, 500.0), clear=clear_of(320.0, 200, 400))
    assert made.low.min() == 360


def leaning(seed):
    """A face that goes to another place every ten seconds."""
    rng = np.random.default_rng(seed)
    times = np.arange(300 * FPS) / FPS
    places = np.repeat(400 + 60 * rng.normal(size=30), 10 * FPS)
    return times, np.interp(times, times[:: FPS // 5], places[:: FPS // 5]) + rng.normal(0, 4, len(times))


def told(path):
    """As the plan tells places, in 1/64 of a pixel."""
    return np.round(path * 64) / 64


@pytest.mark.parametrize("grid", [2.0, None])
@pytest.mark.parametrize("seed", range(3))
def test_beyond_a_few_rests_an_edit_changes_nothing_at_all(seed, grid):
    times, centre = leaning(seed)
    edited = centre + 40 * ((times > 150) & (times < 151.5))
    path, other = (told(follow(tube(face, times, picture=ANYWHERE), 0.8, UNIT, grid)) for face in (centre, edited))
    assert (path != other).any()
    away = np.abs(times - 150.75) > 30
    np.testing.assert_array_equal(path[away], other[away])


@pytest.mark.parametrize("cut", [2503, 2511])
def test_beyond_a_few_rests_it_does_not_matter_where_a_take_begins(cut):
    times, centre = leaning(9)
    path = told(follow(tube(centre, times, picture=ANYWHERE), 0.8, UNIT, 2.0))
    later = told(follow(tube(centre[cut:], times[cut:], picture=ANYWHERE), 0.8, UNIT, 2.0))
    away = times[cut:] > times[cut] + 30
    np.testing.assert_array_equal(later[away], path[cut:][away])


def test_rests_are_on_the_grid_and_moves_have_no_step():
    centre = np.interp(TIMES, [5, 7, 12, 14], [401.3, 623.7, 623.7, 300.2])
    path = follow(tube(centre, tolerance=30.0), 0.8, UNIT, 2.0, 0.5)
    still = np.flatnonzero(np.diff(path) == 0)
    assert len(still) > 0.5 * N
    np.testing.assert_array_equal((path[still] - 0.5) % 2, 0)
    assert np.abs(np.diff(path, 2)).max() / UNIT * FPS**2 < 2  # in face heights/s^2; the face's own has steps of 20
    assert np.abs(np.diff(path, 3)).max() / UNIT * FPS**3 < 15
    assert abs(path[0] - 401.3) <= 31 and abs(path[-1] - 300.2) <= 31


def test_the_grid_moves_rests_by_half_of_it_at_most_and_moves_hardly_more():
    centre = 400 + 150 * np.sin(TIMES / 2)
    made = tube(centre)
    free, gridded = (follow(made, 0.8, UNIT, grid) for grid in (None, 2.0))
    still = np.flatnonzero((np.diff(free) == 0) & (np.diff(gridded) == 0))
    assert len(still) > 0.1 * N and np.abs(free - gridded)[still].max() <= 1 + UNIT / 512
    assert np.abs(free - gridded).max() <= 0.03 * UNIT
    assert (gridded >= made.low - 1).all() and (gridded <= made.high + 1).all()


def test_a_longer_time_constant_is_the_same_path_slower():
    centre = 400 + 150 * np.sin(TIMES / 2)
    once = follow(tube(centre), 0.8, UNIT)
    slow = follow(tube(centre, times=TIMES * 2, seconds=1.6), 1.6, UNIT)
    np.testing.assert_allclose(slow, once, atol=0.01 * UNIT)
    assert weights_for(1.6).velocity == weights_for(0.8).velocity


def test_frames_at_one_time_have_one_place():
    centre = 400 + 150 * np.sin(TIMES / 2)
    twice = follow(tube(np.repeat(centre, 2), times=np.repeat(TIMES, 2)), 0.8, UNIT)
    np.testing.assert_array_equal(twice[::2], twice[1::2])
    np.testing.assert_allclose(twice[::2], follow(tube(centre), 0.8, UNIT), atol=1e-3)


def test_frames_at_one_time_that_disagree_meet_in_the_middle():
    low, high, target = np.array([0.0, 50, 0]), np.array([10.0, 60, 60]), np.array([5.0, 55, 20])
    both = Tube(np.array([0.0, 0.0, 1.0]), low, high, target, np.ones(3))
    path = follow(both, 0.8, UNIT)
    assert path[0] == path[1] == pytest.approx(30, abs=1)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5])
def test_short_takes(num_frames):
    path = follow(tube(np.full(num_frames, 401.0), times=np.arange(num_frames) / FPS), 0.8, UNIT, 2.0)
    assert np.ptp(path) == 0 and path[0] in {400, 402}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 100), st.floats(0.05, 3))
def test_any_motion_gives_a_finite_path_near_the_tube(seed, tolerance, seconds):
    rng = np.random.default_rng(seed)
    length = int(rng.integers(1, 120))
    times = np.cumsum(rng.choice([0.0, 0.01, 0.04, 0.5], length))
    centre = np.cumsum(rng.normal(0, rng.choice([0.1, 3, 40]), length)) + 500
    centre[rng.random(length) < 0.2] = np.nan
    centre[rng.integers(length)] = 500
    made = tube(centre, times=times, tolerance=tolerance, whole=Range(centre - 150, centre + 150), seconds=seconds)
    path = follow(made, seconds, UNIT, 2.0)
    assert np.isfinite(path).all() and (made.low <= made.high).all()
    reach = 1 + np.ptp(np.nan_to_num(centre, nan=500))
    assert path.min() >= made.low[np.isfinite(centre)].min() - reach
    assert path.max() <= made.high[np.isfinite(centre)].max() + reach


@pytest.mark.slow
def test_an_hour_of_one_axis(capsys):
    """Prints the process time: the bar is 3 s. pytest -q -s -m slow tests/render/camera/test_follow.py."""
    times = np.arange(108_000) / 30
    rng = np.random.default_rng(0)
    places = np.interp(times, np.cumsum(rng.exponential(8, 600)), 500 + 60 * rng.normal(size=600))
    centre = places + rng.normal(0, 4, len(times))
    start = time.process_time()
    made = tube(centre, times, whole=Range(centre - 160, centre + 160))
    between = time.process_time()
    path = follow(made, 0.8, UNIT, 2.0)
    end = time.process_time()
    with capsys.disabled():
        print(f"\n{len(path):,} frames: tube {between - start:.2f} s, path {end - between:.2f} s")
    assert (np.diff(path) == 0).mean() > 0.3
