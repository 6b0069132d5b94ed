"""Spans of time in which somebody is seen, or is not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sightings:
    """The frames in which one person, or whoever is on one side, is seen.

    Attributes:
        frame_index: ``(N,)`` ascending, each frame once.
        seconds: ``(N,)`` float64 times of those frames from the start of the video.
    """

    frame_index: NDArray[np.int32]
    seconds: NDArray[np.float64]

    def breaks(self) -> NDArray[np.intp]:
        """``(G,)`` places before which at least one frame is missing."""
        return np.flatnonzero(np.diff(self.frame_index) > 1) + 1

    def gap_frames(self) -> NDArray[np.int64]:
        """``(G, 2)`` first and last missing frame of each gap between the first and the last sighting."""
        at = self.breaks()
        frames = self.frame_index.astype(np.int64)
        return np.stack([frames[at - 1] + 1, frames[at] - 1], axis=1)

    def gap_seconds(self) -> NDArray[np.float64]:
        """``(G, 2)`` start and end of each gap.

        A gap starts with its first missing frame. That frame has no row to tell its time, so the missing
        frames are taken as evenly spaced between the sightings around them; at a constant frame rate this is
        exact.
        """
        at = self.breaks()
        before, after = self.seconds[at - 1], self.seconds[at]
        steps = self.frame_index[at].astype(np.int64) - self.frame_index[at - 1]
        return np.stack([before + (after - before) / steps, after], axis=1)

    def run_seconds(self, frame_seconds: float) -> NDArray[np.float64]:
        """``(R, 2)`` start and end of each unbroken run; a frame lasts ``frame_seconds``."""
        if len(self.seconds) == 0:
            return np.empty((0, 2))
        gaps = self.gap_seconds()
        starts = np.concatenate([self.seconds[:1], gaps[:, 1]])
        ends = np.concatenate([gaps[:, 0], self.seconds[-1:] + frame_seconds])
        return np.stack([starts, ends], axis=1)


def merged(spans: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """``spans (R, 2)``, in order, with those joined that lie less than ``least`` apart."""
    if len(spans) == 0:
        return spans
    apart = spans[1:, 0] - spans[:-1, 1] >= least
    return np.stack([spans[np.r_[True, apart], 0], spans[np.r_[apart, True], 1]], axis=1)
