"""The GPU's detector on a stand-in for the GPU, with the real kernels and the real network, against the CPU's."""

import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dft.configs.errors import BackendUnavailableError, EngineError
from dft.engines.cpu.detect import ROTATIONS, YuNetDetector
from dft.engines.cpu.image import YuvImage
from dft.engines.cuda import counters, detect, yunet
from dft.engines.cuda.detect import BatchedDetector
from dft.engines.cuda.infer import OrtCpuNetwork
from dft.engines.cuda.shared import keeping_open
from dft.engines.cuda.yunet import CudaYuNetDetector
from dft.engines.protocols import Colour, Detector
from dft.engines.weights import find_model
from dft.render.portraits import eileen_collins, grace_hopper

SIZE, MIN_SCORE = 320, 0.3
CPU_RUNG = ("onnxruntime-cpu",)
TURN_BACK = {90: 270, 180: 180, 270: 90}


def scene(number, rotation=0, size=(480, 270)):
    """A picture with two faces that stand elsewhere for every number."""
    canvas = np.full((size[1], size[0], 3), 90 + 3 * number, np.uint8)
    for place, portrait in ((20 + 9 * number, grace_hopper()), (260 + 7 * number, eileen_collins())):
        face = cv2.resize(portrait.pixels[..., :3].astype(np.uint8), (170, 200), interpolation=cv2.INTER_AREA)
        canvas[30:230, place : place + 170] = face[:, : canvas.shape[1] - place]
    coded = cv2.rotate(canvas, ROTATIONS[TURN_BACK[rotation]]) if rotation else canvas
    height, width = coded.shape[:2]
    planes = cv2.cvtColor(np.ascontiguousarray(coded), cv2.COLOR_BGR2YUV_I420)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    return YuvImage(planes[:height], chroma[0], chroma[1], Colour(6, 1, 1), rotation)


@pytest.fixture(scope="module")
def on_cpu():
    with YuNetDetector(find_model("yunet"), size=SIZE, min_score=MIN_SCORE, threads=1) as made:
        yield made


@pytest.fixture
def detector(gpu):
    with CudaYuNetDetector(find_model("yunet"), size=SIZE, min_score=MIN_SCORE, rungs=CPU_RUNG) as made:
        yield made


def assert_alike(found, wanted):
    assert len(found) == len(wanted) > 0
    for ours, theirs in zip(found, wanted, strict=True):
        assert len(ours) == len(theirs)
        np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=1.0)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=0.01)
        np.testing.assert_allclose(ours.landmarks, theirs.landmarks, atol=1.0)


def test_it_is_a_detector(detector):
    assert isinstance(detector, Detector)
    assert detector.rung.startswith("onnxruntime-cpu")


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_faces_and_thumbnails_are_those_of_the_cpu(on_gpu, detector, on_cpu, rotation):
    images = [scene(number, rotation) for number in range(3)]
    prepared = [detector.prepare(on_gpu(image)) for image in images]
    wanted = [on_cpu.prepare(image) for image in images]
    found = detector.detect(prepared)
    assert_alike(found, on_cpu.detect(wanted))
    assert [len(faces_) for faces_ in found] == [2, 2, 2]
    for ours, theirs in zip(prepared, wanted, strict=True):
        difference = detector.thumbnail(ours).astype(int) - on_cpu.thumbnail(theirs)
        assert np.abs(difference).max() <= 2


def test_pictures_of_other_sizes_share_a_batch(on_gpu, detector, on_cpu):
    images = [scene(0), scene(1, 90), scene(2, 0, (440, 240))]
    found = detector.detect([detector.prepare(on_gpu(image)) for image in images])
    assert_alike(found, on_cpu.detect([on_cpu.prepare(image) for image in images]))


