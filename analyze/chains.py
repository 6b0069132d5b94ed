"""Joining the tracklets of a shot across short gaps by motion alone, where that is unambiguous.

The result, a chain, is what identity is decided for: a must-link of tracklets.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .boxes import centres, heights
from .tracklets import Tracklet

NEAR = 0.5  # face heights that a person may be off the prediction at once
DRIFT = 1.5  # face heights per second that a prediction may be off more, the longer nobody was seen
MAX_SIZE_RATIO = 1.6
CLEAR_MARGIN = 0.3  # a join is unambiguous if every other is worse by this share of what is allowed
VELOCITY_SECONDS = 0.4  # a velocity is believed for about this long


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

    def __len__(self) -> int:
        return len(self.frame_index)

    def overlaps(self, other: "Chain") -> bool:
        """Whether both are on screen in some frame, or one appears within a gap of the other."""
        first, last = max(self.frame_index[0], other.frame_index[0]), min(self.frame_index[-1], other.frame_index[-1])
        return bool(first <= last) and bool(
            np.intersect1d(self.frame_index, other.frame_index, assume_unique=True).size
        )


def link_chains(tracklets: Sequence[Tracklet], max_join_seconds: float) -> list[Chain]:
    """Join tracklets whose motion continues across a gap, unless two continuations compete.

    Args:
        tracklets: Of the whole video.
        max_join_seconds: Longest gap.
    """
    costs = _continuations(tracklets, max_join_seconds)
    follower = _clear_matches(costs)
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
            cost = _gap_cost(tracklets[i], tracklets[j])
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


def _gap_cost(before: Tracklet, after: Tracklet) -> float:
    """How far off ``after`` begins, as a share of what is allowed; infinite where it cannot be the same person."""
    if before.shot != after.shot:
        return np.inf
    gap = after.start - before.end
    from_height, to_height = heights(before.boxes_xyxy[-5:]).mean(), heights(after.boxes_xyxy[:5]).mean()
    if max(from_height, to_height) > MAX_SIZE_RATIO * min(from_height, to_height):
        return np.inf
    (left_at, left_velocity), (back_at, back_velocity) = before.motion_at(after.start), after.motion_at(before.end)
    reach = VELOCITY_SECONDS * (1 - np.exp(-gap / VELOCITY_SECONDS))
    forward = left_at + left_velocity * reach - back_at
    backward = back_at - back_velocity * reach - left_at
    off = min(np.linalg.norm(forward), np.linalg.norm(backward), np.linalg.norm(back_at - left_at))
    return float(off / ((from_height + to_height) / 2) / (NEAR + DRIFT * gap))
