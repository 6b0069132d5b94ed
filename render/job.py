"""What a rendering, a preview and a still begin with: the input, its tracks, and the plan of every output."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..configs.errors import TrackMismatchError
from ..configs.rendering import EncodeSettings, RenderSettings
from ..engines.devices import DeviceChoice, choose_device, open_decoder
from ..engines.probe import probe
from ..engines.protocols import Decoder, PictureOptions, VideoInfo
from ..trackio.edits.reading import EditSummary, read_edited, suspects_warning
from ..trackio.files import TrackFile, check_same_video, default_tracks_path
from .camera.plan import CameraPlan, plan
from .presets import outputs
from .stopwatch import Stopwatch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """An input that is open.

    Attributes:
        video: The file.
        source: Its facts, as they are in the file.
        decoder: Of its pictures; its ``info`` tells what they are when they come out.
        picture: What the decoder makes of the pictures.
        device: Where it is decoded.
        track_file: The tracks, with their edits.
        settings: Output, camera, encoding.
        cameras: The plan of every output, by its name; None for the only one.
        notes: What was not right with the input, in words.
        watch: Has measured ``plan``.
    """

    video: Path
    source: VideoInfo
    decoder: Decoder
    picture: PictureOptions
    device: DeviceChoice
    track_file: TrackFile
    settings: RenderSettings
    cameras: dict[str | None, CameraPlan]
    notes: tuple[str, ...]
    watch: Stopwatch


def tracks_path(video: Path, tracks: Path | str | None) -> Path:
    """The track file that is meant; ``in.tracks.parquet`` beside the video if none is given."""
    return Path(tracks) if tracks is not None else default_tracks_path(video)


def picture_options(info: VideoInfo, encode: EncodeSettings) -> PictureOptions:
    """What the decoder makes of the pictures: progressive, and SDR unless HDR is kept."""
    keep = encode.keep_hdr and info.is_hdr
    return PictureOptions(depth=10 if keep else encode.depth, deinterlace=True, tone_map=not keep)


@contextmanager
def opened(video: Path, tracks: Path, settings: RenderSettings, *, force: bool = False) -> Iterator[Job]:
    """Open the input and plan every output.

    Args:
        video: Any file that FFmpeg opens.
        tracks: Its track file, taken with the edits of its log.
        settings: Output, camera, encoding.
        force: Take the tracks even if they were made from another file.

    Raises:
        DftError: One of its subclasses, see ``configs/errors.py``.
    """
    track_file, edits = read_edited(tracks)
    same = check_same_video(track_file, video, force=force)
    watch, device, source = Stopwatch(), choose_device(settings.encode.device), probe(video)
    picture = picture_options(source, settings.encode)
    with open_decoder(video, device, settings.encode.threads, picture) as decoder:
        _check_picture(track_file, source)
        with watch.measure("plan"):
            cameras = {
                name: plan(
                    track_file.table, track_file.metadata, settings, decoder.index.pts,
                    pixel_aspect=source.pixel_aspect, output=name,
                )
                for name in outputs(settings.output)
            }  # fmt: skip
        notes = (*_notes(track_file, decoder, same=same), *_review_notes(track_file, edits, settings))
        yield Job(video, source, decoder, picture, device, track_file, settings, cameras, notes, watch)


def _check_picture(track_file: TrackFile, info: VideoInfo) -> None:
    known = track_file.metadata.video
    if (info.width, info.height) != (known.width, known.height):
        raise TrackMismatchError(
            f"{track_file.path} was made from another picture than {info.path}",
            got=f"tracks of {known.width}x{known.height}", expected=f"{info.width}x{info.height}",
            hint="analyze this video",
        )  # fmt: skip


def _notes(track_file: TrackFile, decoder: Decoder, *, same: bool) -> tuple[str, ...]:
    notes = []
    if not same:
        notes.append("the tracks were made from another file")
    if decoder.index.ended_early is not None:
        notes.append(decoder.index.ended_early)
    expected, there = track_file.metadata.video.frame_count, len(decoder.index)
    if there != expected:
        notes.append(f"the video has {there} frames, and the tracks were made from {expected}")
    return tuple(notes)


def _review_notes(track_file: TrackFile, edits: EditSummary, settings: RenderSettings) -> tuple[str, ...]:
    """What to know of how the tracks were reviewed; moments that still are to be looked at are warned of at once."""
    warning = suspects_warning(track_file.metadata, settings.review.warn_suspects)
    if warning:
        log.warning("%s", warning)
    return tuple(note for note in (edits.words(), warning) if note)