def test_batches_are_filled_up_to_few_sizes_of_those_that_are_ready(on_gpu, detector, on_cpu, monkeypatch):
    """As on the GPU's rungs, where each size takes seconds to make ready."""
    monkeypatch.setattr(OrtCpuNetwork, "is_exact", False)
    images = [scene(number % 4, 0, (440, 440) if number % 2 else (480, 270)) for number in range(11)]
    wanted = on_cpu.detect([on_cpu.prepare(image) for image in images])
    prepared = [detector.prepare(on_gpu(image)) for image in images]
    assert_alike(detector.detect(prepared), wanted)
    shapes = {(8, 3, 192, 320), (8, 3, 320, 320)}
    assert set(detector._network._bounds) == shapes, "the first sizes are made on the way"
    detector.warm_up(480, 270)
    assert set(detector._network._bounds) == shapes
    detector.warm_up(480, 270, num_videos=3)
    assert set(detector._network._bounds) == {*shapes, (32, 3, 192, 320)}
    assert_alike(detector.detect([*prepared[::2], *prepared[::2]]), [*wanted[::2], *wanted[::2]])
    enqueued = []
    monkeypatch.setattr(yunet._Lane, "enqueue", lambda lane, bound, part: enqueued.append((bound, len(part))))
    detector.submit([*prepared[:11:2], *prepared[1:11:2], *prepared[:8:2]])
    detector.submit([*prepared[1:11:2], *prepared[1:11:2]])
    sizes = [(bound.input.shape, num) for bound, num in enqueued]
    assert sizes == [((32, 3, 192, 320), 10), *[((8, 3, 320, 320), num) for num in (5, 8, 2)]]


@pytest.mark.parametrize(
    ("size", "wanted"), [((256, 448), (8, 32)), ((448, 448), (8, 32)), ((512, 896), (4,)), ((2048, 2048), (4,))]
)
def test_large_pictures_make_small_batches(size, wanted):
    assert yunet.batch_sizes(size) == wanted


def test_more_than_a_batch(on_gpu, detector):
    prepared = [detector.prepare(on_gpu(scene(number % 3))) for number in range(34)]
    found = detector.detect(prepared)
    assert [len(f) for f in found] == [2] * 34
    np.testing.assert_allclose(found[33].boxes_xyxy, found[0].boxes_xyxy, atol=0.01)


def test_results_can_be_read_late_and_pictures_dropped_early(on_gpu, detector, on_cpu):
    images = [scene(number) for number in range(4)]
    tickets = [detector.submit([detector.prepare(on_gpu(image))]) for image in images]
    found = [ticket.result()[0] for ticket in tickets]
    assert_alike(found, on_cpu.detect([on_cpu.prepare(image) for image in images]))
    assert tickets[0].result()[0] is found[0], "reading again gives the same"


def test_prepare_keeps_nothing_of_the_image(on_gpu, detector, on_cpu):
    prepared = [detector.prepare(on_gpu(scene(number))) for number in range(6)]
    assert on_gpu.rings[(270, 480)].num_slots == 1, "the decoder used the same memory for all"
    wanted = on_cpu.detect([on_cpu.prepare(scene(number)) for number in range(6)])
    assert_alike(detector.detect(prepared), wanted)


def test_a_thumbnail_before_detection(on_gpu, detector, on_cpu):
    prepared = detector.prepare(on_gpu(scene(1)))
    wanted = on_cpu.thumbnail(on_cpu.prepare(scene(1)))
    assert np.abs(detector.thumbnail(prepared).astype(int) - wanted).max() <= 2


def test_what_comes_back_is_small(on_gpu, detector):
    """Under 1 % of the bytes of a 1080p frame, and nothing goes up."""
    prepared = [detector.prepare(on_gpu(scene(number))) for number in range(3)]
    counters.reset()
    detector.detect(prepared)
    moved = counters.transfers()
    assert moved.to_host["faces"] / 3 < 0.01 * 1920 * 1080 * 1.5
    assert set(moved.to_host) == {"faces", "network inputs"}, "the CPU's rung takes its inputs too"
    assert set(moved.to_device) == {"network outputs"}


