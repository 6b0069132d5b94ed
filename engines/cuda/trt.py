"""TensorRT and TensorRT for RTX by the same code: engines built from ONNX, kept in the user's cache, and run.

Networks are strongly typed, so precision comes from the ONNX (TensorRT 11 has no other way). An engine is kept under a
name that tells everything it depends on; one that is damaged, or that the library refuses, is built anew.

Sources: the documentation in the bindings of tensorrt 11.4.0.106 and tensorrt_rtx 1.7.1.116.
"""

import hashlib
import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ...configs.errors import BackendUnavailableError, EngineError, ModelError
from ..cache import cache_folder, cached
from .half import CONVERTER_VERSION, half_graph

log = logging.getLogger(__name__)

LIBRARIES = ("tensorrt", "tensorrt_rtx")
PRECISIONS = ("fp16", "fp32")
Shape = tuple[int, ...]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Profile:
    """Shapes that an engine takes for its input, and for which of them it is made fastest."""

    input_name: str
    least: Shape
    usual: Shape
    most: Shape


@dataclass(frozen=True)
class Gpu:
    """What an engine is built for.

    Attributes:
        name: As the driver tells it.
        capability: Compute capability, such as ``(8, 9)``.
        driver: Version of CUDA that the driver brings, such as 13000.
    """

    name: str
    capability: tuple[int, int]
    driver: int


def current_gpu() -> Gpu:
    """The GPU that CuPy uses in this thread."""
    import cupy

    runtime = cupy.cuda.runtime
    facts = runtime.getDeviceProperties(runtime.getDevice())
    return Gpu(facts["name"].decode(), (int(facts["major"]), int(facts["minor"])), int(runtime.driverGetVersion()))


def load_library(name: str) -> Any:
    """The Python module of one of :data:`LIBRARIES`.

    Raises:
        BackendUnavailableError: It cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:  # a library of NVIDIA's that is missing shows in many ways
        raise BackendUnavailableError(f"{name} cannot be imported", got=error, hint=f"pip install {name}") from error


def check_support(library: Any, gpu: Gpu) -> None:
    """Refuse a GPU that the library has no kernels for, as far as it says.

    Raises:
        BackendUnavailableError: It is one.
    """
    if library.__name__ != "tensorrt_rtx":
        return
    known = {name for name in library.ComputeCapability.__members__ if name.startswith("SM")}
    if (wanted := "SM{}{}".format(*gpu.capability)) not in known:
        raise BackendUnavailableError(
            f"tensorrt_rtx does not support {gpu.name}", got=wanted, expected=" ".join(sorted(known))
        )


def build_engine(
    library: Any, content: bytes, profile: Profile, precision: str = "fp16", progress: Progress | None = None
) -> bytes:
    """A serialised engine; needs a GPU with tensorrt, and none with tensorrt_rtx.

    Args:
        library: See :func:`load_library`.
        content: Serialised ONNX model of float32.
        profile: What it is to take.
        precision: One of :data:`PRECISIONS`; inputs and outputs are float32 in both.
        progress: Called with a phase's name, steps done and steps in all; the log tells it anyway.

    Raises:
        ModelError: The network is not understood, or does not fit the precision.
        EngineError: The engine cannot be built.
    """
    typed = half_graph(content) if precision == "fp16" else content
    logger = _logger(library)
    builder = library.Builder(logger)
    flags = library.NetworkDefinitionCreationFlag
    network = builder.create_network(1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0)
    parser = library.OnnxParser(network, logger)
    if not parser.parse(typed):
        faults = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise ModelError(f"{library.__name__} does not understand the network", got=faults)
    config = builder.create_builder_config()
    shapes = builder.create_optimization_profile()
    shapes.set_shape(profile.input_name, profile.least, profile.usual, profile.most)
    config.add_optimization_profile(shapes)
    monitor = _monitor(library, progress or _tell)
    config.progress_monitor = monitor
    made = builder.build_serialized_network(network, config)
    if made is None:
        raise EngineError(f"{library.__name__} cannot build the engine", got="no engine", hint="see the log")
    return bytes(made)


def engine_name(library: Any, content: bytes, profile: Profile, precision: str, gpu: Gpu) -> str:
    """Name in the cache: all that an engine depends on."""
    facts = (
        hashlib.sha256(content).hexdigest(), precision, CONVERTER_VERSION, profile, library.__name__,
        library.__version__, gpu,
    )  # fmt: skip
    return f"engine-{hashlib.sha256(repr(facts).encode()).hexdigest()}.cached"


def open_engine(
    library: Any, content: bytes, profile: Profile, precision: str, gpu: Gpu, progress: Progress | None = None
) -> Any:
    """The engine on the GPU (``ICudaEngine``): from the cache, or built and then kept.

    Raises:
        ModelError: The network is not understood, or does not fit the precision.
        EngineError: The engine cannot be built or loaded.
    """
    name = engine_name(library, content, profile, precision, gpu)
    is_new = False

    def build() -> bytes:
        nonlocal is_new
        is_new = True
        log.info("building a %s engine for %s by %s: once for this machine", precision, gpu.name, library.__name__)
        return build_engine(library, content, profile, precision, progress)

    runtime = _runtime(library)
    serialised = cached(name, build)
    engine = runtime.deserialize_cuda_engine(serialised)
    if engine is None and not is_new:
        log.warning("%s refuses the engine in its cache, which is built again", library.__name__)
        (cache_folder() / name).unlink(missing_ok=True)
        engine = runtime.deserialize_cuda_engine(cached(name, build))
    if engine is None:
        raise EngineError(f"{library.__name__} does not load its own engine", got="nothing", hint="see the log")
    return engine


@cache
def _runtime(library: Any) -> Any:
    return library.Runtime(_logger(library))


@cache
def _logger(library: Any) -> Any:
    levels = {
        library.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        library.ILogger.Severity.ERROR: logging.ERROR,
        library.ILogger.Severity.WARNING: logging.INFO,  # warnings of its own concern nobody but its authors
    }

    class Messages(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log.log(levels.get(severity, logging.DEBUG), "%s: %s", library.__name__, message)

    return Messages()


def _monitor(library: Any, progress: Progress) -> Any:
    class Monitor(library.IProgressMonitor):  # type: ignore[misc]
        """Tells of the outermost phases only: the inner ones are hundreds."""

        def __init__(self) -> None:
            library.IProgressMonitor.__init__(self)
            self._told: dict[str, tuple[int, int]] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self._tell(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._told:
                self._tell(phase_name, step + 1, self._told[phase_name][1])
            return True

        def phase_finish(self, phase_name: str) -> None:
            done, total = self._told.pop(phase_name, (0, 0))
            if done < total:  # the last steps need not be told
                progress(phase_name, total, total)

        def _tell(self, phase_name: str, done: int, total: int) -> None:
            self._told[phase_name] = (done, total)
            progress(phase_name, done, total)

    return Monitor()


def _tell(phase: str, done: int, total: int) -> None:
    log.info("%s: %d of %d", phase, done, total)
