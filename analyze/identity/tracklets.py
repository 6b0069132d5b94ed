"""Tracklets over the whole video: each the detections of one person, unbroken and within one shot."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..boxes import centres, heights
from ..evidence import ChunkEvidence

SLOPE_SECONDS = 0.3  # the velocity at an end of a tracklet is taken over this time


@dataclass(frozen=True)
class Motion:
    """Where an end of a tracklet is, and how it moves there.

    Attributes:
        centre: ``(2,)`` pixels.
        velocity: ``(2,)`` pixels per second.
        height: Of the face, pixels.
    """

    centre: NDArray[np.float64]
    velocity: NDArray[np.float64]
    height: float


@dataclass(frozen=True)
class Tracklet:
    """N detections of one person in one shot, in order of time, E of which were embedded.

    Attributes:
        shot: 0-based shot.
        frame_index: ``(N,)`` int32.
        times_seconds: ``(N,)`` float64.
        boxes_xyxy: ``(N, 4)`` float32 displayed pixels.
        scores: ``(N,)`` float32.
        landmarks: ``(N, 10)`` float32 displayed pixels.
        stability: ``(N,)`` float32 share of the second before in which it was seen with confidence.
        embedded: ``(E,)`` int positions among the N, ascending.
        embeddings: ``(E, dimension)`` float32 in units of the embedder's same-person distance.
        quality: ``(E,)`` float32 of the embeddings, 0..1.
    """

    shot: int
    frame_index: NDArray[np.int32]
    times_seconds: NDArray[np.float64]
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    stability: NDArray[np.float32]
    embedded: NDArray[np.intp]
    embeddings: NDArray[np.float32]
    quality: NDArray[np.float32]

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

    @cached_property
    def head(self) -> Motion:
        """Its motion at the first detection."""
        return self._motion(self.start, 0)

    @cached_property
    def tail(self) -> Motion:
        """Its motion at the last detection."""
        return self._motion(self.end, -1)

    def _motion(self, anchor: float, position: int) -> Motion:
        near = np.abs(self.times_seconds - anchor) <= SLOPE_SECONDS
        points, times = centres(self.boxes_xyxy[near]), self.times_seconds[near] - anchor
        height = float(heights(self.boxes_xyxy[:5] if position == 0 else self.boxes_xyxy[-5:]).mean())
        if np.count_nonzero(np.diff(times)) < 2:  # fewer than three times: no slope to trust
            return Motion(points[position], np.zeros(2), height)
        slope, here = np.polyfit(times, points, 1)
        return Motion(here, slope, height)

    def split(self, positions: Sequence[int]) -> list["Tracklet"]:
        """The parts that begin at 0 and at each of ``positions``, which ascend."""
        borders = [0, *positions, len(self)]
        return [self._part(a, b) for a, b in pairwise(borders) if a < b]

    def _part(self, first: int, end: int) -> "Tracklet":
        per_detection = ("frame_index", "times_seconds", "boxes_xyxy", "scores", "landmarks", "stability")
        own = (self.embedded >= first) & (self.embedded < end)
        return replace(
            self, **{name: getattr(self, name)[first:end] for name in per_detection},
            embedded=self.embedded[own] - first, embeddings=self.embeddings[own], quality=self.quality[own],
        )  # fmt: skip


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
    _, embedded, samples = np.intersect1d(rows, chunk.embedded, return_indices=True)
    return Tracklet(
        int(shot_of_frame[frames[0]]), frames, frame_times[frames],
        chunk.boxes_xyxy[rows], chunk.scores[rows], chunk.landmarks[rows], chunk.stability[rows],
        embedded, chunk.embeddings[samples] / chunk.distance_unit, chunk.embedding_quality[samples],
    )  # fmt: skip
