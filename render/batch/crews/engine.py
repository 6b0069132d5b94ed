"""Where a batch runs: on this machine, or on a cluster (``cluster.py``)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from ....configs.hardware import num_cores
from ....engines.devices import DeviceChoice, choose_device, environment_on_cpu, why_lost
from ..admission import Admission, Machine, admit
from ..pictures import picture_sizes
from ..plan import BatchOptions, Job
from ..schedule import Schedule
from ..work import Workplace
from .local import Crew, Spare


class Engine(Protocol):
    """Where a batch runs."""

    @property
    def admission(self) -> Admission:
        """How many videos at once, and why."""

    @property
    def kind(self) -> str:
        """The device that works on them."""

    @property
    def job_threads(self) -> int | None:
        """CPU threads of each, or None where that is left to the passes."""

    def prepared(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs with what is known of them here."""

    def check(self, jobs: Sequence[Job], folder: Path) -> None:
        """Make sure that they can be done; ``folder`` is the batch's own. Raises a ``DftError``."""

    def crew(self, place: Workplace, schedule: Schedule) -> Crew:
        """Who does them."""


@dataclass(frozen=True)
class LocalEngine:
    """This machine; implements :class:`Engine`.

    Attributes:
        device: That works on the videos.
        admission: How many at once, and why.
        pictures: Coded width and height of those for which they are known.
        stall_seconds: A video without progress for so long is begun again.
        spare: Videos at once on the CPU, if all GPUs are lost; 0 if it is not to have them.
    """

    device: DeviceChoice
    admission: Admission
    pictures: Mapping[Path, tuple[int, int]]
    stall_seconds: float
    spare: int = 0

    @classmethod
    def of(cls, device_name: str, options: BatchOptions, videos: Sequence[Path]) -> "LocalEngine":
        """What this machine can do at once; ``device_name`` is the setting."""
        device = choose_device(device_name)
        pictures = picture_sizes(videos) if device.kind == "cuda" else {}
        largest = max((width * height for width, height in pictures.values()), default=None)
        machine = Machine.of(device, rendering="render" in options.steps)
        admission = admit(machine, options.streams, len(videos), largest)
        may_change = device.kind == "cuda" and device_name == "auto"
        spare = admit(Machine(machine.cores), options.streams, len(videos)).streams if may_change else 0
        return cls(device, admission, pictures, options.stall_seconds, spare)

    @property
    def kind(self) -> str:
        """See :class:`Engine`."""
        return self.device.kind

    @property
    def job_threads(self) -> int | None:
        """See :class:`Engine`."""
        return max(1, num_cores() // self.admission.streams) if self.admission.streams > 1 else None

    def prepared(self, jobs: Sequence[Job]) -> list[Job]:
        """See :class:`Engine`."""
        return [replace(job, picture=self.pictures.get(job.video)) for job in jobs]

    def check(self, jobs: Sequence[Job], folder: Path) -> None:
        """All is here."""

    def crew(self, place: Workplace, schedule: Schedule) -> Crew:
        """See :class:`Engine`."""
        place = replace(place, why_lost=partial(why_lost, self.device))
        spare = Spare(tuple(self.admission.unused(self.device)), (environment_on_cpu(),) * self.spare)
        return Crew(self.admission.environments(self.device), place, schedule, self.stall_seconds, spare)
