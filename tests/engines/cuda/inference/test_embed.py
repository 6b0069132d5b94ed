"""The GPU's embedder on a stand-in for the GPU, with the real kernels and the real network, against the CPU's."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dft.configs.errors import EngineError
from dft.engines.cpu.detect import YuNetDetector
from dft.engines.cpu.embed import OnnxEmbedder
from dft.engines.cuda import counters, embed
from dft.engines.cuda.embed import CudaEmbedder
from dft.engines.protocols import Embedder
from dft.engines.weights import ModelFile, find_model

from .test_detect import scene

CPU_RUNG = ("onnxruntime-cpu",)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def landmarks():
    """Of both faces of scenes 0 to 2."""
    with YuNetDetector(find_model("yunet"), size=448, min_score=0.5, threads=1) as detector:
        found = detector.detect([detector.prepare(scene(number)) for number in range(3)])
    assert [len(faces) for faces in found] == [2, 2, 2]
    return [faces.landmarks for faces in found]


@pytest.fixture
def embedder(gpu):
    with CudaEmbedder(find_model("dlib"), rungs=CPU_RUNG) as made:
        yield made


def cosines(one, other):
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_vectors_are_those_of_the_cpu(on_gpu, embedder, landmarks):
    assert isinstance(embedder, Embedder) and embedder.dimension == 128
    chips = [c for i, points in enumerate(landmarks) for c in embedder.prepare(on_gpu(scene(i)), points)]
    with OnnxEmbedder(find_model("dlib"), threads=1) as cpu:
        wanted = cpu.embed([c for i, points in enumerate(landmarks) for c in cpu.prepare(scene(i), points)])
        assert embedder.same_person_distance == cpu.same_person_distance
    counters.reset()
    vectors = embedder.embed(chips)
    assert vectors.shape == (6, 128) and vectors.dtype == np.float32
    assert counters.transfers().to_host["embeddings"] == 6 * 128 * 4
    assert (cosines(vectors, wanted) > 0.9999).all()
    assert cosines(vectors[:1], vectors[1:2]) < 0.99, "the two people differ"
    backwards = embedder.embed(chips[::-1])
    np.testing.assert_allclose(backwards[::-1], vectors, atol=1e-5)


def test_more_chips_than_a_batch(on_gpu, embedder, landmarks):
    (chip, _) = embedder.prepare(on_gpu(scene(0)), landmarks[0])
    vectors = embedder.embed([chip] * 17)
    assert vectors.shape == (17, 128)
    np.testing.assert_allclose(vectors, np.broadcast_to(vectors[:1], vectors.shape), atol=1e-5)


def test_none(on_gpu, embedder):
    assert embedder.prepare(on_gpu(scene(0)), np.zeros((0, 10), np.float32)) == []
    assert embedder.embed([]).shape == (0, 128)


def test_landmarks_that_cannot_be_a_face(on_gpu, embedder):
    with pytest.raises(EngineError):
        embedder.prepare(on_gpu(scene(0)), np.full((1, 10), np.nan, np.float32))


def test_videos_share_one_network(gpu):
    with CudaEmbedder(find_model("dlib"), rungs=CPU_RUNG) as one:
        other = CudaEmbedder(find_model("dlib"), rungs=CPU_RUNG)
        assert one._network is other._network and "onnxruntime-cpu" in one.rung
        other.close()
        other.close()
        assert embed._NETWORKS._held
    assert not embed._NETWORKS._held


def fixed_batch(path):
    """A network of the ArcFace family that takes two chips at a time, and describes them by their mean colours."""
    matrix = np.random.default_rng(0).normal(0, 1, (3, 8)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["data"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["fc1"]),
    ]
    ends = [
        helper.make_tensor_value_info("data", TensorProto.FLOAT, [2, 3, 112, 112]),
        helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [2, 8]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(matrix, "m")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return ModelFile("fixed", path, "0" * 64)


def test_a_network_of_fixed_batch_and_unit_length(on_gpu, landmarks, tmp_path):
    model = fixed_batch(tmp_path / "fixed.onnx")
    with CudaEmbedder(model, rungs=CPU_RUNG) as made, OnnxEmbedder(model, threads=1) as cpu:
        chips = [c for i, points in enumerate(landmarks) for c in made.prepare(on_gpu(scene(i)), points)][:5]
        wanted = cpu.embed([c for i, points in enumerate(landmarks) for c in cpu.prepare(scene(i), points)][:5])
        vectors = made.embed(chips)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (cosines(vectors, wanted) > 0.9999).all()
