"""The GPUs that this process may use, and how a process of its own is given one of them.

Everything in :mod:`dft.engines.cuda` works on CUDA's first GPU. So several are used by several processes, to each of
which ``CUDA_VISIBLE_DEVICES`` shows one alone.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from ...configs.hardware import gpu_uuids
from .usage import Memory, gpu_memory

VISIBLE = "CUDA_VISIBLE_DEVICES"
NONE = {VISIBLE: ""}  # environment of a process that sees no GPU
PART = "MIG-"  # begins the name of a part of a GPU
MORE_THAN_ENGINES = 1
"""Processes on a GPU beyond its NVDEC engines, so that no engine waits for a process that is at something else. On an
H100 with 7 of them, 8 analyzed 4,784 frames/s of one video, and 7 4,572 (docs/benchmarks.md)."""


@dataclass(frozen=True)
class VisibleGpu:
    """A GPU that processes of ours may use.

    Attributes:
        name: As ``CUDA_VISIBLE_DEVICES`` says it: a number, a UUID, or the name of a part (MIG).
        num_engines: NVDEC engines.
        memory: Now, or None where nobody tells.
    """

    name: str
    num_engines: int
    memory: Memory | None

    @property
    def num_processes(self) -> int:
        """Processes that keep its decoders busy."""
        return self.num_engines + MORE_THAN_ENGINES


def visible_gpus() -> tuple[VisibleGpu, ...]:
    """All of them, asked for what they have; the first question makes a CUDA context on each."""
    from .nvdec import num_engines

    uuids = gpu_uuids()
    return tuple(
        # of several parts, CUDA shows this process but one
        VisibleGpu(name, num_engines(min(number, len(uuids) - 1)), _memory(name, uuids[number : number + 1]))
        for number, name in enumerate(gpu_names())
    )


def gpu_names() -> tuple[str, ...]:
    """Names of the GPUs that processes of ours may use, as ``CUDA_VISIBLE_DEVICES`` says them."""
    return names_in(os.environ.get(VISIBLE), len(gpu_uuids()))


def names_in(setting: str | None, num_shown: int) -> tuple[str, ...]:
    """The GPUs of a list that are there.

    Args:
        setting: Value of ``CUDA_VISIBLE_DEVICES``, or None.
        num_shown: GPUs that CUDA shows to a process under it: what stands behind the first unknown name is ignored, and
            of several parts (MIG) a process is shown one ("CUDA environment variables" in the CUDA C++ Programming
            Guide; "CUDA Device Enumeration" in the MIG User Guide).
    """
    if setting is None:
        return tuple(str(number) for number in range(num_shown))
    names = tuple(name.strip() for name in setting.split(","))
    if num_shown and names[0].startswith(PART):
        return tuple(name for name in names if name.startswith(PART))
    return names[:num_shown]


def only(name: str) -> Mapping[str, str]:
    """The environment of a process that sees one GPU alone."""
    return {VISIBLE: name}


def _memory(name: str, uuid: tuple[UUID, ...]) -> Memory | None:
    """Of a GPU: by the identity that CUDA tells, or by its name, which is a part's if CUDA does not show it."""
    try:
        return gpu_memory(uuid[0] if uuid else UUID(name.removeprefix(PART)))
    except ValueError:  # a name of an older kind
        return None
