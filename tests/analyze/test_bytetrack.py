import numpy as np
import pytest

from dft.analyze.bytetrack import ByteTracker
from dft.configs.analysis import TrackingSettings
from dft.engines.protocols import Detections

SETTINGS = TrackingSettings()


def faces(*placed) -> Detections:
    """Faces of (box, score)."""
    if not placed:
        return Detections.none()
    boxes, scores = zip(*placed, strict=True)
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.zeros((len(boxes), 10), np.float32))


def test_ids_count_from_zero_in_each_tracker(box):
    for _ in range(2):
        tracker = ByteTracker(SETTINGS)
        assert tracker.update(0.0, faces((box(100), 0.9), (box(400), 0.9))).tolist() == [0, 1]
        assert tracker.update(0.04, faces((box(401), 0.9), (box(101), 0.9), (box(250), 0.9))).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        pytest.param(SETTINGS.birth_score, 0, id="births"),
        pytest.param(SETTINGS.birth_score - 0.05, -1, id="high, but begins nothing"),
        pytest.param(SETTINGS.low_score + 0.05, -1, id="low"),
    ],
)
def test_what_begins_a_tracklet(box, score, expected):
    assert ByteTracker(SETTINGS).update(0.0, faces((box(100), score))).tolist() == [expected]


def test_a_low_score_continues_but_a_lower_does_not(box):
    tracker = ByteTracker(SETTINGS)
    seen = [0.9, 0.9, SETTINGS.low_score + 0.01, SETTINGS.low_score - 0.05, 0.9]
    ids = [tracker.update(0.04 * i, faces((box(100), score))).tolist() for i, score in enumerate(seen)]
    assert ids == [[0], [0], [0], [-1], [0]]


def test_a_low_score_does_not_take_a_high_ones_tracklet(box):
    tracker = ByteTracker(SETTINGS)
    tracker.update(0.0, faces((box(100), 0.9)))
    assert tracker.update(0.04, faces((box(100), 0.4), (box(108), 0.9))).tolist() == [-1, 0]


@pytest.mark.parametrize("fps", [12.5, 25, 50, 60])
def test_lost_and_found_by_real_time(box, fps):
    for away, expected in ((SETTINGS.max_lost_seconds - 0.1, 0), (SETTINGS.max_lost_seconds + 0.1, 1)):
        tracker = ByteTracker(SETTINGS)
        for frame in range(round(fps)):
            tracker.update(frame / fps, faces((box(100), 0.9)))
        last = (round(fps) - 1) / fps
        back = last + away
        for frame in range(round(fps), int(back * fps)):
            assert len(tracker.update(frame / fps, faces())) == 0
        assert tracker.update(back, faces((box(100), 0.9))).tolist() == [expected]


@pytest.mark.parametrize("fps", [12.5, 25, 50])
def test_two_people_three_faces_apart_keep_their_ids(box, fps):
    """Both sway by half a face in opposite directions, and the detections come in any order."""
    tracker, random = ByteTracker(SETTINGS), np.random.default_rng(1)
    for frame in range(round(6 * fps)):
        sway = 50 * np.sin(2 * np.pi * frame / fps)
        placed = [(box(200 + sway), 0.9), (box(440 - sway), 0.85)]
        order = random.permutation(2)
        ids = tracker.update(frame / fps, faces(*(placed[i] for i in order)))
        assert ids.tolist() == order.tolist()


def test_a_fast_small_face_is_not_lost(box):
    """At 25 fps it moves by more than its width per frame: the boxes themselves never overlap."""
    tracker = ByteTracker(SETTINGS)
    ids = [tracker.update(0.04 * i, faces((box(50 + 22 * i, height=24), 0.9))).tolist() for i in range(20)]
    assert ids == [[0]] * 20


def test_another_place_is_another_tracklet(box):
    tracker = ByteTracker(SETTINGS)
    tracker.update(0.0, faces((box(100), 0.9)))
    assert tracker.update(0.04, faces((box(500), 0.9))).tolist() == [1]


def test_reset_ends_all_tracklets_and_counts_on(box):
    tracker = ByteTracker(SETTINGS)
    tracker.update(0.0, faces((box(100), 0.9)))
    tracker.reset()
    assert tracker.update(0.04, faces((box(100), 0.9))).tolist() == [1]


def test_frames_without_faces(box):
    tracker = ByteTracker(SETTINGS)
    assert tracker.update(0.0, faces()).tolist() == []
    assert tracker.update(0.04, faces((box(100), 0.9))).tolist() == [0]
    assert tracker.update(0.08, faces()).dtype == np.int32
