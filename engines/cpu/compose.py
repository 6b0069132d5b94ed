"""Crops, scales and tiles on the CPU, plane by plane, with OpenCV."""

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..protocols import Canvas, Closing, Colour, Tile
from .image import NEUTRAL_CHROMA, YuvImage, empty

Plane = NDArray[np.uint8]
Rect = tuple[float, float, float, float]

ROTATE = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
# Offsets below this are taken as whole pixels; 1/1000 pixel cannot be seen.
LEAST_FRACTION = 1e-3


class OpenCvCompositor(Closing):
    """Composes canvases.

    A tile is sampled in two steps, because OpenCV's ``warpAffine`` costs several times as much. A four-tap
    filter moves the crop's origin by a fraction of a pixel (a whole origin needs none), and where the picture
    shrinks it also takes out detail too fine for the tile. Then ``resize`` scales by the exact factor.

    Chroma planes are treated as pictures of half the size. For left-sited chroma that is off by a quarter of
    (1 - scale) chroma pixels, a tenth of a pixel at usual scales.
    """

    def __init__(self, canvas: Canvas):
        self._canvas = canvas

    def compose(self, image: YuvImage, tiles: Sequence[Tile]) -> YuvImage:
        """A new canvas with each tile's crop; see ``protocols.Compositor``."""
        made = self._empty(image.colour, covered=sum(tile.width * tile.height for tile in tiles))
        for tile in tiles:
            crop = _coded_crop(image, tile.crop_xyxy)
            place = (tile.x, tile.y, tile.width, tile.height)
            _place(image.y, crop, made.y, place, image.rotation)
            half_crop = (crop[0] / 2, crop[1] / 2, crop[2] / 2, crop[3] / 2)
            half_place = (tile.x // 2, tile.y // 2, tile.width // 2, tile.height // 2)
            _place(image.u, half_crop, made.u, half_place, image.rotation)
            _place(image.v, half_crop, made.v, half_place, image.rotation)
        return made

    def close(self) -> None:
        """Nothing is held."""

    def _empty(self, colour: Colour, covered: int) -> YuvImage:
        width, height = self._canvas.width, self._canvas.height
        made = empty(width, height, colour)
        if covered < width * height:
            made.y.fill(0 if colour.full_range else 16)
            made.u.fill(NEUTRAL_CHROMA)
            made.v.fill(NEUTRAL_CHROMA)
        return made


def _coded_crop(image: YuvImage, crop_xyxy: Rect) -> Rect:
    """The displayed rectangle in the coordinates of the coded picture."""
    x1, y1, x2, y2 = crop_xyxy
    width, height = image.width, image.height
    if image.rotation == 90:  # displayed x = height - y, displayed y = x
        return y1, height - x2, y2, height - x1
    if image.rotation == 180:
        return width - x2, height - y2, width - x1, height - y1
    if image.rotation == 270:  # displayed x = y, displayed y = width - x
        return width - y2, x1, width - y1, x2
    return x1, y1, x2, y2


def _place(source: Plane, crop: Rect, target: Plane, place: tuple[int, int, int, int], rotation: int) -> None:
    x, y, width, height = place
    view = target[y : y + height, x : x + width]
    if rotation in (90, 270):
        width, height = height, width
    picture = _sample(source, crop, width, height)
    if rotation:
        cv2.rotate(picture, ROTATE[rotation], dst=view)
    else:
        np.copyto(view, picture)


def _sample(source: Plane, crop: Rect, width: int, height: int) -> Plane:
    """``(height, width)`` picture of a fractional rectangle; beyond the plane its edge is repeated."""
    while crop[2] - crop[0] >= 2 * width and crop[3] - crop[1] >= 2 * height:
        source, crop = _halved(source, crop)
    x1, y1, x2, y2 = crop
    step_x, step_y = (x2 - x1) / width, (y2 - y1) / height  # source pixels per pixel of the tile
    columns, shift_x = _span(x1, x2, source.shape[1])
    rows, shift_y = _span(y1, y2, source.shape[0])
    patch = _filtered(source, columns, rows, _kernel(shift_x, step_x), _kernel(shift_y, step_y))
    method = cv2.INTER_LINEAR if step_x >= 1 and step_y >= 1 else cv2.INTER_CUBIC
    # fx and fy, not a size: the mapping is exact though the patch ends on a whole pixel
    picture = _plane(cv2.resize(patch, None, fx=1 / step_x, fy=1 / step_y, interpolation=method))
    missing_x, missing_y = width - picture.shape[1], height - picture.shape[0]
    if missing_x > 0 or missing_y > 0:
        borders = (0, max(missing_y, 0), 0, max(missing_x, 0))
        picture = _plane(cv2.copyMakeBorder(picture, *borders, cv2.BORDER_REPLICATE))
    return picture[:height, :width]


def _halved(source: Plane, crop: Rect) -> tuple[Plane, Rect]:
    """The surroundings of ``crop`` at half size, and the crop in them; exact halving is fast."""
    columns, rows = (_even_span(crop[axis], crop[axis + 2], source.shape[1 - axis]) for axis in (0, 1))
    patch = source[rows, columns]
    half_size = (patch.shape[1] // 2, patch.shape[0] // 2)
    half = _plane(cv2.resize(patch, half_size, interpolation=cv2.INTER_AREA))
    x, y = columns.start, rows.start
    return half, ((crop[0] - x) / 2, (crop[1] - y) / 2, (crop[2] - x) / 2, (crop[3] - y) / 2)


def _even_span(start: float, end: float, size: int) -> slice:
    first = min(max(floor(start) - 4, 0), size - 2)
    last = min(max(ceil(end) + 4, first + 2), size)
    return slice(first, first + (last - first) // 2 * 2)


def _span(start: float, end: float, size: int) -> tuple[slice, float]:
    """Whole pixels that hold ``start..end`` and a neighbour for the filter, and the fraction of ``start``."""
    first = min(max(floor(start + LEAST_FRACTION), 0), size - 1)
    shift = min(max(start - first, 0.0), 1.0)
    last = min(max(ceil(end) + 2, first + 1), size)
    return slice(first, last), shift if shift >= LEAST_FRACTION else 0.0


def _kernel(shift: float, step: float) -> NDArray[np.float32]:
    """Weights of the pixels -1, 0, 1, 2 for the value at ``shift`` in 0..1, or a single 1.

    Catmull-Rom where the picture is enlarged, over to the cubic B-spline where it shrinks by 1.5 or more:
    both ends of the family in Mitchell and Netravali, "Reconstruction filters in computer graphics", 1988.
    """
    softness = min(max(2 * (step - 1), 0.0), 1.0)
    if shift == 0 and softness == 0:
        return np.ones(1, np.float32)
    t = shift
    sharp = np.array([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    soft = np.array([(1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3]) / 6
    return ((1 - softness) * sharp + softness * soft).astype(np.float32)


def _filtered(
    source: Plane, columns: slice, rows: slice, kernel_x: NDArray[np.float32], kernel_y: NDArray[np.float32]
) -> Plane:
    """The patch at ``columns`` and ``rows``, filtered along both axes with the pixels around it."""
    if len(kernel_x) == 1 and len(kernel_y) == 1:
        return source[rows, columns]
    left, top = min(columns.start, 1), min(rows.start, 1)  # the filter looks one pixel back
    around = source[rows.start - top : rows.stop, columns.start - left : columns.stop]
    anchor = (min(1, len(kernel_x) - 1), min(1, len(kernel_y) - 1))
    result = cv2.sepFilter2D(around, -1, kernel_x, kernel_y, anchor=anchor, borderType=cv2.BORDER_REPLICATE)
    return _plane(result)[top:, left:]


def _plane(picture: Any) -> Plane:
    """What OpenCV returned, by its type; nothing is copied."""
    return np.asarray(picture, np.uint8)
