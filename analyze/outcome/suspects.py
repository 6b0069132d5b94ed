"""Moments where an identity could be wrong, so that review goes straight to them.

A probability comes from the margin by which the assignment was decided around the moment, or, where one unbroken track
goes through it, from what its kind means; both are starting points, to be calibrated on reviewed videos. What it was
taken from is in the suspect's evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...trackio.metadata import Suspect
from ..boxes import centres, expand, heights
from ..identity.chains import Chain
from ..identity.persons import OTHER, PERSONS, Identity
from .rows import Rows

CONTACT_EXPAND = 0.15  # boxes this much larger touch before the faces hide each other
JUMP_HEIGHTS = 1.0  # face heights between neighbouring detections, and
JUMP_SPEED = 6.0  # face heights per second on top
LONG_GAP_SECONDS = 0.5
CLEAR_MARGIN = 1.0  # log-odds; less is a doubtful assignment
HELD = {"contact": 0.05, "crossing": 0.1, "gap": 0.1, "jump": 0.15, "duplicate": 0.1}  # through one unbroken track
CLEAR_BLIND_MARGIN = 5.0  # the same where no face could be compared: places tell little across cuts
TEMPER = 2.0  # log-odds are divided by this: cues are not quite independent
LEAST, MOST = 0.01, 0.95
MERGE_SECONDS = 0.5  # contacts closer than this are one
STABLE_SECONDS = 1.0  # around a moment, in which the stability of the tracks is looked at


@dataclass(frozen=True)
class Timeline:
    """The F frames of a video.

    Attributes:
        pts: ``(F,)`` int64 time stamps.
        times_seconds: ``(F,)`` float64 from the first frame.
        shot_of_frame: ``(F,)`` int32.
    """

    pts: NDArray[np.int64]
    times_seconds: NDArray[np.float64]
    shot_of_frame: NDArray[np.int32]


class SuspectFinder:
    """Finds suspects in the rows of a video.

    Args:
        rows: All rows, gaps filled.
        timeline: Of the video.
        chains: The tracks of the rows.
        identity: Who the chains are.
    """

    def __init__(
        self,
        rows: Rows,
        timeline: "Timeline",
        chains: Sequence[Chain],
        identity: Identity,
    ):
        self._rows, self._line, self._chains, self._identity = rows, timeline, chains, identity
        self._own = [rows.of_person(p).take(~rows.of_person(p).interpolated) for p in range(identity.num_persons)]

    def find(self) -> tuple[Suspect, ...]:
        """All suspects, in order of time."""
        found = [*self._duplicates(), *self._low_margins()]
        for pair in combinations(range(len(self._own)), 2):
            found += self._contacts(*pair)
        for person in range(len(self._own)):
            found += [*self._gaps(person), *self._jumps(person)]
        return tuple(sorted(found, key=lambda s: (s.first_frame, s.last_frame, s.kind)))

    def _suspect(self, kind: str, span: tuple[int, int], note: str, persons: Sequence[int], **facts: float) -> Suspect:
        """A suspect over frames ``span``, weighed by how ``persons`` were decided around it."""
        margin, tracks, unbroken = np.inf, set[int](), True
        for person in persons:
            before, after = self._tracks_around(person, *span)
            tracks |= {before, after} - {-1}
            if before != after:
                unbroken = False
                margin = min([margin, *(float(self._identity.margin[t]) for t in (before, after) if t >= 0)])
        evidence = dict(facts)
        if np.isfinite(margin):
            evidence["margin"] = margin
            probability = 1 / (1 + np.exp(max(margin, 0.0) / TEMPER))
        else:
            probability = HELD[kind] if unbroken else LEAST
        evidence.update(self._faces_around(tracks, persons), stability=self._stability(tracks, *span))
        return self._made(kind, span, probability, note, evidence)

    def _made(
        self, kind: str, span: tuple[int, int], probability: float, note: str, evidence: dict[str, float]
    ) -> Suspect:
        first, last = (int(f) for f in span)
        probability = round(float(np.clip(probability, LEAST, MOST)), 3)
        facts = {name: round(float(value), 3) for name, value in evidence.items()}
        pts = self._line.pts
        return Suspect(kind, first, last, int(pts[first]), int(pts[last]), probability, note, facts)

    def _tracks_around(self, person: int, first: int, last: int) -> tuple[int, int]:
        """Track of ``person`` at its last detection up to ``first``, and its first from ``last`` on; -1 for none."""
        own = self._own[person]
        before, after = (
            int(np.searchsorted(own.frame_index, first, "right")) - 1,
            int(np.searchsorted(own.frame_index, last)),
        )
        return int(own.track[before]) if before >= 0 else -1, int(own.track[after]) if after < len(own) else -1

    def _faces_around(self, tracks: set[int], persons: Sequence[int]) -> dict[str, float]:
        """Distances of the faces of ``tracks`` from the persons': the worst of the right, the best of the wrong."""
        kept: list[float] = []
        swapped: list[float] = []
        for track in tracks:
            distances, own = self._identity.distances[track], int(self._identity.person[track])
            for person in persons if len(persons) > 1 else range(len(distances)):
                if np.isfinite(distances[person]):
                    (kept if person == own else swapped).append(float(distances[person]))
        facts = {}
        if kept and swapped:
            facts = {"distance_kept": max(kept), "distance_swapped": min(swapped)}
        return facts

    def _stability(self, tracks: set[int], first: int, last: int) -> float:
        """Least share of confident frames of ``tracks`` around the moment."""
        times = self._line.times_seconds
        low, high = times[int(first)] - STABLE_SECONDS, times[int(last)] + STABLE_SECONDS
        least = 1.0
        for track in tracks:
            for tracklet in self._chains[track].tracklets:
                near = (tracklet.times_seconds >= low) & (tracklet.times_seconds <= high)
                least = min(least, float(tracklet.stability[near].min(initial=1.0)))
        return least

    def _runs(self, frames: NDArray[np.int32]) -> list[NDArray[np.intp]]:
        """Positions in ``frames`` of stretches without a cut or a longer pause."""
        if len(frames) == 0:
            return []
        line = self._line
        breaks = (np.diff(line.times_seconds[frames]) > MERGE_SECONDS) | (np.diff(line.shot_of_frame[frames]) != 0)
        return np.split(np.arange(len(frames)), np.flatnonzero(breaks) + 1)

    def _contacts(self, p: int, q: int) -> list[Suspect]:
        """The faces of two mains touch; a crossing if they have changed sides afterwards."""
        a, b = self._rows.of_person(p), self._rows.of_person(q)
        frames, in_a, in_b = np.intersect1d(a.frame_index, b.frame_index, return_indices=True)
        if len(frames) == 0:
            return []
        a, b = a.take(in_a), b.take(in_b)
        touching = np.flatnonzero(_touch(a.boxes_xyxy, b.boxes_xyxy))
        order = np.sign(centres(b.boxes_xyxy)[:, 0] - centres(a.boxes_xyxy)[:, 0])
        found = []
        for run in self._runs(frames[touching]):
            first, last = touching[run[0]], touching[run[-1]]
            crossed = order[max(first - 1, 0)] != order[min(last + 1, len(order) - 1)]
            names = f"{PERSONS[p]} and {PERSONS[q]}"
            kind, note = ("crossing", f"{names} cross") if crossed else ("contact", f"the faces of {names} touch")
            found.append(self._suspect(kind, (frames[first], frames[last]), note, (p, q)))
        return found

    def _duplicates(self) -> list[Suspect]:
        """Somebody else's face touches a main's: it may be the same face, or have taken its place."""
        others = self._rows.of_person(OTHER)
        found = []
        for person in range(len(self._own)):
            own = self._rows.of_person(person)
            at = np.searchsorted(own.frame_index, others.frame_index)
            at = np.minimum(at, max(len(own) - 1, 0))
            same = own.frame_index[at] == others.frame_index if len(own) else np.zeros(len(others), bool)
            near = np.flatnonzero(same)
            near = near[_touch(own.boxes_xyxy[at[near]], others.boxes_xyxy[near])]
            frames = np.unique(others.frame_index[near])
            for run in self._runs(frames):
                note = f"another face touches {PERSONS[person]}"
                found.append(self._suspect("duplicate", (frames[run[0]], frames[run[-1]]), note, (person,)))
        return found

    def _gaps(self, person: int) -> list[Suspect]:
        """A person is unseen for long within a shot: whoever comes back may be another."""
        frames, line = self._own[person].frame_index, self._line
        seconds = np.diff(line.times_seconds[frames])
        same_shot = np.diff(line.shot_of_frame[frames]) == 0
        found = []
        for i in np.flatnonzero((seconds > LONG_GAP_SECONDS) & same_shot):
            note = f"{PERSONS[person]} is unseen for {seconds[i]:.1f} s"
            span = (frames[i] + 1, frames[i + 1] - 1)
            found.append(self._suspect("gap", span, note, (person,), seconds=float(seconds[i])))
        return found

    def _jumps(self, person: int) -> list[Suspect]:
        """A person is somewhere else in the next detection of the same shot."""
        own, line = self._own[person], self._line
        middle, height = centres(own.boxes_xyxy), heights(own.boxes_xyxy)
        distance = np.linalg.norm(np.diff(middle, axis=0), axis=1) / np.minimum(height[1:], height[:-1])
        seconds = np.diff(line.times_seconds[own.frame_index])
        same_shot = np.diff(line.shot_of_frame[own.frame_index]) == 0
        found = []
        for i in np.flatnonzero((distance > JUMP_HEIGHTS + JUMP_SPEED * seconds) & same_shot):
            note = f"{PERSONS[person]} moves {distance[i]:.1f} face heights at once"
            span = (own.frame_index[i], own.frame_index[i + 1])
            found.append(self._suspect("jump", span, note, (person,), heights=float(distance[i])))
        return found

    def _low_margins(self) -> list[Suspect]:
        """A track that could nearly as well be another main person; ``cut`` where it begins its shot."""
        identity, shots = self._identity, self._line.shot_of_frame
        blind = np.asarray(np.isnan(identity.distances).all(axis=1), np.bool_)
        found = []
        for track in np.flatnonzero(identity.margin < CLEAR_BLIND_MARGIN).tolist():
            chain, margin = self._chains[track], float(identity.margin[track])
            first, last = chain.first_frame, chain.last_frame
            begins_shot = first > 0 and bool(shots[first - 1] != shots[first])
            if margin >= CLEAR_MARGIN and not (blind[track] and begins_shot):
                continue
            person, rival = int(identity.person[track]), PERSONS[identity.rival[track]]
            note = f"{PERSONS[person]} rather than {rival} by a margin of {margin:.2f}"
            if person == OTHER:
                note = f"a main person, perhaps {rival}, but not clear who: margin {margin:.2f}"
            evidence = {"margin": margin, "stability": self._stability({int(track)}, first, last)}
            distances = identity.distances[track]
            evidence |= {f"distance_{PERSONS[p]}": float(d) for p, d in enumerate(distances) if np.isfinite(d)}
            probability = 1 / (1 + np.exp(max(margin, 0.0) / TEMPER))
            found.append(self._made("cut" if begins_shot else "low_margin", (first, last), probability, note, evidence))
        return found


def _touch(a_xyxy: NDArray[np.float32], b_xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """``(N,)`` whether the enlarged boxes of each row overlap."""
    a, b = expand(a_xyxy, CONTACT_EXPAND), expand(b_xyxy, CONTACT_EXPAND)
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    return np.asarray((high > low).all(axis=1), np.bool_)
