"""The L1-optimal path: optimal by an independent solver, inside the tube to the last bit, still where it can be."""

import logging
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linprog
from scipy.signal import lfilter
from scipy.sparse import bmat, csr_matrix, eye

from dft.render.camera.l1 import STILL_SPAN, L1Weights, _Pieces, _Program, _scale, _solve, l1_path

FPS, HALF = 25, 0.25


def seconds(length, fps=FPS):
    return np.arange(round(length * fps)) / fps


def smooth_step(times, start, length):
    at = np.clip((times - start) / length, 0, 1)
    return at**2 * (3 - 2 * at)


def speaker(times, seed=0, jitter=0.03, every=20.0):
    """A seated speaker's face in face heights: jitter of 0.4 s, and leans by a half of 3 to 10 s, now and then."""
    rng = np.random.default_rng(seed)
    face, at = np.zeros(len(times)), 0.0
    while at < times[-1]:
        at += rng.exponential(every)
        length, way, quick = rng.uniform(3, 10), rng.choice([-0.5, 0.5]), rng.uniform(0.5, 1.2)
        face += way * (smooth_step(times, at, quick) - smooth_step(times, at + length, quick))
        at += length
    keep = np.exp(-1 / (0.4 * FPS))
    return face + lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.normal(0, jitter, len(times)))


def around(times, face, *more, half=HALF, **options):
    return l1_path(times, face - half, face + half, face, *more, **options)


# ---- against an independent solver ---------------------------------------------------------------------------------


def derivatives(times):
    """Dense matrices of v dt, a dt, j dt, written down from their definitions."""
    gaps = np.diff(times)
    velocity = np.diff(np.eye(len(times)), axis=0) / gaps[:, None]
    acceleration = np.diff(velocity, axis=0) / ((gaps[1:] + gaps[:-1]) / 2)[:, None]
    between = gaps[1:-1]
    jerk = np.diff(acceleration, axis=0) / between[:, None]
    return [velocity * gaps[:, None], acceleration * ((gaps[1:] + gaps[:-1]) / 2)[:, None], jerk * between[:, None]]


def motion_cost(times, path, weights):
    costs = (weights.velocity, weights.acceleration, weights.jerk)
    return sum(cost * np.abs(matrix @ path).sum() for cost, matrix in zip(costs, derivatives(times), strict=True))


def pull(times, path, target, weights):
    """Gradient of the quadratic term."""
    gaps = np.diff(times)
    share = (np.append(gaps, 0) + np.append(0, gaps)) / 2
    return weights.centring * share * (path - target)


def best_by_highs(times, low, high, weights, forces):
    """The least of motion plus ``forces @ path`` in the tube, by HiGHS."""
    costs = (weights.velocity, weights.acceleration, weights.jerk)
    rows = csr_matrix(np.vstack([c * matrix for c, matrix in zip(costs, derivatives(times), strict=True)]))
    size = rows.shape[0]
    limits = bmat([[rows, -eye(size)], [-rows, -eye(size)]])
    bounds = np.vstack([np.stack([low, high], axis=1), np.tile([0, np.inf], (size, 1))])
    result = linprog(
        np.append(forces, np.ones(size)), A_ub=limits, b_ub=np.zeros(2 * size), bounds=bounds, method="highs",
        options={"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9},
    )  # fmt: skip
    assert result.success
    return result.fun


def random_tube(seed, length=120):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.02, 0.3, length))
    face = np.cumsum(rng.normal(0, 0.1, length)) + rng.normal(0, 0.05, length)
    return times, face - rng.uniform(0.05, 0.4, length), face + rng.uniform(0.05, 0.4, length), face


