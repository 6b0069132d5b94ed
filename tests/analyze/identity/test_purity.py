import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.identity.purity import pure, step_heights

NOBODY = np.zeros(0, np.int64)
A, B = np.eye(4, dtype=np.float32)[:2]
DISTANCE = 2**0.5  # of A and B, in same-person distances


def between(share: float):
    """A face on the way from A to B."""
    return (1 - share) * A + share * B


def sizes(parts) -> list[int]:
    return [len(part) for part in parts]


def test_one_person_stays_whole(tracklet):
    whole = tracklet(range(100), lambda t: 300 + 100 * np.sin(3 * t), faces=[(i, A) for i in range(0, 100, 20)])
    (part,) = pure([whole], NOBODY)
    np.testing.assert_array_equal(part.frame_index, whole.frame_index)
    np.testing.assert_array_equal(part.embeddings, whole.embeddings)


@pytest.mark.parametrize(
    ("step", "expected"),
    [pytest.param(80, [50], id="fast"), pytest.param(150, [20, 30], id="faster than anybody")],
)
def test_a_jump_splits(tracklet, step, expected):
    assert sizes(pure([tracklet(range(50), [300.0] * 20 + [300.0 + step] * 30)], NOBODY)) == expected


def test_a_jump_is_measured_in_faces(tracklet):
    places = [300.0] * 20 + [360.0] * 30
    assert sizes(pure([tracklet(range(50), places, height=100)], NOBODY)) == [50]
    assert sizes(pure([tracklet(range(50), places, height=40)], NOBODY)) == [20, 30]


def test_in_more_time_one_may_be_further_off(tracklet):
    places = [300.0] * 20 + [390.0] * 30
    assert sizes(pure([tracklet(range(50), places, fps=60.0)], NOBODY)) == [20, 30]
    assert sizes(pure([tracklet(range(50), places, fps=25.0)], NOBODY)) == [50]


@pytest.mark.parametrize(
    ("missing", "fps", "expected"),
    [
        pytest.param(1, 25.0, [50], id="a frame"),
        pytest.param(2, 25.0, [20, 30], id="two frames"),
        pytest.param(20, 25.0, [20, 30], id="long"),
        pytest.param(4, 60.0, [50], id="the same time at a higher rate"),
        pytest.param(6, 60.0, [20, 30], id="longer at a higher rate"),
        pytest.param(0, 5.0, [50], id="frames far apart are no gap"),
        pytest.param(1, 5.0, [20, 30], id="a frame at a low rate"),
    ],
)
def test_a_gap_splits(tracklet, missing, fps, expected):
    frames = [*range(20), *range(20 + missing, 50 + missing)]
    assert sizes(pure([tracklet(frames, 300.0, fps=fps)], NOBODY)) == expected


def test_steps_are_in_heights_of_the_smaller_face(tracklet):
    assert step_heights(tracklet(range(3), [100.0, 150.0, 150.0])).tolist() == [0.5, 0]
    assert step_heights(tracklet([4], 100.0)).tolist() == []


@pytest.mark.parametrize(
    ("doubtful", "expected"),
    [([20], [20, 30]), ([20, 21], [20, 1, 29]), ([0], [50]), ([60], [50]), ([5, 49], [5, 44, 1])],
    ids=str,
)
def test_a_doubtful_frame_splits(tracklet, doubtful, expected):
    assert sizes(pure([tracklet(range(50), 300.0)], np.array(doubtful))) == expected


def test_a_doubtful_frame_in_which_nobody_is_seen_splits_too(tracklet):
    frames = [*range(20), *range(21, 36)]
    assert sizes(pure([tracklet(frames, 300.0)], NOBODY)) == [35]
    assert sizes(pure([tracklet(frames, 300.0)], np.array([20]))) == [20, 15]


def test_a_doubtful_frame_splits_everybody(tracklet):
    parts = pure([tracklet(range(50), 300.0), tracklet(range(10, 30), 600.0)], np.array([20]))
    assert sizes(parts) == [20, 30, 10, 10]


@pytest.mark.parametrize("where", [31, 37, 44])
def test_another_face_splits_where_the_box_is_least_steady(tracklet, where):
    """Somebody takes the place of another between two samples; the box moves a little there."""
    places = [300.0] * where + [330.0] * (80 - where)
    faces = [(i, A if i < 30 else B) for i in (0, 10, 20, 28, 45, 55, 65)]
    first, second = pure([tracklet(range(80), places, faces=faces)], NOBODY)
    assert sizes([first, second]) == [where, 80 - where]
    assert (first.embeddings == A).all() and (second.embeddings == B).all()
    assert (len(first.embedded), len(second.embedded)) == (4, 3)


