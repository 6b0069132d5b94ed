"""What networks are shown, made on the GPU straight from NV12 or P016: small upright pictures, their thumbnails, chips.

Everything is enqueued on the thread's current CuPy stream; callers are inside ``image.reading`` of that stream.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..alignment import NUM_POINTS, ChipLayout, inverse, similarity
from ..cpu.chips import MARGIN, Matrix, displayed_to_coded, in_turn
from ..cpu.colour import yuv_to_bgr
from .image import CudaImage, DeviceArray
from .kernels import (
    CHIPS,
    MAX_FACES,
    PLANES,
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


class PicturePlan:
    """How the pictures of one video become what a network sees: worked out once, for one thread.

    A picture is scaled, turned upright, converted to the network's channels and padded in one launch, and its thumbnail
    is made in another. It is shrunk as ``YuNetDetector.prepare`` does: each plane in exact halves until less than a
    factor of two is left, and then linearly; values are rounded to whole levels at every step, pictures of 8 bits with
    OpenCV's own integers.
    What lies beyond it, to the right and below, is black before mean and gain.

    Args:
        image: One of the pictures.
        fitted: Width and height of the small picture, as displayed.
        padded: Width and height of what the network sees.
        form: What the network wants.
        dtype: uint8, float16 or float32.

    Attributes:
        luma_shape: ``(h, w)`` of the small picture's luma as coded (not rotated).
    """

    def __init__(
        self,
        image: CudaImage,
        fitted: tuple[int, int],
        padded: tuple[int, int],
        form: InputForm = InputForm(),
        dtype: DTypeLike = np.uint8,
    ):
        size = fitted[::-1] if image.rotation in (90, 270) else fitted
        self.luma_shape = size[::-1]
        self._kernel, self._padded = f"prepare_{suffix(image.y)}", padded
        self._key = _kind_of(image)
        self._picture, self._thumbnail = np.zeros(1, PREPARATION), np.zeros(1, THUMBNAIL)
        made = self._picture[0]
        made["source"], made["kind"] = _planes(image, form.rgb), STORE_KINDS[np.dtype(dtype)]
        made["rotation"], (made["width"], made["height"]) = image.rotation, fitted
        made["padded_width"], made["padded_height"] = padded
        made["luma_halvings"] = _halvings(image.y.shape[:2], size)
        made["chroma_halvings"] = _halvings(image.uv.shape[:2], size)
        made["mean"], made["gain"] = form.mean, form.gain
        self._thumbnail[0]["columns"], self._thumbnail[0]["rows"] = size
        # the addresses alone change from picture to picture, and are set in the plainest way
        self._picture_words, self._thumbnail_words = self._picture.view(np.uint64), self._thumbnail.view(np.uint64)

    def suits(self, image: CudaImage) -> bool:
        """Whether a picture is of the kind that this was made for."""
        return _kind_of(image) == self._key

    def enqueue(self, image: CudaImage, target: int, luma: int, thumbnail: int) -> None:
        """Prepare a picture.

        Args:
            image: One that :meth:`suits`.
            target: Address of ``(3, padded height, padded width)`` values of the type.
            luma: Address of :attr:`luma_shape` uint8, which are overwritten.
            thumbnail: Address of ``(18, 32)`` uint8, see ``Detector.thumbnail``.

        Raises:
            EngineError: The kernels cannot be run.
        """
        words = self._picture_words
        words[_Y], words[_UV], words[_TARGET], words[_LUMA] = address(image.y), address(image.uv), target, luma
        launch(self._kernel, self._picture, *self._padded)
        self._thumbnail_words[0], self._thumbnail_words[1] = luma, thumbnail
        launch("thumbnail", self._thumbnail, THUMBNAIL_SHAPE[1], THUMBNAIL_SHAPE[0])


def _word(structure: np.dtype[np.void], field: str) -> int:
    """Which of a structure's words of 8 bytes holds an address."""
    fields = structure.fields
    assert fields is not None
    return int(fields[field][1]) // 8


_Y, _UV = _word(PLANES, "y"), _word(PLANES, "uv")  # the source comes first in PREPARATION
_TARGET, _LUMA = _word(PREPARATION, "target"), _word(PREPARATION, "luma")


def _kind_of(image: CudaImage) -> tuple[Any, ...]:
    """All that a plan depends on."""
    y, uv = image.y, image.uv
    return y.shape, y.strides, uv.strides, image.colour, image.rotation


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
