"""Tracklets over the whole video: each the detections of one person, unbroken and within one shot."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import centres, heights
from .evidence import ChunkEvidence

SLOPE_SECONDS = 0.3  # the velocity at an end of a tracklet is taken over this time


@dataclass(frozen=True)
class Tracklet:
    """N detections of one person in one shot, in order of time.

    Attributes:
        shot: 0-based shot.
        frame_index: ``(N,)`` int32.
        times_seconds: ``(N,)`` float64.
        boxes_xyxy: ``(N, 4)`` float32 displayed pixels.
        scores: ``(N,)`` float32.
        landmarks: ``(N, 10)`` float32 displayed pixels.
    """

    shot: int
    frame_index: NDArray[np.int32]
    times_seconds: NDArray[np.float64]
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frame_index)

    @property
    def start(self) -> float:
        """Time of the first detection, seconds."""
        return float(self.times_seconds[0])

    @property
    def end(self) -> float:
        """Time of the last detection, seconds."""
        return float(self.times_seconds[-1])

    @property
    def height(self) -> float:
        """Median height of the face, pixels."""
        return float(np.median(heights(self.boxes_xyxy)))

    def motion_at(self, time_seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centre ``(2,)`` and velocity ``(2,)`` per second at the end that lies nearer to ``time_seconds``."""
        at_end = abs(time_seconds - self.end) <= abs(time_seconds - self.start)
        anchor = self.end if at_end else self.start
        near = np.abs(self.times_seconds - anchor) <= SLOPE_SECONDS
        points, times = centres(self.boxes_xyxy[near]), self.times_seconds[near] - anchor
        if len(times) < 3:
            return points[-1 if at_end else 0], np.zeros(2)
        slope, here = np.polyfit(times, points, 1)
        return here, slope


def join_evidence(
    chunks: Iterable[ChunkEvidence], frame_times: NDArray[np.float64], shot_of_frame: NDArray[np.int32]
) -> list[Tracklet]:
    """The tracklets of all chunks, split at the cuts that stage 2 found, ordered by start.

    Args:
        chunks: Evidence in order.
        frame_times: Seconds of every frame of the video by frame index.
        shot_of_frame: Shot of every frame of the video by frame index.
    """
    tracklets = []
    for chunk in chunks:
        linked = np.flatnonzero(chunk.tracklet >= 0)
        shots = shot_of_frame[chunk.detection_frame[linked]]
        # stable: detections within a (tracklet, shot) stay in order of time
        order = linked[np.lexsort((shots, chunk.tracklet[linked]))]
        keys = np.stack([chunk.tracklet[order], shot_of_frame[chunk.detection_frame[order]]], axis=1)
        borders = np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1
        for rows in np.split(order, borders):
            if len(rows):
                tracklets.append(_tracklet(chunk, rows, frame_times, shot_of_frame))
    return sorted(tracklets, key=lambda t: (int(t.frame_index[0]), float(t.boxes_xyxy[0, 0])))


def _tracklet(
    chunk: ChunkEvidence,
    rows: NDArray[np.intp],
    frame_times: NDArray[np.float64],
    shot_of_frame: NDArray[np.int32],
) -> Tracklet:
    frames = chunk.detection_frame[rows]
    return Tracklet(
        int(shot_of_frame[frames[0]]), frames, frame_times[frames],
        chunk.boxes_xyxy[rows], chunk.scores[rows], chunk.landmarks[rows],
    )  # fmt: skip
