"""The kernels around the network, compiled for the CPU, against the CPU's own decoder."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dft.engines.cuda import faces
from dft.engines.yunet import STRIDES, decode_candidates, decode_heads

from .host_kernels import Kernels

SIZE = (64, 96)  # height, width
THREADS = 8


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    return Kernels(faces.source_text(), tmp_path_factory.mktemp("kernels"))


def address(array):
    assert array.flags.c_contiguous
    return array.ctypes.data


def test_the_layouts_are_those_of_the_compiler(kernels):
    assert kernels.size("gather") == faces.GATHERING.itemsize <= 4096
    assert kernels.size("find_faces") == faces.HEADS.itemsize


def found_by_kernel(kernels, outputs, min_score, size=SIZE):
    num = len(outputs["cls_8"])
    cells = faces.num_cells(*size)
    answers = np.full((num, faces.ANSWER_NUMBERS), np.nan, np.float32)
    work = np.zeros((num, cells), np.float32), np.zeros((num, cells), np.int32)
    argument = faces.heads(
        {name: address(values) for name, values in outputs.items()},
        (address(work[0]), address(work[1])),
        address(answers),
        size,
        min_score,
    )
    kernels.run("find_faces", (num,), (THREADS,), argument)
    return faces.read_answers(answers, [faces.answer_scale(1, 1)] * num)[0]


def random_outputs(seed, num, confident, size=SIZE):
    """Heads with a share of confident cells, and boxes large enough to overlap."""
    rng = np.random.default_rng(seed)
    outputs = {}
    for stride in STRIDES:
        cells = (size[0] // stride) * (size[1] // stride)
        sure = rng.random((num, cells, 1)) < confident
        for head in ("cls", "obj"):
            outputs[f"{head}_{stride}"] = np.where(sure, rng.uniform(0.2, 1.1, sure.shape), -0.1).astype(np.float32)
        outputs[f"bbox_{stride}"] = rng.normal(0, 0.8, (num, cells, 4)).astype(np.float32)
        outputs[f"kps_{stride}"] = rng.normal(0, 1, (num, cells, 10)).astype(np.float32)
    return outputs


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert len(ours) == len(theirs)
        np.testing.assert_array_equal(ours.scores, theirs.scores)
        np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, rtol=1e-6, atol=5e-5)
        # a last bit in the heads moves the CPU's own landmarks by up to 2e-4 where they lie far apart and weigh little
        np.testing.assert_allclose(ours.landmarks, theirs.landmarks, rtol=1e-6, atol=5e-4)
        assert ours.boxes_xyxy.dtype == ours.scores.dtype == ours.landmarks.dtype == np.float32


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from([0.0, 0.02, 0.3, 1.0]), st.floats(0.05, 0.9))
@example(53774, 3, 1.0, 0.09375)  # such landmarks
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_faces_are_those_of_the_cpu(kernels, seed, num, confident, min_score):
    outputs = random_outputs(seed, num, confident)
    wanted = decode_heads(outputs, SIZE[1], SIZE[0], np.float32(min_score))
    assert_same(found_by_kernel(kernels, outputs, min_score), wanted)


def outputs_of_faces(seed, boxes, size=SIZE):
    """Heads of stride 8 whose cells around the middle of each box ``(x1, y1, x2, y2)`` see about that box."""
    rng = np.random.default_rng(seed)
    outputs = random_outputs(seed, 1, 0.0, size)
    columns = size[1] // 8
    for x1, y1, x2, y2 in boxes:
        middle = np.array([x1 + x2, y1 + y2]) / 16
        for row in range(int(middle[1]) - 1, int(middle[1]) + 2):
            for column in range(int(middle[0]) - 1, int(middle[0]) + 2):
                cell, place = row * columns + column, [column, row]
                outputs["cls_8"][0, cell], outputs["obj_8"][0, cell] = 0.9, rng.uniform(0.8, 0.81)
                seen = np.array([*(middle - place), np.log((x2 - x1) / 8), np.log((y2 - y1) / 8)])
                outputs["bbox_8"][0, cell] = seen + rng.normal(0, 0.1, 4)
                outputs["kps_8"][0, cell] = np.tile(middle - place, 5) + rng.normal(0, 0.1, 10)
    return outputs


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_candidates_around_a_face_are_blended_as_on_the_cpu(kernels, seed):
    boxes = [(8, 10, 40, 50), (50, 12, 82, 52)]
    outputs = outputs_of_faces(seed, boxes)
    (candidates,) = decode_candidates(outputs, SIZE[1], SIZE[0], 0.3)
    (found,) = found_by_kernel(kernels, outputs, 0.3)
    assert len(candidates) == 18 and len(found) == 2
    assert_same([found], decode_heads(outputs, SIZE[1], SIZE[0], 0.3))
    for box in found.boxes_xyxy:
        assert np.abs(candidates.boxes_xyxy - box).max(axis=1).min() > 0.05, "no candidate, but a mean"


def test_of_equal_scores_the_first_cell_wins_as_on_the_cpu(kernels):
    outputs = random_outputs(5, 2, 1.0)
    for name in outputs:
        if name[:3] in ("cls", "obj"):
            outputs[name] = np.round(outputs[name], 1)
    assert_same(found_by_kernel(kernels, outputs, 0.3), decode_heads(outputs, SIZE[1], SIZE[0], np.float32(0.3)))


def test_of_too_many_faces_the_best_are_given(kernels):
    size = (160, 256)
    outputs = random_outputs(3, 1, 1.0, size)
    for stride in STRIDES:
        outputs[f"bbox_{stride}"][..., 2:] = -5.0  # tiny: hardly two overlap
    (wanted,) = decode_heads(outputs, size[1], size[0], np.float32(0.2))
    (found,) = found_by_kernel(kernels, outputs, 0.2, size)
    assert len(wanted) > faces.MAX_FACES == len(found)
    np.testing.assert_array_equal(found.scores, wanted.scores[: faces.MAX_FACES])


def test_gathering_pads_with_zeros_and_takes_thumbnails_along(kernels):
    rng = np.random.default_rng(1)
    shapes = [(32, 64), (64, 32), (64, 96)]
    pictures = [rng.integers(0, 256, (3, *shape), np.uint8) for shape in shapes]
    thumbnails = [rng.integers(0, 256, faces.THUMBNAIL_SHAPE, np.uint8) for _ in shapes]
    batch = np.full((len(shapes), 3, *SIZE), np.nan, np.float32)
    answers = np.zeros((len(shapes), faces.ANSWER_NUMBERS), np.float32)
    rows = [
        (address(pixels), address(small), *shape)
        for pixels, small, shape in zip(pictures, thumbnails, shapes, strict=True)
    ]
    gathered = faces.gathering(address(batch), address(answers), SIZE)
    faces.put_pictures(gathered, rows[::-1])
    faces.put_pictures(gathered, rows)
    kernels.run("gather", (2, 3 * len(rows)), (THREADS,), gathered)
    for number, (height, width) in enumerate(shapes):
        expected = np.zeros((3, *SIZE), np.float32)
        expected[:, :height, :width] = pictures[number]
        np.testing.assert_array_equal(batch[number], expected)
    _, got = faces.read_answers(answers, [faces.answer_scale(1, 1)] * len(shapes))
    np.testing.assert_array_equal(got, thumbnails)


def test_answers_are_scaled_to_displayed_pixels_and_copied():
    answers = np.zeros((3, faces.ANSWER_NUMBERS), np.float32)
    answers[1, :16] = [1, 1, 2, 3, 4, 0.5, *range(10)]
    (none, found), thumbnails = faces.read_answers(answers, [faces.answer_scale(1, 1), faces.answer_scale(2, 3)])
    answers[:] = np.nan
    assert len(none) == 0 and none.boxes_xyxy.shape == (0, 4) and none.landmarks.shape == (0, 10)
    assert found.boxes_xyxy.tolist() == [[2, 6, 6, 12]] and found.scores.tolist() == [0.5]
    assert found.landmarks.tolist() == [[0, 3, 4, 9, 8, 15, 12, 21, 16, 27]]
    assert thumbnails.shape == (2, 18, 32) and not thumbnails.any()
