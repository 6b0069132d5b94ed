"""The decision card of a suspect: both people before and after, and what a swap would exchange."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..edits.exchanges import STAKE
from ..edits.times import FrameTimes
from ..metadata import Suspect, TrackMetadata
from ..schema import DETECTED, INTERPOLATED, ORIGINS, PERSONS
from .columns import Columns, Index
from .queue import key_of

# Kinds whose frames are those of the doubtful track itself, not those of a moment that it goes through.
OF_TRACK = ("cut", "low_margin")
GOOD_SECONDS = 1.0  # the face is shown at its best within this time of the suspect, or where it is nearest

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Sighting:
    """A face that stands for a person.

    Attributes:
        frame: The frame.
        box_xyxy: To a tenth of a pixel, displayed.
    """

    frame: int
    box_xyxy: Box

    def as_dict(self) -> dict[str, Any]:
        """The sighting as a JSON object."""
        return {"frame": self.frame, "box": list(self.box_xyxy)}


@dataclass(frozen=True)
class Card:
    """What a reviewer needs to decide a suspect.

    Attributes:
        suspect: The suspect.
        before: By person, the face before the doubtful moment; None if it is not seen.
        after: By person, the face after it.
        choices: What a swap might exchange: first frame, last frame, and until what in words; the likeliest first.
    """

    suspect: Suspect
    before: dict[str, Sighting | None]
    after: dict[str, Sighting | None]
    choices: tuple[tuple[int, int, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """The card as a JSON object."""
        choices = [{"first_frame": first, "last_frame": last, "until": until} for first, last, until in self.choices]
        kept = {name: [_frame(self.before[name]), _frame(self.after[name])] for name in self.before}
        return {
            "key": key_of(self.suspect), "before": _moment(self.before), "after": _moment(self.after), "kept": kept,
            "swap": choices[0], "choices": choices, "text": self.suspect.note,
        }  # fmt: skip

    def looks(self) -> list[tuple[int, tuple[Box, ...]]]:
        """The frames that the card shows, each with the faces in it; the suspect's first frame comes first."""
        found: dict[int, list[Box]] = {self.suspect.first_frame: []}
        for sighting in (*self.before.values(), *self.after.values()):
            if sighting is not None:
                found.setdefault(sighting.frame, []).append(sighting.box_xyxy)
        return [(frame, tuple(boxes)) for frame, boxes in found.items()]


def card(suspect: Suspect, columns: Columns, metadata: TrackMetadata, times: FrameTimes) -> Card:
    """The card of a suspect.

    A swap begins where the tracks of the two change at the doubtful moment, or, if they go through it, where the faces
    are nearest; it lasts as long as these tracks: names are decided by the track, so one mistake makes all of it wrong.
    Where the rows show an exchange, and a later one, it lasts until that.
    """
    return _Cards(suspect, columns, metadata, times).card()


