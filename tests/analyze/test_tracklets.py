import numpy as np
import pytest

from dft.analyze.evidence import ChunkEvidence
from dft.analyze.tracklets import join_evidence


def evidence(frames, ids, xs) -> ChunkEvidence:
    boxes = np.array([[x, 0, x + 10, 10] for x in xs], np.float32).reshape(-1, 4)
    frames = np.array(frames, np.int32)
    size, none = len(frames), np.zeros((0, 18, 32), np.uint8)
    return ChunkEvidence(
        np.unique(frames), np.zeros((len(np.unique(frames)), 2), np.float32), none, none, frames, boxes,
        np.linspace(0.5, 0.9, size, dtype=np.float32), np.zeros((size, 10), np.float32), np.array(ids, np.int32),
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


def test_motion_at_the_nearer_end(tracklet):
    turning = tracklet(range(51), lambda t: 100 + 50 * t if t < 1 else 150 + 200 * (t - 1))
    at, velocity = turning.motion_at(-0.5)
    np.testing.assert_allclose(at, [100, 150], atol=0.1)
    np.testing.assert_allclose(velocity, [50, 0], atol=0.1)
    at, velocity = turning.motion_at(2.5)
    np.testing.assert_allclose(at, [350, 150], atol=0.1)
    np.testing.assert_allclose(velocity, [200, 0], atol=0.1)


def test_two_detections_have_no_velocity(tracklet):
    at, velocity = tracklet([3, 4], [100.0, 110.0]).motion_at(1.0)
    assert at.tolist() == [pytest.approx(110), 150] and velocity.tolist() == [0, 0]


def test_height_and_times(tracklet):
    one = tracklet(range(10, 20), 100.0, height=80.0)
    assert (len(one), one.height, one.start) == (10, 80.0, 0.4)
    assert one.end == pytest.approx(0.76)
