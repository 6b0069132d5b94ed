"""The CPU compositor against exact references in floating point."""

import cv2
import numpy as np
import pytest

from dft.engines.cpu.compose import OpenCvCompositor
from dft.engines.cpu.image import YuvImage
from dft.engines.protocols import Canvas, Colour, Tile

CROPS = [  # x1, y1, x2, y2 of tiles of 96 x 108 pixels
    pytest.param((40.3, 20.7, 97.19, 84.7), id="enlarged-1.69"),
    pytest.param((40.0, 20.0, 96.9, 84.0), id="enlarged-whole-origin"),
    pytest.param((100.5, 33.25, 129.6, 66.0), id="enlarged-3.3"),
    pytest.param((0.0, 0.0, 80.0, 90.0), id="at-the-corner"),
    pytest.param((160.4, 90.0, 240.0, 180.0), id="at-the-far-corner"),
]


def smooth_plane(rng, height, width, blur):
    noise = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    return np.uint8(np.clip(128 + 40 * noise / noise.std(), 16, 235))


def smooth_image(seed, width, height, blur=3.0, rotation=0):
    rng = np.random.default_rng(seed)
    half = ((height + 1) // 2, (width + 1) // 2)
    planes = [smooth_plane(rng, *shape, blur) for shape in ((height, width), half, half)]
    return YuvImage(*planes, Colour(), rotation)


def bilinear(plane, crop, width, height):
    """The plane at the centres of the tile's pixels, in float; edges are repeated."""
    x1, y1, x2, y2 = crop
    x = np.clip(x1 + (np.arange(width) + 0.5) * (x2 - x1) / width - 0.5, 0, plane.shape[1] - 1)
    y = np.clip(y1 + (np.arange(height) + 0.5) * (y2 - y1) / height - 0.5, 0, plane.shape[0] - 1)
    left, top = np.minimum(x.astype(int), plane.shape[1] - 2), np.minimum(y.astype(int), plane.shape[0] - 2)
    fx, fy = x - left, (y - top)[:, None]
    values = plane.astype(np.float64)
    upper = values[top][:, left] * (1 - fx) + values[top][:, left + 1] * fx
    lower = values[top + 1][:, left] * (1 - fx) + values[top + 1][:, left + 1] * fx
    return upper * (1 - fy) + lower * fy


def psnr(got, wanted):
    return 10 * np.log10(255**2 / np.mean((got - wanted) ** 2))


def compose_one(image, crop, width=96, height=108):
    return OpenCvCompositor(Canvas(width, height)).compose(image, [Tile(crop, 0, 0, width, height)])


@pytest.mark.parametrize("crop", CROPS)
def test_enlarging_is_close_to_exact_bilinear(crop):
    image = smooth_image(1, 240, 180)
    canvas = compose_one(image, crop)
    half = tuple(value / 2 for value in crop)
    for got, wanted in (
        (canvas.y, bilinear(image.y, crop, 96, 108)),
        (canvas.u, bilinear(image.u, half, 48, 54)),
        (canvas.v, bilinear(image.v, half, 48, 54)),
    ):
        assert np.abs(got - wanted).mean() <= 1
        assert psnr(got, wanted) >= 45


@pytest.mark.parametrize("factor", [1.05, 1.3, 1.9, 2.0, 2.7, 4.4])
def test_reducing_keeps_place_and_level(factor):
    image = smooth_image(2, 640, 600, blur=8)
    crop = (31.4, 12.6, 31.4 + 96 * factor, 12.6 + 108 * factor)
    canvas = compose_one(image, crop)
    assert psnr(canvas.y, bilinear(image.y, crop, 96, 108)) >= 40
    assert np.abs(canvas.y.mean() - bilinear(image.y, crop, 96, 108).mean()) < 0.5


def test_reducing_does_not_alias():
    stripes = np.zeros((432, 384), np.uint8)
    stripes[:, ::2] = 255
    grey = np.full((216, 192), 128, np.uint8)
    canvas = compose_one(YuvImage(stripes, grey, grey, Colour()), (0, 0, 96 * 2.2, 108 * 2.2))
    assert canvas.y.std() < 20  # the stripes' own deviation is 127


def test_a_whole_crop_of_the_tile_s_size_is_copied_exactly():
    image = smooth_image(3, 240, 180)
    canvas = compose_one(image, (20, 10, 116, 118))
    np.testing.assert_array_equal(canvas.y, image.y[10:118, 20:116])
    np.testing.assert_array_equal(canvas.u, image.u[5:59, 10:58])
    np.testing.assert_array_equal(canvas.v, image.v[5:59, 10:58])


@pytest.mark.parametrize("axis", [0, 1])
def test_a_slow_pan_moves_a_blob_evenly(axis):
    y, x = np.mgrid[:180, :240]
    blob = np.uint8(np.round(16 + 200 * np.exp(-((x - 110) ** 2 + (y - 90) ** 2) / (2 * 4.0**2))))
    grey = np.full((90, 120), 128, np.uint8)
    image, scale, places = YuvImage(blob, grey, grey, Colour()), 96 / 60, []
    for step in range(21):
        origin = [80.0, 56.25]
        origin[axis] += 0.1 * step
        canvas = compose_one(image, (origin[0], origin[1], origin[0] + 60, origin[1] + 67.5))
        weight = (canvas.y.astype(float) - 16) ** 2  # squared, so that rounding far from the blob does not count
        places.append(
            (weight * np.arange(weight.shape[1 - axis]).reshape((1, -1) if axis == 0 else (-1, 1))).sum() / weight.sum()
        )
    np.testing.assert_allclose(np.diff(places), -0.1 * scale, atol=0.03)


@pytest.mark.parametrize("size", [(240, 180), (241, 181)])
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_equals_composing_the_rotated_picture(rotation, size):
    coded = smooth_image(4, *size, rotation=rotation)
    turns = -rotation // 90  # numpy turns counter-clockwise
    upright = YuvImage(*(np.ascontiguousarray(np.rot90(p, turns)) for p in (coded.y, coded.u, coded.v)), Colour())
    assert (coded.display_width, coded.display_height) == (upright.width, upright.height)
    crop = (30.3, 40.6, 110.3, 130.6)
    got, wanted = compose_one(coded, crop), compose_one(upright, crop)
    assert psnr(got.y.astype(float), wanted.y) >= 45
    # the chroma of an odd picture begins half a pixel early when it is stored the other way round
    assert psnr(got.u.astype(float), wanted.u) >= (45 if size == (240, 180) else 25)
    assert got.rotation == 0


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_odd_sizes_are_used_to_their_edge(rotation):
    image = smooth_image(5, 97, 65, rotation=rotation)
    crop = (0, 0, image.display_width, image.display_height)
    canvas = compose_one(image, crop)
    corners = np.rot90(image.y, -rotation // 90)
    assert abs(int(canvas.y[0, 0]) - int(corners[0, 0])) <= 6
    assert abs(int(canvas.y[-1, -1]) - int(corners[-1, -1])) <= 6


@pytest.mark.parametrize(("full_range", "black"), [(False, 16), (True, 0)])
def test_what_no_tile_covers_is_black(full_range, black):
    image = smooth_image(6, 240, 180)
    image = YuvImage(image.y, image.u, image.v, Colour(full_range=full_range))
    canvas = OpenCvCompositor(Canvas(128, 64)).compose(image, [Tile((0, 0, 64, 64), 64, 0, 64, 64)])
    np.testing.assert_array_equal(canvas.y[:, 64:], image.y[:64, :64])
    assert (canvas.y[:, :64] == black).all()
    assert (canvas.u[:, :32] == 128).all() and (canvas.v[:, :32] == 128).all()
    assert canvas.colour == image.colour


def test_two_tiles_lie_side_by_side():
    image = smooth_image(7, 240, 180)
    tiles = [Tile((0, 0, 64, 64), 0, 0, 64, 64), Tile((100, 50, 164, 114), 64, 0, 64, 64)]
    canvas = OpenCvCompositor(Canvas(128, 64)).compose(image, tiles)
    np.testing.assert_array_equal(canvas.y, np.hstack([image.y[:64, :64], image.y[50:114, 100:164]]))


def test_padded_rows_and_read_only_planes_are_fine_and_untouched():
    image = smooth_image(8, 240, 180)
    padded = []
    for plane in (image.y, image.u, image.v):
        room = np.zeros((plane.shape[0], plane.shape[1] + 16), np.uint8)
        room[:, : plane.shape[1]] = plane
        room.flags.writeable = False
        padded.append(room[:, : plane.shape[1]])
    crop = (40.3, 20.7, 97.19, 84.7)
    np.testing.assert_array_equal(compose_one(YuvImage(*padded, Colour()), crop).y, compose_one(image, crop).y)
    np.testing.assert_array_equal(padded[0], image.y)


def test_a_crop_beyond_the_picture_repeats_its_edge():
    image = smooth_image(9, 64, 64)
    canvas = compose_one(image, (32, 32, 128, 140))
    np.testing.assert_array_equal(canvas.y[:32, :32], image.y[32:, 32:])
    assert (canvas.y[:, -1] == canvas.y[:, 32]).all()