MIXED = [
    L1Weights(),
    L1Weights(1, 0.3, 0.1, 1),
    L1Weights(0, 1, 0, 1),
    L1Weights(0, 0, 1, 0.1),
    L1Weights(10, 1, 100, 5),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weights", MIXED, ids=str)
def test_no_path_is_better(weights, seed):
    """A convex cost is least where it is least with its smooth part made linear: that is an LP, which HiGHS solves."""
    times, low, high, target = random_tube(seed)
    path = l1_path(times, low, high, target, weights)
    forces = pull(times, path, target, weights)
    found = motion_cost(times, path, weights) + forces @ path
    best = best_by_highs(times, low, high, weights, forces)
    # bringing runs to a level may cost a little
    assert best - 1e-7 * (1 + abs(best)) <= found <= best + 1e-5 * (1 + abs(best))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weights", [L1Weights(1, 0.3, 0.1, 0), L1Weights(1, 0, 0.03, 0)], ids=str)
def test_without_centring_it_is_the_paper_s_linear_program(weights, seed):
    times, low, high, target = random_tube(seed)
    found = motion_cost(times, l1_path(times, low, high, target, weights), weights)
    best = best_by_highs(times, low, high, weights, np.zeros(len(times)))
    assert best * (1 - 1e-7) <= found <= best * (1 + 1e-4)


# ---- inside the tube ------------------------------------------------------------------------------------------------


def floats(low, high):
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def tubes(draw):
    length = draw(st.integers(1, 80))
    column = lambda elements: draw(hnp.arrays(np.float64, length, elements=elements))  # noqa: E731
    size = 10.0 ** draw(st.integers(-6, 4))
    low = column(floats(-1, 1)) * size
    width = np.maximum(column(floats(-0.5, 1)), 0) * size * 10.0 ** draw(st.integers(-6, 1))
    times = np.cumsum(column(floats(0.005, 0.3)))
    return times, low, low + width, column(floats(-2, 2)) * size


@settings(max_examples=200, deadline=None)
@given(tubes(), st.sampled_from([*MIXED, L1Weights(1, 0, 0.03, 0)]), st.sampled_from([1e-3, 1.0, 200.0]))
def test_it_stays_in_any_tube_to_the_last_bit(tube, weights, unit):
    times, low, high, target = tube
    path = l1_path(times, low, high, target, weights, unit=unit)
    assert path.shape == times.shape and path.dtype == np.float64
    assert (low <= path).all() and (path <= high).all()


@settings(max_examples=100, deadline=None)
@given(tubes())
def test_the_solver_itself_stays_inside(tube):
    times, low, high, target = tube
    scale = _scale(low, high, 1.0)
    low, high = low / scale, high / scale
    pieces = _Pieces(np.zeros(1, np.intp), len(times))
    path = _solve(_Program(times, low, high, np.clip(target / scale, low, high), L1Weights(), pieces, scale))
    assert np.maximum(low - path, path - high).max() <= 1e-7  # of a typical width: all that clipping has to do


@pytest.mark.parametrize("width", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_any_width(width, caplog):
    times = seconds(60)
    face = speaker(times, 3) * width
    path = around(times, face, half=HALF * width, unit=width)
    assert not caplog.records
    np.testing.assert_allclose(path / width, around(times, face / width), atol=1e-7)


def test_a_fast_tube_that_leaves_hardly_a_choice(caplog):
    times = seconds(40)
    face = 50 * np.sin(times * 5) + np.random.default_rng(0).normal(0, 5, len(times))
    for half in (1e-9, 1e-4, 0.01, 1.0):
        path = around(times, face, half=half)
        assert (path >= face - half).all() and (path <= face + half).all()
    assert not caplog.records


def test_fixed_samples_are_met_and_eased_into():
    times = seconds(30)
    low, high = np.full(len(times), -1.0), np.full(len(times), 1.0)
    low[200] = high[200] = 0.75
    low[600:603] = high[600:603] = -0.5
    path = l1_path(times, low, high, np.zeros(len(times)))
    assert path[200] == 0.75 and (path[600:603] == -0.5).all()
    assert np.abs(np.diff(path, 2)).max() * FPS**2 < 3


def test_a_tube_of_no_width_is_the_path():
    times = seconds(8)
    face = speaker(times)
    np.testing.assert_array_equal(around(times, face, half=0), face)
    np.testing.assert_array_equal(around(times, np.full(len(times), 0.1), half=0), 0.1)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5])
