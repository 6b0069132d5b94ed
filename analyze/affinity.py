"""How likely two chains are the same person.

An affinity gives log-odds; those of independent cues add up. Position is the first cue; appearance (embeddings pooled
per chain) is added by a function of the same shape.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .chains import Chain

LogOdds = Callable[[int], NDArray[np.float32]]
"""From the position of one of N chains to ``(N,)`` float32 log-odds that each is the same person; 0 knows nothing."""

Affinity = Callable[[Sequence[Chain]], LogOdds]
"""Prepared once for all chains, asked chain by chain: memory does not grow with the square of their number."""

SAME_SHOT_SURE = 2.0  # log-odds of the same place in the same shot
OTHER_SHOT_SURE = 1.0  # log-odds of the same x in another shot: the camera may have moved
NEUTRAL_HEIGHTS = 2.0  # distance within a shot, in face heights, that says nothing
NEUTRAL_WIDTHS = 0.2  # distance across shots, in frame widths, that says nothing


def position_affinity(frame_width: float) -> Affinity:
    """Affinity by place: near in the same shot, on the same side of the picture in different shots.

    Args:
        frame_width: Displayed width in pixels.
    """

    def affinity(chains: Sequence[Chain]) -> LogOdds:
        place = np.array([c.place for c in chains], np.float32).reshape(-1, 3)
        shot = np.array([c.shot for c in chains])

        def log_odds(i: int) -> NDArray[np.float32]:
            distance = np.hypot(place[:, 0] - place[i, 0], place[:, 1] - place[i, 1])
            near = SAME_SHOT_SURE * (1 - distance / ((place[:, 2] + place[i, 2]) / 2) / NEUTRAL_HEIGHTS)
            across = np.abs(place[:, 0] - place[i, 0]) / frame_width
            alike = OTHER_SHOT_SURE * (1 - across / NEUTRAL_WIDTHS)
            near, alike = np.maximum(near, -SAME_SHOT_SURE), np.maximum(alike, -OTHER_SHOT_SURE)
            return np.asarray(np.where(shot == shot[i], near, alike), np.float32)

        return log_odds

    return affinity
