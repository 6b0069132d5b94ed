"""The rows of a track file as numpy columns that operations change, and the ids under which tracks are shown.

The profile gives a track one person. An edit may give a part of a track to another: that part is then shown under an id
of its own, one more than the highest so far, and has its old id again as soon as its person is the old one again. So a
row has a *stem*, the track that it was cut from, and what is shown is a function of stem and person. A stem has at most
one row per frame, hence so has every id.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import EditError
from ..columns import NULL, boxes_xyxy, codes, numbers
from ..files import TrackFile
from ..schema import MANUAL, ORIGINS, PERSONS, SIDES
from .times import FrameTimes

NO_ROW = -1
_PERSONS = len(PERSONS) + 1  # and nobody
# Room for new rows beside those of the file, so that not every insertion copies all columns.
_SPARE = 1 / 8
_HIGHEST_ID = 2**31 - 1

Index = NDArray[np.int64]
_COLUMNS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "frame": (np.int32, ()),
    "stem": (np.int32, ()),
    "person": (np.int8, ()),
    "side": (np.int8, ()),
    "boxes": (np.float32, (4,)),
    "score": (np.float32, ()),
    "origin": (np.int8, ()),
    "source": (np.int32, ()),
    "seen": (np.bool_, ()),
    "alive": (np.bool_, ()),
}


@dataclass(frozen=True)
class Pin:
    """A box that a reviewer said is right.

    Attributes:
        row: Its row.
        frame: Its frame.
        person: Code of its person.
    """

    row: int
    frame: int
    person: int


@dataclass
class _Ids:
    """The ids under which rows are shown.

    Attributes:
        of_stem: Id of each stem.
        owner: Code of the person who keeps the stem's id, ``NULL`` as long as there was none.
        given: Ids of the parts of stems that are another person's, by stem and person.
        next: The next new id.
    """

    of_stem: list[int]
    owner: list[int]
    next: int
    given: dict[tuple[int, int], int] = field(default_factory=dict)

    def copy(self) -> _Ids:
        return _Ids(list(self.of_stem), list(self.owner), self.next, dict(self.given))

    def new(self) -> int:
        if self.next > _HIGHEST_ID:
            raise EditError("there is no track id left", got=self.next, expected=f"at most {_HIGHEST_ID}")
        self.next += 1
        return self.next - 1


class Rows:
    """Rows that are being edited.

    The rows of the file come first, in its order; new ones follow, in the order in which they were made. A row is never
    moved: its index names it. ``person``, ``side`` and ``origin`` are codes: places in ``PERSONS``, ``SIDES`` and
    ``ORIGINS``.

    Attributes:
        times: Frames and times.
        suspects: State of each suspect of the file.
        suspect_keys: Kind, first and last frame of each.
        pins: Boxes that a reviewer said are right.
        by_place: Whether sides follow the places, not the persons.
        sided: Codes of the persons who have sides in the file.
        usable: Codes of the persons whom a row can be given: those of the file, and A and B.
        frame: ``(size,)`` int32.
        stem: ``(size,)`` int32 place of the row's stem.
        person: ``(size,)`` int8, ``NULL`` for a bystander.
        side: ``(size,)`` int8, ``NULL`` for none.
        boxes: ``(size, 4)`` float32 xyxy in pixels.
        score: ``(size,)`` float32.
        origin: ``(size,)`` int8.
        source: ``(size,)`` int32 row of the file that it was, ``NO_ROW`` for a new one.
        seen: ``(size,)`` bool, whether the landmarks of that row still hold.
        alive: ``(size,)`` bool, False for deleted rows.
    """

    frame: NDArray[np.int32]
    stem: NDArray[np.int32]
    person: NDArray[np.int8]
    side: NDArray[np.int8]
    boxes: NDArray[np.float32]
    score: NDArray[np.float32]
    origin: NDArray[np.int8]
    source: NDArray[np.int32]
    seen: NDArray[np.bool_]
    alive: NDArray[np.bool_]

    def __init__(self, track_file: TrackFile, times: FrameTimes | None = None):
        table, metadata = track_file.table, track_file.metadata
        self.times = times if times is not None else FrameTimes(track_file)
        self.suspects = [suspect.state for suspect in metadata.suspects]
        self.suspect_keys = [(item.kind, item.first_frame, item.last_frame) for item in metadata.suspects]
        self.pins: list[Pin] = []
        self.by_place = metadata.settings.get("assign") == "position"
        self._in_file = self.size = table.num_rows
        ids, stem = np.unique(numbers(table, "track_id"), return_inverse=True)
        person, side = codes(table, "person", PERSONS), codes(table, "side", SIDES)
        self.sided = frozenset(np.unique(person[side >= 0]).tolist())
        self.usable = frozenset(PERSONS.index(name) for name in (*metadata.persons, *PERSONS[:2]))
        self._reserve(0, self.size)
        given = {
            "frame": numbers(table, "frame_index"), "stem": stem, "person": person, "side": side,
            "boxes": boxes_xyxy(table), "score": numbers(table, "score"), "origin": codes(table, "origin", ORIGINS),
            "source": np.arange(self.size), "seen": True, "alive": True,
        }  # fmt: skip
        for name, values in given.items():
            getattr(self, name)[: self.size] = values
        self._ids = _Ids(ids.tolist(), [NULL] * len(ids), int(ids.max(initial=-1)) + 1)
        self._counts = self._counted(self.find())
        self._shown = np.zeros(self._counts.shape, np.int64)
        self.number()

    def _reserve(self, used: int, needed: int) -> None:
        """Longer columns, of which the first ``used`` rows stay."""
        for name, (dtype, shape) in _COLUMNS.items():
            column = np.zeros((needed + int(needed * _SPARE) + 64, *shape), dtype)
            if used:
                column[:used] = getattr(self, name)[:used]
            setattr(self, name, column)

    def copy(self) -> Rows:
        """The same rows, to be changed on their own."""
        made = copy.copy(self)
        for name in (*_COLUMNS, "_counts", "_shown"):
            setattr(made, name, getattr(self, name).copy())
        made._ids, made.suspects, made.pins = self._ids.copy(), list(self.suspects), list(self.pins)
        return made

    # -- looking

    def find(self, first: int = 0, last: int | None = None, **equal: int) -> Index:
        """The rows of frames ``first`` to ``last`` whose columns have the values ``equal``, in no order."""
        last = self.times.last_frame if last is None else last
        found = []
        for part in self._parts(first, last):
            wanted = self.alive[part].copy()
            if part.start == self._in_file:
                wanted &= (self.frame[part] >= first) & (self.frame[part] <= last)
            for name, value in equal.items():
                wanted &= getattr(self, name)[part] == value
            found.append(part.start + np.flatnonzero(wanted))
        return np.concatenate(found)

    def _parts(self, first: int, last: int) -> Iterator[slice]:
        # of the column's own type, or all of it would be converted
        ends = np.array([first, last + 1], self.frame.dtype)
        begin, end = np.searchsorted(self.frame[: self._in_file], ends)
        yield slice(int(begin), int(end))
        yield slice(self._in_file, self.size)

    def track(self, track_id: int, first: int = 0, last: int | None = None) -> Index:
        """The rows that are shown as track ``track_id``, in order of frames; none if there is no such track."""
        found = [self.find(first, last, stem=int(stem)) for stem in np.unique(np.nonzero(self._shown == track_id)[0])]
        rows = np.concatenate(found) if found else np.zeros(0, np.int64)
        rows = rows[self.shown(rows) == track_id]
        ordered: Index = rows[np.argsort(self.frame[rows])]
        return ordered

    def shown(self, rows: Index) -> NDArray[np.int64]:
        """``(R,)`` the id under which each of ``rows`` is shown."""
        found: NDArray[np.int64] = self._shown[self.stem[rows], self.person[rows].astype(np.intp) + 1]
        return found

    def at(self, frames: NDArray[np.int32], among: Index) -> Index:
        """``(F,)`` the row of each of ``frames`` among rows that are at most one a frame; ``NO_ROW`` where none is."""
        place: Index = np.full(self.times.last_frame + 1, NO_ROW, np.int64)
        place[self.frame[among]] = among
        found: Index = place[frames]
        return found

    def in_frames(self, rows: Index) -> Index:
        """All rows of the frames of ``rows``."""
        if len(rows) == 0:
            return rows
        frames = self.frame[rows]
        everything = self.find(int(frames.min()), int(frames.max()))
        wanted = np.zeros(self.times.last_frame + 1, np.bool_)
        wanted[frames] = True
        return everything[wanted[self.frame[everything]]]

    def without(self, rows: Index, others: Index) -> Index:
        """``rows`` that are not among ``others``."""
        left_out = np.zeros(self.size, np.bool_)
        left_out[others] = True
        return rows[~left_out[rows]]

    def person_of(self, rows: Index) -> int:
        """Code of the person of the rows of one track; ``NULL`` if none has any."""
        named = self.person[rows]
        return int(named.max(initial=NULL))

    # -- changing

    def set_person(self, rows: Index, person: int | NDArray[np.int8]) -> None:
        """Give rows a person, whatever else there is."""
        self._counts -= self._counted(rows)
        self.person[rows] = person
        self._counts += self._counted(rows)

    def remove(self, rows: Index) -> None:
        """Delete rows."""
        self._counts -= self._counted(rows)
        self.alive[rows] = False

    def restem(self, rows: Index, stem: int) -> None:
        """Make rows part of another stem, which has none in their frames."""
        self._counts -= self._counted(rows)
        self.stem[rows] = stem
        self._counts += self._counted(rows)

    def new_stem(self, track_id: int | None = None, owner: int = NULL) -> int:
        """A stem without rows, shown as ``track_id``, or under a new id."""
        self._ids.of_stem.append(self._ids.new() if track_id is None else track_id)
        self._ids.owner.append(owner)
        row = np.zeros((1, _PERSONS), np.int64)
        self._counts = np.vstack([self._counts, row])
        self._shown = np.vstack([self._shown, row + self._ids.of_stem[-1]])
        return len(self._ids.of_stem) - 1

    def own_stem(self, track_id: int) -> int:
        """The stem of a track, after the other parts of that stem have been made tracks of their own."""
        rows = self.track(track_id)
        stem = int(self.stem[rows[0]])
        parts = self.find(stem=stem)
        shown = self.shown(parts)
        kept = self._ids.of_stem[stem]
        for other in np.unique(shown[shown != kept]).tolist():
            person = self.person_of(parts[shown == other])
            del self._ids.given[stem, person]
            self.restem(parts[shown == other], self.new_stem(other, person))
        return int(self.stem[rows[0]])

    def add(self, frames: NDArray[np.int32], boxes: NDArray[np.float32], **values: Any) -> Index:
        """New rows without landmarks; ``values`` are the other columns but ``source``, ``seen`` and ``alive``."""
        begin, self.size = self.size, self.size + len(frames)
        if self.size > len(self.frame):
            self._reserve(begin, self.size)
        rows = np.arange(begin, self.size)
        self.frame[rows], self.boxes[rows], self.source[rows] = frames, boxes, NO_ROW
        self.seen[rows], self.alive[rows] = False, True
        for name, value in values.items():
            getattr(self, name)[rows] = value
        self._counts += self._counted(rows)
        return rows

    def move(self, rows: Index, boxes: NDArray[np.float32]) -> None:
        """Give rows other boxes; their landmarks no longer hold."""
        self.boxes[rows] = boxes
        self.seen[rows] = False

    def set_manual(self, rows: Index, boxes: NDArray[np.float32]) -> None:
        """Give rows boxes that a person has drawn, which are certain."""
        self.move(rows, boxes)
        self.score[rows], self.origin[rows] = 1.0, ORIGINS.index(MANUAL)

    # -- ids

    def number(self) -> None:
        """Find the id of each part of each stem; to be called after every operation.

        Who had the stem's id keeps it while any row of the stem is theirs; then it goes to whoever has most rows.
        """
        ids, named = self._ids, self._counts[:, 1:]
        most = np.where(named.any(axis=1), named.argmax(axis=1), NULL)
        owner = np.array(ids.owner, np.int64).reshape(-1)
        ids.owner = np.where(owner == NULL, most, owner).tolist()
        stems = np.arange(len(named))
        keeps = (owner != NULL) & (named[stems, owner] > 0)
        keeper = np.where(keeps, owner, most)
        self._shown[:] = np.array(ids.of_stem, np.int64).reshape(-1, 1)
        others = named > 0
        others[stems, keeper] = False
        for stem, person in np.argwhere(others).tolist():
            if (stem, person) not in ids.given:
                ids.given[stem, person] = ids.new()
            self._shown[stem, person + 1] = ids.given[stem, person]

    def _counted(self, rows: Index) -> NDArray[np.int64]:
        """``(stems, persons)`` how many of ``rows`` each stem has of nobody and of each person."""
        stems = len(self._ids.of_stem)
        keys = self.stem[rows].astype(np.int64) * _PERSONS + (self.person[rows] + 1)
        return np.bincount(keys, minlength=stems * _PERSONS).reshape(stems, _PERSONS)

    # -- results

    def changed_frames(self, other: Rows) -> NDArray[np.int32]:
        """``(C,)`` the frame of each row that differs from a copy, earlier or later: in what it holds, or in being."""
        size = min(self.size, other.size)
        rows = np.flatnonzero(self.alive[:size] | other.alive[:size])
        differs = (self.alive[rows] != other.alive[rows]) | (self.shown(rows) != other.shown(rows))
        for name in ("person", "side", "score", "origin"):
            differs |= getattr(self, name)[rows] != getattr(other, name)[rows]
        differs |= (self.boxes[rows] != other.boxes[rows]).any(axis=1)
        longer = self if self.size > size else other
        fresh = size + np.flatnonzero(longer.alive[size : longer.size])
        return np.concatenate([self.frame[rows[differs]], longer.frame[fresh]])

    def persons(self) -> dict[int, str | None]:
        """The person of each track."""
        stems, persons = np.nonzero(self._counts)
        found: dict[int, str | None] = {}
        for stem, code in zip(stems.tolist(), persons.tolist(), strict=True):
            track_id = int(self._shown[stem, code])
            found[track_id] = PERSONS[code - 1] if code else found.get(track_id)
        return found
