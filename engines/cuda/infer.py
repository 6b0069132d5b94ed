"""Networks on the first rung that can be had: TensorRT, TensorRT for RTX, ONNX Runtime on CUDA, or on the CPU.

A network works on one CUDA stream. Its inputs and outputs for a shape are allocated once, and work is enqueued, never
waited for; only the CPU's rung waits, since it must. A shape that is new takes seconds, so few are used: batches are
filled up to a few sizes, and shapes are made ready before they are needed, by whoever is going to need them.
"""

import hashlib
import logging
import threading
import time
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...configs.errors import BackendUnavailableError, EngineError, ModelError
from ..memory import failure
from ..protocols import Closing
from .counters import count_to_device, count_to_host
from .image import DeviceArray, Stream
from .ort import OrtSession
from .trt import Profile, Progress, Shape, check_support, current_gpu, load_library, open_engine

log = logging.getLogger(__name__)

RUNGS = ("tensorrt", "tensorrt_rtx", "onnxruntime-cuda", "onnxruntime-cpu")
ON_GPU = RUNGS[:3]
MAX_SHAPES = 8  # of one network: each has memory of its own, mostly of what lies between its layers

# Held while a network is enqueued: the launches of two networks would only slow each other down.
LAUNCHING = threading.Lock()


@dataclass(frozen=True, eq=False)
class NetworkSource:
    """A network to be opened.

    Attributes:
        content: Serialised ONNX model with one input and float32 throughout.
        profile: Its input, and the shapes that it will be given.
        output_shapes: Shapes of the outputs by name, for a shape of the input.
    """

    content: bytes
    profile: Profile
    output_shapes: Callable[[Shape], dict[str, Shape]]

    @property
    def sha256(self) -> str:
        """Of the content."""
        return hashlib.sha256(self.content).hexdigest()


class Bound(Protocol):
    """A network with memory for one shape.

    Attributes:
        input: float32 of that shape, contiguous; overwritten from batch to batch in the order of the network's stream.
        outputs: float32 by name; likewise.
    """

    input: DeviceArray
    outputs: dict[str, DeviceArray]

    def enqueue(self) -> None:
        """Enqueue the network on its stream: ``outputs`` are made of what ``input`` holds then.

        Raises:
            EngineError: The runtime fails.
        """


class Network(Closing, Protocol):
    """A network on a rung.

    Attributes:
        rung: Which one, and why none before it.
        is_exact: Whether a batch costs what its items cost, whatever its size, so that none is to be filled up.
    """

    rung: str
    is_exact: bool

    def bound(self, shape: Shape) -> Bound:
        """The network for a shape, in any thread. A new shape takes seconds, for the caller alone.

        Raises:
            EngineError: There is no memory for it, or the runtime does not take it.
        """

    def is_ready(self, shape: Shape) -> bool:
        """Whether :meth:`bound` answers at once."""


def open_network(
    source: NetworkSource,
    stream: Stream,
    *,
    rungs: Sequence[str] = RUNGS,
    precision: str = "fp16",
    progress: Progress | None = None,
) -> Network:
    """A network on the first of ``rungs`` that can be had.

    Args:
        source: The network.
        stream: ``cupy.cuda.Stream`` to work on; not the default stream.
        rungs: Of :data:`RUNGS`, in order of preference; one alone forces it.
        precision: Of TensorRT engines: ``fp16`` or ``fp32``; ONNX Runtime computes in float32.
        progress: Told of the building of engines.

    Raises:
        BackendUnavailableError: None of them can be had; the message says why for each.
    """
    reasons: list[str] = []
    for rung in rungs:
        try:
            network = _OPENERS[rung](source, stream, precision, progress)
        except EngineError as error:
            reasons.append(f"{rung}: {error}")
            log.debug("no %s: %s", rung, error)
            continue
        network.rung = f"{network.rung} ({'; '.join(reasons)})" if reasons else network.rung
        log.log(logging.INFO if rung in ON_GPU else logging.WARNING, "inference by %s", network.rung)
        return network
    raise BackendUnavailableError("the network cannot be run", got="; ".join(reasons), expected=" or ".join(rungs))


