"""Where the tiles lie on the canvas."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from ..configs.errors import SettingError
from ..configs.forms import LAYOUTS, read_colour, read_size
from ..configs.rendering import OutputSettings
from ..engines.protocols import RGB, Bar, Canvas

MIN_TILE = 16  # pixels: a smaller tile shows nothing
PORTRAIT, LANDSCAPE, HALF = (1080, 1920), (1920, 1080), (960, 1080)
DEFAULT_SIZES = {
    "side-by-side": LANDSCAPE,
    "stacked": PORTRAIT,
    "separate": HALF,
    "pip": LANDSCAPE,
    "single": LANDSCAPE,
}
OTHER = {"left": "right", "right": "left", "A": "B", "B": "A", "C": "A", "D": "A"}  # who is with whom in pip
BLACK = "#000000"
EDGES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class TileArea:
    """One tile's rectangle on the canvas; all numbers are pixels, and even.

    Attributes:
        side: Whom it shows: ``left`` or ``right``, a person (``A`` to ``D``) on whatever side, ``wide`` for the picture
            as a whole, or ``single`` for the only person.
        x: Its left edge.
        y: Its top edge.
        width: Its width.
        height: Its height.
    """

    side: str
    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """Where it ends on the right."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """Where it ends below."""
        return self.y + self.height

    @property
    def aspect(self) -> float:
        """Width to height."""
        return self.width / self.height


@dataclass(frozen=True)
class Divider:
    """A line between two tiles, or beside one.

    Attributes:
        bar: Where it is drawn.
        tiles: Numbers of the tiles that it belongs to; it is drawn where one of them is.
    """

    bar: Bar
    tiles: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """A canvas and the tiles on it.

    Attributes:
        canvas: What they lie on.
        areas: The tiles; later ones lie on top.
        dividers: Drawn over the tiles.
        separate: Whether each tile is a video of its own.
    """

    canvas: Canvas
    areas: tuple[TileArea, ...]
    dividers: tuple[Divider, ...] = ()
    separate: bool = False


def outputs(settings: OutputSettings) -> tuple[str | None, ...]:
    """The videos that a rendering makes: one per side in the layout ``separate``, else one without a name."""
    return ("left", "right") if settings.layout == "separate" else (None,)


def layout_of(settings: OutputSettings) -> Layout:
    """The layout that the settings ask for, with its dividers and background.

    Raises:
        SettingError: The layout file cannot be used, or the dividers leave no room for the tiles.
    """
    if settings.layout in LAYOUTS:
        layout = _built_in(settings)
    else:
        from .layout_file import read_layout_file

        layout = read_layout_file(Path(settings.layout), settings.size)
    return finished(layout, settings)


def finished(layout: Layout, settings: OutputSettings) -> Layout:
    """``layout`` with the settings' dividers and background.

    Raises:
        SettingError: The dividers leave no room for the tiles.
    """
    if settings.background is not None:
        layout = replace(layout, canvas=replace(layout.canvas, background=read_colour(settings.background)))
    if layout.separate or settings.divider == 0:
        return layout
    areas, dividers = divided(layout, settings.divider, read_colour(settings.divider_colour))
    if min(min(area.width, area.height) for area in areas) < MIN_TILE:
        raise SettingError(
            f"setting divider cannot be {settings.divider}", expected=f"room for tiles of {MIN_TILE} pixels",
            hint="change --divider or --size",
        )  # fmt: skip
    return replace(layout, areas=areas, dividers=dividers)


def _built_in(settings: OutputSettings) -> Layout:
    width, height = read_size(settings.size) if settings.size else DEFAULT_SIZES[settings.layout]
    match settings.layout:
        case "stacked":
            return stacked(width, height)
        case "separate":
            return separate(width, height)
        case "pip":
            return picture_in_picture(width, height, settings)
        case "single":
            return single(width, height, settings.follow)
        case _:
            return side_by_side(width, height)


def side_by_side(width: int, height: int) -> Layout:
    """Two tiles of full height that meet in the middle (a pixel beside it where half the width is odd).

    >>> [area.width for area in side_by_side(1922, 1080).areas]
    [960, 962]
    """
    half = width // 4 * 2
    areas = (TileArea("left", 0, 0, half, height), TileArea("right", half, 0, width - half, height))
    return Layout(Canvas(width, height), areas)


def stacked(width: int, height: int) -> Layout:
    """Two tiles of full width that meet in the middle, the left person's on top.

    >>> [area.height for area in stacked(1080, 1922).areas]
    [960, 962]
    """
    half = height // 4 * 2
    areas = (TileArea("left", 0, 0, width, half), TileArea("right", 0, half, width, height - half))
    return Layout(Canvas(width, height), areas)


def separate(width: int, height: int) -> Layout:
    """Two tiles that are each the whole canvas of a video of their own."""
    areas = tuple(TileArea(side, 0, 0, width, height) for side in ("left", "right"))
    return Layout(Canvas(width, height), areas, separate=True)


def single(width: int, height: int, side: str = "single") -> Layout:
    """One tile over the whole canvas."""
    return Layout(Canvas(width, height), (TileArea(side, 0, 0, width, height),))


def picture_in_picture(width: int, height: int, settings: OutputSettings) -> Layout:
    """The followed person over the whole canvas, and the other in a square in a corner."""
    size = min(max(even(width * settings.pip_share), MIN_TILE), height)
    margin = even(min(settings.pip_margin * width, (width - size) // 2, (height - size) // 2))
    vertical, horizontal = settings.pip_corner.split("-")
    x = margin if horizontal == "left" else width - margin - size
    y = margin if vertical == "top" else height - margin - size
    large = TileArea(settings.follow, 0, 0, width, height)
    small = TileArea(OTHER[settings.follow], x, y, size, size)
    return Layout(Canvas(width, height), (large, small))


def even(value: float) -> int:
    """The even number nearest to ``value``, the greater of two; noise of floating point changes nothing.

    >>> even(640.9), even(641.0), even(640.9999999999)
    (640, 642, 642)
    """
    return int(round(value / 2, 6) + 0.5) * 2


def divided(layout: Layout, size: int, colour: RGB) -> tuple[tuple[TileArea, ...], tuple[Divider, ...]]:
    """The tiles with room for dividers, and the dividers.

    Tiles that meet give room on both sides of the line between them. A tile on top of an earlier one gets a border on
    its inside, but for the canvas's own edge.

    Args:
        layout: Tiles without dividers.
        size: Width of a line in pixels, even.
        colour: Its colour.
    """
    insets = [dict.fromkeys(EDGES, 0) for _ in layout.areas]
    dividers: list[Divider] = []
    for (one, a), (two, b) in combinations(enumerate(layout.areas), 2):
        across, down = _common(a, b)
        if across > 0 and down > 0:
            for edge, bar in _border(b, size, colour, layout.canvas):
                insets[two][edge] = size
                dividers.append(Divider(bar, (two,)))
        for (low, before), (high, after) in (((one, a), (two, b)), ((two, b), (one, a))):
            first = size // 4 * 2  # of the line, before the place where they meet
            if before.right == after.x and down > 0:
                insets[low]["right"], insets[high]["left"] = first, size - first
                bar = Bar(after.x - first, max(a.y, b.y), size, down, colour)
                dividers.append(Divider(bar, (low, high)))
            elif before.bottom == after.y and across > 0:
                insets[low]["bottom"], insets[high]["top"] = first, size - first
                bar = Bar(max(a.x, b.x), after.y - first, across, size, colour)
                dividers.append(Divider(bar, (low, high)))
    areas = (_inset(area, **inset) for area, inset in zip(layout.areas, insets, strict=True))
    return tuple(areas), tuple(dict.fromkeys(dividers))  # a tile over several has one border


def _common(a: TileArea, b: TileArea) -> tuple[int, int]:
    """Width and height of what two tiles have in common; below 0 where there is a gap."""
    return min(a.right, b.right) - max(a.x, b.x), min(a.bottom, b.bottom) - max(a.y, b.y)


def _inset(area: TileArea, left: int, top: int, right: int, bottom: int) -> TileArea:
    width, height = area.width - left - right, area.height - top - bottom
    return TileArea(area.side, area.x + left, area.y + top, width, height)


def _border(area: TileArea, size: int, colour: RGB, canvas: Canvas) -> Iterator[tuple[str, Bar]]:
    """Lines along the inside of the tile's edges that are not the canvas's."""
    if area.x > 0:
        yield "left", Bar(area.x, area.y, size, area.height, colour)
    if area.y > 0:
        yield "top", Bar(area.x, area.y, area.width, size, colour)
    if area.right < canvas.width:
        yield "right", Bar(area.right - size, area.y, size, area.height, colour)
    if area.bottom < canvas.height:
        yield "bottom", Bar(area.x, area.bottom - size, area.width, size, colour)
