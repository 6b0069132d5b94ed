"""ByteTrack: linking the detections of neighbouring frames into tracklets.

Zhang et al.: ByteTrack: Multi-Object Tracking by Associating Every Detection Box (ECCV 2022). High scores are matched
first, with all tracklets; then low scores, with those tracklets that were seen in the frame before. Differences:
motion uses real time between frames; boxes are enlarged for matching, because small fast faces reach IoU 0; a
tracklet counts from its first frame, because stage 2 sees the whole video and drops what stays short; and where a
face could continue two tracklets nearly as well, or a tracklet go on with two faces, it is split, not guessed:
stage 2 joins fragments, but cannot undo a mixture that it does not see.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ...configs.analysis import TrackingSettings
from ...engines.protocols import Detections
from ..boxes import expand, iou
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
        overlap = self._overlaps(faces)
        matches = _best_pairs(overlap, np.arange(len(self._ids)), high, self._settings.min_overlap)
        free = np.setdiff1d(np.arange(len(self._ids)), matches[:, 0])
        free = free[self._seen[free] == before] if before is not None else free
        matches = np.concatenate([matches, _best_pairs(overlap, free, low, LOW_OVERLAP)])
        mixed = _ambiguous(overlap[:, high], _only(matches, high), self._settings.split_margin)
        matches = matches[~mixed[matches[:, 0]]]
        ids[matches[:, 1]] = self._ids[matches[:, 0]]
        self._filter.update(matches[:, 0], faces.boxes_xyxy[matches[:, 1]])
        self._seen[matches[:, 0]] = time_seconds
        self._keep(~mixed)
        self._begin(
            faces, high[(ids[high] < 0) & (faces.scores[high] >= self._settings.birth_score)], ids, time_seconds
        )
        self._time = time_seconds
        return ids

    def _overlaps(self, faces: Detections) -> NDArray[np.float64]:
        """``(T, N)`` IoU of the enlarged boxes of tracks and faces."""
        share = self._settings.match_expand
        return iou(expand(self._filter.boxes_xyxy(), share), expand(faces.boxes_xyxy, share))

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


def _best_pairs(
    overlap: NDArray[np.float64], tracks: NDArray[np.intp], faces: NDArray[np.intp], least: float
) -> NDArray[np.intp]:
    """``(M, 2)`` tracks and faces of the assignment that overlaps most in all, without pairs under ``least``."""
    if len(tracks) == 0 or len(faces) == 0:
        return np.zeros((0, 2), np.intp)
    chosen = overlap[np.ix_(tracks, faces)]
    row, column = linear_sum_assignment(-chosen)
    good = chosen[row, column] >= least
    return np.stack([tracks[row[good]], faces[column[good]]], axis=1)


def _only(matches: NDArray[np.intp], faces: NDArray[np.intp]) -> NDArray[np.intp]:
    """The matches of ``faces``, which are then counted by their place in ``faces``."""
    own = matches[np.isin(matches[:, 1], faces)]
    return np.stack([own[:, 0], np.searchsorted(faces, own[:, 1])], axis=1)


def _ambiguous(overlap: NDArray[np.float64], matches: NDArray[np.intp], margin: float) -> NDArray[np.bool_]:
    """``(T,)`` tracks that would overlap nearly as much in all if they exchanged a face with another track.

    A track or a face without a partner takes part with an overlap of 0.
    """
    num_tracks, num_faces = overlap.shape
    mixed = np.zeros(num_tracks, bool)
    if len(matches) == 0 or (num_tracks < 2 and num_faces < 2):
        return mixed
    partner = np.full(num_tracks, -1)
    partner[matches[:, 0]] = matches[:, 1]
    for track, face in matches:
        for other in range(num_tracks):
            if other == track or overlap[other, face] <= 0:
                continue
            theirs = partner[other]
            kept = overlap[track, face] + (overlap[other, theirs] if theirs >= 0 else 0.0)
            changed = overlap[other, face] + (overlap[track, theirs] if theirs >= 0 else 0.0)
            if kept - changed < margin:
                mixed[[track, other]] = True
        for free in np.setdiff1d(np.arange(num_faces), matches[:, 1]):
            if overlap[track, free] > 0 and overlap[track, face] - overlap[track, free] < margin:
                mixed[track] = True
    return mixed
