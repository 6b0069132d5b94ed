"""What every face detector must do. Two portraits of known place are to be found."""

import numpy as np
import pytest

from dft.engines.protocols import Detections, Detector

SIZE = (640, 360)
BOXES = [(100.0, 100.0, 180.0, 200.0), (400.0, 120.0, 480.0, 221.0)]
TOLERANCE = 8.0  # pixels; the portraits' boxes are known to about that


@pytest.fixture(scope="module")
def detector(backend):
    with backend.detector(0.3) as made:
        yield made


def by_x(faces: Detections) -> Detections:
    order = np.argsort(faces.boxes_xyxy[:, 0])
    return Detections(faces.boxes_xyxy[order], faces.scores[order], faces.landmarks[order])


def centres(boxes):
    boxes = np.asarray(boxes)
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def test_it_is_a_detector(detector):
    assert isinstance(detector, Detector)
    assert detector.model.name and len(detector.model.sha256) == 64


def test_an_empty_batch(detector):
    assert detector.detect([]) == []


def test_shapes_and_types(detector, backend):
    two, none = detector.detect(
        [detector.prepare(backend.faces_image(boxes, SIZE, 0)) for boxes in (BOXES, [])],
    )
    for faces, num in ((two, 2), (none, 0)):
        assert len(faces) == num
        assert faces.boxes_xyxy.shape == (num, 4) and faces.boxes_xyxy.dtype == np.float32
        assert faces.scores.shape == (num,) and faces.scores.dtype == np.float32
        assert faces.landmarks.shape == (num, 10) and faces.landmarks.dtype == np.float32


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (360, 640), (1000, 562)], ids=str)
def test_faces_lie_upright_in_displayed_pixels(detector, backend, rotation, size):
    scale = min(size) / 360
    boxes = np.array(BOXES) * scale if size[0] > size[1] else np.array([BOXES[0], (200, 400, 280, 501)])
    (faces,) = detector.detect([detector.prepare(backend.faces_image(boxes.tolist(), size, rotation))])
    assert len(faces) == 2
    found = by_x(faces)
    np.testing.assert_allclose(centres(found.boxes_xyxy), centres(boxes), atol=TOLERANCE * scale)
    points = found.landmarks.reshape(-1, 5, 2)
    right_eye, left_eye, nose, right_mouth, left_mouth = points.transpose(1, 0, 2)
    assert (right_eye[:, 0] < left_eye[:, 0]).all() and (right_mouth[:, 0] < left_mouth[:, 0]).all()
    assert (right_eye[:, 1] < nose[:, 1]).all() and (nose[:, 1] < left_mouth[:, 1]).all()
    assert (points >= found.boxes_xyxy[:, None, :2]).all() and (points <= found.boxes_xyxy[:, None, 2:]).all()


def test_scores_fall_and_are_shares(detector, backend):
    (faces,) = detector.detect([detector.prepare(backend.faces_image(BOXES, SIZE, 0))])
    assert (np.diff(faces.scores) <= 0).all()
    assert (faces.scores > 0.5).all() and (faces.scores <= 1).all()


def test_a_batch_equals_its_singles(detector, backend):
    prepared = [
        detector.prepare(backend.faces_image(boxes, SIZE, 0))
        for boxes in (BOXES, [], BOXES[:1], [(300.0, 60.0, 400.0, 185.0)], BOXES)
    ]
    together = detector.detect(prepared)
    assert [len(f) for f in together] == [2, 0, 1, 1, 2]
    for faces, one in zip(together, prepared, strict=True):
        (alone,) = detector.detect([one])
        np.testing.assert_allclose(faces.boxes_xyxy, alone.boxes_xyxy, atol=0.05)
        np.testing.assert_allclose(faces.scores, alone.scores, atol=1e-3)
        np.testing.assert_allclose(faces.landmarks, alone.landmarks, atol=0.05)


def test_pictures_of_other_sizes_share_a_batch(detector, backend):
    images = [backend.faces_image(BOXES, SIZE, rotation) for rotation in (0, 90)]
    images.append(backend.faces_image([(60.0, 60.0, 140.0, 160.0)], (200, 240), 0))
    found = detector.detect([detector.prepare(image) for image in images])
    assert [len(f) for f in found] == [2, 2, 1]
    np.testing.assert_allclose(centres(found[2].boxes_xyxy), [[100, 110]], atol=TOLERANCE)


def test_the_lowest_score_holds(backend):
    image = backend.faces_image(BOXES, SIZE, 0)
    with backend.detector(0.3) as detector:
        (all_faces,) = detector.detect([detector.prepare(image)])
    between = float(all_faces.scores.mean())
    with backend.detector(between) as detector:
        (faces,) = detector.detect([detector.prepare(image)])
    assert len(all_faces) == 2 and faces.scores.tolist() == all_faces.scores[:1].tolist()


def test_thumbnails_tell_light_from_dark(detector, backend):
    dark, light = (detector.thumbnail(detector.prepare(backend.canvas(*SIZE, luma))) for luma in (40, 220))
    for thumbnail in (dark, light):
        assert thumbnail.shape == (18, 32) and thumbnail.dtype == np.uint8
    assert float(light.mean()) - float(dark.mean()) > 100


def test_prepare_keeps_nothing_of_the_image(detector, backend, backend_name):
    """The decoder's memory is free once a frame is prepared, so changing it must change nothing."""
    if backend_name == "fake":
        pytest.skip("a fake image cannot be changed")
    image = backend.faces_image(BOXES, SIZE, 0)
    prepared = detector.prepare(image)
    (before,) = detector.detect([prepared])
    thumbnail = detector.thumbnail(prepared).copy()
    for plane in (getattr(image, name) for name in ("y", "u", "v", "uv") if hasattr(image, name)):
        plane[:] = 0
    (after,) = detector.detect([prepared])
    np.testing.assert_array_equal(after.boxes_xyxy, before.boxes_xyxy)
    np.testing.assert_array_equal(detector.thumbnail(prepared), thumbnail)


def test_it_can_be_closed_twice(backend):
    detector = backend.detector(0.5)
    detector.close()
    detector.close()
