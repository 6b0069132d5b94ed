"""Networks on the first rung that can be had: TensorRT, TensorRT for RTX, ONNX Runtime on CUDA, or on the CPU.

A network works on one CUDA stream. Its inputs and outputs for a shape are allocated once, and work is enqueued, never
waited for; only the CPU's rung waits, since it must.

Sources: onnxruntime/__init__.py and capi/onnxruntime_inference_collection.py of onnxruntime-gpu 1.31.1; its provider
options (onnxruntime.ai, CUDA Execution Provider) and ``onnxruntime_run_options_config_keys.h``.
"""

import contextlib
import hashlib
import io
import logging
import sys
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...configs.errors import BackendUnavailableError, EngineError, ModelError
from ..protocols import Closing
from .counters import count_to_device, count_to_host
from .image import DeviceArray, Stream
from .trt import Profile, Progress, Shape, check_support, current_gpu, load_library, open_engine

log = logging.getLogger(__name__)

RUNGS = ("tensorrt", "tensorrt_rtx", "onnxruntime-cuda", "onnxruntime-cpu")
ON_GPU = RUNGS[:3]
NO_GRAPH = -1  # the runtime's number for a run without
BATCH_SIZES = (1, 2, 4, 8, 16, 32)  # to which batches are filled up, so that few shapes are seen

