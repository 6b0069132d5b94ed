"""Decoded pictures as JPEG, as a person sees them: upright, of square pixels, in sRGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2

from ..cpu.compose import ROTATE, OpenCvCompositor
from ..cpu.draw import to_bgr
from ..protocols import Canvas, Tile, VideoInfo

if TYPE_CHECKING:
    from ..cpu.image import YuvImage

Box = tuple[float, float, float, float]

QUALITY = 85  # of libjpeg's 100: no block shows at the size of a screen
# What a crop around a face shows, in heights of the face box: so much in all, and so far below the top of the face.
HEAD_HEIGHT, HEAD_CENTRE = 2.2, 0.7


def display_size(info: VideoInfo, width: int = 0) -> tuple[int, int]:
    """Width and height in square pixels of the upright picture.

    Args:
        info: The video.
        width: The wanted width; the picture's own if 0 or more than that.
    """
    whole = float(info.width * info.pixel_aspect)
    if not 0 < width < whole:
        return max(1, round(whole)), info.height
    return width, max(1, round(width * info.height / whole))


def whole_jpeg(image: YuvImage, info: VideoInfo, width: int = 0) -> bytes:
    """The whole picture, ``width`` pixels wide, to even pixels; in its own size if 0.

    Args:
        image: 8 bits, of the video ``info``.
        info: The video.
        width: In square pixels.
    """
    size = display_size(info, width)
    if size == (info.width, info.height):
        upright = to_bgr(image)
        return _jpeg(cv2.rotate(upright, ROTATE[image.rotation]) if image.rotation else upright)
    return _part(image, (0.0, 0.0, float(info.width), float(info.height)), size)


def face_jpeg(image: YuvImage, info: VideoInfo, box_xyxy: Box, size: int) -> bytes:
    """Head and shoulders around a face, ``size`` pixels wide and high.

    Args:
        image: 8 bits, of the video ``info``.
        info: The video.
        box_xyxy: The face, in displayed pixels.
        size: In square pixels.
    """
    return _part(image, head_and_shoulders(info, box_xyxy), (size, size))


def head_and_shoulders(info: VideoInfo, box_xyxy: Box) -> Box:
    """What is shown around a face: a square to the eye, inside the picture, in displayed pixels."""
    x1, y1, x2, y2 = box_xyxy
    aspect = float(info.pixel_aspect)
    height = min(HEAD_HEIGHT * (y2 - y1), info.height, info.width * aspect)
    width = height / aspect
    left = min(max((x1 + x2 - width) / 2, 0.0), info.width - width)
    top = min(max(y1 + HEAD_CENTRE * (y2 - y1) - height / 2, 0.0), info.height - height)
    return left, top, left + width, top + height


def _part(image: YuvImage, crop_xyxy: Box, size: tuple[int, int]) -> bytes:
    width, height = (max(2, round(value / 2) * 2) for value in size)
    compositor = OpenCvCompositor(Canvas(width, height))
    return _jpeg(to_bgr(compositor.compose(image, [Tile(crop_xyxy, 0, 0, width, height)])))


def _jpeg(bgr: Any) -> bytes:
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
