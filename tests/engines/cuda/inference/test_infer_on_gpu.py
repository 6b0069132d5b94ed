"""What only a GPU can show of inference: the same faces and vectors as on the CPU. Skipped where there is none."""

import threading

import numpy as np
import pytest

from dft.configs.errors import BackendUnavailableError
from dft.engines.cpu.detect import YuNetDetector
from dft.engines.cpu.embed import OnnxEmbedder
from dft.engines.cuda import counters, faces
from dft.engines.cuda.available import why_unusable
from dft.engines.cuda.detect import BatchedDetector
from dft.engines.cuda.embed import CudaEmbedder
from dft.engines.cuda.ort import OrtSession
from dft.engines.cuda.yunet import BATCH_SIZES, CudaYuNetDetector
from dft.engines.weights import find_model
from dft.engines.yunet import decode_heads

from .test_detect import MIN_SCORE, SIZE, assert_alike, scene
from .test_faces import random_outputs

ORT_CUDA = ("onnxruntime-cuda",)


@pytest.fixture(scope="module", autouse=True)
def real_gpu(needs_cuda, tmp_path_factory):
    needs_cuda(why_unusable())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def upload(real_gpu):
    from dft.engines.cuda.transfer import Uploader

    uploaders = {}

    def run(image):
        shape = image.y.shape
        return uploaders.setdefault(shape, Uploader(shape[1], shape[0]))(image)

    return run


@pytest.fixture(scope="module")
def on_cpu():
    with YuNetDetector(find_model("yunet"), size=SIZE, min_score=MIN_SCORE, threads=2) as made:
        yield made


@pytest.fixture(scope="module")
def detector(real_gpu):
    with CudaYuNetDetector(find_model("yunet"), size=SIZE, min_score=MIN_SCORE, rungs=ORT_CUDA) as made:
        yield made


def test_the_rung_is_cuda(detector):
    assert detector.rung.startswith("onnxruntime-cuda")


@pytest.mark.parametrize("num", [1, 2, 3, 8, 31, 32, 40])
def test_faces_and_thumbnails_are_those_of_the_cpu(upload, detector, on_cpu, num):
    images = [scene(number % 10, rotation=90 * (number % 4)) for number in range(num)]
    prepared = [detector.prepare(upload(image)) for image in images]
    wanted = [on_cpu.prepare(image) for image in images]
    assert_alike(detector.detect(prepared), on_cpu.detect(wanted))
    for ours, theirs in zip(prepared, wanted, strict=True):
        assert np.abs(detector.thumbnail(ours).astype(int) - on_cpu.thumbnail(theirs)).max() <= 2


def test_the_kernel_gives_the_faces_of_the_cpu_s_decoder(real_gpu):
    import cupy

    height, width, num = 256, 448, 5
    for confident, min_score in ((0.0, 0.3), (0.02, 0.3), (1.0, 0.6)):
        outputs = random_outputs(7, num, confident, (height, width))
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            held = {name: cupy.asarray(values) for name, values in outputs.items()}
            answers = cupy.zeros((num, faces.ANSWER_NUMBERS), cupy.float32)
            cells = faces.num_cells(height, width)
            work = cupy.zeros((num, cells), cupy.float32), cupy.zeros((num, cells), cupy.int32)
            addresses = {name: int(array.data.ptr) for name, array in held.items()}
            argument = faces.heads(
                addresses, tuple(int(a.data.ptr) for a in work), int(answers.data.ptr), (height, width), min_score
            )
            faces.launch("find_faces", (num, 1), faces.FIND_THREADS, argument)
            got = answers.get(stream=stream)
            stream.synchronize()
        answers, _ = faces.read_answers(got, [faces.answer_scale(1, 1)] * num)
        for found, wanted in zip(answers, decode_heads(outputs, width, height, np.float32(min_score)), strict=True):
            kept = min(len(wanted), faces.MAX_FACES)
            assert len(found) == kept
            np.testing.assert_allclose(found.boxes_xyxy, wanted.boxes_xyxy[:kept], rtol=1e-5, atol=1e-3)
            np.testing.assert_allclose(found.scores, wanted.scores[:kept], atol=1e-6)