def test_short_paths(length):
    times = np.arange(length) / FPS
    target = np.linspace(0, 1, length)
    np.testing.assert_allclose(l1_path(times, target * 0 - 2, target * 0 + 2, target), target.mean() if length else 0)
    far = l1_path(times, target * 4, target * 4 + 1, target)
    assert far.shape == (length,) and (far >= target * 4).all() and (far <= target * 4 + 1).all()


# ---- still, and moving ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_one_level_where_one_fits(seed):
    times = seconds(120)
    face = np.random.default_rng(seed).normal(3, 0.05, len(times))
    path = around(times, face)
    assert path.min() == path.max() == pytest.approx(face.mean(), abs=1e-3)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("lean", [0.05, 0.2, 0.24])
def test_a_level_is_taken_without_solving_only_where_it_is_the_solution(seed, lean):
    """Of 12 s with a lean of 6 s: one of 0.05 to 0.24 moves the camera or does not, as the solver says."""
    times = seconds(12)
    face = speaker(times, seed, every=1e9) + lean * (smooth_step(times, 3, 0.5) - smooth_step(times, 9, 0.5))
    path, pieces = around(times, face, half=0.5), _Pieces(np.zeros(1, np.intp), len(times))
    solved = _solve(_Program(times, face - 0.5, face + 0.5, face, L1Weights(), pieces, np.ones(len(times))))
    np.testing.assert_allclose(path, solved, atol=2 * STILL_SPAN)


def test_a_level_at_the_tube_s_edge():
    times = seconds(60)
    path = l1_path(times, np.zeros(len(times)), np.ones(len(times)), np.full(len(times), 5.0))
    assert path.min() == path.max() == pytest.approx(1, abs=1e-6)