def test_a_batch_of_none_or_too_many(on_gpu, detector):
    assert detector.detect([]) == []
    one = detector.prepare(on_gpu(scene(0)))
    with pytest.raises(EngineError, match="1 to 32"):
        detector.submit([one] * 33)
    with pytest.raises(EngineError, match="1 to 32"):
        detector.submit([])


def test_a_closed_detector(on_gpu, detector):
    one = detector.prepare(on_gpu(scene(0)))
    detector.close()
    detector.close()
    with pytest.raises(EngineError, match="closed"):
        detector.submit([one])


def test_a_failing_runtime_is_told(on_gpu, detector):
    one = detector.prepare(on_gpu(scene(0)))
    with pytest.raises(EngineError, match="inference failed on the CPU"):
        detector.detect([replace(one, height=48, width=48)])
    assert len(detector.detect([one])[0]) == 2


def opened(**changes):
    options = {"size": SIZE, "min_score": MIN_SCORE, "rungs": CPU_RUNG, **changes}
    return BatchedDetector(find_model("yunet"), **options)


def test_videos_share_one_network(on_gpu, on_cpu):
    with opened() as one, opened() as other, opened(size=256) as smaller:
        assert isinstance(one, Detector)
        assert one._detector is other._detector and smaller._detector is not one._detector
        assert "onnxruntime-cpu" in one.rung
        images = [scene(number) for number in range(3)]
        prepared = [one.prepare(on_gpu(image)) for image in images]
        answers = [one._stream.submit(prepared[:2]), other._stream.submit(prepared[2:])]
        found = [found for answer in answers for found in answer.result(timeout=60)]
        assert_alike(found, on_cpu.detect([on_cpu.prepare(image) for image in images]))
        assert one.thumbnail(prepared[0]).shape == (18, 32)
        one.close()
        assert len(other.detect(prepared[:1])[0]) == 2, "the others stay"
        assert sum(num for num, _ in other.recent_batches) == 4
    assert not detect._INFERENCE._held
    assert not [thread for thread in threading.enumerate() if thread.name == "dft-inference"]


def test_the_next_video_finds_the_network_open(on_gpu, on_cpu):
    with keeping_open():
        with opened(frame_size=(480, 270)) as one:
            detector = one._detector
        with opened(frame_size=(480, 270)) as other:
            assert other._detector is detector
            image = scene(0)
            assert_alike(other.detect([other.prepare(on_gpu(image))]), on_cpu.detect([on_cpu.prepare(image)]))
        with opened(size=256) as smaller:
            assert smaller._detector is not detector and len(detect._INFERENCE._held) == 1
    assert not detect._INFERENCE._held
    assert not [thread for thread in threading.enumerate() if thread.name == "dft-inference"]


def test_a_video_makes_the_network_ready_in_its_own_thread(gpu, monkeypatch):
    seen = []
    monkeypatch.setattr(
        CudaYuNetDetector,
        "warm_up",
        lambda _, *size, num_videos: seen.append((size, num_videos, threading.current_thread().name)),
    )
    here = threading.current_thread().name
    with opened(frame_size=(480, 270)), opened(), opened(frame_size=(270, 480)):
        assert seen == [((480, 270), 1, here), ((270, 480), 3, here)]


def test_a_video_that_cannot_be_made_ready_leaves_nothing(gpu, monkeypatch):
    def fail(*_, num_videos):
        raise EngineError("no memory")

    monkeypatch.setattr(CudaYuNetDetector, "warm_up", fail)
    with pytest.raises(EngineError, match="no memory"):
        opened(frame_size=(480, 270))
    assert not detect._INFERENCE._held


def test_a_detector_that_does_not_open_leaves_nothing(gpu):
    with pytest.raises(BackendUnavailableError, match="tensorrt cannot be imported"):
        opened(rungs=("tensorrt",))
    assert not detect._INFERENCE._held
