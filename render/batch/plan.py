"""What a batch is to do: a job a video, how many at once, and all that can be known to be wrong before any work."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ...configs.analysis import AnalyzeSettings
from ...configs.errors import OutputError, SettingError
from ...configs.hardware import num_cores
from ...configs.rendering import RenderSettings
from ...configs.settings import all_settings, build
from ...engines.devices import DeviceChoice, num_decoders
from ...engines.join import CONTAINERS
from ...trackio.atomic import translate_os_error
from ...trackio.files import SUFFIX
from ..job import output_paths
from .inputs import Entry, growing

Step = Literal["analyze", "render"]
STEPS: tuple[Step, ...] = ("analyze", "render")

CORES_PER_STREAM = 2  # one decodes while the other infers, or composes while the other encodes
QUIET_SECONDS = 3.0  # a file that was modified more lately may be being written
RENDERED_SHARE = 0.5  # of the input's size, a low guess: there must be room for so much at least


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is run.

    Attributes:
        steps: What is done with every video, in order.
        streams: Videos at once; as many as the device is good for if None.
        stall_seconds: A video without progress for so long is begun again, in a new process.
        keep_going: Go on even if most videos fail.
        overwrite: Replace results that this batch has not made, or that were changed since.
    """

    steps: tuple[Step, ...] = STEPS
    streams: int | None = None
    stall_seconds: float = 300.0
    keep_going: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Job:
    """A video and what is to be made of it.

    Attributes:
        video: The file.
        name: Of its results, for people and for the state.
        tracks: Its track file.
        output: Its rendering.
        analysis: Settings of pass one.
        rendering: Settings of pass two.
        priority: Higher ones come first.
        size: Of the file, in bytes.
        growing: Whether the file may be being written; such ones come last.
    """

    video: Path
    name: str
    tracks: Path
    output: Path
    analysis: AnalyzeSettings
    rendering: RenderSettings
    priority: int
    size: int
    growing: bool

    def results(self, step: Step) -> tuple[Path, ...]:
        """What a step makes."""
        return (self.tracks,) if step == "analyze" else tuple(output_paths(self.output, self.rendering).values())

    @property
    def rank(self) -> tuple[bool, int, int, str]:
        """The lowest comes first: by priority, then the largest, so that the last ones to end are short."""
        return self.growing, -self.priority, -self.size, self.name


@dataclass(frozen=True)
class Values:
    """Values of settings by name, for every video that has none of its own.

    Attributes:
        analysis: Of pass one.
        rendering: Of pass two.
    """

    analysis: Mapping[str, Any]
    rendering: Mapping[str, Any]


def make_jobs(entries: Sequence[Entry], folder: Path, values: Values, threads: int | None) -> list[Job]:
    """A job for each entry.

    Args:
        entries: The videos.
        folder: The output folder.
        values: Settings for all.
        threads: CPU threads of a video for which none are set; None leaves it to the passes.

    Raises:
        SettingError: Two videos have one output, an output lies elsewhere, or a setting cannot be.
        OutputError: An output would replace an input.
    """
    now = time.time()
    unquiet = set(growing((entry.video for entry in entries), now, QUIET_SECONDS))
    shared = Values({"workers": 1, "threads": threads, **values.analysis}, {"threads": threads, **values.rendering})
    jobs = [_job(entry, folder, shared, entry.video in unquiet) for entry in entries]
    _check_names(jobs)
    return sorted(jobs, key=lambda job: job.rank)


def _job(entry: Entry, folder: Path, values: Values, is_growing: bool) -> Job:
    name = PurePosixPath(entry.name)
    if name.is_absolute() or ".." in name.parts or not name.name:
        raise SettingError(f"output {entry.name!r} of {entry.video}", expected="a path within the output folder")
    suffix = name.suffix if name.suffix.lower() in CONTAINERS else ""
    stem = entry.name.removesuffix(suffix)
    return Job(
        entry.video, stem, folder / f"{stem}{SUFFIX}", folder / (f"{stem}{suffix}" if suffix else f"{stem}.dft.mp4"),
        _built(AnalyzeSettings, values.analysis, entry), _built(RenderSettings, values.rendering, entry),
        entry.priority, entry.video.stat().st_size, is_growing,
    )  # fmt: skip


def _built(settings: Any, values: Mapping[str, Any], entry: Entry) -> Any:
    own = {name: value for name, value in entry.settings.items() if name in all_settings(settings)}
    return build(settings, {**values, **own})


def _check_names(jobs: Sequence[Job]) -> None:
    # not every file system tells capitals from small letters
    by_result = Counter(str(result).casefold() for job in jobs for step in STEPS for result in set(job.results(step)))
    for job in jobs:
        for step in STEPS:
            if any(by_result[str(result).casefold()] > 1 for result in job.results(step)):
                others = [str(other.video) for other in jobs if other.name.casefold() == job.name.casefold()]
                raise SettingError(
                    f"more than one video would be made into {job.results(step)[0]}", got=" and ".join(others[:3]),
                    hint="give their common folder, or a manifest with a column output",
                )  # fmt: skip
    videos = {job.video.resolve() for job in jobs}
    for job in jobs:
        for step in STEPS:
            if taken := [result for result in job.results(step) if result.resolve() in videos]:
                raise OutputError(f"the result {taken[0]} would replace an input", hint="choose another output folder")


def num_streams(options: BatchOptions, device: DeviceChoice, num_jobs: int) -> int:
    """Videos at once: as many as a GPU has decoders, or one for two cores; no more than there are."""
    usual = num_decoders(device) if device.kind == "cuda" else num_cores() // CORES_PER_STREAM
    return max(1, min(options.streams or usual, num_jobs))


def make_folder(folder: Path) -> None:
    """Make the output folder, if it is not there.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise translate_os_error(error, folder) from error


def check_space(jobs: Iterable[Job], folder: Path) -> None:
    """Make sure that there is room for what is to be rendered, by a low guess.

    Raises:
        OutputError: There is not.
    """
    wanted, free = RENDERED_SHARE * sum(job.size for job in jobs), shutil.disk_usage(folder).free
    if wanted > free:
        raise OutputError(
            f"not enough space in {folder}", got=f"{free / 1e9:.1f} GB free",
            expected=f"{wanted / 1e9:.1f} GB, {RENDERED_SHARE:.0%} of the inputs",
            hint="free some space, or choose another folder",
        )  # fmt: skip
