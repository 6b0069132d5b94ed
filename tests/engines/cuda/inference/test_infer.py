"""Rungs of inference: their order, and ONNX Runtime's and TensorRT's interfaces against stand-ins.

The stand-ins take what the bindings of onnxruntime-gpu 1.31.1 and tensorrt 11.4 document, and refuse anything else.
"""

import logging
import sys
import threading
import types

import numpy as np
import pytest

from dft.configs.errors import BackendUnavailableError, EngineError
from dft.engines.cuda import infer
from dft.engines.cuda.infer import MAX_SHAPES, NetworkSource, OrtCudaNetwork, TensorRtNetwork, open_network
from dft.engines.cuda.ort import RUNS_BEFORE_CAPTURE, cuda_provider_options
from dft.engines.cuda.trt import Gpu, Profile

from .test_trt import linear_graph

SHAPE = (4, 2)
SOURCE = NetworkSource(linear_graph(2.0), Profile("x", (1, 2), (4, 2), (8, 2)), lambda shape: {"y": shape})
KNOWN_OPTIONS = {
    "device_id", "user_compute_stream", "cudnn_conv_algo_search", "arena_extend_strategy", "use_tf32",
}  # fmt: skip
RUN_OPTIONS = {"disable_synchronize_execution_providers"}


class Runtime(types.ModuleType):
    """onnxruntime: its work is to double. A session that sees a second shape stalls, which is an error here."""

    __version__ = "1.31.1"

    def __init__(self, streams):
        super().__init__("onnxruntime")
        self.streams, self.sessions = streams, []
        self.opening = threading.Semaphore(1000)
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
        self.opening.acquire()
        assert set(given) == KNOWN_OPTIONS and all(isinstance(text, str) for text in given.values())
        session = Session(self, given)
        self.sessions.append(session)
        return session


class Session:
    def __init__(self, runtime, options):
        self._runtime, self.options, self.shapes, self.num_runs = runtime, options, set(), 0
        self._stream = runtime.streams[int(options["user_compute_stream"])]

    def get_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"][0 if self._runtime.cuda_starts else 1 :]

    def io_binding(self):
        return Binding()

    def run_with_iobinding(self, binding, options):
        assert options.entries["disable_synchronize_execution_providers"] == "1"
        self.shapes.add(binding.shape)
        assert len(self.shapes) == 1
        self.num_runs += 1
        if self._stream.captured is not None:
            assert self.num_runs > RUNS_BEFORE_CAPTURE, "what allocates cannot be captured"
            if self._runtime.capture_fails:
                self._stream.enqueue(lambda: 1 / 0)
                raise RuntimeError("capture failed")
        self._stream.enqueue(binding.double)


