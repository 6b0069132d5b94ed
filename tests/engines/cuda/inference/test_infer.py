"""Rungs of inference: their order, and ONNX Runtime's and TensorRT's interfaces against stand-ins.

The stand-ins take what the bindings of onnxruntime-gpu 1.31.1 and tensorrt 11.4 document, and refuse anything else.
"""

import sys
import threading
import types

import numpy as np
import pytest

from dft.configs.errors import BackendUnavailableError, EngineError
from dft.engines.cuda import infer
from dft.engines.cuda.infer import (
    NO_GRAPH,
    NetworkSource,
    OrtCudaNetwork,
    TensorRtNetwork,
    cuda_provider_options,
    open_network,
)
from dft.engines.cuda.trt import Gpu, Profile

from .test_trt import linear_graph

SHAPE = (4, 2)
SOURCE = NetworkSource(linear_graph(2.0), Profile("x", (1, 2), (4, 2), (8, 2)), lambda shape: {"y": shape})
KNOWN_OPTIONS = {
    "device_id", "user_compute_stream", "cudnn_conv_algo_search", "arena_extend_strategy", "use_tf32",
    "enable_cuda_graph",
}  # fmt: skip
RUN_OPTIONS = {"disable_synchronize_execution_providers", "gpu_graph_id"}


class Runtime(types.ModuleType):
    """onnxruntime: its work is to double."""

    __version__ = "1.31.1"

    def __init__(self, streams):
        super().__init__("onnxruntime")
        self.streams, self.sessions, self.runs = streams, [], []
        self.cuda_starts, self.capture_fails = True, False

    def preload_dlls(self, cuda=True, cudnn=True, msvc=True, directory=None):
        print("noise that must not reach stdout")

    class SessionOptions:
        log_severity_level = 2

    class RunOptions:
        def __init__(self):
            self.entries, self.log_severity_level = {}, 2

        def add_run_config_entry(self, key, text):
            assert key in RUN_OPTIONS and isinstance(text, str)
            self.entries[key] = text

    def InferenceSession(self, content, options, providers, enable_fallback):
        assert isinstance(content, bytes) and enable_fallback == 0
        (name, given), last = providers
        assert (name, last) == ("CUDAExecutionProvider", "CPUExecutionProvider")
        assert set(given) == KNOWN_OPTIONS and all(isinstance(text, str) for text in given.values())
        session = Session(self, given)
        self.sessions.append(session)
        return session


class Session:
    def __init__(self, runtime, options):
        self._runtime, self.options, self._captured = runtime, options, set()
        self._stream = runtime.streams[int(options["user_compute_stream"])]

    def get_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"][0 if self._runtime.cuda_starts else 1 :]

    def io_binding(self):
        return Binding()

    def run_with_iobinding(self, binding, options):
        graph = options.entries.get("gpu_graph_id")
        if graph not in (None, str(NO_GRAPH)):
            assert self.options["enable_cuda_graph"] == "1" and graph != "0"
            key = (threading.get_ident(), graph)
            if key not in self._captured:
                if self._runtime.capture_fails:
                    raise RuntimeError("capture failed")
                self._captured.add(key)
        self._runtime.runs.append((self, graph, threading.current_thread().name))
        assert options.entries["disable_synchronize_execution_providers"] == "1"
        self._stream.enqueue(binding.double)


