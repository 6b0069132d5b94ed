"""Faces to chips to vectors on the CPU, on two portraits."""

import subprocess
import sys
from dataclasses import replace

import cv2
import dlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.configs.errors import BackendUnavailableError, EngineError, ModelError
from dft.engines.alignment import DLIB
from dft.engines.cpu.chips import face_chips
from dft.engines.cpu.detect import ROTATIONS, YuNetDetector
from dft.engines.cpu.embed import OnnxEmbedder
from dft.engines.cpu.image import YuvImage, blank
from dft.engines.devices import DeviceChoice, open_embedder
from dft.engines.protocols import Colour
from dft.engines.weights import find_model
from dft.render.portraits import eileen_collins, grace_hopper

PORTRAITS = {"hopper": grace_hopper, "collins": eileen_collins}
CPU = DeviceChoice("cpu", "test")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def embedder():
    with open_embedder("dlib", CPU, threads=1) as made:
        yield made


@pytest.fixture(scope="module")
def detector():
    with YuNetDetector(find_model("yunet"), size=640, min_score=0.5, threads=1) as made:
        yield made


def bgr_of(name):
    pixels = PORTRAITS[name]().pixels[..., :3].astype(np.uint8)
    return pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]


TURN_BACK = {90: ROTATIONS[270], 180: ROTATIONS[180], 270: ROTATIONS[90]}


