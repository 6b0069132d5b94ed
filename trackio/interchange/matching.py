"""Which row of the base an imported box is, and whose.

A file of another tool may have kept our ids or not: CVAT numbers tracks anew but keeps attributes, MOT tools keep or
renumber ids. So a row is what it claims to be where that can be; otherwise the base's box that it lies on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..columns import NULL, UNKNOWN, boxes_xyxy, codes, numbers
from ..schema import PERSONS, SIDES
from .imported import NO_ID, Imported, groups

MIN_IOU = 0.5
"""PASCAL VOC's least overlap of two boxes of one object."""
NONE = -1


@dataclass(frozen=True)
class BaseRows:
    """The rows of the base in its order.

    Attributes:
        frame: ``(N,)`` int64 frame_index.
        track: ``(N,)`` int64 track_id.
        boxes: ``(N, 4)`` float64 pixels.
        person: ``(N,)`` int8 place in ``schema.PERSONS``, or ``NULL``.
        side: ``(N,)`` int8 place in ``schema.SIDES``, or ``NULL``.
    """

    frame: NDArray[np.int64]
    track: NDArray[np.int64]
    boxes: NDArray[np.float64]
    person: NDArray[np.int8]
    side: NDArray[np.int8]

    @classmethod
    def of(cls, table: pa.Table) -> BaseRows:
        """The rows of ``table``."""
        frame, track = (numbers(table, name).astype(np.int64) for name in ("frame_index", "track_id"))
        person, side = codes(table, "person", PERSONS), codes(table, "side", SIDES)
        return cls(frame, track, boxes_xyxy(table).astype(np.float64), person, side)


@dataclass(frozen=True)
class Match:
    """What the imported rows are.

    Attributes:
        row: ``(N,)`` row of the base, or :data:`NONE` for a box that the base does not have.
        track_id: ``(N,)`` int64 track of the base, or a new one.
        person: ``(N,)`` int8 place in ``schema.PERSONS``, or ``NULL``.
        side: ``(N,)`` int8 place in ``schema.SIDES``, or ``NULL``.
    """

    row: NDArray[np.intp]
    track_id: NDArray[np.int64]
    person: NDArray[np.int8]
    side: NDArray[np.int8]


def match(base: BaseRows, imported: Imported) -> Match:
    """Find out what each imported row is.

    - A row that claims a track_id is that track's row in its frame, if its box lies on it or the claim is certain.
    - Any other is the row of the base, not taken by another, that it lies on best (intersection over union of at least
      :data:`MIN_IOU`).
    - The rest are new: of the track that they claim where that has no box in the frame, otherwise of a new track.
    - Where the file does not tell the person, it is that of the track of the base that the imported track stands
      for: the claimed one if it lies on that at all, otherwise the one that it lies on most often.
    - Where the file does not tell the side, or a person was changed and the side was not, the side is the one that the
      person has in the base at that time.
    """
    row = _claimed_rows(base, imported)
    _add_overlapping(row, base, imported)
    person = _persons(row, base, imported)
    return Match(row, _track_ids(row, base, imported), person, _sides(row, person, base, imported))


def _key(frame: NDArray[np.int64], track: NDArray[np.int64]) -> NDArray[np.int64]:
    return (frame << 32) + track


def _claimed_rows(base: BaseRows, imported: Imported) -> NDArray[np.intp]:
    """``(N,)`` row of the base that each imported row claims, each at most once, or :data:`NONE`."""
    keys = _key(base.frame, base.track)
    wanted = _key(imported.frame_index, imported.claimed_id)
    found = _find(keys, wanted)
    found[imported.claimed_id == NO_ID] = NONE
    if not imported.certain:
        there = np.flatnonzero(found != NONE)
        apart = _iou(base.boxes[found[there]], imported.boxes_xyxy[there]) < MIN_IOU
        found[there[apart]] = NONE
    taken = np.flatnonzero(found != NONE)
    again = np.ones(len(taken), np.bool_)
    again[np.unique(found[taken], return_index=True)[1]] = False
    found[taken[again]] = NONE
    return found


def _find(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp]:
    """Place of each of ``wanted`` in ``keys``, or :data:`NONE`."""
    if len(keys) == 0:
        return np.full(len(wanted), NONE, np.intp)
    order = np.argsort(keys, kind="stable")
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[at] == wanted, at, NONE)


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N,)`` intersection over union of each pair of ``(N, 4)`` boxes."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared: NDArray[np.float64] = np.prod(np.maximum(high - low, 0), axis=1)
    both = np.prod(a[:, 2:] - a[:, :2], axis=1) + np.prod(b[:, 2:] - b[:, :2], axis=1) - shared
    overlap: NDArray[np.float64] = shared / np.maximum(both, 1e-12)
    return overlap


