"""Framing a face: the crops that show head and shoulders, smoothly, inside the picture.

The size comes first, then the place, one axis after the other (``follow.py``). What a person's crop is like is decided
for all of a shot at once, whichever tile shows them: how two crops go together is said in ``pairing.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...configs.rendering import CameraSettings
from .faces import NOBODY, FaceTrack
from .follow import Bounds, Range, Tube, Zone, follow, tube_around
from .smooth import smooth_path

Values = NDArray[np.float64]

SIZE_RANGE = 1.15  # face heights that differ by less are shown at one zoom
SIZE_SPREAD = (5, 95)  # percentiles between which they differ
SIZE_STEP = 1.02  # sizes are told in steps, so that a little edit of the tracks does not change each crop of a shot
QUICK_ZONE = 0.6  # in face heights: how far a walking face may be from its place
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
        person: Number of the person, ``NOBODY`` if nobody is seen.
    """

    first: int
    end: int
    person: int

    @property
    def frames(self) -> slice:
        """The take's frames."""
        return slice(self.first, self.end)


@dataclass(frozen=True)
class Stretch:
    """Frames of one shot through which one camera follows a person, in whatever tile.

    Attributes:
        shot: Number of the shot.
        first: Index of the first frame.
        end: Index after the last frame.
        heights: ``(end - first,)`` face heights in pixels, as the zoom takes them: constant or smooth.
        unit: The person's usual face height in the shot.
    """

    shot: int
    first: int
    end: int
    heights: Values
    unit: float

    @property
    def frames(self) -> slice:
        """The stretch's frames."""
        return slice(self.first, self.end)


class Axis:
    """A face on one axis.

    Attributes:
        centre: ``(K,)`` float64 pixels; NaN where the face is not seen.
        low: ``(K,)`` float64 low edge of its box.
        high: ``(K,)`` float64 high edge of its box.
    """

    def __init__(self, centre: Values, size: Values):
        self.centre, self.low, self.high = centre, centre - size / 2, centre + size / 2


def axes(face: FaceTrack, frames: slice) -> tuple[Axis, Axis]:
    """A face in ``frames``, on x and on y."""
    return Axis(face.centre_x[frames], face.width[frames]), Axis(face.centre_y[frames], face.height[frames])


