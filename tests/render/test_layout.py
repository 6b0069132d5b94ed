"""Tiles fill the canvas on even pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.render.layout import side_by_side, single

even = st.integers(32, 4096).map(lambda n: 2 * n)


@given(even, even)
def test_tiles_are_even_and_cover_the_canvas_once(width, height):
    for layout in (side_by_side(width, height), single(width, height)):
        covered = np.zeros(width, int)
        for area in layout.areas:
            assert all(value % 2 == 0 for value in (area.x, area.y, area.width, area.height))
            assert (area.y, area.height) == (0, height)
            covered[area.x : area.x + area.width] += 1
        assert (covered == 1).all()


@given(even, even)
def test_left_lies_left_and_both_are_as_good_as_equal(width, height):
    left, right = side_by_side(width, height).areas
    assert (left.side, right.side, left.x) == ("left", "right", 0)
    assert 0 <= right.width - left.width <= 2


@pytest.mark.parametrize(("width", "widths"), [(1920, [960, 960]), (1922, [960, 962]), (64, [32, 32])])
def test_examples(width, widths):
    assert [area.width for area in side_by_side(width, 1080).areas] == widths
