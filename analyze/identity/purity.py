"""Splitting tracklets that may hold two people: at jumps and gaps, and where the face becomes another one.

A fragment costs nothing, because identity is decided over the whole video afterwards; a mixture would be wrong
whatever is decided for it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..boxes import centres, heights
from .appearance import pool, squared_distances
from .tracklets import Tracklet

JUMP_HEIGHTS = 0.75  # face heights between neighbouring detections, and
JUMP_SPEED = 8.0  # face heights per second on top: nobody moves so fast
GAP_SECONDS = 0.1  # unseen for longer: whoever comes back is joined later, if that is unambiguous
CHANGED = 0.75  # distance, in same-person distances, of the faces before and after from which they are parted
LEAST_QUALITY = 0.5  # summed over the faces on a side: a single half-hidden face parts nothing
BOTH_SIDES = 3  # samples on each side of a change that are compared: near ones, as pose and light drift


def pure(tracklets: Sequence[Tracklet], doubtful_frames: NDArray[np.integer]) -> list[Tracklet]:
    """Split ``tracklets`` wherever somebody else may be followed from then on.

    Args:
        tracklets: Of the whole video.
        doubtful_frames: Frames at which the picture may have changed to another one, ascending.
    """
    parts = [part for whole in tracklets for part in whole.split(_breaks(whole, doubtful_frames))]
    return [part for whole in parts for part in whole.split(_changes(whole))]


def _breaks(tracklet: Tracklet, doubtful_frames: NDArray[np.integer]) -> list[int]:
    """Positions of the first detections after a jump or a gap, or from a doubtful frame on."""
    far = step_heights(tracklet) > JUMP_HEIGHTS + JUMP_SPEED * np.diff(tracklet.times_seconds)
    number = np.searchsorted(doubtful_frames, tracklet.frame_index, side="right")
    lost = (np.diff(tracklet.times_seconds) > GAP_SECONDS) & (np.diff(tracklet.frame_index) > 1)
    return [int(i) + 1 for i in np.flatnonzero(far | lost | (np.diff(number) > 0))]


def step_heights(tracklet: Tracklet) -> NDArray[np.float64]:
    """``(N - 1,)`` distances between neighbouring detections in face heights."""
    moved = np.linalg.norm(np.diff(centres(tracklet.boxes_xyxy), axis=0), axis=1)
    tall = heights(tracklet.boxes_xyxy)
    return np.asarray(moved / np.maximum(np.minimum(tall[1:], tall[:-1]), 1.0), np.float64)


def _changes(tracklet: Tracklet) -> list[int]:
    """Positions at which the face becomes another one: between two embedded ones, where the box is least steady."""
    found: list[int] = []
    first = 0
    for k in range(1, len(tracklet.embedded)):
        before = slice(max(first, k - BOTH_SIDES), k)
        after = slice(k, k + BOTH_SIDES)
        sides = pool([(tracklet.embeddings[s], tracklet.quality[s]) for s in (before, after)])
        if sides.weight.min() < LEAST_QUALITY:
            continue
        if np.sqrt(squared_distances(sides, sides)[0, 1]) > CHANGED and _is_sharpest(tracklet, first, k):
            found.append(_least_steady(tracklet, int(tracklet.embedded[k - 1]), int(tracklet.embedded[k])))
            first = k
    return found


def _is_sharpest(tracklet: Tracklet, first: int, k: int) -> bool:
    """Whether no cut between the samples next to ``k`` parts the faces more clearly."""

    def gap(at: int) -> float:
        before, after = slice(max(first, at - BOTH_SIDES), at), slice(at, at + BOTH_SIDES)
        sides = pool([(tracklet.embeddings[s], tracklet.quality[s]) for s in (before, after)])
        return float(squared_distances(sides, sides)[0, 1])

    here = gap(k)
    around = range(max(first + 1, k - BOTH_SIDES + 1), min(len(tracklet.embedded), k + BOTH_SIDES))
    return all(here >= gap(at) for at in around if at != k)


def _least_steady(tracklet: Tracklet, first: int, last: int) -> int:
    """The position after ``first``, up to ``last``, at which the box moves or changes most, by the time between."""
    own = slice(first, last + 1)
    steps = step_heights(tracklet)[first:last] + np.abs(
        np.diff(np.log(np.maximum(heights(tracklet.boxes_xyxy[own]), 1)))
    )
    gaps = np.diff(tracklet.times_seconds[own])
    return first + 1 + int(np.argmax(steps + gaps))
