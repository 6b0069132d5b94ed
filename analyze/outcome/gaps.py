"""Closing short gaps: a person unseen for a moment is interpolated, never across a cut."""

import numpy as np
from numpy.typing import NDArray

from ..boxes import centres, heights, iou
from .rows import Rows

MAX_SPEED = 4.0  # face heights per second; faster is a jump to another place, not motion that may be filled in
HIDDEN = 0.5  # IoU with a detected face from which a filled-in box is not shown: the person is hidden by it
NEARBY = 1.0  # face heights; a person who returns within this is taken to have stayed


def fill_gaps(
    rows: Rows,
    person: int,
    times_seconds: NDArray[np.float64],
    shot_of_frame: NDArray[np.int32],
    max_gap_seconds: float,
) -> Rows:
    """Interpolated rows for the gaps of one person, linear in time between the detections on both sides.

    Args:
        rows: All rows of the video.
        person: Index into ``PERSONS``.
        times_seconds: Of every frame of the video by frame index.
        shot_of_frame: Shot of every frame of the video by frame index.
        max_gap_seconds: Longer gaps stay open.
    """
    own = rows.of_person(person)
    before = np.flatnonzero(np.diff(own.frame_index) > 1)
    after = before + 1
    same_shot = shot_of_frame[own.frame_index[before]] == shot_of_frame[own.frame_index[after]]
    seconds = times_seconds[own.frame_index[after]] - times_seconds[own.frame_index[before]]
    middle, height = centres(own.boxes_xyxy), heights(own.boxes_xyxy)
    distance = np.linalg.norm(middle[after] - middle[before], axis=1) / ((height[after] + height[before]) / 2)
    good = same_shot & (seconds <= max_gap_seconds) & (distance <= NEARBY + MAX_SPEED * seconds)
    before = before[good]
    lengths = own.frame_index[before + 1] - own.frame_index[before] - 1
    left = np.repeat(before, lengths)
    steps = np.arange(len(left)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    frames = (own.frame_index[left] + steps).astype(np.int32)
    start, end = times_seconds[own.frame_index[left]], times_seconds[own.frame_index[left + 1]]
    share = ((times_seconds[frames] - start) / (end - start))[:, None]
    boxes = own.boxes_xyxy[left] * (1 - share) + own.boxes_xyxy[left + 1] * share
    filled = Rows(
        frames, own.track[left], own.person[left], boxes.astype(np.float32), np.zeros(len(left), np.float32),
        np.full((len(left), 10), np.nan, np.float32), np.ones(len(left), bool),
    )  # fmt: skip
    return filled.take(~_hidden(filled, rows))


def _hidden(filled: Rows, rows: Rows) -> NDArray[np.bool_]:
    """``(R,)`` whether a face is detected where the filled-in one would be: then that one is behind it."""
    hidden = np.zeros(len(filled), bool)
    first = np.searchsorted(rows.frame_index, filled.frame_index)
    end = np.searchsorted(rows.frame_index, filled.frame_index, side="right")
    for i in np.flatnonzero(end > first):
        there = iou(filled.boxes_xyxy[i : i + 1], rows.boxes_xyxy[first[i] : end[i]])
        hidden[i] = bool((there > HIDDEN).any())
    return hidden
