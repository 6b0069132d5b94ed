"""Where the tiles lie on the canvas."""

from dataclasses import dataclass

from ..engines.protocols import Canvas


@dataclass(frozen=True)
class TileArea:
    """One tile's rectangle on the canvas; all numbers are pixels, and even.

    Attributes:
        side: Whom it shows: ``left``, ``right``, or ``single`` for the only person.
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


@dataclass(frozen=True)
class Layout:
    """A canvas and the tiles on it, which do not overlap.

    Attributes:
        canvas: What they lie on.
        areas: The tiles.
    """

    canvas: Canvas
    areas: tuple[TileArea, ...]


def side_by_side(width: int, height: int) -> Layout:
    """Two tiles of full height that meet in the middle (a pixel beside it where half the width is odd).

    >>> [area.width for area in side_by_side(1922, 1080).areas]
    [960, 962]
    """
    half = width // 4 * 2
    areas = (TileArea("left", 0, 0, half, height), TileArea("right", half, 0, width - half, height))
    return Layout(Canvas(width, height), areas)


def single(width: int, height: int) -> Layout:
    """One tile over the whole canvas."""
    return Layout(Canvas(width, height), (TileArea("single", 0, 0, width, height),))
