from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.analyze.boxes import areas, heights, intersections
from dft.analyze.tracking.box import Box, boxes_of
from dft.analyze.tracking.quality import (
    CLEAR_SCORES,
    COVERED_SHARE,
    FLAT,
    FULL_HEIGHT,
    INSIDE_SHARES,
    TURNED,
    covered_share,
    face_quality,
)
from dft.engines.fake import LANDMARKS
from dft.engines.protocols import Detections

WIDTH, HEIGHT = 1280, 720
CLEAR = {"x": 600.0, "y": 300.0, "height": 120.0, "score": 0.9, "turned": 0.0, "narrow": 1.0, "tilted": 0.0}


def seen(*faces: dict[str, float]) -> Detections:
    """Faces that differ from a clear one by what is given.

    ``turned`` is how far the nose lies from the middle of the eyes, in eye distances; ``narrow`` scales that distance;
    ``tilted`` turns the landmarks in the picture, in radians.
    """
    boxes, points = [], []
    for face in ({**CLEAR, **face} for face in faces):
        tall = face["height"]
        x1, y1 = face["x"] - 0.4 * tall, face["y"] - tall / 2
        boxes.append([x1, y1, x1 + 0.8 * tall, y1 + tall])
        shares = LANDMARKS.astype(np.float64).copy()
        shares[:, 0] = 0.5 + (shares[:, 0] - 0.5) * face["narrow"]
        shares[2, 0] += face["turned"] * (shares[1, 0] - shares[0, 0])
        cos, sin = np.cos(face["tilted"]), np.sin(face["tilted"])
        middle = np.array([face["x"], face["y"]])
        points.append(((shares * (0.8 * tall, tall) + (x1, y1) - middle) @ [[cos, sin], [-sin, cos]] + middle).ravel())
    scores = [{**CLEAR, **face}["score"] for face in faces]
    return Detections(*(np.array(values, np.float32) for values in (boxes, scores, points)))


def quality(*faces: dict[str, float]) -> list[float]:
    found = seen(*faces)
    boxes = boxes_of(found.boxes_xyxy)
    return [
        face_quality(which, boxes, score, landmarks, (WIDTH, HEIGHT))
        for which, (score, landmarks) in enumerate(zip(found.scores.tolist(), found.landmarks.tolist(), strict=True))
    ]


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


@pytest.mark.parametrize("turned", [0.0, 0.2])
def test_a_tilted_head_is_worth_as_much(turned):
    upright = quality({"turned": turned})
    for tilted in (-0.6, 0.3, 1.5):
        assert quality({"turned": turned, "tilted": tilted}) == pytest.approx(upright, rel=1e-3)


def test_a_covered_face_is_worth_less_the_more_is_covered():
    values = [quality({}, {"x": x})[0] for x in (700, 690, 680, 660)]
    assert values[0] == pytest.approx(1.0) and values[-1] == 0.0
    assert all(a > b for a, b in pairwise(values))


def test_what_counts_is_the_share_of_the_own_face():
    small, large = quality({"height": 40, "x": 640}, {"height": 240, "x": 600})
    assert small == 0 and large == pytest.approx(1 - (0.8 * 40**2) / (0.8 * 240**2) / 0.3, abs=1e-3)


def test_covered_share():
    boxes = [Box(0, 0, 10, 10), Box(5, 0, 15, 10), Box(12, 0, 22, 10), Box(100, 0, 110, 10)]
    assert [covered_share(which, boxes) for which in range(4)] == pytest.approx([0.5, 0.5, 0.3, 0])
    assert covered_share(0, boxes[:1]) == 0


FACES = st.lists(
    st.fixed_dictionaries(
        {
            "x": st.floats(-200, 1500),
            "y": st.floats(-200, 900),
            "height": st.floats(0, 800),
            "score": st.floats(0, 1),
            "turned": st.floats(-3, 3),
            "narrow": st.floats(-1, 1.5),
            "tilted": st.floats(-3, 3),
        }
    ),
    min_size=1,
    max_size=30,
)


@given(FACES, st.randoms())
def test_quality_is_a_share_and_the_order_does_not_matter(faces, random):
    values = np.array(quality(*faces))
    assert ((values >= 0) & (values <= 1)).all()
    order = list(range(len(faces)))
    random.shuffle(order)
    np.testing.assert_allclose(quality(*(faces[i] for i in order)), values[order], rtol=1e-5, atol=1e-7)


@given(FACES)
def test_more_faces_never_help(faces):
    alone = np.array([quality(face)[0] for face in faces])
    assert (np.array(quality(*faces)) <= alone + 1e-6).all()


def ramp(values, low, high):
    return np.clip((np.float64(values) - low) / (high - low), 0, 1)


def quality_of_arrays(faces: Detections):
    """``(N,)``: the definition, all faces at once."""
    tall, area = np.maximum(heights(faces.boxes_xyxy), 1), np.maximum(areas(faces.boxes_xyxy), 1)
    covered = intersections(faces.boxes_xyxy, faces.boxes_xyxy)
    np.fill_diagonal(covered, 0)
    inside = intersections(faces.boxes_xyxy, np.array([[0.0, 0, WIDTH, HEIGHT]]))[:, 0]
    right, left, nose = np.float64(faces.landmarks).reshape(-1, 5, 2).swapaxes(0, 1)[:3]
    distance = np.maximum(np.linalg.norm(left - right, axis=1), 1e-6)
    off = np.abs(((nose - (left + right) / 2) * (left - right)).sum(axis=1)) / distance**2
    return (
        np.clip((tall / FULL_HEIGHT) ** 2, 0.1, 1) * ramp(faces.scores, *CLEAR_SCORES)
        * ramp(inside / area, *INSIDE_SHARES) * (1 - ramp(covered.max(axis=1) / area, 0, COVERED_SHARE))
        * np.exp(-((off / TURNED) ** 2)) * np.clip(distance / tall / FLAT, 0, 1)
    )  # fmt: skip


@given(FACES)
def test_one_by_one_as_all_at_once(faces):
    np.testing.assert_allclose(quality(*faces), quality_of_arrays(seen(*faces)), rtol=1e-4, atol=1e-6)
