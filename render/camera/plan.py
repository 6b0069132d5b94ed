"""The camera plan: which part of every frame each tile shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...configs.errors import NoFaceError
from ...configs.rendering import RenderSettings
from ...engines.protocols import Canvas, Tile
from ...trackio.metadata import Shot, TrackMetadata
from ..layout import Layout, TileArea, side_by_side, single
from .faces import FaceTrack, only_face, read_faces
from .framing import Framing, Picture, Take

Crops = NDArray[np.float64]

CROP_STEPS = 64  # parts of a pixel in which crops are told: finer ones cannot be seen, and change with every edit
MAX_CLOSENESS = 1.5  # how much a head may be enlarged to equal one that the picture cannot show smaller


@dataclass(frozen=True)
class View:
    """What one tile shows through the whole video of ``N`` frames.

    Attributes:
        area: Its place on the canvas, and whom it shows.
        crops_xyxy: ``(N, 4)`` float64 x1, y1, x2, y2 in displayed pixels, inside the picture.
        shown: ``(N,)`` bool, whether the tile is drawn.
        blur: ``(N,)`` float64 standard deviation of its blur in tile heights; 0 where it is sharp.
        face: The face that it follows; None if it holds a still view.
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
    """

    canvas: Canvas
    views: tuple[View, ...]
    notes: tuple[str, ...]
    picture: Picture

    def __len__(self) -> int:
        return len(self.views[0].crops_xyxy)

    def tiles(self, frame_index: int) -> list[Tile]:
        """What the compositor does with one frame."""
        return [view.tile(frame_index) for view in self.views if view.shown[frame_index]]


def plan(
    table: pa.Table,
    metadata: TrackMetadata,
    settings: RenderSettings,
    pts: NDArray[np.int64],
    *,
    pixel_aspect: Fraction = Fraction(1),
) -> CameraPlan:
    """Plan the camera for the whole video.

    Each tile's camera runs in takes: it cuts where the video cuts and where another person takes the side. Within
    a take the size comes first, then the position; see ``framing.py``, ``follow.py`` and ``l1.py``. Where nobody
    is seen the tile keeps its last crop.

    Args:
        table: Rows of the track file; those without a side are not used.
        metadata: The track file's.
        settings: Output and camera.
        pts: ``(N,)`` int64 time of every frame that there is, in the stream's time base.
        pixel_aspect: Width to height of a displayed pixel.

    Raises:
        NoFaceError: No row has a side.
    """
    faces = read_faces(table, len(pts))
    if not faces:
        raise NoFaceError(
            "no face in the tracks has a side, so there is nobody to show", hint="check the tracks: dft tracks show"
        )
    layout, faces, notes = _choose(faces, settings)
    video = metadata.video
    picture, times = Picture(video.width, video.height, float(pixel_aspect)), video.seconds_array(pts)
    framings = {area.side: Framing(picture, area.width / area.height, times, settings.camera) for area in layout.areas}
    shot_starts = _shot_starts(metadata.shots, len(pts))
    takes = {side: framings[side].takes(face, shot_starts) for side, face in faces.items()}
    crops = _crops(faces, framings, takes, shot_starts)
    for area in layout.areas:
        if area.side not in faces:
            (shown,) = faces
            crops[area.side] = _beside(crops[shown], framings[area.side])
    views = [
        _view(area, crops[area.side], faces.get(area.side), [take.first for take in takes.get(area.side, [])])
        for area in layout.areas
    ]
    return CameraPlan(layout.canvas, tuple(views), notes, picture)


def _view(area: TileArea, crops: Crops, face: FaceTrack | None, starts: list[int]) -> View:
    crops = np.round(crops * CROP_STEPS) / CROP_STEPS
    return View(
        area, crops, np.ones(len(crops), bool), np.zeros(len(crops)), face, np.array(starts or [0], np.int64)
    )  # fmt: skip


def _choose(
    faces: dict[str, FaceTrack], settings: RenderSettings
) -> tuple[Layout, dict[str, FaceTrack], tuple[str, ...]]:
    """The layout, the face of each tile that follows one, and notes."""
    output, lone = settings.output, only_face(faces)
    if lone is None:
        return side_by_side(output.width, output.height), faces, _absences(faces)
    side, face = lone
    if output.lone == "single":
        notes = ("only one person was found: one tile shows them", *_absences({"single": face}))
        return single(output.width, output.height), {"single": face}, notes
    notes = ("only one person was found: the other tile holds a still view", *_absences({side: face}))
    return side_by_side(output.width, output.height), {side: face}, notes


def _absences(faces: dict[str, FaceTrack]) -> tuple[str, ...]:
    notes = []
    for side, face in faces.items():
        missing = 1 - len(face.seen) / len(face.person)
        if missing > 0:
            notes.append(f"{side}: nobody is seen in {missing:.1%} of the frames, and the last view is held")
    return tuple(notes)


def _shot_starts(shots: Sequence[Shot], num_frames: int) -> NDArray[np.int64]:
    starts = np.array([0, *(shot.first_frame for shot in shots)], np.int64)
    return np.unique(starts[starts < num_frames])


def _crops(
    faces: dict[str, FaceTrack],
    framings: dict[str, Framing],
    takes: dict[str, list[Take]],
    shot_starts: NDArray[np.int64],
) -> dict[str, Crops]:
    """Every tile's crops, with heads of one size in the tiles of a shot."""
    closeness = np.ones(len(shot_starts))
    for side, own in takes.items():
        for take in own:
            shot = _shot_of(take, shot_starts)
            closeness[shot] = max(closeness[shot], min(framings[side].shrinkage(take), MAX_CLOSENESS))
    return {
        side: _tile_crops(
            face, takes[side], framings[side], [float(closeness[_shot_of(take, shot_starts)]) for take in takes[side]]
        )
        for side, face in faces.items()
    }


def _shot_of(take: Take, shot_starts: NDArray[np.int64]) -> int:
    return int(np.searchsorted(shot_starts, take.first, side="right")) - 1


def _tile_crops(face: FaceTrack, takes: list[Take], framing: Framing, closeness: list[float]) -> Crops:
    """Crops of one tile; a take in which nobody is seen shows the crop before it, or the first that there is."""
    crops = np.full((len(face.person), 4), np.nan)
    for take, close in zip(takes, closeness, strict=True):
        if take.heights is not None:
            crops[take.frames] = framing.crops(face, take, close)
    known = np.flatnonzero(np.isfinite(crops[:, 0]))
    nearest = np.searchsorted(known, np.arange(len(crops)), side="right") - 1
    filled: Crops = crops[known[np.maximum(nearest, 0)]]
    return filled


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
