"""The camera plan: which part of every frame each tile shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...configs.rendering import RenderSettings
from ...engines.protocols import Bar, Canvas, Tile
from ...trackio.metadata import Shot, TrackMetadata
from ..layout import Divider, TileArea
from .absence import (
    BLACK,
    BLUR,
    BLUR_OF_TILE,
    COLLAPSE,
    HOLD,
    PRESENT,
    TOGETHER,
    Absence,
    Timeline,
    absence_notes,
    absences,
    presence,
    runs,
    switches,
    together,
)
from .casting import Cast, Role, cast
from .faces import FaceTrack
from .framing import Framing, Picture, Take
from .pairing import Seat, crowd_notes, paired_crops
from .placing import absent_crops, showing

Crops = NDArray[np.float64]

CROP_STEPS = 64  # parts of a pixel in which crops are told: finer ones cannot be seen, and change with every edit
LONG_SECONDS = 1.0  # of somebody else in a held view


@dataclass(frozen=True)
class View:
    """What one tile shows through the whole video of ``N`` frames.

    Attributes:
        area: Its place on the canvas, and whom it shows.
        crops_xyxy: ``(N, 4)`` float64 x1, y1, x2, y2 in displayed pixels, inside the picture.
        shown: ``(N,)`` bool, whether the tile is drawn.
        blur: ``(N,)`` float64 standard deviation of its blur in tile heights; 0 where it is sharp.
        face: The face that it follows, drawn or not; None if it holds a still view.
        take_starts: ``(K,)`` int64 frames, ascending, at which its camera cuts; the first is 0.
    """

    area: TileArea
    crops_xyxy: Crops
    shown: NDArray[np.bool_]
    blur: NDArray[np.float64]
    face: FaceTrack | None
    take_starts: NDArray[np.int64]

    def tile(self, frame_index: int) -> Tile:
        """What the compositor is to draw."""
        area, (x1, y1, x2, y2) = self.area, self.crops_xyxy[frame_index].tolist()
        return Tile((x1, y1, x2, y2), area.x, area.y, area.width, area.height, float(self.blur[frame_index]))


@dataclass(frozen=True)
class CameraPlan:
    """Which part of every frame each tile shows.

    Attributes:
        canvas: What the tiles are laid on.
        views: What each tile shows; later ones lie on top.
        notes: What a reader should know, in words.
        picture: The displayed picture.
        absences: Every run of frames in which nobody is seen where a tile follows somebody, tile by tile.
        dividers: Lines; each is drawn where one of its tiles is, over the later one. The first views are the layout's
            tiles.
    """

    canvas: Canvas
    views: tuple[View, ...]
    notes: tuple[str, ...]
    picture: Picture
    absences: tuple[Absence, ...] = ()
    dividers: tuple[Divider, ...] = ()

    def __len__(self) -> int:
        return len(self.views[0].crops_xyxy)

    def tiles(self, frame_index: int) -> list[Tile | Bar]:
        """What the compositor does with one frame, in this order."""
        shown = [bool(view.shown[frame_index]) for view in self.views]
        parts: list[Tile | Bar] = []
        for number, view in enumerate(self.views):
            if shown[number]:
                parts.append(view.tile(frame_index))
            lines = (line for line in self.dividers if max(line.tiles) == number)
            parts += [line.bar for line in lines if any(shown[tile] for tile in line.tiles)]
        return parts


def plan(
    table: pa.Table,
    metadata: TrackMetadata,
    settings: RenderSettings,
    pts: NDArray[np.int64],
    *,
    pixel_aspect: Fraction = Fraction(1),
    output: str | None = None,
) -> CameraPlan:
    """Plan the camera for the whole video.

    Each tile's camera runs in takes: it cuts where the video cuts, where another person takes the side, and where
    another view stands in for somebody absent, or ends. Within a take the size comes first, then the position; see
    ``framing.py``, ``follow.py`` and ``l1.py``. What stands in, and when, is said in ``absence.py``.

    Args:
        table: Rows of the track file; those without a side or person are not used.
        metadata: The track file's.
        settings: Output, camera, absence.
        pts: ``(N,)`` int64 time of every frame that there is, in the stream's time base.
        pixel_aspect: Width to height of a displayed pixel.
        output: Which of the layout's ``outputs`` is planned. All are framed together, so that they fit each other.

    Raises:
        NoFaceError: No row has a side, or the layout shows nobody who is there.
        SettingError: The layout cannot be.
    """
    who, video = cast(table, len(pts), settings), metadata.video
    timeline = Timeline(video.seconds_array(pts), _shot_starts(metadata.shots, len(pts)))
    picture = Picture(video.width, video.height, float(pixel_aspect))
    stage = _Stage(who, picture, timeline, settings.absence.min_absent)
    wanted = [view for view in stage.views() if output in (None, view.area.side)]
    followed = {role.area.side: role for role in who.roles if role.follows and output in (None, role.area.side)}
    found = [each for side, role in followed.items() for each in absences(side, stage.modes[role.key], timeline)]
    noted = [absence for absence in found if followed[absence.side].face is not None]
    crowds = [note for view in wanted for note in stage.intrusions(view)]
    notes = tuple(dict.fromkeys([*who.notes, *absence_notes(noted), *crowds]))
    return CameraPlan(who.layout.canvas, tuple(wanted), notes, picture, tuple(found), who.layout.dividers)


class _Stage:
    """Makes the views of a cast.

    Args:
        who: The cast.
        picture: The displayed picture.
        timeline: The frames.
        min_absent: Shorter absences hold, in seconds.

    Attributes:
        modes: ``(N,)`` absence modes of each role, by its key.
    """

    def __init__(self, who: Cast, picture: Picture, timeline: Timeline, min_absent: float):
        self._cast, self._picture, self._timeline = who, picture, timeline
        self._followed = [role for role in who.roles if role.follows]
        presences = [presence(role.face, role.absent, timeline, min_absent) for role in self._followed]
        subjects = [role.area.side for role in self._followed]
        if who.layout.separate:  # no one can give another the canvas
            settled = [together([own], [subject])[0][0] for own, subject in zip(presences, subjects, strict=True)]
            self._alone = np.full(len(timeline), TOGETHER)
        else:
            settled, self._alone = together(presences, subjects)
        self.modes = {role.key: np.full(len(timeline), PRESENT, np.int8) for role in who.roles}
        self.modes.update({role.key: modes for role, modes in zip(self._followed, settled, strict=True)})

    def views(self) -> list[View]:
        """What every tile shows in its place, and over the whole canvas while all others have collapsed."""
        canvas = self._cast.layout.canvas
        parts = [(role, role.area) for role in self._cast.roles]
        views = self._views(parts, self._alone == TOGETHER)
        for number in np.unique(self._alone[self._alone != TOGETHER]).tolist():
            role = self._followed[number]
            whole = TileArea(role.area.side, 0, 0, canvas.width, canvas.height)
            views += self._views([(role, whole)], self._alone == number)
        return views

    def _views(self, parts: list[tuple[Role, TileArea]], drawn: NDArray[np.bool_]) -> list[View]:
        """The views of roles in areas that are drawn in the frames ``drawn (N,)``; one of them has a face."""
        framings = {role.key: self._framing(role, area) for role, area in parts}
        takes = {
            role.key: framings[role.key].takes(role.face, self._starts(role.key))
            for role, _ in parts
            if role.face is not None
        }
        seats = {
            role.key: Seat(role.face, role.others, framings[role.key], takes[role.key])
            for role, _ in parts
            if role.face is not None
        }
        crops = paired_crops(seats, self._timeline.shot_starts)
        seen = next(iter(crops.values()))
        views = []
        for role, area in parts:
            framing, own = framings[role.key], crops.get(role.key)
            if own is None:
                own = _beside(seen, framing) if role.follows else self._middle(framing)
            own = absent_crops(own, self.modes[role.key], role.face, framing, role.others, self._timeline)
            views.append(self._view(role, area, _rounded(own, framing), drawn, takes.get(role.key, [])))
        return views

    def intrusions(self, view: View) -> list[str]:
        """Notes if a view shows somebody else's face: beside the one whom it follows, or for long instead of them."""
        side = view.area.side
        role = next(role for role in self._cast.roles if role.area.side == side)
        held = (self.modes[role.key] == HOLD) & view.shown
        seen = [held & showing(view.crops_xyxy, other) for other in role.others]
        seconds = sum(self._timeline.seconds(*run) for mask in seen for run in runs(mask))
        notes = [f"{side}: the held view shows somebody else for {seconds:.1f} s"] if seconds > LONG_SECONDS else []
        if view.face is not None:
            drawn, times = view.face.within(view.shown), self._timeline.times_seconds
            notes += crowd_notes(side, view.crops_xyxy, drawn, role.others, times)
        return notes

    def _framing(self, role: Role, area: TileArea) -> Framing:
        return Framing(self._picture, area.aspect, self._timeline.times_seconds, role.camera)

    def _starts(self, key: str) -> NDArray[np.int64]:
        return np.union1d(self._timeline.shot_starts, switches(self.modes[key]))

    def _middle(self, framing: Framing) -> Crops:
        still = framing.still(self._picture.width / 2, self._picture.height / 2, framing.greatest_height)
        return np.broadcast_to(still, (len(self._timeline), 4)).copy()

    def _view(self, role: Role, area: TileArea, crops: Crops, drawn: NDArray[np.bool_], takes: list[Take]) -> View:
        modes = self.modes[role.key]
        shown = drawn & (modes != BLACK) & (modes != COLLAPSE)
        edges = np.flatnonzero(np.diff(shown)) + 1
        starts = np.unique(np.concatenate([[0], edges, [take.first for take in takes]])).astype(np.int64)
        return View(area, crops, shown, np.where(modes == BLUR, BLUR_OF_TILE, 0.0), role.face, starts)


