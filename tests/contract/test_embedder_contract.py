"""What every embedder must do. Two portraits of known place are to be told apart."""

import numpy as np
import pytest

from dft.engines.protocols import Embedder

SIZE = (640, 360)
BOXES = [(100.0, 100.0, 180.0, 200.0), (400.0, 120.0, 480.0, 221.0)]
MOVED = [(140.0, 120.0, 204.0, 200.0), (420.0, 100.0, 516.0, 221.0)]


@pytest.fixture(scope="module")
def embedder(backend):
    with backend.embedder() as made:
        yield made


@pytest.fixture(scope="module")
def seen(backend):
    """Image of faces at boxes, and their landmarks from left to right."""
    with backend.detector(0.3) as detector:

        def look(boxes, rotation=0):
            image = backend.faces_image(boxes, SIZE, rotation)
            (faces,) = detector.detect([detector.prepare(image)])
            assert len(faces) == len(boxes)
            return image, faces.landmarks[np.argsort(faces.boxes_xyxy[:, 0])]

        yield look


def distance(a, b):
    return float(np.linalg.norm(a - b))


def test_it_is_an_embedder(embedder):
    assert isinstance(embedder, Embedder)
    assert embedder.model.name and len(embedder.model.sha256) == 64
    assert embedder.dimension > 1 and embedder.same_person_distance > 0


def test_shape_and_type(embedder, seen):
    image, landmarks = seen(BOXES)
    chips = embedder.prepare(image, landmarks)
    assert isinstance(chips, list) and len(chips) == 2
    vectors = embedder.embed(chips)
    assert vectors.shape == (2, embedder.dimension) and vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


def test_no_face(embedder, seen):
    image, _ = seen(BOXES)
    assert embedder.prepare(image, np.zeros((0, 10), np.float32)) == []
    none = embedder.embed([])
    assert none.shape == (0, embedder.dimension) and none.dtype == np.float32


def test_the_same_person_is_nearer_than_another(embedder, seen):
    a, b = embedder.embed(embedder.prepare(*seen(BOXES)))
    again_a, again_b = embedder.embed(embedder.prepare(*seen(MOVED)))
    near = max(distance(a, again_a), distance(b, again_b))
    far = min(distance(a, b), distance(a, again_b), distance(again_a, b))
    assert near < embedder.same_person_distance and near < 0.8 * far


def test_the_order_of_the_faces_is_kept(embedder, seen):
    image, landmarks = seen(BOXES)
    forth = embedder.embed(embedder.prepare(image, landmarks))
    back = embedder.embed(embedder.prepare(image, landmarks[::-1]))
    np.testing.assert_allclose(forth, back[::-1], atol=1e-4)


def test_a_batch_of_many_frames_equals_its_singles(embedder, seen):
    chips = [chip for boxes in (BOXES, MOVED, BOXES[:1]) for chip in embedder.prepare(*seen(boxes))] * 4
    together = embedder.embed(chips)
    assert together.shape == (20, embedder.dimension)
    for vector, chip in zip(together[:5], chips[:5], strict=True):
        np.testing.assert_allclose(embedder.embed([chip])[0], vector, atol=1e-4)
    np.testing.assert_allclose(together[15:], together[:5], atol=1e-4)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_of_the_video_changes_nothing(embedder, seen, rotation):
    image, landmarks = seen(BOXES)
    turned, _ = seen(BOXES, rotation)
    upright = embedder.embed(embedder.prepare(image, landmarks))
    same = embedder.embed(embedder.prepare(turned, landmarks))
    # the chroma of the test's images is subsampled after they were turned, so it differs by a pixel
    assert np.linalg.norm(upright - same, axis=1).max() < 0.2 * embedder.same_person_distance


def test_chips_keep_nothing_of_the_image(embedder, seen, backend_name):
    """The decoder's memory is free once a frame is prepared, so changing it must change nothing."""
    if backend_name == "fake":
        pytest.skip("a fake image cannot be changed")
    image, landmarks = seen(BOXES)
    chips = embedder.prepare(image, landmarks)
    before = embedder.embed(chips)
    for plane in (getattr(image, name) for name in ("y", "u", "v", "uv") if hasattr(image, name)):
        plane[:] = 0
    np.testing.assert_array_equal(embedder.embed(chips), before)


def test_it_can_be_closed_twice(backend):
    embedder = backend.embedder()
    embedder.close()
    embedder.close()
