"""In which frames two track files of one video differ: ranges, not rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import TrackMismatchError
from ..columns import NULL, boxes_xyxy, codes, numbers
from ..files import TrackFile
from ..schema import PERSONS, SIDES
from .operations import frame_words
from .times import FrameTimes

_NOBODY, _SAME = -2, -128
_SIDES = (*SIDES, "none")  # by code; NULL is the last
DIFF_PIXELS = 0.5  # less is not to be seen


@dataclass(frozen=True)
class Difference:
    """Frames in which somebody is otherwise in the second file; first and last both belong to it.

    Attributes:
        person: Who; None for the bystanders, all of them together.
        kind: ``added`` (a box only in the second), ``removed`` (only in the first), ``person`` (where they were is
            somebody else, or nobody's box any more), ``box`` (it is elsewhere), ``side``.
        first_frame: Index of the first frame.
        last_frame: Index of the last frame.
        frames: How many frames between them differ so: all in which one of the files has a box.
        start: ``HH:MM:SS.mmm`` of the first frame.
        end: ``HH:MM:SS.mmm`` of the last frame.
        note: What it was and is now.
    """

    person: str | None
    kind: str
    first_frame: int
    last_frame: int
    frames: int
    start: str
    end: str
    note: str

    def words(self) -> str:
        """The difference in one line."""
        who = self.person or "bystanders"
        frames = frame_words(self.first_frame, self.last_frame)
        return f"{self.start} to {self.end}  {frames}  {who}: {self.kind}, {self.note}"

    def as_dict(self) -> dict[str, Any]:
        """The difference as a JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class _Seen:
    """Where one person is in one file.

    Attributes:
        there: ``(frames,)`` bool.
        boxes: ``(frames, 4)`` float32.
        side: ``(frames,)`` int8.
    """

    there: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    side: NDArray[np.int8]


class _Table:
    """The columns of a file, and where each person is."""

    def __init__(self, track_file: TrackFile):
        table = track_file.table
        self.count = track_file.metadata.video.frame_count
        self.frame: NDArray[np.int32] = numbers(table, "frame_index")
        self.boxes = boxes_xyxy(table)
        self.person, self.side = codes(table, "person", PERSONS), codes(table, "side", SIDES)
        self.names = {PERSONS[code] for code in np.unique(self.person[self.person >= 0]).tolist()}

    def seen(self, name: str) -> _Seen:
        rows = np.flatnonzero(self.person == PERSONS.index(name))
        there, boxes = np.zeros(self.count, np.bool_), np.zeros((self.count, 4), np.float32)
        side = np.full(self.count, NULL, np.int8)
        frames = self.frame[rows]
        there[frames], boxes[frames], side[frames] = True, self.boxes[rows], self.side[rows]
        return _Seen(there, boxes, side)

    def bystanders(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Their frames and boxes, in order of frame and place."""
        rows = np.flatnonzero(self.person == NULL)
        order = np.lexsort((self.boxes[rows, 1], self.boxes[rows, 0], self.frame[rows]))
        return self.frame[rows[order]], self.boxes[rows[order]]


def diff(a: TrackFile, b: TrackFile, tolerance: float = DIFF_PIXELS) -> tuple[Difference, ...]:
    """Where ``b`` differs from ``a``, in order of time.

    Persons are compared by name, bystanders all together: their track ids say nothing beyond a file.

    Args:
        a: Tracks.
        b: Tracks of the same video.
        tolerance: By how many pixels a side of a box may differ.

    Raises:
        TrackMismatchError: They are of videos with another number of frames.
    """
    if a.metadata.video.frame_count != b.metadata.video.frame_count:
        raise TrackMismatchError(
            f"{b.path} is of another video than {a.path}", got=f"{b.metadata.video.frame_count} frames",
            expected=a.metadata.video.frame_count, hint="compare tracks of one video",
        )  # fmt: skip
    before, after, times = _Table(a), _Table(b), FrameTimes(a)
    found = _bystanders(before, after, times, tolerance)
    for name in sorted(before.names | after.names):
        found += _of_person(name, before, after, times, tolerance)
    return tuple(sorted(found, key=lambda item: (item.first_frame, item.last_frame, item.person or "", item.kind)))


def _of_person(name: str, before: _Table, after: _Table, times: FrameTimes, tolerance: float) -> list[Difference]:
    old, new = before.seen(name), after.seen(name)
    both, either = old.there & new.there, old.there | new.there
    moved = np.where(both, np.abs(old.boxes - new.boxes).max(axis=1), 0)
    holder = np.where(both & (moved <= tolerance), _NOBODY, _holder(name, old, after, tolerance))
    renamed = holder != _NOBODY
    found: list[Difference] = []

    def note(kind: str, differs: NDArray[np.bool_], words: Callable[[NDArray[np.intp]], str]) -> None:
        found.extend(_difference(name, kind, frames, times, words(frames)) for frames in runs(differs, either))

    note("added", new.there & ~old.there, lambda _: "only in the second")
    note("removed", old.there & ~new.there & ~renamed, lambda _: "only in the first")
    for code in np.unique(holder[renamed]).tolist():
        note("person", holder == code, lambda frames: f"is now {_holder_words(int(holder[frames[0]]))}")
    note("box", both & (moved > tolerance) & ~renamed, lambda frames: f"by up to {moved[frames].max():.1f} pixels")
    changes = np.where(both & (old.side != new.side), old.side * len(_SIDES) + new.side, _SAME)
    for change in np.unique(changes[changes != _SAME]).tolist():
        note("side", changes == change, lambda frames: f"{_side(old, frames)} is now {_side(new, frames)}")
    return found


def _holder(name: str, old: _Seen, after: _Table, tolerance: float) -> NDArray[np.int8]:
    """``(frames,)`` code of who else has the box by now that was this person's; ``_NOBODY`` if nobody else has."""
    others = np.flatnonzero(after.person != PERSONS.index(name))
    frames = after.frame[others]
    same = old.there[frames] & (np.abs(after.boxes[others] - old.boxes[frames]).max(axis=1, initial=0) <= tolerance)
    found = np.full(after.count, _NOBODY, np.int8)
    found[frames[same]] = after.person[others[same]]
    return found


def _holder_words(code: int) -> str:
    return PERSONS[code] if code >= 0 else "a bystander"


def _side(seen: _Seen, frames: NDArray[np.intp]) -> str:
    return _SIDES[seen.side[frames[0]]]


def _bystanders(before: _Table, after: _Table, times: FrameTimes, tolerance: float) -> list[Difference]:
    (old_frames, old_boxes), (new_frames, new_boxes) = before.bystanders(), after.bystanders()
    old = np.bincount(old_frames, minlength=before.count)
    new = np.bincount(new_frames, minlength=before.count)
    even = old == new
    moved = np.zeros(before.count, np.bool_)
    same_old, same_new = even[old_frames], even[new_frames]
    far = np.abs(old_boxes[same_old] - new_boxes[same_new]).max(axis=1, initial=0) > tolerance
    moved[old_frames[same_old][far]] = True
    found = []
    for kind, differs, note in (
        ("added", new > old, "more of them in the second"),
        ("removed", new < old, "fewer of them in the second"),
        ("box", moved, "elsewhere"),
    ):
        for frames in runs(differs, (old + new) > 0):
            found.append(_difference(None, kind, frames, times, note))
    return found


def runs(differs: NDArray[np.bool_], relevant: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The frames that differ, in runs that only frames break that are relevant and do not differ."""
    at = np.flatnonzero(differs)
    if len(at) == 0:
        return []
    kept = np.cumsum(relevant & ~differs)
    return np.split(at, np.flatnonzero(np.diff(kept[at]) > 0) + 1)


def _difference(person: str | None, kind: str, frames: NDArray[np.intp], times: FrameTimes, note: str) -> Difference:
    first, last = int(frames[0]), int(frames[-1])
    return Difference(person, kind, first, last, len(frames), times.timecode_of(first), times.timecode_of(last), note)
