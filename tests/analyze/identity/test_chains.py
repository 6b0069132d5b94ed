import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.identity.chains import gap_cost, link_chains

MAX_GAP = 2.0


def parts(chains):
    """First frames of the tracklets of each chain."""
    return sorted([int(t.frame_index[0]) for t in chain.tracklets] for chain in chains)


@pytest.mark.parametrize("gap", [2, 10, 25, 45])
def test_a_gap_is_joined(tracklet, gap):
    chains = link_chains([tracklet(range(30), 200.0), tracklet(range(30 + gap, 70 + gap), 205.0)], MAX_GAP)
    assert parts(chains) == [[0, 30 + gap]]
    assert len(chains[0]) == 70 and chains[0].frame_index.dtype == np.int32


def test_too_long_a_gap_is_not(tracklet):
    assert parts(link_chains([tracklet(range(30), 200.0), tracklet(range(90, 120), 200.0)], MAX_GAP)) == [[0], [90]]


def test_motion_is_continued(tracklet):
    def walk(t):
        return 100 + 150 * t

    assert parts(link_chains([tracklet(range(30), walk), tracklet(range(38, 60), walk)], MAX_GAP)) == [[0, 38]]


@pytest.mark.parametrize("change", [{"x": 420.0}, {"height": 190.0}], ids=["far away", "another size"])
def test_another_place_or_size_is_not_joined(tracklet, change):
    second = {"x": 200.0, "height": 100.0} | change
    x = second.pop("x")
    assert parts(link_chains([tracklet(range(30), 200.0), tracklet(range(35, 70), x, **second)], MAX_GAP)) == [
        [0],
        [35],
    ]


def test_never_across_a_cut(tracklet):
    chains = link_chains([tracklet(range(30), 200.0), tracklet(range(30, 60), 200.0, shot=1)], MAX_GAP)
    assert parts(chains) == [[0], [30]]


def test_two_continuations_are_split_not_guessed(tracklet):
    before = tracklet(range(30), 300.0)
    rivals = [tracklet(range(35, 70), 270.0), tracklet(range(35, 70), 332.0)]
    assert parts(link_chains([before, *rivals], MAX_GAP)) == [[0], [35], [35]]


def test_two_origins_are_split_not_guessed(tracklet):
    before = [tracklet(range(30), 270.0), tracklet(range(30), 332.0)]
    assert parts(link_chains([*before, tracklet(range(35, 70), 300.0)], MAX_GAP)) == [[0], [0], [35]]


def test_a_clearly_nearer_one_is_joined(tracklet):
    """After 1.6 s either could be; one is much nearer, and the other too far away to have taken the place."""
    before = tracklet(range(30), 300.0)
    rivals = [tracklet(range(70, 100), 302.0), tracklet(range(70, 100), 460.0)]
    assert all(gap_cost(before, rival) < 1 for rival in rivals)
    chains = link_chains([before, *rivals], MAX_GAP)
    assert parts(chains) == [[0, 70], [70]]
    joined = max(chains, key=len)
    assert joined.boxes_xyxy[-1, [0, 2]].mean() == pytest.approx(302)


def test_two_people_each_with_a_gap(tracklet):
    pieces = [
        tracklet(range(30), 200.0),
        tracklet(range(30), 450.0),
        tracklet(range(40, 70), 450.0),
        tracklet(range(42, 70), 200.0),
    ]
    assert parts(link_chains(pieces, MAX_GAP)) == [[0, 40], [0, 42]]


def test_several_pieces_become_one(tracklet):
    pieces = [tracklet(range(start, start + 14), 200.0) for start in range(0, 160, 16)]
    assert parts(link_chains(pieces, MAX_GAP)) == [list(range(0, 160, 16))]


ALICE, BOB = [1.0, 0.0], [0.0, 1.0]


@pytest.mark.parametrize(
    ("before", "after", "joined"),
    [
        ((ALICE, 1.0), (ALICE, 1.0), True),
        ((ALICE, 1.0), (BOB, 1.0), False),
        ((ALICE, 1.0), ([0.8, 0.3], 0.3), True),
        ((ALICE, 1.0), None, True),
        (None, None, True),
    ],
    ids=["the same face", "another face", "a poor picture", "no face after", "no faces"],
)
def test_faces_may_speak_against_what_motion_joins(tracklet, before, after, joined):
    faces = [[] if face is None else [(5, *face), (9, *face), (12, *face)] for face in (before, after)]
    pieces = [tracklet(range(30), 200.0, faces=faces[0]), tracklet(range(35, 70), 202.0, faces=faces[1])]
    assert parts(link_chains(pieces, MAX_GAP)) == ([[0, 35]] if joined else [[0], [35]])


