"""What a batch is to do: a job a video, how many at once, and all that can be known to be wrong before any work."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ...configs.analysis import AnalyzeSettings
from ...configs.errors import OutputError, SettingError, TrackFileNotFoundError
from ...configs.rendering import RenderSettings
from ...configs.settings import all_settings, build
from ...engines.devices import choose_device
from ...engines.weights import KNOWN_MODELS, find_model
from ...trackio.atomic import translate_os_error
from ...trackio.edits.log import log_path
from ...trackio.files import SUFFIX
from ..presets import layout_of, output_paths
from .entry import Entry
from .files import growing, stat_of

Step = Literal["analyze", "render"]
STEPS: tuple[Step, ...] = ("analyze", "render")

QUIET_SECONDS = 3.0  # a file that was modified more lately may be being written
MANY_SESSIONS, SHARED_BITRATE, LEAST_BITRATE = 3, 0.7, 50  # sessions at work, share, kbit/s
ANALYZE_FIRST = "run it with --only analyze first"
RENDERED_SHARE = 0.5  # of the input's size, a low guess
NAME_BYTES = 255  # of a name of a file, on all usual file systems
_BY_MANIFEST = "or name its results by a manifest's column output"


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
        asked: Settings of pass two as they were asked for, if others are better for now; these tell what is done.
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
    asked: RenderSettings | None = None

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
        SettingError: Two videos have one output, one lies elsewhere or has too long a name, or a setting cannot be.
        OutputError: An output would replace an input.
        VideoError: A video is gone, or cannot be looked at.
    """
    now = time.time()
    unquiet = set(growing((entry.video for entry in entries), now, QUIET_SECONDS))
    shared = Values({"workers": 1, "threads": threads, **values.analysis}, {"threads": threads, **values.rendering})
    jobs = [_job(entry, folder, shared, entry.video in unquiet) for entry in entries]
    _check_names(entries, jobs)
    return sorted(jobs, key=lambda job: job.rank)


def _job(entry: Entry, folder: Path, values: Values, is_growing: bool) -> Job:
    _check_place(entry)
    job = Job(
        entry.video, entry.name, folder / f"{entry.name}{SUFFIX}", folder / f"{entry.name}{entry.suffix}",
        _built(AnalyzeSettings, values.analysis, entry), _built(RenderSettings, values.rendering, entry),
        entry.priority, stat_of(entry.video).st_size, is_growing,
    )  # fmt: skip
    _check_lengths(entry, job)
    return job


def _check_place(entry: Entry) -> None:
    name = PurePosixPath(entry.name)
    if name.is_absolute() or not name.name or any(part.startswith(".") for part in name.parts):
        raise SettingError(
            f"{entry.where}output {entry.name!r} of {entry.video}",
            expected="a path within the output folder, no part of which begins with a dot",
            hint=None if entry.where else f"rename it, {_BY_MANIFEST}",
        )


def _check_lengths(entry: Entry, job: Job) -> None:
    name = PurePosixPath(entry.name)
    added = max(len(os.fsencode(path.name)) for path in _made_of(job)) - len(os.fsencode(name.name))
    for part, most in (*((part, NAME_BYTES) for part in name.parts[:-1]), (name.name, NAME_BYTES - added)):
        if (length := len(os.fsencode(part))) > most:
            raise SettingError(
                f"{entry.where}the name {part} is too long", got=f"{length} bytes",
                expected=f"at most {most}, so that all that is made of {entry.video} can have a name",
                hint=f"rename it, {_BY_MANIFEST}",
            )  # fmt: skip


def _made_of(job: Job) -> Iterator[Path]:
    """The results, and all that comes to lie beside them."""
    from ..qc import report_path  # these take long, and processes that work do not need them here
    from ..segments import SegmentStore

    yield from (job.tracks, log_path(job.tracks), job.tracks.with_name(f".{job.tracks.name}.chunks"))
    for result in job.results("render"):
        yield from (result, report_path(result), SegmentStore(result).folder)


def _built(settings: Any, values: Mapping[str, Any], entry: Entry) -> Any:
    own = {name: value for name, value in entry.settings.items() if name in all_settings(settings)}
    return build(settings, {**values, **own})


def _check_names(entries: Sequence[Entry], jobs: Sequence[Job]) -> None:
    makers: dict[str, list[Entry]] = {}
    for entry, job in zip(entries, jobs, strict=True):
        for result in (result for step in STEPS for result in job.results(step)):
            # not every file system tells capitals from small letters
            several = makers.setdefault(str(result).casefold(), [])
            several.append(entry)
            if len(several) > 1:
                raise SettingError(
                    f"more than one video would be made into {result}",
                    got=" and ".join(f"{entry.where}{entry.video}" for entry in several), hint=_way_out(several),
                )  # fmt: skip
    videos = {job.video.resolve() for job in jobs}
    for job in jobs:
        for step in STEPS:
            if taken := [result for result in job.results(step) if result.resolve() in videos]:
                raise OutputError(f"the result {taken[0]} would replace an input", hint="choose another output folder")


def _way_out(entries: Sequence[Entry]) -> str:
    """What to do about videos that would have the same results."""
    if any(entry.where for entry in entries):
        return "give each a name of its own in the manifest's column output"
    if len({entry.name for entry in entries}) == 1 and len({entry.video.parent for entry in entries}) > 1:
        return "give their common folder, or a manifest with a column output"
    return f"rename one of them, {_BY_MANIFEST}"


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
    less = replace(job.rendering, encode=replace(encode, bitrate=bitrate))
    return replace(job, rendering=less, notes=(*job.notes, note), asked=job.rendering)


def check_settings(jobs: Sequence[Job], options: BatchOptions) -> None:
    """Make sure that what the settings name is there, so that no video is worked on in vain.

    Raises:
        SettingError: A layout file cannot be used.
        EngineError: A device or model cannot be had.
        TrackFileNotFoundError: Only renderings are wanted, and no video has tracks.
    """
    analyses = list(dict.fromkeys(job.analysis for job in jobs)) if "analyze" in options.steps else []
    renderings = list(dict.fromkeys(job.rendering for job in jobs)) if "render" in options.steps else []
    models = {settings.detection.detector for settings in analyses}
    models |= {settings.identity.embedder for settings in analyses} - KNOWN_MODELS.keys()  # it can be done without
    for model in sorted(models):
        find_model(model)
    for settings in renderings:
        layout_of(settings.output)
    if options.engine == "local":
        devices = {settings.runtime.device for settings in analyses} | {each.encode.device for each in renderings}
        for device in sorted(devices):
            choose_device(device)
    if options.steps == ("render",) and not any(job.tracks.exists() for job in jobs):
        raise TrackFileNotFoundError(
            f"there is no track file to render by, such as {jobs[0].tracks}", hint=ANALYZE_FIRST
        )


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
