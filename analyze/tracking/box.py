"""Geometry of single boxes, in plain numbers.

A frame has a few faces, and for a few numbers a call of NumPy costs several times what the sum itself does. What looks
at many boxes at once uses ``analyze/boxes.py``, whose results are the same.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """A box in pixels; ``x2`` and ``y2`` are exclusive."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def height(self) -> float:
        """In pixels."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """In square pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)

    def expanded(self, share: float) -> "Box":
        """Enlarged by ``share`` of its size on each side."""
        x1, y1, x2, y2 = self
        wide, high = (x2 - x1) * share, (y2 - y1) * share
        return Box(x1 - wide, y1 - high, x2 + wide, y2 + high)

    def intersection(self, other: "Box") -> float:
        """Area that both share, square pixels."""
        x1, y1, x2, y2 = self
        left, top, right, bottom = other
        # min() and max() would cost three times as much, and every two faces of every frame come here
        width = (x2 if x2 < right else right) - (x1 if x1 > left else left)
        height = (y2 if y2 < bottom else bottom) - (y1 if y1 > top else top)
        return width * height if width > 0 and height > 0 else 0.0

    def iou(self, other: "Box") -> float:
        """Intersection over union, 0..1.

        >>> round(Box(0, 0, 2, 2).iou(Box(1, 0, 3, 2)), 3)
        0.333
        """
        shared = self.intersection(other)
        return shared / (self.area + other.area - shared) if shared else 0.0


def boxes_of(boxes_xyxy: NDArray[np.float32]) -> list[Box]:
    """Each of ``boxes_xyxy (N, 4)``."""
    return [Box(*corners) for corners in boxes_xyxy.tolist()]


def meeting(boxes: Sequence[Box]) -> set[int]:
    """Positions of those boxes that share some area with another one."""
    pairs = [(i, j) for (i, a), (j, b) in combinations(enumerate(boxes), 2) if a.intersection(b) > 0]
    return {place for pair in pairs for place in pair}
