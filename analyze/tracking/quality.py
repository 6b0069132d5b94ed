"""How much an embedding of a face can be trusted: large, near-frontal, clear and uncovered faces tell most."""

import math
from collections.abc import Sequence

from .box import Box

FULL_HEIGHT = 80.0  # pixels; a face of this height fills the embedder's picture with real detail
TURNED = 0.4  # nose off the middle of the eyes, in eye distances, at which quality falls to 1/e
FLAT = 0.28  # eye distance in box heights below which the face is seen from the side
CLEAR_SCORES = (0.5, 0.85)  # detector scores of quality 0 and 1
INSIDE_SHARES = (0.7, 0.95)  # share of the box inside the picture, of quality 0 and 1
COVERED_SHARE = 0.3  # of the box by another face's box, at which quality is 0


def face_quality(
    which: int, boxes: Sequence[Box], score: float, landmarks: Sequence[float], frame_size: tuple[float, float]
) -> float:
    """What an embedding of a face is worth, 0..1.

    Args:
        which: Its position among ``boxes``.
        boxes: Of all faces of the frame, pixels.
        score: Of its detection, 0..1.
        landmarks: Its ten, as in ``Detections``, pixels.
        frame_size: Width and height of the displayed frame, pixels.
    """
    box = boxes[which]
    tall = max(box.height, 1.0)
    size = min(max((tall / FULL_HEIGHT) ** 2, 0.1), 1.0)
    clear = _ramp(score, *CLEAR_SCORES)
    inside = _ramp(box.intersection(Box(0.0, 0.0, *frame_size)) / max(box.area, 1.0), *INSIDE_SHARES)
    free = 1 - _ramp(covered_share(which, boxes), 0.0, COVERED_SHARE)
    return size * clear * inside * free * _frontal(landmarks, tall)


def covered_share(which: int, boxes: Sequence[Box]) -> float:
    """Largest share of a box, by its position among ``boxes``, that another one covers."""
    box = boxes[which]
    shared = max((box.intersection(other) for i, other in enumerate(boxes) if i != which), default=0.0)
    return shared / max(box.area, 1.0)


def _frontal(landmarks: Sequence[float], tall: float) -> float:
    """1 where the nose lies between the eyes, less the further the head is turned."""
    right_x, right_y, left_x, left_y, nose_x, nose_y = landmarks[:6]
    across, down = left_x - right_x, left_y - right_y
    distance = max(math.hypot(across, down), 1e-6)
    beside = (nose_x - (right_x + left_x) / 2) * across + (nose_y - (right_y + left_y) / 2) * down
    off = abs(beside) / distance**2 / TURNED
    return math.exp(-off * off) * min(distance / tall / FLAT, 1.0)


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)
