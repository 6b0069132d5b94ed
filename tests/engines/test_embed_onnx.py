"""Embedders that a user gives as ONNX: what is understood, and what is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dft.configs.errors import EngineError, ModelError
from dft.engines.alignment import ARCFACE, DLIB
from dft.engines.cpu.embed import OnnxEmbedder
from dft.engines.embedders import load_embedder
from dft.engines.weights import find_model

RGB = np.array([[255, 0, 51], [10, 200, 127], [128, 128, 128]], np.uint8)  # one colour per chip


def write_model(path, *, shape=("n", 3, 112, 112), out=("n", 3), kind=TensorProto.FLOAT, start=(), old=False):
    """A network whose vector is the mean colour of what reaches its convolution (of weight 1)."""
    nodes, value, constants = [], "data", [numpy_helper.from_array(np.eye(3, dtype=np.float32)[..., None, None], "w")]
    for operation, number in start:
        constants.append(helper.make_tensor(f"k{len(nodes)}", TensorProto.FLOAT, [1], [number]))
        nodes.append(helper.make_node(operation, [value, constants[-1].name], [f"v{len(nodes)}"]))
        value = nodes[-1].output[0]
    nodes.append(helper.make_node("Conv", [value, "w"], ["c"]))
    nodes.append(helper.make_node("GlobalAveragePool", ["c"], ["g"]))
    nodes.append(helper.make_node("Flatten", ["g"], ["fc1"]))
    inputs = [helper.make_tensor_value_info("data", kind, shape)]
    if old:
        inputs += [helper.make_tensor_value_info(c.name, TensorProto.FLOAT, c.dims) for c in constants]
    outputs = [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, out)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    opset = helper.make_opsetid("", 8 if old else 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=3 if old else 8), path)
    return find_model(str(path))


def chips(size=112):
    return [np.broadcast_to(colour, (size, size, 3)) for colour in RGB]


def vectors_of(model):
    with OnnxEmbedder(model, threads=1) as embedder:
        return embedder.embed(chips(embedder._graph.layout.size))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_arcface_gets_minus_one_to_one_and_gives_unit_vectors(tmp_path):
    model = write_model(tmp_path / "a.onnx")
    graph = load_embedder(model)
    assert (graph.layout, graph.dimension, graph.batch_size) == (ARCFACE, 3, None)
    np.testing.assert_allclose(vectors_of(model), unit((RGB - 127.5) / 127.5), atol=1e-4)


@pytest.mark.parametrize("scale", [("Mul", 0.0078125), ("Div", 128.0)])
def test_a_network_that_normalises_gets_raw_colours(tmp_path, scale):
    """SFace and MXNet's exports, which also list their constants as inputs."""
    model = write_model(tmp_path / "sface.onnx", shape=(1, 3, 112, 112), start=(("Sub", 127.5), scale), old=True)
    assert load_embedder(model).batch_size == 1
    np.testing.assert_allclose(vectors_of(model), unit((RGB - 127.5) / 128), atol=1e-4)


def test_a_fixed_batch_is_filled_up(tmp_path):
    model = write_model(tmp_path / "two.onnx", shape=(2, 3, 112, 112), out=(2, 3))
    np.testing.assert_allclose(vectors_of(model), unit((RGB - 127.5) / 127.5), atol=1e-4)


def test_an_output_that_says_one_for_any_batch(tmp_path):
    """As InsightFace's own exports do."""
    model = write_model(tmp_path / "w600k.onnx", out=(1, 3))
    np.testing.assert_allclose(vectors_of(model), unit((RGB - 127.5) / 127.5), atol=1e-4)


def test_150_pixels_are_dlib_s(tmp_path):
    model = write_model(tmp_path / "d.onnx", shape=("n", 3, 150, 150))
    assert load_embedder(model).layout is DLIB
    np.testing.assert_allclose(vectors_of(model), RGB, atol=1e-3)


def test_a_vector_of_zeros_stays_one(tmp_path):
    model = write_model(tmp_path / "z.onnx", start=(("Sub", 127.5), ("Mul", 0.0)))
    assert (vectors_of(model) == 0).all()


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"shape": ("n", 3, 96, 96)}, "inputs data float any x 3 x 96 x 96"),
        ({"shape": ("n", 3, 112, 96)}, "any x 3 x 112 x 96"),
        ({"shape": ("n", 3, "h", "w")}, "any x 3 x any x any"),
        ({"shape": ("n", 1, 112, 112)}, "any x 1 x 112 x 112"),
        ({"shape": ("n", 112, 112, 3)}, "any x 112 x 112 x 3"),
        ({"shape": (3, 112, 112)}, "3 x 112 x 112"),
        ({"kind": TensorProto.FLOAT16}, "float16 any x 3 x 112 x 112"),
    ],
)
def test_other_inputs_are_refused_and_named(tmp_path, changes, got):
    model = write_model(tmp_path / "other.onnx", **changes)
    with pytest.raises(ModelError) as caught:
        load_embedder(model)
    text = str(caught.value)
    assert text.startswith(f"{model.path} is no face embedder that dft knows; got inputs data ") and got in text
    assert "expected one float32 of batch x 3 x 150 x 150 (dlib) or batch x 3 x 112 x 112 (ArcFace)" in text
    assert "\n" not in text


@pytest.mark.parametrize("out", [("n", "d"), ("n", 3, 1, 1), ("n",)], ids=str)
def test_other_outputs_are_refused_and_named(tmp_path, out):
    model = write_model(tmp_path / "other.onnx", out=out)
    with pytest.raises(ModelError, match=r"got outputs fc1 float any.*; expected one, of \(batch, dimension\)"):
        load_embedder(model)


def test_a_detector_is_refused():
    with pytest.raises(
        ModelError, match="is no face embedder that dft knows; got inputs input float 1 x 3 x 640 x 640"
    ):
        load_embedder(find_model("yunet"))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07\x12\x00"])
def test_what_is_no_onnx(tmp_path, content):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_embedder(find_model(str(tmp_path / "x.onnx")))
    assert "x.onnx cannot be read as ONNX" in str(caught.value) and "\n" not in str(caught.value)


def test_what_the_runtime_refuses(tmp_path):
    model = write_model(tmp_path / "future.onnx")
    loaded = onnx.load(model.path)
    loaded.opset_import.append(helper.make_opsetid("somebody.else", 1))
    loaded.graph.node[0].domain = "somebody.else"
    onnx.save(loaded, model.path)
    with pytest.raises(ModelError, match=r"future\.onnx is not understood by ONNX Runtime; got .*Conv"):
        OnnxEmbedder(model, threads=1)


def test_what_the_runtime_says_later(tmp_path):
    with OnnxEmbedder(write_model(tmp_path / "a.onnx"), threads=1) as embedder, pytest.raises(EngineError) as caught:
        embedder.embed(chips(96))
    assert str(caught.value).startswith("face embedding failed; got ") and "\n" not in str(caught.value)
