"""Who is A, who is B and who is neither, by known affinities and by place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.affinity import position_affinity
from dft.analyze.chains import Chain
from dft.analyze.identity import OTHER, cannot_links, identify

WIDTH = 640


def table_affinity(table):
    """Affinity by a table of log-odds between chains, whatever their order."""

    def affinity(chains):
        return lambda i: np.array([table[key(chains[i]), key(other)] for other in chains], np.float32)

    return affinity


def key(chain: Chain) -> tuple[int, float]:
    return int(chain.frame_index[0]), float(chain.place[0])


def together(chains):
    """Pairs that share a frame."""
    frames = [set(chain.frame_index.tolist()) for chain in chains]
    pairs = [(i, j) for i in range(len(chains)) for j in range(len(chains)) if i != j and frames[i] & frames[j]]
    assert pairs == [(i, int(j)) for i, links in enumerate(cannot_links(chains)) for j in sorted(links)]
    return pairs


@st.composite
def chain_sets(draw, tracklet):
    """Up to eight chains over three shots, at distinct places, some of them together."""
    chains = []
    for number in range(draw(st.integers(1, 8))):
        shot = draw(st.integers(0, 2))
        first = 100 * shot + draw(st.integers(0, 40))
        length = draw(st.integers(3, 50))
        x = draw(st.sampled_from([100.0, 200.0, 320.0, 450.0, 550.0])) + number
        chains.append(Chain((tracklet(range(first, first + length), x, shot=shot, height=60.0 + 2 * number),)))
    return chains


@pytest.fixture(scope="module")
def sets(tracklet):
    return chain_sets(tracklet)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_the_order_of_the_chains_does_not_matter(sets, data):
    chains = data.draw(sets)
    order = data.draw(st.permutations(range(len(chains))))
    straight = identify(chains, position_affinity(WIDTH), 3)
    shuffled = identify([chains[i] for i in order], position_affinity(WIDTH), 3)
    np.testing.assert_array_equal(shuffled.person, straight.person[list(order)])
    np.testing.assert_allclose(shuffled.margin, straight.margin[list(order)], rtol=1e-4)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_two_who_are_seen_together_are_never_one(sets, data):
    chains = data.draw(sets)
    identity = identify(chains, position_affinity(WIDTH), 3)
    assert identity.person.dtype == np.int8 and identity.person.shape == (len(chains),)
    for i, j in together(chains):
        assert identity.person[i] != identity.person[j] or identity.person[i] == OTHER


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_random_affinities_break_no_link_either(sets, data):
    chains = data.draw(sets)
    odds = {}
    for a in chains:
        for b in chains:
            odds[key(a), key(b)] = odds.get((key(b), key(a)), data.draw(st.floats(-3, 3)))
    identity = identify(chains, table_affinity(odds), 3)
    for i, j in together(chains):
        assert identity.person[i] != identity.person[j] or identity.person[i] == OTHER


def test_nobody(tracklet):
    identity = identify([], position_affinity(WIDTH), 3)
    assert len(identity.person) == len(identity.margin) == 0


@pytest.mark.parametrize("left_first", [True, False])
def test_a_is_the_left_one(chain, left_first):
    chains = [chain(range(50), 450.0), chain(range(50), 150.0)]
    if left_first:
        chains.reverse()
    person = identify(chains, position_affinity(WIDTH), 3).person
    assert person.tolist() == ([0, 1] if left_first else [1, 0])


def test_a_is_the_left_one_of_two_who_are_never_seen_together(chain):
    chains = [chain(range(50), 500.0), chain(range(50, 100), 120.0, shot=1)]
    assert identify(chains, position_affinity(WIDTH), 3).person.tolist() == [1, 0]


def test_one_person_is_a(chain):
    chains = [chain(range(50), 500.0), chain(range(60, 100), 510.0, shot=1)]
    assert identify(chains, position_affinity(WIDTH), 3).person.tolist() == [0, 0]


def test_the_only_chain_is_beyond_doubt(chain):
    identity = identify([chain(range(50), 500.0)], position_affinity(WIDTH), 3)
    assert identity.person.tolist() == [0]
    assert np.isinf(identity.margin).all()


def test_who_is_seen_too_briefly_is_no_main_person(chain):
    chains = [chain(range(50), 150.0), chain(range(5), 450.0)]
    assert identify(chains, position_affinity(WIDTH), 8).person.tolist() == [0, OTHER]
    assert identify(chains, position_affinity(WIDTH), 3).person.tolist() == [0, 1]


def test_a_bystander_stays_nobody(chain):
    """Three at once: the two large ones are the mains."""
    chains = [
        chain(range(100), 120.0, height=100.0),
        chain(range(100), 330.0, height=40.0),
        chain(range(100), 520.0, height=100.0),
    ]
    assert identify(chains, position_affinity(WIDTH), 3).person.tolist() == [0, OTHER, 1]


@pytest.mark.parametrize("x", [200.0, 330.0, 410.0])
def test_a_bystander_stays_nobody_after_a_cut(chain, x):
    """All three are seen for as long, so nothing but their places tells who is who."""
    places = [(120.0, 100.0), (x, 40.0), (520.0, 100.0)]
    chains = [chain(range(50), at, height=height) for at, height in places]
    chains += [chain(range(50, 100), at, height=height, shot=1) for at, height in places]
    assert identify(chains, position_affinity(WIDTH), 3).person.tolist() == [0, OTHER, 1] * 2


def test_persons_keep_their_place_across_a_cut_and_back(chain):
    chains = [
        chain(range(50), 150.0),
        chain(range(50), 480.0),
        chain(range(50, 90), 470.0, shot=1, height=160.0),
        chain(range(90, 140), 160.0, shot=2),
        chain(range(90, 140), 500.0, shot=2),
    ]
    assert identify(chains, position_affinity(WIDTH), 3).person.tolist() == [0, 1, 1, 0, 1]


def test_appearance_may_say_that_they_changed_places(chain):
    """Who was left in the first shot is right in the second: single moves cannot find that, the swap does."""
    chains = [
        chain(range(80), 150.0),
        chain(range(80), 480.0),
        chain(range(80, 130), 151.0, shot=1),
        chain(range(80, 130), 481.0, shot=1),
    ]
    same = {(0, 3), (1, 2)}
    odds = {
        (key(a), key(b)): 2.0 if i == j or (i, j) in same or (j, i) in same else -2.0
        for i, a in enumerate(chains)
        for j, b in enumerate(chains)
    }
    identity = identify(chains, table_affinity(odds), 3)
    assert identity.person.tolist() == [0, 1, 1, 0]
    assert (identity.margin[np.isfinite(identity.margin)] >= 0).all()


def test_the_margin_tells_doubt(chain):
    """A chain in the middle of the picture could be either; one at the place of A could not."""
    chains = [
        chain(range(80), 150.0),
        chain(range(80), 490.0),
        chain(range(80, 130), 320.0, shot=1),
        chain(range(130, 180), 150.0, shot=2),
    ]
    margin = identify(chains, position_affinity(WIDTH), 3).margin
    assert abs(margin[2]) < 0.5
    assert margin[3] > 1.0


def test_affinity_is_symmetric_and_falls_with_distance(chain):
    chains = [chain(range(10), 100.0), chain(range(20, 30), 140.0), chain(range(40, 50), 400.0)]
    log_odds = position_affinity(WIDTH)(chains)
    odds = np.stack([log_odds(i) for i in range(3)])
    assert odds.dtype == np.float32 and odds.shape == (3, 3)
    np.testing.assert_array_equal(odds, odds.T)
    assert odds[0, 0] > odds[0, 1] > 0 > odds[0, 2]