class Binding:
    def bind_input(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        assert (name, device_type, device_id, element_type) == ("x", "cuda", 0, np.float32)
        self._source = self._array(shape, buffer_ptr)

    def bind_output(
        self, name, device_type="cpu", device_id=0, element_type=None, shape=None, buffer_ptr=None
    ):  # fmt: skip
        assert (name, device_type, device_id, element_type) == ("y", "cuda", 0, np.float32)
        self._target = self._array(shape, buffer_ptr)

    def _array(self, shape, pointer):
        import ctypes

        assert type(shape) is tuple and type(pointer) is int
        count = int(np.prod(shape))
        return np.frombuffer((ctypes.c_float * count).from_address(pointer), np.float32).reshape(shape)

    def double(self):
        self._target[...] = 2 * self._source


@pytest.fixture
def stream(gpu):
    made = gpu.cuda.Stream(non_blocking=True)
    made.device_id = 0
    return made


@pytest.fixture
def runtime(gpu, stream, monkeypatch):
    streams = sys.modules[gpu.cuda.Stream.__module__].STREAMS
    made = Runtime(streams)
    monkeypatch.setitem(sys.modules, "onnxruntime", made)
    return made


def doubled(network, stream, shape=SHAPE):
    bound = network.bound(shape)
    values = np.random.default_rng(0).random(shape, np.float32)
    bound.input.set(values, stream)
    bound.enqueue()
    np.testing.assert_array_equal(bound.outputs["y"].get(stream), 2 * values)


def test_io_binding_on_our_stream(runtime, stream, capsys):
    network = OrtCudaNetwork(SOURCE, stream)
    doubled(network, stream)
    doubled(network, stream, (1, 2))
    assert network.bound(SHAPE) is network.bound(SHAPE)
    (session,) = runtime.sessions
    assert session.options["user_compute_stream"] == str(stream.ptr)
    assert [graph for _, graph, _ in runtime.runs] == [None, None], "no graph unless one was captured"
    assert capsys.readouterr().out == "", "stdout belongs to results"


def test_provider_options_are_told_as_text():
    options = cuda_provider_options(1234, 1, graphs=True)
    assert options["device_id"] == "1" and options["user_compute_stream"] == "1234"
    assert options["enable_cuda_graph"] == "1" and options["use_tf32"] == "0"
    assert set(options) == KNOWN_OPTIONS


def test_captured_shapes_replay_their_graphs_and_others_run_without(runtime, stream):
    network = OrtCudaNetwork(SOURCE, stream)
    network.capture(SHAPE)
    network.capture((8, 2))
    runtime.runs.clear()
    for shape in (SHAPE, (8, 2), (2, 2)):
        doubled(network, stream, shape)
    assert [graph for _, graph, _ in runtime.runs] == ["1", "2", str(NO_GRAPH)]
    assert len({session for session, _, _ in runtime.runs}) == 1


def test_another_thread_captures_nothing(runtime, stream):
    """The runtime keeps graphs per thread, and would capture anew amid other threads' work."""
    network = OrtCudaNetwork(SOURCE, stream)
    network.capture(SHAPE)
    runtime.runs.clear()
    other = threading.Thread(target=lambda: network.bound(SHAPE).enqueue())
    other.start()
    other.join(timeout=30)
    assert [graph for _, graph, _ in runtime.runs] == [str(NO_GRAPH)]


def test_without_graphs_where_capture_fails(runtime, stream, caplog):
    runtime.capture_fails = True
    network = OrtCudaNetwork(SOURCE, stream)
    network.capture(SHAPE)
    assert "no CUDA graphs" in caplog.text
    doubled(network, stream)
    assert runtime.runs[-1][0].options["enable_cuda_graph"] == "0"


def test_a_provider_that_does_not_start_is_told(runtime, stream):
    runtime.cuda_starts = False
    with pytest.raises(BackendUnavailableError, match="cannot start its CUDA provider"):
        open_network(SOURCE, stream, rungs=("onnxruntime-cuda",))


def test_a_failing_run_is_ours(runtime, stream, monkeypatch):
    network = OrtCudaNetwork(SOURCE, stream)
    monkeypatch.setattr(Session, "run_with_iobinding", lambda *_: 1 / 0)
    with pytest.raises(EngineError, match="inference failed on the GPU"):
        network.bound(SHAPE).enqueue()


def test_the_first_rung_that_can_be_had_and_why_not_the_others(runtime, stream, monkeypatch):
    monkeypatch.setattr(infer, "current_gpu", lambda: Gpu("NVIDIA H100", (9, 0), 13000))
    network = open_network(SOURCE, stream, rungs=("tensorrt", "onnxruntime-cuda"))
    assert network.rung.startswith("onnxruntime-cuda 1.31.1 fp32 (tensorrt: tensorrt cannot be imported")
    with pytest.raises(BackendUnavailableError, match="expected tensorrt"):
        open_network(SOURCE, stream, rungs=("tensorrt",))
    network.close()


def test_the_last_rung_is_the_cpu(gpu, stream, caplog):
    network = open_network(SOURCE, stream, rungs=("tensorrt", "onnxruntime-cpu"))
    doubled(network, stream)
    assert network.rung.startswith("onnxruntime-cpu")
    assert [record.levelname for record in caplog.records if "inference by" in record.message] == ["WARNING"]


class Context:
    """An execution context that keeps to the order: shape, addresses, run."""

    def __init__(self, streams):
        self._streams, self.shape, self.addresses, self.refuses = streams, None, {}, False

    def set_input_shape(self, name, shape):
        assert name == "x" and type(shape) is tuple
        self.shape, self.addresses = shape, {}
        return not self.refuses

    def set_tensor_address(self, name, memory):
        assert self.shape and type(memory) is int
        self.addresses[name] = memory
        return name in ("x", "y")

    def execute_async_v3(self, stream_handle):
        binding = Binding()
        binding._source = binding._array(self.shape, self.addresses["x"])
        binding._target = binding._array(self.shape, self.addresses["y"])
        self._streams[stream_handle].enqueue(binding.double)
        return True


def test_tensorrt_turns_one_context_to_every_shape(gpu, stream):
    context = Context(sys.modules[gpu.cuda.Stream.__module__].STREAMS)
    engine = types.SimpleNamespace(create_execution_context=lambda: context)
    network = TensorRtNetwork(engine, "tensorrt 11.4 fp16", SOURCE, stream)
    for shape in (SHAPE, (8, 2), SHAPE):
        doubled(network, stream, shape)
    network.capture((1, 2))
    context.refuses = True
    with pytest.raises(EngineError, match="refuses to run"):
        network.bound(SHAPE).enqueue()
    network.close()
    with pytest.raises(EngineError, match="no execution context"):
        TensorRtNetwork(types.SimpleNamespace(create_execution_context=lambda: None), "t", SOURCE, stream)
