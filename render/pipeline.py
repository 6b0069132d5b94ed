"""Pass two: plan the camera, encode what is missing in segments, join them with the sound, check the result."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

from ..configs.errors import CorruptVideoError, MemoryFullError
from ..configs.recovery import Recovery
from ..configs.rendering import EncodeSettings, RenderSettings
from ..engines.devices import choose_device, encoder_rungs, open_compositor
from ..engines.join import JoinOptions, check_container, join
from ..engines.memory import free
from ..engines.probe import check_times, time_notes
from ..engines.protocols import Canvas, EncodeOptions, VideoInfo
from ..trackio.atomic import atomic_output, check_output
from ..trackio.fingerprint import fingerprint
from .camera.plan import CameraPlan
from .encoding import WAIT_SECONDS, SegmentEncoder
from .job import Job, opened, tracks_path
from .losses import LostFrames, allowed_share
from .presets import output_paths
from .qc import Input, QualityReport, check_report_path, measure, read_report, write_report
from .segments import Segment, SegmentStore, divide, segments_of
from .stopwatch import Stopwatch

log = logging.getLogger(__name__)

DEFAULT_CRF = {"h264": 18, "hevc": 20, "av1": 24}  # of about equal quality

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RenderReport:
    """What was rendered.

    Attributes:
        outputs: The videos: one, or one for each person with the layout ``separate``.
        frames: Number of frames written.
        reused: How many of them were taken from an earlier rendering.
        duration_seconds: From the first frame's start to the last one's end.
        seconds: Wall-clock time of the whole pass.
        fps: Frames written per second of that time.
        stages: Wall-clock seconds of each stage; ``decode``, ``compose`` and ``encode`` run side by side, ``wait`` is
            the encoder's for the others, and ``open`` what opening encoders took.
        quality: What a check of each finished video found.
        notes: What a reader should know: what could not be kept, what was missing.
        recovered: What went wrong, and was answered: they are among the notes.
    """

    outputs: tuple[Path, ...]
    frames: int
    reused: int
    duration_seconds: float
    seconds: float
    fps: float
    stages: dict[str, float]
    quality: tuple[QualityReport, ...]
    notes: tuple[str, ...]
    recovered: tuple[Recovery, ...]

    @property
    def output(self) -> Path:
        """The first of the videos."""
        return self.outputs[0]


def default_output(video: Path) -> Path:
    """Where the result lies if not said otherwise: beside ``in.mp4``, ``in.dft.mp4``."""
    return video.parent / f"{video.stem}.dft.mp4"


def render(  # noqa: PLR0913 - the public call, with the options of the command
    video: Path | str,
    tracks: Path | str | None = None,
    output: Path | str | None = None,
    *,
    settings: RenderSettings | None = None,
    force: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RenderReport:
    """Render ``video`` by its tracks: each person cropped, tiled, encoded, with the original sound.

    A rendering that was stopped goes on after its last finished segment. One that replaces an earlier result encodes
    only the segments that come out differently.

    Args:
        video: Any file that FFmpeg opens.
        tracks: Its track file; ``in.tracks.parquet`` beside it if not given.
        output: The result, .mp4, .mov or .mkv; ``in.dft.mp4`` beside the video if not given. A report on its quality
            is written beside it, ``in.dft.mp4.qc.json``.
        settings: Output, camera, encoding.
        force: Take the tracks even if they were made from another file.
        overwrite: Replace an existing result.
        progress: Called with the number of frames written and of all frames.

    Raises:
        DftError: One of its subclasses, see ``configs/errors.py``. Nothing is left under the output's name.
    """
    started = time.perf_counter()
    settings, video, tracks = settings or RenderSettings(), Path(video), tracks_path(Path(video), tracks)
    output = Path(output) if output is not None else default_output(video)
    paths = output_paths(output, settings.output)
    for path in paths.values():
        check_output(path, overwrite=overwrite, inputs=(video, tracks))
        check_report_path(path)
        check_container(path, settings.encode.codec)
    request = _Request(video, tracks, paths, force, overwrite, progress)
    made: _Made | Recovery
    try:
        made = _render_all(request, settings)
    except MemoryFullError as error:
        if settings.encode.device != "auto" or choose_device("auto").kind == "cpu":
            raise
        made = Recovery(error.reason, "rendered on the CPU")
    if isinstance(made, Recovery):  # the error is gone by now, and with it the pictures that its traceback held
        made = _render_on_cpu(request, settings, made)
    quality, recovered = [report for report, _ in made.outputs], [own for _, several in made.outputs for own in several]
    seconds = time.perf_counter() - started
    notes = tuple(dict.fromkeys(note for report in quality for note in report.notes))
    for note in notes:
        log.info("%s", note)
    num_frames = sum(report.frames_out for report in quality)
    stages = {stage: round(taken, 3) for stage, taken in made.watch.seconds.items()}
    return RenderReport(
        tuple(paths.values()), num_frames, made.reused, quality[0].seconds_in, round(seconds, 3),
        round(num_frames / seconds, 2), stages, tuple(quality), notes, tuple(dict.fromkeys(recovered)),
    )  # fmt: skip


@dataclass(frozen=True)
class _Request:
    """What is to be rendered, wherever that is done."""

    video: Path
    tracks: Path
    paths: dict[str | None, Path]
    force: bool
    overwrite: bool
    progress: Progress | None


@dataclass(frozen=True)
class _Made:
    """All outputs: the report on each, and what went wrong with it and was answered."""

    outputs: list[tuple[QualityReport, tuple[Recovery, ...]]]
    reused: int
    watch: Stopwatch


def _render_all(request: _Request, settings: RenderSettings, before: Recovery | None = None) -> _Made:
    """Render every output; ``before`` is what went wrong until now."""
    first = () if before is None else (before,)
    with opened(request.video, request.tracks, settings, force=request.force) as own:
        check_times(request.video, own.decoder.index, allowed_share(own.track_file.metadata))
        job = replace(own, notes=(*own.notes, *(recovery.note for recovery in first)))
        count = _Counter(sum(len(camera) for camera in job.cameras.values()), request.progress)
        outputs = [
            _render_one(job, camera, request.paths[name], count, overwrite=request.overwrite)
            for name, camera in job.cameras.items()
        ]
    return _Made([(report, (*first, *recovered)) for report, recovered in outputs], count.reused, job.watch)


def _render_on_cpu(request: _Request, settings: RenderSettings, full: Recovery) -> _Made:
    """The answer to a GPU whose memory is full. What it has made of several outputs is ours to replace."""
    log.warning("%s", full.note)
    free()
    on_cpu = replace(settings, encode=replace(settings.encode, device="cpu"))
    return _render_all(replace(request, overwrite=True), on_cpu, full)


class _Counter:
    """Tells the caller's ``progress`` how far the rendering is; implements ``encoding.Progress``.

    Attributes:
        reused: Frames of all outputs that need not be encoded.
    """

    def __init__(self, total: int, progress: Progress | None):
        self.reused = 0
        self._before, self._reused, self._done = 0, 0, 0  # of the outputs before; of this one
        self._total, self._progress = total, progress

    def begin(self, reused: int) -> None:
        """An output begins, or begins again on another encoder."""
        self._reused = self._done = reused

    def __call__(self) -> None:
        """One more frame is encoded."""
        self._done += 1
        self.waiting()

    def waiting(self) -> None:
        """Nothing can be encoded yet; whoever watches hears that it goes on."""
        if self._progress is not None:
            self._progress(self._before + self._done, self._total)

    def end(self, frames: int) -> None:
        """The output, of so many frames, is done."""
        self.reused += self._reused
        self._before += frames


def _render_one(
    job: Job, camera: CameraPlan, output: Path, count: _Counter, *, overwrite: bool
) -> tuple[QualityReport, tuple[Recovery, ...]]:
    """Encode what is missing of one output, join it, and check it."""
    info, index, encode = job.decoder.info, job.decoder.index, job.settings.encode
    options = encode_options(camera.canvas, info, encode)
    ways = _ways(job, camera, options)
    store = SegmentStore(output)
    with job.watch.measure("reuse"):
        earlier = read_report(output) if encode.reuse else None
        store.look(chain(*ways.values()), earlier.segments if earlier is not None else ())
    with store.opened():
        with open_compositor(job.device, camera.canvas) as compositor:
            encoder = SegmentEncoder(
                job.decoder, compositor, camera, options, job.device, store, job.watch,
                WAIT_SECONDS if encode.encoder_busy == "wait" else 0.0,
            )  # fmt: skip
            chosen = encoder.encode_missing(ways, count)
        segments = ways[chosen.rung]
        count.end(len(camera))
        pieces = store.pieces(segments, index.pts)
        if not pieces:
            raise CorruptVideoError(f"not one frame of {job.video} could be decoded", hint="check that the file plays")
        left_out = LostFrames.of(pieces, index.pts)
        left_out.check(job.video, allowed_share(job.track_file.metadata))
        joining = JoinOptions(info.time_base, index.end_pts, info.fps, encode.audio)
        with atomic_output(output, overwrite=overwrite) as unfinished, job.watch.measure("mux"):
            losses = join(pieces, unfinished, joining, job.video)
    lost, halts = list(left_out.notes()), [setback.recovery for setback in job.decoder.setbacks]
    notes = (
        *job.notes, *time_notes(index), *lost, *camera.notes, *_picture_notes(job.source, encode),
        *chosen.notes, *(halt.note for halt in halts), *losses,
    )  # fmt: skip
    with job.watch.measure("check"):
        source = Input(job.video, job.source, index, job.track_file.metadata)
        report = measure(output, source, camera, store.encoded(segments), notes, chosen.rung)
        write_report(report, output)
    store.remove()
    return report, (*(Recovery(note, "the others keep their times") for note in lost), *halts, *chosen.recovered)


def _ways(job: Job, camera: CameraPlan, options: EncodeOptions) -> dict[str, list[Segment]]:
    """The segments as each of the device's encoders would make them, the best first.

    The encoder is part of a segment's key: what one has made is never joined with, or taken for, what another makes.
    """
    info, index = job.decoder.info, job.decoder.index
    spans = divide(index.pts, info.time_base, job.settings.encode.segment_seconds)
    shared = {"input": fingerprint(job.video), "picture": asdict(job.picture), "options": asdict(options)}
    return {
        rung: segments_of(camera, index.pts, spans, {**shared, "encoder": rung}) for rung in encoder_rungs(job.device)
    }


def encode_options(canvas: Canvas, info: VideoInfo, encode: EncodeSettings) -> EncodeOptions:
    """What the encoder is asked for.

    Args:
        canvas: Its size.
        info: Facts of the pictures as the decoder gives them: time, colour, HDR.
        encode: Settings.
    """
    keep = encode.keep_hdr and info.is_hdr
    codec = "hevc" if keep and encode.codec == "h264" else encode.codec
    return EncodeOptions(
        width=canvas.width, height=canvas.height, time_base=info.time_base, fps=info.fps, colour=info.colour,
        codec=codec, depth=10 if keep else encode.depth, preset=encode.preset,
        crf=DEFAULT_CRF[codec] if encode.crf is None else encode.crf, threads=encode.threads,
        bitrate=None if encode.bitrate is None else encode.bitrate * 1000, hdr=info.hdr if keep else None,
    )  # fmt: skip


def _picture_notes(source: VideoInfo, encode: EncodeSettings) -> Iterator[str]:
    """What was done to the pictures, in words; ``source`` is the file, not what the decoder makes of it."""
    if source.interlaced:
        yield "the input is interlaced: its pictures were deinterlaced"
    if source.is_hdr and not encode.keep_hdr:
        yield "the input is HDR: it was tone-mapped to SDR (ITU-R BT.2390); keep it with --keep-hdr"
    if encode.keep_hdr and not source.is_hdr:
        yield "the input is not HDR, so there is none to keep"
