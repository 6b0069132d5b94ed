"""ByteTrack: linking the detections of neighbouring frames into tracklets.

Zhang et al.: ByteTrack: Multi-Object Tracking by Associating Every Detection Box (ECCV 2022). High scores are matched
first, with all tracklets; then low scores, with those tracklets that were seen in the frame before. Differences:
motion uses real time between frames; boxes are enlarged for matching, because small fast faces reach IoU 0; a
tracklet counts from its first frame, because stage 2 sees the whole video and drops what stays short.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..configs.analysis import TrackingSettings
from ..engines.protocols import Detections
from .boxes import expand, iou
from .kalman import BoxFilter

LOW_OVERLAP = 0.5  # ByteTrack's second association asks for more overlap than the first


class ByteTracker:
    """Tracks the faces of one stretch of video; ids count from 0 in each instance."""

    def __init__(self, settings: TrackingSettings):
        self._settings = settings
        self._filter = BoxFilter()
        self._ids: NDArray[np.int32] = np.zeros(0, np.int32)
        self._seen: NDArray[np.float64] = np.zeros(0)  # time of the last detection, seconds
        self._time: float | None = None
        self._next_id = 0

    def reset(self) -> None:
        """End all tracklets, as at a cut."""
        self._keep(np.zeros(len(self._ids), bool))
        self._time = None

    def update(self, time_seconds: float, faces: Detections) -> NDArray[np.int32]:
        """Go on to the next frame.

        Args:
            time_seconds: Time of the frame; ascends.
            faces: Its faces.

        Returns:
            ``(N,)`` int32 tracklet of each face, -1 for none.
        """
        before = self._time
        if before is not None:
            self._filter.predict(time_seconds - before)
        self._keep(time_seconds - self._seen <= self._settings.max_lost_seconds)
        ids = np.full(len(faces), -1, np.int32)
        high = np.flatnonzero(faces.scores >= self._settings.high_score)
        low = np.flatnonzero((faces.scores < self._settings.high_score) & (faces.scores >= self._settings.low_score))
        free = np.arange(len(self._ids))
        free = self._match(faces, high, free, self._settings.min_overlap, ids)
        free = free[self._seen[free] == before] if before is not None else free
        self._match(faces, low, free, LOW_OVERLAP, ids)
        self._seen[np.isin(self._ids, ids)] = time_seconds
        self._begin(
            faces, high[(ids[high] < 0) & (faces.scores[high] >= self._settings.birth_score)], ids, time_seconds
        )
        self._time = time_seconds
        return ids

    def _match(
        self,
        faces: Detections,
        which: NDArray[np.intp],
        tracks: NDArray[np.intp],
        min_overlap: float,
        ids: NDArray[np.int32],
    ) -> NDArray[np.intp]:
        """Match faces ``which`` with ``tracks``, write ``ids``, and return the tracks that stay free."""
        if len(which) == 0 or len(tracks) == 0:
            return tracks
        share = self._settings.match_expand
        overlap = iou(expand(self._filter.boxes_xyxy()[tracks], share), expand(faces.boxes_xyxy[which], share))
        row, column = linear_sum_assignment(-overlap)
        good = overlap[row, column] >= min_overlap
        row, column = row[good], column[good]
        ids[which[column]] = self._ids[tracks[row]]
        self._filter.update(tracks[row], faces.boxes_xyxy[which[column]])
        return np.delete(tracks, row)

    def _begin(self, faces: Detections, which: NDArray[np.intp], ids: NDArray[np.int32], time_seconds: float) -> None:
        if len(which) == 0:
            return
        new = np.arange(self._next_id, self._next_id + len(which), dtype=np.int32)
        self._next_id += len(which)
        ids[which] = new
        self._filter.add(faces.boxes_xyxy[which])
        self._ids = np.concatenate([self._ids, new])
        self._seen = np.concatenate([self._seen, np.full(len(which), time_seconds)])

    def _keep(self, which: NDArray[np.bool_]) -> None:
        if not which.all():
            self._filter.keep(which)
            self._ids, self._seen = self._ids[which], self._seen[which]
