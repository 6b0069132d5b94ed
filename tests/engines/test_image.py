"""Pictures on the CPU: views of decoded frames, and other pixel formats."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from dft.engines.cpu.image import blank, from_av, plane_view, yuv_colour
from dft.engines.protocols import Colour

YUV = (200, 90, 170)


def flat_frame(pixel_format, width=64, height=48):
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, YUV, strict=True):
        np.frombuffer(plane, np.uint8)[:] = value
    same = {"src_color_range": ColorRange.JPEG, "dst_color_range": ColorRange.JPEG}
    return frame.reformat(format=pixel_format, **same)


def test_planar_frames_are_not_copied():
    frame = flat_frame("yuv420p", 65, 49)
    image = from_av(frame, Colour())
    assert image.y.shape == (49, 65)
    assert image.u.shape == image.v.shape == (25, 33)
    plane_view(frame.planes[0])[7, 11] = 3
    assert image.y[7, 11] == 3


def test_a_picture_outlives_its_frame():
    image = from_av(flat_frame("yuv420p"), Colour())
    for _ in range(50):
        flat_frame("nv12")
    assert (image.y == YUV[0]).all()


FORMATS = ["nv12", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "p010le", "yuvj420p", "yuvj444p", "yuva420p"]


@pytest.mark.parametrize("color_range", [0, 1, 2])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_other_formats_keep_their_values(pixel_format, color_range):
    frame = flat_frame(pixel_format)
    frame.color_range = color_range
    image = from_av(frame, Colour(1, 1, 1))
    for plane, value in zip((image.y, image.u, image.v), YUV, strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 1
    assert image.colour == Colour(1, 1, 1, full_range=pixel_format.startswith("yuvj"))


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le"])
def test_gray_keeps_its_values_and_has_no_colour(pixel_format):
    frame = av.VideoFrame(64, 48, pixel_format)
    dtype, factor = (np.uint8, 1) if pixel_format == "gray" else (np.uint16, 4)
    np.frombuffer(frame.planes[0], dtype)[:] = 231 * factor
    image = from_av(frame, Colour())
    assert (image.y == 231).all()
    assert (image.u == 128).all() and (image.v == 128).all()


@pytest.mark.parametrize(
    ("rgb", "yuv"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (63, 102, 240)),
        ((0, 0, 255), (32, 240, 118)),
    ],
)
def test_rgb_becomes_bt709_of_limited_range(rgb, yuv):
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), rgb, np.uint8), "rgb24")
    image = from_av(frame, Colour(0, 9, 16, full_range=True))
    for plane, value in zip((image.y, image.u, image.v), yuv, strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 1
    assert image.colour == yuv_colour("rgb24", Colour(0, 9, 16, full_range=True)) == Colour(1, 9, 16, False)


@pytest.mark.parametrize(("rotation", "shown"), [(0, (64, 48)), (90, (48, 64)), (180, (64, 48)), (270, (48, 64))])
def test_display_size_follows_rotation(rotation, shown):
    image = from_av(flat_frame("yuv420p"), Colour(), rotation)
    assert (image.display_width, image.display_height) == shown
    assert (image.width, image.height) == (64, 48)


def test_blank_is_black():
    limited, full = blank(33, 21, Colour()), blank(33, 21, Colour(full_range=True))
    assert limited.y.shape == (21, 33) and limited.u.shape == (11, 17)
    assert (limited.y == 16).all() and (full.y == 0).all()
    assert (limited.u == 128).all() and (full.v == 128).all()