@pytest.fixture(scope="module")
def without_graphs(real_gpu):
    with CudaYuNetDetector(find_model("yunet"), size=SIZE, min_score=MIN_SCORE, rungs=ORT_CUDA) as made:
        with pytest.MonkeyPatch.context() as patch:  # until its shapes are bound: others are to be captured
            patch.setattr(OrtSession, "capture", lambda _: False)
            made.warm_up(480, 270, num_videos=16)
        yield made


def test_graphs_change_nothing(upload, without_graphs):
    """Captured while other threads use the GPU, and launched for batches of every size."""
    with CudaYuNetDetector(find_model("yunet"), size=SIZE, min_score=MIN_SCORE, rungs=ORT_CUDA) as made:
        for each in (made, without_graphs):  # in batches of other sizes the network's sums differ in their last bits
            each.warm_up(480, 270, num_videos=16)
        bounds = made._network._bounds
        assert set(bounds) == {(num, 3, 192, 320) for num in BATCH_SIZES}
        assert all(bound.session._graph is not None for bound in bounds.values())
        for num in (1, 5, 32, 7, 1, 20):
            images = [upload(scene(number % 10)) for number in range(num)]
            found = made.detect([made.prepare(image) for image in images])
            wanted = without_graphs.detect([without_graphs.prepare(image) for image in images])
            for ours, theirs in zip(found, wanted, strict=True):
                np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=0.05)
                np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)


def test_under_one_per_cent_of_a_1080p_frame_comes_back(upload, detector):
    prepared = [detector.prepare(upload(scene(number))) for number in range(4)]
    counters.reset()
    detector.detect(prepared)
    moved = counters.transfers()
    assert not moved.to_device and moved.num_bytes < 0.01 * 4 * 1920 * 1080 * 1.5


def test_many_videos_in_threads_share_the_network(upload, on_cpu):
    """Each video gets its own faces, whatever the batches are made of."""
    images = {name: [scene((3 * name + i) % 10) for i in range(8)] for name in range(6)}
    wanted = {name: on_cpu.detect([on_cpu.prepare(image) for image in own]) for name, own in images.items()}
    uploaded = {name: [upload(image) for image in own] for name, own in images.items()}
    found, failures = {}, []

    def work(name):
        try:
            with BatchedDetector(find_model("yunet"), size=SIZE, min_score=MIN_SCORE, rungs=ORT_CUDA) as own:
                found[name] = []
                for first in range(0, 8, 4):
                    prepared = [own.prepare(image) for image in uploaded[name][first : first + 4]]
                    found[name] += own.detect(prepared)
                    assert own.thumbnail(prepared[0]).shape == (18, 32)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not failures
    for name in images:
        assert_alike(found[name], wanted[name])


@pytest.mark.parametrize("num", [1, 5, 20])
def test_vectors_are_those_of_the_cpu(upload, on_cpu, num):
    images = [scene(number % 10) for number in range(num)]
    landmarks = [found.landmarks for found in on_cpu.detect([on_cpu.prepare(image) for image in images])]
    with CudaEmbedder(find_model("dlib"), rungs=ORT_CUDA) as made, OnnxEmbedder(find_model("dlib"), threads=2) as cpu:
        pairs = list(zip(images, landmarks, strict=True))
        vectors = made.embed([c for image, points in pairs for c in made.prepare(upload(image), points)])
        wanted = cpu.embed([c for image, points in pairs for c in cpu.prepare(image, points)])
    assert vectors.shape == wanted.shape == (2 * num, 128)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(wanted, axis=1)
    assert ((vectors * wanted).sum(axis=1) / lengths > 0.9999).all()


@pytest.mark.parametrize("rung", ["tensorrt", "tensorrt_rtx"])
def test_tensorrt_finds_the_same_faces_or_says_why_not(upload, on_cpu, rung):
    """Runs where the library and the GPU allow it; where they do not, the reason must be a clear one."""
    try:
        made = CudaYuNetDetector(find_model("yunet"), size=SIZE, min_score=MIN_SCORE, rungs=(rung,))
    except BackendUnavailableError as error:
        assert "cannot be imported" in str(error) or "does not support" in str(error)
        pytest.skip(str(error))
    with made:
        images = [scene(number) for number in range(5)]
        found = made.detect([made.prepare(upload(image)) for image in images])
        assert made.rung.startswith(rung)
        assert_alike(found, on_cpu.detect([on_cpu.prepare(image) for image in images]))
