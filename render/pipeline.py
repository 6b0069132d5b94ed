"""Pass two: plan the camera, encode what is missing in segments, join them with the sound, check the result."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..configs.errors import CorruptVideoError, TrackMismatchError
from ..configs.rendering import EncodeSettings, RenderSettings
from ..engines.devices import DeviceChoice, choose_device, open_compositor, open_decoder
from ..engines.join import JoinOptions, check_container, join
from ..engines.probe import probe
from ..engines.protocols import Canvas, Decoder, EncodeOptions, PictureOptions, VideoInfo
from ..trackio.atomic import atomic_output, check_output
from ..trackio.files import TrackFile, check_same_video, default_tracks_path, read_tracks
from ..trackio.fingerprint import fingerprint
from .camera.plan import CameraPlan, plan
from .encoding import SegmentEncoder
from .qc import Input, QualityReport, check_report_path, measure, read_report, write_report
from .segments import SegmentStore, divide, segments_of
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
        stages: Wall-clock seconds of each stage; ``decode``, ``compose`` and ``encode`` run side by side, and ``wait``
            is the encoder's for the others.
        quality: What a check of each finished video found.
        notes: What a reader should know: what could not be kept, what was missing.
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
    settings, video = settings or RenderSettings(), Path(video)
    tracks = Path(tracks) if tracks is not None else default_tracks_path(video)
    output = Path(output) if output is not None else default_output(video)
    _check_outputs([output], settings, (video, tracks), overwrite=overwrite)
    track_file = read_tracks(tracks)
    same = check_same_video(track_file, video, force=force)
    watch, device = Stopwatch(), choose_device(settings.encode.device)
    wanted = picture_options(probe(video), settings.encode)
    with open_decoder(video, device, settings.encode.threads, wanted) as decoder:
        _check_picture(track_file, decoder.info)
        with watch.measure("plan"):
            cameras = _cameras(output, track_file, settings, decoder)
        count = _Counter(sum(len(camera) for camera in cameras.values()), progress)
        one = _Renderer(decoder, device, wanted, track_file, settings, watch)
        quality = [
            one.render(camera, path, count, overwrite=overwrite, notes=_input_notes(track_file, decoder, same=same))
            for path, camera in cameras.items()
        ]
    seconds = time.perf_counter() - started
    notes = tuple(dict.fromkeys(note for report in quality for note in report.notes))
    for note in notes:
        log.warning("%s", note)
    num_frames = sum(report.frames_out for report in quality)
    stages = {stage: round(taken, 3) for stage, taken in watch.seconds.items()}
    return RenderReport(
        tuple(cameras), num_frames, count.reused, quality[0].seconds_in, round(seconds, 3),
        round(num_frames / seconds, 2), stages, tuple(quality), notes,
    )  # fmt: skip


class _Counter:
    """Tells the caller's ``progress`` how far the rendering is."""

    def __init__(self, total: int, progress: Progress | None):
        self.reused = 0
        self._done, self._total, self._progress = 0, total, progress

    def reuse(self, frames: int) -> None:
        """So many frames need not be encoded."""
        self.reused += frames
        self._done += frames

    def __call__(self) -> None:
        """One more frame is encoded."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Renderer:
    """Renders one video after the other from one input.

    Args:
        decoder: Of the input.
        device: Where it is composed and encoded.
        picture: What the decoder makes of the pictures.
        track_file: Its tracks.
        settings: Output, camera, encoding.
        watch: Gets the seconds of every stage.
    """

    def __init__(
        self, decoder: Decoder, device: DeviceChoice, picture: PictureOptions, track_file: TrackFile,
        settings: RenderSettings, watch: Stopwatch,
    ):  # fmt: skip
        self._decoder, self._device, self._settings, self._watch = decoder, device, settings, watch
        self._source = probe(decoder.info.path)
        self._input = Input(decoder.info.path, decoder.info, decoder.index, track_file.metadata)
        self._circumstances = {"input": fingerprint(decoder.info.path), "picture": asdict(picture)}

    def render(
        self, camera: CameraPlan, output: Path, count: _Counter, *, overwrite: bool, notes: tuple[str, ...]
    ) -> QualityReport:
        """Encode what is missing of ``output``, join it, and check it."""
        info, index, encode = self._input.info, self._input.index, self._settings.encode
        options = encode_options(camera.canvas, info, encode)
        spans = divide(index.pts, info.time_base, encode.segment_seconds)
        segments = segments_of(camera, index.pts, spans, {**self._circumstances, "options": asdict(options)})
        store = SegmentStore(output)
        with self._watch.measure("reuse"):
            earlier = read_report(output) if encode.reuse else None
            store.look(segments, earlier.segments if earlier is not None else ())
        count.reuse(sum(segment.end - segment.first for segment in segments if store.has(segment)))
        with store.opened():
            with open_compositor(self._device, camera.canvas) as compositor:
                encoder = SegmentEncoder(
                    self._decoder, compositor, camera, options, self._device, store, self._watch
                )  # fmt: skip
                encoder.encode([segment for segment in segments if not store.has(segment)], count)
            pieces = store.pieces(segments, index.pts)
            if not pieces:
                raise CorruptVideoError(
                    f"not one frame of {info.path} could be decoded", hint="check that the file plays"
                )
            joining = JoinOptions(info.time_base, index.end_pts, info.fps, encode.audio)
            with atomic_output(output, overwrite=overwrite) as unfinished, self._watch.measure("mux"):
                kept = join(pieces, unfinished, joining, info.path)
        num_frames = sum(len(piece.pts) for piece in pieces)
        lost = _lost_frames(len(index), num_frames)
        notes = (*notes, *lost, *camera.notes, *_picture_notes(self._source, encode), *kept)
        with self._watch.measure("check"):
            report = measure(output, self._input, camera, store.encoded(segments), notes)
            write_report(report, output)
        store.remove()
        return report


def _cameras(output: Path, track_file: TrackFile, settings: RenderSettings, decoder: Decoder) -> dict[Path, CameraPlan]:
    """The plan of every video that is to be made, by its path."""
    info, index = decoder.info, decoder.index
    camera = plan(track_file.table, track_file.metadata, settings, index.pts, pixel_aspect=info.pixel_aspect)
    return {output: camera}


def _check_outputs(
    outputs: Sequence[Path], settings: RenderSettings, inputs: Sequence[Path], *, overwrite: bool
) -> None:
    for output in outputs:
        check_output(output, overwrite=overwrite, inputs=inputs)
        check_report_path(output)
        check_container(output, settings.encode.codec)


def _check_picture(track_file: TrackFile, info: VideoInfo) -> None:
    known = track_file.metadata.video
    if (info.width, info.height) != (known.width, known.height):
        raise TrackMismatchError(
            f"{track_file.path} was made from another picture than {info.path}",
            got=f"tracks of {known.width}x{known.height}", expected=f"{info.width}x{info.height}",
            hint="analyze this video",
        )  # fmt: skip


def picture_options(info: VideoInfo, encode: EncodeSettings) -> PictureOptions:
    """What the decoder makes of the pictures: progressive, and SDR unless HDR is kept."""
    keep = encode.keep_hdr and info.is_hdr
    return PictureOptions(depth=10 if keep else encode.depth, deinterlace=True, tone_map=not keep)


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


def _input_notes(track_file: TrackFile, decoder: Decoder, *, same: bool) -> tuple[str, ...]:
    """What was not right with the input, in words."""
    notes = []
    if not same:
        notes.append("the tracks were made from another file")
    if decoder.index.ended_early is not None:
        notes.append(decoder.index.ended_early)
    expected, there = track_file.metadata.video.frame_count, len(decoder.index)
    if there != expected:
        notes.append(f"the video has {there} frames, and the tracks were made from {expected}")
    return tuple(notes)


def _lost_frames(there: int, written: int) -> Iterator[str]:
    if written < there:
        yield f"{there - written} of {there} frames are damaged and were left out"


def _picture_notes(source: VideoInfo, encode: EncodeSettings) -> Iterator[str]:
    """What was done to the pictures, in words; ``source`` is the file, not what the decoder makes of it."""
    if source.interlaced:
        yield "the input is interlaced: its pictures were deinterlaced"
    if source.is_hdr and not encode.keep_hdr:
        yield "the input is HDR: it was tone-mapped to SDR (ITU-R BT.2390); keep it with --keep-hdr"
    if encode.keep_hdr and not source.is_hdr:
        yield "the input is not HDR, so there is none to keep"
