"""What networks are shown, made on the GPU straight from NV12 or P016: small upright pictures, their thumbnails, chips.

Everything is enqueued on the thread's current CuPy stream; callers are inside ``image.reading`` of that stream.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..alignment import NUM_POINTS, ChipLayout, inverse, similarity
from ..cpu.chips import MARGIN, Matrix, displayed_to_coded, in_turn
from ..cpu.colour import yuv_to_bgr
from .image import CudaImage, DeviceArray
from .kernels import (
    CHIPS,
    MAX_FACES,
    PREPARATION,
    STORE_KINDS,
    THUMBNAIL,
    THUMBNAIL_SHAPE,
    address,
    launch,
    pitch,
    suffix,
)

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class InputForm:
    """How a network wants its picture: ``(value - mean) * gain`` of values of 0..255, per channel.

    Attributes:
        rgb: Whether red comes first, and not blue.
        mean: Per channel, in the order in which they come.
        gain: Likewise.
    """

    rgb: bool = False
    mean: Channels = (0.0, 0.0, 0.0)
    gain: Channels = (1.0, 1.0, 1.0)


def enqueue_picture(
    image: CudaImage,
    target: DeviceArray,
    fitted: tuple[int, int],
    form: InputForm = InputForm(),
    luma: DeviceArray | None = None,
) -> None:
    """Scale, turn upright, convert to the network's channels and pad, in one launch.

    The picture is shrunk as ``YuNetDetector.prepare`` does: each plane in exact halves until less than a factor of two
    is left, and then linearly; values are rounded to whole levels before and after the colour matrix. What lies beyond
    it, to the right and below, is black before mean and gain.

    Args:
        image: The picture.
        target: ``(3, H, W)`` contiguous float32, float16 or uint8: an item of the batch.
        fitted: Width and height of the picture in it, as displayed.
        form: What the network wants.
        luma: ``(h, w)`` contiguous uint8 for the small picture's luma as coded (not rotated), or None.

    Raises:
        EngineError: The kernel cannot be run.
    """
    _, padded_height, padded_width = target.shape
    made = np.zeros((), PREPARATION)
    made["source"] = _planes(image, form.rgb)
    made["target"], made["kind"] = address(target), STORE_KINDS[np.dtype(target.dtype)]
    made["luma"] = 0 if luma is None else address(luma)
    made["rotation"] = image.rotation
    made["width"], made["height"] = fitted
    made["padded_width"], made["padded_height"] = padded_width, padded_height
    size = fitted[::-1] if image.rotation in (90, 270) else fitted
    made["luma_halvings"] = _halvings(image.y.shape[:2], size)
    made["chroma_halvings"] = _halvings(image.uv.shape[:2], size)
    made["mean"], made["gain"] = form.mean, form.gain
    launch(f"prepare_{suffix(image.y)}", made, padded_width, padded_height)


def enqueue_thumbnail(luma: DeviceArray, target: DeviceArray) -> None:
    """The thumbnail of ``Detector.thumbnail`` from the luma that :func:`enqueue_picture` left.

    Args:
        luma: ``(h, w)`` contiguous uint8.
        target: ``(18, 32)`` contiguous uint8.

    Raises:
        EngineError: The kernel cannot be run.
    """
    made = np.zeros((), THUMBNAIL)
    made["luma"], made["target"] = address(luma), address(target)
    made["rows"], made["columns"] = luma.shape
    launch("thumbnail", made, THUMBNAIL_SHAPE[1], THUMBNAIL_SHAPE[0])


def enqueue_chips(image: CudaImage, landmarks: NDArray[np.float32], layout: ChipLayout, target: DeviceArray) -> None:
    """Aligned chips of all faces, as ``engines/cpu/chips.py`` cuts them; one launch for every 32.

    Args:
        image: The picture.
        landmarks: ``(N, 10)`` float32, displayed pixels, as in ``Detections``.
        layout: What the embedder wants.
        target: ``(N, 3, size, size)`` contiguous float32, float16 or uint8: planes R, G, B of 0..255.

    Raises:
        EngineError: Landmarks that cannot be a face's, or the kernel cannot be run.
    """
    points = np.asarray(landmarks).reshape(-1, NUM_POINTS, 2)
    to_coded = displayed_to_coded(cast(Any, image))
    places = [in_turn(inverse(to_chip), to_coded) for to_chip in similarity(points, layout.template)]
    for first in range(0, len(places), MAX_FACES):
        part = places[first : first + MAX_FACES]
        made = np.zeros((), CHIPS)
        made["source"] = _planes(image, rgb=True)
        made["target"] = address(target) + first * int(target.strides[0])
        made["kind"] = STORE_KINDS[np.dtype(target.dtype)]
        made["size"], made["count"] = layout.size, len(part)
        for number, place in enumerate(part):
            luma = _warp(image.y.shape[:2], place, layout.size)
            chroma = _warp(image.uv.shape[:2], place / 2, layout.size)
            made["faces"][number] = (luma, chroma)
        launch(f"chips_{suffix(image.y)}", made, layout.size, layout.size, len(part))


def _planes(image: CudaImage, rgb: bool) -> tuple[Any, ...]:
    matrix = yuv_to_bgr(image.colour.matrix, image.colour.full_range)
    matrix = matrix[::-1] if rgb else matrix
    scale = 1.0 if image.depth == 8 else 1 / 256  # the high byte of P016
    return (
        address(image.y), address(image.uv), pitch(image.y), pitch(image.uv), image.width, image.height, scale,
        matrix.ravel(),
    )  # fmt: skip


def _halvings(shape: tuple[int, int], size: tuple[int, int]) -> int:
    """How often a plane is halved before it is scaled to ``size`` (width, height)."""
    rows, columns = shape
    count = 0
    while columns >= 2 * size[0] and rows >= 2 * size[1] and min(rows, columns) >= 2:
        columns, rows, count = columns // 2, rows // 2, count + 1
    return count


def _warp(shape: tuple[int, int], to_plane: Matrix, size: int) -> tuple[Any, ...]:
    """Where the pixels of a chip lie in the patch of a plane that they are sampled from."""
    corners = to_plane @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]], np.float64)
    margin = MARGIN * max(1.0, float(np.abs(to_plane[:, :2]).max()))
    low, high = np.floor(corners.min(axis=1) - margin), np.ceil(corners.max(axis=1) + margin)
    lengths = np.array(shape[::-1])
    first = np.clip(low, 0, lengths - 1).astype(int)
    columns, rows = (int(side) for side in np.maximum(np.minimum(high, lengths).astype(int), first + 1) - first)
    to_patch = to_plane.copy()
    to_patch[:, 2] -= first
    halvings = 0
    while (step := sqrt(abs(np.linalg.det(to_patch[:, :2])))) > 2 and min(columns, rows) >= 2:
        columns, rows, halvings = columns // 2, rows // 2, halvings + 1
        to_patch /= 2
    density = 2 if step > 1 else 1
    to_patch[:, :2] /= density
    to_patch[:, 2] += to_patch[:, :2].sum(axis=1) / 2 - 0.5  # from the corner of a pixel to its centre
    return int(first[0]), int(first[1]), columns, rows, halvings, density, to_patch.ravel()
