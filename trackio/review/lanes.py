"""The timeline: who is seen when, and how, in as many steps as the page has pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metadata import TrackMetadata
from ..schema import PERSONS, SIDES
from .columns import Columns, Index

NONE, DETECTED, INTERPOLATED, MANUAL, MIXED = range(5)
MOST_BUCKETS = 10_000
_BY_ORIGINS = np.array([NONE, DETECTED, INTERPOLATED, MIXED, MANUAL, MIXED, MIXED, MIXED])  # by a bit per origin

Span = tuple[int, int]


def lanes(
    columns: Columns, metadata: TrackMetadata, edits: Sequence[tuple[int, int, int]], span: Span, buckets: int
) -> dict[str, Any]:
    """The lanes of a range of frames as a JSON object.

    Args:
        columns: All rows.
        metadata: Of their track file.
        edits: First frame, last frame and number of each operation in effect.
        span: First and last frame.
        buckets: Steps at most; a step is at least a frame.

    Returns:
        ``left``, ``right``, ``bystanders``: per step how they are seen: 0 not, 1 detected, 2 interpolated, 3 drawn by
        hand, 4 in several of these ways. ``distance``: the least distance of the first two persons' faces in a step, in
        heights of the smaller face. ``appearance``: the least log-odds by which the tracks that are seen were decided.
        None where there is nothing to tell. ``edits`` and ``cuts``: those in the range.
    """
    first, last = span
    steps = _Steps(columns, span, min(buckets, last - first + 1))
    margins = {each.track_id: each.margin for each in metadata.tracks if each.margin is not None}
    return {
        "first": first, "last": last, "buckets": steps.num,
        **{side: steps.origins(columns.side == code) for code, side in enumerate(SIDES)},
        "bystanders": steps.origins(columns.person < 0),
        "distance": steps.distance(*_pair(metadata.persons)),
        "appearance": steps.least_margin(margins) if margins else None,
        "edits": [list(edit) for edit in edits if edit[0] <= last and edit[1] >= first],
        "cuts": [shot.first_frame for shot in metadata.shots[1:] if first <= shot.first_frame <= last],
    }  # fmt: skip


def _pair(persons: Sequence[str]) -> tuple[int, int]:
    one, other = (*persons, *PERSONS)[:2] if len(persons) != 1 else (persons[0], persons[0])
    return PERSONS.index(one), PERSONS.index(other)


class _Steps:
    """A range of frames in equal steps.

    Attributes:
        num: How many.
    """

    def __init__(self, columns: Columns, span: Span, num: int):
        self._columns, self._span, self.num = columns, span, num
        self._rows = columns.within(*span)

    def _of(self, frames: NDArray[np.int32]) -> NDArray[np.int64]:
        first, last = self._span
        return (frames.astype(np.int64) - first) * self.num // (last - first + 1)

    def origins(self, chosen: NDArray[np.bool_]) -> list[int]:
        """How the ``chosen (R,)`` rows of each step came to be."""
        rows = self._rows.start + np.flatnonzero(chosen[self._rows])
        bits = np.zeros(self.num, np.int64)
        np.bitwise_or.at(bits, self._of(self._columns.frame[rows]), 1 << self._columns.origin[rows].astype(np.int64))
        made: list[int] = _BY_ORIGINS[bits].tolist()
        return made

    def distance(self, one: int, other: int) -> list[float | None]:
        """The least distance of two persons' centres, in heights of the smaller of the two faces."""
        a, b = (self._within(self._columns.of_person(code)) for code in (one, other))
        frames, in_a, in_b = np.intersect1d(self._columns.frame[a], self._columns.frame[b], return_indices=True)
        if one == other or len(frames) == 0:
            return [None] * self.num
        a, b = a[in_a], b[in_b]
        columns = self._columns
        apart = np.linalg.norm(columns.centres[a] - columns.centres[b], axis=1)
        return self._least(frames, apart / np.minimum(columns.heights[a], columns.heights[b]))

    def least_margin(self, margins: dict[int, float]) -> list[float | None]:
        """The least margin of the persons' tracks."""
        rows = self._rows.start + np.flatnonzero(self._columns.person[self._rows] >= 0)
        tracks, place = np.unique(self._columns.track[rows], return_inverse=True)
        values = np.array([margins.get(track, np.inf) for track in tracks.tolist()])[place]
        return self._least(self._columns.frame[rows], values)

    def _within(self, rows: Index) -> Index:
        start, end = np.searchsorted(rows, [self._rows.start, self._rows.stop])
        return rows[start:end]

    def _least(self, frames: NDArray[np.int32], values: NDArray[np.float64]) -> list[float | None]:
        least = np.full(self.num, np.inf)
        np.minimum.at(least, self._of(frames), values)
        return [round(value, 3) if np.isfinite(value) else None for value in least.tolist()]
