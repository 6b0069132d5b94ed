"""Layouts of one's own: a TOML file with the canvas and its tiles.

    width = 1920                # pixels, even; --size wins over both
    height = 1080
    background = "#101820"      # where no tile lies; black if not given; --background wins

    [[tile]]
    show = "wide"               # left, right, a person (A to D) on whatever side, or wide for the picture as a whole
    x = 0.0                     # left edge, in canvas widths
    y = 0.0                     # top edge, in canvas heights
    width = 1.0                 # in canvas widths
    height = 0.5                # in canvas heights

Edges are rounded to even pixels, so tiles that share an edge meet without a gap. Tiles may overlap: later ones lie on
top. A ``wide`` tile stands still, and shows as much of the picture as its shape allows.
"""

import tomllib
from pathlib import Path
from typing import Any

from ..configs.errors import SettingError
from ..configs.forms import SIZE_MAXIMUM, SIZE_MINIMUM, read_colour, read_size
from ..configs.rendering import SUBJECTS
from ..engines.protocols import RGB, Canvas
from .layout import BLACK, MIN_TILE, Layout, TileArea, even

WIDE = "wide"
SHOWN = (*SUBJECTS, WIDE)
TILE_KEYS = ("show", "x", "y", "width", "height")
FILE_KEYS = ("width", "height", "background", "tile")
SLACK = 1e-9  # what floating point may add to a sum of shares


def read_layout_file(path: Path, size: str | None = None) -> Layout:
    """The layout in a file.

    Args:
        path: The file.
        size: Size of the canvas instead of the file's, as in ``--size``.

    Raises:
        SettingError: The file cannot be read, or a key or value in it cannot be; names the tile and the key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"cannot read layout file {path}", got=error.strerror) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"layout file {path} is not TOML", got=error) from error
    reader = _Reader(path)
    reader.check_keys(document, FILE_KEYS, "")
    canvas = reader.canvas(document, size)
    tiles = document.get("tile")
    if not isinstance(tiles, list) or not tiles or not all(isinstance(tile, dict) for tile in tiles):
        raise reader.error("tile", tiles, "one table [[tile]] or more")
    areas = tuple(reader.area(tile, f"tile {number}: ", canvas) for number, tile in enumerate(tiles, 1))
    if all(area.side == WIDE for area in areas):
        raise reader.error("show", repr(WIDE), "a tile that shows a side or a person")
    return Layout(canvas, areas)


class _Reader:
    """Reads tables of one file; every error names the file and the key."""

    def __init__(self, path: Path):
        self.path = path

    def error(self, key: str, got: object, expected: str) -> SettingError:
        return SettingError(
            f"layout file {self.path}: {key}", got=got if got is not None else "nothing", expected=expected
        )

    def check_keys(self, table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in known:
                raise self.error(f"{where}{key}", "an unknown key", f"only {', '.join(known)}")

    def canvas(self, document: dict[str, Any], size: str | None) -> Canvas:
        background = self._background(document.get("background", BLACK))
        own = tuple(self._length(document, key) for key in ("width", "height")) if size is None else read_size(size)
        return Canvas(own[0], own[1], background)

    def area(self, table: dict[str, Any], where: str, canvas: Canvas) -> TileArea:
        self.check_keys(table, TILE_KEYS, where)
        show = table.get("show")
        if show not in SHOWN:
            raise self.error(f"{where}show", None if show is None else repr(show), f"one of {', '.join(SHOWN)}")
        x, width = self._extent(table, where, ("x", "width"), canvas.width)
        y, height = self._extent(table, where, ("y", "height"), canvas.height)
        return TileArea(show, x, y, width, height)

    def _background(self, value: object) -> RGB:
        try:
            return read_colour(str(value))
        except ValueError as error:
            raise self.error("background", repr(value), "a colour such as '#101820'") from error

    def _length(self, document: dict[str, Any], key: str) -> int:
        value = document.get(key)
        if isinstance(value, int) and not value % 2 and SIZE_MINIMUM <= value <= SIZE_MAXIMUM:
            return value
        raise self.error(key, value, f"an even number from {SIZE_MINIMUM} to {SIZE_MAXIMUM}")

    def _extent(self, table: dict[str, Any], where: str, keys: tuple[str, str], canvas: int) -> tuple[int, int]:
        """Start and size in pixels along one axis."""
        start, size = (self._share(table, where, key) for key in keys)
        if start + size > 1 + SLACK:
            raise self.error(f"{where}{keys[1]}", f"{size:g} from {start:g} on", "an end at 1 or before")
        first, end = even(start * canvas), min(even((start + size) * canvas), canvas)
        if end - first < MIN_TILE:
            raise self.error(f"{where}{keys[1]}", f"{end - first} pixels", f"at least {MIN_TILE} pixels")
        return first, end - first

    def _share(self, table: dict[str, Any], where: str, key: str) -> float:
        value = table.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
        raise self.error(f"{where}{key}", value, "a number from 0 to 1, in sizes of the canvas")
