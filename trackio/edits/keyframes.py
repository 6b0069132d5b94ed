"""What follows when a box is moved: a moved box is a keyframe, as in annotation tools."""

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import EditError
from ..schema import INTERPOLATED, MANUAL, ORIGINS
from .gaps import between
from .rows import Index, Rows

_INTERPOLATED, _MANUAL = ORIGINS.index(INTERPOLATED), ORIGINS.index(MANUAL)


def check_boxes(rows: Rows, boxes: NDArray[np.float32], frames: NDArray[np.int32]) -> None:
    """Make sure that boxes have a size and lie in or near the picture, by the rule of the profile.

    Raises:
        EditError: One does not.
    """
    video = rows.times.video
    sizes, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    extent = np.array([video.width, video.height])
    right = ((sizes > 0) & (centres >= -sizes) & (centres <= extent + sizes)).all(axis=1)
    if not right.all():
        wrong = int(np.flatnonzero(~right)[0])
        raise EditError(
            f"box in frame {frames[wrong]}", frames=frames[~right].tolist(), got=boxes[wrong].tolist(),
            expected=f"a box with a size in or near the picture of {video.width}x{video.height}",
        )  # fmt: skip


def move_keyframe(rows: Rows, track: Index, row: int, box: tuple[float, ...], blend_seconds: float) -> None:
    """Give a row another box, and let the rows follow that depend on it.

    Args:
        rows: The rows.
        track: Those of the row's track, in order of frames.
        row: The row.
        box: Its new box.
        blend_seconds: How far the correction reaches among rows that are not interpolated.

    Raises:
        EditError: A row that follows would have no size, or leave the picture.
    """
    place = int(np.flatnonzero(track == row)[0])
    shift = np.array(box, np.float32) - rows.boxes[row]
    rows.set_manual(track[place : place + 1], np.array([box], np.float32))
    if blend_seconds:
        _blend(rows, track, place, shift, blend_seconds)
    for first, last in _interpolated_runs(rows, track, place):
        inner = track[first + 1 : last]
        boxes = between(rows, int(track[first]), int(track[last]), rows.frame[inner])
        rows.move(inner, boxes)


def _blend(rows: Rows, track: Index, place: int, shift: NDArray[np.float32], blend_seconds: float) -> None:
    """Shift the rows around ``place`` by less and less, on each side up to ``blend_seconds`` or the next keyframe."""
    times = rows.times
    frames = rows.frame[track]
    seconds = times.video.seconds_array(times.pts[frames])
    distance = np.abs(seconds - seconds[place])
    reach = np.full(len(track), blend_seconds)
    places = np.arange(len(track))
    manual = places[(rows.origin[track] == _MANUAL) & (places != place)]
    for side, nearest in ((places < place, manual[manual < place][-1:]), (places > place, manual[manual > place][:1])):
        if len(nearest):
            reach[side] = np.minimum(blend_seconds, distance[nearest[0]])
    weight = np.zeros(len(track))
    near = (places != place) & (distance < reach) & (times.shot[frames] == times.shot[frames[place]])
    weight[near] = 1 - distance[near] / reach[near]
    moved = track[near]
    boxes = rows.boxes[moved] + shift * weight[near, None].astype(np.float32)
    check_boxes(rows, boxes, rows.frame[moved])
    rows.move(moved, boxes)


def _interpolated_runs(rows: Rows, track: Index, place: int) -> list[tuple[int, int]]:
    """The places around each run of interpolated rows beside ``place`` that ends, in its shot, at a row that is not."""
    frames, shot, origin = rows.frame[track], rows.times.shot, rows.origin[track]
    found = []
    for step in (-1, 1):
        end = place + step
        while (
            0 <= end < len(track) and abs(int(frames[end] - frames[end - step])) == 1 and origin[end] == _INTERPOLATED
        ):
            end += step
        ends_well = 0 <= end < len(track) and abs(int(frames[end] - frames[place])) == abs(end - place) > 1
        if ends_well and shot[frames[end]] == shot[frames[place]]:
            found.append((min(place, end), max(place, end)))
    return found
