"""Single boxes are reckoned as arrays of them are, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.analyze.boxes import areas, expand, heights, intersections, iou
from dft.analyze.tracking.box import Box, boxes_of, meeting

# whole numbers make edges that meet, boxes without area, and boxes of which one lies in the other
SIDES = st.integers(0, 12) | st.floats(0, 500, width=32)
PLACES = st.integers(-10, 30) | st.floats(-100, 2000, width=32)


@st.composite
def arrays(draw, max_size: int = 30):
    """``(N, 4)`` float32 boxes."""
    drawn = draw(st.lists(st.tuples(PLACES, PLACES, SIDES, SIDES), max_size=max_size))
    x, y, width, height = np.array(drawn, np.float32).reshape(-1, 4).T
    return np.stack([x, y, x + width, y + height], axis=1)


@given(arrays(), arrays())
def test_pairs(a, b):
    singly = [[(own.intersection(other), own.iou(other)) for other in boxes_of(b)] for own in boxes_of(a)]
    shared, overlap = np.array(singly, np.float64).reshape(len(a), len(b), 2).transpose(2, 0, 1)
    np.testing.assert_array_equal(shared, intersections(a, b))
    np.testing.assert_array_equal(overlap, iou(a, b))


@given(arrays(), st.floats(0, 2))
def test_sizes(array, share):
    boxes = boxes_of(array)
    assert [box.area for box in boxes] == areas(array).tolist()
    np.testing.assert_allclose([box.height for box in boxes], heights(array), rtol=1e-5, atol=1e-3)  # of float32
    np.testing.assert_array_equal(np.array([box.expanded(share) for box in boxes]).reshape(-1, 4), expand(array, share))


@given(arrays())
def test_who_meets_another(array):
    shared = intersections(array, array)
    np.fill_diagonal(shared, 0)
    assert meeting(boxes_of(array)) == set(np.flatnonzero(shared.any(axis=1)).tolist())


@pytest.mark.parametrize("other", [Box(12, 12, 8, 8), Box(5, 5, 5, 9), Box(10, 0, 20, 10), Box(3, -4, 7, 0)], ids=str)
def test_what_is_turned_over_empty_or_beside_shares_nothing(other):
    box = Box(0, 0, 10, 10)
    for a, b in ((box, other), (other, box)):
        assert a.intersection(b) == a.iou(b) == 0
    assert meeting([box, other]) == set()
