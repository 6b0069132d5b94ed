"""The rows of a track file as the page looks at them: by frame, by person, by track."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..columns import boxes_xyxy, codes, numbers
from ..schema import ORIGINS, PERSONS, SIDES

Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Columns:
    """``R`` rows, sorted by frame and track.

    Attributes:
        frame: ``(R,)`` int32 frame index.
        track: ``(R,)`` int32 track id.
        person: ``(R,)`` int8 place in ``PERSONS``; negative for nobody.
        side: ``(R,)`` int8 place in ``SIDES``; negative for none.
        origin: ``(R,)`` int8 place in ``ORIGINS``.
        score: ``(R,)`` float32.
        boxes_xyxy: ``(R, 4)`` float32, displayed pixels.
    """

    frame: NDArray[np.int32]
    track: NDArray[np.int32]
    person: NDArray[np.int8]
    side: NDArray[np.int8]
    origin: NDArray[np.int8]
    score: NDArray[np.float32]
    boxes_xyxy: NDArray[np.float32]

    @classmethod
    def of(cls, table: pa.Table) -> Columns:
        """The columns of a table of the profile."""
        return cls(
            numbers(table, "frame_index"), numbers(table, "track_id"), codes(table, "person", PERSONS),
            codes(table, "side", SIDES), codes(table, "origin", ORIGINS), numbers(table, "score"), boxes_xyxy(table),
        )  # fmt: skip

    def within(self, first: int, last: int) -> slice:
        """The rows of frames ``first`` to ``last``."""
        start, end = np.searchsorted(self.frame, [first, last + 1])
        return slice(int(start), int(end))

    def of_person(self, code: int) -> Index:
        """The rows of a person, in order of time."""
        return self._by_person[code]

    @cached_property
    def _by_person(self) -> list[Index]:
        return [np.flatnonzero(self.person == code) for code in range(len(PERSONS))]

    @cached_property
    def track_ends(self) -> dict[int, tuple[int, int]]:
        """First and last frame of each track."""
        order = np.argsort(self.track, kind="stable")
        tracks, starts = np.unique(self.track[order], return_index=True)
        ends = np.append(starts[1:], len(order)) - 1
        first, last = self.frame[order[starts]].tolist(), self.frame[order[ends]].tolist()
        return dict(zip(tracks.tolist(), zip(first, last, strict=True), strict=True))

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """``(R, 2)`` x, y of the boxes' centres."""
        boxes = self.boxes_xyxy.astype(np.float64)
        return (boxes[:, :2] + boxes[:, 2:]) / 2

    @cached_property
    def heights(self) -> NDArray[np.float64]:
        """``(R,)`` heights of the boxes in pixels."""
        return self.boxes_xyxy[:, 3].astype(np.float64) - self.boxes_xyxy[:, 1]

    def box(self, row: int) -> list[float]:
        """The box of a row to a hundredth of a pixel, as it is written as JSON."""
        return [round(value, 2) for value in self.boxes_xyxy[row].tolist()]

    def by_frame(self, first: int, last: int) -> dict[str, list[list[Any]]]:
        """The rows of frames ``first`` to ``last`` by frame.

        Each is track id, person or None, side or None, x1, y1, x2, y2, origin, score.
        """
        found: dict[str, list[list[Any]]] = {}
        for row in range(*self.within(first, last).indices(len(self.frame))):
            person, side = int(self.person[row]), int(self.side[row])
            found.setdefault(str(self.frame[row]), []).append(
                [
                    int(self.track[row]),
                    PERSONS[person] if person >= 0 else None,
                    SIDES[side] if side >= 0 else None,
                    *self.box(row),
                    ORIGINS[self.origin[row]],
                    round(float(self.score[row]), 3),
                ]
            )
        return found