class _Cards:
    def __init__(self, suspect: Suspect, columns: Columns, metadata: TrackMetadata, times: FrameTimes):
        self._suspect, self._columns, self._times = suspect, columns, times
        self._others = metadata.suspects
        self._persons = [PERSONS.index(name) for name in metadata.persons if name in PERSONS]
        self._span = suspect.first_frame, suspect.last_frame

    def card(self) -> Card:
        pair, (first, last) = self._pair(), self._span
        if self._suspect.kind in OF_TRACK:
            before = {PERSONS[code]: self._outside(code) for code in pair}
            after = {PERSONS[code]: self._best(code, first, last, nearest=first) for code in pair}
            start, end, until = first, last, "the end of the doubtful track"
        else:
            start = self._start(pair)
            before = {PERSONS[code]: self._best(code, 0, first - 1, nearest=first) for code in pair}
            after = {PERSONS[code]: self._best(code, last + 1, self._times.last_frame, nearest=last) for code in pair}
            end, until = self._end(pair, start), "the end of the tracks"
        following = self._next_exchange()
        choices = {} if following is None else {following: "the next exchange"}
        choices.setdefault(end, until)
        choices.setdefault(self._times.next_cut(start), "the next cut")
        choices.setdefault(self._times.last_frame, "the end of the video")
        return Card(self._suspect, before, after, tuple((start, *choice) for choice in choices.items()))

    def _next_exchange(self) -> int | None:
        """Where the names may pass back, if it is an exchange that the rows show: the last frame before that."""
        if STAKE not in self._suspect.evidence:
            return None
        later = [
            item for item in self._others if STAKE in item.evidence and item.first_frame > self._suspect.first_frame
        ]
        return min((item.first_frame for item in later), default=None)

    def _pair(self) -> list[int]:
        """The two persons whom it concerns: of more than two, those nearest to each other at that moment."""
        if len(self._persons) <= 2:
            return self._persons
        middle, centres = sum(self._span) // 2, self._columns.centres
        rows = {code: self._nearest(self._columns.of_person(code), middle) for code in self._persons}
        places = [(code, centres[row]) for code, row in rows.items() if row is not None]
        apart = [(float(np.hypot(*(a - b))), [one, other]) for (one, a), (other, b) in combinations(places, 2)]
        return min(apart)[1] if apart else self._persons[:2]

    def _nearest(self, rows: Index, frame: int) -> int | None:
        if len(rows) == 0:
            return None
        return int(rows[np.abs(self._columns.frame[rows] - frame).argmin()])

    def _within(self, code: int, first: int, last: int) -> Index:
        """The rows of a person in a range."""
        rows = self._columns.of_person(code)
        start, end = np.searchsorted(self._columns.frame[rows], [first, last + 1])
        return rows[start:end]

    def _best(self, code: int, first: int, last: int, nearest: int) -> Sighting | None:
        """A person's best face in a range: of those seen shortly before or after ``nearest``, or the nearest one."""
        rows = self._within(code, first, last)
        seen = rows[self._columns.origin[rows] != ORIGINS.index(INTERPOLATED)]
        rows = seen if len(seen) else rows
        if len(rows) == 0:
            return None
        pts, moment = self._times.pts, min(max(nearest, 0), self._times.last_frame)
        distance = np.abs(pts[self._columns.frame[rows]] - pts[moment]) * float(self._times.video.time_base)
        close = rows[distance <= GOOD_SECONDS]
        close = close[self._columns.origin[close] == ORIGINS.index(DETECTED)]
        row = int(close[self._columns.score[close].argmax()]) if len(close) else int(rows[distance.argmin()])
        x1, y1, x2, y2 = (round(value, 1) for value in self._columns.boxes_xyxy[row].tolist())
        return Sighting(int(self._columns.frame[row]), (x1, y1, x2, y2))

    def _outside(self, code: int) -> Sighting | None:
        """A person's face before a doubtful track, or else after it."""
        first, last = self._span
        found = self._best(code, 0, first - 1, nearest=first)
        return found or self._best(code, last + 1, self._times.last_frame, nearest=last)

    def _start(self, pair: list[int]) -> int:
        """Where a swap would begin."""
        changes = [change for code in pair if (change := self._change(code)) is not None]
        if changes:
            return min(changes)
        first, last = self._span
        if self._suspect.kind in ("gap", "jump"):
            return min(last + (self._suspect.kind == "gap"), self._times.last_frame)
        return self._closest(pair) if len(pair) == 2 else first

    def _change(self, code: int) -> int | None:
        """The first frame in which a person has another track than before the moment."""
        rows = self._columns.of_person(code)
        frames = self._columns.frame[rows]
        start, end = np.searchsorted(frames, [self._span[0], self._span[1] + 1])
        around = rows[max(start - 1, 0) : end + 1]
        shots = self._times.shot[self._columns.frame[around]]  # every cut ends the tracks: that tells nothing
        around = around[(shots >= self._times.shot[self._span[0]]) & (shots <= self._times.shot[self._span[1]])]
        changes = np.flatnonzero(np.diff(self._columns.track[around]) != 0)
        return int(self._columns.frame[around[changes[0] + 1]]) if len(changes) else None

    def _closest(self, pair: list[int]) -> int:
        """The frame in which the two faces are nearest to each other."""
        one, other = (self._within(code, *self._span) for code in pair)
        frames, a, b = np.intersect1d(self._columns.frame[one], self._columns.frame[other], return_indices=True)
        if len(frames) == 0:
            return self._span[0]
        apart = np.linalg.norm(self._columns.centres[one[a]] - self._columns.centres[other[b]], axis=1)
        return int(frames[apart.argmin()])

    def _end(self, pair: list[int], start: int) -> int:
        """The last frame of the tracks that begin at the moment; of those that go through it, if none begins."""
        going: list[int] = []
        begun: list[int] = []
        for code in pair:
            rows = self._columns.of_person(code)
            place = int(np.searchsorted(self._columns.frame[rows], start))
            if place < len(rows):
                first, last = self._columns.track_ends[int(self._columns.track[rows[place]])]
                if first < start:
                    going.append(last)
                elif first <= max(start, self._span[1] + 1):
                    begun.append(last)
        return max([start, *(begun or going)])


def _frame(sighting: Sighting | None) -> int | None:
    return None if sighting is None else sighting.frame


def _moment(faces: dict[str, Sighting | None]) -> dict[str, Any]:
    """``frame`` is that of the first face that is seen; each face has its own."""
    seen = [face.frame for face in faces.values() if face is not None]
    return {
        "frame": seen[0] if seen else None,
        **{name: face and face.as_dict() for name, face in faces.items()},
    }
