import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.analyze.evidence import ChunkEvidence
from dft.analyze.identity.tracklets import join_evidence


def evidence(frames, ids, xs, faces=(), unit=0.6) -> ChunkEvidence:
    """Detections at ``xs``; ``faces`` are (row, vector, quality) of an embedder whose unit of distance is given."""
    boxes = np.array([[x, 0, x + 10, 10] for x in xs], np.float32).reshape(-1, 4)
    frames = np.array(frames, np.int32)
    size, none = len(frames), np.zeros((0, 18, 32), np.uint8)
    rows, vectors, quality = zip(*faces, strict=True) if faces else ((), np.zeros((0, 0)), ())
    return ChunkEvidence(
        np.unique(frames), np.zeros((len(np.unique(frames)), 2), np.float32), none, none, frames, boxes,
        np.linspace(0.5, 0.9, size, dtype=np.float32), np.zeros((size, 10), np.float32), np.array(ids, np.int32),
        np.linspace(0, 1, size, dtype=np.float32), np.array(rows, np.int32), np.array(vectors, np.float32),
        np.array(quality, np.float32), np.array(["fake", "ab", repr(unit), ""] if faces else [""] * 4),
        np.array([""] * 3),
    )  # fmt: skip


TIMES = np.arange(20) * 0.04


def test_ids_of_chunks_are_their_own_and_orphans_are_left_out():
    chunks = [evidence([0, 0, 1, 1, 2], [0, 1, 1, 0, -1], [5, 50, 51, 6, 99]), evidence([3, 4], [0, 0], [7, 8])]
    tracklets = join_evidence(chunks, TIMES, np.zeros(20, np.int32))
    assert [t.frame_index.tolist() for t in tracklets] == [[0, 1], [0, 1], [3, 4]]
    assert [t.boxes_xyxy[:, 0].tolist() for t in tracklets] == [[5, 6], [50, 51], [7, 8]]
    np.testing.assert_allclose(tracklets[2].times_seconds, [0.12, 0.16])


def test_tracklets_are_split_at_cuts():
    shots = np.array([0, 0, 1, 1, 1] + [2] * 15, np.int32)
    tracklets = join_evidence([evidence([0, 1, 2, 4, 5], [0] * 5, range(5))], TIMES, shots)
    assert [(t.shot, t.frame_index.tolist()) for t in tracklets] == [(0, [0, 1]), (1, [2, 4]), (2, [5])]


def test_no_faces():
    assert join_evidence([evidence([], [], [])], TIMES, np.zeros(20, np.int32)) == []
    assert join_evidence([], TIMES, np.zeros(20, np.int32)) == []


def test_faces_stay_with_their_detections():
    """Whatever the order of tracklets in a frame; in units of the embedder's same-person distance."""
    faces = [(0, [0.6, 0], 0.9), (3, [0.3, 0.6], 0.8), (4, [9, 9], 0.7), (5, [0, 1.2], 0.6)]
    chunks = [evidence([0, 0, 1, 1, 1, 2], [0, 1, 1, 0, -1, 0], range(6), faces), evidence([3], [0], [6])]
    first, second, third = join_evidence(chunks, TIMES, np.zeros(20, np.int32))
    assert first.embedded.tolist() == [0, 1, 2] and second.embedded.tolist() == third.embedded.tolist() == []
    np.testing.assert_allclose(first.embeddings, [[1, 0], [0.5, 1], [0, 2]], rtol=1e-6)
    np.testing.assert_allclose(first.quality, [0.9, 0.8, 0.6])
    np.testing.assert_allclose(first.stability, [0, 0.6, 1.0], rtol=1e-6)
    assert first.embeddings.dtype == first.quality.dtype == first.stability.dtype == np.float32


def test_faces_are_divided_at_cuts():
    shots = np.array([0, 0, 1, 1] + [1] * 16, np.int32)
    faces = [(row, [row, 0], 1.0) for row in (0, 1, 3)]
    first, second = join_evidence([evidence(range(4), [0] * 4, range(4), faces, unit=1.0)], TIMES, shots)
    assert first.embedded.tolist() == [0, 1] and second.embedded.tolist() == [1]
    assert second.embeddings.tolist() == [[3, 0]]


