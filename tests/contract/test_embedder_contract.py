"""What every embedder must do. Only the fake exists so far."""

import numpy as np
import pytest

from dft.engines.fake import FakeEmbedder, FakeFace, FakeImage
from dft.engines.protocols import Embedder

HOPPER, COLLINS = (FakeFace((x, 100, x + 80, 200), identity=i) for i, x in enumerate((100, 400)))


@pytest.fixture(params=["fake"])
def embedder(request):
    with FakeEmbedder() as made:
        yield made


def test_it_is_an_embedder(embedder):
    assert isinstance(embedder, Embedder)


def test_shape_and_type(embedder):
    image = FakeImage((HOPPER, COLLINS))
    vectors = embedder.embed(image, np.stack([HOPPER.landmarks, COLLINS.landmarks]))
    assert vectors.shape == (2, embedder.dimension) and vectors.dtype == np.float32
    none = embedder.embed(image, np.zeros((0, 10), np.float32))
    assert none.shape == (0, embedder.dimension) and none.dtype == np.float32


def test_the_same_person_is_nearer_than_another(embedder):
    moved = FakeFace((110, 105, 190, 205), identity=0)
    (a, b), (again,) = (
        embedder.embed(FakeImage(faces), np.stack([f.landmarks for f in faces]))
        for faces in ((HOPPER, COLLINS), (moved,))
    )
    assert np.linalg.norm(a - again) < np.linalg.norm(b - again)


def test_the_order_of_the_faces_is_kept(embedder):
    image = FakeImage((HOPPER, COLLINS))
    forth = embedder.embed(image, np.stack([HOPPER.landmarks, COLLINS.landmarks]))
    back = embedder.embed(image, np.stack([COLLINS.landmarks, HOPPER.landmarks]))
    np.testing.assert_array_equal(forth, back[::-1])


def test_it_can_be_closed_twice(embedder):
    embedder.close()
    embedder.close()
