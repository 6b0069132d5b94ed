import numpy as np
import pytest

from dft.analyze.outcome.gaps import fill_gaps
from dft.analyze.outcome.rows import Rows

TIMES = np.arange(200) / 25.0
ONE_SHOT = np.zeros(200, np.int32)


def filled(chains, persons=(0,), times=TIMES, shots=ONE_SHOT, limit=1.0, person=0):
    rows = Rows.of_chains(chains, np.array(persons, np.int8))
    return fill_gaps(rows, person, times, shots, limit)


def test_a_gap_is_filled_in_a_straight_line(chain, tracklet, box):
    made = filled([chain([0, 1, 2, 7, 8], [100.0, 100, 100, 110, 110])])
    assert made.frame_index.tolist() == [3, 4, 5, 6]
    wanted = [box(100 + 10 * (frame - 2) / 5) for frame in range(3, 7)]
    np.testing.assert_allclose(made.boxes_xyxy, wanted, atol=1e-3)
    assert made.interpolated.all() and (made.scores == 0).all() and np.isnan(made.landmarks).all()
    assert (made.person == 0).all() and made.boxes_xyxy.dtype == np.float32


def test_the_line_is_straight_in_time_not_in_frames(chain, box):
    times = np.array([0.0, 0.1, 0.15, 0.35, 0.4, 0.5])
    made = filled([chain([0, 1, 5], [100.0, 100.0, 140.0])], times=times, shots=np.zeros(6, np.int32))
    assert made.frame_index.tolist() == [2, 3, 4]
    np.testing.assert_allclose(made.boxes_xyxy, [box(x) for x in (105, 125, 130)], atol=1e-3)


@pytest.mark.parametrize(("missing", "num"), [(24, 24), (25, 0)])
def test_long_gaps_stay_open(chain, missing, num):
    assert len(filled([chain([0, 1, missing + 2], 100.0)])) == num


def test_never_across_a_cut(chain):
    shots = np.where(np.arange(200) < 5, 0, 1).astype(np.int32)
    assert len(filled([chain([2, 3, 7, 8], 100.0)], shots=shots)) == 0


def test_a_jump_is_not_filled(chain):
    """300 pixels are three face heights; in a fifth of a second nobody moves so far."""
    assert len(filled([chain([0, 1, 5, 6], [100.0, 100, 400, 400])])) == 0


def test_only_the_asked_person(chain):
    chains = [chain([0, 5], 100.0), chain([0, 5], 400.0), chain([0, 5], 600.0)]
    for person, x in ((0, 100), (1, 400)):
        made = filled(chains, (0, 1, -1), person=person)
        assert set(made.track.tolist()) == {person}
        assert made.boxes_xyxy[:, [0, 2]].mean() == pytest.approx(x)


def test_two_chains_of_a_person_are_bridged(chain):
    made = filled([chain(range(5), 100.0), chain(range(10, 15), 104.0)], (0, 0))
    assert made.frame_index.tolist() == [5, 6, 7, 8, 9]


def test_nothing_to_fill(chain):
    assert len(filled([chain(range(10), 100.0)])) == 0
    assert len(filled([chain(range(10), 100.0)], (1,))) == 0


def test_bridged_rows_belong_to_the_track_before(chain):
    made = filled(
        [chain(range(5), 100.0), chain(range(10, 15), 104.0), chain(range(20, 30), 104.0)], (1, 1, 1), person=1
    )
    assert made.frame_index.tolist() == [*range(5, 10), *range(15, 20)]
    assert made.track.tolist() == [0] * 5 + [1] * 5 and set(made.person.tolist()) == {1}


@pytest.mark.parametrize(("missing", "far", "is_filled"), [(2, 130.0, True), (2, 160.0, False), (20, 400.0, True)])
def test_the_longer_the_gap_the_further_may_one_have_moved(chain, missing, far, is_filled):
    """A face height, and four per second on top."""
    chains = [chain(range(5), 100.0), chain(range(5 + missing, 60), 100.0 + far)]
    assert len(filled(chains, (0, 0))) == (missing if is_filled else 0)


def test_between_two_unknown_tracks_nothing_is_made_up(chain):
    assert len(filled([chain(range(5), 100.0), chain(range(10, 15), 104.0)], (-1, -1))) == 0
    assert len(filled([chain(range(5), 100.0), chain(range(10, 15), 104.0)], (0, -1))) == 0


def test_who_is_hidden_by_another_is_not_filled_in(chain):
    """B is detected where A would be in frames 4 to 6: A is behind B."""
    a = chain([0, 1, 2, 3, 7, 8], 100.0)
    b = chain(range(9), [300, 300, 300, 200, 100, 100, 100, 200, 300])
    assert len(filled([a, b], (0, 1))) == 0
    beside = chain(range(9), 160.0)
    assert filled([a, beside], (0, 1)).frame_index.tolist() == [4, 5, 6]
