"""What a batch is to do: a job a video, how many at once, and all that can be known to be wrong before any work."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ...configs.analysis import AnalyzeSettings
from ...configs.errors import OutputError, SettingError
from ...configs.rendering import RenderSettings
from ...configs.settings import all_settings, build
from ...engines.join import CONTAINERS
from ...trackio.atomic import translate_os_error
from ...trackio.files import SUFFIX
from ..presets import output_paths
from .inputs import Entry, growing

Step = Literal["analyze", "render"]
STEPS: tuple[Step, ...] = ("analyze", "render")

QUIET_SECONDS = 3.0  # a file that was modified more lately may be being written
MANY_SESSIONS, SHARED_BITRATE, LEAST_BITRATE = 3, 0.7, 50  # sessions at work, share, kbit/s
RENDERED_SHARE = 0.5  # of the input's size, a low guess


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is run.

    Attributes:
        steps: What is done with every video, in order.
        streams: Videos at once; as many as the device is good for if None.
        stall_seconds: A video without progress for so long is begun again, in a new process.
        keep_going: Go on even if most videos fail.
        overwrite: Replace results that this batch has not made, or that were changed since.
        engine: ``local``: this machine; ``ray``: a Ray cluster that it is part of.
        address: ``HOST:PORT`` of that cluster's head.
        split_seconds: A video is looked at by one more node of the cluster for each so many seconds that it lasts.
        share_bitrate: Renderings take 70 % of their bit rate where three or more share a GPU's encoder.
    """

    steps: tuple[Step, ...] = STEPS
    streams: int | None = None
    stall_seconds: float = 300.0
    keep_going: bool = False
    overwrite: bool = False
    engine: Literal["local", "ray"] = "local"
    address: str = "127.0.0.1:6379"
    split_seconds: float = 300.0
    share_bitrate: bool = False


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
        picture: Coded width and height, if they are known.
        notes: What a reader of the report should know of it.
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
    picture: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    @property
    def waits_for_encoder(self) -> bool:
        """Whether its rendering waits for a GPU's encoder, if all of them are at work."""
        encode = self.rendering.encode
        return encode.encoder_busy == "wait" and encode.device != "cpu"

    def results(self, step: Step) -> tuple[Path, ...]:
        """What a step makes."""
        return (self.tracks,) if step == "analyze" else tuple(output_paths(self.output, self.rendering.output).values())

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


def sharing_bitrate(jobs: Sequence[Job], num_renderings: int) -> list[Job]:
    """The jobs with a smaller bit rate, if they have one and so many are encoded at once on a GPU that it must do.

    NVENC takes a bit rate as the average of a variable one, so nothing else is to be changed.
    """
    return [_with_less(job, num_renderings) for job in jobs] if num_renderings >= MANY_SESSIONS else list(jobs)


def _with_less(job: Job, num_renderings: int) -> Job:
    encode = job.rendering.encode
    if encode.bitrate is None or encode.device == "cpu":
        return job
    bitrate = max(LEAST_BITRATE, round(encode.bitrate * SHARED_BITRATE))
    note = f"{bitrate} instead of {encode.bitrate} kbit/s, variable: {num_renderings} renderings share the encoder"
    return replace(
        job, rendering=replace(job.rendering, encode=replace(encode, bitrate=bitrate)), notes=(*job.notes, note)
    )  # fmt: skip


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

    While a video is joined, its segments lie beside it: the largest one counts twice.

    Raises:
        OutputError: There is not.
    """
    sizes = [job.size for job in jobs]
    wanted, free = RENDERED_SHARE * (sum(sizes) + max(sizes, default=0)), shutil.disk_usage(folder).free
    if wanted > free:
        raise OutputError(
            f"not enough space in {folder}", got=f"{free / 1e9:.1f} GB free",
            expected=f"{wanted / 1e9:.1f} GB, {RENDERED_SHARE:.0%} of the inputs and of the largest again",
            hint="free some space, or choose another folder",
        )  # fmt: skip