def test_another_face_splits_where_nobody_was_seen(tracklet):
    frames = [*range(40), *range(41, 81)]
    faces = [(i, A if i < 40 else B) for i in (0, 20, 30, 45, 60, 75)]
    assert sizes(pure([tracklet(frames, 300.0, faces=faces)], NOBODY)) == [40, 40]


def test_three_people_in_one_tracklet(tracklet):
    who = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1, 1, 2, 2, 2]]
    places = [300.0] * 25 + [320.0] * 30 + [300.0] * 35
    parts = pure([tracklet(range(90), places, faces=[(10 * i, v) for i, v in enumerate(who)])], NOBODY)
    assert sizes(parts) == [25, 30, 35]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(2, 6)), min_size=1, max_size=6))
def test_no_part_holds_two_faces(tracklet, runs):
    """People follow one another, each for two samples or more: whoever they are, no part is a mixture."""
    who = [i for i, length in runs for _ in range(length)]
    faces = [(10 * i, np.eye(4)[person]) for i, person in enumerate(who)]
    for part in pure([tracklet(range(10 * len(who)), 300.0, faces=faces)], NOBODY):
        assert len(np.unique(part.embeddings, axis=0)) <= 1


def test_a_drift_of_pose_splits_nothing(tracklet):
    """The ends look as different as two people, but nothing changes at once."""
    faces = [(10 * i, between(i / 12)) for i in range(13)]
    assert sizes(pure([tracklet(range(130), 300.0, faces=faces)], NOBODY)) == [130]


@pytest.mark.parametrize("quality", [0.1, 0.3, 0.49])
@pytest.mark.parametrize("place", [0, 3, 6], ids=["first", "middle", "last"])
def test_a_single_poor_face_splits_nothing(tracklet, quality, place):
    faces = [(10 * i, B if i == place else A, quality if i == place else 1.0) for i in range(7)]
    assert sizes(pure([tracklet(range(70), 300.0, faces=faces)], NOBODY)) == [70]


def test_a_poor_face_next_to_a_change_does_not_hide_it(tracklet):
    faces = [(0, A), (10, A), (20, between(0.5), 0.2), (30, B), (40, B)]
    parts = pure([tracklet(range(50), [300.0] * 25 + [325.0] * 25, faces=faces)], NOBODY)
    assert len(parts) == 2 and 10 < len(parts[0]) <= 30


@pytest.mark.parametrize("faces", [[], [(3, A)], [(3, A), (9, A, 0.0)]], ids=len)
def test_too_few_faces_split_nothing(tracklet, faces):
    assert sizes(pure([tracklet(range(20), 300.0, faces=faces)], NOBODY)) == [20]


def test_nobody():
    assert pure([], np.array([3])) == []


STEPS = st.lists(st.floats(-200, 200), min_size=1, max_size=40)
WHO = st.lists(st.tuples(st.integers(0, 39), st.integers(0, 3), st.floats(0, 1)), max_size=12)


@settings(deadline=None)
@given(STEPS, WHO, st.lists(st.integers(-1, 90), max_size=4, unique=True), st.data())
def test_parts_keep_everything_in_order(tracklet, steps, who, doubtful, data):
    """Nothing is lost, nothing is seen twice, and every embedding stays with its detection."""
    gaps = data.draw(st.lists(st.integers(1, 3), min_size=len(steps), max_size=len(steps)))
    places = {place: (place, np.eye(4)[i], quality) for place, i, quality in who if place < len(steps)}
    whole = tracklet(np.cumsum(gaps), 500 + np.cumsum(steps), faces=list(places.values()))
    parts = pure([whole], np.array(sorted(doubtful), np.int64))
    assert all(len(part) for part in parts)
    for name in ("frame_index", "times_seconds", "boxes_xyxy", "scores", "landmarks", "stability"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    starts = np.cumsum([0, *sizes(parts)])[:-1]
    moved = [part.embedded + start for part, start in zip(parts, starts, strict=True)]
    np.testing.assert_array_equal(np.concatenate(moved), whole.embedded)
    np.testing.assert_array_equal(np.concatenate([part.quality for part in parts]), whole.quality)
    kept = [part.embeddings for part in parts if len(part.embedded)]
    if kept:
        np.testing.assert_array_equal(np.concatenate(kept), whole.embeddings)
