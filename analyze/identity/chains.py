"""Joining the tracklets of a shot across short gaps by motion, where that is unambiguous.

The result, a chain, is what identity is decided for: a must-link of tracklets. A continuation counts as unambiguous
if no other one comes close, nobody else's face is near, and the faces themselves do not speak against it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..boxes import centres, expand, heights, intersections
from .appearance import pool, same_log_odds
from .tracklets import Tracklet

NEAR = 0.5  # face heights that a person may be off the prediction at once
DRIFT = 1.5  # face heights per second that a prediction may be off more, the longer nobody was seen
MAX_SIZE_RATIO = 1.6
CLEAR_MARGIN = 0.3  # a join is unambiguous if every other is worse by this share of what is allowed
VELOCITY_SECONDS = 0.4  # a velocity is believed for about this long
TURN_SECONDS = 0.05  # a change of velocity counts as much as being off by what it makes in this time
NEAR_EXPAND = 0.3  # boxes this much larger meet where one person may take the place of another
SLIP_FRAMES = 2  # a tracklet that has gone over to somebody else is noticed this late
UNLIKE = 0.0  # log-odds of the faces under which motion alone joins nothing


@dataclass(frozen=True)
class Chain:
    """Tracklets of one shot that are surely the same person, in order of time.

    Attributes:
        tracklets: At least one; they do not overlap in time.
    """

    tracklets: tuple[Tracklet, ...]

    @property
    def shot(self) -> int:
        """0-based shot."""
        return self.tracklets[0].shot

    @cached_property
    def frame_index(self) -> NDArray[np.int32]:
        """``(N,)`` int32 frames with a detection."""
        return np.concatenate([t.frame_index for t in self.tracklets])

    @cached_property
    def boxes_xyxy(self) -> NDArray[np.float32]:
        """``(N, 4)`` float32 boxes."""
        return np.concatenate([t.boxes_xyxy for t in self.tracklets])

    @cached_property
    def place(self) -> NDArray[np.float64]:
        """``(3,)`` median centre x, centre y and height, pixels."""
        return np.array([*np.median(centres(self.boxes_xyxy), axis=0), np.median(heights(self.boxes_xyxy))])

    @property
    def first_frame(self) -> int:
        """Frame of the first detection."""
        return int(self.tracklets[0].frame_index[0])

    @property
    def last_frame(self) -> int:
        """Frame of the last detection."""
        return int(self.tracklets[-1].frame_index[-1])

    @cached_property
    def faces(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``(E, dimension)`` float32 embeddings and ``(E,)`` float32 quality."""
        embedded = [t for t in self.tracklets if len(t.embedded)]
        if not embedded:
            return np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        return np.concatenate([t.embeddings for t in embedded]), np.concatenate([t.quality for t in embedded])

    def __len__(self) -> int:
        return len(self.frame_index)

    def overlaps(self, other: "Chain") -> bool:
        """Whether one is on screen while the other is, or between two sightings of it.

        A frame or two at the end of one and the start of the other do not count: that is how a change of tracks looks.
        """
        earlier, later = sorted((self, other), key=lambda c: (c.first_frame, c.last_frame))
        return not follows((earlier.first_frame, earlier.last_frame), (later.first_frame, later.last_frame))


