"""The rows of the track file while stage 2 works on them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...trackio.columns import number_array, text_array, validity
from ...trackio.schema import DETECTED, INTERPOLATED, SCHEMA
from ..boxes import iou
from ..identity.chains import Chain
from ..identity.persons import OTHER, PERSONS
from .sides import SIDES

SAME_PLACE = 0.3  # IoU of boxes of neighbouring frames that are at the same place


@dataclass(frozen=True)
class Rows:
    """R rows, one per frame and track, sorted by frame and track.

    Attributes:
        frame_index: ``(R,)`` int32.
        track: ``(R,)`` int32 chain.
        person: ``(R,)`` int8 index into ``PERSONS`` or ``OTHER``.
        boxes_xyxy: ``(R, 4)`` float32 displayed pixels.
        scores: ``(R,)`` float32, 0 where interpolated.
        landmarks: ``(R, 10)`` float32 displayed pixels, NaN where interpolated.
        interpolated: ``(R,)`` bool.
    """

    frame_index: NDArray[np.int32]
    track: NDArray[np.int32]
    person: NDArray[np.int8]
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    interpolated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.frame_index)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Rows":
        """The rows that ``which`` selects, in its order."""
        return Rows(**{item.name: getattr(self, item.name)[which] for item in fields(self)})

    def of_person(self, person: int) -> "Rows":
        """The rows of one main person, in order of time."""
        return self.take(self.person == person)

    def one_per_person(self) -> "Rows":
        """The same, where of two rows of a person in a frame the one of the later track keeps the name."""
        person = self.person.copy()
        first = np.full(int(self.track.max(initial=-1)) + 1, np.iinfo(np.int32).max, np.int32)
        np.minimum.at(first, self.track, self.frame_index)
        mains = np.flatnonzero(person != OTHER)
        order = mains[np.lexsort((-first[self.track[mains]], person[mains], self.frame_index[mains]))]
        again = (np.diff(self.frame_index[order]) == 0) & (np.diff(person[order]) == 0)
        person[order[1:][again]] = OTHER
        return replace(self, person=person)

    def nobody_goes_on(self, frame: int, following: int) -> bool:
        """Whether somebody is seen in each of two neighbouring frames, but surely no one in both.

        Two boxes at the same place are two people only if they are different main persons.
        """
        before, after = (self.take(slice(*np.searchsorted(self.frame_index, [f, f + 1]))) for f in (frame, following))
        if len(before) == 0 or len(after) == 0:
            return False
        there = iou(before.boxes_xyxy, after.boxes_xyxy) >= SAME_PLACE
        both_main = (before.person != OTHER)[:, None] & (after.person != OTHER)[None]
        other_main = both_main & (before.person[:, None] != after.person[None])
        same_track = before.track[:, None] == after.track[None]
        return not (same_track | (there & ~other_main)).any()

    @classmethod
    def joined(cls, parts: Sequence["Rows"]) -> "Rows":
        """All rows of ``parts``, sorted; column by column, to hold little twice."""

        def column(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(part, name) for part in parts])

        order = np.lexsort((column("track"), column("frame_index")))
        return cls(**{item.name: column(item.name)[order] for item in fields(cls)})

    @classmethod
    def of_chains(cls, chains: Sequence[Chain], person: NDArray[np.int8]) -> "Rows":
        """Rows of all detections of ``chains``; a chain's position is its track."""
        return cls.joined([_rows_of(c, i, int(p)) for i, (c, p) in enumerate(zip(chains, person, strict=True))])


def _rows_of(chain: Chain, track: int, person: int) -> Rows:
    size = len(chain)
    return Rows(
        chain.frame_index, np.full(size, track, np.int32), np.full(size, person, np.int8), chain.boxes_xyxy,
        np.concatenate([t.scores for t in chain.tracklets]), np.concatenate([t.landmarks for t in chain.tracklets]),
        np.zeros(size, bool),
    )  # fmt: skip


def to_table(rows: Rows, sides: NDArray[np.int8], pts: NDArray[np.int64], shot_of_frame: NDArray[np.int32]) -> pa.Table:
    """The table of the profile ``dft_tracks``.

    Args:
        rows: Sorted rows.
        sides: ``(R,)`` int8 index into ``SIDES``, or -1.
        pts: Of every frame of the video by frame index.
        shot_of_frame: Shot of every frame of the video by frame index.
    """
    boxes, points = rows.boxes_xyxy, number_array(rows.landmarks.ravel(), pa.float32())
    landmarks = SCHEMA.field("landmarks").type
    columns = [
        number_array(rows.frame_index, pa.int32()), number_array(pts[rows.frame_index], pa.int64()),
        number_array(rows.track, pa.int32()),
        _names(rows.person, PERSONS, rows.person != OTHER), _names(sides, SIDES, sides >= 0),
        *(number_array(boxes[:, i], pa.float32()) for i in range(4)), number_array(rows.scores, pa.float32()),
        pa.Array.from_buffers(landmarks, len(rows), [validity(~rows.interpolated)], children=[points]),
        _names(rows.interpolated.astype(np.int8), (DETECTED, INTERPOLATED)),
        number_array(shot_of_frame[rows.frame_index], pa.int32()),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _names(codes: NDArray[np.int8], names: Sequence[str], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    places = np.maximum(codes, 0).astype(np.int32)
    return pa.DictionaryArray.from_arrays(number_array(places, pa.int32(), valid), text_array(names))
