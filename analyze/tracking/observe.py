"""Stage 1 of one chunk: detected frames -> tracklets and luma changes -> evidence."""

import numpy as np
from numpy.typing import NDArray

from ...configs.analysis import AnalyzeSettings
from ...engines.protocols import Detections, VideoInfo
from ..evidence import ChunkEvidence
from ..shots import luma_change, stands_out
from .bytetrack import ByteTracker
from .closer import CloserLook, SecondDetector
from .detections import DetectedFrame
from .reid import FaceEmbedder, FaceSampler


class ChunkObserver:
    """Collects the evidence of one chunk, frame by frame."""

    def __init__(self, video: VideoInfo, settings: AnalyzeSettings, embedder: FaceEmbedder, second: SecondDetector):
        self._seconds = float(video.time_base)
        self._shots = settings.shots
        self._tracker = ByteTracker(settings.tracking)
        self._embedder = embedder
        self._closer = CloserLook(second, settings, (video.width, video.height))
        self._sampler = FaceSampler(
            embedder, settings.identity.reid, (video.width, video.height), settings.tracking.high_score
        )
        self._frame_index: list[int] = []
        self._pts: list[int] = []
        self._changes: list[tuple[float, float]] = []
        self._head: list[NDArray[np.uint8]] = []
        self._tail: list[NDArray[np.uint8]] = []
        self._faces: list[Detections] = []
        self._ids: list[NDArray[np.int32]] = []

    def add(self, frame: DetectedFrame) -> None:
        """Take the next frame of the chunk."""
        change = [luma_change(frame.thumbnail, seen) for seen in reversed(self._tail)]
        change += [np.nan] * (2 - len(change))
        if change[0] >= self._shots.cut_level:
            # stage 2 decides. Here it costs a fragment at most, and motion across a cut is worth nothing
            self._tracker.reset()
            self._sampler.end_tracks()
            self._closer.picture_changed()
        elif self._may_be_cut(change[0], frame.pts):
            self._sampler.doubt_all(frame.pts * self._seconds)
            self._closer.picture_changed()
        self._frame_index.append(frame.frame_index)
        self._pts.append(frame.pts)
        self._changes.append((change[0], change[1]))
        seconds = frame.pts * self._seconds
        faces = self._closer.faces(frame.image, seconds, frame.faces)
        ids = self._tracker.update(seconds, faces)
        self._sampler.add(frame.image, seconds, faces, ids)
        self._ids.append(ids)
        self._faces.append(faces)
        self._tail = [*self._tail, frame.thumbnail][-2:]
        if len(self._head) < 2:
            self._head.append(frame.thumbnail)

    @property
    def num_frames(self) -> int:
        """Frames that were added."""
        return len(self._frame_index)

    def _may_be_cut(self, change: float, pts: int) -> bool:
        """Whether there may be a cut to a similar picture, so that faces on both sides are wanted."""
        if not change >= self._shots.doubtful_level:
            return False
        since = pts - self._shots.cut_window_seconds / self._seconds
        around = [was for (was, _), at in zip(self._changes[-64:], self._pts[-64:], strict=True) if at >= since]
        return stands_out(
            change, np.array([was for was in around if not np.isnan(was)], np.float32), self._shots.cut_ratio
        )

    def evidence(self, rungs: tuple[str, str, str] = ("", "", "")) -> ChunkEvidence:
        """What was seen; the chunk ends here.

        Args:
            rungs: On which ways frames were decoded, faces found and embedded.
        """
        samples = self._sampler.finish()
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
            stability=samples.stability,
            embedded=samples.rows,
            embeddings=samples.vectors,
            embedding_quality=samples.quality,
            embedder=np.array(self._embedder.record),
            rungs=np.array(rungs),
        )


def _stack(thumbnails: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack(thumbnails) if thumbnails else np.zeros((0, 18, 32), np.uint8)
