"""Crops, scales and tiles on the CPU, plane by plane, with OpenCV."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, floor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..protocols import RGB, Bar, Canvas, Closing, Tile
from .image import Plane, YuvImage, empty
from .paint import rgb_to_yuv

Rect = tuple[float, float, float, float]
Place = tuple[int, int, int, int]

ROTATE = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
# How far the picture in a tile may be from its place, in pixels of the plane. Where a pixel is a minute of arc, 1/64 is
# a second: a fifth of the least offset between two lines that people see (Westheimer, "Visual acuity and
# hyperacuity", 1975).
TOLERANCE = 1 / 64
# A patch extends beyond a tile on each side by at most the tile's size divided by this (and the margin); a larger one
# would cost more than the filter does, by the measured costs of both. Small tiles cost little, so at least so many
# pixels are tried.
FURTHEST = 8
LEAST_TRIED = 64
# Bicubic interpolation looks this far beyond a place, in source pixels.
MARGIN = 2
# Standard deviation, in pixels of the small picture, at which a blur is made before it is enlarged: the smallest that
# leaves nothing at half the sampling rate which enlarging would show as blocks (exp(-(1.5 pi)^2 / 2) is 1.5e-5).
SMALL_BLUR = 1.5
MAX_10_BIT = 1023


class OpenCvCompositor(Closing):
    """Composes canvases.

    A tile is one ``cv2.resize`` (bicubic) of a patch of whole source pixels to a whole number of tile pixels, a little
    larger than the tile on every side: so much larger that both of the patch's ends fall on whole source pixels,
    to :data:`TOLERANCE`. That puts the crop at its fraction of a pixel and keeps its exact scale, at the cost of
    a plain resize; ``warpAffine`` and ``remap`` cost several times as much.
    Where no such patch is near, as when the scale is a ratio of small numbers, a four-tap filter moves the source by
    the fraction first. Where the picture shrinks, exact halves are taken until less than a factor of two is left, and a
    filter takes out detail too fine for the tile.

    Chroma planes are treated as pictures of half the size. For left-sited chroma that is off by a quarter of
    (1 - scale) chroma pixels, a tenth of a pixel at usual scales.
    """

    def __init__(self, canvas: Canvas):
        self._canvas = canvas

    def compose(self, image: YuvImage, tiles: Sequence[Tile | Bar]) -> YuvImage:
        """A new canvas with each tile's crop, as deep as ``image``; see ``protocols.Compositor``."""
        canvas = self._canvas
        made = empty(canvas.width, canvas.height, image.colour, image.depth)
        for place in _uncovered(canvas, tiles):
            _fill(made, place, canvas.background)
        for tile in tiles:
            if isinstance(tile, Bar):
                _fill(made, _place_of(tile), tile.colour)
            else:
                _lay(image, tile, made)
        return made

    def close(self) -> None:
        """Nothing is held."""


def _uncovered(canvas: Canvas, tiles: Iterable[Tile | Bar]) -> list[Place]:
    """Rectangles that make up what no tile covers."""
    spans = [(tile.x, tile.y, tile.x + tile.width, tile.y + tile.height) for tile in tiles]
    columns = sorted({0, canvas.width, *(x for x1, _, x2, _ in spans for x in (x1, x2))})
    rows = sorted({0, canvas.height, *(y for _, y1, _, y2 in spans for y in (y1, y2))})
    return [
        (left, top, right - left, bottom - top)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
        if not any(x1 <= left and right <= x2 and y1 <= top and bottom <= y2 for x1, y1, x2, y2 in spans)
    ]


def _lay(image: YuvImage, tile: Tile, made: YuvImage) -> None:
    crop = _coded_crop(image, tile.crop_xyxy)
    place = _place_of(tile)
    half = _half(place)
    blur = tile.blur * tile.height
    _sample((image.y,), crop, (_view(made.y, place),), image.rotation, blur)
    half_crop = (crop[0] / 2, crop[1] / 2, crop[2] / 2, crop[3] / 2)
    _sample((image.u, image.v), half_crop, (_view(made.u, half), _view(made.v, half)), image.rotation, blur / 2)


def _fill(image: YuvImage, place: Place, colour: RGB) -> None:
    y, u, v = rgb_to_yuv(colour, image.colour, image.depth)
    _view(image.y, place).fill(y)
    _view(image.u, _half(place)).fill(u)
    _view(image.v, _half(place)).fill(v)


def _place_of(part: Tile | Bar) -> Place:
    return part.x, part.y, part.width, part.height


def _half(place: Place) -> Place:
    x, y, width, height = place
    return x // 2, y // 2, width // 2, height // 2


def _view(plane: Plane, place: Place) -> Plane:
    x, y, width, height = place
    return plane[y : y + height, x : x + width]


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


