"""The map from landmarks to a chip, as maths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import EngineError
from dft.engines.alignment import ARCFACE, DLIB, LAYOUTS, inverse, similarity

ANGLES = st.floats(-np.pi, np.pi)
SCALES = st.floats(0.02, 50)
SHIFTS = st.floats(-5000, 5000)
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.family)


def matrix_of(angle, scale, x, y):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y]])


def moved(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


@layouts
@given(angle=ANGLES, scale=SCALES, x=SHIFTS, y=SHIFTS)
def test_a_similarity_is_recovered(layout, angle, scale, x, y):
    back = inverse(matrix_of(angle, scale, x, y))
    (found,) = similarity(moved(back, layout.template)[None], layout.template)
    np.testing.assert_allclose(found, matrix_of(angle, scale, x, y), atol=1e-6 * (1 + scale))


def umeyama(points, template):
    """Umeyama's equations 40 to 42 as they stand, by singular values."""
    mean_x, mean_y = points.mean(axis=0), template.mean(axis=0)
    covariance = (template - mean_y).T @ (points - mean_x) / len(points)
    u, d, vt = np.linalg.svd(covariance)
    sign = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ sign @ vt
    scale = np.trace(np.diag(d) @ sign) / (points - mean_x).var(axis=0).sum()
    return np.column_stack([scale * rotation, mean_y - scale * rotation @ mean_x])


@given(seed=st.integers(0, 2**32 - 1), noise=st.floats(0, 40))
def test_the_closed_form_is_umeyama_s(seed, noise):
    rng = np.random.default_rng(seed)
    points = DLIB.template + rng.normal(0, noise, (3, 5, 2))
    for found, one in zip(similarity(points, DLIB.template), points, strict=True):
        np.testing.assert_allclose(found, umeyama(one, DLIB.template), atol=1e-7)


@given(seed=st.integers(0, 2**32 - 1), step=st.tuples(*[st.floats(-0.1, 0.1)] * 4))
def test_no_other_similarity_is_nearer(seed, step):
    points = DLIB.template + np.random.default_rng(seed).normal(0, 10, (5, 2))
    (best,) = similarity(points[None], DLIB.template)
    a, b, x, y = step
    other = best + np.array([[a, -b, x], [b, a, y]])
    errors = [((moved(m, points) - DLIB.template) ** 2).sum() for m in (best, other)]
    assert errors[0] <= errors[1] + 1e-9


def test_mirrored_landmarks_are_not_mirrored_back():
    (found,) = similarity((DLIB.template * (-1, 1))[None], DLIB.template)
    assert np.linalg.det(found[:, :2]) > 0


def test_no_face():
    assert similarity(np.zeros((0, 5, 2)), DLIB.template).shape == (0, 2, 3)


@pytest.mark.parametrize("value", [0.0, 3.3, 1919.7, 1e6, np.nan, np.inf])
def test_landmarks_in_one_place_are_an_error(value):
    points = np.stack([DLIB.template, np.full((5, 2), value)]).astype(np.float32)
    with pytest.raises(EngineError, match="cannot be aligned; got landmarks in one place"):
        similarity(points, DLIB.template)


def test_a_map_that_cannot_be_undone_is_an_error():
    with pytest.raises(EngineError, match="cannot be aligned; got landmarks that are no face's"):
        inverse(np.zeros((2, 3)))


@layouts
def test_the_templates_are_faces(layout):
    right_eye, left_eye, nose, right_mouth, left_mouth = layout.template
    assert right_eye[0] < nose[0] < left_eye[0] and right_mouth[0] < nose[0] < left_mouth[0]
    assert right_eye[1] < nose[1] < right_mouth[1]
    assert (layout.template > 0).all() and (layout.template < layout.size).all()


def test_the_distance_of_unit_vectors_is_opencv_s_cosine():
    assert pytest.approx(np.sqrt(2 - 2 * 0.363), abs=1e-3) == ARCFACE.same_person_distance