@dataclass(eq=False)
class _Memory:
    """Device memory of one shape."""

    input: DeviceArray
    outputs: dict[str, DeviceArray]

    @classmethod
    def of(cls, source: NetworkSource, shape: Shape, stream: Stream) -> "_Memory":
        import cupy

        try:
            with stream:
                outputs = {
                    name: cupy.zeros(shape_, cupy.float32) for name, shape_ in source.output_shapes(shape).items()
                }
                return cls(cupy.zeros(shape, cupy.float32), outputs)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise failure(f"no memory on the GPU for a batch of {shape}", error) from error


class _ByShape(Closing):
    """What is common to the rungs: one bound network per shape, of which the least recently used gives way."""

    is_exact = False

    def __init__(self, rung: str, source: NetworkSource, stream: Stream):
        self.rung, self.source, self.stream = rung, source, stream
        self._bounds: OrderedDict[Shape, Bound] = OrderedDict()
        self._looking, self._making = threading.Lock(), threading.Lock()

    def bound(self, shape: Shape) -> Bound:
        """See :meth:`Network.bound`."""
        if (found := self._found(shape)) is not None:
            return found
        with self._making:
            if (found := self._found(shape)) is not None:
                return found
            started = time.perf_counter()
            made = self._bind(_Memory.of(self.source, shape, self.stream))
            log.debug("%s: %s ready after %.2f s", self.rung, shape, time.perf_counter() - started)
            with self._looking:
                self._bounds[shape] = made
                if len(self._bounds) > MAX_SHAPES:
                    self._bounds.popitem(last=False)  # freeing waits for the GPU, so that what is under way is safe
            return made

    def is_ready(self, shape: Shape) -> bool:
        """See :meth:`Network.is_ready`."""
        return shape in self._bounds

    def close(self) -> None:
        """Finish what is enqueued, and let go of the memory."""
        self.stream.synchronize()
        self._bounds.clear()

    def _found(self, shape: Shape) -> Bound | None:
        with self._looking:
            if shape in self._bounds:
                self._bounds.move_to_end(shape)
            return self._bounds.get(shape)

    @abstractmethod
    def _bind(self, memory: _Memory) -> Bound:
        """The network bound to this memory, after its first run, which is the slow one."""


class TensorRtNetwork(_ByShape):
    """TensorRT or TensorRT for RTX; implements :class:`Network`."""

    def __init__(self, engine: Any, rung: str, source: NetworkSource, stream: Stream):
        super().__init__(rung, source, stream)
        self._engine = engine
        self._context = engine.create_execution_context()
        if self._context is None:
            raise EngineError("TensorRT makes no execution context", got="nothing", hint="is the GPU's memory full?")

    def close(self) -> None:
        """Free the engine and its memory."""
        super().close()
        self._context = self._engine = None

    def _bind(self, memory: _Memory) -> Bound:
        bound = _TensorRtBound(self._context, self.source.profile.input_name, memory, self.stream)
        with LAUNCHING:  # the shapes share one context
            bound.enqueue()
        self.stream.synchronize()
        return bound


class _TensorRtBound:
    def __init__(self, context: Any, input_name: str, memory: _Memory, stream: Stream):
        self.input, self.outputs = memory.input, memory.outputs
        self._context, self._stream = context, stream
        self._name, self._shape = input_name, tuple(memory.input.shape)
        tensors = {input_name: memory.input, **memory.outputs}
        self._addresses = [(name, int(array.data.ptr)) for name, array in tensors.items()]

    def enqueue(self) -> None:
        context = self._context
        # all shapes share one context, which is cheap to turn: its memory would else be needed once for each
        taken = bool(context.set_input_shape(self._name, self._shape))
        for place in self._addresses:
            taken = bool(context.set_tensor_address(*place)) and taken
        if not taken or not context.execute_async_v3(self._stream.ptr):
            raise EngineError("TensorRT refuses to run the network", got=f"shape {self._shape}", hint="see the log")


