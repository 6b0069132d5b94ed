"""The CPU compositor against exact references in floating point."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.engines.cpu import compose
from dft.engines.cpu.compose import OpenCvCompositor
from dft.engines.cpu.image import YuvImage
from dft.engines.cpu.paint import rgb_to_yuv
from dft.engines.protocols import Bar, Canvas, Colour, Tile

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


def psnr(got, wanted, peak=255):
    return 10 * np.log10(peak**2 / max(np.mean((np.float64(got) - wanted) ** 2), 1e-9))


class Waves:
    """A picture known at every place: 40 plane waves of up to ``highest`` cycles per pixel."""

    def __init__(self, highest, seed=0):
        rng = np.random.default_rng(seed)
        frequency, angle, self.phase = rng.uniform([[0.01], [0], [0]], [[highest], [2 * np.pi], [2 * np.pi]], (3, 40))
        self.x, self.y = 2 * np.pi * frequency * (np.cos(angle), np.sin(angle))

    def at(self, x, y):
        """``(len(y), len(x))`` values about 128, in 0..255."""
        across, down = np.multiply.outer(self.x, x), np.multiply.outer(y, self.y) + self.phase
        return np.clip(128 + 4 * (np.sin(down) @ np.cos(across) + np.cos(down) @ np.sin(across)), 0, 255)

    def in_tile(self, crop, width, height):
        x1, y1, x2, y2 = crop
        x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        return self.at(x1 + x * (x2 - x1) / width, y1 + y * (y2 - y1) / height)

    def image(self, width, height, depth, rotation=0):
        planes = [self.in_tile((0, 0, *size), *size) for size in ((width, height), *[(width // 2, height // 2)] * 2)]
        values = [np.rint(plane * 2 ** (depth - 8)) for plane in planes]
        return YuvImage(*(v.astype(np.uint8 if depth == 8 else np.uint16) for v in values), Colour(), rotation)


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


@pytest.mark.parametrize(("depth", "least_db"), [(8, 51.5), (10, 53.5)])
@pytest.mark.parametrize("height", [150, 151.3, 200, 233.3, 297.7, 300])
@pytest.mark.parametrize("offset", [0, 0.37, 0.5, 0.81])
def test_enlarging_is_close_to_the_true_picture(offset, height, depth, least_db):
    waves, width = Waves(0.2), height * 320 / 360
    image = waves.image(480, 400, depth)
    crop = (60 + offset, 40 + 1.3 * offset, 60 + offset + width, 40 + 1.3 * offset + height)
    canvas = compose_one(image, crop, 320, 360)
    half = tuple(value / 2 for value in crop)
    for got, wanted in (
        (canvas.y, waves.in_tile(crop, 320, 360)),
        (canvas.u, waves.in_tile(half, 160, 180)),
        (canvas.v, waves.in_tile(half, 160, 180)),
    ):
        scale = 2 ** (depth - 8)
        assert psnr(got, wanted * scale, 255 * scale) >= least_db
        edges = np.abs(got - wanted * scale)[[0, -1]], np.abs(got - wanted * scale)[:, [0, -1]]
        assert max(edge.mean() for edge in edges) <= 1.25 * scale


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_ten_bits_are_as_eight_and_finer(rotation):
    crop = (40.3, 20.7, 97.19, 84.7)
    eight, ten = (compose_one(Waves(0.2).image(240, 180, depth, rotation), crop) for depth in (8, 10))
    assert ten.y.dtype == np.uint16 and ten.depth == 10
    for name in "yuv":
        assert np.abs(getattr(ten, name) / 4 - getattr(eight, name)).max() <= 1.6
    assert len(np.unique(ten.y % 4)) == 4


def test_ten_bits_do_not_overshoot():
    stripes = np.zeros((64, 64), np.uint16)
    stripes[:, ::8] = stripes[:, 1::8] = 1023
    grey = np.full((32, 32), 512, np.uint16)
    for crop in ((10.3, 10.2, 30.9, 33.1), (8, 8, 24, 26)):
        canvas = compose_one(YuvImage(stripes, grey, grey, Colour(full_range=True)), crop)
        assert canvas.y.max() == 1023 and canvas.y.min() == 0
        assert (canvas.u == 512).all()


@settings(max_examples=60, deadline=None)
@given(
    origin=st.tuples(*[st.floats(0, 200)] * 2), steps=st.tuples(*[st.floats(0.1, 5)] * 2), level=st.integers(0, 255),
    depth=st.sampled_from([8, 10]), blur=st.sampled_from([0.0, 0.05]),
)  # fmt: skip
def test_a_flat_picture_stays_as_it_is(origin, steps, level, depth, blur):
    level, dtype = level << (depth - 8), np.uint8 if depth == 8 else np.uint16
    image = YuvImage(*(np.full(shape, level, dtype) for shape in ((480, 500), (240, 250), (240, 250))), Colour())
    crop = (*origin, min(origin[0] + 48 * steps[0], 500), min(origin[1] + 54 * steps[1], 480))
    canvas = OpenCvCompositor(Canvas(48, 54)).compose(image, [Tile(crop, 0, 0, 48, 54, blur)])
    assert all((plane == level).all() for plane in (canvas.y, canvas.u, canvas.v))


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


@pytest.mark.parametrize("step", [1.02, 1.2, 1.37, 1.5, 1.8, 1.97])
@pytest.mark.parametrize("depth", [8, 10])
def test_reducing_keeps_what_the_tile_can_show_and_little_else(step, depth):
    kept, grey = {}, np.full((300, 300), 128, np.uint16)
    for cycles in (0.1, 0.2, 0.45, 0.5):  # per pixel of the source
        grating = np.rint((128 + 100 * np.cos(2 * np.pi * cycles * np.arange(600) + 1)) * 2 ** (depth - 8))
        planes = (np.tile(grating, (600, 1)), grey, grey)
        image = YuvImage(*(plane.astype(np.uint8 if depth == 8 else np.uint16) for plane in planes), Colour())
        canvas = compose_one(image, (31.37, 22.6, 31.37 + 192 * step, 22.6 + 216 * step), 192, 216)
        kept[cycles] = canvas.y[:, 4:-4].std() / grating.std()
    assert kept[0.1] > 0.89 and kept[0.2] > 0.63
    assert step < 1.2 or max(kept[0.45], kept[0.5]) < 0.32


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


@pytest.mark.parametrize("width", [200, 251.37, 288, 400.1])
@pytest.mark.parametrize("velocity", [(0.037, 0), (0, 0.11), (0.137, 0.093)])
def test_a_slow_pan_does_not_step_at_any_scale(velocity, width):
    """The phase of a grating along each axis, which is its place to a thousandth of a pixel."""
    x, y = np.arange(700), np.arange(700)[:, None]
    turns = 2 * np.pi / 16
    grey, places = np.full((350, 350), 128, np.uint8), []
    image = YuvImage(np.uint8(np.rint(128 + 50 * np.cos(turns * x) + 50 * np.cos(turns * y))), grey, grey, Colour())
    height, step = width * 540 / 480, width / 480
    for frame in range(24):
        left, top = 90.2 + frame * velocity[0], 80.7 + frame * velocity[1]
        canvas = compose_one(image, (left, top, left + width, top + height), 480, 540)
        waves = [np.exp(-1j * turns * step * np.arange(size)) * np.hanning(size) for size in (480, 540)]
        phases = [np.angle((canvas.y.mean(axis=axis) - 128) @ waves[axis]) for axis in (0, 1)]
        places.append(np.array(phases) / turns / step)
    moved = np.diff(np.unwrap(np.array(places), axis=0, period=16 / step), axis=0)
    np.testing.assert_allclose(moved, np.tile(np.array(velocity) / step, (23, 1)), atol=1 / 16)  # pixels of the tile


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


@pytest.mark.parametrize("colour", [Colour(), Colour(full_range=True), Colour(9, 9, 16), Colour(6, 6, 6)])
@pytest.mark.parametrize("depth", [8, 10])
def test_what_no_tile_covers_has_the_background_s_colour(depth, colour):
    waves = Waves(0.2).image(240, 180, depth)
    image = YuvImage(waves.y, waves.u, waves.v, colour)
    canvas = OpenCvCompositor(Canvas(128, 64, (20, 120, 220))).compose(image, [Tile((0, 0, 64, 64), 64, 0, 64, 64)])
    np.testing.assert_array_equal(canvas.y[:, 64:], image.y[:64, :64])
    y, u, v = rgb_to_yuv((20, 120, 220), colour, depth)
    assert (canvas.y[:, :64] == y).all() and (canvas.u[:, :32] == u).all() and (canvas.v[:, :32] == v).all()
    assert canvas.colour == image.colour and canvas.depth == depth


even = st.integers(0, 15).map(lambda n: 2 * n)
rectangles = st.lists(st.tuples(even, even, even, even), max_size=5).map(
    lambda all_: [(min(a, c), min(b, d), abs(c - a) + 2, abs(d - b) + 2) for a, b, c, d in all_]
)


@settings(max_examples=60, deadline=None)
@given(places=rectangles)
def test_later_parts_lie_on_top_and_the_background_fills_the_rest(places):
    """Tiles and bars in turn, each of one grey level."""
    y = np.repeat(np.uint8(30 * np.arange(1, 6)), 40)[None].repeat(40, 0)
    grey = np.full((20, 100), 128, np.uint8)
    wanted, parts = np.full((32, 32), rgb_to_yuv((250, 250, 250), Colour(), 8)[0]), []
    for number, (left, top, width, height) in enumerate(places):
        if number % 2:
            parts.append(Bar(left, top, width, height, (40, 40, 40)))
            level = rgb_to_yuv((40, 40, 40), Colour(), 8)[0]
        else:
            parts.append(Tile((40 * number + 10, 10, 40 * number + 22, 25), left, top, width, height))
            level = 30 * (number + 1)
        wanted[top : top + height, left : left + width] = level
    canvas = OpenCvCompositor(Canvas(32, 32, (250, 250, 250))).compose(YuvImage(y, grey, grey, Colour()), parts)
    np.testing.assert_array_equal(canvas.y, wanted)
    assert (canvas.u == 128).all() and (canvas.v == 128).all()


def test_a_covered_canvas_is_not_filled(monkeypatch):
    def filled(*_):
        raise AssertionError("filled")

    monkeypatch.setattr(compose, "rgb_to_yuv", filled)
    image, compositor = smooth_image(6, 240, 180), OpenCvCompositor(Canvas(128, 64))
    tiles = [Tile((0, 0, 64, 64), 0, 0, 64, 64), Tile((0, 0, 64, 64), 60, 0, 68, 64)]
    compositor.compose(image, tiles)
    with pytest.raises(AssertionError, match="filled"):
        compositor.compose(image, tiles[1:])


def blurred(plane, deviation):
    return cv2.GaussianBlur(np.float64(plane), (0, 0), deviation, borderType=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("blur", [0.005, 0.01, 0.03, 0.1])
@pytest.mark.parametrize(("depth", "rotation"), [(8, 0), (8, 90), (10, 0), (10, 270)])
def test_blur_is_gaussian(depth, rotation, blur):
    image = Waves(0.08).image(480, 480, depth, rotation)
    crop, compositor = (60.4, 40.2, 220.4, 220.2), OpenCvCompositor(Canvas(320, 360))
    sharp = compositor.compose(image, [Tile(crop, 0, 0, 320, 360)])
    soft = compositor.compose(image, [Tile(crop, 0, 0, 320, 360, blur)])
    scale = 2 ** (depth - 8)
    assert psnr(soft.y, blurred(sharp.y, 360 * blur), 255 * scale) >= 45
    assert psnr(soft.u, blurred(sharp.u, 180 * blur), 255 * scale) >= 45


def test_a_strong_blur_shows_no_blocks():
    edge = np.full((360, 640), 60, np.uint8)
    edge[:, 320:] = 200
    grey = np.full((180, 320), 128, np.uint8)
    tile = Tile((0, 0, 640, 360), 0, 0, 640, 360, 0.08)
    row = OpenCvCompositor(Canvas(640, 360)).compose(YuvImage(edge, grey, grey, Colour()), [tile]).y[180].astype(int)
    assert np.diff(row).min() >= 0 and np.abs(np.diff(row, 2)).max() <= 2
    np.testing.assert_allclose(row, blurred(edge, 360 * 0.08)[180], atol=2)


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


BEYOND = [(100, 0, 120, 20), (-30.3, -30, -10, -10.5), (0, 60, 20, 90), (64, 48, 70, 50), (1000, 1000, 1300, 1300)]


@pytest.mark.parametrize("crop", [*BEYOND, (-200.5, 10, 264.5, 40)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_crop_wholly_beyond_the_picture_shows_its_edge(crop, rotation):
    """As if the picture went on like that."""
    image = smooth_image(10, 64, 48, rotation=rotation)
    room = 1400
    larger = YuvImage(
        np.pad(image.y, room, "edge"), *(np.pad(plane, room // 2, "edge") for plane in (image.u, image.v)), Colour(),
        rotation,
    )  # fmt: skip
    got, wanted = compose_one(image, crop), compose_one(larger, tuple(value + room for value in crop))
    for name in "yuv":
        np.testing.assert_allclose(getattr(got, name), getattr(wanted, name).astype(int), atol=1)


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("blur", [0, 0.1])
@pytest.mark.parametrize("size", [(2, 2), (2, 4), (4, 2), (2, 8), (8, 2), (6, 2)])
@pytest.mark.parametrize("crop", [(0, 0, 64, 48), (10.3, 5.2, 20.7, 9.9), (10, 10, 12, 12)])
def test_the_smallest_tiles_have_their_colour(crop, size, blur, depth):
    """One pixel of chroma is a picture like any other."""
    levels, kind = [value << (depth - 8) for value in (100, 90, 160)], np.uint8 if depth == 8 else np.uint16
    planes = [np.full(shape, level, kind) for shape, level in zip(((48, 64), (24, 32), (24, 32)), levels, strict=True)]
    canvas = OpenCvCompositor(Canvas(16, 16)).compose(YuvImage(*planes, Colour()), [Tile(crop, 4, 4, *size, blur)])
    width, height = size
    assert (canvas.y[4 : 4 + height, 4 : 4 + width] == levels[0]).all()
    half = slice(2, 2 + height // 2), slice(2, 2 + width // 2)
    assert (canvas.u[half] == levels[1]).all() and (canvas.v[half] == levels[2]).all()
