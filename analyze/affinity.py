"""How likely two chains are the same person.

An affinity gives log-odds; those of independent cues add up. Position is the first cue; appearance (embeddings pooled
per chain) is added by a function of the same shape.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .chains import Chain

Affinity = Callable[[Sequence[Chain]], NDArray[np.float32]]
"""From N chains to ``(N, N)`` float32 log-odds that two of them are the same person; 0 knows nothing."""

SAME_SHOT_SURE = 2.0  # log-odds of the same place in the same shot
OTHER_SHOT_SURE = 1.0  # log-odds of the same x in another shot: the camera may have moved
NEUTRAL_HEIGHTS = 2.0  # distance within a shot, in face heights, that says nothing
NEUTRAL_WIDTHS = 0.2  # distance across shots, in frame widths, that says nothing


def position_affinity(frame_width: float) -> Affinity:
    """Affinity by place: near in the same shot, on the same side of the picture in different shots.

    Args:
        frame_width: Displayed width in pixels.
    """

    def affinity(chains: Sequence[Chain]) -> NDArray[np.float32]:
        place = np.array([c.place for c in chains], np.float32).reshape(-1, 3)
        shot = np.array([c.shot for c in chains])
        distance = np.hypot(*(place[:, None, :2] - place[None, :, :2]).transpose(2, 0, 1))
        mean_height = (place[:, None, 2] + place[None, :, 2]) / 2
        near = SAME_SHOT_SURE * (1 - distance / mean_height / NEUTRAL_HEIGHTS)
        across = np.abs(place[:, None, 0] - place[None, :, 0]) / frame_width
        alike = OTHER_SHOT_SURE * (1 - across / NEUTRAL_WIDTHS)
        same_shot = shot[:, None] == shot[None, :]
        return np.where(same_shot, np.clip(near, -SAME_SHOT_SURE, None), np.clip(alike, -OTHER_SHOT_SURE, None)).astype(
            np.float32
        )

    return affinity
