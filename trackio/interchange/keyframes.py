"""Few keyframes for a track, and interpolation between keyframes as CVAT does it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import SettingError
from .imported import groups
from .matching import BaseRows

DECIMALS = 2

ALL = "all"
_FIRST_WINDOW = 32
_TEXT = re.compile(r"(\d[-+.e\d]*)(?:/([1-9]\d*))?")


@dataclass(frozen=True)
class KeyframeChoice:
    """Which boxes become keyframes.

    Attributes:
        tolerance: By how much interpolation may miss a coordinate, in median face heights of the track; None makes
            every box a keyframe.
        most: Most frames from one keyframe to the next, or None for no limit.

    Raises:
        SettingError: The tolerance is not between 0 and 1.
    """

    tolerance: float | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        if self.tolerance is not None and not 0 <= self.tolerance <= 1:
            raise SettingError("keyframe tolerance", got=self.tolerance, expected="0 to 1 face heights")

    def __str__(self) -> str:
        """``all``, ``0.05``, or ``0.05/10`` with at most 10 frames from one to the next."""
        if self.tolerance is None:
            return ALL
        return f"{self.tolerance!r}" + (f"/{self.most}" if self.most else "")

    @classmethod
    def parse(cls, text: str) -> KeyframeChoice:
        """The choice that is written as ``text``.

        Raises:
            ValueError: None is.
        """
        if text in ("", ALL):
            return cls()
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"no choice of keyframes: {text!r}")
        return cls(float(found[1]), int(found[2]) if found[2] else None)


@dataclass(frozen=True)
class TrackRows:
    """Rows sorted by track, then frame.

    Attributes:
        track: ``(N,)`` int64 track_id.
        frame: ``(N,)`` int64 frame_index.
        boxes: ``(N, 4)`` float64 pixels.
        names: ``(N, 2)`` int8 person and side.
        order: ``(N,)`` the rows in the order that they came in.
    """

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    boxes: NDArray[np.float64]
    names: NDArray[np.int8]
    order: NDArray[np.intp]

    @classmethod
    def of(cls, rows: BaseRows) -> TrackRows:
        """Sort ``rows``."""
        order = np.lexsort((rows.frame, rows.track))
        names = np.stack([rows.person, rows.side], axis=1)
        return cls(rows.track[order], rows.frame[order], rows.boxes[order], names[order], order)

    @property
    def written(self) -> NDArray[np.float64]:
        """``(N, 4)`` the boxes with as many decimals as CVAT writes."""
        return np.round(self.boxes, DECIMALS)

    @property
    def parts(self) -> NDArray[np.int64]:
        """``(N,)`` ascending number of the part of a track with one person and one side."""
        new = np.zeros(len(self.track), np.bool_)
        new[1:] = (np.diff(self.track) != 0) | (np.diff(self.names, axis=0) != 0).any(axis=1)
        return np.cumsum(new)

    @property
    def ends(self) -> NDArray[np.bool_]:
        """``(N,)`` whether the part has no box in the next frame."""
        made = np.ones(len(self.track), np.bool_)
        made[:-1] = (np.diff(self.parts) != 0) | (np.diff(self.frame) != 1)
        return made

    def keyframes(self, choice: KeyframeChoice) -> NDArray[np.bool_]:
        """``(N,)`` which rows become keyframes; the first and the last of each stretch do."""
        if choice.tolerance is None:
            return np.ones(len(self.track), np.bool_)
        marked, written = np.zeros(len(self.track), np.bool_), self.written
        pixels = self._pixels(choice.tolerance)
        for first, end in pairwise([0, *(np.flatnonzero(self.ends) + 1).tolist()]):
            run = slice(first, end)
            chosen = choose(self.boxes[run], written[run], float(pixels[first]), choice.most or end - first)
            marked[first + np.array(chosen)] = True
        return marked

    def shown(self, choice: KeyframeChoice) -> NDArray[np.float64]:
        """``(N, 4)`` where CVAT shows the boxes of keyframes chosen so, in the order that the rows came in."""
        made = self.written
        keys, rows = np.flatnonzero(self.keyframes(choice)), np.arange(len(self.track))
        for column in range(4):
            made[:, column] = np.interp(rows, keys, made[keys, column]) if len(keys) else 0
        unsorted = np.empty_like(made)
        unsorted[self.order] = made
        return unsorted

    def _pixels(self, share: float) -> NDArray[np.float64]:
        """``(N,)`` a share of the median face height of each row's track."""
        made = np.empty(len(self.track))
        for rows in groups(self.track):
            made[rows] = share * np.median(self.boxes[rows, 3] - self.boxes[rows, 1])
        return made


