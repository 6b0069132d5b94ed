"""Lines and words on pictures, and pictures for eyes instead of encoders."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ..protocols import RGB
from .colour import yuv_to_bgr
from .image import YuvImage
from .paint import rgb_to_yuv

FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT = 22.0  # pixels of a capital letter at scale 1


class Pen:
    """Draws on an image of 8 bits, in place.

    Args:
        image: The image; not turned, and its planes can be written.
    """

    def __init__(self, image: YuvImage):
        self._image = image

    def rectangle(self, box_xyxy: NDArray[np.float64], colour: RGB, thickness: int = 2) -> None:
        """Outline a box, given as ``(4,)`` x1, y1, x2, y2 in pixels, x2 y2 exclusive; what lies outside is cut off."""
        x1, y1, x2, y2 = (round(float(value) / 2) * 2 for value in box_xyxy)
        for plane, value, scale in self._planes(colour):
            corners = (x1 // scale, y1 // scale), (x2 // scale - 1, y2 // scale - 1)
            cv2.rectangle(plane, *corners, value, max(1, round(thickness / scale)))

    def words(self, text: str, x: float, y: float, colour: RGB, height: float = 14) -> None:
        """Write ``text`` with its lower left corner at (x, y) in capitals of ``height`` pixels."""
        for plane, value, scale in self._planes(colour):
            size, thickness = height / FONT_HEIGHT / scale, max(1, round(height / 8 / scale))
            cv2.putText(plane, text, (round(x / scale), round(y / scale)), FONT, size, value, thickness, cv2.LINE_AA)

    def _planes(self, colour: RGB) -> list[tuple[NDArray[np.uint8 | np.uint16], int, int]]:
        """Each plane with the colour's value in it, and how many pixels one of its own stands for."""
        image = self._image
        y, u, v = rgb_to_yuv(colour, image.colour, image.depth)
        return [(image.y, y, 1), (image.u, u, 2), (image.v, v, 2)]


def to_bgr(image: YuvImage) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 blue, green, red of an 8-bit image, as coded: not turned."""
    size = (image.width, image.height)
    chroma = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in (image.u, image.v))
    matrix = yuv_to_bgr(image.colour.matrix, image.colour.full_range)
    return np.asarray(cv2.transform(cv2.merge([image.y, *chroma]), matrix), np.uint8)
