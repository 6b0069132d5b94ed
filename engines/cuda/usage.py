"""How busy the GPU is, as NVIDIA's management library (NVML) tells."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import fmean
from typing import Any
from uuid import UUID

from ...configs.hardware import gpu_uuids


@dataclass(frozen=True)
class Memory:
    """Of a GPU, or of the part of one that is ours (MIG).

    Attributes:
        free: Bytes that nobody uses.
        total: All bytes.
    """

    free: float
    total: float


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
        gpu: Its number as CUDA counts in this process.
    """
    with suppress(Exception), _nvml() as nvml:  # NVML's errors, and those of a package or library that is missing
        device = _device(nvml, gpu_uuids()[gpu])
        return Usage(
            nvml.nvmlDeviceGetMemoryInfo(device).used / 1e6,
            float(nvml.nvmlDeviceGetUtilizationRates(device).gpu),
            _percent(nvml.nvmlDeviceGetDecoderUtilization, device),
            _percent(nvml.nvmlDeviceGetEncoderUtilization, device),
        )
    return None


def together(usages: Sequence[Usage]) -> Usage | None:
    """Several GPUs as if they were one: their memory added up, the mean of the percentages; None of none."""
    if not usages:
        return None
    return Usage(
        sum(usage.memory_mb for usage in usages), fmean(usage.compute_percent for usage in usages),
        _mean([usage.decode_percent for usage in usages]), _mean([usage.encode_percent for usage in usages]),
    )  # fmt: skip


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def gpu_memory(uuid: UUID) -> Memory | None:
    """Memory of a GPU; None where NVML cannot be asked."""
    with suppress(Exception), _nvml() as nvml:
        memory = nvml.nvmlDeviceGetMemoryInfo(_device(nvml, uuid))
        return Memory(float(memory.free), float(memory.total))
    return None


def _device(nvml: Any, uuid: UUID) -> Any:
    # not by number: NVML counts all GPUs of the machine, CUDA those that it is shown, and in an order of its own
    try:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError:
        return nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")


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
