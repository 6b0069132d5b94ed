import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dft.analyze.boxes import areas, centres, expand, heights, intersections, iou

CORNERS = hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.just(2)), elements=st.floats(0, 2000, width=32))


@st.composite
def boxes(draw):
    corner = draw(CORNERS)
    size = draw(hnp.arrays(np.float32, corner.shape, elements=st.floats(1, 500, width=32)))
    return np.concatenate([corner, corner + size], axis=1)


@given(boxes(), boxes())
def test_iou_is_a_symmetric_share(a, b):
    overlap = iou(a, b)
    assert overlap.shape == (len(a), len(b))
    assert (overlap >= 0).all() and (overlap <= 1 + 1e-9).all()
    np.testing.assert_allclose(overlap, iou(b, a).T, atol=1e-9)


@given(boxes())
def test_a_box_covers_itself(a):
    np.testing.assert_allclose(np.diagonal(iou(a, a)), 1.0, rtol=1e-6)


@given(boxes(), st.floats(0, 2))
def test_expanding_keeps_the_centre_and_grows_each_side(a, share):
    larger = expand(a, share)
    np.testing.assert_allclose(centres(larger), centres(a), atol=1e-2)
    np.testing.assert_allclose(heights(larger), heights(a) * (1 + 2 * share), rtol=1e-4)
    assert (areas(larger) >= areas(a) * (1 - 1e-9)).all()


def test_known_values():
    a, b = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 5, 15, 15], [10, 0, 20, 10], [20, 20, 30, 30]])
    np.testing.assert_allclose(iou(a, b), [[25 / 175, 0, 0]])
    assert areas(b).tolist() == [100, 100, 100]


def test_boxes_without_area_overlap_nothing():
    point = np.array([[5.0, 5, 5, 5]])
    assert iou(point, point).tolist() == [[0.0]]


@given(boxes(), boxes())
def test_what_is_shared_is_no_more_than_either(a, b):
    shared = intersections(a, b)
    assert shared.shape == (len(a), len(b)) and shared.dtype == np.float64
    assert (shared >= 0).all()
    assert (shared <= np.minimum(areas(a)[:, None], areas(b)[None]) * (1 + 1e-9)).all()
    np.testing.assert_array_equal(shared > 0, iou(a, b) > 0)


def test_known_intersections():
    a, b = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 5, 15, 15], [2, 2, 4, 4], [10, 0, 20, 10], [-5, -5, 50, 50]])
    assert intersections(a, b).tolist() == [[25, 4, 0, 100]]
