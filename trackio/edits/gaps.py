"""Where a track may be interpolated, and what that gives: a proposal to look at before it is done."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import EditError
from .operations import Interpolate
from .rows import Rows


@dataclass(frozen=True)
class Proposal:
    """What an interpolation would add.

    Attributes:
        track_id: The track.
        frame_index: ``(N,)`` int32 frames that would get a box, ascending.
        boxes_xyxy: ``(N, 4)`` float32 those boxes in pixels.
        gaps: First and last frame of each gap that would be filled.
        refused: Why other gaps in the range would not, one line each.
    """

    track_id: int
    frame_index: NDArray[np.int32]
    boxes_xyxy: NDArray[np.float32]
    gaps: tuple[tuple[int, int], ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Filling:
    """A gap, or the part of one that a range holds, and the rows around it.

    Attributes:
        before: Row before it.
        after: Row after it.
        frames: ``(N,)`` int32 missing frames.
        boxes: ``(N, 4)`` float32 boxes for them.
    """

    before: int
    after: int
    frames: NDArray[np.int32]
    boxes: NDArray[np.float32]


def propose(rows: Rows, wish: Interpolate) -> Proposal:
    """What ``wish`` would add to ``rows``, which stay as they are.

    Raises:
        EditError: There is no such track.
    """
    fillings, refused = fill(rows, wish)
    frames = [filling.frames for filling in fillings]
    boxes = [filling.boxes for filling in fillings]
    return Proposal(
        wish.track_id,
        np.concatenate([np.zeros(0, np.int32), *frames]),
        np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
        tuple((int(part[0]), int(part[-1])) for part in frames),
        refused,
    )


def fill(rows: Rows, wish: Interpolate) -> tuple[list[Filling], tuple[str, ...]]:
    """The gaps that may be filled, and why the others may not.

    Raises:
        EditError: There is no such track.
    """
    track = rows.track(wish.track_id)
    if len(track) == 0:
        raise EditError("interpolate: there is no such track", got=wish.track_id)
    frames = rows.frame[track]
    fillings, refused = [], []
    for place in np.flatnonzero(np.diff(frames) > 1):
        before, after = int(track[place]), int(track[place + 1])
        first, last = max(frames[place] + 1, wish.first_frame), min(frames[place + 1] - 1, wish.last_frame)
        if first > last:
            continue
        why = _why_not(rows, before, after, wish.max_seconds)
        if why:
            refused.append(f"frames {frames[place] + 1} to {frames[place + 1] - 1}: {why}")
            continue
        missing = np.arange(first, last + 1, dtype=np.int32)
        fillings.append(Filling(before, after, missing, between(rows, before, after, missing)))
    return fillings, tuple(refused)


def between(rows: Rows, before: int, after: int, frames: NDArray[np.int32]) -> NDArray[np.float32]:
    """``(N, 4)`` float32 boxes of ``frames (N,)`` between two rows, linear in time."""
    pts = rows.times.pts
    begin, end = pts[rows.frame[before]], pts[rows.frame[after]]
    # Damaged videos repeat time stamps; without any time between the rows the frames are even steps.
    clock = (pts[frames] - begin) / (end - begin) if end > begin else _steps(rows, before, after, frames)
    first, last = rows.boxes[before].astype(np.float64), rows.boxes[after].astype(np.float64)
    boxes: NDArray[np.float64] = first + (last - first) * clock[:, None]
    return boxes.astype(np.float32)


def _steps(rows: Rows, before: int, after: int, frames: NDArray[np.int32]) -> NDArray[np.float64]:
    begin, end = int(rows.frame[before]), int(rows.frame[after])
    return (frames.astype(np.float64) - begin) / (end - begin)


def _why_not(rows: Rows, before: int, after: int, max_seconds: float) -> str:
    times, first, last = rows.times, int(rows.frame[before]), int(rows.frame[after])
    if times.shot[first] != times.shot[last]:
        return "a cut lies between"
    seconds = times.seconds_of(last) - times.seconds_of(first)
    if seconds > max_seconds:
        return f"{seconds:.2f} s are longer than {max_seconds:g} s"
    person = int(rows.person[before])
    if person >= 0 and person == rows.person[after]:
        theirs = rows.find(first + 1, last - 1, person=person)
        if len(theirs):
            return f"its person has a box in frame {int(rows.frame[theirs].min())} already"
    return ""
