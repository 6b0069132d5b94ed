"""The followed faces of a track table, frame by frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...trackio.columns import boxes_xyxy, codes, numbers
from ...trackio.schema import PERSONS, SIDES

NOBODY = -1


@dataclass(frozen=True)
class FaceTrack:
    """The face that one tile follows, for every frame of the video.

    Attributes:
        centre_x: ``(N,)`` float64 displayed pixels; NaN where nobody is seen.
        centre_y: ``(N,)`` float64 displayed pixels.
        width: ``(N,)`` float64 width of the face box in displayed pixels.
        height: ``(N,)`` float64 its height.
        person: ``(N,)`` int8 number of the person, ``NOBODY`` where nobody is seen.
    """

    centre_x: NDArray[np.float64]
    centre_y: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]
    person: NDArray[np.int8]

    @property
    def seen(self) -> NDArray[np.intp]:
        """Indices of the frames in which the face is seen."""
        return np.flatnonzero(self.person != NOBODY)

    def within(self, frames: NDArray[np.bool_]) -> "FaceTrack":
        """The track with nobody seen outside ``frames (N,)``."""
        columns = (self.centre_x, self.centre_y, self.width, self.height)
        x, y, width, height = (np.where(frames, column, np.nan) for column in columns)
        return FaceTrack(x, y, width, height, np.where(frames, self.person, NOBODY).astype(np.int8))

    def filled(self, other: "FaceTrack") -> "FaceTrack":
        """The track with the ``other``'s face where this one is not seen."""
        missing = self.person == NOBODY
        return FaceTrack(
            np.where(missing, other.centre_x, self.centre_x),
            np.where(missing, other.centre_y, self.centre_y),
            np.where(missing, other.width, self.width),
            np.where(missing, other.height, self.height),
            np.where(missing, other.person, self.person),
        )


def read_faces(table: pa.Table, num_frames: int) -> dict[str, FaceTrack]:
    """The face on each side that has any, from the rows with a side and a frame below ``num_frames``.

    Where two rows claim one side of one frame, the better score counts.
    """
    return _tracks(table, num_frames, "side", SIDES)


def read_persons(table: pa.Table, num_frames: int) -> dict[str, FaceTrack]:
    """The face of each person who has any, on whatever side or none; see ``read_faces``."""
    return _tracks(table, num_frames, "person", PERSONS)


def _tracks(table: pa.Table, num_frames: int, column: str, names: Sequence[str]) -> dict[str, FaceTrack]:
    key, frame = codes(table, column, names), numbers(table, "frame_index")
    boxes, score = boxes_xyxy(table).astype(np.float64), numbers(table, "score")
    person = codes(table, "person", PERSONS)
    tracks = {}
    for code, name in enumerate(names):
        rows = np.flatnonzero((key == code) & (frame < num_frames))
        if len(rows):
            rows = rows[np.argsort(score[rows], kind="stable")]  # of equal frames the last is kept
            tracks[name] = _dense(frame[rows], boxes[rows], person[rows], num_frames)
    return tracks


def _dense(
    frame: NDArray[np.int32], boxes: NDArray[np.float64], person: NDArray[np.int8], num_frames: int
) -> FaceTrack:
    centre_x, centre_y, width, height = np.full((4, num_frames), np.nan)
    who = np.full(num_frames, NOBODY, np.int8)
    centre_x[frame] = (boxes[:, 0] + boxes[:, 2]) / 2
    centre_y[frame] = (boxes[:, 1] + boxes[:, 3]) / 2
    width[frame] = np.maximum(boxes[:, 2] - boxes[:, 0], 1)
    height[frame] = np.maximum(boxes[:, 3] - boxes[:, 1], 1)
    who[frame] = np.where(person < 0, len(PERSONS), person)  # a side without a name is somebody too
    return FaceTrack(centre_x, centre_y, width, height, who)


def only_face(tracks: Mapping[str, FaceTrack]) -> tuple[str, FaceTrack] | None:
    """The side (the more frequent one) and face of the only person in the video, or None if there are two."""
    side = max(tracks, key=lambda name: len(tracks[name].seen))
    if len(tracks) == 1:
        return side, tracks[side]
    people = {int(who) for track in tracks.values() for who in np.unique(track.person)} - {NOBODY}
    if len(people) > 1:
        return None
    second = next(track for name, track in tracks.items() if name != side)
    return side, tracks[side].filled(second)