def _rounded(crops: Crops, framing: Framing) -> Crops:
    """Crops told in parts of a pixel, but of exactly the tile's aspect and inside the picture."""
    left, top, bottom = (np.round(crops[:, edge] * CROP_STEPS) / CROP_STEPS for edge in (0, 1, 3))
    height = np.minimum(bottom - top, framing.greatest_height)
    width = height * framing.ratio
    left = np.clip(left, 0, framing.picture.width - width)
    top = np.clip(top, 0, framing.picture.height - height)
    return np.stack([left, top, left + width, top + height], axis=1)


def _shot_starts(shots: Sequence[Shot], num_frames: int) -> NDArray[np.int64]:
    starts = np.array([0, *(shot.first_frame for shot in shots)], np.int64)
    return np.unique(starts[starts < num_frames])


def _beside(crops: Crops, framing: Framing) -> Crops:
    """A still view of the picture without the person whom ``crops`` show, or of its middle if there is no room."""
    picture = framing.picture
    height, centre_y = np.median(crops[:, 3] - crops[:, 1]), np.median(crops[:, 3] + crops[:, 1]) / 2
    gaps = {"left": crops[:, 0].min(), "right": picture.width - crops[:, 2].max()}
    side = max(gaps, key=lambda name: gaps[name])
    if gaps[side] >= height * framing.ratio:
        centre_x = gaps[side] / 2 if side == "left" else picture.width - gaps[side] / 2
        view = framing.still(centre_x, centre_y, height)
    else:
        view = framing.still(picture.width / 2, picture.height / 2, framing.greatest_height)
    return np.broadcast_to(view, crops.shape).copy()