@pytest.mark.parametrize(
    ("frames", "x", "joined"),
    [(range(25, 45), 290.0, False), (range(25, 45), 420.0, True), (range(60, 90), 290.0, True)],
    ids=["near meanwhile", "far away", "near long after"],
)
def test_nobody_else_may_be_near_a_gap(tracklet, frames, x, joined):
    """Whoever stands there could have taken the place: who it is, is decided by all that is known."""
    pieces = [tracklet(range(30), 200.0), tracklet(range(40, 70), 200.0)]
    chains = link_chains([*pieces, tracklet(frames, x)], MAX_GAP)
    assert ([0, 40] in parts(chains)) == joined


def test_who_is_near_in_another_shot_is_not_near(tracklet):
    pieces = [tracklet(range(30), 200.0), tracklet(range(34, 70), 200.0), tracklet(range(71, 99), 210.0, shot=1)]
    assert parts(link_chains(pieces, MAX_GAP)) == [[0, 34], [71]]


def test_somebody_else_walks_through_the_gap(tracklet):
    """Alice is hidden while Bob goes by: neither is joined to the other, and nothing is joined across him."""
    pieces = [
        tracklet(range(30), 200.0),
        tracklet(range(28, 48), lambda t: 100 + 150 * (t - 1.12), height=120.0),
        tracklet(range(45, 80), 200.0),
    ]
    assert parts(link_chains(pieces, MAX_GAP)) == [[0], [28], [45]]


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_every_tracklet_is_in_one_chain_whatever_the_order(tracklet, data):
    """Chains are made of tracklets of one shot that follow each other."""
    pieces = []
    for _ in range(data.draw(st.integers(1, 9))):
        first, length = data.draw(st.integers(0, 90)), data.draw(st.integers(1, 30))
        faces = data.draw(st.sampled_from([[], [(0, ALICE)], [(0, BOB)]]))
        x = float(data.draw(st.integers(100, 500)))
        pieces.append(tracklet(range(first, first + length), x, shot=first // 40, faces=faces))
    order = data.draw(st.permutations(range(len(pieces))))
    found = [
        {frozenset(which.index(id(t)) for t in chain.tracklets) for chain in link_chains(given_, MAX_GAP)}
        for which, given_ in (
            ([id(t) for t in pieces], pieces), ([id(t) for t in pieces], [pieces[i] for i in order]),
        )
    ]  # fmt: skip
    assert found[0] == found[1]
    assert sorted(i for group in found[0] for i in group) == list(range(len(pieces)))
    for chain in link_chains(pieces, MAX_GAP):
        assert len({t.shot for t in chain.tracklets}) == 1
        assert (np.diff(chain.frame_index) > 0).all()


def test_the_cost_of_a_gap(tracklet):
    """0 where motion goes on, 1 at what is allowed, more beyond; infinite in another shot or size."""

    def cost(x, **where):
        return gap_cost(tracklet(range(30), 200.0), tracklet(range(40, 70), x, **where))

    assert cost(200.0) == pytest.approx(0.0, abs=1e-9)
    costs = [cost(200.0 + off) for off in (0, 20, 50, 100, 300)]
    assert costs == sorted(costs) and costs[1] < 0.5 and costs[-1] > 2
    assert cost(250.0, height=120.0) < 1.0 < cost(250.0, height=30.0) == np.inf == cost(200.0, shot=1)


def test_who_turns_round_costs_more_than_who_goes_on(tracklet):
    def walk(t):
        return 100 + 100 * t

    before = tracklet(range(30), walk)
    on, back = tracklet(range(35, 60), walk), tracklet(range(35, 60), lambda t: walk(1.4) - 100 * (t - 1.4))
    assert gap_cost(before, on) < gap_cost(before, back)


def test_faces_of_a_chain(chain, tracklet):
    from dft.analyze.identity.chains import Chain

    vectors, quality = chain(range(9), 100.0).faces
    assert vectors.shape == (0, 0) and quality.shape == (0,)
    parts_ = (tracklet(range(9), 100.0), tracklet(range(20, 29), 100.0, faces=[(1, BOB, 0.5), (0, ALICE)]))
    vectors, quality = Chain(parts_).faces
    assert vectors.tolist() == [ALICE, BOB] and quality.tolist() == [1.0, 0.5]
    assert vectors.dtype == quality.dtype == np.float32


def test_overlap(chain):
    a, b, c = chain(range(10), 100.0), chain(range(7, 20), 300.0), chain(range(8, 20), 500.0)
    assert a.overlaps(b) and b.overlaps(a)
    assert not a.overlaps(c) and not c.overlaps(a), "a slip of two frames is how a change of tracks looks"
    within = chain(range(8, 9), 100.0)
    assert a.overlaps(within) and within.overlaps(a) and a.overlaps(a)


def test_nothing():
    assert link_chains([], MAX_GAP) == []


def test_place(chain):
    np.testing.assert_allclose(chain(range(10), 300.0, y=120.0, height=80.0).place, [300, 120, 80])
