"""Framing a face: the crops that show head and shoulders, smoothly, inside the picture.

The size comes first (``smooth.py``, in logarithms), then the place, one axis after the other (``follow.py``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...configs.rendering import CameraSettings
from .faces import FaceTrack
from .follow import Range, follow, tube_around
from .smooth import smooth_path

Values = NDArray[np.float64]

SIZE_RANGE = 1.15  # face heights that differ by less are shown at one zoom
ZOOM_SLOWNESS = 2.0  # zooming is this much slower than panning
LONG_ABSENCE_SECONDS = 1.0
FAR_RETURN = 1.0  # in face heights
PIXEL_STEP = 2  # still crops begin at even pixels: no interpolation is needed, in chroma neither


@dataclass(frozen=True)
class Picture:
    """The displayed picture.

    Attributes:
        width: In pixels.
        height: In pixels.
        pixel_aspect: Width to height of a pixel.
    """

    width: int
    height: int
    pixel_aspect: float = 1.0


@dataclass(frozen=True)
class Take:
    """Frames through which one tile's camera runs without a cut.

    Attributes:
        first: Index of the first frame.
        end: Index after the last frame.
        heights: ``(end - first,)`` smoothed face heights in pixels, or None where nobody is seen.
    """

    first: int
    end: int
    heights: Values | None

    @property
    def frames(self) -> slice:
        """The take's frames."""
        return slice(self.first, self.end)


class _Axis:
    """A face on one axis, in the frames of a take.

    Attributes:
        centre: ``(end - first,)`` float64 pixels; NaN where the face is not seen.
        low: ``(end - first,)`` float64 low edge of its box.
        high: ``(end - first,)`` float64 high edge of its box.
        unit: Its usual height in pixels.
    """

    def __init__(self, centre: Values, size: Values, unit: float):
        self.centre, self.low, self.high, self.unit = centre, centre - size / 2, centre + size / 2, unit


class Framing:
    """Makes the crops of one tile.

    Args:
        picture: What the crops must lie inside.
        tile_aspect: Width to height of the tile, whose pixels are square.
        times_seconds: ``(N,)`` float64 times of all frames.
        camera: Settings.
    """

    def __init__(self, picture: Picture, tile_aspect: float, times_seconds: Values, camera: CameraSettings):
        self.picture, self.camera, self.times_seconds = picture, camera, times_seconds
        self.ratio = tile_aspect / picture.pixel_aspect  # width to height of a crop, in the picture's pixels
        self.greatest_height = min(float(picture.height), picture.width / self.ratio)

    def takes(self, face: FaceTrack, shot_starts: NDArray[np.int64]) -> list[Take]:
        """Cut the camera where the video cuts, the person changes, or somebody returns elsewhere."""
        starts = np.union1d(shot_starts, self._new_starts(face)).tolist()
        ends = [*starts[1:], len(self.times_seconds)]
        return [
            Take(first, end, self._smooth_heights(face, first, end)) for first, end in zip(starts, ends, strict=True)
        ]

    def shrinkage(self, take: Take) -> float:
        """How many times too small the picture is for the wanted size of the head, at least 1."""
        if take.heights is None:
            return 1.0
        return max(1.0, float(np.median(take.heights)) / self.camera.head_share / self.greatest_height)

    def crops(self, face: FaceTrack, take: Take, closeness: float = 1.0) -> Values:
        """The crops of a take in which somebody is seen.

        Args:
            face: The face.
            take: One of its takes.
            closeness: Heads are made larger by this than the setting says.

        Returns:
            ``(end - first, 4)`` float64 x1, y1, x2, y2 in displayed pixels.
        """
        if take.heights is None:
            raise ValueError(f"nobody is seen in frames {take.first} to {take.end}")
        heights = np.minimum(take.heights / (self.camera.head_share * closeness), self.greatest_height)
        widths = heights * self.ratio
        unit, frames = float(np.median(take.heights)), take.frames
        x = _Axis(face.centre_x[frames], face.width[frames], unit)
        y = _Axis(face.centre_y[frames], face.height[frames], unit)
        left = self._edge(x, take, widths * 0.5, widths, self.picture.width)
        top = self._edge(y, take, heights * self.camera.face_level, heights, self.picture.height)
        return np.stack([left, top, left + widths, top + heights], axis=1)

    def still(self, centre_x: float, centre_y: float, height: float) -> Values:
        """``(4,)`` float64 crop of ``height`` around a point, moved and shrunk to lie in the picture."""
        height = min(height, self.greatest_height)
        width = height * self.ratio
        left = min(max(centre_x - width / 2, 0.0), self.picture.width - width)
        top = min(max(centre_y - height / 2, 0.0), self.picture.height - height)
        return np.array([left, top, left + width, top + height])

    def _new_starts(self, face: FaceTrack) -> NDArray[np.intp]:
        seen = face.seen
        before, after = seen[:-1], seen[1:]
        moved = np.hypot(np.diff(face.centre_x[seen]), np.diff(face.centre_y[seen]))
        far = moved > FAR_RETURN * face.height[before]
        long = np.diff(self.times_seconds[seen]) > LONG_ABSENCE_SECONDS
        returned = far & long & (after - before > 1)
        starts: NDArray[np.intp] = after[returned | (face.person[before] != face.person[after])]
        return starts

    def _smooth_heights(self, face: FaceTrack, first: int, end: int) -> Values | None:
        heights = face.height[first:end]
        if not np.isfinite(heights).any():
            return None
        slowness = ZOOM_SLOWNESS * self.camera.smooth_seconds
        return np.exp(smooth_path(self.times_seconds[first:end], np.log(heights), np.log(SIZE_RANGE) / 2, slowness))

    def _edge(self, face: _Axis, take: Take, before: Values, sizes: Values, extent: int) -> Values:
        """Left or top edges of the crops.

        Args:
            face: The face on this axis.
            take: The frames.
            before: How far the face's centre is to lie from the edge, per frame of the take.
            sizes: Of the crops.
            extent: Of the picture.
        """
        times, room, unit = self.times_seconds[take.frames], extent - sizes, face.unit
        tolerance, smooth_seconds = self.camera.still_zone * unit, self.camera.smooth_seconds
        grid, margin = None, 0.0
        if before.min() == before.max():
            room = np.floor(room / PIXEL_STEP) * PIXEL_STEP
            grid, margin = PIXEL_STEP, PIXEL_STEP / 2  # so that rounding leaves the face in the tube
        # the path is that of the face's place in the picture: where the camera zooms, the edge follows smoothly
        whole = Range(face.high + before - sizes + margin, face.low + before - margin)
        tube = tube_around(
            times, face.centre, max(tolerance - margin, 0.0), smooth_seconds, whole, Range(before, before + room)
        )  # fmt: skip
        path = follow(tube, smooth_seconds, unit, grid, float(before[0])) - before
        edge: Values = np.clip(path, 0, room)
        return edge
