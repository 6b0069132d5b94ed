"""The operations that make one track file into another: how corrections from other tools come into the log."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import TrackMismatchError
from ..columns import boxes_xyxy, codes, numbers
from ..files import TrackFile
from ..schema import PERSONS, SIDES
from .actions import do
from .diff import runs
from .operations import Assign, Boxes, Delete, Operation, SetSide, Swap
from .rows import NO_ROW, Index, Rows

IMPORT_PIXELS = 0.01
_NOTHING = -2  # what is wanted of rows that the corrected file does not have


@dataclass(frozen=True)
class _Corrected:
    """The rows of the corrected file.

    Attributes:
        rows: ``(N,)`` the row of the base that each one is, ``NO_ROW`` for an added one.
        frame: ``(N,)`` int32.
        track: ``(N,)`` int32.
        person: ``(N,)`` int8 codes.
        side: ``(N,)`` int8 codes.
        boxes: ``(N, 4)`` float32.
    """

    rows: Index
    frame: NDArray[np.int32]
    track: NDArray[np.int32]
    person: NDArray[np.int8]
    side: NDArray[np.int8]
    boxes: NDArray[np.float32]


def edits_from_diff(base: TrackFile, corrected: TrackFile, tolerance: float = IMPORT_PIXELS) -> tuple[Operation, ...]:
    """Operations whose replay on ``base`` gives the persons, the sides and the boxes of ``corrected``.

    A row is the one of the same frame with the same track id and an equal box, or else with an equal box, or else with
    the same id. Whole ranges in which two persons changed places become swaps. Scores, landmarks, origins and ids of
    new tracks are not taken over.

    Args:
        base: Tracks without edits; to append to those that there are, use ``session.Edits.edits_to``.
        corrected: Tracks of the same video, valid by the profile.
        tolerance: By how many pixels a side of a box may differ afterwards.

    Returns:
        The operations, for one ``Batch``; none if nothing differs.

    Raises:
        TrackMismatchError: They are of videos with another number of frames.
        EditError: ``corrected`` names persons whom ``base`` does not know.
    """
    return corrections(Rows(base), corrected, tolerance)


def corrections(rows: Rows, corrected: TrackFile, tolerance: float = IMPORT_PIXELS) -> tuple[Operation, ...]:
    """The same for rows that are being edited, to which the operations are done.

    Raises:
        TrackMismatchError, EditError: See :func:`edits_from_diff`.
    """
    got, expected = corrected.metadata.video.frame_count, rows.times.video.frame_count
    if got != expected:
        raise TrackMismatchError(f"{corrected.path} is of another video", got=f"{got} frames", expected=expected)
    wanted = _matched(rows, corrected, tolerance)
    made: list[Operation] = []
    for step in (
        _deletions(rows, wanted),
        _swaps(rows, wanted),
        _assignments(rows, wanted),
        _moves(rows, wanted, tolerance),
        _additions(rows, wanted),
        _sides(rows, wanted),
    ):
        for operation in step:
            do(rows, operation)
            made.append(operation)
    return tuple(made)


def _matched(rows: Rows, corrected: TrackFile, tolerance: float) -> _Corrected:
    table = corrected.table
    wanted = _Corrected(
        np.full(table.num_rows, NO_ROW, np.int64), numbers(table, "frame_index"), numbers(table, "track_id"),
        codes(table, "person", PERSONS), codes(table, "side", SIDES), boxes_xyxy(table),
    )  # fmt: skip
    here = rows.find()
    here = here[np.argsort(rows.frame[here], kind="stable")]
    ones, others = _same_frame(wanted.frame, rows.frame[here])
    others = here[others]
    apart = np.abs(wanted.boxes[ones] - rows.boxes[others]).max(axis=1, initial=0)
    same_id, equal = wanted.track[ones] == rows.shown(others), apart <= tolerance
    for candidates in (same_id & equal, equal, same_id):
        _match(wanted.rows, ones[candidates], others[candidates], rows.size)
    return wanted


def _same_frame(frames: NDArray[np.int32], others: NDArray[np.int32]) -> tuple[Index, Index]:
    """All pairs of places in ``frames`` and in ``others``, which is ascending, with the same value."""
    first, end = np.searchsorted(others, frames, "left"), np.searchsorted(others, frames, "right")
    ones = np.repeat(np.arange(len(frames)), end - first)
    begin = np.repeat(np.cumsum(end - first) - (end - first), end - first)
    return ones, np.repeat(first, end - first) + np.arange(len(ones)) - begin


def _match(matched: Index, ones: Index, others: Index, size: int) -> None:
    """Match pairs whose both parts are free yet, each part once."""
    taken = np.zeros(size, np.bool_)
    taken[matched[matched != NO_ROW]] = True
    free = (matched[ones] == NO_ROW) & ~taken[others]
    ones, others = ones[free], others[free]
    for _ in range(2):  # the second part, then the first: each keeps the pair that comes first
        first = np.sort(np.unique(others, return_index=True)[1])
        ones, others = others[first], ones[first]
    matched[ones] = others


def _deletions(rows: Rows, wanted: _Corrected) -> Iterator[Operation]:
    kept = np.zeros(rows.size, np.bool_)
    kept[wanted.rows[wanted.rows != NO_ROW]] = True
    while True:
        gone = rows.find()
        gone = gone[~kept[gone]]
        if len(gone) == 0:
            return
        track_id = int(rows.shown(gone[:1])[0])
        track = rows.track(track_id)
        first, last = _run_at(~kept[track], int(np.flatnonzero(track == gone[0])[0]))
        yield Delete(track_id, int(rows.frame[track[first]]), int(rows.frame[track[last]]))


def _swaps(rows: Rows, wanted: _Corrected) -> Iterator[Operation]:
    wish = _by_row(rows, wanted, wanted.person)
    count = rows.times.video.frame_count
    for one, other in combinations(sorted(rows.usable), 2):
        swapped, stays = np.zeros(count, np.int8), np.zeros(count, np.bool_)
        for code, new in ((one, other), (other, one)):
            theirs = rows.find(person=code)
            changes = wish[theirs] == new
            swapped[rows.frame[theirs[changes]]] += 1
            stays[rows.frame[theirs[~changes]]] = True
        swapped[stays] = 0
        for frames in runs(swapped > 0, (swapped > 0) | stays):
            if (swapped[frames] > 1).any():
                yield Swap(int(frames[0]), int(frames[-1]), (PERSONS[one], PERSONS[other]))


def _assignments(rows: Rows, wanted: _Corrected) -> Iterator[Operation]:
    """Names are taken from rows that have another one coming: the corrected file has each once per frame."""
    wish = _by_row(rows, wanted, wanted.person)
    while True:
        wrong = rows.find()
        wrong = wrong[wish[wrong] != rows.person[wrong]]
        if len(wrong) == 0:
            return
        track_id, code = int(rows.shown(wrong[:1])[0]), int(wish[wrong[0]])
        track = rows.track(track_id)
        alike = (wish[track] == code) & (rows.person[track] != code)
        first, last = _run_at(alike, int(np.flatnonzero(track == wrong[0])[0]))
        name = PERSONS[code] if code >= 0 else None
        yield Assign(track_id, name, int(rows.frame[track[first]]), int(rows.frame[track[last]]), take=code >= 0)


def _moves(rows: Rows, wanted: _Corrected, tolerance: float) -> Iterator[Operation]:
    known = wanted.rows != NO_ROW
    here, boxes = wanted.rows[known], wanted.boxes[known]
    far = np.abs(rows.boxes[here] - boxes).max(axis=1, initial=0) > tolerance
    here, boxes = here[far], boxes[far]
    for track_id, chosen in _groups(rows.shown(here)):
        yield _boxes(track_id, None, rows.frame[here[chosen]], boxes[chosen])


def _additions(rows: Rows, wanted: _Corrected) -> Iterator[Operation]:
    """Added rows go to the track of their id, if it is of the same person and free there, or else to a new one."""
    added = np.flatnonzero(wanted.rows == NO_ROW)
    keys = wanted.track[added].astype(np.int64) * (len(PERSONS) + 1) + wanted.person[added] + 1
    for _, chosen in _groups(keys):
        mine = added[chosen]
        track_id, code = int(wanted.track[mine[0]]), int(wanted.person[mine[0]])
        name = PERSONS[code] if code >= 0 else None
        track = rows.track(track_id)
        fits = len(track) > 0 and rows.persons()[track_id] == name
        free = fits and bool((rows.at(wanted.frame[mine], track) == NO_ROW).all())
        begin = rows.size
        yield _boxes(track_id if free else None, name, wanted.frame[mine], wanted.boxes[mine])
        wanted.rows[mine[np.argsort(wanted.frame[mine])]] = np.arange(begin, rows.size)


def _sides(rows: Rows, wanted: _Corrected) -> Iterator[Operation]:
    wish = _by_row(rows, wanted, wanted.side)
    for code in sorted(rows.usable):
        while True:
            theirs = rows.find(person=code)
            theirs = theirs[np.argsort(rows.frame[theirs])]
            wrong = np.flatnonzero(wish[theirs] != rows.side[theirs])
            if len(wrong) == 0:
                break
            side = int(wish[theirs[wrong[0]]])
            alike = (wish[theirs] == side) & (rows.side[theirs] != side)
            first, last = _run_at(alike, int(wrong[0]))
            name = SIDES[side] if side >= 0 else None
            yield SetSide(PERSONS[code], name, int(rows.frame[theirs[first]]), int(rows.frame[theirs[last]]))


def _by_row(rows: Rows, wanted: _Corrected, values: NDArray[np.int8]) -> NDArray[np.int8]:
    """``(size,)`` what is wanted of each row."""
    found = np.full(rows.size, _NOTHING, np.int8)
    known = wanted.rows != NO_ROW
    found[wanted.rows[known]] = values[known]
    return found


def _boxes(
    track_id: int | None, person: str | None, frames: NDArray[np.int32], boxes: NDArray[np.float32]
) -> Operation:
    order = np.argsort(frames)
    return Boxes(track_id, person, tuple(frames[order].tolist()), tuple(map(tuple, boxes[order].tolist())))


def _run_at(marked: NDArray[np.bool_], place: int) -> tuple[int, int]:
    """First and last place of the run of marked values around ``place``."""
    off = np.flatnonzero(~marked)
    after = int(np.searchsorted(off, place))
    first = int(off[after - 1]) + 1 if after else 0
    return first, (int(off[after]) if after < len(off) else len(marked)) - 1


def _groups(keys: NDArray[np.int64]) -> Iterator[tuple[int, Index]]:
    """Each value of ``keys`` with its places."""
    order = np.argsort(keys, kind="stable")
    values, first = np.unique(keys[order], return_index=True)
    yield from zip(values.tolist(), np.split(order, first[1:])[: len(values)], strict=True)
