"""The picture of one frame on the CPU: 8-bit planar YUV 4:2:0."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..protocols import Colour

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.plane import VideoPlane

PLANAR_FORMATS = ("yuv420p", "yuvj420p")
BT709 = 1
NEUTRAL_CHROMA = 128


@dataclass(frozen=True, eq=False)
class YuvImage:
    """One picture as three planes, as coded: not rotated.

    Attributes:
        y: ``(H, W)`` uint8 luma; rows may be padded.
        u: ``(ceil(H/2), ceil(W/2))`` uint8 blue difference.
        v: ``(ceil(H/2), ceil(W/2))`` uint8 red difference.
        colour: How the values are to be read.
        rotation: Clockwise degrees from the coded to the displayed picture: 0, 90, 180 or 270.
        owner: What owns the memory of the planes, where that is not numpy.
    """

    y: NDArray[np.uint8]
    u: NDArray[np.uint8]
    v: NDArray[np.uint8]
    colour: Colour
    rotation: int = 0
    owner: Any = field(default=None, repr=False)

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


def from_av(frame: "VideoFrame", colour: Colour, rotation: int = 0) -> YuvImage:
    """The planes of a decoded frame, without a copy where it is 8-bit planar 4:2:0.

    Other formats go through libswscale, and keep matrix and range; RGB becomes BT.709 of limited range.

    Args:
        frame: Frame in system memory, of any pixel format.
        colour: How the frame's values are to be read.
        rotation: Clockwise degrees from the coded to the displayed picture.
    """
    pixel_format = frame.format.name
    if pixel_format not in PLANAR_FORMATS:
        frame = _as_yuv420p(frame)
    y, u, v = (plane_view(plane) for plane in frame.planes)
    if _is_gray(pixel_format):  # libswscale dithers the chroma that it makes up
        u, v = np.full_like(u, NEUTRAL_CHROMA), np.full_like(v, NEUTRAL_CHROMA)
    return YuvImage(y, u, v, yuv_colour(pixel_format, colour), rotation, owner=frame)


def empty(width: int, height: int, colour: Colour) -> YuvImage:
    """A picture to be filled, in memory that FFmpeg's encoders take as it is: ``width`` x ``height`` pixels, even."""
    import av

    frame = av.VideoFrame(width, height, "yuv420p")
    y, u, v = (plane_view(plane) for plane in frame.planes)
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


def _as_yuv420p(frame: "VideoFrame") -> "VideoFrame":
    """Change bit depth and subsampling only; the same matrix and range on both sides leave values alone."""
    from av.video.reformatter import ColorRange, Colorspace

    # libswscale takes gray as full range whatever it is told, so both sides are called full range: no change
    target_range = ColorRange.MPEG if _is_rgb(frame.format.name) else ColorRange.JPEG
    return frame.reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=target_range,
    )


def plane_view(plane: "VideoPlane") -> NDArray[np.uint8]:
    """``(H, W)`` uint8 view of the memory of an 8-bit plane, without its padding."""
    rows = np.frombuffer(memoryview(cast(Any, plane)), np.uint8).reshape(-1, abs(plane.line_size))
    if plane.line_size < 0:
        rows = rows[::-1]
    return rows[: plane.height, : plane.width]
