"""YuNet: parity with OpenCV's own FaceDetectorYN, what goes into the network, and one face out of many candidates."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.configs.errors import ModelError
from dft.engines.cpu.detect import PreparedPicture, YuNetDetector
from dft.engines.cpu.image import YuvImage
from dft.engines.protocols import Colour, Detections
from dft.engines.weights import ModelFile, find_model
from dft.engines.yunet import BLEND_IOU, distinct_faces, dynamic_graph, input_size
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
    """The candidates of OpenCV's detector, which drops none at an IoU of 1, made into faces."""
    height, width = bgr.shape[:2]
    detector = cv2.FaceDetectorYN.create(str(find_model("yunet").path), "", (width, height), min_score, 1.0, 5000)
    found = detector.detect(bgr)[1]
    assert len(found) > 1
    boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)
    return distinct_faces(Detections(boxes, found[:, 14], found[:, 4:14]), min_score)


def prepared(bgr) -> PreparedPicture:
    return PreparedPicture(bgr.transpose(2, 0, 1), np.zeros((18, 32), np.uint8), (1.0, 1.0))


@pytest.mark.parametrize("name", PORTRAITS)
def test_it_finds_what_opencv_finds(detector, name):
    bgr = bgr_of(name)
    (faces,) = detector.detect([prepared(bgr)])
    wanted = reference(bgr)
    assert len(faces) == len(wanted) == 1
    np.testing.assert_allclose(faces.boxes_xyxy, wanted.boxes_xyxy, atol=0.1)
    np.testing.assert_allclose(faces.scores, wanted.scores, atol=0.01)
    np.testing.assert_allclose(faces.landmarks, wanted.landmarks, atol=0.1)


@pytest.mark.parametrize("size", [(320, 192), (640, 352), (512, 512)], ids=str)
def test_it_does_so_at_other_sizes(detector, size):
    """The published graph is fixed at 640 x 640; ours takes any multiple of 32."""
    bgr = np.full((size[1], size[0], 3), 90, np.uint8)
    face = cv2.resize(bgr_of("hopper"), (size[1], size[1]), interpolation=cv2.INTER_AREA)
    bgr[:, : size[1]] = face
    (faces,) = detector.detect([prepared(bgr)])
    wanted = reference(bgr)
    np.testing.assert_allclose(faces.boxes_xyxy, wanted.boxes_xyxy, atol=0.1)
    np.testing.assert_allclose(faces.scores, wanted.scores, atol=0.01)


WIDTH, HEIGHT, LOWEST = 100, 120, 0.3
FACE = np.array([0, 0, WIDTH, HEIGHT], np.float32)
ACROSS, DOWN = np.array([1, 0, 1, 0], np.float32), np.array([0, 1, 0, 1], np.float32)
POINTS = np.array([30, 50, 70, 50, 50, 70, 35, 90, 65, 90], np.float32)
seeds = st.integers(0, 2**32 - 1)


def group(rng, num, spread=4.0, left=0.0) -> Detections:
    """What ``num`` cells see of one face that lies at ``left``, each number wrong by up to ``spread`` pixels."""
    boxes = FACE + left * ACROSS + rng.uniform(-spread, spread, (num, 4))
    points = POINTS + left * np.tile([1, 0], 5) + rng.uniform(-spread, spread, (num, 10))
    return Detections(
        boxes.astype(np.float32), rng.uniform(0.8, 0.805, num).astype(np.float32), points.astype(np.float32)
    )


def joined(*parts: Detections) -> Detections:
    return Detections(*(np.concatenate(values) for values in zip(*map(numbers_of, parts), strict=True)))


def numbers_of(faces: Detections):
    return faces.boxes_xyxy, faces.scores, faces.landmarks


def assert_same(found: Detections, wanted: Detections, atol=1e-3):
    for ours, theirs in zip(numbers_of(found), numbers_of(wanted), strict=True):
        assert ours.dtype == theirs.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=atol)


def test_a_candidate_that_is_alone_is_its_face():
    alone = group(np.random.default_rng(0), 1)
    assert_same(distinct_faces(alone, LOWEST), alone)
    assert_same(distinct_faces(alone, float(alone.scores[0])), alone)


def test_no_candidate_is_no_face():
    assert len(distinct_faces(Detections.none(), LOWEST)) == 0


def test_boxes_without_area_are_kept_as_they_are():
    flat = Detections(np.array([[5, 5, 5, 9]], np.float32), np.array([0.9], np.float32), POINTS[None])
    assert_same(distinct_faces(flat, LOWEST), flat)


@given(seeds, st.integers(2, 12))
def test_equal_candidates_give_themselves(seed, num):
    rng = np.random.default_rng(seed)
    one = group(rng, 1)
    scores = rng.uniform(LOWEST, 1, num).astype(np.float32)
    many = Detections(np.repeat(one.boxes_xyxy, num, axis=0), scores, np.repeat(one.landmarks, num, axis=0))
    assert_same(distinct_faces(many, LOWEST), Detections(one.boxes_xyxy, scores.max(keepdims=True), one.landmarks))


@given(seeds, st.integers(1, 12), st.floats(0, 10))
def test_a_face_lies_among_its_candidates_and_has_the_best_score(seed, num, spread):
    candidates = group(np.random.default_rng(seed), num, spread)
    faces = distinct_faces(candidates, LOWEST)
    assert faces.scores.tolist() == [candidates.scores.max()]
    for values, mean in ((candidates.boxes_xyxy, faces.boxes_xyxy), (candidates.landmarks, faces.landmarks)):
        assert (mean >= values.min(axis=0) - 1e-4).all() and (mean <= values.max(axis=0) + 1e-4).all()