def _add_overlapping(row: NDArray[np.intp], base: BaseRows, imported: Imported) -> None:
    """Give each row that is none yet the free row of the base that it lies on best."""
    free = np.ones(len(base.frame), np.bool_)
    free[row[row != NONE]] = False
    left, right = np.flatnonzero(row == NONE), np.flatnonzero(free)
    right = right[np.argsort(base.frame[right], kind="stable")]
    frames = base.frame[right]
    start = np.searchsorted(frames, imported.frame_index[left], side="left")
    count = np.searchsorted(frames, imported.frame_index[left], side="right") - start
    one = np.repeat(left, count)
    other = right[np.repeat(start - (np.cumsum(count) - count), count) + np.arange(len(one))]
    overlap = _iou(imported.boxes_xyxy[one], base.boxes[other])
    near = overlap >= MIN_IOU
    one, other, overlap = one[near], other[near], overlap[near]
    order = np.lexsort((other, one, -overlap))
    one, other = one[order], other[order]
    while len(one):
        # best first: a pair that is the best of both its rows is settled, and its rows leave the rest
        settled = np.intersect1d(np.unique(one, return_index=True)[1], np.unique(other, return_index=True)[1])
        row[one[settled]] = other[settled]
        rest = ~np.isin(one, one[settled]) & ~np.isin(other, other[settled])
        one, other = one[rest], other[rest]


def _track_ids(row: NDArray[np.intp], base: BaseRows, imported: Imported) -> NDArray[np.int64]:
    made = np.where(row != NONE, base.track[row] if len(base.track) else NO_ID, NO_ID)
    new = np.flatnonzero(row == NONE)
    claimed = imported.claimed_id[new]
    # a claim holds for a new row where no row of the base, and no other new row, has that track in the frame
    keys = _key(imported.frame_index[new], claimed)
    usable = (claimed != NO_ID) & np.isin(claimed, base.track) & (_find(_key(base.frame, base.track), keys) == NONE)
    single = np.zeros(len(new), np.bool_)
    single[np.unique(keys, return_index=True)[1]] = True
    usable &= single
    made[new[usable]] = claimed[usable]
    fresh = new[~usable]
    first = max(int(base.track.max(initial=NO_ID)), NO_ID) + 1
    made[fresh] = first + np.unique(imported.track[fresh], return_inverse=True)[1]
    return made


def _persons(row: NDArray[np.intp], base: BaseRows, imported: Imported) -> NDArray[np.int8]:
    person = imported.person.copy()
    untold = np.flatnonzero(person == UNKNOWN)
    named = np.flatnonzero(base.person != NULL)
    tracks, first = np.unique(base.track[named], return_index=True)
    owner = dict(zip(tracks.tolist(), base.person[named[first]].tolist(), strict=True))
    for rows in groups(imported.track[untold]):
        mine = untold[rows]
        stands_for = _stands_for(row[mine], imported.claimed_id[mine], base)
        person[mine] = owner.get(stands_for, NULL)
        # a track may be a bystander's in part; that stays
        same = mine[(row[mine] != NONE) & (base.track[row[mine]] == stands_for)]
        person[same] = base.person[row[same]]
    return person


def _stands_for(row: NDArray[np.intp], claimed: NDArray[np.int64], base: BaseRows) -> int:
    """The track of the base that an imported track stands for, or :data:`NO_ID`."""
    seen = base.track[row[row != NONE]]
    if len(seen) == 0:
        return NO_ID
    kept = np.intersect1d(claimed, seen)
    if len(kept):
        return int(kept[0])
    tracks, counts = np.unique(seen, return_counts=True)
    return int(tracks[np.argmax(counts)])


def _sides(row: NDArray[np.intp], person: NDArray[np.int8], base: BaseRows, imported: Imported) -> NDArray[np.int8]:
    there = row != NONE
    before_person, before_side = (
        np.where(there, values[row] if len(values) else NULL, NULL) for values in (base.person, base.side)
    )
    told = imported.side
    kept = there & (person == before_person) & (told == UNKNOWN)
    follows = ((told == UNKNOWN) | (there & (person != before_person) & (told == before_side))) & ~kept
    side = np.where(kept, before_side, told).astype(np.int8)
    for code in np.unique(person[follows]):
        mine = follows & (person == code)
        side[mine] = NULL if code == NULL else _side_of(base, int(code), imported.frame_index[mine])
    return side


def _side_of(base: BaseRows, person: int, frames: NDArray[np.int64]) -> NDArray[np.int8]:
    """The side that ``person`` has in the base in or nearest to ``frames``; NULL for who is not there."""
    mine = np.flatnonzero(base.person == person)
    if len(mine) == 0:
        return np.full(len(frames), NULL, np.int8)
    mine = mine[np.argsort(base.frame[mine], kind="stable")]
    known = base.frame[mine]
    after = np.minimum(np.searchsorted(known, frames), len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(known[before] - frames) < np.abs(known[after] - frames), before, after)
    return base.side[mine[nearest]]
