"""What this machine has: cores that we may use, and an NVIDIA driver."""

import ctypes
import os
import resource
import sys
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID


def num_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def has_avx512() -> bool:
    """Whether this machine's cores have AVX-512, as far as Linux tells."""
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "flags" in line)
    except (OSError, StopIteration):
        return False
    return "avx512f" in flags.split()


def why_no_cuda() -> str | None:
    """Why no NVIDIA GPU can be used here, or None where the driver answers with at least one."""
    try:
        driver = _cuda_driver()
    except OSError:
        return "no NVIDIA driver (libcuda.so.1 is not there)"
    if (code := driver.cuInit(0)) != 0:
        return f"the NVIDIA driver does not start (cuInit returned {code})"
    return None if _num_gpus(driver) else "the NVIDIA driver sees no GPU"


def gpu_uuids() -> tuple[UUID, ...]:
    """Of the GPUs that CUDA shows to this process, in CUDA's order; () where there are none.

    Their order, and which they are, is as ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER`` had it when the driver was
    first asked. Of a part of a GPU (MIG) it is the part's own.
    """
    if why_no_cuda() is not None:
        return ()
    driver, found = _cuda_driver(), []
    for number in range(_num_gpus(driver)):
        gpu, uuid = ctypes.c_int(0), (ctypes.c_uint8 * 16)()
        if driver.cuDeviceGet(ctypes.byref(gpu), number) != 0 or driver.cuDeviceGetUuid_v2(uuid, gpu) != 0:
            return ()
        found.append(UUID(bytes=bytes(uuid)))
    return tuple(found)


def _cuda_driver() -> Any:
    return ctypes.CDLL("libcuda.so.1")


def _num_gpus(driver: Any) -> int:
    number = ctypes.c_int(0)
    return number.value if driver.cuDeviceGetCount(ctypes.byref(number)) == 0 else 0


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    try:
        # Linux: ru_maxrss survives exec and would count the parent's memory; VmHWM does not.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
