"""What this machine has: cores that we may use, and an NVIDIA driver."""

import ctypes
import os
import resource
import sys
from functools import cache
from pathlib import Path


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
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1 is not there)"
    count = ctypes.c_int(0)
    if (code := driver.cuInit(0)) != 0:
        return f"the NVIDIA driver does not start (cuInit returned {code})"
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver sees no GPU"
    return None


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    try:
        # Linux: ru_maxrss survives exec and would count the parent's memory; VmHWM does not.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
