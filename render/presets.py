"""The layouts that the settings ask for: built in, or read from a file."""

from dataclasses import replace
from pathlib import Path

from ..configs.errors import SettingError
from ..configs.forms import LAYOUTS, read_colour, read_size
from ..configs.rendering import OutputSettings
from ..engines.protocols import Canvas
from .layout import MIN_TILE, Layout, TileArea, divided, even
from .layout_file import read_layout_file

PORTRAIT, LANDSCAPE, HALF = (1080, 1920), (1920, 1080), (960, 1080)
DEFAULT_SIZES = {
    "side-by-side": LANDSCAPE,
    "stacked": PORTRAIT,
    "separate": HALF,
    "pip": LANDSCAPE,
    "single": LANDSCAPE,
}
OTHER = {"left": "right", "right": "left", "A": "B", "B": "A", "C": "A", "D": "A"}  # who is with whom in pip


def outputs(settings: OutputSettings) -> tuple[str | None, ...]:
    """The videos that a rendering makes: one per side in the layout ``separate``, else one without a name."""
    return ("left", "right") if settings.layout == "separate" else (None,)


def output_paths(output: Path, settings: OutputSettings) -> dict[str | None, Path]:
    """Where they lie, by name: ``talk.mp4``, or ``talk.left.mp4`` and ``talk.right.mp4``."""
    return {
        name: output if name is None else output.with_name(f"{output.stem}.{name}{output.suffix}")
        for name in outputs(settings)
    }


def layout_of(settings: OutputSettings) -> Layout:
    """The layout that the settings ask for, with its dividers and background.

    Raises:
        SettingError: The layout file cannot be used, or the dividers leave no room for the tiles.
    """
    if settings.layout in LAYOUTS:
        layout = _built_in(settings)
    else:
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
