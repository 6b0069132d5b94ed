"""TensorRT engines: names, cache and loading against a stand-in; real ones where tensorrt_rtx is installed (no GPU)."""

import importlib.util
import logging
import types

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dft.configs.errors import BackendUnavailableError, EngineError, ModelError
from dft.engines.cache import cache_folder
from dft.engines.cuda import trt
from dft.engines.cuda.embed import embedder_source
from dft.engines.cuda.trt import Gpu, Profile, build_engine, check_support, engine_name, load_library, open_engine
from dft.engines.cuda.yunet import yunet_source
from dft.engines.embedders import load_embedder
from dft.engines.weights import ModelFile, find_model

GPU = Gpu("NVIDIA L4", (8, 9), 13000)
PROFILE = Profile("x", (1, 2), (8, 2), (32, 2))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trt._runtime.cache_clear()
    trt._logger.cache_clear()


def linear_graph(weight=2.0):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
    constant = numpy_helper.from_array(np.array([weight], np.float32), "w")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [constant])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


class StandIn(types.ModuleType):
    """What the bindings document of building and loading: it checks its arguments, and keeps to their return values."""

    def __init__(self, name="tensorrt", version="11.4.0.106"):
        super().__init__(name)
        self.__version__ = version
        self.num_built, self.fails = 0, False
        severities = {name: i for i, name in enumerate(("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"))}
        self.ILogger = type("ILogger", (), {"Severity": types.SimpleNamespace(**severities)})
        self.IProgressMonitor = type("IProgressMonitor", (), {})
        self.NetworkDefinitionCreationFlag = types.SimpleNamespace(STRONGLY_TYPED=1)
        self.ComputeCapability = types.SimpleNamespace(
            __members__=dict.fromkeys(("NONE", "CURRENT", "SM75", "SM80", "SM86", "SM89", "SM120"))
        )
        self.Builder = lambda logger: types.SimpleNamespace(
            create_network=self._network, create_builder_config=self._config,
            create_optimization_profile=lambda: types.SimpleNamespace(set_shape=self._set_shape),
            build_serialized_network=self._build,
        )  # fmt: skip
        self.OnnxParser = self._parser
        self.Runtime = lambda logger: types.SimpleNamespace(deserialize_cuda_engine=self._load)

    def _network(self, flags):
        assert flags == 1 << 1
        return types.SimpleNamespace()

    def _config(self):
        return types.SimpleNamespace(add_optimization_profile=lambda shapes: 0, progress_monitor=None)

    def _set_shape(self, name, least, usual, most):
        self.profile = (name, least, usual, most)

    def _parser(self, network, logger):
        def parse(content):
            try:
                network.model = onnx.load_from_string(content)
            except Exception:
                return False
            return True

        return types.SimpleNamespace(parse=parse, num_errors=1, get_error=lambda i: "no ONNX")

    def _build(self, network, config):
        if self.fails:
            return None
        monitor = config.progress_monitor
        monitor.phase_start("Building", None, 2)
        monitor.phase_start("Tactics", "Building", 9)
        assert monitor.step_complete("Tactics", 0) is True
        monitor.phase_finish("Tactics")
        assert monitor.step_complete("Building", 0) is True  # the real ones leave the last step out
        monitor.phase_finish("Building")
        self.num_built += 1
        kinds = {tensor.data_type for tensor in network.model.graph.initializer}
        return f"engine {self.__version__} {kinds}".encode()

    def _load(self, serialised):
        return serialised.decode() if serialised.startswith(f"engine {self.__version__}".encode()) else None


def opened(library, content=None, profile=PROFILE, precision="fp16", gpu=GPU):
    return open_engine(library, content or linear_graph(), profile, precision, gpu)


def test_an_engine_is_built_once():
    library = StandIn()
    first, second = opened(library), opened(library)
    assert first == second == f"engine 11.4.0.106 {{{TensorProto.FLOAT16}}}" and library.num_built == 1
    assert library.profile == ("x", (1, 2), (8, 2), (32, 2))


def test_precision_comes_from_the_onnx():
    assert opened(StandIn(), precision="fp32") == f"engine 11.4.0.106 {{{TensorProto.FLOAT}}}"


@pytest.mark.parametrize(
    "change",
    [
        {"content": linear_graph(3.0)},
        {"precision": "fp32"},
        {"profile": Profile("x", (1, 2), (4, 2), (32, 2))},
        {"gpu": Gpu("NVIDIA A10", (8, 9), 13000)},
        {"gpu": Gpu("NVIDIA L4", (8, 6), 13000)},
        {"gpu": Gpu("NVIDIA L4", (8, 9), 13010)},
    ],
    ids=str,
)
def test_whatever_it_depends_on_makes_another(change):
    library = StandIn()
    opened(library)
    opened(library, **change)
    assert library.num_built == 2