class Binding:
    def bind_input(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        assert (name, device_type, device_id, element_type) == ("x", "cuda", 0, np.float32)
        self._source, self.shape = self._array(shape, buffer_ptr), shape

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
    return gpu.cuda.Stream(non_blocking=True)


@pytest.fixture
def runtime(gpu, stream, monkeypatch):
    streams = sys.modules[gpu.cuda.Event.__module__].STREAMS
    made = Runtime(streams)
    monkeypatch.setitem(sys.modules, "onnxruntime", made)
    return made


def doubled(network, stream, shape=SHAPE):
    bound = network.bound(shape)
    values = np.random.default_rng(0).random(shape, np.float32)
    bound.input.set(values, stream)
    bound.enqueue()
    np.testing.assert_array_equal(bound.outputs["y"].get(stream), 2 * values)


def test_no_session_sees_two_shapes(runtime, stream, capsys):
    network = OrtCudaNetwork(SOURCE, stream)
    for shape in (SHAPE, (1, 2), (8, 2), SHAPE, (1, 2)):
        doubled(network, stream, shape)
        assert network.bound(shape) is network.bound(shape)
    assert [session.shapes for session in runtime.sessions] == [{SHAPE}, {(1, 2)}, {(8, 2)}]
    assert len({session.options["user_compute_stream"] for session in runtime.sessions}) == 3
    assert capsys.readouterr().out == "", "stdout belongs to results"


def test_provider_options_are_told_as_text():
    options = cuda_provider_options(1234, 1)
    assert options["device_id"] == "1" and options["user_compute_stream"] == "1234"
    assert options["use_tf32"] == "0"
    assert set(options) == KNOWN_OPTIONS


@pytest.mark.parametrize("graphs", [True, False])
def test_a_shape_is_captured_once_and_launched_from_then_on(runtime, stream, graphs):
    network = OrtCudaNetwork(SOURCE, stream, graphs=graphs)
    network.bound(SHAPE)
    (session,) = runtime.sessions
    before = session.num_runs
    for _ in range(3):
        doubled(network, stream)
    assert session.num_runs == before + (0 if graphs else 3)


def test_graphs_are_launched_from_any_thread(runtime, stream):
    network = OrtCudaNetwork(SOURCE, stream)
    maker = threading.Thread(target=network.bound, args=(SHAPE,))
    maker.start()
    maker.join(timeout=30)
    assert network.is_ready(SHAPE) and not network.is_ready((1, 2))
    doubled(network, stream)


def test_what_is_ready_is_not_kept_waiting_by_what_is_made(runtime, stream):
    network = OrtCudaNetwork(SOURCE, stream)
    network.bound(SHAPE)
    runtime.opening = threading.Semaphore(0)
    maker = threading.Thread(target=network.bound, args=((1, 2),))
    maker.start()
    doubled(network, stream)
    assert not network.is_ready((1, 2))
    runtime.opening.release()
    maker.join(timeout=30)
    doubled(network, stream, (1, 2))


def test_one_shape_is_made_once_whoever_asks(runtime, stream):
    network = OrtCudaNetwork(SOURCE, stream)
    made = []
    threads = [threading.Thread(target=lambda: made.append(network.bound(SHAPE))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(made) == 4 and len(set(made)) == len(runtime.sessions) == 1


def test_the_least_recently_used_shape_gives_way(runtime, stream):
    network = OrtCudaNetwork(SOURCE, stream)
    shapes = [(num, 2) for num in range(1, MAX_SHAPES + 2)]
    for shape in shapes[:-1]:
        doubled(network, stream, shape)
    doubled(network, stream, shapes[0])
    doubled(network, stream, shapes[-1])
    assert [network.is_ready(shape) for shape in shapes] == [True, False, *[True] * (MAX_SHAPES - 1)]
    doubled(network, stream, shapes[1])


def test_without_graphs_where_capture_fails(runtime, stream, caplog):
    runtime.capture_fails = True
    network = OrtCudaNetwork(SOURCE, stream)
    doubled(network, stream)
    doubled(network, stream, (1, 2))
    assert [record.message for record in caplog.records if "graph" in record.message] == [
        "no CUDA graph: capture failed"
    ]
    first, *others = runtime.sessions
    assert [session.shapes for session in others] == [{SHAPE}, {(1, 2)}], "a failed capture spoils a session"
    assert first.num_runs == RUNS_BEFORE_CAPTURE + 1


def test_how_long_a_shape_took_is_in_the_log(runtime, stream, caplog):
    with caplog.at_level(logging.DEBUG):
        OrtCudaNetwork(SOURCE, stream).bound(SHAPE)
    assert any("(4, 2) ready after" in record.message for record in caplog.records)


def test_a_provider_that_does_not_start_is_told(runtime, stream):
    runtime.cuda_starts = False
    with pytest.raises(BackendUnavailableError, match="cannot start its CUDA provider"):
        open_network(SOURCE, stream, rungs=("onnxruntime-cuda",))


def test_a_failing_run_is_ours(runtime, stream, monkeypatch):
    network = OrtCudaNetwork(SOURCE, stream, graphs=False)
    bound = network.bound(SHAPE)
    monkeypatch.setattr(Session, "run_with_iobinding", lambda *_: 1 / 0)
    with pytest.raises(EngineError, match="inference failed on the GPU"):
        bound.enqueue()


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
    assert network.rung.startswith("onnxruntime-cpu") and network.is_exact
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
    context = Context(sys.modules[gpu.cuda.Event.__module__].STREAMS)
    engine = types.SimpleNamespace(create_execution_context=lambda: context)
    network = TensorRtNetwork(engine, "tensorrt 11.4 fp16", SOURCE, stream)
    for shape in (SHAPE, (8, 2), SHAPE):
        doubled(network, stream, shape)
    assert not network.is_exact
    context.refuses = True
    with pytest.raises(EngineError, match="refuses to run"):
        network.bound(SHAPE).enqueue()
    network.close()
    with pytest.raises(EngineError, match="no execution context"):
        TensorRtNetwork(types.SimpleNamespace(create_execution_context=lambda: None), "t", SOURCE, stream)
