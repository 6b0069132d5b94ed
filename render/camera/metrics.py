"""How good a camera plan is, in numbers: calm, and with the face where it belongs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...configs.rendering import CameraSettings, RenderSettings
from ...engines.probe import probe, scan
from ...trackio.edits.reading import read_edited
from ...trackio.files import check_same_video, default_tracks_path
from ...trackio.records import Record
from .baselines import usual_plans
from .faces import FaceTrack
from .framing import Picture
from .pairing import crowding
from .plan import CameraPlan, Crops, plan

if TYPE_CHECKING:
    from rich.console import Console

Values = NDArray[np.float64]

STILL_PIXELS = 1e-6  # what rounding may leave of no motion
FULL_PIXELS = 1.0  # rounding to even pixels moves a crop this far; no detector is more exact
SPREAD = (5, 95)  # percentiles, so that one odd box does not count


@dataclass(frozen=True)
class CameraMetrics(Record):
    """How one tile's camera moves and what it shows; motion is that of the crop's centre, cuts left out.

    Attributes:
        side: ``left``, ``right`` or ``single``.
        takes: How often the camera starts.
        seconds: Time of all takes in which the face is seen.
        acceleration: Root mean square over that time, in face heights/s^2.
        jerk: The same, in face heights/s^3.
        still: Share of that time in which the crop does not change, 0..1.
        visible: Number of frames in which the face is seen.
        full: Share of these in which the whole face box is inside the crop, to a pixel, 0..1.
        both: Number of frames in which somebody whom another tile follows is seen as well.
        crowded: Share of these in which a part of their face box is inside the crop, 0..1.
        centring_median: Median distance of the face's centre from its place in the tile, in face heights.
        centring_p95: 95th percentile of the same.
        size_spread: Largest spread of the face's size in the tile within a take: 95th percentile less 5th, in medians.
        size_spread_median: Median of these spreads over takes.
    """

    side: str
    takes: int
    seconds: float
    acceleration: float
    jerk: float
    still: float
    visible: int
    full: float
    both: int
    crowded: float
    centring_median: float
    centring_p95: float
    size_spread: float
    size_spread_median: float


@dataclass(frozen=True)
class PlanReport(Record):
    """The camera plan of a video.

    Attributes:
        tracks: Name of the track file.
        frames: Number of frames.
        notes: What a reader should know, in words.
        cameras: One per tile that follows a face.
        usual: The same figures of usual ways to follow, see ``baselines.py``; none if not asked for.
    """

    tracks: str
    frames: int
    notes: tuple[str, ...]
    cameras: tuple[CameraMetrics, ...]
    usual: dict[str, tuple[CameraMetrics, ...]]


@dataclass(frozen=True)
class Study:
    """A camera plan, and what it takes to measure and to draw it.

    Attributes:
        tracks: Name of the track file.
        camera: The plan.
        times_seconds: ``(N,)`` float64 times of its frames.
        settings: The camera's.
    """

    tracks: str
    camera: CameraPlan
    times_seconds: Values
    settings: CameraSettings

    def usual(self) -> dict[str, CameraPlan]:
        """Plans by usual ways to follow, by name."""
        return usual_plans(self.camera, self.times_seconds, self.settings)

    def report(self, *, compare: bool = False) -> PlanReport:
        """The figures, with those of usual ways to follow if ``compare``."""
        others = self.usual() if compare else {}
        usual = {name: self._measured(other) for name, other in others.items()}
        return PlanReport(self.tracks, len(self.camera), self.camera.notes, self._measured(self.camera), usual)

    def _measured(self, camera: CameraPlan) -> tuple[CameraMetrics, ...]:
        return measure(camera, self.times_seconds, self.settings.face_level)


def study(
    video: Path, tracks: Path | None = None, settings: RenderSettings | None = None, *, force: bool = False
) -> Study:
    """Plan the camera for ``video`` as the rendering does, without decoding it.

    Args:
        video: Any file that FFmpeg opens.
        tracks: Its track file, taken with its edits; ``in.tracks.parquet`` beside it if not given.
        settings: Output and camera.
        force: Take the tracks even if they were made from another file.

    Raises:
        DftError: One of its subclasses, see ``configs/errors.py``.
    """
    settings = settings or RenderSettings()
    track_file, _ = read_edited(tracks if tracks is not None else default_tracks_path(video))
    check_same_video(track_file, video, force=force)
    metadata, pts = track_file.metadata, scan(video).pts
    camera = plan(track_file.table, metadata, settings, pts, pixel_aspect=probe(video).pixel_aspect)
    return Study(track_file.path.name, camera, metadata.video.seconds_array(pts), settings.camera)


def measure(camera: CameraPlan, times_seconds: Values, face_level: float) -> tuple[CameraMetrics, ...]:
    """The figures of every tile that follows a face.

    Args:
        camera: The plan.
        times_seconds: ``(N,)`` float64 times of its frames, not descending; of several at one time the first counts.
        face_level: Where the face's centre belongs, in tile heights from the top.
    """
    single = np.flatnonzero(np.diff(times_seconds, prepend=-np.inf) > 0)
    tracks = [None if view.face is None else _at(view.face.within(view.shown), single) for view in camera.views]
    made = []
    for number, (view, face) in enumerate(zip(camera.views, tracks, strict=True)):
        if face is not None:
            others = [other for place, other in enumerate(tracks) if other is not None and place != number]
            starts = np.searchsorted(single, view.take_starts)
            tile = _Tile(view.area.side, view.crops_xyxy[single], face, others, starts)
            made.append(_measured(tile, times_seconds[single], face_level, camera.picture))
    return tuple(made)


@dataclass(frozen=True)
class _Tile:
    """A tile that follows a face, in ``N`` frames of different times.

    Attributes:
        side: Whom it shows.
        crops_xyxy: ``(N, 4)``.
        face: Whom it follows.
        others: Whom the other tiles follow.
        starts: ``(K,)`` first frames of takes.
    """

    side: str
    crops_xyxy: Crops
    face: FaceTrack
    others: list[FaceTrack]
    starts: NDArray[np.intp]


def _at(face: FaceTrack, frames: NDArray[np.intp]) -> FaceTrack:
    columns = (face.centre_x, face.centre_y, face.width, face.height)
    x, y, width, height = (column[frames] for column in columns)
    return FaceTrack(x, y, width, height, face.person[frames])


def _measured(tile: _Tile, times: Values, face_level: float, picture: Picture) -> CameraMetrics:
    crops, face = tile.crops_xyxy, tile.face
    takes = [take for take in _ranges(np.unique(tile.starts), len(times)) if np.isfinite(face.height[take]).any()]
    motion = [_Motion(crops[take], times[take], float(np.nanmedian(face.height[take]))) for take in takes]
    seconds = sum(each.seconds for each in motion)
    spreads = [_size_spread(crops[take], face.height[take]) for take in takes]
    seen = face.seen
    error = _centring_error(crops[seen], face, face_level)
    both, crowded = crowding(crops, face, tile.others)
    return CameraMetrics(
        side=tile.side,
        takes=len(takes),
        seconds=seconds,
        acceleration=_rms([each.acceleration for each in motion]),
        jerk=_rms([each.jerk for each in motion]),
        still=sum(each.still_seconds for each in motion) / seconds if seconds else 1.0,
        visible=len(seen),
        full=float(_full(crops[seen], face, picture).mean()) if len(seen) else 1.0,
        both=int(both.sum()),
        crowded=float(crowded.sum() / max(both.sum(), 1)),
        centring_median=float(np.median(error)) if len(seen) else 0.0,
        centring_p95=float(np.percentile(error, 95)) if len(seen) else 0.0,
        size_spread=max(spreads, default=0.0),
        size_spread_median=float(np.median(spreads)) if spreads else 0.0,
    )


def _ranges(starts: NDArray[np.intp], end: int) -> Iterator[slice]:
    bounds = [*starts[starts < end].tolist(), end]
    yield from (slice(first, last) for first, last in pairwise(bounds))


class _Motion:
    """How the camera moves through one take.

    ``acceleration`` and ``jerk`` are pairs: ``(K,)`` magnitudes in face heights, and the seconds that each stands for.
    """

    def __init__(self, crops: Crops, times: Values, unit: float):
        gaps = np.diff(times)
        centre = (crops[:, :2] + crops[:, 2:]) / 2 / unit
        same = np.abs(np.diff(crops, axis=0)).max(axis=1, initial=0) <= STILL_PIXELS
        self.seconds, self.still_seconds = float(gaps.sum()), float(gaps[same].sum())
        velocity, at = np.diff(centre, axis=0) / gaps[:, None], (times[1:] + times[:-1]) / 2
        acceleration, at = _changes(velocity, at)
        self.acceleration = np.hypot(*acceleration.T), np.diff((times[1:] + times[:-1]) / 2)
        jerk, _ = _changes(acceleration, at)
        self.jerk = np.hypot(*jerk.T), np.diff(at)


def _changes(values: Values, at: Values) -> tuple[Values, Values]:
    """Divided differences of ``values`` (K, 2) and their times."""
    return np.diff(values, axis=0) / np.diff(at)[:, None], (at[1:] + at[:-1]) / 2


def _rms(parts: list[tuple[Values, Values]]) -> float:
    if not parts:
        return 0.0
    values, seconds = (np.concatenate(column) for column in zip(*parts, strict=True))
    return float(np.sqrt((values**2) @ seconds / seconds.sum())) if len(values) else 0.0


def _size_spread(crops: Crops, heights: Values) -> float:
    share = heights / (crops[:, 3] - crops[:, 1])
    low, middle, high = np.nanpercentile(share, [SPREAD[0], 50, SPREAD[1]])
    return float((high - low) / middle)


def _centring_error(crops: Crops, face: FaceTrack, face_level: float) -> Values:
    """``(K,)`` for the frames in which the face is seen."""
    seen = face.seen
    x = (crops[:, 0] + crops[:, 2]) / 2
    y = crops[:, 1] + face_level * (crops[:, 3] - crops[:, 1])
    error: Values = np.hypot(face.centre_x[seen] - x, face.centre_y[seen] - y) / face.height[seen]
    return error


def _full(crops: Crops, face: FaceTrack, picture: Picture) -> NDArray[np.bool_]:
    """``(K,)`` whether the whole face box, as far as the picture shows it, is inside, where the face is seen."""
    seen, bounds = face.seen, np.array([picture.width, picture.height])
    centre = np.stack([face.centre_x[seen], face.centre_y[seen]], axis=1)
    half = np.stack([face.width[seen], face.height[seen]], axis=1) / 2
    low, high = np.clip(centre - half, 0, bounds), np.clip(centre + half, 0, bounds)
    inside = (low >= crops[:, :2] - FULL_PIXELS) & (high <= crops[:, 2:] + FULL_PIXELS)
    return np.asarray(inside.all(axis=1))


def print_plan(report: PlanReport, console: Console) -> None:
    """Draw the figures as a table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console.print(f"{report.tracks}: the camera in {report.frames:,} frames", markup=False, highlight=False)
    columns = [(camera.side, camera) for camera in report.cameras]
    columns += [(f"{camera.side}\n{name}", camera) for name, cameras in report.usual.items() for camera in cameras]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("")
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for heading, cells in _rows(tuple(camera for _, camera in columns)):
        table.add_row(heading, *cells)
    console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", markup=False, highlight=False)


