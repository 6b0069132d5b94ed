import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dft.analyze.appearance import (
    EVEN,
    FULL_WEIGHT,
    LIMIT,
    NOISE,
    Pooled,
    log_odds,
    pool,
    same_log_odds,
    squared_distances,
)

NOTHING = (np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
VECTORS = hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(4)), elements=st.floats(-2, 2))


def group(vectors, quality):
    return np.array(vectors, np.float32), np.array(quality, np.float32)


def odds(squared, a, b) -> float:
    return float(log_odds(np.array(squared), np.array(a), np.array(b)))


def test_a_mean_is_weighted_by_quality():
    pooled = pool([group([[1, 0], [0, 1]], [0.9, 0.3]), NOTHING, group([[2, 2]], [1])])
    np.testing.assert_allclose(pooled.vectors, [[0.75, 0.25], [0, 0], [2, 2]], rtol=1e-6)
    np.testing.assert_allclose(pooled.weight, [1.2, 0, 1], rtol=1e-6)
    assert len(pooled) == 3


def test_the_weight_has_a_limit():
    assert pool([group(np.ones((9, 2)), np.ones(9))]).weight.tolist() == [FULL_WEIGHT]


@pytest.mark.parametrize("groups", [[], [NOTHING], [NOTHING, NOTHING]], ids=len)
def test_groups_without_faces(groups):
    pooled = pool(groups)
    assert pooled.vectors.shape == (len(groups), 0) and (pooled.weight == 0).all()
    other = pool([group([[1, 0]], [1])])
    for found in (same_log_odds(pooled, pooled), same_log_odds(pooled, other), same_log_odds(other, pooled).T):
        assert found.dtype == np.float32 and (found == 0).all() and len(found) == len(groups)


def test_faces_without_quality_say_nothing():
    pooled = pool([group([[1, 0]], [0]), group([[1, 0]], [1])])
    assert same_log_odds(pooled, pooled)[0].tolist() == [0, 0]


def test_near_is_the_same_and_far_is_another():
    pooled = pool([group([[1, 0]] * 3, [1, 1, 1]), group([[1, 0.1]] * 3, [1, 1, 1]), group([[0, 1]] * 3, [1, 1, 1])])
    found = same_log_odds(pooled, pooled)
    assert found[0, 1] > 2 and found[0, 2] < -2 and found[0, 0] >= found[0, 1]
    np.testing.assert_array_equal(found, found.T)


@given(st.floats(0.05, FULL_WEIGHT), st.floats(0.05, FULL_WEIGHT))
def test_where_odds_are_even(a, b):
    """Poor pictures look like nobody: the less they weigh, the further apart two of one person may be."""
    even = EVEN**2 + NOISE * (1 / a + 1 / b)
    assert odds(even, a, b) == pytest.approx(0, abs=1e-5)
    assert odds(0.9 * even, a, b) > 0 > odds(1.1 * even, a, b)


@given(st.floats(0, 9), st.floats(0, 9), st.floats(0, FULL_WEIGHT), st.floats(0, FULL_WEIGHT))
def test_odds_fall_with_the_distance_and_are_limited(near, far, a, b):
    near, far = sorted((near, far))
    assert LIMIT >= odds(near, a, b) >= odds(far, a, b) >= -LIMIT
    assert odds(near, a, b) == odds(near, b, a)
    if min(a, b) == 0:
        assert odds(near, a, b) == 0


@given(st.floats(0.05, 2), st.floats(1.1, 2), st.sampled_from([0.0, 6.0]))
def test_more_faces_say_more(weight, times, squared):
    assert abs(odds(squared, weight, weight)) <= abs(odds(squared, times * weight, times * weight))


@given(VECTORS, VECTORS)
def test_squared_distances(a, b):
    found = squared_distances(Pooled(a, np.ones(len(a))), Pooled(b, np.ones(len(b))))
    wanted = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
    assert (found >= 0).all()
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@given(VECTORS, st.data())
def test_a_mean_lies_among_its_faces(vectors, data):
    quality = data.draw(hnp.arrays(np.float32, len(vectors), elements=st.floats(0, 1, width=32)))
    assume(quality.sum() > 1e-3)
    (mean,) = pool([(vectors.astype(np.float32), quality)]).vectors
    assert (mean <= vectors.max(axis=0) + 1e-5).all() and (mean >= vectors.min(axis=0) - 1e-5).all()
