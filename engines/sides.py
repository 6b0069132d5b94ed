"""The sides of a picture, as coded and as displayed: the same for every kind of image."""

from typing import Any

import numpy as np


class Sides:
    """What follows from a plane of luma ``y`` and a ``rotation``, which each kind of image has."""

    __slots__ = ()

    y: Any
    rotation: int

    @property
    def depth(self) -> int:
        """Bits of a value: 8 or 10."""
        return 8 if self.y.dtype == np.uint8 else 10

    @property
    def width(self) -> int:
        """Coded width in pixels."""
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        """Coded height in pixels."""
        return int(self.y.shape[0])

    @property
    def display_width(self) -> int:
        """Width in pixels after rotation."""
        return self.height if self.rotation in (90, 270) else self.width

    @property
    def display_height(self) -> int:
        """Height in pixels after rotation."""
        return self.width if self.rotation in (90, 270) else self.height