def test_motion_at_both_ends(tracklet):
    turning = tracklet(range(51), lambda t: 100 + 50 * t if t < 1 else 150 + 200 * (t - 1))
    for motion, x, speed in ((turning.head, 100, 50), (turning.tail, 350, 200)):
        np.testing.assert_allclose(motion.centre, [x, 150], atol=0.1)
        np.testing.assert_allclose(motion.velocity, [speed, 0], atol=0.1)
        assert motion.height == pytest.approx(100)


@given(st.floats(-300, 300), st.sampled_from([12.5, 25.0, 60.0]), st.integers(30, 90))
def test_a_steady_motion_is_told_at_any_frame_rate(tracklet, speed, fps, size):
    moving = tracklet(range(7, 7 + size), lambda t: 500 + speed * t, fps=fps)
    for motion, at in ((moving.head, moving.start), (moving.tail, moving.end)):
        np.testing.assert_allclose(motion.velocity, [speed, 0], atol=1)
        np.testing.assert_allclose(motion.centre, [500 + speed * at, 150], atol=0.5)


def test_two_detections_have_no_velocity(tracklet):
    short = tracklet([3, 4], [100.0, 110.0])
    assert short.tail.centre.tolist() == [pytest.approx(110), 150] and short.tail.velocity.tolist() == [0, 0]
    assert short.head.centre.tolist() == [pytest.approx(100), 150] and short.head.velocity.tolist() == [0, 0]


def test_a_motion_says_nothing_of_what_was_long_before(tracklet):
    late = tracklet([0, 1, 2, 50, 51], [100.0, 110, 120, 400, 400]).tail
    assert late.velocity.tolist() == [0, 0] and late.centre[0] == pytest.approx(400)


def test_split(tracklet):
    whole = tracklet(range(10, 20), np.arange(10) * 5.0, faces=[(0, [1, 0], 0.3), (4, [0, 1]), (9, [1, 1])],
                     stability=np.linspace(0, 0.9, 10))  # fmt: skip
    parts = whole.split([4, 7])
    assert [part.frame_index.tolist() for part in parts] == [[10, 11, 12, 13], [14, 15, 16], [17, 18, 19]]
    assert [part.embedded.tolist() for part in parts] == [[0], [0], [2]]
    assert [part.embeddings.tolist() for part in parts] == [[[1, 0]], [[0, 1]], [[1, 1]]]
    assert parts[0].quality.tolist() == [pytest.approx(0.3)] and parts[1].stability[0] == pytest.approx(0.4)
    assert {part.shot for part in parts} == {0}


@pytest.mark.parametrize(("positions", "expected"), [([], [5]), ([0], [5]), ([5], [5]), ([1, 1, 4], [1, 3, 1])])
def test_no_part_is_empty(tracklet, positions, expected):
    assert [len(part) for part in tracklet(range(5), 100.0).split(positions)] == expected


def test_height_and_times(tracklet):
    one = tracklet(range(10, 20), 100.0, height=80.0)
    assert (len(one), one.height, one.start) == (10, 80.0, 0.4)
    assert one.end == pytest.approx(0.76)


@pytest.mark.parametrize("times", [[0.0] * 6, [0.0] * 3 + [0.04] * 3, [0.0, 0.04]], ids=["one", "two", "short"])
def test_frames_at_one_time_show_no_motion(times, capfd):
    moving = evidence(range(len(times)), [0] * len(times), [5 * number for number in range(len(times))])
    tracklet = join_evidence([moving], np.array(times), np.zeros(len(times), np.int32))[0]
    for motion, x in ((tracklet.head, 5), (tracklet.tail, 5 * len(times))):
        np.testing.assert_array_equal(motion.centre, [x, 5])
        np.testing.assert_array_equal(motion.velocity, [0, 0])
    assert capfd.readouterr() == ("", "")