@dataclass(frozen=True)
class Keyframes:
    """Boxes at some frames of some tracks, between which CVAT interpolates; sorted by track, then frame.

    Attributes:
        track: ``(K,)`` int64 number of the track.
        frame_index: ``(K,)`` int64, ascending in each track.
        boxes_xyxy: ``(K, 4)`` float64 pixels.
        outside: ``(K,)`` bool, whether the face is gone from this frame on, until the next keyframe.
    """

    track: NDArray[np.int64]
    frame_index: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    outside: NDArray[np.bool_]


def choose(values: NDArray[np.float64], written: NDArray[np.float64], tolerance: float, most: int) -> list[int]:
    """Few rows of a stretch from which linear interpolation gives all of it.

    From each keyframe the furthest row is taken to which a straight line passes all rows between them within the
    tolerance. A line does so if its slope lies within what each row between allows, so that one pass over the rows
    tells (the swing filter of Elmeleegy et al., "Online piece-wise linear approximation of numerical streams with
    precision guarantees", VLDB 2009, with its lines bound to end on rows).

    Args:
        values: ``(N, 4)`` boxes of consecutive frames.
        written: ``(N, 4)`` the same as they are written, that is, rounded.
        tolerance: Largest error of a coordinate, in pixels.
        most: Most frames from one keyframe to the next.

    Returns:
        Ascending, first and last row among them.
    """
    chosen, last = [0], len(values) - 1
    while chosen[-1] < last:
        chosen.append(_furthest(values, written, tolerance, chosen[-1], min(most, last - chosen[-1])))
    return chosen


def _furthest(
    values: NDArray[np.float64], written: NDArray[np.float64], tolerance: float, start: int, most: int
) -> int:
    window = _FIRST_WINDOW
    while True:
        count = min(window, most)
        steps = np.arange(1, count + 1)[:, None]
        rise = values[start + 1 : start + count + 1] - written[start]
        low = np.maximum.accumulate((rise - tolerance) / steps)
        high = np.minimum.accumulate((rise + tolerance) / steps)
        slope = (written[start + 1 : start + count + 1] - written[start]) / steps
        fits = np.ones(count, np.bool_)
        fits[1:] = ((slope[1:] >= low[:-1]) & (slope[1:] <= high[:-1])).all(axis=1)
        open_end = bool((low[-1] <= high[-1]).all())
        if count == most or not open_end:
            return start + 1 + int(np.flatnonzero(fits)[-1])
        window *= 4


def interpolated(keys: Keyframes, last_frame: int) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float64]]:
    """All boxes that CVAT shows for ``keys``: linear by frame number, and still after a track's last keyframe.

    Args:
        keys: The keyframes.
        last_frame: Up to which a track goes that is not outside at its end.

    Returns:
        ``(N,)`` keyframe at or before each box, ``(N,)`` frame_index, ``(N, 4)`` boxes.
    """
    count = len(keys.track)
    if count == 0:
        return np.empty(0, np.intp), np.empty(0, np.int64), np.empty((0, 4))
    same = np.r_[keys.track[1:] == keys.track[:-1], False]
    following = np.where(same, np.r_[keys.frame_index[1:], 0], last_frame + 1)
    lengths = np.where(keys.outside, 0, np.maximum(following - keys.frame_index, 0))
    of = np.repeat(np.arange(count), lengths)
    step = np.arange(len(of)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    target = np.where(same, np.arange(count) + 1, np.arange(count))[of]
    share = (step / np.maximum(following - keys.frame_index, 1)[of])[:, None]
    boxes = keys.boxes_xyxy[of] + (keys.boxes_xyxy[target] - keys.boxes_xyxy[of]) * share
    return of, keys.frame_index[of] + step, boxes
