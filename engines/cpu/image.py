"""The picture of one frame on the CPU: planar YUV 4:2:0 of 8 or 10 bits."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..protocols import Colour
from ..sides import Sides

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.plane import VideoPlane

PIXEL_FORMATS = {8: "yuv420p", 10: "yuv420p10le"}  # of images, by bits of a value
PLANAR_FORMATS = {8: ("yuv420p", "yuvj420p"), 10: ("yuv420p10le",)}  # taken without a copy
BT709 = 1
NEUTRAL_CHROMA = 128  # of 8 bits
WHOLE_VECTORS = 32  # pixels: of which rows of luma and of chroma fill libswscale's vectors

Plane = NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True, eq=False)
class YuvImage(Sides):
    """One picture as three planes, as coded: not rotated.

    Attributes:
        y: ``(H, W)`` luma: uint8 of 0..255, or uint16 of 0..1023; rows may be padded.
        u: ``(ceil(H/2), ceil(W/2))`` blue difference, of the same type.
        v: ``(ceil(H/2), ceil(W/2))`` red difference, of the same type.
        colour: How the values are to be read.
        rotation: Clockwise degrees from the coded to the displayed picture: 0, 90, 180 or 270.
        owner: What owns the memory of the planes, where that is not numpy.
    """

    y: Plane
    u: Plane
    v: Plane
    colour: Colour
    rotation: int = 0
    owner: Any = field(default=None, repr=False)


def from_av(frame: "VideoFrame", colour: Colour, rotation: int = 0, depth: int = 8) -> YuvImage:
    """The planes of a decoded frame, without a copy where it is planar 4:2:0 of that depth.

    Other formats go through libswscale, and keep matrix and range; RGB becomes BT.709 of limited range.

    Args:
        frame: Frame in system memory, of any pixel format.
        colour: How the frame's values are to be read.
        rotation: Clockwise degrees from the coded to the displayed picture.
        depth: Bits of the image's values: 8 or 10.
    """
    pixel_format = frame.format.name
    told = yuv_colour(pixel_format, colour)
    if pixel_format not in PLANAR_FORMATS[depth]:
        frame = _as_yuv420(frame, told.full_range, depth)
    y, u, v = (plane_view(plane, depth) for plane in frame.planes)
    if _is_gray(pixel_format):  # libswscale dithers the chroma that it makes up
        u, v = (np.full_like(plane, NEUTRAL_CHROMA << (depth - 8)) for plane in (u, v))
    return YuvImage(y, u, v, told, rotation, owner=frame)


def empty(width: int, height: int, colour: Colour, depth: int = 8) -> YuvImage:
    """A picture to be filled, in memory that FFmpeg's encoders take as it is.

    Args:
        width: In pixels, even.
        height: In pixels, even.
        colour: How the values will be meant.
        depth: Bits of a value: 8 (``yuv420p``) or 10 (``yuv420p10le``).
    """
    import av

    frame = av.VideoFrame(width, height, PIXEL_FORMATS[depth])
    y, u, v = (plane_view(plane, depth) for plane in frame.planes)
    return YuvImage(y, u, v, colour, owner=frame)


def lying_in(values: NDArray[np.uint8 | np.uint16], width: int, height: int, colour: Colour) -> YuvImage:
    """A picture in memory of the caller's, which FFmpeg's encoders take as it is; it is not copied.

    Args:
        values: ``(width * height * 3 / 2,)`` uint8 or uint16 (10 bits): the planes one after the other.
        width: In pixels, even.
        height: In pixels, even.
        colour: How the values are meant.
    """
    import av

    luma, half = width * height, (height // 2, width // 2)
    y, u, v = values[:luma].reshape(height, width), *values[luma:].reshape(2, *half)
    depth = 8 if values.dtype == np.uint8 else 10
    frame = av.VideoFrame.from_dlpack([y, u, v], format=PIXEL_FORMATS[depth])
    return YuvImage(y, u, v, colour, owner=frame)


def blank(width: int, height: int, colour: Colour) -> YuvImage:
    """A black picture of ``width`` x ``height`` pixels."""
    chroma_shape = ((height + 1) // 2, (width + 1) // 2)
    return YuvImage(
        np.full((height, width), 0 if colour.full_range else 16, np.uint8),
        np.full(chroma_shape, NEUTRAL_CHROMA, np.uint8),
        np.full(chroma_shape, NEUTRAL_CHROMA, np.uint8),
        colour,
    )


def yuv_colour(pixel_format: str, colour: Colour) -> Colour:
    """The colour of the images that :func:`from_av` makes of frames in ``pixel_format``."""
    if _is_rgb(pixel_format):
        return Colour(BT709, colour.primaries, colour.transfer, full_range=False)
    return Colour(
        colour.matrix, colour.primaries, colour.transfer, colour.full_range or pixel_format.startswith("yuvj")
    )


def _is_rgb(pixel_format: str) -> bool:
    from av import VideoFormat

    form = VideoFormat(pixel_format)
    return bool(form.is_rgb or form.has_palette)


def _is_gray(pixel_format: str) -> bool:
    from av import VideoFormat

    parts = VideoFormat(pixel_format).components
    return not _is_rgb(pixel_format) and all(part.is_luma or part.is_alpha for part in parts)


def _as_yuv420(frame: "VideoFrame", full_range: bool, depth: int) -> "VideoFrame":
    """Change bit depth and subsampling only; the same matrix and range on both sides leave values alone."""
    from av.video.reformatter import ColorRange, Colorspace

    same = ColorRange.JPEG if full_range else ColorRange.MPEG
    if _is_gray(frame.format.name):  # libswscale takes gray as full range whatever it is told: no change
        same = ColorRange.JPEG
    return frame.reformat(
        format=PIXEL_FORMATS[depth],
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG if _is_rgb(frame.format.name) else same,
        dst_color_range=same,
        # where 10-bit rows are not whole vectors, libswscale's parallel slices spoil each other's first pixels
        threads=1 if depth > 8 and frame.width % WHOLE_VECTORS else None,
    )


def plane_view(plane: "VideoPlane", depth: int = 8) -> Plane:
    """``(H, W)`` view of the memory of a plane of ``depth`` bits, without its padding: uint8, or uint16 above 8."""
    values: np.dtype[np.uint8 | np.uint16] = np.dtype(np.uint8 if depth == 8 else np.uint16)
    row = abs(plane.line_size) // values.itemsize
    rows = np.frombuffer(memoryview(cast(Any, plane)), values).reshape(-1, row)
    if plane.line_size < 0:
        rows = rows[::-1]
    return rows[: plane.height, : plane.width]
