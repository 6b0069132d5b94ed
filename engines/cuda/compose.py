"""Crops, scales and tiles with CUDA kernels, straight from NV12 or P016 into a canvas of the same form."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cpu.compose import MAX_10_BIT, TOLERANCE, Rect, Stretch, small_size, stretched, surroundings
from ..cpu.paint import rgb_to_yuv
from ..protocols import RGB, Bar, Canvas, Closing, Tile
from .image import CudaImage, DeviceArray
from .kernels import (
    BLURRING,
    COMPOSITION,
    ENLARGING,
    FILL,
    HALVING,
    MAX_PARTS,
    PART,
    SHARP,
    SOFT,
    address,
    launch,
    pitch,
    suffix,
)
from .ring import Ring, Slot

P016_SHIFT = 6  # bits below the ten that P016 holds
UNFILTERED = (0.0, 1.0, 0.0, 0.0)
# OpenCV's Gaussian in floating point reaches so many deviations to either side (cv::GaussianBlur, ksize of 0).
BLUR_REACH = 4

Values = NDArray[np.void]


class CudaCompositor(Closing):
    """Composes canvases on the GPU; implements :class:`dft.engines.protocols.Compositor`.

    The patches and filters are those that ``OpenCvCompositor`` chooses, and a kernel evaluates them for every pixel at
    once: one launch for luma, one for chroma, with up to :data:`~dft.engines.cuda.kernels.MAX_PARTS` tiles and bars
    each. A tile that halves its source or is blurred is made smaller, blurred and enlarged by launches of its own
    before. Work is enqueued on the compositor's own stream; nothing is uploaded and nothing waits. While the cameras
    stand still, the launches of the canvas before are made again with the new picture's addresses.

    Args:
        canvas: What the tiles are laid on.
    """

    def __init__(self, canvas: Canvas):
        import cupy

        self._canvas = canvas
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._rings: dict[int, Ring] = {}
        self._before: dict[bool, _Launch] = {}  # of the latest canvas, by whether it is chroma's

    def compose(self, image: CudaImage, tiles: Sequence[Tile | Bar]) -> CudaImage:
        """A new canvas with each tile's crop, as deep as ``image``; see ``protocols.Compositor``.

        Raises:
            EngineError: The kernels cannot be run, or too many canvases are held.
        """
        ring = self._rings.get(image.depth)
        if ring is None:
            ring = self._rings[image.depth] = Ring(self._canvas.width, self._canvas.height, image.depth)

        def enqueue(slot: Slot) -> None:
            with self._stream:
                for half in (False, True):
                    self._enqueue(image, slot, half, tiles)

        with image.reading(self._stream):
            return ring.fill(self._stream, enqueue, image.colour)

    def close(self) -> None:
        """Let go of the canvases that nobody holds."""
        self._rings.clear()

    def _enqueue(self, image: CudaImage, slot: Slot, half: bool, tiles: Sequence[Tile | Bar]) -> None:
        source, target = (image.uv, slot.uv) if half else (image.y, slot.y)
        form = (source.shape, source.strides, source.dtype, image.rotation, image.colour, tuple(tiles))
        before = self._before.get(half)
        if before is not None and before.form == form:
            before(address(source), address(target))
            return
        made = _Plane(image, slot, half).compose(self._canvas.background, tiles)
        if made is None:
            self._before.pop(half, None)
        else:
            self._before[half] = _Launch(form, *made)


class _Launch:
    """A launch that makes a whole plane of a canvas, to be made again for other pictures.

    Args:
        form: What decides it but for the addresses.
        name: Of the kernel.
        made: Its arguments.
    """

    def __init__(self, form: tuple[Any, ...], name: str, made: Values):
        self.form, self._name, self._made = form, name, made
        self._sources = made["parts"]["source"][: int(made["count"])]
        self._size = int(made["columns"]), int(made["rows"])

    def __call__(self, source: int, target: int) -> None:
        """Enqueue it for planes at these addresses."""
        self._made["target"], self._sources[...] = target, source  # bars have no source, and do not look
        launch(self._name, self._made, *self._size)


@dataclass(frozen=True)
class _Picture:
    """A plane of whole numbers on the GPU.

    Attributes:
        values: ``(H, W)`` or ``(H, W, 2)``.
        shift: Bits below the value.
    """

    values: DeviceArray
    shift: int


class _Plane:
    """One plane of the canvas that is being made, luma or (``half``) chroma."""

    def __init__(self, image: CudaImage, slot: Slot, half: bool):
        self._colour, self._depth, self._rotation = image.colour, image.depth, image.rotation
        self._size = (image.width, image.height)
        self._shift = 0 if image.depth == 8 else P016_SHIFT
        self._source = _Picture(image.uv if half else image.y, self._shift)
        self._target = slot.uv if half else slot.y
        self._divisor, self._channels = (2, 2) if half else (1, 1)
        self._name = f"{'uv' if half else 'y'}{suffix(self._target)}"
        self._scratch: list[DeviceArray] = []  # until everything is enqueued

    def compose(self, background: RGB, tiles: Sequence[Tile | Bar]) -> tuple[str, Values] | None:
        """Enqueue what fills the target; the kernel's name and its arguments where that is one launch."""
        parts = [self._bar(tile) if isinstance(tile, Bar) else self._tile(tile) for tile in tiles]
        ground = self._levels(background)
        made = self._lay(_Picture(self._target, self._shift), parts[:MAX_PARTS], ground)
        for first in range(MAX_PARTS, len(parts), MAX_PARTS):
            self._lay(_Picture(self._target, self._shift), parts[first : first + MAX_PARTS], None)
        return None if self._scratch or len(parts) > MAX_PARTS else (f"compose_{self._name}", made)

    def _lay(self, target: _Picture, parts: Sequence[Values], ground: tuple[int, int] | None) -> Values:
        rows, columns = target.values.shape[:2]
        made = np.zeros((), COMPOSITION)
        made["target"], made["pitch"] = address(target.values), pitch(target.values)
        made["columns"], made["rows"] = columns, rows
        made["lift"], made["top"] = target.shift, 255 if self._depth == 8 else MAX_10_BIT
        made["keep"], made["background"] = ground is None, ground or (0, 0)
        made["count"] = len(parts)
        for number, part in enumerate(parts):
            made["parts"][number] = part
        launch(f"compose_{self._name}", made, columns, rows)
        return made

    def _levels(self, colour: RGB) -> tuple[int, int]:
        y, u, v = rgb_to_yuv(colour, self._colour, self._depth)
        return (u, v) if self._channels == 2 else (y, y)

    def _place(self, tile: Tile | Bar) -> Values:
        part = np.zeros((), PART)
        part["x"], part["y"] = tile.x // self._divisor, tile.y // self._divisor
        part["width"], part["height"] = tile.width // self._divisor, tile.height // self._divisor
        return part

    def _bar(self, bar: Bar) -> Values:
        part = self._place(bar)
        part["kind"], part["values"] = FILL, self._levels(bar.colour)
        return part

    def _tile(self, tile: Tile) -> Values:
        part = self._place(tile)
        part["rotation"] = self._rotation
        width, height = int(part["width"]), int(part["height"])
        if self._rotation in (90, 270):
            width, height = height, width
        crop = _coded_crop(tile.crop_xyxy, self._size, self._rotation, self._divisor)
        blur = tile.blur * tile.height / self._divisor
        if blur:
            self._soft(part, crop, (width, height), blur)
        else:
            self._sharp(part, crop, (width, height))
        return part

    def _sharp(self, part: Values, crop: Rect, size: tuple[int, int]) -> None:
        """Let ``part`` show the crop in ``size`` pixels, of the source's orientation."""
        width, height = size
        source = self._source
        while crop[2] - crop[0] >= 2 * width and crop[3] - crop[1] >= 2 * height:
            x, y, cut_width, cut_height = surroundings(crop)
            source = self._halved(source, (x, y), (cut_width // 2, cut_height // 2))
            crop = ((crop[0] - x) / 2, (crop[1] - y) / 2, (crop[2] - x) / 2, (crop[3] - y) / 2)
        tolerance = TOLERANCE * self._channels
        part["kind"], part["shift"] = SHARP, source.shift
        _point(part, source.values)
        part["across"] = _axis(_stretched(crop[0], crop[2], width, tolerance))
        part["down"] = _axis(_stretched(crop[1], crop[3], height, tolerance))

    def _soft(self, part: Values, crop: Rect, size: tuple[int, int], blur: float) -> None:
        """Let ``part`` show the crop blurred by ``blur`` pixels: small, blurred, twice enlarged."""
        width, height = size
        small_width, small_height = small_size(width, height, blur)
        small = _Picture(self._empty(small_height, small_width, self._target.dtype), 0)
        whole = np.zeros((), PART)
        whole["width"], whole["height"] = small_width, small_height
        self._sharp(whole, crop, (small_width, small_height))
        self._lay(small, [whole], (0, 0))
        soft = self._blurred(small.values, blur * small_width / width, blur * small_height / height)
        medium = self._enlarged(soft, min(2 * small_width, width), min(2 * small_height, height))
        part["kind"] = SOFT
        _point(part, medium)
        rows, columns = medium.shape[:2]
        part["across"], part["down"] = _whole(columns, width), _whole(rows, height)

    def _halved(self, source: _Picture, origin: tuple[int, int], size: tuple[int, int]) -> _Picture:
        width, height = size
        target = self._empty(height, width, self._target.dtype)
        rows, columns = source.values.shape[:2]
        made = np.zeros((), HALVING)
        made["source"], made["target"] = address(source.values), address(target)
        made["pitch"], made["shift"] = pitch(source.values), source.shift
        made["columns"], made["rows"] = columns, rows
        made["x"], made["y"] = origin
        made["width"], made["height"] = width, height
        launch(f"halve_{self._name}", made, width, height)
        return _Picture(target, 0)

    def _blurred(self, small: DeviceArray, sigma_x: float, sigma_y: float) -> DeviceArray:
        rows, columns = small.shape[:2]
        target = self._empty(rows, columns, np.dtype(np.float32))
        made = np.zeros((), BLURRING)
        made["source"], made["target"] = address(small), address(target)
        made["columns"], made["rows"] = columns, rows
        made["radius_x"], made["radius_y"] = _radius(sigma_x), _radius(sigma_y)
        made["sigma_x"], made["sigma_y"] = sigma_x, sigma_y
        launch(f"blur_{self._name}", made, columns, rows)
        return target

    def _enlarged(self, soft: DeviceArray, width: int, height: int) -> DeviceArray:
        rows, columns = soft.shape[:2]
        target = self._empty(height, width, np.dtype(np.float32))
        made = np.zeros((), ENLARGING)
        made["source"], made["target"] = address(soft), address(target)
        made["across"], made["down"] = _whole(columns, width), _whole(rows, height)
        made["columns"], made["rows"] = columns, rows
        made["width"], made["height"] = width, height
        launch("enlarge_uv" if self._channels == 2 else "enlarge_y", made, width, height)
        return target

    def _empty(self, rows: int, columns: int, dtype: Any) -> DeviceArray:
        import cupy

        shape = (rows, columns, 2) if self._channels == 2 else (rows, columns)
        self._scratch.append(cupy.empty(shape, dtype))
        return self._scratch[-1]


def _coded_crop(crop_xyxy: Rect, size: tuple[int, int], rotation: int, divisor: int) -> Rect:
    """The displayed rectangle in the coordinates of a coded plane; ``size`` is the coded picture's."""
    x1, y1, x2, y2 = crop_xyxy
    width, height = size
    coded = {
        0: (x1, y1, x2, y2),
        90: (y1, height - x2, y2, height - x1),
        180: (width - x2, height - y2, width - x1, height - y1),
        270: (width - y2, x1, width - y1, x2),
    }[rotation]
    return coded[0] / divisor, coded[1] / divisor, coded[2] / divisor, coded[3] / divisor


def _point(part: Values, picture: DeviceArray) -> None:
    part["source"], part["pitch"] = address(picture), pitch(picture)
    part["rows"], part["columns"] = picture.shape[:2]


def _axis(stretch: Stretch) -> tuple[Any, ...]:
    filtered = len(stretch.kernel) > 1
    weights = (*stretch.kernel.tolist(), 0.0)[:4] if filtered else UNFILTERED
    return stretch.first, stretch.taken, stretch.made, stretch.skipped, int(filtered), weights


def _whole(taken: int, made: int) -> tuple[Any, ...]:
    """The axis that makes ``made`` pixels of a whole picture."""
    return 0, taken, made, 0, 0, UNFILTERED


def _radius(sigma: float) -> int:
    return (round(2 * BLUR_REACH * sigma + 1) | 1) // 2


# Still cameras ask for the same patches again and again, and finding one costs more than a launch.
_stretched = lru_cache(maxsize=4096)(stretched)
