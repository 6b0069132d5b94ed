"""How busy the GPU is, as NVIDIA's management library (NVML) tells."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """One look at a GPU.

    Attributes:
        memory_mb: Memory in use, by everybody, 10^6 bytes.
        compute_percent: Share of the last moments in which a kernel ran.
        decode_percent: How busy NVDEC was, over all its engines, or None where the driver does not tell.
        encode_percent: NVENC, likewise.
    """

    memory_mb: float
    compute_percent: float
    decode_percent: float | None
    encode_percent: float | None


def gpu_usage(gpu: int = 0) -> Usage | None:
    """Look at a GPU; None where NVML cannot be asked.

    Args:
        gpu: Its number.
    """
    with suppress(Exception), _nvml() as nvml:  # NVML's errors, and those of a package or library that is missing
        device = nvml.nvmlDeviceGetHandleByIndex(gpu)
        return Usage(
            nvml.nvmlDeviceGetMemoryInfo(device).used / 1e6,
            float(nvml.nvmlDeviceGetUtilizationRates(device).gpu),
            _percent(nvml.nvmlDeviceGetDecoderUtilization, device),
            _percent(nvml.nvmlDeviceGetEncoderUtilization, device),
        )
    return None


@contextmanager
def _nvml() -> Iterator[Any]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _percent(ask: Any, device: Any) -> float | None:
    with suppress(Exception):  # a card without that engine
        return float(ask(device)[0])
    return None
