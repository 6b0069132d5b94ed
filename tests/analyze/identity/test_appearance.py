import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dft.analyze.identity.appearance import (
    EVEN,
    FEW,
    FULL_COUNT,
    LIMIT,
    POOR,
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


def odds(squared: float, a: tuple[float, float], b: tuple[float, float]) -> float:
    """Of groups given by the mean quality and the number of their faces."""
    sides = [(np.array(quality * count), np.array(count)) for quality, count in (a, b)]
    return float(log_odds(np.array(squared), *sides))


GROUPS = st.tuples(st.floats(0.1, 1), st.floats(1, FULL_COUNT))  # mean quality, and number of faces


def test_a_mean_is_weighted_by_quality():
    pooled = pool([group([[1, 0], [0, 1]], [0.9, 0.3]), NOTHING, group([[2, 2]], [1])])
    np.testing.assert_allclose(pooled.vectors, [[0.75, 0.25], [0, 0], [2, 2]], rtol=1e-6)
    np.testing.assert_allclose(pooled.weight, [1.2, 0, 1], rtol=1e-6)
    assert pooled.count.tolist() == [2, 0, 1] and len(pooled) == 3


@pytest.mark.parametrize("quality", [1.0, 0.25])
def test_the_count_has_a_limit(quality):
    """After which more faces of a kind add nothing, be they poor."""
    pooled = pool([group(np.ones((9, 2)), np.full(9, quality))])
    assert pooled.count.tolist() == [FULL_COUNT] and pooled.weight.tolist() == [FULL_COUNT * quality]


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


@given(GROUPS, GROUPS)
def test_where_odds_are_even(a, b):
    """The fewer and the poorer the faces, the further apart two groups of one person may be."""
    single = sum(1 / count for _, count in (a, b))
    poor = sum(1 / (quality * count) for quality, count in (a, b)) - single
    even = EVEN**2 + FEW * single + POOR * poor
    assert odds(even, a, b) == pytest.approx(0, abs=1e-5)
    assert odds(0.9 * even, a, b) > 0 > odds(1.1 * even, a, b)


@given(st.floats(0, 9), st.floats(0, 9), GROUPS, GROUPS)
def test_odds_fall_with_the_distance_and_are_limited(near, far, a, b):
    near, far = sorted((near, far))
    assert LIMIT >= odds(near, a, b) >= odds(far, a, b) >= -LIMIT
    assert odds(near, a, b) == pytest.approx(odds(near, b, a), abs=1e-5)
    assert odds(near, a, (0.0, b[1])) == odds(near, (0.0, 0.0), b) == 0


@given(st.floats(1, FULL_COUNT), st.floats(1, FULL_COUNT), st.sampled_from([0.0, 4.0]))
def test_more_good_faces_say_more(few, many, squared):
    few, many = sorted((few, many))
    assert abs(odds(squared, (1, few), (1, few))) <= abs(odds(squared, (1, many), (1, many))) + 1e-5


@given(VECTORS, VECTORS)
def test_squared_distances(a, b):
    found = squared_distances(*(Pooled(v, np.ones(len(v)), np.ones(len(v))) for v in (a, b)))
    wanted = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
    assert (found >= 0).all()
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@given(VECTORS, st.data())
def test_a_mean_lies_among_its_faces(vectors, data):
    quality = data.draw(hnp.arrays(np.float32, len(vectors), elements=st.floats(0, 1, width=32)))
    assume(quality.sum() > 1e-3)
    (mean,) = pool([(vectors.astype(np.float32), quality)]).vectors
    assert (mean <= vectors.max(axis=0) + 1e-5).all() and (mean >= vectors.min(axis=0) - 1e-5).all()