@dataclass(frozen=True)
class Shape:
    """Size of the crops of a stretch, and where the face's centre belongs in them.

    Attributes:
        widths: ``(K,)`` float64 pixels.
        heights: ``(K,)`` float64 pixels.
        level: Place of the face's centre in crop heights, from the top.
    """

    widths: Values
    heights: Values
    level: float

    def along(self) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
        """On x and on y: how far the face's centre belongs from the crop's low edge, and the crop's size."""
        return (self.widths * 0.5, self.widths), (self.heights * self.level, self.heights)


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

    def takes(self, face: FaceTrack, starts: NDArray[np.int64]) -> list[Take]:
        """Cut the camera at ``starts`` (the first is 0), where the person changes, and where one returns elsewhere."""
        return [
            Take(first, end, int(face.person[first:end].max(initial=NOBODY)))
            for first, end in _ranges(np.union1d(starts, self._new_starts(face)), len(self.times_seconds))
        ]

    def stretches(self, face: FaceTrack, shot_starts: NDArray[np.int64]) -> list[Stretch]:
        """The stretches in which a person, who has this track alone, is seen."""
        returns = self._new_starts(face)
        found = []
        for shot, (first, end) in enumerate(_ranges(shot_starts, len(self.times_seconds))):
            if not _seen(face, first, end):
                continue
            low, unit, high = np.nanpercentile(face.height[first:end], [SIZE_SPREAD[0], 50, SIZE_SPREAD[1]])
            unit, steady = quantised(float(unit)), high - low < (SIZE_RANGE - 1) * unit
            starts = np.append(first, returns[(returns > first) & (returns < end)])
            for begin, stop in _ranges(starts, end):
                if _seen(face, begin, stop):
                    heights = np.full(stop - begin, unit) if steady else self._smooth_heights(face, begin, stop)
                    found.append(Stretch(shot, begin, stop, heights, unit))
        return found

    def shrinkage(self, stretch: Stretch) -> float:
        """How many times too small the picture is for the wanted size of the head, at least 1."""
        return max(1.0, float(np.median(stretch.heights)) / self.camera.head_share / self.greatest_height)

    def shape(self, stretch: Stretch, closeness: float = 1.0, level: float | None = None) -> Shape:
        """The crops' shape.

        Args:
            stretch: Where.
            closeness: Heads are made larger by this than the setting says.
            level: Place of the face's centre; as the setting says if not given.
        """
        heights = np.minimum(stretch.heights / (self.camera.head_share * closeness), self.greatest_height)
        return Shape(heights * self.ratio, heights, self.camera.face_level if level is None else level)

    def crops(
        self, face: FaceTrack, stretch: Stretch, shape: Shape, clear_x: Range | None = None,
        clear_y: Range | None = None,
    ) -> Values:  # fmt: skip
        """The crops of a stretch.

        Args:
            face: The person's track.
            stretch: Where.
            shape: The crops' size.
            clear_x: Where on x the camera sees nobody else.
            clear_y: The same on y.

        Returns:
            ``(end - first, 4)`` float64 x1, y1, x2, y2 in displayed pixels.
        """
        x, y = axes(face, stretch.frames)
        across, down = shape.along()
        left = self._edge(x, stretch, across, self.picture.width, clear_x)
        top = self._edge(y, stretch, down, self.picture.height, clear_y)
        return np.stack([left, top, left + shape.widths, top + shape.heights], axis=1)

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

    def _smooth_heights(self, face: FaceTrack, first: int, end: int) -> Values:
        slowness = ZOOM_SLOWNESS * self.camera.smooth_seconds
        logarithms = np.log(face.height[first:end])
        return np.exp(smooth_path(self.times_seconds[first:end], logarithms, np.log(SIZE_RANGE) / 2, slowness))

    def tube(
        self, face: Axis, stretch: Stretch, placing: tuple[Values, Values], extent: int, clear: Range | None = None
    ) -> Tube:  # fmt: skip
        """Where the camera may see the face in its place, on one axis.

        Args:
            face: The face on this axis.
            stretch: The frames.
            placing: How far the face's centre is to lie from the edge, and the size of the crops.
            extent: Of the picture.
            clear: Where the camera sees nobody else.
        """
        before, sizes = placing
        grid, room = _grid(placing, extent)
        margin = grid / 2 if grid else 0.0  # so that rounding leaves the face in the tube
        whole = Range(face.high + before - sizes + margin, face.low + before - margin)
        zone = Zone(max(self.camera.still_zone * stretch.unit - margin, 0.0), QUICK_ZONE * stretch.unit - margin)
        bounds = Bounds(Range(before, before + room), whole, clear or Range(-np.inf, np.inf))
        times = self.times_seconds[stretch.frames]
        return tube_around(times, face.centre, zone, self.camera.smooth_seconds, bounds)

    def _edge(
        self, face: Axis, stretch: Stretch, placing: tuple[Values, Values], extent: int, clear: Range | None
    ) -> Values:  # fmt: skip
        """Left or top edges of the crops; see ``tube``."""
        before, (grid, room) = placing[0], _grid(placing, extent)
        tube = self.tube(face, stretch, placing, extent, clear)
        # the path is that of the face's place in the picture: where the camera zooms, the edge follows smoothly
        path = follow(tube, self.camera.smooth_seconds, stretch.unit, grid, float(before[0])) - before
        edge: Values = np.clip(path, 0, room)
        return edge


def _grid(placing: tuple[Values, Values], extent: int) -> tuple[float | None, Values]:
    """The grid on which a camera rests that does not zoom, and how far its crops may begin from the picture's edge."""
    before, sizes = placing
    if before.min() == before.max():
        return PIXEL_STEP, np.floor((extent - sizes) / PIXEL_STEP) * PIXEL_STEP
    return None, extent - sizes


def quantised(size: float) -> float:
    """The step of ``SIZE_STEP`` nearest to ``size``, on a scale on which each is so many times the one before."""
    return float(SIZE_STEP ** round(np.log(size) / np.log(SIZE_STEP)))


def _seen(face: FaceTrack, first: int, end: int) -> bool:
    return bool((face.person[first:end] != NOBODY).any())


def _ranges(starts: NDArray[np.int64] | NDArray[np.intp], end: int) -> Iterator[tuple[int, int]]:
    yield from pairwise([*starts.tolist(), end])
