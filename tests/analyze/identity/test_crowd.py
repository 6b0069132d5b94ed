"""Who is there, and which of them are the main persons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.identity import crowd
from dft.analyze.identity.affinity import Affinity
from dft.analyze.identity.crowd import cannot_links, choose_mains, cluster

WIDTH = 640.0
ALICE, BOB, CAROL, DAVE = np.eye(4)


def clustered(chains):
    affinity, apart = Affinity(chains, WIDTH), cannot_links(chains)
    return cluster(chains, affinity, apart), affinity, apart


def mains(chains, people=2, named=()):
    """Positions of the chains in each main's cluster; ``named`` are chains."""
    labels, affinity, apart = clustered(chains)
    chosen = choose_mains(chains, labels, affinity, apart, people, [int(labels[i]) for i in named])
    assert len(chosen) == len(set(chosen)) <= people
    return [np.flatnonzero(labels == c).tolist() for c in chosen]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=10))
def test_cannot_links_are_the_overlaps(chain, spans):
    chains = [chain(range(first, first + length), 100.0) for first, length in spans]
    links = [own.tolist() for own in cannot_links(chains)]
    assert links == [
        [j for j, other in enumerate(chains) if i != j and own.overlaps(other)] for i, own in enumerate(chains)
    ]


@st.composite
def crowds(draw):
    """Seed and spans of chains over three shots."""
    shots = draw(st.lists(st.integers(0, 2), min_size=1, max_size=9))
    spans = [(100 * shot + draw(st.integers(0, 50)), draw(st.integers(1, 50)), shot) for shot in shots]
    return draw(st.integers(0, 10**6)), spans


@settings(deadline=None, max_examples=150)
@given(crowds())
def test_clusters_never_join_two_who_are_seen_together(chain, case):
    seed, spans = case
    random = np.random.default_rng(seed)
    chains = [
        chain(
            range(first, first + length), float(random.uniform(50, 600)), shot=shot,
            faces=[(0, 0.5 * random.normal(size=3))] * int(random.integers(0, 3)),
        )
        for first, length, shot in spans
    ]  # fmt: skip
    labels, _, apart = clustered(chains)
    assert sorted(set(labels.tolist())) == list(range(labels.max() + 1))
    for i, links in enumerate(apart):
        assert not (labels[links] == labels[i]).any()


def test_faces_make_the_clusters_across_cuts(chain):
    """Both change places in the second shot, and one comes alone in the third."""
    chains = [
        chain(range(50), 150.0, faces=[(5, ALICE), (40, ALICE)]),
        chain(range(50), 480.0, faces=[(5, BOB), (40, BOB)]),
        chain(range(50, 100), 150.0, shot=1, faces=[(5, BOB), (40, BOB)]),
        chain(range(50, 100), 480.0, shot=1, faces=[(5, ALICE), (40, ALICE)]),
        chain(range(100, 150), 320.0, shot=2, faces=[(5, ALICE)]),
    ]
    labels, *_ = clustered(chains)
    assert labels[0] == labels[3] == labels[4] != labels[1] == labels[2]


def test_one_alone_is_one_cluster(chain):
    assert clustered([chain(range(5), 100.0)])[0].tolist() == [0]


def test_more_than_can_be_clustered_leaves_the_shortest_out(chain, monkeypatch):
    monkeypatch.setattr(crowd, "MAX_CLUSTERED", 2)
    chains = [chain(range(3), 100.0), chain(range(10, 40), 100.0), chain(range(50, 90), 500.0)]
    labels, affinity, apart = clustered(chains)
    assert labels[0] == -1 and (labels[1:] >= 0).all()
    assert sorted(choose_mains(chains, labels, affinity, apart, 2)) == [0, 1]


@pytest.mark.parametrize(
    ("times", "sizes", "wanted"),
    [
        ((90, 90, 40), (100.0, 100.0, 100.0), {0, 1}),
        ((40, 90, 90), (100.0, 100.0, 100.0), {1, 2}),
        ((90, 90, 90), (100.0, 40.0, 100.0), {0, 2}),
        ((90, 60, 90), (100.0, 100.0, 40.0), {0, 1}),
    ],
    ids=["the longest seen", "whoever comes first", "the largest", "large beats long"],
)
def test_the_mains_are_seen_longest_and_largest(chain, times, sizes, wanted):
    chains = [
        chain(range(time), x, height=size) for time, size, x in zip(times, sizes, (100.0, 320.0, 540.0), strict=True)
    ]
    assert {i for own in mains(chains) for i in own} == wanted


def test_the_mains_are_seen_together(chain):
    """A presenter speaks alone as long as each of two guests, who talk with each other."""
    chains = [
        chain(range(100), 320.0, faces=[(5, ALICE)]),
        chain(range(100, 190), 150.0, shot=1, faces=[(5, BOB)]),
        chain(range(100, 190), 500.0, shot=1, faces=[(5, CAROL)]),
    ]
    assert sorted(mains(chains)) == [[1], [2]]


def test_two_who_are_never_seen_together_are_two_by_their_faces(chain):
    chains = [
        chain(range(100), 320.0, faces=[(5, ALICE), (50, ALICE)]),
        chain(range(100, 190), 320.0, shot=1, faces=[(5, BOB), (50, BOB)]),
    ]
    assert sorted(mains(chains)) == [[0], [1]]


def test_a_double_detection_is_no_second_person(chain):
    """Another box at the same place for two frames."""
    chains = [chain(range(100), 320.0, faces=[(5, ALICE)]), chain([30, 31], 330.0)]
    assert mains(chains) == [[0]]


@pytest.mark.parametrize("people", [1, 2, 3, 4])
def test_as_many_as_are_wanted(chain, people):
    """Five in a row, of falling time on screen."""
    chains = [chain(range(100 - 10 * i), 60.0 + 120 * i, height=60.0) for i in range(5)]
    assert sorted(mains(chains, people)) == [[i] for i in range(people)]


def test_no_more_than_there_are(chain):
    assert mains([chain(range(50), 100.0)], people=4) == [[0]]


def test_who_is_named_comes_first(chain):
    chains = [chain(range(100 - 20 * i), 100.0 + 150 * i, height=60.0) for i in range(4)]
    assert mains(chains, named=[3])[0] == [3] and len(mains(chains, named=[3])) == 2
    assert mains(chains, named=[3, 2]) == [[3], [2]]
    assert mains(chains, people=1, named=[3]) == [[3]]
    assert mains(chains, named=[2, 2])[0] == [2], "the same one named twice"
