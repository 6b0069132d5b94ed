"""Networks typed as half precision: valid, of the same interface, and near the original when they are run."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from dft.configs.errors import ModelError
from dft.engines.cuda.half import half_graph
from dft.engines.embedders import load_embedder
from dft.engines.weights import find_model
from dft.engines.yunet import OUTPUTS, dynamic_graph


def run(content, tensor):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: tensor}), strict=True))


def types(model):
    return {tensor.data_type for tensor in model.graph.initializer}


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def small_graph(nodes, constants, inputs=("x",), outputs=("y",)):
    graph = helper.make_graph(
        nodes, "g", [value(n, ["n", 2]) for n in inputs], [value(n, ["n", None]) for n in outputs], constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def test_yunet_keeps_its_interface_and_its_scores():
    content = dynamic_graph(find_model("yunet").path)
    half = half_graph(content)
    model = onnx.load_from_string(half)
    onnx.checker.check_model(model, full_check=True)
    assert {v.type.tensor_type.elem_type for v in [*model.graph.input, *model.graph.output]} == {TensorProto.FLOAT}
    picture = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 96)).astype(np.float32)
    wanted, got = run(content, picture), run(half, picture)
    assert set(got) == set(OUTPUTS)
    for name in OUTPUTS:
        tolerance = 0.005 if name[:3] in ("cls", "obj") else 0.05
        np.testing.assert_allclose(got[name], wanted[name], atol=tolerance)
    assert any(not np.array_equal(got[name], wanted[name]) for name in OUTPUTS), "or nothing was computed in half"


def test_resize_keeps_its_scales_as_float():
    model = onnx.load_from_string(half_graph(dynamic_graph(find_model("yunet").path)))
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    scales = [node.input[2] for node in model.graph.node if node.op_type == "Resize"]
    assert scales and {constants[name] for name in scales} == {TensorProto.FLOAT}
    others = [kind for name, kind in constants.items() if name not in scales]
    assert TensorProto.FLOAT16 in others and others.count(TensorProto.FLOAT) <= 1  # the empty region of interest


def test_the_embedder_keeps_its_vectors():
    graph = load_embedder(find_model("dlib"))
    half = half_graph(graph.content)
    assert len(half) < 0.51 * len(graph.content)
    rng = np.random.default_rng(1)
    chips = rng.uniform(0, 255, (3, 3, 150, 150)).astype(np.float32)
    chips[1:] = 255 * (rng.random((2, 3, 1, 1)) > 0.5)  # flat and saturated: the largest activations
    wanted, got = run(graph.content, chips)[graph.output_name], run(half, chips)[graph.output_name]
    cosine = (wanted * got).sum(axis=1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(got, axis=1)
    assert (cosine > 0.9999).all()


def test_constants_casts_and_an_input_that_is_an_output():
    one = helper.make_tensor("one", TensorProto.FLOAT, [2], [1.5, 2.5])
    nodes = [
        helper.make_node("Constant", [], ["c"], value=one),
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["f", "c"], ["y"]),
        helper.make_node("Mul", ["y", "w"], ["z"]),
    ]
    content = small_graph(nodes, [numpy_helper.from_array(np.array([2, 3], np.float32), "w")], outputs=("y", "z"))
    half = half_graph(content)
    onnx.checker.check_model(onnx.load_from_string(half), full_check=True)
    tensor = np.array([[1.25, -3.5]], np.float32)
    wanted, got = run(content, tensor), run(half, tensor)
    for name in ("y", "z"):
        assert got[name].dtype == np.float32
        np.testing.assert_array_equal(got[name], wanted[name])


def test_a_weight_too_large():
    content = small_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])], [numpy_helper.from_array(np.array([7e4], np.float32), "w")]
    )
    with pytest.raises(ModelError, match=r"weights w do not fit half precision; got 70000\.0"):
        half_graph(content)


def test_branches_are_refused():
    branch = helper.make_graph([helper.make_node("Identity", ["x"], ["o"])], "b", [], [value("o", None)])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    with pytest.raises(ModelError, match="branches or loops"):
        half_graph(small_graph([node], [numpy_helper.from_array(np.array(True), "c")]))