def _sample(sources: Sequence[Plane], crop: Rect, targets: Sequence[Plane], rotation: int, blur: float) -> None:
    """Put the same crop of each source on its target; ``blur`` is a standard deviation in pixels of the target."""
    height, width = targets[0].shape
    if rotation in (90, 270):
        width, height = height, width
    sampler = _Sampler(crop, *small_size(width, height, blur), TOLERANCE * len(sources))
    for source, target in zip(sources, targets, strict=True):
        picture = sampler(source)
        if blur:
            picture = _blurred(picture, blur, width, height)
        if rotation:
            picture = _plane(cv2.rotate(picture, ROTATE[rotation]))
        if target.dtype == np.uint16:  # interpolation overshoots, and OpenCV saturates at 16 bits only
            cv2.threshold(picture, MAX_10_BIT, 0, cv2.THRESH_TRUNC, dst=target)  # cv2.min takes one pixel for a scalar
        else:
            np.copyto(target, picture)


def _rounded(picture: Any, dtype: np.dtype[Any]) -> Plane:
    """A float32 picture as whole numbers of ``dtype``, saturated."""
    # of what OpenCV has for converting, the fastest
    depth = cv2.CV_8U if dtype == np.uint8 else cv2.CV_16U
    return _plane(cv2.addWeighted(picture, 1, picture, 0, 0, dtype=depth))


def small_size(width: int, height: int, blur: float) -> tuple[int, int]:
    """Size at which the blur is small and little is lost by being small."""
    reduction = max(blur / SMALL_BLUR, 1)
    return ceil(width / reduction), ceil(height / reduction)


def _blurred(picture: Plane, blur: float, width: int, height: int) -> Plane:
    """``(height, width)`` picture from a small one."""
    small_height, small_width = picture.shape
    soft: Any = cv2.GaussianBlur(
        picture.astype(np.float32), (0, 0), sigmaX=blur * small_width / width, sigmaY=blur * small_height / height,
        borderType=cv2.BORDER_REFLECT,
    )  # fmt: skip
    # twice the size bicubically, the rest linearly, which is several times as fast and shows no facets from there
    medium = (min(2 * small_width, width), min(2 * small_height, height))
    soft = cv2.resize(soft, medium, interpolation=cv2.INTER_CUBIC)
    fine = 256 if picture.dtype == np.uint8 else 1  # 8 bits would make steps where the small picture is enlarged
    values = cv2.resize(_rounded(soft * fine, np.dtype(np.uint16)), (width, height), interpolation=cv2.INTER_LINEAR)
    return _plane(cv2.convertScaleAbs(values, alpha=1 / fine) if fine > 1 else values)


