"""What a process takes of the GPU's memory before it has done anything."""

import logging
import os
from functools import cache

log = logging.getLogger(__name__)

STACK_BYTES = 256
"""Of each thread of a kernel. The driver sets it aside for all threads that a GPU can hold, 1,024 bytes to begin with:
277 MB on an H100. For a kernel that needs more it takes more, once."""
STACK_LIMIT = 0  # cudaLimitStackSize of driver_types.h
CUBLAS_WORKSPACES = ":16:8"
"""Of cuBLAS: 8 times 16 KiB for each handle and stream, instead of 32 MiB on Hopper (cuBLAS, "Results
reproducibility"). The products of matrices in the networks here are small."""


@cache
def spare_memory() -> None:
    """Have this process take less memory of the GPU; to be called before anything is opened there.

    On an H100 a video alone in its process then needs 0.8 instead of 1.25 GB (docs/benchmarks.md). Settings of the
    environment are left as they are.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACES)
    os.environ.setdefault("CUBLASLT_WORKSPACE_SIZE", "64")  # KiB
    try:
        from cupy.cuda import runtime

        runtime.deviceSetLimit(STACK_LIMIT, STACK_BYTES)
    except Exception as error:  # it is memory that would be spared, no more
        log.debug("the GPU's stack stays as it is: %s", error)
