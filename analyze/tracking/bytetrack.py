"""ByteTrack: linking the detections of neighbouring frames into tracklets.

Zhang et al.: ByteTrack: Multi-Object Tracking by Associating Every Detection Box (ECCV 2022). High scores are matched
first, with all tracklets; then low scores, with those tracklets that were seen in the frame before. Differences:
motion uses real time between frames; boxes are enlarged for matching, because small fast faces reach IoU 0; a
tracklet counts from its first frame, because stage 2 sees the whole video and drops what stays short; and where a
face could continue two tracklets nearly as well, or a tracklet go on with two faces, it is split, not guessed:
stage 2 joins fragments, but cannot undo a mixture that it does not see.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ...configs.analysis import TrackingSettings
from ...engines.protocols import Detections
from .box import Box, boxes_of
from .kalman import BoxFilter

LOW_OVERLAP = 0.5  # ByteTrack's second association asks for more overlap than the first

Overlaps = Sequence[Sequence[float]]  # IoU of the enlarged boxes of each track with each face
Matches = dict[int, int]  # tracks and their faces, both by their position in Overlaps


@dataclass(slots=True)
class _Track:
    """A tracklet that may go on."""

    number: int
    motion: BoxFilter
    seen: float  # time of the last detection, seconds


class ByteTracker:
    """Tracks the faces of one stretch of video; ids count from 0 in each instance."""

    def __init__(self, settings: TrackingSettings):
        self._settings = settings
        scores = np.array([settings.high_score, settings.low_score, settings.birth_score], np.float32)
        self._high_score, self._low_score, self._birth_score = scores.tolist()  # rounded as the scores of faces are
        self._tracks: list[_Track] = []
        self._time = -np.inf  # of the last frame, seconds
        self._next_id = 0

    def reset(self) -> None:
        """End all tracklets, as at a cut."""
        self._tracks = []

    def update(self, time_seconds: float, faces: Detections) -> NDArray[np.int32]:
        """Go on to the next frame.

        Args:
            time_seconds: Time of the frame; ascends.
            faces: Its faces.

        Returns:
            ``(N,)`` int32 tracklet of each face, -1 for none.
        """
        boxes, scores = boxes_of(faces.boxes_xyxy), faces.scores.tolist()
        self._tracks = [t for t in self._tracks if time_seconds - t.seen <= self._settings.max_lost_seconds]
        for track in self._tracks:
            track.motion.predict(time_seconds - self._time)
        high = [i for i, score in enumerate(scores) if score >= self._high_score]
        low = [i for i, score in enumerate(scores) if self._low_score <= score < self._high_score]
        overlaps = self._overlaps(boxes)
        matches = _best_pairs(overlaps, range(len(self._tracks)), high, self._settings.min_overlap)
        mixed = _ambiguous(overlaps, matches, high, self._settings.split_margin)
        # after that: what is half seen is nobody's rival
        matches |= _best_pairs(overlaps, self._just_seen(matches), low, LOW_OVERLAP)
        ids = [-1] * len(boxes)
        for place, face in matches.items():
            if place not in mixed:
                track = self._tracks[place]
                ids[face], track.seen = track.number, time_seconds
                track.motion.update(boxes[face])
        self._tracks = [track for place, track in enumerate(self._tracks) if place not in mixed]
        for face in high:
            if ids[face] < 0 and scores[face] >= self._birth_score:
                ids[face] = self._begin(boxes[face], time_seconds)
        self._time = time_seconds
        return np.array(ids, np.int32)

    def _overlaps(self, boxes: Sequence[Box]) -> Overlaps:
        share = self._settings.match_expand
        larger = [box.expanded(share) for box in boxes]
        return [[own.iou(box) for box in larger] for own in (t.motion.box.expanded(share) for t in self._tracks)]

    def _just_seen(self, matches: Matches) -> list[int]:
        """Tracks without a match that were seen in the frame before."""
        return [i for i, track in enumerate(self._tracks) if i not in matches and track.seen == self._time]

    def _begin(self, box: Box, time_seconds: float) -> int:
        """The id of a new track."""
        self._tracks.append(_Track(self._next_id, BoxFilter(box), time_seconds))
        self._next_id += 1
        return self._tracks[-1].number


def _best_pairs(overlaps: Overlaps, tracks: Sequence[int], faces: Sequence[int], least: float) -> Matches:
    """The assignment of ``faces`` to ``tracks`` that overlaps most in all, without pairs under ``least``."""
    pairs = [(track, face) for track in tracks for face in faces if overlaps[track][face] > 0]
    if len({track for track, _ in pairs}) < len(pairs) or len({face for _, face in pairs}) < len(pairs):  # some compete
        weights = [[overlaps[track][face] for face in faces] for track in tracks]
        rows, columns = linear_sum_assignment(weights, maximize=True)
        best = {(tracks[row], faces[column]) for row, column in zip(rows.tolist(), columns.tolist(), strict=True)}
        pairs = [pair for pair in pairs if pair in best]
    return {track: face for track, face in pairs if overlaps[track][face] >= least}


def _ambiguous(overlaps: Overlaps, matches: Matches, faces: Sequence[int], margin: float) -> set[int]:
    """Tracks that would overlap ``faces`` nearly as much in all if they exchanged a face with another track.

    A track or a face without a partner takes part with an overlap of 0.
    """
    mixed: set[int] = set()
    free = set(faces).difference(matches.values())
    for track, face in matches.items():
        own = overlaps[track]
        for other, row in enumerate(overlaps):
            if other == track or row[face] <= 0:
                continue
            theirs = matches.get(other)
            kept, changed = own[face], row[face]
            if theirs is not None:
                kept, changed = kept + row[theirs], changed + own[theirs]
            if kept - changed < margin:
                mixed |= {track, other}
        if any(own[face] - own[another] < margin for another in free if own[another] > 0):
            mixed.add(track)
    return mixed