def test_another_library_or_version_makes_another():
    facts = (linear_graph(), PROFILE, "fp16", GPU)
    names = {engine_name(StandIn(*named), *facts) for named in (("tensorrt",), ("tensorrt_rtx",), ("tensorrt", "11.5"))}
    assert len(names) == 3


def test_a_damaged_entry_is_built_again(caplog):
    library = StandIn()
    opened(library)
    (path,) = cache_folder().iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert opened(library).startswith("engine") and library.num_built == 2
    assert "damaged" in caplog.text


def test_an_entry_that_the_library_refuses_is_built_again(caplog):
    """Such as one that a library of the same version wrote, but which its checks find stale."""
    library = StandIn()
    opened(library)
    (path,) = cache_folder().iterdir()
    path.unlink()
    trt.cached(path.name, lambda: b"whole, but of another kind")
    assert opened(library).startswith("engine") and library.num_built == 2
    assert "refuses" in caplog.text
    assert opened(library).startswith("engine") and library.num_built == 2, "the new one was kept"


def test_a_library_that_does_not_load_what_it_built():
    library = StandIn()
    library._load = None
    library.Runtime = lambda logger: types.SimpleNamespace(deserialize_cuda_engine=lambda serialised: None)
    with pytest.raises(EngineError, match="does not load its own engine"):
        opened(library)
    assert library.num_built == 1, "no endless building"


def test_building_is_told(caplog):
    told = []
    with caplog.at_level(logging.INFO):
        build_engine(StandIn(), linear_graph(), PROFILE, progress=lambda *step: told.append(step))
        opened(StandIn())
    assert told == [("Building", 0, 2), ("Building", 1, 2), ("Building", 2, 2)]
    assert "building a fp16 engine for NVIDIA L4" in caplog.text and "Building: 2 of 2" in caplog.text


def test_failures_are_ours():
    library = StandIn()
    with pytest.raises(ModelError, match="does not understand the network; got no ONNX"):
        build_engine(library, b"\xff\xff", PROFILE, "fp32")
    library.fails = True
    with pytest.raises(EngineError, match="cannot build the engine"):
        build_engine(library, linear_graph(), PROFILE)
    with pytest.raises(BackendUnavailableError, match="no_such_library cannot be imported"):
        load_library("no_such_library")


def test_rtx_refuses_data_centre_gpus_that_it_does_not_know():
    hopper = Gpu("NVIDIA H100", (9, 0), 13000)
    with pytest.raises(BackendUnavailableError, match="does not support NVIDIA H100; got SM90"):
        check_support(StandIn("tensorrt_rtx"), hopper)
    check_support(StandIn("tensorrt_rtx"), GPU)
    check_support(StandIn("tensorrt"), hopper)


def test_messages_go_to_the_log(caplog):
    library = StandIn()
    logger = trt._logger(library)
    logger.log(library.ILogger.Severity.ERROR, "out of luck")
    assert "tensorrt: out of luck" in caplog.text


def arcface_graph(path):
    """A small network of the ArcFace family: 112 x 112 in, 16 numbers out, any batch."""
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.normal(0, 0.1, (4, 3, 3, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(rng.normal(0, 0.1, (4, 16)).astype(np.float32), "m"),
    ]
    nodes = [
        helper.make_node("Conv", ["data", "w"], ["c"], strides=[4, 4]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["fc1"]),
    ]
    ends = [
        helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, 112, 112]),
        helper.make_tensor_value_info("fc1", TensorProto.FLOAT, ["n", 16]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def sources(tmp_path):
    arcface = ModelFile("arcface", arcface_graph(tmp_path / "arcface.onnx"), "0" * 64)
    return {
        "yunet": yunet_source(find_model("yunet"), 448),
        "dlib": embedder_source(load_embedder(find_model("dlib"))),
        "arcface": embedder_source(load_embedder(arcface)),
    }


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
@pytest.mark.parametrize("precision", trt.PRECISIONS)
@pytest.mark.parametrize("name", ["yunet", "dlib", "arcface"])
def test_tensorrt_rtx_builds_every_network(tmp_path, name, precision):
    """It needs no GPU to build, unlike to load."""
    source, told = sources(tmp_path)[name], []
    library = load_library("tensorrt_rtx")
    made = build_engine(library, source.content, source.profile, precision, lambda *step: told.append(step))
    assert made.startswith(b"vtrt") and len(made) > 10_000
    assert told[-1][1] == told[-1][2] > 0
    if (name, precision) == ("dlib", "fp16"):
        assert len(made) < 0.6 * len(source.content), "weights are kept in half precision"


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
def test_tensorrt_rtx_refuses_what_is_no_network():
    with pytest.raises(ModelError, match="does not understand"):
        build_engine(load_library("tensorrt_rtx"), b"no network", PROFILE, "fp32")
