"""Where the tiles lie on the canvas."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from ..engines.protocols import RGB, Bar, Canvas

MIN_TILE = 16  # pixels: a smaller tile shows nothing
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
