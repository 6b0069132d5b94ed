"""Finding cuts from luma thumbnails.

A cut is a frame whose change against the frame before is large in itself and against the changes around it, and that
still differs from the frame two before: a flash does not. The rule of the ratio to the neighbourhood is that of
PySceneDetect's AdaptiveDetector, over luma and over real time on both sides.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..configs.analysis import ShotSettings
from .evidence import ChunkEvidence


def luma_change(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two thumbnails, grey levels."""
    return float(np.abs(np.subtract(a, b, dtype=np.int16)).sum() / a.size)


def join_changes(chunks: Iterable[ChunkEvidence]) -> NDArray[np.float32]:
    """``(F, 2)`` luma changes over all chunks, with those across chunk borders worked out; 0 at the very start."""
    parts = []
    tail = np.zeros((0, 1, 1), np.uint8)
    for chunk in chunks:
        change = chunk.luma_change.copy()
        seen = np.concatenate([tail, chunk.head_thumbnails]) if len(tail) else chunk.head_thumbnails
        offset = len(seen) - len(chunk.head_thumbnails)
        for place in range(len(chunk.head_thumbnails)):
            for back in (1, 2):
                if np.isnan(change[place, back - 1]) and offset + place - back >= 0:
                    change[place, back - 1] = luma_change(seen[offset + place], seen[offset + place - back])
        parts.append(change)
        if len(chunk.tail_thumbnails):  # a chunk of one frame does not replace both
            tail = np.concatenate([*([tail] if len(tail) else []), chunk.tail_thumbnails])[-2:]
    changes = np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)
    changes[:, 0] = np.nan_to_num(changes[:, 0], nan=0.0)
    changes[:, 1] = np.where(np.isnan(changes[:, 1]), changes[:, 0], changes[:, 1])
    return changes


def find_cuts(
    times_seconds: NDArray[np.float64], changes: NDArray[np.float32], settings: ShotSettings, level: float
) -> NDArray[np.intp]:
    """Positions of the first frame of every shot but the first.

    Args:
        times_seconds: ``(F,)`` time of each frame.
        changes: ``(F, 2)`` luma change against one and two frames before.
        settings: Ratio and window.
        level: Least change at a cut, grey levels.
    """
    candidates = np.flatnonzero(changes[:, 0] >= level)
    return np.array([c for c in candidates if _is_cut(int(c), times_seconds, changes, settings, level)], np.intp)


def _is_cut(
    at: int, times: NDArray[np.float64], changes: NDArray[np.float32], settings: ShotSettings, level: float
) -> bool:
    if at == 0:
        return False
    window = settings.cut_window_seconds
    low, high = np.searchsorted(times, [times[at] - window, times[at] + window])
    around = np.delete(changes[low:high, 0], at - low)
    if not stands_out(changes[at, 0], around, settings.cut_ratio):
        return False
    # a cut stands out from its own neighbours; where both change as much, the camera gathers or loses speed
    if changes[at, 0] < settings.cut_ratio * changes[[at - 1, min(at + 1, len(changes) - 1)], 0].min():
        return False
    into_flash = at + 1 < len(changes) and changes[at + 1, 1] < level <= changes[at + 1, 0]
    out_of_flash = changes[at, 1] < level
    return not (into_flash or out_of_flash)


def stands_out(change: float, around: NDArray[np.float32], ratio: float) -> bool:
    """Whether a luma change is ``ratio`` times the ordinary changes ``around`` it."""
    around = around[around < change]  # another cut close by must not hide this one
    ordinary = float(np.median(around)) if len(around) else 0.0
    return bool(change >= ratio * max(ordinary, 1.0))


def shot_numbers(num_frames: int, cuts: NDArray[np.intp]) -> NDArray[np.int32]:
    """``(num_frames,)`` int32 0-based shot of each frame."""
    return np.searchsorted(cuts, np.arange(num_frames), side="right").astype(np.int32)
