"""Choosing the device, and opening the backend that plays a role on it.

The only module that knows which backends exist. Backends are imported when they are opened, so that a missing
library is named with what to install, and only where it is needed.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ..configs.errors import BackendUnavailableError
from ..configs.hardware import gpu_uuids, num_cores, why_no_cuda
from .cuda.available import why_unusable
from .cuda.context import spare_memory
from .cuda.gpus import NONE, VisibleGpu, gpu_names, only, visible_gpus
from .cuda.usage import Usage, gpu_usage, together
from .memory import is_full
from .processes import SAME
from .protocols import (
    FOR_ANALYSIS,
    Canvas,
    Compositor,
    Decoder,
    Detector,
    Embedder,
    EncodeOptions,
    Encoder,
    FrameIndex,
    PictureOptions,
)
from .weights import find_model

log = logging.getLogger(__name__)

# by device and module: the name in it, and the package that it cannot do without
BACKENDS = {
    "cpu": {
        "decode": ("PyAvDecoder", "av"),
        "detect": ("YuNetDetector", "onnxruntime"),
        "embed": ("OnnxEmbedder", "onnxruntime"),
        "compose": ("OpenCvCompositor", "opencv-python-headless"),
        "encode": ("PyAvEncoder", "av"),
    },
    "cuda": {
        "decode": ("CudaDecoder", "cupy"),
        "detect": ("BatchedDetector", "cupy"),
        "embed": ("CudaEmbedder", "cupy"),
        "compose": ("CudaCompositor", "cupy"),
        "encode": ("open_cuda_encoder", "cupy"),
    },
}
ENCODER_RUNGS = {"cpu": ("cpu",), "cuda": ("nvenc", "ffmpeg-nvenc", "cpu")}
EXTRAS = {"cpu": "cpu", "cuda": "gpu"}


@dataclass(frozen=True)
class DeviceChoice:
    """The device that does the work, and why.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        why: One clause for the log and the track file.
    """

    kind: str
    why: str


def choose_device(requested: str) -> DeviceChoice:
    """Resolve ``auto``, ``cpu`` or ``cuda``. ``cuda`` never degrades; ``auto`` takes it where it can be had.

    Raises:
        BackendUnavailableError: ``cuda`` was asked for and cannot be had.
    """
    if requested == "cpu":
        return DeviceChoice("cpu", "asked for")
    reason = why_no_cuda() or why_unusable()
    if reason is None:
        return DeviceChoice("cuda", "asked for" if requested == "cuda" else "there is a GPU")
    if requested == "cuda":
        raise BackendUnavailableError(
            "device cuda cannot be used", got=reason, hint="use --device auto or --device cpu"
        )
    log.info("device cpu: %s", reason)
    return DeviceChoice("cpu", reason)


def gpus(device: DeviceChoice) -> tuple[VisibleGpu, ...]:
    """The GPUs that the device stands for, and what they have; () on the CPU."""
    return () if device.kind == "cpu" else visible_gpus()


@cache
def num_encoders(device: DeviceChoice) -> int | None:
    """Videos that a GPU's encoder encodes at once, found by trying, once; None where there is no such encoder."""
    if device.kind == "cpu":
        return None
    from .cuda.sessions import count_sessions_aside

    return count_sessions_aside()


def environments(device: DeviceChoice) -> tuple[Mapping[str, str], ...]:
    """For each GPU what the environment of a process says that is to work there; on the CPU one that says nothing."""
    return tuple(map(only, gpu_names() if device.kind == "cuda" else ())) or (SAME,)


def environment_on_cpu() -> Mapping[str, str]:
    """What the environment of a process says that is not to use a GPU."""
    return NONE


def transferred_bytes(device: DeviceChoice) -> int | None:
    """Bytes that crossed between host and GPU in this process so far; None on the CPU."""
    if device.kind == "cpu":
        return None
    from .cuda.counters import transfers

    return transfers().num_bytes


def finish(device: DeviceChoice) -> None:
    """Wait until the GPU has done all that this process has given it; the CPU is never behind."""
    if device.kind == "cuda":
        import cupy

        cupy.cuda.Device().synchronize()


def why_lost(device: DeviceChoice) -> str | None:
    """Why the GPU that this process is to work on, or works on, does not answer; None if it does, and of the CPU.

    CUDA does not answer a process in which a kernel went wrong either: whether it was the GPU, a new process can tell.
    """
    if device.kind == "cpu":
        return None
    if (reason := why_no_cuda()) is not None:
        return reason
    try:
        spare_memory()
        finish(device)
    except Exception as error:  # whatever the library raises
        return None if is_full(error) else " ".join(str(error).split())
    return None


