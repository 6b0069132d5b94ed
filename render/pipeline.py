"""Pass two: plan the camera, then decode, compose, encode and mux every frame."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..configs.errors import CorruptVideoError, TrackMismatchError
from ..configs.rendering import EncodeSettings, RenderSettings
from ..engines.devices import choose_device, open_compositor, open_decoder, open_encoder
from ..engines.prefetch import prefetch
from ..engines.protocols import Canvas, Compositor, Decoder, EncodeOptions, Frame, VideoInfo
from ..trackio.atomic import atomic_output, check_output
from ..trackio.files import TrackFile, check_same_video, default_tracks_path, read_tracks
from .camera.plan import CameraPlan, plan

log = logging.getLogger(__name__)

DECODED_AHEAD = 6  # frames; a few let the stages run evenly, and a 4K frame has 12 MB
COMPOSED_AHEAD = 4

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RenderReport:
    """What was rendered.

    Attributes:
        output: The video.
        frames: Number of frames written.
        duration_seconds: From the first frame's start to the last one's end.
        seconds: Wall-clock time of the whole pass.
        fps: Frames written per second of that time.
        notes: What a reader should know: what could not be kept, what was missing.
    """

    output: Path
    frames: int
    duration_seconds: float
    seconds: float
    fps: float
    notes: tuple[str, ...]


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

    Args:
        video: Any file that FFmpeg opens.
        tracks: Its track file; ``in.tracks.parquet`` beside it if not given.
        output: The result, .mp4, .mov or .mkv; ``in.dft.mp4`` beside the video if not given.
        settings: Output, camera, encoding.
        force: Take the tracks even if they were made from another file.
        overwrite: Replace an existing result.
        progress: Called with the number of frames written and of all frames.

    Raises:
        DftError: One of its subclasses, see ``configs/errors.py``. Nothing is left under the output's name.
    """
    started = time.perf_counter()
    settings = settings or RenderSettings()
    video = Path(video)
    tracks = Path(tracks) if tracks is not None else default_tracks_path(video)
    output = Path(output) if output is not None else default_output(video)
    check_output(output, overwrite=overwrite, inputs=(video, tracks))
    track_file = read_tracks(tracks)
    same = check_same_video(track_file, video, force=force)
    device = choose_device(settings.encode.device)
    with open_decoder(video, device, settings.encode.threads) as decoder:
        _check_picture(track_file, decoder.info)
        camera = plan(
            track_file.table, track_file.metadata, settings, decoder.index.pts, pixel_aspect=decoder.info.pixel_aspect
        )
        options = encode_options(camera.canvas, decoder.info, settings.encode)
        with (
            atomic_output(output, overwrite=overwrite) as unfinished,
            open_compositor(device, camera.canvas) as compositor,
            open_encoder(unfinished, options, video, device) as encoder,
        ):
            num_frames = 0
            with _canvases(decoder, compositor, camera) as canvases:
                for canvas in canvases:
                    encoder.write(canvas.image, canvas.pts)
                    num_frames += 1
                    if progress is not None:
                        progress(num_frames, len(camera))
            if num_frames == 0:
                raise CorruptVideoError(f"not one frame of {video} could be decoded", hint="check that the file plays")
            encoder.finish(decoder.index.end_pts)
    seconds = time.perf_counter() - started
    notes = (*_input_notes(track_file, decoder, num_frames, same), *camera.notes, *encoder.notes)
    for note in notes:
        log.warning("%s", note)
    return RenderReport(
        output, num_frames, _duration_seconds(decoder), round(seconds, 3), round(num_frames / seconds, 2), notes
    )


@contextmanager
def _canvases(decoder: Decoder, compositor: Compositor, camera: CameraPlan) -> Iterator[Iterator[Frame]]:
    """Composed frames in order; decoding and composing run ahead, each in a thread of its own."""

    def composed(frames: Iterator[Frame]) -> Iterator[Frame]:
        latest: int | None = None
        for frame in frames:
            if latest is None or frame.pts > latest:  # two pictures at one time cannot both be shown
                latest = frame.pts
                canvas = compositor.compose(frame.image, camera.tiles(frame.frame_index))
                yield Frame(frame.frame_index, frame.pts, canvas)

    with (
        prefetch(decoder.frames(), DECODED_AHEAD) as frames,
        prefetch(composed(frames), COMPOSED_AHEAD) as canvases,
    ):
        yield canvases


def _check_picture(track_file: TrackFile, info: VideoInfo) -> None:
    known = track_file.metadata.video
    if (info.width, info.height) != (known.width, known.height):
        raise TrackMismatchError(
            f"{track_file.path} was made from another picture than {info.path}",
            got=f"tracks of {known.width}x{known.height}", expected=f"{info.width}x{info.height}",
            hint="analyze this video",
        )  # fmt: skip


def encode_options(canvas: Canvas, info: VideoInfo, encode: EncodeSettings) -> EncodeOptions:
    """What the encoder is asked for: size by the layout, time and colour by the input, the rest by the settings."""
    return EncodeOptions(
        width=canvas.width, height=canvas.height, time_base=info.time_base, fps=info.fps, colour=info.colour,
        preset=encode.preset, crf=encode.crf, threads=encode.threads, audio=encode.audio,
        bitrate=None if encode.bitrate is None else encode.bitrate * 1000,
    )  # fmt: skip


def _input_notes(track_file: TrackFile, decoder: Decoder, num_frames: int, same: bool) -> Iterator[str]:
    """What was not right with the input, in words."""
    if not same:
        yield "the tracks were made from another file"
    if decoder.index.ended_early is not None:
        yield decoder.index.ended_early
    expected, there = track_file.metadata.video.frame_count, len(decoder.index)
    if there != expected:
        yield f"the video has {there} frames, and the tracks were made from {expected}"
    if num_frames < there:
        yield f"{there - num_frames} of {there} frames are damaged and were left out"


def _duration_seconds(decoder: Decoder) -> float:
    index = decoder.index
    return round(float((index.end_pts - int(index.pts[0])) * decoder.info.time_base), 6)
