"""Half precision by typing the ONNX graph, as strongly typed TensorRT networks want it.

Inputs and outputs stay float32; between them everything that was float32 becomes float16.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...configs.errors import ModelError

CONVERTER_VERSION = 1  # to be raised with every change of the graph that is made
GREATEST = float(np.finfo(np.float16).max)
# Inputs that ONNX wants as float32 whatever the type of the others: roi and scales.
FLOAT_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}


def half_graph(content: bytes) -> bytes:
    """The same network in float16.

    Args:
        content: Serialised ONNX model with float32 weights.

    Raises:
        ModelError: A weight is too large for float16, or the graph has branches or loops.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        raise ModelError("a network with branches or loops cannot be made half precision", hint="use precision fp32")
    constants = {constant.name for constant in graph.initializer}
    kept = _kept_as_float(graph)
    for constant in graph.initializer:
        if constant.data_type == TensorProto.FLOAT and constant.name not in kept:
            constant.CopyFrom(_as_half(constant))
    for node in graph.node:
        _type_attributes(node, kept)
    _cast_inputs(graph, constants, kept)
    _cast_outputs(graph)
    del graph.value_info[:]
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _kept_as_float(graph: onnx.GraphProto) -> set[str]:
    kept = set()
    for node in graph.node:
        for place in FLOAT_INPUTS.get(node.op_type, ()):
            kept.update(node.input[place : place + 1])
    return kept


def _as_half(tensor: onnx.TensorProto) -> onnx.TensorProto:
    values = numpy_helper.to_array(tensor)
    if values.size and float(np.abs(values).max()) > GREATEST:
        raise ModelError(
            f"weights {tensor.name} do not fit half precision",
            got=float(np.abs(values).max()), expected=f"at most {GREATEST:.0f}", hint="use precision fp32",
        )  # fmt: skip
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)


def _type_attributes(node: onnx.NodeProto, kept: set[str]) -> None:
    if kept.intersection(node.output):
        return
    for attribute in node.attribute:
        if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
            attribute.t.CopyFrom(_as_half(attribute.t))
        elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16


def _cast_inputs(graph: onnx.GraphProto, constants: set[str], kept: set[str]) -> None:
    casts = []
    for value in graph.input:
        if value.name in constants:  # old files list constants as inputs
            if value.name not in kept and value.type.tensor_type.elem_type == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = TensorProto.FLOAT16
            continue
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            continue
        half = f"{value.name}_half"
        for node in graph.node:
            for place, name in enumerate(node.input):
                if name == value.name:
                    node.input[place] = half
        casts.append(helper.make_node("Cast", [value.name], [half], name=f"{half}_cast", to=TensorProto.FLOAT16))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _cast_outputs(graph: onnx.GraphProto) -> None:
    for value in graph.output:
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            continue
        half = f"{value.name}_half"
        for node in graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == value.name:
                        names[place] = half
        graph.node.append(helper.make_node("Cast", [half], [value.name], name=f"{half}_cast", to=TensorProto.FLOAT))
