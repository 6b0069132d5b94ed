"""Tiles and dividers fill the canvas on even pixels."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import SettingError
from dft.configs.rendering import OutputSettings
from dft.engines.protocols import Canvas
from dft.render.layout import MIN_TILE, Layout, TileArea, even
from dft.render.presets import finished, layout_of, outputs, side_by_side, single, stacked

even_size = st.integers(32, 4096).map(lambda n: 2 * n)
small_even_size = st.integers(32, 150).map(lambda n: 2 * n)
any_output = st.builds(
    lambda width, height, **values: OutputSettings(size=f"{width}x{height}", **values),
    width=small_even_size,
    height=small_even_size,
    layout=st.sampled_from(["side-by-side", "stacked", "separate", "pip", "single"]),
    follow=st.sampled_from(["left", "right", "A", "B"]),
    divider=st.integers(0, 8).map(lambda n: 2 * n),
    pip_corner=st.sampled_from(["top-left", "top-right", "bottom-left", "bottom-right"]),
    pip_share=st.floats(0.1, 0.5),
    pip_margin=st.floats(0, 0.2),
)


def possible(settings):
    """The layout, or None where the dividers leave no room in so small a canvas."""
    try:
        return layout_of(settings)
    except SettingError as error:
        assert "divider" in str(error)
        return None


def drawn(layout):
    """(height, width) how many tiles and whether a divider cover each pixel."""
    tiles = np.zeros((layout.canvas.height, layout.canvas.width), int)
    lines = np.zeros(tiles.shape, bool)
    for area in layout.areas:
        tiles[area.y : area.bottom, area.x : area.right] += 1
    for divider in layout.dividers:
        bar = divider.bar
        lines[bar.y : bar.y + bar.height, bar.x : bar.x + bar.width] = True
    return tiles, lines


def assert_inside_and_even(layout):
    rectangles = [*layout.areas, *(divider.bar for divider in layout.dividers)]
    for one in rectangles:
        assert all(value % 2 == 0 for value in (one.x, one.y, one.width, one.height))
        assert min(one.x, one.y) >= 0 and min(one.width, one.height) > 0
        assert one.x + one.width <= layout.canvas.width and one.y + one.height <= layout.canvas.height


@given(any_output)
def test_every_layout_lies_inside_its_canvas_on_even_pixels_and_covers_it(settings):
    layout = possible(settings)
    if layout is None:
        return
    assert f"{layout.canvas.width}x{layout.canvas.height}" == settings.size
    assert_inside_and_even(layout)
    assert min(min(area.width, area.height) for area in layout.areas) >= MIN_TILE
    tiles, lines = drawn(layout)
    assert ((tiles > 0) | lines).all()
    if settings.layout in {"side-by-side", "stacked", "single"}:
        assert (tiles + lines == 1).all()


@given(any_output.map(lambda settings: replace(settings, layout="pip")))
def test_pip_shows_one_on_the_whole_canvas_and_the_other_in_a_corner(settings):
    layout = possible(settings)
    if layout is None:
        return
    large, small = layout.areas
    assert (large.x, large.y, large.width, large.height) == (0, 0, layout.canvas.width, layout.canvas.height)
    assert large.side == settings.follow and small.side != large.side
    corner = settings.pip_corner
    gaps = {
        "left": small.x, "right": layout.canvas.width - small.right,
        "top": small.y, "bottom": layout.canvas.height - small.bottom,
    }  # fmt: skip
    # an edge of the canvas needs no border, and the margin is rounded
    slack = settings.divider + 2
    for name, other in (("left", "right"), ("top", "bottom")):
        near, far = (name, other) if name in corner else (other, name)
        assert gaps[near] <= gaps[far] + slack


@given(even_size, even_size)
def test_left_lies_left_or_above_and_both_are_as_good_as_equal(width, height):
    left, right = side_by_side(width, height).areas
    assert (left.side, right.side, left.x) == ("left", "right", 0)
    assert 0 <= right.width - left.width <= 2
    above, below = stacked(width, height).areas
    assert (above.side, below.side, above.y) == ("left", "right", 0)
    assert 0 <= below.height - above.height <= 2


@pytest.mark.parametrize(("width", "widths"), [(1920, [960, 960]), (1922, [960, 962]), (64, [32, 32])])
def test_examples(width, widths):
    assert [area.width for area in side_by_side(width, 1080).areas] == widths


@pytest.mark.parametrize(
    ("name", "size"),
    [("side-by-side", (1920, 1080)), ("stacked", (1080, 1920)), ("separate", (960, 1080)), ("pip", (1920, 1080)),
     ("single", (1920, 1080))],
)  # fmt: skip
def test_default_sizes(name, size):
    canvas = layout_of(OutputSettings(layout=name)).canvas
    assert (canvas.width, canvas.height, canvas.background) == (*size, (0, 0, 0))


def test_only_separate_makes_more_than_one_video():
    assert outputs(OutputSettings(layout="separate")) == ("left", "right")
    assert outputs(OutputSettings()) == outputs(OutputSettings(layout="talk.toml")) == (None,)


def test_a_divider_takes_as_much_from_both_and_belongs_to_both():
    layout = layout_of(OutputSettings(divider=8, divider_colour="#f00", background="navy"))
    assert [(area.x, area.width) for area in layout.areas] == [(0, 956), (964, 956)]
    (divider,) = layout.dividers
    assert (divider.bar.x, divider.bar.width, divider.bar.height) == (956, 8, 1080)
    assert (divider.bar.colour, divider.tiles, layout.canvas.background) == ((255, 0, 0), (0, 1), (0, 0, 128))


def test_a_grid_has_lines_between_all_neighbours():
    areas = tuple(TileArea("left", x, y, 100, 50) for y in (0, 50) for x in (0, 100))
    grid = Layout(Canvas(200, 100), areas)
    tiles, lines = drawn(finished(grid, OutputSettings(divider=6)))
    assert (tiles + lines == 1).all()
    assert lines[:, 98:104].all() and lines[48:54, :].all()


def test_the_border_of_pip_belongs_to_the_small_tile_and_lies_inside_its_square():
    plain, bordered = (layout_of(OutputSettings(layout="pip", divider=divider)) for divider in (0, 6))
    (_, before), (_, after) = plain.areas, bordered.areas
    assert (after.x, after.y) == (before.x + 6, before.y + 6)
    assert (after.right, after.bottom) == (before.right - 6, before.bottom - 6)
    assert {divider.tiles for divider in bordered.dividers} == {(1,)}
    assert len(bordered.dividers) == 4


def test_a_pip_at_the_canvas_s_edge_has_no_border_there():
    layout = layout_of(OutputSettings(layout="pip", divider=6, pip_margin=0.0))
    assert len(layout.dividers) == 2
    assert (layout.areas[1].right, layout.areas[1].bottom) == (1920, 1080)


def test_dividers_that_leave_no_room_are_refused():
    with pytest.raises(SettingError, match="divider"):
        layout_of(OutputSettings(size="64x64", divider=60))


@given(st.integers(1, 40), even_size)
def test_shares_that_meet_are_rounded_to_the_same_pixel(parts, width):
    edges = [even(part / parts * width) for part in range(parts + 1)]
    ends = [even((part / parts + 1 / parts) * width) for part in range(parts)]
    assert edges[0] == 0 and edges[-1] == width
    assert edges[1:] == ends


def test_single_names_whom_it_shows():
    assert single(300, 200).areas == (TileArea("single", 0, 0, 300, 200),)
    assert layout_of(OutputSettings(layout="single", follow="B")).areas[0].side == "B"


def test_no_two_tiles_overlap_but_in_pip():
    for name in ("side-by-side", "stacked", "single"):
        for a, b in combinations(layout_of(OutputSettings(layout=name, divider=4)).areas, 2):
            assert a.right <= b.x or b.right <= a.x or a.bottom <= b.y or b.bottom <= a.y
