"""Pictures on the CPU: views of decoded frames, and other pixel formats."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from dft.engines.cpu.image import blank, empty, from_av, plane_view, yuv_colour
from dft.engines.protocols import Colour

YUV = (200, 90, 170)


def flat_frame(pixel_format, width=64, height=48, color_range=ColorRange.JPEG):
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, YUV, strict=True):
        np.frombuffer(plane, np.uint8)[:] = value
    return frame.reformat(format=pixel_format, src_color_range=color_range, dst_color_range=color_range)


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


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("pixel_format", [*FORMATS[:7], "yuv422p12le", "yuv444p12le", "yuv420p12le", "yuv420p16le"])
def test_ten_bits_keep_their_values(pixel_format, full_range):
    """Four times those of 8 bits; in full range up to 3 of 1023 more, as 255 is all of it."""
    full_range = full_range or pixel_format.startswith("yuvj")
    frame = flat_frame(pixel_format, color_range=ColorRange.JPEG if full_range else ColorRange.MPEG)
    image = from_av(frame, Colour(9, 9, 16, full_range), depth=10)
    assert image.depth == 10
    for plane, value in zip((image.y, image.u, image.v), YUV, strict=True):
        assert plane.dtype == np.uint16
        assert np.abs(plane.astype(int) - 4 * value).max() <= (3 if full_range else 0)
    assert image.colour == Colour(9, 9, 16, full_range)


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
def test_ten_bits_stay_ten_bits(pixel_format):
    """Every value, in all of the width; none is rounded to 8 bits on the way."""
    frame = av.VideoFrame(1024, 32, pixel_format)
    for plane in frame.planes:
        plane_view(plane, 10)[:] = 512
    plane_view(frame.planes[0], 10)[:] = np.arange(1024)
    image = from_av(frame, Colour(), depth=10)
    assert (image.y == np.arange(1024)).all()
    assert (image.u == 512).all() and (image.v == 512).all()


@pytest.mark.parametrize("width", [97, 113, 120, 192])
@pytest.mark.parametrize("pixel_format", ["yuv444p", "nv12"])
def test_ten_bits_are_right_at_every_width(pixel_format, width):
    """Parallel slices of libswscale overwrote the beginnings of rows, in about one of three frames."""
    frame = av.VideoFrame(width, 66, pixel_format)
    luma = np.random.default_rng(width).integers(64, 200, (66, width))
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = 128
    plane_view(frame.planes[0])[:] = luma
    for _ in range(40):
        image = from_av(frame, Colour(), depth=10)
        np.testing.assert_array_equal(image.y, 4 * luma)
        assert (image.u == 512).all() and (image.v == 512).all()


def test_planar_frames_of_ten_bits_are_not_copied():
    frame = av.VideoFrame(65, 49, "yuv420p10le")
    image = from_av(frame, Colour(), depth=10)
    assert image.y.shape == (49, 65) and image.u.shape == image.v.shape == (25, 33)
    plane_view(frame.planes[0], 10)[7, 11] = 1003
    assert image.y[7, 11] == 1003


@pytest.mark.parametrize(("depth", "values"), [(8, np.uint8), (10, np.uint16)])
def test_an_empty_picture_lies_in_a_frame(depth, values):
    image = empty(66, 50, Colour(1), depth)
    assert (image.depth, image.width, image.height, image.colour) == (depth, 66, 50, Colour(1))
    image.y[:] = 2**depth - 1
    assert image.y.dtype == values and image.u.shape == (25, 33)
    assert image.owner.format.name == ("yuv420p" if depth == 8 else "yuv420p10le")
    np.testing.assert_array_equal(plane_view(image.owner.planes[0], depth), image.y)


def test_limited_range_is_not_stretched_when_bits_are_dropped():
    """10-bit white of 940 is 235 of 8 bits; read as full range it would be 234.3."""
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    for plane, value in zip(frame.planes, (940, 512, 512), strict=True):
        plane_view(plane, 10)[:] = value
    image = from_av(frame, Colour())
    assert (image.y == 235).all() and (image.u == 128).all()


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le"])
def test_gray_keeps_its_values_and_has_no_colour(pixel_format):
    frame = av.VideoFrame(64, 48, pixel_format)
    dtype, factor = (np.uint8, 1) if pixel_format == "gray" else (np.uint16, 4)
    np.frombuffer(frame.planes[0], dtype)[:] = 231 * factor
    image = from_av(frame, Colour())
    assert (image.y == 231).all()
    assert (image.u == 128).all() and (image.v == 128).all()
    deep = from_av(frame, Colour(), depth=10)
    assert np.abs(deep.y.astype(int) - 924).max() <= 3
    assert (deep.u == 512).all() and (deep.v == 512).all()


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
    deep = from_av(frame, Colour(0, 9, 16, full_range=True), depth=10)
    for plane, value in zip((deep.y, deep.u, deep.v), yuv, strict=True):
        assert np.abs(plane.astype(int) - 4 * value).max() <= 3


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
