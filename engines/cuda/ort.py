"""Sessions of ONNX Runtime on its CUDA provider, each for one shape of input alone.

The provider's convolutions keep the cuDNN plan of the last shape only, and build another one whenever the shape changes
(``Conv::UpdateState_v9`` of onnxruntime/core/providers/cuda/nn/conv.cc, which compares ``last_x_dims``): a network of
fifty convolutions that sees batches of ever other sizes stands still. So no session sees two shapes.

Having but one, a session's work is always the same, and is recorded once as a CUDA graph. We record it ourselves:
the runtime's own graphs (``enable_cuda_graph``) wait for the GPU in every run, belong to one thread, and are captured
in the global mode, in which other threads' calls fail (onnxruntime/core/providers/cuda/cuda_graph.cc).

Sources: those files as of 2025 and 2026, whose names and messages are in the library of onnxruntime-gpu 1.31.1 too; its
capi/onnxruntime_inference_collection.py; its provider options (onnxruntime.ai, CUDA Execution Provider) and
``onnxruntime_run_options_config_keys.h``.
"""

import contextlib
import io
import logging
import sys
from typing import Any

import numpy as np

from ...configs.errors import BackendUnavailableError
from ..memory import failure, is_full
from .image import DeviceArray, Stream

log = logging.getLogger(__name__)

# The first run builds plans and allocates; the second one may allocate again, once the pattern of memory is known.
RUNS_BEFORE_CAPTURE = 2


class OrtSession:
    """A network that will see one shape; for any thread, but one at a time.

    Args:
        content: Serialised ONNX model.
        device: Number of the GPU.

    Raises:
        BackendUnavailableError: The runtime cannot start its CUDA provider.
        MemoryFullError: The GPU's memory is full.
    """

    def __init__(self, content: bytes, device: int):
        import cupy

        # of its own, so that what is captured on it is this session's work and nobody else's
        self._own: Stream = cupy.cuda.Stream(non_blocking=True)
        self._before, self._after = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self._session = _open_session(content, self._own, device)
        self._options = _run_options()
        self._graph: Any = None

    def bind(self, inputs: dict[str, DeviceArray], outputs: dict[str, DeviceArray], stream: Stream) -> None:
        """Take the shape, once: allocate, build plans and run on whatever the inputs hold. Takes seconds, and waits.

        Args:
            inputs: Device memory of the inputs by name, float32.
            outputs: Of the outputs.
            stream: In whose order the work will be enqueued.

        Raises:
            MemoryFullError: There is no memory for it.
            EngineError: The runtime does not take the shape.
        """
        self._stream, self._binding = stream, self._session.io_binding()
        for bind, arrays in ((self._binding.bind_input, inputs), (self._binding.bind_output, outputs)):
            for name, array in arrays.items():
                shape, device = tuple(array.shape), int(array.device.id)
                bind(name, "cuda", device, np.float32, shape, int(array.data.ptr))
        for _ in range(RUNS_BEFORE_CAPTURE):
            self.enqueue()
        self._own.synchronize()

    def enqueue(self) -> None:
        """Enqueue the network, without waiting for it.

        Raises:
            MemoryFullError: The GPU's memory is full.
            EngineError: The runtime or the GPU fails.
        """
        try:
            if self._graph is not None:
                self._graph.launch(self._stream)
                return
            self._stream.record(self._before)
            self._own.wait_event(self._before)
            self._run()
            self._own.record(self._after)
            self._stream.wait_event(self._after)
        except Exception as error:  # the runtime's and the driver's errors have no common base
            raise failure("inference failed on the GPU", error) from error

    def capture(self) -> bool:
        """Record the work as a CUDA graph, which is launched from now on; False if it cannot be.

        Other threads may use the GPU meanwhile: the mode is the relaxed one, CuPy's default, which forbids nobody
        anything. A session whose capture failed is not to be used again.
        """
        try:
            self._own.begin_capture()
            try:
                self._run()
            finally:
                graph = self._own.end_capture()
        except Exception as error:  # the runtime's and the driver's errors have no common base
            log.warning("no CUDA graph: %s", error)
            return False
        self._graph = graph
        return True

    def _run(self) -> None:
        self._session.run_with_iobinding(self._binding, self._options)


def _open_session(content: bytes, stream: Stream, device: int) -> Any:
    import onnxruntime

    _load_cuda_libraries(onnxruntime)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    given = cuda_provider_options(int(stream.ptr), device)
    providers = [("CUDAExecutionProvider", given), "CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # the runtime's errors have no common base
        if is_full(error):
            raise failure("no memory for a network on the GPU", error) from error
        raise BackendUnavailableError("onnxruntime cannot start its CUDA provider", got=error) from error
    if "CUDAExecutionProvider" not in session.get_providers():
        raise BackendUnavailableError(
            "onnxruntime cannot start its CUDA provider", got=f"providers {session.get_providers()}",
            hint="is cuDNN 9 for CUDA 13 installed (pip install nvidia-cudnn-cu13)?",
        )  # fmt: skip
    return session


def cuda_provider_options(stream_pointer: int, device: int) -> dict[str, str]:
    """Options of ONNX Runtime's CUDA provider.

    Args:
        stream_pointer: The CUDA stream that it works on.
        device: Number of the GPU.
    """
    return {
        "device_id": str(device),
        "user_compute_stream": str(stream_pointer),
        "cudnn_conv_algo_search": "HEURISTIC",  # the quick one of the ways to choose among cuDNN's plans
        "arena_extend_strategy": "kSameAsRequested",  # doubling would take memory from other videos
        "use_tf32": "0",  # 10 bits of mantissa would show against the CPU
    }


def _run_options() -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 3
    # the stream orders the work: the host need not wait, and must not during a capture
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options


def _load_cuda_libraries(onnxruntime: Any) -> None:
    """Load cuDNN and CUDA from the packages of NVIDIA, where PyTorch has not loaded them."""
    if "torch" in sys.modules or not hasattr(onnxruntime, "preload_dlls"):
        return
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints what it does not find
        onnxruntime.preload_dlls(msvc=False)
    if said.getvalue():
        log.debug("onnxruntime: %s", said.getvalue().strip())
