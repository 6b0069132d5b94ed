"""How many videos at once, and on which GPU each: decided by what the machine has."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from ...configs.console import count
from ...configs.hardware import num_cores
from ...engines.cuda.gpus import VisibleGpu
from ...engines.devices import DeviceChoice, environments, gpus, num_encoders

log = logging.getLogger(__name__)

CORES_PER_STREAM = 2  # on a CPU: one decodes while the other infers, or composes while the other encodes
CORES_PER_GPU_STREAM = 1
"""Eight streams at full speed on an H100 kept 4.5 cores busy (``dft bench --streams 8 --processes 8``)."""
MEMORY_MARGIN = 0.15  # of a GPU's memory, which stays free
STREAM_BYTES, BYTES_PER_PIXEL = 0.80e9, 40
"""GPU memory of a stream alone in its process: context, libraries and networks, and what grows with the pictures (the
decoder's surfaces and the ring behind it). On an H100, 1920x1080 in 8 bits: 884 MB in all, of which the decoder took
80 (NVML, ``dft bench --streams 1``)."""
USUAL_PIXELS = 1920 * 1080


@dataclass(frozen=True)
class Machine:
    """What a machine has.

    Attributes:
        cores: Cores that we may use.
        gpus: Those that do the work; none on the CPU.
        num_encoders: Videos that the GPU encodes at once, or None where nothing limits them.
    """

    cores: int
    gpus: tuple[VisibleGpu, ...] = ()
    num_encoders: int | None = None

    @classmethod
    def of(cls, device: DeviceChoice, *, rendering: bool = False) -> "Machine":
        """This one, asked; for its encoders only if something is to be rendered."""
        return cls(num_cores(), gpus(device), num_encoders(device) if rendering else None)


@dataclass(frozen=True)
class Admission:
    """What was decided.

    Attributes:
        streams: Videos at once.
        seats: Where each of them is: a number of a GPU; zeros on the CPU.
        why: What decided, and what would have allowed more.
        warning: What speaks against it, or None.
        num_encoders: Videos that the GPU encodes at once, at least one, or None where nothing limits them.
    """

    streams: int
    seats: tuple[int, ...]
    why: str
    warning: str | None = None
    num_encoders: int | None = None

    @property
    def num_renderings(self) -> int:
        """Renderings at once, if they wait for the GPU's encoder; 0 where there is none."""
        return 0 if self.num_encoders is None else min(self.streams, self.num_encoders)

    def as_text(self) -> str:
        """In a line."""
        return f"{count(self.streams, 'stream')}: {self.why}"

    def log(self) -> None:
        """Say it in the log."""
        log.info("%s", self.as_text())
        if self.warning is not None:
            log.warning("%s", self.warning)

    def environments(self, device: DeviceChoice) -> list[Mapping[str, str]]:
        """What the environment of each stream's process says."""
        known = environments(device)
        return [known[seat] for seat in self.seats]

    def unused(self, device: DeviceChoice) -> list[Mapping[str, str]]:
        """The same for each GPU on which there is no stream."""
        return [environment for seat, environment in enumerate(environments(device)) if seat not in self.seats]


@dataclass(frozen=True)
class _Limit:
    """How many streams something allows."""

    name: str
    streams: float


def need(pixels: int | None) -> float:
    """Bytes of GPU memory that a stream takes, of a video whose pictures have so many pixels; None if not known."""
    return STREAM_BYTES + BYTES_PER_PIXEL * (USUAL_PIXELS if pixels is None else pixels)


def admit(machine: Machine, wanted: int | None, num_videos: int, pixels: int | None = None) -> Admission:
    """How many videos at once.

    On a CPU one for two cores. A GPU takes as many as keep its decoders busy, if its memory allows that, and there is a
    core for each.

    Args:
        machine: What there is.
        wanted: If it is given, so many, whatever the machine has.
        num_videos: There are no more than these.
        pixels: Of the largest pictures among them, or None.
    """
    decoders = [gpu.num_processes for gpu in machine.gpus]
    memory = [_by_memory(gpu, need(pixels)) for gpu in machine.gpus]
    allowed = [min(pair) for pair in zip(decoders, memory, strict=True)]
    limits = _limits(machine, memory)
    most = min([limit.streams for limit in limits] + [sum(allowed)] * bool(allowed))
    streams = int(max(1, min(wanted or most, num_videos)))
    if streams == wanted:
        decided = "asked for"
    elif streams == num_videos:
        decided = count(num_videos, "video")
    else:
        decided = next((limit.name for limit in limits if limit.streams <= streams), "decoders here, memory there")
    clauses = [decided, *_would_allow([limit for limit in limits if limit.name != decided])]
    if machine.num_encoders is not None and machine.num_encoders < streams:
        clauses.append(f"the encoder has {count(machine.num_encoders, 'session')}")
    warning = None
    if machine.gpus and streams > sum(memory):
        warning = (
            f"{count(streams, 'stream')} at once may be more than the GPU's memory allows: {sum(memory):.0f}, with "
            f"{need(pixels) / 1e9:.2f} GB for each and {MEMORY_MARGIN:.0%} left free"
        )
    encoders = None if machine.num_encoders is None else max(1, machine.num_encoders)
    return Admission(streams, _seats(allowed or [inf], streams), "; ".join(clauses), warning, encoders)


def _would_allow(limits: Sequence[_Limit]) -> list[str]:
    known = [limit for limit in limits if limit.streams < inf]
    words = [f"{limit.name} would allow {limit.streams:.0f}" for limit in known[:1]]
    words += [f"{limit.name} {limit.streams:.0f}" for limit in known[1:]]
    return [", ".join(words)] if words else []


def _limits(machine: Machine, memory: Sequence[float]) -> list[_Limit]:
    cores = count(machine.cores, "core")
    if not machine.gpus:
        return [_Limit(f"{cores} ({CORES_PER_STREAM} for each)", max(1, machine.cores // CORES_PER_STREAM))]
    engines = sorted({gpu.num_engines for gpu in machine.gpus})
    more = machine.gpus[0].num_processes - machine.gpus[0].num_engines
    each = f" on each of {len(machine.gpus)} GPUs" if len(machine.gpus) > 1 else ""
    return [
        _Limit(
            f"{' or '.join(map(str, engines))} decoder{'s' if engines != [1] else ''} + {more}{each}",
            sum(gpu.num_processes for gpu in machine.gpus),
        ),
        _Limit("memory", sum(memory)),
        _Limit(cores, max(1, machine.cores // CORES_PER_GPU_STREAM)),
    ]


def _by_memory(gpu: VisibleGpu, needed: float) -> float:
    """Streams for which a GPU has memory; infinity where nobody tells."""
    if gpu.memory is None:
        return inf
    return max(0.0, gpu.memory.free - MEMORY_MARGIN * gpu.memory.total) // needed


def _seats(allowed: Sequence[float], streams: int) -> tuple[int, ...]:
    """A GPU for each stream: the one with the smallest share of its streams taken; what is too many, evenly."""
    taken = [0] * len(allowed)
    seats = []
    for _ in range(streams):
        seat = min(
            range(len(allowed)),
            key=lambda gpu: (taken[gpu] >= allowed[gpu], (taken[gpu] + 1) / max(allowed[gpu], 1), taken[gpu]),
        )
        taken[seat] += 1
        seats.append(seat)
    return tuple(seats)