class OrtCudaNetwork(_ByShape):
    """ONNX Runtime's CUDA provider, with a session for each shape (see :mod:`.ort`); implements :class:`Network`.

    Args:
        source: The network.
        stream: ``cupy.cuda.Stream`` to work on.
        graphs: Whether shapes are captured as CUDA graphs, where that can be.
    """

    def __init__(self, source: NetworkSource, stream: Stream, *, graphs: bool = True):
        import onnxruntime

        super().__init__(f"onnxruntime-cuda {onnxruntime.__version__} fp32", source, stream)
        self._graphs = graphs
        self._next: OrtSession | None = self._open()  # for the first shape; it shows whether the rung can be had

    def close(self) -> None:
        """Free the sessions and their memory."""
        super().close()
        self._next = None

    def _bind(self, memory: _Memory) -> Bound:
        bound = self._bound_to(memory)
        if self._graphs and not bound.session.capture():
            self._graphs = False
            bound = self._bound_to(memory)
        return bound

    def _bound_to(self, memory: _Memory) -> "_OrtBound":
        session, self._next = self._next or self._open(), None
        session.bind({self.source.profile.input_name: memory.input}, memory.outputs, self.stream)
        return _OrtBound(session, memory)

    def _open(self) -> OrtSession:
        return OrtSession(self.source.content, int(self.stream.device_id))


class _OrtBound:
    def __init__(self, session: OrtSession, memory: _Memory):
        self.input, self.outputs = memory.input, memory.outputs
        self.session = session

    def enqueue(self) -> None:
        self.session.enqueue()


class OrtCpuNetwork(_ByShape):
    """ONNX Runtime on the CPU between two copies: the last rung; implements :class:`Network`."""

    is_exact = True

    def __init__(self, source: NetworkSource, stream: Stream):
        import onnxruntime

        from ...configs.hardware import num_cores
        from ..cpu.session import open_session

        super().__init__(f"onnxruntime-cpu {onnxruntime.__version__} fp32", source, stream)
        try:
            self._session = open_session(source.content, max(1, num_cores() // 2))
        except Exception as error:  # the runtime's errors have no common base
            raise ModelError("the network is not understood by ONNX Runtime", got=error) from error

    def _bind(self, memory: _Memory) -> Bound:
        return _OrtCpuBound(self._session, self.source.profile.input_name, memory, self.stream)


class _OrtCpuBound:
    def __init__(self, session: Any, input_name: str, memory: _Memory, stream: Stream):
        self.input, self.outputs = memory.input, memory.outputs
        self._session, self._name, self._stream = session, input_name, stream

    def enqueue(self) -> None:
        tensor = self.input.get(stream=self._stream)
        self._stream.synchronize()
        count_to_host("network inputs", tensor.nbytes)
        try:
            made = self._session.run(list(self.outputs), {self._name: tensor})
        except Exception as error:  # the runtime's errors have no common base
            raise EngineError("inference failed on the CPU", got=error) from error
        for array, values in zip(self.outputs.values(), made, strict=True):
            array.set(values, stream=self._stream)
            count_to_device("network outputs", values.nbytes)
        self._stream.synchronize()  # the values are not pinned, and are freed now


def _open_tensorrt(library_name: str) -> Callable[..., _ByShape]:
    def open_on(source: NetworkSource, stream: Stream, precision: str, progress: Progress | None) -> _ByShape:
        library, gpu = load_library(library_name), current_gpu()
        check_support(library, gpu)
        engine = open_engine(library, source.content, source.profile, precision, gpu, progress)
        return TensorRtNetwork(engine, f"{library_name} {library.__version__} {precision}", source, stream)

    return open_on


def _open_ort_cuda(source: NetworkSource, stream: Stream, *_: object) -> _ByShape:
    return _importing_onnxruntime(lambda: OrtCudaNetwork(source, stream))


def _open_ort_cpu(source: NetworkSource, stream: Stream, *_: object) -> _ByShape:
    return _importing_onnxruntime(lambda: OrtCpuNetwork(source, stream))


def _importing_onnxruntime(make: Callable[[], _ByShape]) -> _ByShape:
    try:
        return make()
    except ImportError as error:
        if isinstance(error, EngineError):
            raise
        raise BackendUnavailableError(
            "onnxruntime cannot be imported", got=error, hint="pip install 'dual-face-tracker[gpu]'"
        ) from error


_OPENERS: dict[str, Callable[..., _ByShape]] = {
    "tensorrt": _open_tensorrt("tensorrt"),
    "tensorrt_rtx": _open_tensorrt("tensorrt_rtx"),
    "onnxruntime-cuda": _open_ort_cuda,
    "onnxruntime-cpu": _open_ort_cpu,
}
