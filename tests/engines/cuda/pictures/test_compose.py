"""The CUDA compositor against the CPU's: here the kernels run on the CPU, and on a GPU where there is one."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dft.engines.cpu.compose import OpenCvCompositor
from dft.engines.cuda import compose
from dft.engines.cuda.compose import CudaCompositor
from dft.engines.protocols import Bar, Canvas, Colour, Tile

CROPS = [  # x1, y1, x2, y2 of tiles of 96 x 108 pixels
    pytest.param((40.3, 20.7, 97.19, 84.7), id="enlarged-1.69"),
    pytest.param((40.0, 20.0, 96.9, 84.0), id="enlarged-whole-origin"),
    pytest.param((100.5, 33.25, 129.6, 66.0), id="enlarged-3.3"),
    pytest.param((20, 10, 116, 118), id="copied"),
    pytest.param((20.37, 10.81, 116.37, 118.81), id="shifted"),
    pytest.param((0.0, 0.0, 80.0, 90.0), id="corner"),
    pytest.param((160.4, 90.0, 240.0, 180.0), id="far-corner"),
    pytest.param((3.1, 2.7, 141.1, 158.0), id="reduced-1.44"),
    pytest.param((0, 0, 180.3, 180), id="reduced-1.88"),
    pytest.param((0, 0, 240, 180), id="whole"),
]
LEAST_DB, MOST_GREY = 45, 1.0  # what the CUDA side promises


def assert_alike(pictures, got, wanted, depth=8, least_db=LEAST_DB):
    for name, made, plane in zip("yuv", pictures.from_gpu(got), (wanted.y, wanted.u, wanted.v), strict=True):
        grey, decibels = pictures.errors(made, plane, depth)
        assert grey <= MOST_GREY and decibels >= least_db, f"{name}: {grey:.3f} levels, {decibels:.1f} dB"


def both(pictures, image, tiles, canvas):
    with CudaCompositor(canvas) as compositor:
        got = compositor.compose(pictures.on_gpu(image), tiles)
        return got, OpenCvCompositor(canvas).compose(image, tiles)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("kind", ["smooth", "natural", "noise"])
def test_crops_are_the_cpu_s(any_cupy, pictures, crop, depth, kind):
    image = {
        "smooth": lambda: pictures.smooth(1, 240, 180, depth=depth),
        "natural": lambda: pictures.natural(240, 180, depth=depth),
        "noise": lambda: pictures.smooth(2, 240, 180, blur=0.4, depth=depth),
    }[kind]()
    got, wanted = both(pictures, image, [Tile(crop, 0, 0, 96, 108)], Canvas(96, 108))
    assert_alike(pictures, got, wanted, depth)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(240, 180), (241, 181)])
@pytest.mark.parametrize("depth", [8, 10])
def test_every_rotation_is_the_cpu_s(any_cupy, pictures, rotation, size, depth):
    image = pictures.natural(*size, rotation=rotation, depth=depth)
    tiles = [Tile((30.3, 40.6, 110.3, 130.6), 0, 0, 96, 108), Tile((20.1, 3.3, 150.2, 150), 96, 4, 60, 100)]
    got, wanted = both(pictures, image, tiles, Canvas(156, 108))
    assert_alike(pictures, got, wanted, depth)
    assert got.rotation == 0 and got.colour == image.colour


@pytest.mark.parametrize("factor", [2.0, 2.7, 4.4, 9.1])
@pytest.mark.parametrize("depth", [8, 10])
def test_reduction_is_the_cpu_s(any_cupy, pictures, factor, depth):
    image = pictures.natural(960, 1000, depth=depth)
    crop = (31.4, 12.6, 31.4 + 96 * factor, 12.6 + 104 * factor)
    got, wanted = both(pictures, image, [Tile(crop, 0, 0, 96, 104)], Canvas(96, 104))
    assert_alike(pictures, got, wanted, depth)


@pytest.mark.parametrize("blur", [0.005, 0.01, 0.03, 0.1])
@pytest.mark.parametrize(("depth", "rotation"), [(8, 0), (8, 90), (10, 0), (10, 270)])
def test_blur_is_the_cpu_s(any_cupy, pictures, depth, rotation, blur):
    image = pictures.natural(480, 480, depth=depth, rotation=rotation)
    tile = Tile((60.4, 40.2, 220.4, 220.2), 0, 0, 160, 180, blur)
    got, wanted = both(pictures, image, [tile], Canvas(160, 180))
    assert_alike(pictures, got, wanted, depth)


even = st.integers(0, 14).map(lambda n: 2 * n)
rectangles = st.lists(st.tuples(even, even, even, even), max_size=60).map(
    lambda all_: [(min(a, c), min(b, d), abs(c - a) + 4, abs(d - b) + 4) for a, b, c, d in all_]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=rectangles, depth=st.sampled_from([8, 10]), full_range=st.booleans())
def test_later_parts_lie_on_top_and_the_background_fills_the_rest(cupy_on_host, pictures, places, depth, full_range):
    """Also more parts than one launch takes."""
    flat = [np.repeat(30.0 * np.arange(1, 6), 40)[None].repeat(40, 0), *[np.full((20, 100), 99.0)] * 2]
    image = pictures.of(flat, depth, colour=Colour(9, 9, 1, full_range))
    parts = [
        Bar(*place, (40, 90, 200))
        if number % 2
        else Tile((40 * (number % 5) + 10, 10, 40 * (number % 5) + 22, 25), *place)
        for number, place in enumerate(places)
    ]
    got, wanted = both(pictures, image, parts, Canvas(32, 32, (250, 10, 50)))
    for made, plane in zip(pictures.from_gpu(got), (wanted.y, wanted.u, wanted.v), strict=True):
        np.testing.assert_array_equal(made, plane)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    origin=st.tuples(*[st.floats(0, 150)] * 2), step=st.tuples(*[st.floats(0.1, 4)] * 2),
    size=st.tuples(*[st.integers(2, 40).map(lambda n: 2 * n)] * 2), rotation=st.sampled_from([0, 90, 180, 270]),
    depth=st.sampled_from([8, 10]), blur=st.sampled_from([0, 0, 0.02, 0.3]),
)  # fmt: skip
def test_any_crop_is_the_cpu_s(cupy_on_host, pictures, origin, step, size, rotation, depth, blur):
    image = pictures.smooth(3, 233, 181, blur=1.5, depth=depth, rotation=rotation)
    width, height = size
    crop = (*origin, origin[0] + width * step[0], origin[1] + height * step[1])
    got, wanted = both(pictures, image, [Tile(crop, 0, 0, *size, blur)], Canvas(*size))
    assert_alike(pictures, got, wanted, depth)


@pytest.mark.parametrize(
    "crop", [(300, 0, 320, 20), (-90.3, -90, -10, -10.5), (0, 200, 20, 230), (-500.5, 10, 664.5, 40)]
)
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("size", [(96, 108), (2, 2)])
def test_what_lies_beyond_the_picture_is_the_cpu_s(any_cupy, pictures, crop, depth, size):
    got, wanted = both(pictures, pictures.natural(240, 180, depth=depth), [Tile(crop, 0, 0, *size)], Canvas(*size))
    assert_alike(pictures, got, wanted, depth)


def test_ten_bits_do_not_overshoot(any_cupy, pictures):
    stripes = np.zeros((64, 64))
    stripes[:, ::8] = stripes[:, 1::8] = 1023 / 4
    image = pictures.of([stripes, *[np.full((32, 32), 128.0)] * 2], 10, colour=Colour(full_range=True))
    got, _ = both(pictures, image, [Tile((10.3, 10.2, 30.9, 33.1), 0, 0, 96, 108)], Canvas(96, 108))
    y, u, _ = pictures.from_gpu(got)
    assert y.max() == 1023 and y.min() == 0 and (u == 512).all()


def test_padded_rows_are_fine(cupy_on_host, pictures):
    image = pictures.natural(240, 180)
    on_gpu = pictures.on_gpu(image)
    with cupy_on_host.cuda.Stream() as stream, on_gpu.reading(stream):
        room = cupy_on_host.empty((180, 256), np.uint8)
    stream.synchronize()
    room[:, :240] = image.y
    padded = type(on_gpu)(room[:, :240], on_gpu.uv, on_gpu.colour, on_gpu.ready)
    tiles = [Tile((40.3, 20.7, 97.19, 84.7), 0, 0, 96, 108)]
    with CudaCompositor(Canvas(96, 108)) as compositor:
        got, wanted = compositor.compose(padded, tiles), compositor.compose(on_gpu, tiles)
        np.testing.assert_array_equal(pictures.from_gpu(got)[0], pictures.from_gpu(wanted)[0])


def test_canvases_are_what_nvenc_takes_and_their_memory_is_used_again(cupy_on_host, pictures):
    image = pictures.on_gpu(pictures.natural(64, 64))
    with CudaCompositor(Canvas(32, 48)) as compositor:
        first = compositor.compose(image, [Tile((0, 0, 32, 48), 0, 0, 32, 48)])
        assert first.uv.data.ptr == first.y.data.ptr + 32 * 48
        second = compositor.compose(image, [])
        kept = first.y.data.ptr
        assert second.y.data.ptr != kept
        del first
        assert compositor.compose(image, []).y.data.ptr == kept


def test_composing_enqueues_on_one_stream_and_waits_for_nothing(cupy_on_host, pictures):
    image = pictures.on_gpu(pictures.natural(64, 64))
    with CudaCompositor(Canvas(32, 48)) as compositor:
        canvas = compositor.compose(image, [Tile((0, 0, 60, 60), 0, 0, 32, 48), Tile((0, 0, 9, 9), 0, 0, 8, 8)])
        names, streams = zip(*cupy_on_host.launched, strict=True)
        assert names == ("compose_y8", "compose_uv8") and len(set(map(id, streams))) == 1
        assert (canvas.y == 0xA5).all()  # as the stand-in's memory is before any work has run
        assert not (pictures.from_gpu(canvas)[0] == 0xA5).all()


@pytest.mark.parametrize("depth", [8, 10])
def test_still_cameras_show_each_new_picture(any_cupy, pictures, depth):
    """Their launches are made again for pictures that lie elsewhere; what else changes is noticed."""
    canvas, cpu = Canvas(64, 64, (9, 90, 30)), OpenCvCompositor(Canvas(64, 64, (9, 90, 30)))
    tiles = [Tile((20.3, 10.2, 70.9, 60.8), 0, 0, 40, 40), Bar(40, 0, 4, 64, (255, 0, 0))]
    wide = [*tiles, Tile((0, 0, 200, 150), 0, 40, 40, 24)]  # halved
    large, small = (240, 180), (200, 180)
    shown = [
        (tiles, large, 0), (tiles, large, 0), (tiles[:1], large, 0), (tiles, large, 0), (tiles, small, 0),
        (tiles, small, 90), (tiles, small, 90), (wide, small, 90), (wide, small, 90), (tiles, small, 90),
    ]  # fmt: skip
    with CudaCompositor(canvas) as compositor:
        for number, (parts, size, rotation) in enumerate(shown):
            image = pictures.smooth(number, *size, depth=depth, rotation=rotation)
            made = compositor.compose(pictures.on_gpu(image), parts)
            assert_alike(pictures, made, cpu.compose(image, parts), depth)


def test_still_cameras_cost_no_search(cupy_on_host, pictures, monkeypatch):
    image = pictures.on_gpu(pictures.natural(96, 64))
    with CudaCompositor(Canvas(32, 32)) as compositor:
        compositor.compose(image, [Tile((10.3, 10.2, 40.9, 40.8), 0, 0, 32, 32)])
        monkeypatch.setattr(compose, "_Plane", None)
        compositor.compose(image, [Tile((10.3, 10.2, 40.9, 40.8), 0, 0, 32, 32)])
    assert [name for name, _ in cupy_on_host.launched] == 2 * ["compose_y8", "compose_uv8"]


def test_a_source_may_be_dropped_as_soon_as_it_is_composed(cupy_on_host, pictures):
    """The decoder's ring fills its memory again, after the compositor has read it."""
    from dft.engines.cuda.transfer import Uploader

    sources = [pictures.smooth(seed, 64, 64) for seed in range(6)]
    upload, tiles, canvas = Uploader(64, 64), [Tile((3, 3, 60, 60), 0, 0, 32, 48, 0.02)], Canvas(32, 48)
    with CudaCompositor(canvas) as compositor:
        made = [compositor.compose(upload(source), tiles) for source in sources]
        assert upload._ring.num_slots == 1
        for canvas_on_gpu, source in zip(made, sources, strict=True):
            assert_alike(pictures, canvas_on_gpu, OpenCvCompositor(canvas).compose(source, tiles))
