"""The camera's motion: still where it can, smooth where it must, the same in real time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.render.camera.smooth import smooth_path

FPS, TOLERANCE, CONSTANT = 25, 50.0, 0.8


def seconds(length, fps=FPS):
    return np.arange(round(length * fps)) / fps


def path_of(times, values, tolerance=TOLERANCE, constant=CONSTANT):
    return smooth_path(times, values, tolerance, constant)


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_still_face_moves_nothing_at_all(seed):
    times = seconds(60)
    path = path_of(times, 500 + np.random.default_rng(seed).normal(0, 12, len(times)))
    assert path.min() == path.max()
    assert abs(path[0] - 500) < 3


def test_a_swaying_face_inside_the_zone_moves_nothing():
    times = seconds(60)
    path = path_of(times, 500 + 49 * np.sin(times * 1.3))
    assert path.min() == path.max() == pytest.approx(500, abs=3)


def test_a_quick_nod_moves_nothing():
    times = seconds(20)
    path = path_of(times, 500 + 90 * np.exp(-(((times - 10) / 0.15) ** 2)))
    assert path.min() == path.max()


def walk(times, start, speed, length):
    return 500 + speed * np.clip(times - start, 0, length / speed)


@pytest.mark.parametrize("speed", [40, 80, 200])
def test_a_walk_is_followed_within_the_zone_without_a_step(speed):
    times = seconds(60)
    face = walk(times, 20, speed, 600)
    path = path_of(times, face)
    speeds = np.diff(path) * FPS
    assert np.abs(path - face).max() <= TOLERANCE + 0.35 * speed * CONSTANT / 2
    assert speeds.min() >= -1e-6  # never back
    assert speeds.max() <= 3 * max(speed, TOLERANCE / CONSTANT)
    # a step in speed would show as an acceleration of speed * fps in one frame
    assert np.abs(np.diff(speeds)).max() <= 0.15 * max(speed, 2 * TOLERANCE / CONSTANT)
    assert path[0] == pytest.approx(500, abs=TOLERANCE / 2) and path[-1] == pytest.approx(1100, abs=TOLERANCE / 2)


def test_it_stands_before_and_after_a_walk():
    times = seconds(60)
    path = path_of(times, walk(times, 20, 200, 600))
    assert np.ptp(path[times < 18]) == 0 and np.ptp(path[times > 26]) == 0
    assert np.ptp(path) > 590


def test_nothing_lags():
    """Time reversed, the path of a face that moves all the time is the same, reversed."""
    times = seconds(30)
    face = 500 + 300 * np.sin(times * 1.7) + 100 * np.sin(times * 2.9)
    forward = path_of(times, face)
    backward = path_of(times[-1] - times[::-1], face[::-1])[::-1]
    np.testing.assert_allclose(forward, backward, atol=12)  # runs are cut from the left
    shifts = range(-10, 11)
    match = [np.abs(np.roll(forward, shift) - face)[20:-20].mean() for shift in shifts]
    assert abs(shifts[int(np.argmin(match))]) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_variable_rate_gives_the_same_path_in_real_time(seed):
    def face(times):
        return 500 + 250 * np.sin(times * 0.9) + walk(times, 12, 150, 500) - 500

    rng = np.random.default_rng(seed)
    even = seconds(30, 100)
    uneven = np.cumsum(rng.choice([0.008, 0.02, 0.033, 0.07], 900))
    uneven = uneven[uneven < even[-1]]
    wanted = np.interp(uneven, even, path_of(even, face(even)))
    np.testing.assert_allclose(path_of(uneven, face(uneven)), wanted, atol=12)  # of 750


def test_double_frame_rate_is_the_same_camera():
    slow, fast = seconds(30, 25), seconds(30, 50)
    face = lambda times: walk(times, 10, 200, 400)  # noqa: E731
    np.testing.assert_allclose(path_of(fast, face(fast))[::2], path_of(slow, face(slow)), atol=3)


def test_where_nobody_is_seen_the_camera_waits():
    times = seconds(30)
    face = np.full(len(times), 500.0)
    face[(times > 8) & (times < 20)] = np.nan
    face[times >= 20] = 900
    path = path_of(times, face)
    assert np.isfinite(path).all()
    assert (path[times < 18] == path[0]).all()
    assert path[-1] == pytest.approx(900, abs=1)


def test_before_the_first_sight_the_camera_is_there_already():
    times = seconds(10)
    face = np.where(times < 4, np.nan, 640.0)
    assert (path_of(times, face) == 640).all()


def test_never_seen_is_nan():
    assert np.isnan(path_of(seconds(3), np.full(75, np.nan))).all()


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 10])
def test_short_takes_are_one_place(num_frames):
    times = np.arange(num_frames) / FPS
    np.testing.assert_array_equal(
        path_of(times, np.linspace(500, 510, num_frames)).round(), 505 if num_frames > 1 else 500
    )


positions = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=300)


@given(positions, st.integers(0, 2**32), st.floats(0.05, 3), st.floats(0, 100))
def test_the_path_stays_within_the_face_s_range(values, seed, constant, tolerance):
    steps = np.random.default_rng(seed).uniform(0.005, 0.2, len(values))
    path = smooth_path(np.cumsum(steps), np.array(values), tolerance, constant)
    assert path.shape == (len(values),)
    assert path.min() >= min(values) - 1e-6 and path.max() <= max(values) + 1e-6


@given(positions, st.floats(-500, 500), st.floats(0.1, 10))
def test_moving_and_scaling_the_picture_moves_and_scales_the_path(values, shift, scale):
    times = np.arange(len(values)) / FPS
    spread = np.ptp(values)
    path = smooth_path(times, np.array(values), 0.3 * spread, 0.4)
    other = smooth_path(times, np.array(values) * scale + shift, 0.3 * spread * scale, 0.4)
    if spread > 1:  # else rounding decides what lies inside the zone
        close = np.abs(other - (path * scale + shift)) <= 1e-6 * (1 + spread) * scale + 1e-6
        assert close.all() or _borderline(values, 0.6 * spread)


def _borderline(values, width):
    """Whether some difference of positions is as good as the zone's width, so that rounding decides a run."""
    differences = np.abs(np.subtract.outer(values, values))
    return bool((np.abs(differences - width) < 1e-3 * width).any())
