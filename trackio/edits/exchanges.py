"""Moments at which the rows themselves show that a name passes from one face to another.

Whatever made the tracks, and whatever it lists as doubtful: where from one frame to the next, within a shot, a person's
box lies where another's was, and not where its own was, the two may have been exchanged.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from ..columns import boxes_xyxy, codes, numbers
from ..files import TrackFile
from ..metadata import Suspect
from ..schema import PERSONS
from .times import FrameTimes

STAKE = "stake_seconds"
MAX_GAP_SECONDS = 0.5  # between the two sightings: afterwards somebody may have taken another's place
TAKEN_OVER, LEFT = 0.4, 0.2  # IoU with the other's box before, at least, and with the own one, at most
PROBABILITY = 0.95  # faces do not jump into each other's places; a cut that was not found is what else it can be


def with_exchanges(track_file: TrackFile) -> TrackFile:
    """The tracks with a suspect of the kind ``jump`` for each such moment, besides those that they have.

    Its evidence tells the seconds to the next one, or to the end of the video (``stake_seconds``): how much is wrong if
    it is.
    """
    found = tuple(_suspects(track_file))
    if not found:
        return track_file
    metadata = track_file.metadata
    return replace(track_file, metadata=replace(metadata, suspects=(*metadata.suspects, *found)))


def _suspects(track_file: TrackFile) -> Iterator[Suspect]:
    times, video = FrameTimes(track_file), track_file.metadata.video
    moments = exchanges(track_file, times)
    if not moments:
        return
    known = {(item.kind, item.first_frame, item.last_frame) for item in track_file.metadata.suspects}
    seconds = video.seconds_array(times.pts)
    ends = [*(seconds[last] for _, last in moments[1:]), video.duration_seconds]
    for (first, last), end in zip(moments, ends, strict=True):
        if ("jump", first, last) not in known:
            yield Suspect(
                "jump", first, last, int(times.pts[first]), int(times.pts[last]), PROBABILITY,
                "a person is where another was, from one frame to the next",
                {STAKE: round(float(end - seconds[last]), 3)},
            )  # fmt: skip


def exchanges(track_file: TrackFile, times: FrameTimes) -> list[tuple[int, int]]:
    """The last frame before and the first one after each moment, in order."""
    table, metadata = track_file.table, track_file.metadata
    frame, person = numbers(table, "frame_index"), codes(table, "person", PERSONS)
    present = [PERSONS.index(name) for name in metadata.persons if name in PERSONS]
    frames = np.unique(frame[np.isin(person, present)])
    boxes, row_boxes = np.full((len(present), len(frames), 4), np.nan, np.float32), boxes_xyxy(table)
    for place, code in enumerate(present):
        rows = np.flatnonzero(person == code)
        boxes[place, np.searchsorted(frames, frame[rows])] = row_boxes[rows]
    before, after = frames[:-1], frames[1:]
    seconds = metadata.video.seconds_array(times.pts[frames])
    near = (np.diff(seconds) <= MAX_GAP_SECONDS) & (times.shot[before] == times.shot[after])
    moved = np.zeros(len(before), bool)
    for one, other in permutations(range(len(present)), 2):
        taken = _iou(boxes[other, :-1], boxes[one, 1:]) >= TAKEN_OVER
        kept = _iou(boxes[one, :-1], boxes[one, 1:]) > LEFT
        # whose place was taken must have left it, too: two faces may overlap
        stayed = _iou(boxes[other, :-1], boxes[other, 1:]) > LEFT
        moved |= taken & ~kept & ~stayed
    return [(int(before[place]), int(after[place])) for place in np.flatnonzero(moved & near)]


def _iou(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N,)`` IoU of ``(N, 4)`` boxes; 0 where one of them is missing (NaN)."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(one[:, 2:] - one[:, :2], axis=1) + np.prod(other[:, 2:] - other[:, :2], axis=1)
    share: NDArray[np.float32] = np.nan_to_num(both / np.maximum(areas - both, np.finfo(np.float32).tiny))
    return share