def runs(values):
    """Lengths of runs of zeros."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values == 0, [False]]).astype(int)))
    return np.diff(edges)[::2]


def test_a_lean_is_two_moves_between_exact_stills():
    times = seconds(60)
    face = 0.5 * (smooth_step(times, 20, 0.8) - smooth_step(times, 40, 0.8))
    path = around(times, face)
    still = runs(np.diff(path))
    assert len(still[still > FPS]) == 3  # before, leant, after
    assert np.ptp(path[times < 17]) == np.ptp(path[(times > 24) & (times < 37)]) == np.ptp(path[times > 44]) == 0


@pytest.mark.parametrize("seed", range(3))
def test_it_never_swings_back(seed):
    """Where the tube only rises, the path does."""
    times = seconds(60)
    face = 0.5 * smooth_step(times, 20, 0.8) + 0.3 * smooth_step(times, 30 + seed, 2)
    path = around(times, face)
    assert np.diff(path).min() >= -1e-9
    assert path[0] >= -1e-6 and path[-1] <= 0.8 + 1e-6


@pytest.mark.parametrize(
    ("weights", "order"), [(L1Weights(1, 0, 0, 1), 1), (L1Weights(0, 1, 0, 1), 2), (L1Weights(0, 0, 1, 1), 3)]
)
def test_pieces_are_constant_linear_and_parabolic(weights, order):
    times = seconds(80)
    path = around(times, speaker(times, 1), weights)
    changes = np.abs(np.diff(path, order)) * FPS ** (order - 1)
    assert (changes < 1e-5).mean() > 0.85


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("jitter", [0.02, 0.03])
def test_a_seated_speaker_gets_a_calm_camera(seed, jitter):
    times = seconds(600)
    face = speaker(times, seed, jitter)
    path = around(times, face)
    speed = np.diff(path) * FPS
    acceleration = np.diff(speed) * FPS
    assert (speed == 0).mean() >= 0.6
    assert np.sqrt(np.mean(acceleration**2)) <= 0.1
    assert np.abs(acceleration).max() <= 1.5  # a move of 0.5 that began at full speed would have 10
    assert np.sqrt(np.mean((path - face) ** 2)) <= 0.15


# ---- the same in other words ----------------------------------------------------------------------------------------

CLOSE = 2e-6  # runs of tiny differences may be cut elsewhere


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(MIXED[:2]), st.floats(-1e3, 1e3), st.floats(-3, 3))
def test_moved_scaled_mirrored_reversed(seed, weights, shift, exponent):
    times, low, high, target = random_tube(seed, 200)
    path, scale = l1_path(times, low, high, target, weights), 10**exponent
    moved = l1_path(times + 7, low + shift, high + shift, target + shift, weights)
    scaled = l1_path(times, low * scale, high * scale, target * scale, weights, unit=scale)
    mirrored = l1_path(times, -high, -low, -target, weights)
    reverse = l1_path(-times[::-1], low[::-1], high[::-1], target[::-1], weights)[::-1]
    np.testing.assert_allclose(moved - shift, path, atol=CLOSE)
    np.testing.assert_allclose(scaled / scale, path, atol=CLOSE)
    np.testing.assert_allclose(-mirrored, path, atol=CLOSE)
    np.testing.assert_allclose(reverse, path, atol=CLOSE)


@pytest.mark.parametrize("seed", range(3))
def test_a_speaker_s_path_is_reproducible_to_the_ninth_digit(seed):
    times = seconds(200)
    face = speaker(times, seed)
    path = around(times, face)
    np.testing.assert_allclose(-around(times, -face), path, rtol=0, atol=1e-9)
    np.testing.assert_allclose(around(-times[::-1], face[::-1])[::-1], path, rtol=0, atol=1e-9)
    np.testing.assert_allclose(around(times, face * 333, half=HALF * 333, unit=333) / 333, path, rtol=0, atol=1e-9)


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_only_ratios_of_weights_matter(factor):
    times = seconds(60)
    face, usual = speaker(times), L1Weights()
    other = L1Weights(factor * usual.velocity, 0, factor * usual.jerk, factor * usual.centring)
    np.testing.assert_allclose(around(times, face, other), around(times, face), atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_a_variable_rate_gives_the_same_path_in_real_time(seed):
    even = seconds(80, 50)
    face = 0.5 * np.sin(even * 0.7) + 0.3 * smooth_step(even, 30, 1)
    rng = np.random.default_rng(seed)
    uneven = np.cumsum(rng.choice([0.01, 0.02, 0.033, 0.07], 2500))
    uneven = uneven[uneven < even[-1]]
    found = around(uneven, np.interp(uneven, even, face))
    np.testing.assert_allclose(found, np.interp(uneven, even, around(even, face)), atol=0.02)


def test_double_frame_rate_is_the_same_camera():
    slow, fast = seconds(60, 25), seconds(60, 50)
    face = lambda times: 0.5 * (smooth_step(times, 20, 0.8) - smooth_step(times, 40, 0.8))  # noqa: E731
    np.testing.assert_allclose(around(fast, face(fast))[::2], around(slow, face(slow)), atol=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_an_edit_changes_next_to_nothing_far_away(seed):
    """The optimum itself couples neighbouring levels a little, so this fades and does not end."""
    times = seconds(300)
    face = speaker(times, seed, every=6)
    edited = face + 0.3 * (smooth_step(times, 150, 0.3) - smooth_step(times, 150.7, 0.3))
    change = np.abs(around(times, edited) - around(times, face))
    away = np.abs(times - 150.5)
    assert change.max() > 1e-3
    assert change[away > 20].max() < 1e-3
    assert change[away > 40].max() < 1e-6


def test_beyond_a_fixed_still_an_edit_changes_nothing():
    """Three fixed samples determine place, speed and acceleration: what lies before does not matter after."""
    times = seconds(60)
    face = speaker(times, 1, every=6)
    low, high = face - HALF, face + HALF
    low[700:704] = high[700:704] = face[702]
    edited = np.where(times < 20, face + 0.1, face)
    path, other = l1_path(times, low, high, face), l1_path(times, low, high, edited)
    assert np.abs(other - path).max() > 1e-2
    np.testing.assert_allclose(other[704:], path[704:], atol=1e-6)


def test_a_drift_below_notice_is_no_motion():
    times = seconds(20)
    drift = np.linspace(0, 0.9 * STILL_SPAN, len(times))
    path = l1_path(times, drift - 1e-5, drift + 1e-5, drift)
    assert path.min() == path.max()


# ---- care -----------------------------------------------------------------------------------------------------------


def test_care_says_where_the_target_counts():
    """Where it does not, the path takes no detour that the tube does not ask for."""
    times = seconds(40)
    target = 0.2 * (smooth_step(times, 10, 0.5) - smooth_step(times, 30, 0.5))
    careless = np.where((times > 8) & (times < 32), 0.0, 1.0)
    assert np.ptp(around(times, target)) > 0.05
    assert np.ptp(around(times, target, care=careless)) < 1e-3
    np.testing.assert_array_equal(around(times, target, care=np.ones(len(times))), around(times, target))


# ---- many paths at once ---------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(0, 2**32), st.sampled_from(MIXED))
def test_paths_side_by_side_are_each_as_if_alone(lengths, seed, weights):
    """To the last bit, whatever the others are and wherever they stand."""
    times, low, high, target = random_tube(seed, sum(lengths))
    rng = np.random.default_rng(seed)
    scale = np.repeat(10.0 ** rng.integers(-2, 3, len(lengths)), lengths)
    low, high, target = low * scale, high * scale, target * scale
    starts = np.cumsum([0, *lengths[:-1]])
    together = l1_path(times, low, high, target, weights, unit=2.0, starts=starts)
    for start, length in zip(starts, lengths, strict=True):
        piece = slice(start, start + length)
        alone = l1_path(times[piece], low[piece], high[piece], target[piece], weights, unit=2.0)
        if length > 3:  # shorter ones lack some orders of differences when alone
            np.testing.assert_array_equal(together[piece], alone)
        np.testing.assert_allclose(together[piece], alone, atol=1e-5 * scale[start])


# ---- refusals, speed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"times_seconds": [0, 1, 1]}, "ascend"),
        ({"low": [0, 2, 0]}, "above"),
        ({"low": [0, 0]}, "one length"),
        ({"target": [0, np.nan, 0]}, "finite"),
        ({"high": [1, np.inf, 1]}, "finite"),
        ({"care": [1, -1, 1]}, "care"),
        ({"unit": 0}, "unit"),
        ({"unit": np.nan}, "unit"),
    ],
)
def test_what_makes_no_sense_is_refused(change, word):
    tube = {"times_seconds": [0, 1, 2], "low": [0, 0, 0], "high": [1, 1, 1], "target": [0, 0, 0]}
    with pytest.raises(ValueError, match=word):
        l1_path(**{**tube, **change})


@pytest.mark.parametrize("values", [(-1, 0, 0, 1), (np.nan, 0, 0, 1), (0, 0, 0, 0), (1, np.inf, 0, 1)])
def test_weights_that_make_no_sense_are_refused(values):
    with pytest.raises(ValueError, match="weights"):
        L1Weights(*values)


def test_giving_up_is_said(monkeypatch, caplog):
    monkeypatch.setattr("dft.render.camera.l1.MAX_ITERATIONS", 3)
    times = seconds(20)
    face = speaker(times, 2)
    with caplog.at_level(logging.WARNING):
        path = around(times, face)
    assert "after 3 iterations" in caplog.text
    assert np.abs(path - face).max() <= HALF + 1e-15


@pytest.mark.slow
def test_an_hour_takes_seconds(caplog):
    times = seconds(4320)
    face = speaker(times)
    start = time.process_time()
    path = around(times, face)
    assert len(path) == 108_000 and not caplog.records
    assert time.process_time() - start < 10  # 1.7 s measured on one core
