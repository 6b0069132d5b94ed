"""Aligned faces cut from pictures on the CPU: straight from the YUV planes, and only what a chip needs."""

from math import ceil, floor, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from ..alignment import NUM_POINTS, ChipLayout, inverse, similarity
from .colour import yuv_to_bgr
from .image import Plane, YuvImage

Chip = NDArray[np.uint8]
Matrix = NDArray[np.float64]  # (2, 3), from one system of pixels to another; origins are at the top left corner
MARGIN = 2  # pixels around a chip that interpolation may ask for


def face_chips(image: YuvImage, landmarks: NDArray[np.float32], layout: ChipLayout) -> list[Chip]:
    """One chip per face, ``(size, size, 3)`` uint8 RGB, aligned and upright.

    Beyond the picture its edge is repeated. Faces larger than the chip are averaged, not skipped over.

    Args:
        image: The picture.
        landmarks: ``(N, 10)`` float32, displayed pixels, as in ``Detections``.
        layout: What the embedder wants.

    Raises:
        EngineError: Landmarks that cannot be a face's.
    """
    points = np.asarray(landmarks).reshape(-1, NUM_POINTS, 2)
    to_coded = displayed_to_coded(image)
    chips = similarity(points, layout.template)
    return [_chip(image, in_turn(inverse(to_chip), to_coded), layout.size) for to_chip in chips]


def _chip(image: YuvImage, to_coded: Matrix, size: int) -> Chip:
    half = to_coded / 2
    planes = [_sample(image.y, to_coded, size), _sample(image.u, half, size), _sample(image.v, half, size)]
    yuv_to_rgb = yuv_to_bgr(image.colour.matrix, image.colour.full_range)[::-1]
    return np.asarray(cv2.transform(cv2.merge(planes), yuv_to_rgb), np.uint8)


def _sample(plane: Plane, to_plane: Matrix, size: int) -> NDArray[np.uint8]:
    """``(size, size)`` picture whose pixels lie at ``to_plane`` in the plane.

    Where the picture shrinks, exact halves are taken until less than a factor of two is left, and the rest is sampled
    twice as densely as needed and averaged.
    """
    patch, to_patch = _surroundings(plane, to_plane, size)
    while (step := sqrt(abs(np.linalg.det(to_patch[:, :2])))) > 2 and min(patch.shape) >= 2:
        even = patch[: patch.shape[0] // 2 * 2, : patch.shape[1] // 2 * 2]
        half_size = (even.shape[1] // 2, even.shape[0] // 2)
        patch = np.asarray(cv2.resize(even, half_size, interpolation=cv2.INTER_AREA), np.uint8)
        to_patch = to_patch / 2
    density = 2 if step > 1 else 1
    # OpenCV counts from the centre of the first pixel, we from its corner
    matrix = to_patch.copy()
    matrix[:, :2] /= density
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    picture = cv2.warpAffine(
        patch, matrix, (size * density, size * density), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    if density > 1:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)


def _surroundings(plane: Plane, to_plane: Matrix, size: int) -> tuple[Plane, Matrix]:
    """The part of the plane that a chip is sampled from, and where the chip's pixels lie in it."""
    corners = to_plane @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]], np.float64)
    margin = MARGIN * max(1.0, float(np.abs(to_plane[:, :2]).max()))
    spans = []
    for axis in (0, 1):
        length = plane.shape[1 - axis]
        low, high = corners[axis].min() - margin, corners[axis].max() + margin
        first = min(max(floor(low), 0), length - 1)
        spans.append(slice(first, max(min(ceil(high), length), first + 1)))
    columns, rows = spans
    moved = to_plane.copy()
    moved[:, 2] -= (columns.start, rows.start)
    return plane[rows, columns], moved


def displayed_to_coded(image: YuvImage) -> Matrix:
    """``(2, 3)`` float64 map from places in the displayed picture to places in the coded one, in pixels."""
    width, height = image.width, image.height
    turns = {
        0: [[1, 0, 0], [0, 1, 0]],
        90: [[0, 1, 0], [-1, 0, height]],
        180: [[-1, 0, width], [0, -1, height]],
        270: [[0, -1, width], [1, 0, 0]],
    }
    return np.array(turns[image.rotation], np.float64)


def in_turn(first: Matrix, second: Matrix) -> Matrix:
    """The map that applies ``first`` and then ``second``."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])
