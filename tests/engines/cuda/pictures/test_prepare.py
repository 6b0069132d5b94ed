"""What networks are shown, against what the CPU shows them: on a GPU, and with the same kernels on the CPU."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dft.engines.alignment import ARCFACE, DLIB
from dft.engines.cpu.chips import face_chips
from dft.engines.cpu.detect import YuNetDetector
from dft.engines.cpu.image import YuvImage
from dft.engines.cuda.kernels import address
from dft.engines.cuda.prepare import InputForm, PicturePlan, enqueue_chips
from dft.engines.protocols import Colour
from dft.engines.weights import find_model
from dft.engines.yunet import input_size

FACE = np.array([[110, 80], [150, 78], [131, 104], [114, 124], [148, 123]], np.float32)


@pytest.fixture(scope="module")
def detectors():
    made = {}

    def of(size):
        if size not in made:
            made[size] = YuNetDetector(find_model("yunet"), size=size, min_score=0.5, threads=1)
        return made[size]

    yield of
    for detector in made.values():
        detector.close()


def eight_bits(image):
    """What a decoder gives where 8 bits are asked for."""
    shift = image.depth - 8
    planes = [(plane >> shift).astype(np.uint8) for plane in (image.y, image.u, image.v)]
    return YuvImage(*planes, image.colour, image.rotation)


def prepared(cupy, pictures, image, size, dtype=np.float32, form=None):
    """The tensor ``(3, H, W)``, the thumbnail, and the fitted size."""
    width, height, padded_width, padded_height = input_size(image.display_width, image.display_height, size)
    on_gpu, stream = pictures.on_gpu(image), cupy.cuda.Stream(non_blocking=True)
    plan = PicturePlan(on_gpu, (width, height), (padded_width, padded_height), form or InputForm(), dtype)
    assert plan.suits(on_gpu)
    with on_gpu.reading(stream), stream:
        tensor = cupy.empty((3, padded_height, padded_width), dtype)
        luma, thumbnail = cupy.empty(plan.luma_shape, np.uint8), cupy.empty((18, 32), np.uint8)
        plan.enqueue(on_gpu, address(tensor), address(luma), address(thumbnail))
    stream.synchronize()
    return tensor.get(), thumbnail.get(), (width, height)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(640, 360), (641, 363), (1000, 700), (300, 200), (180, 320)])
@pytest.mark.parametrize("depth", [8, 10])
def test_the_network_sees_what_it_sees_on_the_cpu(any_cupy, pictures, detectors, size, rotation, depth):
    image = pictures.natural(*size, rotation=rotation, depth=depth)
    wanted = detectors(256).prepare(eight_bits(image))
    tensor, thumbnail, (width, height) = prepared(any_cupy, pictures, image, 256)
    assert tensor.shape[1] % 32 == 0 and tensor.shape[2] % 32 == 0
    grey, decibels = pictures.errors(tensor[:, :height, :width], wanted.pixels)
    assert grey <= (0.1 if depth == 8 else 1.0) and decibels >= (57 if depth == 8 else 45), (grey, decibels)
    assert (tensor[:, height:] == 0).all() and (tensor[:, :, width:] == 0).all()
    assert np.abs(thumbnail.astype(int) - wanted.thumbnail).max() <= 2
    assert np.abs(thumbnail.astype(int) - wanted.thumbnail).mean() <= (0.35 if depth == 8 else 0.7)


@pytest.mark.parametrize("colour", [Colour(), Colour(full_range=True), Colour(9, 9, 1), Colour(6, 6, 6)])
def test_colours_follow_matrix_and_range(any_cupy, pictures, detectors, colour):
    image = pictures.natural(320, 240, colour=colour)
    tensor, _, (width, height) = prepared(any_cupy, pictures, image, 320)
    assert pictures.errors(tensor[:, :height, :width], detectors(320).prepare(image).pixels)[0] <= 0.4


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_each_type_holds_the_same_levels(any_cupy, pictures, dtype):
    image = pictures.natural(320, 240)
    wanted = prepared(any_cupy, pictures, image, 256)[0]
    got = prepared(any_cupy, pictures, image, 256, dtype)[0]
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.astype(np.float32), wanted)  # whole levels up to 255 are exact in all of them


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_order_mean_and_gain_are_the_network_s(any_cupy, pictures, dtype):
    image = pictures.natural(320, 240)
    plain = prepared(any_cupy, pictures, image, 256)[0]
    form = InputForm(rgb=True, mean=(127.5, 110.25, 3.0), gain=(1 / 128, -3.1, 1e-5))
    got = prepared(any_cupy, pictures, image, 256, dtype, form)[0]
    mean, gain = (np.array(values, np.float32)[:, None, None] for values in (form.mean, form.gain))
    wanted = (plain[::-1] - mean) * gain
    np.testing.assert_array_equal(got, wanted.astype(dtype))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(*[st.integers(40, 500)] * 2), longer=st.sampled_from([64, 128, 192, 320]),
    rotation=st.sampled_from([0, 90, 180, 270]),
)  # fmt: skip
def test_any_size_is_the_cpu_s(cupy_on_host, pictures, detectors, size, longer, rotation):
    image = pictures.smooth(4, *size, rotation=rotation)
    wanted = detectors(longer).prepare(image)
    tensor, thumbnail, (width, height) = prepared(cupy_on_host, pictures, image, longer)
    assert wanted.pixels.shape == (3, height, width)
    grey, decibels = pictures.errors(tensor[:, :height, :width], wanted.pixels)
    assert grey <= 0.8 and decibels >= 43
    assert np.abs(thumbnail.astype(int) - wanted.thumbnail).max() <= 2


def turned(points, image):
    """Points of an upright picture of 480 x 360 where a picture turned by its rotation displays them."""
    return points / (480, 360) * (image.display_width, image.display_height)


def chips_of(cupy, pictures, image, landmarks, layout, dtype=np.float32):
    on_gpu, stream = pictures.on_gpu(image), cupy.cuda.Stream(non_blocking=True)
    with on_gpu.reading(stream), stream:
        target = cupy.empty((len(landmarks), 3, layout.size, layout.size), dtype)
        enqueue_chips(on_gpu, landmarks, layout, target)
    stream.synchronize()
    return target.get()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("scale", [0.4, 1.0, 1.7, 4.5])
@pytest.mark.parametrize("layout", [DLIB, ARCFACE], ids=["dlib", "arcface"])
@pytest.mark.parametrize("depth", [8, 10])
def test_chips_are_the_cpu_s(any_cupy, pictures, rotation, scale, layout, depth):
    image = pictures.natural(960, 720, rotation=rotation, depth=depth)
    faces = [(FACE - FACE.mean(axis=0)) * scale + centre for centre in ([300, 250], [5, 8], [700, 600])]
    tilt = np.array([[0.8, -0.6], [0.6, 0.8]])
    faces.append((FACE - FACE.mean(axis=0)) @ tilt.T * scale + [400, 300])
    landmarks = np.float32(faces).reshape(-1, 10)
    wanted = face_chips(eight_bits(image), landmarks, layout)
    got = chips_of(any_cupy, pictures, image, landmarks, layout)
    for number, chip in enumerate(wanted):
        grey, decibels = pictures.errors(got[number].transpose(1, 2, 0), chip)
        assert grey <= 1.0 and decibels >= 42, (number, grey, decibels)


def test_more_faces_than_one_launch_takes(any_cupy, pictures):
    image = pictures.natural(480, 360)
    landmarks = np.stack([(FACE + np.array([3 * number, number])).ravel() for number in range(70)]).astype(np.float32)
    got = chips_of(any_cupy, pictures, image, landmarks, ARCFACE, np.uint8)
    for number in (0, 31, 32, 64, 69):
        alone = chips_of(any_cupy, pictures, image, landmarks[number : number + 1], ARCFACE, np.uint8)
        np.testing.assert_array_equal(got[number], alone[0])


def test_no_face_launches_nothing(cupy_on_host, pictures):
    image = pictures.natural(64, 64)
    assert chips_of(cupy_on_host, pictures, image, np.zeros((0, 10), np.float32), DLIB).shape == (0, 3, 150, 150)
    assert cupy_on_host.launched == []
