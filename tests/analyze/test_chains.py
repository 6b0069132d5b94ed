import numpy as np
import pytest

from dft.analyze.chains import link_chains

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
    before = tracklet(range(30), 300.0)
    rivals = [tracklet(range(35, 70), 302.0), tracklet(range(35, 70), 372.0)]
    chains = link_chains([before, *rivals], MAX_GAP)
    assert parts(chains) == [[0, 35], [35]]
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


def test_several_short_pieces_become_one(tracklet):
    pieces = [tracklet(range(start, start + 8), 200.0) for start in range(0, 100, 10)]
    assert parts(link_chains(pieces, MAX_GAP)) == [list(range(0, 100, 10))]


def test_overlap(chain):
    a, b, c = chain(range(10), 100.0), chain(range(9, 20), 300.0), chain(range(10, 20), 500.0)
    assert a.overlaps(b) and b.overlaps(a) and not a.overlaps(c)


def test_nothing():
    assert link_chains([], MAX_GAP) == []


def test_place(chain):
    np.testing.assert_allclose(chain(range(10), 300.0, y=120.0, height=80.0).place, [300, 120, 80])