# Held while a network is enqueued: the launches of two networks would only slow each other down, and a CUDA graph must
# not be captured meanwhile.
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
    """

    rung: str

    def bound(self, shape: Shape) -> Bound:
        """The network for a shape; the same object for the same shape.

        Raises:
            EngineError: There is no memory for it, or the runtime does not take it.
        """

    def capture(self, shape: Shape) -> None:
        """Make a CUDA graph for a shape where the rung has them.

        To be called in the thread that is going to use it, and before any other thread uses CUDA: the capture would
        fail, and could break the other's work.
        """


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
            raise EngineError(
                f"no memory on the GPU for a batch of {shape}", got=error, hint="run fewer videos at once"
            ) from error


class _ByShape(Closing):
    """What is common to the rungs: one bound network per shape."""

    def __init__(self, rung: str, source: NetworkSource, stream: Stream):
        self.rung, self.source, self.stream = rung, source, stream
        self._bounds: dict[Shape, Bound] = {}

    def bound(self, shape: Shape) -> Bound:
        """See :meth:`Network.bound`."""
        if shape not in self._bounds:
            self._bounds[shape] = self._bind(_Memory.of(self.source, shape, self.stream))
        return self._bounds[shape]

    def capture(self, shape: Shape) -> None:
        """No graphs here, but the first run of a shape is the slow one, and is done now."""
        with LAUNCHING:
            self.bound(shape).enqueue()
        self.stream.synchronize()

    def close(self) -> None:
        """Finish what is enqueued, and let go of the memory."""
        self.stream.synchronize()
        self._bounds.clear()

    @abstractmethod
    def _bind(self, memory: _Memory) -> Bound:
        """The network bound to this memory."""


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
        return _TensorRtBound(self._context, self.source.profile.input_name, memory, self.stream)


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
    """ONNX Runtime's CUDA provider with IO binding; implements :class:`Network`.

    CUDA graphs are kept for captured shapes; other shapes, and other threads than the capturing one, run without.
    """

    def __init__(self, source: NetworkSource, stream: Stream):
        import onnxruntime

        super().__init__(f"onnxruntime-cuda {onnxruntime.__version__} fp32", source, stream)
        self._session = _cuda_session(source.content, stream, graphs=False)
        self._graphs: dict[Shape, int] | None = None  # numbers of the graphs, once there are any

    def capture(self, shape: Shape) -> None:
        """See :meth:`Network.capture`; the runtime captures in its first run with a new number for the graph."""
        try:
            if self._graphs is None:
                self._reopen(graphs=True)
                self._graphs = {}
            self._graphs.setdefault(shape, len(self._graphs) + 1)  # 0 is kept by the runtime for itself
            self._bounds.pop(shape, None)
            super().capture(shape)
        except Exception as error:  # the runtime's and CUDA's errors have no common base
            log.warning("no CUDA graphs: %s", error)
            self._graphs = None
            self._reopen(graphs=False)

    def close(self) -> None:
        """Free the session and its memory."""
        super().close()
        self._session = None

    def _reopen(self, *, graphs: bool) -> None:
        self._bounds.clear()
        self._session = _cuda_session(self.source.content, self.stream, graphs=graphs)

    def _bind(self, memory: _Memory) -> Bound:
        graph = None if self._graphs is None else self._graphs.get(tuple(memory.input.shape), NO_GRAPH)
        return _OrtBound(self._session, self.source.profile.input_name, memory, graph)


class _OrtBound:
    """IO binding of one shape.

    Args:
        session: The session.
        input_name: Of its input.
        memory: What is bound.
        graph: Number of its CUDA graph, or ``NO_GRAPH``; None where the session has no graphs at all.
    """

    def __init__(self, session: Any, input_name: str, memory: _Memory, graph: int | None):
        self.input, self.outputs = memory.input, memory.outputs
        self._session = session
        self._binding = session.io_binding()
        device = int(memory.input.device.id)
        self._binding.bind_input(
            input_name, "cuda", device, np.float32, tuple(memory.input.shape), int(memory.input.data.ptr)
        )
        for name, array in memory.outputs.items():
            self._binding.bind_output(name, "cuda", device, np.float32, tuple(array.shape), int(array.data.ptr))
        self._options = _run_options(graph)
        # the runtime keeps graphs per thread: another one must not begin a capture amid the others' work
        self._thread = threading.get_ident()
        self._options_elsewhere = _run_options(graph if graph is None else NO_GRAPH)

    def enqueue(self) -> None:
        options = self._options if threading.get_ident() == self._thread else self._options_elsewhere
        try:
            self._session.run_with_iobinding(self._binding, options)
        except Exception as error:  # the runtime's errors have no common base
            raise EngineError("inference failed on the GPU", got=error) from error


def _run_options(graph: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 3
    # the stream orders the work: the host need not wait
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    if graph is not None:
        options.add_run_config_entry("gpu_graph_id", str(graph))
    return options


class OrtCpuNetwork(_ByShape):
    """ONNX Runtime on the CPU between two copies: the last rung; implements :class:`Network`."""

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


def cuda_provider_options(stream_pointer: int, device: int, *, graphs: bool) -> dict[str, str]:
    """Options of ONNX Runtime's CUDA provider.

    Args:
        stream_pointer: The CUDA stream that it works on.
        device: Number of the GPU.
        graphs: Whether CUDA graphs can be captured.
    """
    return {
        "device_id": str(device),
        "user_compute_stream": str(stream_pointer),
        "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE would time every shape anew, for seconds
        "arena_extend_strategy": "kSameAsRequested",  # doubling would take memory from other videos
        "use_tf32": "0",  # 10 bits of mantissa would show against the CPU
        "enable_cuda_graph": str(int(graphs)),
    }


def _cuda_session(content: bytes, stream: Stream, *, graphs: bool) -> Any:
    import onnxruntime

    _load_cuda_libraries(onnxruntime)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    given = cuda_provider_options(int(stream.ptr), int(stream.device_id), graphs=graphs)
    providers = [("CUDAExecutionProvider", given), "CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # the runtime's errors have no common base
        raise BackendUnavailableError("onnxruntime cannot start its CUDA provider", got=error) from error
    if "CUDAExecutionProvider" not in session.get_providers():
        raise BackendUnavailableError(
            "onnxruntime cannot start its CUDA provider", got=f"providers {session.get_providers()}",
            hint="is cuDNN 9 for CUDA 13 installed (pip install nvidia-cudnn-cu13)?",
        )  # fmt: skip
    return session


def _load_cuda_libraries(onnxruntime: Any) -> None:
    """Load cuDNN and CUDA from the packages of NVIDIA, where PyTorch has not loaded them."""
    if "torch" in sys.modules or not hasattr(onnxruntime, "preload_dlls"):
        return
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints what it does not find
        onnxruntime.preload_dlls(msvc=False)
    if said.getvalue():
        log.debug("onnxruntime: %s", said.getvalue().strip())


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