def image_of(bgr, rotation=0):
    """The picture as it is coded, turned so that its display is ``bgr``."""
    height, width = bgr.shape[:2]
    planes = cv2.cvtColor(np.ascontiguousarray(bgr), cv2.COLOR_BGR2YUV_I420)
    coded = [planes[:height], *planes[height:].reshape(2, height // 2, width // 2)]
    if rotation:  # the planes are turned, so that the chroma is the same
        coded = [cv2.rotate(plane, TURN_BACK[rotation]) for plane in coded]
    return YuvImage(*coded, Colour(6, 1, 1), rotation)


def landmarks_of(detector, image):
    (faces,) = detector.detect([detector.prepare(image)])
    assert len(faces) == 1
    return faces.landmarks


def vector_of(embedder, detector, bgr, rotation=0):
    image = image_of(bgr, rotation)
    return embedder.embed(embedder.prepare(image, landmarks_of(detector, image)))[0]


def distance(a, b):
    return float(np.linalg.norm(a - b))


@pytest.fixture(scope="module")
def vectors(embedder, detector):
    return {name: vector_of(embedder, detector, bgr_of(name)) for name in PORTRAITS}


@pytest.fixture(scope="module")
def chips(embedder, detector):
    images = {name: image_of(bgr_of(name)) for name in PORTRAITS}
    return {name: embedder.prepare(i, landmarks_of(detector, i))[0] for name, i in images.items()}


@pytest.mark.parametrize("name", PORTRAITS)
def test_the_vector_is_dlib_s_own(embedder, chips, name):
    assert chips[name].shape == (150, 150, 3) and chips[name].dtype == np.uint8
    model = dlib.face_recognition_model_v1(str(find_model("dlib").path))
    wanted = np.array(model.compute_face_descriptor(np.ascontiguousarray(chips[name])))
    np.testing.assert_allclose(embedder.embed([chips[name]])[0], wanted, atol=1e-4)


def test_two_people_are_apart(vectors):
    """At 0.68 with the landmarks of the best candidates alone, at 0.65 with blended ones."""
    assert distance(vectors["hopper"], vectors["collins"]) == pytest.approx(0.65, abs=0.02)


CHANGES = {
    "half the size": lambda bgr: cv2.resize(bgr, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "1.5 times": lambda bgr: cv2.resize(bgr, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)[:900],
    "darker": lambda bgr: (bgr * 0.6).astype(np.uint8),
    "moved": lambda bgr: np.roll(bgr[:-20], 14, axis=1),
    "turned": lambda bgr: turned(bgr, 12),
    "all": lambda bgr: (turned(bgr, -8, 0.8) * 0.75).astype(np.uint8),
}


def turned(bgr, degrees, scale=1.0):
    height, width = bgr.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    return cv2.warpAffine(bgr, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PORTRAITS)
def test_a_changed_picture_is_the_same_person(embedder, detector, vectors, name, change):
    bgr = CHANGES[change](bgr_of(name))
    again = vector_of(embedder, detector, bgr[: bgr.shape[0] // 2 * 2, : bgr.shape[1] // 2 * 2])
    other = vectors["collins" if name == "hopper" else "hopper"]
    assert distance(again, vectors[name]) < 0.35
    assert distance(again, other) > 0.5


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("name", PORTRAITS)
def test_rotation_of_the_video_changes_nothing(embedder, detector, name, rotation):
    bgr = bgr_of(name)
    upright, coded = image_of(bgr), image_of(bgr, rotation)
    landmarks = landmarks_of(detector, upright)
    (a,), (b,) = embedder.prepare(upright, landmarks), embedder.prepare(coded, landmarks)
    assert np.abs(a.astype(int) - b).mean() < 1.5
    first, second = embedder.embed([a, b])
    assert distance(first, second) < 0.03


def test_a_batch_equals_its_singles(embedder, chips):
    rng = np.random.default_rng(3)
    many = [*chips.values(), *rng.integers(0, 256, (18, 150, 150, 3), np.uint8)]
    together = embedder.embed(many)
    assert together.shape == (20, 128) and together.dtype == np.float32
    for vector, chip in zip(together, many, strict=True):
        np.testing.assert_allclose(embedder.embed([chip])[0], vector, atol=1e-5)


def test_chips_may_come_as_an_array(embedder, chips):
    many = list(chips.values())
    np.testing.assert_array_equal(embedder.embed(np.stack(many)), embedder.embed(many))


@settings(max_examples=20, deadline=None)
@given(
    angle=st.floats(-np.pi, np.pi),
    log_scale=st.floats(-2.5, 1.2),
    centre=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    rotation=st.sampled_from([0, 90, 180, 270]),
)
def test_a_chip_shows_what_lies_at_its_pixels(angle, log_scale, centre, rotation):
    """Every pixel of a picture tells its own place, by slow waves in luma; the chip must show the waves moved."""
    height, width = 1400, 1600
    linear = np.exp(-log_scale) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array(centre) * (width, height) - linear @ np.array([75, 75])

    def wave(x, y):
        return 128 + 50 * np.sin(x / 90) + 50 * np.cos(y / 70 + x / 200)

    y, x = np.mgrid[:height, :width] + 0.5
    displayed = np.rint(wave(x, y)).astype(np.uint8)
    coded = cv2.rotate(displayed, TURN_BACK[rotation]) if rotation else displayed
    image = replace(blank(coded.shape[1], coded.shape[0], Colour(6, full_range=True)), y=coded, rotation=rotation)
    points = (DLIB.template @ linear.T + shift).astype(np.float32).reshape(1, 10)
    (chip,) = face_chips(image, points, DLIB)
    v, u = np.mgrid[:150, :150] + 0.5
    there_x = linear[0, 0] * u + linear[0, 1] * v + shift[0]
    there_y = linear[1, 0] * u + linear[1, 1] * v + shift[1]
    inside = (there_x > 20) & (there_x < width - 20) & (there_y > 20) & (there_y < height - 20)
    error = np.abs(chip[..., 0].astype(float) - wave(there_x, there_y))[inside]
    assert (chip[..., 0] == chip[..., 1]).all() and (chip[..., 0] == chip[..., 2]).all()
    assert inside.sum() > 1000 and error.max() < 6 and error.mean() < 1


def test_large_faces_are_averaged():
    """Stripes of one pixel would give false patterns if pixels were skipped."""
    image = blank(2000, 2000, Colour(6, full_range=True))
    image.y[:, ::2] = 255
    points = (DLIB.template * 7.3 + 300).astype(np.float32).reshape(1, 10)
    (chip,) = face_chips(image, points, DLIB)
    assert chip.std() < 4 and abs(chip.mean() - 127.5) < 3


def test_the_edge_of_the_picture_is_repeated():
    image = blank(200, 200, Colour(6, full_range=True))
    image.y[:] = 77
    for shift in (-150, 150, 4000):
        (chip,) = face_chips(image, (DLIB.template + shift).astype(np.float32).reshape(1, 10), DLIB)
        assert (chip == 77).all()


def test_odd_and_tiny_pictures():
    points = (DLIB.template * 40).astype(np.float32).reshape(1, 10)
    for size in ((1, 1), (3, 2), (641, 359)):
        (chip,) = face_chips(blank(*size, Colour()), points, DLIB)
        assert (chip == 0).all()


def test_colours_are_rgb(embedder):
    bgr = np.full((300, 300, 3), (20, 60, 220), np.uint8)
    (chip,) = embedder.prepare(image_of(bgr), (DLIB.template + 50).astype(np.float32).reshape(1, 10))
    assert np.abs(chip.reshape(-1, 3).mean(axis=0) - (220, 60, 20)).max() < 3


def test_landmarks_in_one_place_are_an_engine_error(embedder):
    with pytest.raises(EngineError, match="a face cannot be aligned"):
        embedder.prepare(blank(64, 64, Colour()), np.full((1, 10), 32, np.float32))


def test_open_embedder_names_what_is_missing(monkeypatch, tmp_path):
    with pytest.raises(ModelError, match="there is no model"):
        open_embedder(str(tmp_path / "no.onnx"), CPU)
    monkeypatch.setitem(sys.modules, "dft.engines.cpu.embed", None)
    with pytest.raises(BackendUnavailableError, match=r"onnxruntime cannot be imported.*pip install"):
        open_embedder("dlib", CPU)


def test_it_tells_its_model_and_scale(embedder):
    assert isinstance(embedder, OnnxEmbedder)
    assert (embedder.model.name, embedder.dimension, embedder.same_person_distance) == ("dlib", 128, 0.6)


def test_nothing_is_loaded_before_it_is_needed():
    code = (
        "import sys, dft.engines.devices, dft.engines.cpu.detect; "
        "print([m for m in sys.modules if 'embed' in m or 'dlib' in m or 'face_recognition' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