def usage(device: DeviceChoice) -> Usage | None:
    """How busy the GPUs are, all together; None on the CPU, or where nobody tells."""
    seen = [gpu_usage(number) for number in range(len(gpu_uuids()))] if device.kind == "cuda" else []
    return together([own for own in seen if own is not None])


def open_decoder(
    path: Path,
    device: DeviceChoice,
    threads: int | None = None,
    picture: PictureOptions = FOR_ANALYSIS,
    index: FrameIndex | None = None,
    seams: Sequence[int] | None = None,
) -> Decoder:
    """Decoder of ``path``.

    Args:
        path: The video.
        device: Where it runs.
        threads: CPU threads, or None for all.
        picture: What is made of the pictures.
        index: Its frames, if they are known: else the file is scanned for them.
        seams: Frames at which a GPU's decoder that gave up is tried again, if they are to be certain ones.

    Raises:
        VideoError: The file cannot be read.
        EngineError: Its colours cannot be tone-mapped.
    """
    more = {"seams": seams} if device.kind == "cuda" else {}
    decoder: Decoder = _backend(device, "decode")(path, threads, picture, index=index, **more)
    return decoder


def open_detector(
    model: str,
    device: DeviceChoice,
    *,
    size: int,
    min_score: float,
    threads: int | None = None,
    frame_size: tuple[int, int] | None = None,
) -> Detector:
    """Face detector.

    Args:
        model: Known name or path of the weights.
        device: Where it runs.
        size: Longer side of the picture that the network sees, in pixels.
        min_score: Faces below are left out.
        threads: CPU threads, or None for half of the cores (decoding takes the others).
        frame_size: Displayed width and height of the video, so that a GPU makes ready for it here and now, or None.

    Raises:
        ModelError: The weights are not there or are not what they should be.
        BackendUnavailableError: The runtime is not installed.
    """
    make = _backend(device, "detect")
    own = _cpu_threads(device, threads) if device.kind == "cpu" else {"frame_size": frame_size}
    detector: Detector = make(find_model(model), size=size, min_score=min_score, **own)
    return detector


def open_embedder(model: str, device: DeviceChoice, threads: int | None = None) -> Embedder:
    """Face embedder.

    Args:
        model: Known name or path of the weights.
        device: Where it runs.
        threads: CPU threads, or None for half of the cores (decoding takes the others).

    Raises:
        ModelError: The weights are not there or are not what they should be.
        BackendUnavailableError: The runtime is not installed.
    """
    make = _backend(device, "embed")
    embedder: Embedder = make(find_model(model), **_cpu_threads(device, threads))
    return embedder


def open_compositor(device: DeviceChoice, canvas: Canvas) -> Compositor:
    """Compositor onto ``canvas``."""
    compositor: Compositor = _backend(device, "compose")(canvas)
    return compositor


def encoder_rungs(device: DeviceChoice) -> tuple[str, ...]:
    """The encoders of the device by name, the best first; each may refuse, but for the last."""
    return ENCODER_RUNGS[device.kind]


def open_encoder(path: Path, options: EncodeOptions, device: DeviceChoice, rung: str = "cpu") -> Encoder:
    """Encoder of pictures alone into ``path``, an MP4 file.

    Args:
        path: The file.
        options: What is asked for.
        device: Where the pictures lie.
        rung: One of :func:`encoder_rungs`. Pieces of one video must all be encoded on one rung.

    Raises:
        OutputError: ``path`` cannot be written.
        EngineError: The encoder refuses the options, or cannot be had.
    """
    make = _backend(device, "encode")
    encoder: Encoder = make(path, options) if device.kind == "cpu" else make(path, options, rung)
    return encoder


def _cpu_threads(device: DeviceChoice, threads: int | None) -> dict[str, int]:
    return {"threads": threads or max(1, num_cores() // 2)} if device.kind == "cpu" else {}


def _backend(device: DeviceChoice, module: str) -> Callable[..., Any]:
    name, package = BACKENDS[device.kind][module]
    if device.kind == "cuda":
        spare_memory()
    try:
        backend = getattr(import_module(f".{device.kind}.{module}", __package__), name)
    except ImportError as error:
        raise BackendUnavailableError(
            f"{package} cannot be imported",
            got=error,
            hint=f"pip install 'dual-face-tracker[{EXTRAS[device.kind]}]'",
        ) from error
    made: Callable[..., Any] = backend
    return made
