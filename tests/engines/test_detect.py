"""YuNet: parity with OpenCV's own FaceDetectorYN, and what goes into the network."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import ModelError
from dft.engines.cpu.detect import PreparedPicture, YuNetDetector
from dft.engines.cpu.image import YuvImage
from dft.engines.protocols import Colour
from dft.engines.weights import ModelFile, find_model
from dft.engines.yunet import dynamic_graph, input_size
from dft.render.portraits import eileen_collins, grace_hopper

PORTRAITS = {"hopper": grace_hopper, "collins": eileen_collins}
SIDE = 640


@pytest.fixture(scope="module")
def detector():
    with YuNetDetector(find_model("yunet"), size=SIDE, min_score=0.5, threads=1) as made:
        yield made


def bgr_of(name: str):
    """The portrait on a canvas of 640 x 640."""
    pixels = PORTRAITS[name]().pixels[..., :3].astype(np.uint8)[:SIDE, :SIDE]
    canvas = np.full((SIDE, SIDE, 3), 90, np.uint8)
    canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
    return canvas


def reference(bgr, min_score=0.5):
    height, width = bgr.shape[:2]
    detector = cv2.FaceDetectorYN.create(str(find_model("yunet").path), "", (width, height), min_score, 0.3, 100)
    faces = detector.detect(bgr)[1]
    boxes = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:4]], axis=1)
    return boxes, faces[:, 14], faces[:, 4:14]


def prepared(bgr) -> PreparedPicture:
    return PreparedPicture(bgr.transpose(2, 0, 1), np.zeros((18, 32), np.uint8), (1.0, 1.0))


@pytest.mark.parametrize("name", PORTRAITS)
def test_it_finds_what_opencv_finds(detector, name):
    bgr = bgr_of(name)
    (faces,) = detector.detect([prepared(bgr)])
    boxes, scores, landmarks = reference(bgr)
    assert len(faces) == len(boxes) == 1
    np.testing.assert_allclose(faces.boxes_xyxy, boxes, atol=1.0)
    np.testing.assert_allclose(faces.scores, scores, atol=0.01)
    np.testing.assert_allclose(faces.landmarks, landmarks, atol=1.0)


@pytest.mark.parametrize("size", [(320, 192), (640, 352), (512, 512)], ids=str)
def test_it_does_so_at_other_sizes(detector, size):
    """The published graph is fixed at 640 x 640; ours takes any multiple of 32."""
    bgr = np.full((size[1], size[0], 3), 90, np.uint8)
    face = cv2.resize(bgr_of("hopper"), (size[1], size[1]), interpolation=cv2.INTER_AREA)
    bgr[:, : size[1]] = face
    (faces,) = detector.detect([prepared(bgr)])
    boxes, scores, _ = reference(bgr)
    np.testing.assert_allclose(faces.boxes_xyxy, boxes, atol=1.0)
    np.testing.assert_allclose(faces.scores, scores, atol=0.01)


def image_of(bgr, matrix: int, full_range: bool) -> YuvImage:
    """The picture as YUV of that matrix and range, by H.273's formulas in floating point."""
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    blue, green, red = np.moveaxis(bgr.astype(np.float64), 2, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    if not full_range:
        luma, u, v = luma * 219 / 255 + 16, u * 224 / 255, v * 224 / 255
    half = [cv2.resize(plane + 128, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for plane in (u, v)]
    planes = [np.clip(np.round(plane), 0, 255).astype(np.uint8) for plane in (luma, *half)]
    return YuvImage(*planes, Colour(matrix, full_range=full_range))


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_matrix_and_range_are_undone(detector, matrix, full_range):
    bgr = bgr_of("collins")
    picture = detector.prepare(image_of(bgr, matrix, full_range))
    assert np.abs(picture.pixels.transpose(1, 2, 0).astype(int) - bgr).mean() < 2.5
    (faces,) = detector.detect([picture])
    (wanted,) = detector.detect([prepared(bgr)])
    np.testing.assert_allclose(faces.boxes_xyxy, wanted.boxes_xyxy, atol=2.0)
    np.testing.assert_allclose(faces.scores, wanted.scores, atol=0.02)


def test_reading_with_the_wrong_matrix_would_show(detector):
    """So that the test above can fail."""
    bgr = bgr_of("collins")
    right = image_of(bgr, 6, False)
    wrong = YuvImage(right.y, right.u, right.v, Colour(1, full_range=True))
    assert np.abs(detector.prepare(wrong).pixels.transpose(1, 2, 0).astype(int) - bgr).mean() > 5


@given(st.integers(2, 9000), st.integers(2, 9000), st.integers(128, 4096))
def test_input_size(width, height, longer_side):
    fitted_width, fitted_height, padded_width, padded_height = input_size(width, height, longer_side)
    assert padded_width % 32 == padded_height % 32 == 0
    assert 0 <= padded_width - fitted_width < 32 and 0 <= padded_height - fitted_height < 32
    assert fitted_width % 2 == fitted_height % 2 == 0
    assert max(padded_width, padded_height) <= max(32, longer_side // 32 * 32, -(-min(longer_side, 32) // 32) * 32)
    assert fitted_width <= width + 1 and fitted_height <= height + 1, "never enlarged, but to an even size"
    if min(fitted_width, fitted_height) >= 32:
        aspect = (fitted_width / fitted_height) / (width / height)
        assert 1 / aspect == pytest.approx(1, abs=2 / min(fitted_width, fitted_height))


def test_known_input_sizes():
    assert input_size(1920, 1080, 640) == (626, 352, 640, 352)
    assert input_size(640, 360, 640) == (626, 352, 640, 352)
    assert input_size(300, 200, 640) == (300, 200, 320, 224)


def test_a_file_that_is_no_yunet(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        dynamic_graph(tmp_path / "text.onnx")


def test_another_network(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Identity", ["input"], ["heat"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("input", "heat")]
    onnx.save(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:])), tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="is no YuNet; got outputs heat"):
        YuNetDetector(ModelFile("other", tmp_path / "other.onnx", ""), size=640, min_score=0.5, threads=1)
