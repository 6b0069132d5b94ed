"""Positions over time, thinned to what a picture can show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .columns import codes, numbers
from .metadata import VideoRecord
from .schema import INTERPOLATED, ORIGINS

MAX_POINTS = 3000


@dataclass(frozen=True)
class Curve:
    """Face centres over time, with NaN wherever a line must break: at gaps, at cuts and between tracks.

    Attributes:
        seconds: ``(P,)`` float64 from the start of the video.
        middle: ``(P,)`` mean x of the frames that the point stands for, in fractions of the frame's width.
        low: ``(P,)`` smallest x of those frames.
        high: ``(P,)`` largest x of those frames.
        interpolated: ``(P,)`` whether most of those frames are interpolated.
        thinned: Whether points stand for more than one frame.
    """

    seconds: NDArray[np.float64]
    middle: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    interpolated: NDArray[np.bool_]
    thinned: bool

    def where(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``middle`` at ``chosen`` points, NaN elsewhere."""
        return np.where(chosen, self.middle, np.nan)


def centre_curve(table: pa.Table, chosen: NDArray[np.bool_], video: VideoRecord, *, by_track: bool = False) -> Curve:
    """The horizontal face centres of the rows ``chosen (N,)``.

    Args:
        table: Rows of the profile.
        chosen: Which of them.
        video: Gives the time scale and the width.
        by_track: Whether each track is a line of its own; otherwise the rows hold each frame once.
    """
    frame, shot, track = (numbers(table, name)[chosen] for name in ("frame_index", "shot", "track_id"))
    seconds = video.seconds_array(numbers(table, "pts")[chosen])
    x = (numbers(table, "x1").astype(np.float64) + numbers(table, "x2"))[chosen] / 2 / video.width
    guessed: NDArray[np.bool_] = codes(table, "origin", ORIGINS)[chosen] == ORIGINS.index(INTERPOLATED)
    thinned = len(np.unique(frame)) > MAX_POINTS
    step = max(video.frame_count, 1) / MAX_POINTS if thinned else 1.0
    line = track if by_track else np.zeros_like(track)
    order = np.lexsort((frame, line))
    line, shot, seconds, x, guessed = line[order], shot[order], seconds[order], x[order], guessed[order]
    key = (frame[order] // step).astype(np.int64)
    if len(key) == 0:
        return Curve(seconds, x, x, x, guessed, thinned)
    # A point is a run of rows of one line, one shot and one step of time.
    starts = np.flatnonzero(np.r_[True, (np.diff(key) != 0) | (np.diff(line) != 0) | (np.diff(shot) != 0)])
    counts = np.diff(np.r_[starts, len(key)])
    broken = (np.diff(key[starts]) > 1) | (np.diff(line[starts]) != 0) | (np.diff(shot[starts]) != 0)
    at = np.flatnonzero(broken) + 1

    def opened(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.insert(values, at, np.nan)

    return Curve(
        seconds=opened(np.add.reduceat(seconds, starts) / counts),
        middle=opened(np.add.reduceat(x, starts) / counts),
        low=opened(np.minimum.reduceat(x, starts)),
        high=opened(np.maximum.reduceat(x, starts)),
        interpolated=np.insert(np.add.reduceat(guessed.astype(np.int64), starts) * 2 > counts, at, False),
        thinned=thinned,
    )
