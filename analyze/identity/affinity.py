"""How likely two chains are the same person, by place and by face.

Log-odds of independent cues add up; 0 knows nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .appearance import Pooled, pool, same_log_odds
from .chains import Chain

SAME_SHOT_SURE = 2.0  # log-odds of the same place in the same shot
OTHER_SHOT_SURE = 1.0  # log-odds of the same x in another shot: the camera may have moved
NEUTRAL_HEIGHTS = 2.0  # distance within a shot, in face heights, that says nothing
NEUTRAL_WIDTHS = 0.2  # distance across shots, in frame widths, that says nothing


class Affinity:
    """Prepared once for N chains, asked for rows: memory need not grow with the square of their number.

    Args:
        chains: Of the whole video.
        frame_width: Displayed width in pixels.
    """

    def __init__(self, chains: Sequence[Chain], frame_width: float):
        self.faces: Pooled = pool([c.faces for c in chains])
        self.shot = np.array([c.shot for c in chains], np.int64)
        self._place = np.array([c.place for c in chains], np.float32).reshape(-1, 3)
        self._frame_width = frame_width

    def rows(self, which: NDArray[np.intp], among: NDArray[np.intp]) -> NDArray[np.float32]:
        """``(len(which), len(among))`` float32 log-odds that two chains are the same person."""
        a, b = _take(self.faces, which), _take(self.faces, among)
        return self.by_place(which, among) + same_log_odds(a, b)

    def by_place(self, which: NDArray[np.intp], among: NDArray[np.intp]) -> NDArray[np.float32]:
        """The same by place alone: near in the same shot, on the same side of the picture in different shots."""
        a, b = self._place[which][:, None], self._place[among][None]
        distance = np.hypot(a[..., 0] - b[..., 0], a[..., 1] - b[..., 1])
        near = SAME_SHOT_SURE * (1 - distance / ((a[..., 2] + b[..., 2]) / 2) / NEUTRAL_HEIGHTS)
        alike = OTHER_SHOT_SURE * (1 - np.abs(a[..., 0] - b[..., 0]) / self._frame_width / NEUTRAL_WIDTHS)
        near, alike = np.maximum(near, -SAME_SHOT_SURE), np.maximum(alike, -OTHER_SHOT_SURE)
        same_shot = self.shot[which][:, None] == self.shot[among][None]
        return np.asarray(np.where(same_shot, near, alike), np.float32)


def _take(pooled: Pooled, which: NDArray[np.intp]) -> Pooled:
    return Pooled(pooled.vectors[which], pooled.weight[which], pooled.count[which])
