"""Stage 1 of one chunk: detected frames -> tracklets and luma changes -> evidence."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..configs.analysis import AnalyzeSettings
from ..engines.protocols import Detections
from .bytetrack import ByteTracker
from .detections import DetectedFrame
from .evidence import ChunkEvidence
from .shots import luma_change


class ChunkObserver:
    """Collects the evidence of one chunk, frame by frame."""

    def __init__(self, time_base: Fraction, settings: AnalyzeSettings):
        self._seconds = float(time_base)
        self._cut_level = settings.shots.cut_level
        self._tracker = ByteTracker(settings.tracking)
        self._frame_index: list[int] = []
        self._changes: list[tuple[float, float]] = []
        self._head: list[NDArray[np.uint8]] = []
        self._tail: list[NDArray[np.uint8]] = []
        self._faces: list[Detections] = []
        self._ids: list[NDArray[np.int32]] = []

    def add(self, frame: DetectedFrame) -> None:
        """Take the next frame of the chunk."""
        change = [luma_change(frame.thumbnail, seen) for seen in reversed(self._tail)]
        change += [np.nan] * (2 - len(change))
        if change[0] >= self._cut_level:
            # perhaps a cut; stage 2 decides. Here it costs a fragment at most, and motion across a cut is worth nothing
            self._tracker.reset()
        self._frame_index.append(frame.frame_index)
        self._changes.append((change[0], change[1]))
        self._ids.append(self._tracker.update(frame.pts * self._seconds, frame.faces))
        self._faces.append(frame.faces)
        self._tail = [*self._tail, frame.thumbnail][-2:]
        if len(self._head) < 2:
            self._head.append(frame.thumbnail)

    def evidence(self) -> ChunkEvidence:
        """What was seen."""
        per_frame = [len(faces) for faces in self._faces]
        faces = [Detections.none(), *self._faces]
        return ChunkEvidence(
            frame_index=np.array(self._frame_index, np.int32),
            luma_change=np.array(self._changes, np.float32).reshape(-1, 2),
            head_thumbnails=_stack(self._head),
            tail_thumbnails=_stack(self._tail),
            detection_frame=np.repeat(np.array(self._frame_index, np.int32), per_frame),
            boxes_xyxy=np.concatenate([f.boxes_xyxy for f in faces]),
            scores=np.concatenate([f.scores for f in faces]),
            landmarks=np.concatenate([f.landmarks for f in faces]),
            tracklet=np.concatenate([np.zeros(0, np.int32), *self._ids]),
        )


def _stack(thumbnails: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack(thumbnails) if thumbnails else np.zeros((0, 18, 32), np.uint8)
