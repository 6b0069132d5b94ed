"""Place and face add up to the log-odds that two chains are one person."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.identity.affinity import OTHER_SHOT_SURE, SAME_SHOT_SURE, Affinity
from dft.analyze.identity.appearance import LIMIT, pool, same_log_odds

WIDTH = 640.0
ALICE, BOB = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


def all_rows(chains):
    everybody = np.arange(len(chains))
    return Affinity(chains, WIDTH).rows(everybody, everybody)


def test_it_is_symmetric_and_falls_with_the_distance(chain):
    odds = all_rows([chain(range(10), 100.0), chain(range(20, 30), 140.0), chain(range(40, 50), 520.0)])
    assert odds.dtype == np.float32 and odds.shape == (3, 3)
    np.testing.assert_array_equal(odds, odds.T)
    assert odds[0, 0] == SAME_SHOT_SURE > odds[0, 1] > 0 > odds[0, 2] == -SAME_SHOT_SURE


def test_in_another_shot_only_x_counts_and_less(chain):
    places = [(100.0, 100.0, 0), (100.0, 300.0, 1), (190.0, 100.0, 1), (600.0, 100.0, 1)]
    odds = all_rows([chain(range(10 * i, 10 * i + 9), x, y=y, shot=shot) for i, (x, y, shot) in enumerate(places)])
    assert odds[0, 1] == OTHER_SHOT_SURE > odds[0, 2] > 0 > odds[0, 3] == -OTHER_SHOT_SURE


@pytest.mark.parametrize("height", [20.0, 50.0, 100.0])
def test_distances_within_a_shot_are_in_face_heights(chain, height):
    chains = [chain(range(9), 200.0, height=height), chain(range(20, 29), 200.0 + height, height=height)]
    assert all_rows(chains)[0, 1] == pytest.approx(SAME_SHOT_SURE / 2)


def test_place_and_face_add_up(chain):
    chains = [
        chain(range(30), 100.0, faces=[(3, ALICE), (9, ALICE)]),
        chain(range(40, 60), 130.0, faces=[(3, BOB), (9, BOB, 0.6)]),
        chain(range(60, 90), 500.0, faces=[(1, ALICE), (2, ALICE, 0.4)], shot=1),
    ]
    affinity, everybody = Affinity(chains, WIDTH), np.arange(3)
    faces = pool([c.faces for c in chains])
    np.testing.assert_allclose(
        affinity.rows(everybody, everybody),
        affinity.by_place(everybody, everybody) + same_log_odds(faces, faces), rtol=1e-5,
    )  # fmt: skip
    odds = affinity.rows(everybody, everybody)
    assert odds[0, 1] < -2, "another face at nearly the same place"
    assert odds[0, 2] > 1, "the same face far away in another shot"


def test_without_a_face_the_place_alone_counts(chain):
    faced, other = chain(range(30), 100.0, faces=[(3, ALICE)]), chain(range(40, 60), 130.0)
    for chains in ([faced, other], [other, faced], [other, chain(range(30), 100.0)]):
        affinity = Affinity(chains, WIDTH)
        place = affinity.by_place(np.array([0]), np.array([1]))
        np.testing.assert_array_equal(affinity.rows(np.array([0]), np.array([1])), place)


def test_nobody():
    assert all_rows([]).shape == (0, 0)


def test_a_chain_of_several_tracklets_pools_their_faces(tracklet, chain):
    from dft.analyze.identity.chains import Chain

    parts = Chain((tracklet(range(9), 100.0, faces=[(0, ALICE)]), tracklet(range(20, 29), 100.0, faces=[(1, BOB)])))
    whole = chain([*range(9), *range(20, 29)], 100.0, faces=[(0, ALICE), (10, BOB)])
    other = chain(range(40, 50), 300.0, faces=[(0, ALICE)])
    np.testing.assert_array_equal(all_rows([parts, other]), all_rows([whole, other]))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), num=st.integers(1, 7))
def test_rows_asked_for_one_by_one_are_those_of_all_at_once(chain, seed, num):
    random = np.random.default_rng(seed)
    chains = [
        chain(
            range(20 * i, 20 * i + 15), float(random.uniform(50, 600)), shot=i // 3,
            faces=[(int(k), random.normal(0, 0.4, 4)) for k in random.permutation(15)[: random.integers(0, 4)]],
        )
        for i in range(num)
    ]  # fmt: skip
    affinity, odds = Affinity(chains, WIDTH), all_rows(chains)
    assert np.isfinite(odds).all() and np.abs(odds).max() <= LIMIT + SAME_SHOT_SURE
    np.testing.assert_allclose(odds, odds.T, atol=1e-5)
    which = random.permutation(num)[: random.integers(0, num + 1)]
    for i in range(num):
        np.testing.assert_allclose(affinity.rows(np.array([i]), which)[0], odds[i, which], atol=1e-5)