def test_candidates_of_one_strength_around_the_best_leave_it_in_place():
    shifts = np.stack([0 * DOWN, -6 * ACROSS, 6 * ACROSS, -6 * DOWN, 6 * DOWN])
    scores = np.array([0.9, 0.6, 0.6, 0.6, 0.6], np.float32)
    landmarks = np.stack([POINTS, POINTS + 8, POINTS + 8, POINTS - 8, POINTS - 8])
    faces = distinct_faces(Detections(FACE + shifts, scores, landmarks), LOWEST)
    np.testing.assert_allclose(faces.boxes_xyxy, [FACE], atol=1e-4)
    assert 0.05 < np.abs(faces.landmarks - POINTS).max() < 1, "shifts down overlap less than shifts aside"


def test_the_better_and_the_nearer_count_for_more():
    """Against a best box at 0: how far to the right one other candidate draws the face."""

    def drawn(score, shift):
        boxes = np.stack([FACE, FACE + np.float32(shift) * ACROSS])
        pair = Detections(boxes, np.array([0.9, score], np.float32), np.stack([POINTS, POINTS]))
        return float(distinct_faces(pair, LOWEST).boxes_xyxy[0, 0]) / shift

    assert drawn(0.9, 1.0) == pytest.approx(0.5, abs=1e-3)
    assert 0.5 > drawn(0.8, 4.0) > drawn(0.5, 4.0) > drawn(0.301, 4.0) > drawn(0.3, 4.0) == 0
    assert drawn(0.5, 4.0) > drawn(0.5, 12.0) > drawn(0.5, 20.0)


@given(seeds, st.integers(6, 10))
@settings(deadline=None)
def test_who_is_best_by_a_hair_matters_little(seed, num):
    """Scores change by more than they differ; suppression alone jumps by up to 8 pixels, see the next test."""
    rng = np.random.default_rng(seed)
    before = group(rng, num)
    scores = before.scores + rng.uniform(-0.005, 0.005, num).astype(np.float32)
    moved = before.boxes_xyxy + rng.uniform(-0.05, 0.05, (num, 4)).astype(np.float32)
    one, other = distinct_faces(before, LOWEST), distinct_faces(Detections(moved, scores, before.landmarks), LOWEST)
    np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=0.5)
    np.testing.assert_allclose(one.landmarks, other.landmarks, atol=0.5)


@given(seeds)
def test_the_face_stays_where_the_best_candidate_changes(seed):
    rng = np.random.default_rng(seed)
    candidates = group(rng, 9)
    candidates.boxes_xyxy[:2] = FACE + np.array([[-4], [4]], np.float32)
    faces = []
    for best in (0, 1):
        scores = np.full(9, 0.8, np.float32)
        scores[best] += np.float32(1e-4)
        faces.append(distinct_faces(Detections(candidates.boxes_xyxy, scores, candidates.landmarks), LOWEST))
    np.testing.assert_allclose(faces[0].boxes_xyxy, faces[1].boxes_xyxy, atol=0.8)  # of 8


@given(seeds)
def test_a_candidate_that_just_reaches_the_least_score_changes_nothing(seed):
    known = group(np.random.default_rng(seed), 5)
    new = Detections(FACE[None] + 5, np.array([LOWEST + 1e-5], np.float32), POINTS[None] + 9)
    assert_same(distinct_faces(joined(known, new), LOWEST), distinct_faces(known, LOWEST))


@pytest.mark.parametrize("beyond", [-0.01, 0.01])
def test_a_candidate_that_just_overlaps_enough_changes_nothing(beyond):
    """Boxes of width w that lie d apart have an IoU of (w - d) / (w + d)."""
    limit = WIDTH * (1 - BLEND_IOU) / (1 + BLEND_IOU)
    best = Detections(FACE[None], np.array([0.9], np.float32), POINTS[None])
    other = Detections(FACE[None] + np.float32(limit + beyond) * ACROSS, np.array([0.9], np.float32), POINTS[None] + 9)
    assert_same(distinct_faces(joined(best, other), LOWEST), best, atol=0.02)


@given(seeds, st.floats(65, 400), st.integers(1, 10), st.integers(1, 10))
def test_faces_side_by_side_do_not_mix(seed, distance, num, other_num):
    """Even where they overlap, by a fifth of both at the least distance."""
    rng = np.random.default_rng(seed)
    left, right = group(rng, num, 2.0), group(rng, other_num, 2.0, left=distance)
    found, alone = distinct_faces(joined(left, right), LOWEST), [distinct_faces(g, LOWEST) for g in (left, right)]
    if alone[0].scores[0] < alone[1].scores[0]:
        alone.reverse()
    assert_same(found, joined(*alone))


@given(seeds, st.floats(0.1, 10))
def test_the_unit_of_length_does_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    candidates, factor = joined(group(rng, 6), group(rng, 5, left=90)), np.float32(scale)
    scaled = Detections(candidates.boxes_xyxy * factor, candidates.scores, candidates.landmarks * factor)
    faces = distinct_faces(candidates, LOWEST)
    wanted = Detections(faces.boxes_xyxy * factor, faces.scores, faces.landmarks * factor)
    assert_same(distinct_faces(scaled, LOWEST), wanted, atol=1e-3 * scale)


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