def follows(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether somebody seen over the frames ``before``, first and last, may be the one seen over ``after``."""
    return after[0] > before[1] - SLIP_FRAMES and after[0] > before[0] and after[1] > before[1]


def link_chains(tracklets: Sequence[Tracklet], max_join_seconds: float) -> list[Chain]:
    """Join tracklets whose motion continues across a gap, unless two continuations compete.

    Args:
        tracklets: Of the whole video.
        max_join_seconds: Longest gap.
    """
    costs = _continuations(tracklets, max_join_seconds)
    costs = {pair: cost for pair, cost in costs.items() if not _is_unlike(*(tracklets[i] for i in pair))}
    alone = _Alone(tracklets)
    follower = {i: j for i, j in _clear_matches(costs).items() if alone.between(i, j)}
    heads = set(range(len(tracklets))) - set(follower.values())
    return [Chain(tuple(_follow(tracklets, follower, head))) for head in sorted(heads)]


def _continuations(tracklets: Sequence[Tracklet], max_join_seconds: float) -> dict[tuple[int, int], float]:
    """Cost of each possible direct continuation, by the positions of its two tracklets.

    A continuation that may go through a third tracklet in between is not direct and is left out.
    """
    order = sorted(range(len(tracklets)), key=lambda i: tracklets[i].start)
    starts = [tracklets[i].start for i in order]
    costs: dict[tuple[int, int], float] = {}
    for i in order:
        end = tracklets[i].end
        for j in order[bisect_right(starts, end) : bisect_right(starts, end + max_join_seconds)]:
            cost = gap_cost(tracklets[i], tracklets[j])
            if cost <= 1:
                costs[i, j] = cost
    after: dict[int, list[int]] = {}
    for i, j in costs:
        after.setdefault(i, []).append(j)
    indirect = {(i, j) for i, middles in after.items() for k in middles for j in after.get(k, ())}
    return {pair: cost for pair, cost in costs.items() if pair not in indirect}


def _clear_matches(costs: dict[tuple[int, int], float]) -> dict[int, int]:
    """The continuations that no rival at either end comes close to, from tracklet to follower."""
    at_end: dict[tuple[str, int], list[float]] = {}
    for (before, after), cost in costs.items():
        at_end.setdefault(("before", before), []).append(cost)
        at_end.setdefault(("after", after), []).append(cost)

    def is_clear(end: tuple[str, int], cost: float) -> bool:
        best, *rivals = sorted(at_end[end])
        return cost == best and (not rivals or rivals[0] >= cost + CLEAR_MARGIN)

    return {
        before: after
        for (before, after), cost in costs.items()
        if is_clear(("before", before), cost) and is_clear(("after", after), cost)
    }


def _follow(tracklets: Sequence[Tracklet], follower: dict[int, int], head: int) -> list[Tracklet]:
    chain, at = [tracklets[head]], head
    while at in follower:
        at = follower[at]
        chain.append(tracklets[at])
    return chain


def _is_unlike(before: Tracklet, after: Tracklet) -> bool:
    faces = pool([(before.embeddings, before.quality), (after.embeddings, after.quality)])
    return bool(same_log_odds(faces, faces)[0, 1] < UNLIKE)


class _Alone:
    """Tells whether nobody else was near where a person was lost and found."""

    def __init__(self, tracklets: Sequence[Tracklet]):
        self._tracklets = tracklets
        self._starts = np.array([t.start for t in tracklets])
        self._ends = np.array([t.end for t in tracklets])

    def between(self, i: int, j: int) -> bool:
        """No third face comes near the last box of ``i`` or the first of ``j`` around the gap."""
        before, after = self._tracklets[i], self._tracklets[j]
        low, high = before.end - VELOCITY_SECONDS, after.start + VELOCITY_SECONDS
        places = expand(np.stack([before.boxes_xyxy[-1], after.boxes_xyxy[0]]), NEAR_EXPAND)
        for k in np.flatnonzero((self._starts <= high) & (self._ends >= low)).tolist():
            third = self._tracklets[k]
            if k in (i, j) or third.shot != before.shot:
                continue
            during = (third.times_seconds >= low) & (third.times_seconds <= high)
            if (intersections(expand(third.boxes_xyxy[during], NEAR_EXPAND), places) > 0).any():
                return False
        return True


def gap_cost(before: Tracklet, after: Tracklet) -> float:
    """How far off ``after`` begins, as a share of what is allowed; infinite where it cannot be the same person."""
    if before.shot != after.shot:
        return np.inf
    gap = after.start - before.end
    lost, found = before.tail, after.head
    if max(lost.height, found.height) > MAX_SIZE_RATIO * min(lost.height, found.height):
        return np.inf
    reach = VELOCITY_SECONDS * (1 - np.exp(-gap / VELOCITY_SECONDS))
    forward = lost.centre + lost.velocity * reach - found.centre
    backward = found.centre - found.velocity * reach - lost.centre
    off = min(np.linalg.norm(forward), np.linalg.norm(backward), np.linalg.norm(found.centre - lost.centre))
    off += TURN_SECONDS * np.linalg.norm(found.velocity - lost.velocity)
    return float(off / ((lost.height + found.height) / 2) / (NEAR + DRIFT * gap))