class _Sampler:
    """Cuts the same crop out of planes of one size: ``(height, width)`` pixels of a fractional rectangle.

    Beyond a plane its edge is repeated. Places are right to ``tolerance`` pixels of the result.
    """

    def __init__(self, crop: Rect, width: int, height: int, tolerance: float):
        self._halvings: list[Place] = []
        while crop[2] - crop[0] >= 2 * width and crop[3] - crop[1] >= 2 * height:
            self._halvings.append(surroundings(crop))
            x, y, _, _ = self._halvings[-1]
            crop = ((crop[0] - x) / 2, (crop[1] - y) / 2, (crop[2] - x) / 2, (crop[3] - y) / 2)
        self._x = stretched(crop[0], crop[2], width, tolerance)
        self._y = stretched(crop[1], crop[3], height, tolerance)
        self._size = (width, height)

    def __call__(self, source: Plane) -> Plane:
        for place in self._halvings:
            half = (place[2] // 2, place[3] // 2)
            source = _plane(cv2.resize(_cut(source, place), half, interpolation=cv2.INTER_AREA))
        x, y = self._x, self._y
        patch = _filtered(source, x, y)
        if (x.made, y.made) != (x.taken, y.taken):
            patch = _plane(cv2.resize(patch, (x.made, y.made), interpolation=cv2.INTER_CUBIC))
        width, height = self._size
        return patch[y.skipped : y.skipped + height, x.skipped : x.skipped + width]


@dataclass(frozen=True)
class Stretch:
    """How one axis of a crop is sampled.

    Attributes:
        first: First source pixel of the patch; it may lie before the source, and the patch end beyond it.
        taken: Source pixels in the patch.
        made: Pixels that it is resized to.
        skipped: How many of those lie before the tile.
        kernel: Weights of the source pixels around each pixel of the patch, from -1 on, or a single 1.
    """

    first: int
    taken: int
    made: int
    skipped: int
    kernel: NDArray[np.float32]


@lru_cache(maxsize=64)  # most cameras stand still most of the time
def stretched(start: float, end: float, size: int, tolerance: float) -> Stretch:
    """The patch for ``size`` pixels between ``start`` and ``end``, which may be off by ``tolerance`` of those pixels.

    ``n`` pixels of the tile before ``start`` begin at ``start - n * step``: the least ``n`` that makes this whole
    is taken, and likewise beyond ``end``.
    """
    step = (end - start) / size  # source pixels per pixel of the tile
    if abs(step - 1) * size < tolerance:
        step = 1.0
    tolerance *= step
    margin = 0 if step == 1 else ceil(MARGIN / step)
    numbers = range(margin, margin + max(size // FURTHEST, LEAST_TRIED))
    skipped, shift = _whole(start, -step, numbers, tolerance)
    if abs(shift) <= tolerance:
        shift = 0.0
    elif abs(start - round(start)) <= tolerance:
        skipped, shift = 0, 0.0  # interpolation repeats the patch's edge, which is less of a fault than a filter
    else:
        skipped, shift = margin, (start - margin * step) % 1
    first = round(start - skipped * step - shift)
    beyond, _ = _whole(end - shift, step, numbers, tolerance)
    last = round(end - shift + beyond * step)
    return Stretch(first, last - first, skipped + size + beyond, skipped, _kernel(shift, _softness(step)))


def _whole(start: float, step: float, numbers: range, tolerance: float) -> tuple[int, float]:
    """The first ``n`` of ``numbers`` that puts ``start + n * step`` on a whole number, and by how much it misses that.

    If none is near enough, the nearest.
    """
    nearest, least_miss = numbers.start, 1.0
    for n in numbers:
        place = start + n * step
        miss = place - round(place)
        if abs(miss) < abs(least_miss):
            nearest, least_miss = n, miss
            if abs(miss) <= tolerance:
                break
    return nearest, least_miss


def _softness(step: float) -> float:
    """How much detail to take out: none where the picture is enlarged, more up to a step of 1.5, and no more to 2.

    1.5 makes the weights 1/4, 1/2, 1/4, which leave nothing at half the sampling rate. The rise keeps what the tile can
    show and what would alias in balance (measured with gratings).
    """
    rise = min(max(2 * (step - 1), 0.0), 1.0)
    return 1.5 * rise * (2 - rise)


def _kernel(shift: float, softness: float) -> NDArray[np.float32]:
    """Weights of the pixels -1, 0, 1 and, for a shift, 2 for the value at ``shift`` in 0..1; or a single 1.

    Cubics of the family in Mitchell and Netravali, "Reconstruction filters in computer graphics", 1988, with B =
    ``softness`` and C = (1 - B) / 2: Catmull-Rom at 0, the B-spline at 1.
    """
    if shift == 0 and softness == 0:
        return np.ones(1, np.float32)
    if shift == 0:  # three weights in whole 256ths, which OpenCV has a fast and exact filter for
        side = round(256 * softness / 6) / 256
        return np.array([side, 1 - 2 * side, side], np.float32)
    t = shift
    sharp = np.array([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    soft = np.array([(1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3]) / 6
    return ((1 - softness) * sharp + softness * soft).astype(np.float32)


def _filtered(source: Plane, x: Stretch, y: Stretch) -> Plane:
    """The patch that ``x`` and ``y`` name, filtered along the axes that ask for it."""
    # the filter looks one pixel back and two ahead
    back_x, ahead_x = (1, 2) if len(x.kernel) > 1 else (0, 0)
    back_y, ahead_y = (1, 2) if len(y.kernel) > 1 else (0, 0)
    place = (x.first - back_x, y.first - back_y, x.taken + back_x + ahead_x, y.taken + back_y + ahead_y)
    patch = _cut(source, place)
    if not back_x and not back_y:
        return patch
    values: Any = patch if patch.dtype == np.uint8 else patch.astype(np.float32)  # OpenCV filters uint16 slowly
    anchor = (back_x, back_y)
    if back_x and back_y:
        values = cv2.sepFilter2D(values, -1, x.kernel, y.kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE)
    else:  # several times as fast as sepFilter2D with a single 1
        kernel = y.kernel[:, None] * x.kernel
        values = cv2.filter2D(values, -1, kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE)
    values = values[back_y : back_y + y.taken, back_x : back_x + x.taken]
    return _rounded(values, patch.dtype) if values.dtype == np.float32 else _plane(values)


def surroundings(crop: Rect) -> Place:
    """The crop with some pixels around it, of even size."""
    x, y = floor(crop[0]) - 8, floor(crop[1]) - 8
    return x, y, ceil((crop[2] + 8 - x) / 2) * 2, ceil((crop[3] + 8 - y) / 2) * 2


def _cut(source: Plane, place: Place) -> Plane:
    """A view of a part of ``source``, or where the part goes beyond it a copy with the edge repeated."""
    x, y, width, height = place
    rows, columns = source.shape
    left, top = min(max(x, 0), columns - 1), min(max(y, 0), rows - 1)
    right, bottom = max(min(x + width, columns), left + 1), max(min(y + height, rows), top + 1)
    inside = source[top:bottom, left:right]
    if inside.shape == (height, width):
        return inside
    above, before = min(max(top - y, 0), height - (bottom - top)), min(max(left - x, 0), width - (right - left))
    below, behind = height - (bottom - top) - above, width - (right - left) - before
    return _plane(cv2.copyMakeBorder(inside, above, below, before, behind, cv2.BORDER_REPLICATE))


def _plane(picture: Any) -> Plane:
    """What OpenCV returned, by its type; nothing is copied."""
    return np.asarray(picture)
