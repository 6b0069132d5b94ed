"""Moments where an identity could be wrong, so that review goes straight to them.

The probabilities are starting points from what each kind of moment means, to be calibrated on reviewed videos.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..trackio.metadata import Suspect
from .boxes import centres, expand, heights
from .chains import Chain
from .identity import OTHER, PERSONS, Identity
from .rows import Rows

CONTACT_EXPAND = 0.15  # boxes this much larger touch before the faces hide each other
JUMP_HEIGHTS = 1.0  # face heights between neighbouring detections, and
JUMP_SPEED = 6.0  # face heights per second on top
LONG_GAP_SECONDS = 0.5
CLEAR_MARGIN = 1.0  # log-odds; less is a doubtful assignment
P_CONTACT, P_CROSSING, P_JUMP, P_DUPLICATE = 0.15, 0.4, 0.3, 0.3
MERGE_SECONDS = 0.5  # contacts closer than this are one


class SuspectFinder:
    """Finds suspects in the rows of a video.

    Args:
        rows: All rows, gaps filled.
        pts: Of every frame by frame index.
        times_seconds: Of every frame by frame index.
        shot_of_frame: Shot of every frame by frame index.
    """

    def __init__(
        self,
        rows: Rows,
        pts: NDArray[np.int64],
        times_seconds: NDArray[np.float64],
        shot_of_frame: NDArray[np.int32],
    ):
        self._rows, self._pts, self._times, self._shots = rows, pts, times_seconds, shot_of_frame

    def find(self, chains: Sequence[Chain], identity: Identity) -> tuple[Suspect, ...]:
        """All suspects, in order of time."""
        found = [*self._contacts(), *self._duplicates(), *self._low_margins(chains, identity)]
        for person in range(len(PERSONS)):
            own = self._rows.of_person(person).take(~self._rows.of_person(person).interpolated)
            found += [*self._gaps(own, PERSONS[person]), *self._jumps(own, PERSONS[person])]
        return tuple(sorted(found, key=lambda s: (s.first_frame, s.last_frame, s.kind)))

    def _suspect(self, kind: str, first: int, last: int, probability: float, note: str) -> Suspect:
        return Suspect(
            kind, int(first), int(last), int(self._pts[first]), int(self._pts[last]), round(float(probability), 3), note
        )

    def _together(self) -> tuple[NDArray[np.int32], Rows, Rows]:
        a, b = self._rows.of_person(0), self._rows.of_person(1)
        frames, in_a, in_b = np.intersect1d(a.frame_index, b.frame_index, return_indices=True)
        return frames, a.take(in_a), b.take(in_b)

    def _runs(self, frames: NDArray[np.int32]) -> list[NDArray[np.intp]]:
        """Positions in ``frames`` of stretches without a cut or a longer pause."""
        if len(frames) == 0:
            return []
        breaks = (np.diff(self._times[frames]) > MERGE_SECONDS) | (np.diff(self._shots[frames]) != 0)
        return np.split(np.arange(len(frames)), np.flatnonzero(breaks) + 1)

    def _contacts(self) -> list[Suspect]:
        """The two main faces touch; a crossing if they have changed sides afterwards."""
        frames, a, b = self._together()
        if len(frames) == 0:
            return []
        touching = np.flatnonzero(_touch(a.boxes_xyxy, b.boxes_xyxy))
        order = np.sign(centres(b.boxes_xyxy)[:, 0] - centres(a.boxes_xyxy)[:, 0])
        found = []
        for run in self._runs(frames[touching]):
            first, last = touching[run[0]], touching[run[-1]]
            before, after = order[max(first - 1, 0)], order[min(last + 1, len(order) - 1)]
            crossed = before != after
            kind, probability = ("crossing", P_CROSSING) if crossed else ("contact", P_CONTACT)
            note = "A and B cross" if crossed else "the faces of A and B touch"
            found.append(self._suspect(kind, frames[first], frames[last], probability, note))
        return found

    def _duplicates(self) -> list[Suspect]:
        """Somebody else's face touches a main's: it may be the same face, or have taken its place."""
        others = self._rows.of_person(OTHER)
        found = []
        for person, name in enumerate(PERSONS):
            own = self._rows.of_person(person)
            at = np.searchsorted(own.frame_index, others.frame_index)
            at = np.minimum(at, max(len(own) - 1, 0))
            same = own.frame_index[at] == others.frame_index if len(own) else np.zeros(len(others), bool)
            near = np.flatnonzero(same)
            near = near[_touch(own.boxes_xyxy[at[near]], others.boxes_xyxy[near])]
            frames = np.unique(others.frame_index[near])
            for run in self._runs(frames):
                note = f"another face touches {name}"
                found.append(self._suspect("duplicate", frames[run[0]], frames[run[-1]], P_DUPLICATE, note))
        return found

    def _gaps(self, own: Rows, name: str) -> list[Suspect]:
        """A person is unseen for long within a shot: whoever comes back may be another."""
        found = []
        seconds = np.diff(self._times[own.frame_index])
        same_shot = np.diff(self._shots[own.frame_index]) == 0
        for i in np.flatnonzero((seconds > LONG_GAP_SECONDS) & same_shot):
            probability = 0.1 + 0.3 * min(1.0, seconds[i] / 5)
            note = f"{name} is unseen for {seconds[i]:.1f} s"
            found.append(self._suspect("gap", own.frame_index[i] + 1, own.frame_index[i + 1] - 1, probability, note))
        return found

    def _jumps(self, own: Rows, name: str) -> list[Suspect]:
        """A person is somewhere else in the next detection of the same shot."""
        middle, height = centres(own.boxes_xyxy), heights(own.boxes_xyxy)
        distance = np.linalg.norm(np.diff(middle, axis=0), axis=1) / np.minimum(height[1:], height[:-1])
        seconds = np.diff(self._times[own.frame_index])
        same_shot = np.diff(self._shots[own.frame_index]) == 0
        return [
            self._suspect(
                "jump",
                own.frame_index[i],
                own.frame_index[i + 1],
                P_JUMP,
                f"{name} moves {distance[i]:.1f} face heights at once",
            )
            for i in np.flatnonzero((distance > JUMP_HEIGHTS + JUMP_SPEED * seconds) & same_shot)
        ]

    def _low_margins(self, chains: Sequence[Chain], identity: Identity) -> list[Suspect]:
        """A chain that could nearly as well be the other person; ``cut`` where it begins its shot."""
        found = []
        for chain, person, margin in zip(chains, identity.person, identity.margin, strict=True):
            if person == OTHER or not margin < CLEAR_MARGIN:
                continue
            first, last = int(chain.frame_index[0]), int(chain.frame_index[-1])
            begins_shot = first > 0 and bool(self._shots[first - 1] != self._shots[first])
            note = f"{PERSONS[person]} by a margin of {margin:.2f}"
            probability = 1 / (1 + np.exp(max(float(margin), 0.0)))
            found.append(self._suspect("cut" if begins_shot else "low_margin", first, last, probability, note))
        return found


def _touch(a_xyxy: NDArray[np.float32], b_xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """``(N,)`` whether the enlarged boxes of each row overlap."""
    a, b = expand(a_xyxy, CONTACT_EXPAND), expand(b_xyxy, CONTACT_EXPAND)
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    return np.asarray((high > low).all(axis=1), np.bool_)
