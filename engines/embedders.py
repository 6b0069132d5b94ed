"""Face embedders as ONNX graphs, for every runtime: dlib's network, SFace, and others of the ArcFace family.

The side of a network's input tells its family (see :data:`LAYOUTS`); every graph that is returned here takes
``(batch, 3, size, size)`` float32 RGB 0-255.
"""

from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from ..configs.errors import ModelError
from . import dlib_resnet
from .alignment import ARCFACE, DLIB, LAYOUTS, ChipLayout
from .cache import cached
from .weights import ModelFile

# What networks of the ArcFace family are given that do not normalise on their own: (RGB - 127.5) / 127.5.
ARCFACE_MEAN = ARCFACE_SCALE = 127.5
RAW_INPUT = "raw_chips"


@dataclass(frozen=True, eq=False)
class EmbedderGraph:
    """A face embedder, ready for a runtime.

    Attributes:
        content: The serialised ONNX model.
        layout: What its chips look like, and how its vectors are compared.
        input_name: Name of the input, ``(batch, 3, size, size)`` float32 RGB 0-255.
        output_name: Name of the output, ``(batch, dimension)`` float32, not yet of length 1.
        dimension: Length of a vector.
        batch_size: The only batch that it takes, or None for any.
    """

    content: bytes
    layout: ChipLayout
    input_name: str
    output_name: str
    dimension: int
    batch_size: int | None


def load_embedder(model: ModelFile) -> EmbedderGraph:
    """The graph of ``model``: dlib's ``.dat``, converted once and then kept in the user's cache, or an ONNX file.

    Raises:
        ModelError: The file is damaged, or is no face embedder that is known.
    """
    if model.path.suffix == ".dat":
        name = f"dlib-{model.sha256}-v{dlib_resnet.CONVERTER_VERSION}.onnx.cached"
        content = cached(name, lambda: dlib_resnet.convert(model.path))
        return EmbedderGraph(content, DLIB, dlib_resnet.INPUT, dlib_resnet.OUTPUT, dlib_resnet.DIMENSION, None)
    return _from_onnx(model)


def _from_onnx(model: ModelFile) -> EmbedderGraph:
    try:
        loaded = onnx.load(str(model.path))
        onnx.checker.check_model(loaded)
    except Exception as error:  # protobuf's own errors have no common base
        raise ModelError(f"{model.path} cannot be read as ONNX", got=str(error)) from error
    graph = loaded.graph
    constants = {constant.name for constant in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]  # old files list constants as inputs
    layout = _layout(model, inputs)
    if len(graph.output) != 1 or len(_shape(graph.output[0])) != 2 or not _shape(graph.output[0])[1]:
        raise _unknown(model, "outputs", list(graph.output), "one, of (batch, dimension)")
    (source,), (target,) = inputs, graph.output
    batch_size, dimension = _shape(source)[0], _shape(target)[1]
    if batch_size is None:
        target.type.tensor_type.shape.dim[0].Clear()  # InsightFace's own exports say 1 for any batch
    input_name = source.name
    if layout is ARCFACE and not _normalises(graph):
        _prepend_normalisation(graph, source)
        input_name = RAW_INPUT
    return EmbedderGraph(loaded.SerializeToString(), layout, input_name, target.name, dimension or 0, batch_size)


def _layout(model: ModelFile, inputs: list[onnx.ValueInfoProto]) -> ChipLayout:
    if len(inputs) == 1 and inputs[0].type.tensor_type.elem_type == TensorProto.FLOAT:
        match _shape(inputs[0]):
            case (_, 3, int(height), int(width)) if height == width and height in LAYOUTS:
                return LAYOUTS[height]
    sizes = " or ".join(f"batch x 3 x {size} x {size} ({layout.family})" for size, layout in LAYOUTS.items())
    raise _unknown(model, "inputs", inputs, f"one float32 of {sizes}")


def _unknown(model: ModelFile, what: str, got: list[onnx.ValueInfoProto], expected: str) -> ModelError:
    found = ", ".join(
        f"{value.name} {TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()} "
        + " x ".join("any" if side is None else str(side) for side in _shape(value))
        for value in got
    )
    return ModelError(f"{model.path} is no face embedder that dft knows", got=f"{what} {found}", expected=expected)


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Its dimensions; None where any will do."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims)


def _normalises(graph: onnx.GraphProto) -> bool:
    """Whether the network subtracts and scales before its first convolution, as SFace and MXNet's exports do.

    InsightFace tells them apart likewise (python-package/insightface/model_zoo/arcface_onnx.py).
    """
    before = set()
    for node in graph.node:
        if node.op_type == "Conv":
            break
        before.add(node.op_type)
    return "Sub" in before and bool({"Mul", "Div"} & before)


def _prepend_normalisation(graph: onnx.GraphProto, source: onnx.ValueInfoProto) -> None:
    """Put (x - 127.5) / 127.5 in front of the network, and call its input :data:`RAW_INPUT`."""
    first = []
    steps = [("Sub", RAW_INPUT, "centred_chips", ARCFACE_MEAN), ("Div", "centred_chips", source.name, ARCFACE_SCALE)]
    for operation, before, after, number in steps:
        constant = helper.make_tensor(f"{after}_by", TensorProto.FLOAT, [1], [number])
        first.append(helper.make_node("Constant", [], [constant.name], value=constant))
        first.append(helper.make_node(operation, [before, constant.name], [after], name=f"{operation}_chips"))
    nodes = [*first, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    source.name = RAW_INPUT
