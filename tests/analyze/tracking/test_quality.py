from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.analyze.tracking.quality import FULL_HEIGHT, covered_share, face_quality
from dft.engines.fake import LANDMARKS
from dft.engines.protocols import Detections

WIDTH, HEIGHT = 1280, 720
CLEAR = {"x": 600.0, "y": 300.0, "height": 120.0, "score": 0.9, "turned": 0.0, "narrow": 1.0}


def seen(*faces: dict[str, float]) -> Detections:
    """Faces that differ from a clear one by what is given.

    ``turned`` is how far the nose lies from the middle of the eyes, in eye distances; ``narrow`` scales that distance.
    """
    boxes, points = [], []
    for face in ({**CLEAR, **face} for face in faces):
        tall = face["height"]
        x1, y1 = face["x"] - 0.4 * tall, face["y"] - tall / 2
        boxes.append([x1, y1, x1 + 0.8 * tall, y1 + tall])
        shares = LANDMARKS.astype(np.float64).copy()
        shares[:, 0] = 0.5 + (shares[:, 0] - 0.5) * face["narrow"]
        shares[2, 0] += face["turned"] * (shares[1, 0] - shares[0, 0])
        points.append((shares * (0.8 * tall, tall) + (x1, y1)).ravel())
    scores = [{**CLEAR, **face}["score"] for face in faces]
    return Detections(*(np.array(values, np.float32) for values in (boxes, scores, points)))


def quality(*faces: dict[str, float]) -> list[float]:
    return face_quality(seen(*faces), WIDTH, HEIGHT).tolist()


def test_nobody():
    found = face_quality(Detections.none(), WIDTH, HEIGHT)
    assert found.shape == (0,) and found.dtype == np.float32


def test_a_large_frontal_clear_face_is_worth_most():
    assert quality({}) == [pytest.approx(1.0)]


@pytest.mark.parametrize(
    "worse",
    [
        pytest.param([{"height": h} for h in (FULL_HEIGHT, 60, 45, 30)], id="size"),
        pytest.param([{"turned": t} for t in (0.0, 0.2, 0.4, 0.8)], id="turned to the left"),
        pytest.param([{"turned": -t} for t in (0.0, 0.2, 0.4, 0.8)], id="turned to the right"),
        pytest.param([{"narrow": n} for n in (1.0, 0.7, 0.4, 0.1)], id="from the side"),
        pytest.param([{"score": s} for s in (0.85, 0.75, 0.65, 0.55)], id="score"),
        pytest.param([{"x": x} for x in (48, 38, 30, 22)], id="out of the frame on the left"),
        pytest.param([{"y": y} for y in (660, 672, 680, 690)], id="out of the frame below"),
    ],
)
def test_quality_falls(worse):
    values = [quality(face)[0] for face in worse]
    assert values[0] == pytest.approx(1.0)
    assert all(a > b + 0.02 for a, b in pairwise(values))


@pytest.mark.parametrize("face", [{"score": 0.5}, {"x": -20}, {"x": 1300}, {"turned": 2.0}, {"narrow": 0.0}], ids=str)
def test_what_says_nothing(face):
    assert quality(face) == [pytest.approx(0, abs=1e-6)]


def test_the_size_alone_never_rules_a_face_out():
    assert quality({"height": 8}) == [pytest.approx(0.1, abs=1e-4)]


def test_a_covered_face_is_worth_less_the_more_is_covered():
    values = [quality({}, {"x": x})[0] for x in (700, 690, 680, 660)]
    assert values[0] == 1.0 and values[-1] == 0.0
    assert all(a > b for a, b in pairwise(values))


def test_what_counts_is_the_share_of_the_own_face():
    small, large = quality({"height": 40, "x": 640}, {"height": 240, "x": 600})
    assert small == 0 and large == pytest.approx(1 - (0.8 * 40**2) / (0.8 * 240**2) / 0.3, abs=1e-3)


def test_covered_share():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [12, 0, 22, 10], [100, 0, 110, 10]], np.float32)
    np.testing.assert_allclose(covered_share(boxes), [0.5, 0.5, 0.3, 0])


FACES = st.lists(
    st.fixed_dictionaries(
        {
            "x": st.floats(-200, 1500),
            "y": st.floats(-200, 900),
            "height": st.floats(0, 800),
            "score": st.floats(0, 1),
            "turned": st.floats(-3, 3),
            "narrow": st.floats(-1, 1.5),
        }
    ),
    min_size=1,
    max_size=5,
)


@given(FACES, st.randoms())
def test_quality_is_a_share_and_the_order_does_not_matter(faces, random):
    values = face_quality(seen(*faces), WIDTH, HEIGHT)
    assert values.dtype == np.float32 and values.shape == (len(faces),)
    assert ((values >= 0) & (values <= 1)).all()
    order = list(range(len(faces)))
    random.shuffle(order)
    np.testing.assert_allclose(
        face_quality(seen(*(faces[i] for i in order)), WIDTH, HEIGHT), values[order], rtol=1e-5, atol=1e-7
    )


@given(FACES)
def test_more_faces_never_help(faces):
    alone = np.array([quality(face)[0] for face in faces])
    assert (np.array(quality(*faces)) <= alone + 1e-6).all()