def _rows(cameras: tuple[CameraMetrics, ...]) -> Iterator[tuple[str, list[str]]]:
    yield "takes", [f"{camera.takes:,}" for camera in cameras]
    yield "time, s", [f"{camera.seconds:.1f}" for camera in cameras]
    yield "still, share of time", [f"{camera.still:.1%}" for camera in cameras]
    yield "acceleration, RMS, face heights/s²", [f"{camera.acceleration:.3f}" for camera in cameras]
    yield "jerk, RMS, face heights/s³", [f"{camera.jerk:.3f}" for camera in cameras]
    yield "frames with the face", [f"{camera.visible:,}" for camera in cameras]
    yield "whole face in the crop", [f"{camera.full:.2%}" for camera in cameras]
    yield "frames with both faces", [f"{camera.both:,}" for camera in cameras]
    yield "other face in the crop", [f"{camera.crowded:.2%}" for camera in cameras]
    yield "centring error, median, face heights", [f"{camera.centring_median:.3f}" for camera in cameras]
    yield "centring error, 95th percentile", [f"{camera.centring_p95:.3f}" for camera in cameras]
    yield "spread of size in a take, largest", [f"{camera.size_spread:.1%}" for camera in cameras]
    yield "spread of size in a take, median", [f"{camera.size_spread_median:.1%}" for camera in cameras]
