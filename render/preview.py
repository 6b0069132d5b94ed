"""Looking before rendering: a small proof with boxes and crops drawn over the source, and single pictures."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..configs.errors import CorruptVideoError, SettingError
from ..configs.rendering import RenderSettings
from ..engines.cpu.draw import Pen, to_bgr
from ..engines.devices import open_compositor
from ..engines.join import check_container
from ..engines.protocols import RGB, Canvas, Compositor, EncodeOptions, Frame, Tile
from ..engines.writer import VideoWriter
from ..trackio.atomic import atomic_output, check_output
from ..trackio.columns import boxes_xyxy, codes, numbers
from ..trackio.schema import PERSONS
from ..trackio.timecode import format_timecode
from .camera.plan import CameraPlan
from .encoding import rising
from .job import Job, opened, tracks_path
from .pipeline import Progress

PROOF_HEIGHT = 540  # pixels
PROOF_PRESET, PROOF_CRF = "ultrafast", 26
# Okabe and Ito's colours, which colour-blind people can tell apart
PERSON_COLOURS: tuple[RGB, ...] = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167))
NOBODY_COLOUR: RGB = (154, 154, 154)
VIEW_COLOURS: tuple[RGB, ...] = ((240, 228, 66), (255, 255, 255))


@dataclass(frozen=True)
class PreviewReport:
    """What was made.

    Attributes:
        outputs: The files.
        frames: Number of pictures in them.
        seconds: Wall-clock time.
        fps: Pictures per second of that time.
        notes: What a reader should know, in words.
    """

    outputs: tuple[Path, ...]
    frames: int
    seconds: float
    fps: float
    notes: tuple[str, ...]


def preview(  # noqa: PLR0913 - the public call, with the options of the command
    video: Path | str,
    tracks: Path | str | None = None,
    output: Path | str | None = None,
    *,
    settings: RenderSettings | None = None,
    force: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PreviewReport:
    """Write a small, quick proof of what a rendering would show: the source with face boxes and crops drawn over it.

    Args:
        video: Any file that FFmpeg opens.
        tracks: Its track file; ``in.tracks.parquet`` beside it if not given.
        output: The proof, .mp4, .mov or .mkv; ``in.preview.mp4`` beside the video if not given.
        settings: Output, camera, encoding.
        force: Take the tracks even if they were made from another file.
        overwrite: Replace an existing file.
        progress: Called with the number of frames written and of all frames.

    Raises:
        DftError: One of its subclasses, see ``configs/errors.py``.
    """
    started = time.perf_counter()
    video, tracks = Path(video), tracks_path(Path(video), tracks)
    output = Path(output) if output is not None else video.parent / f"{video.stem}.preview.mp4"
    check_output(output, overwrite=overwrite, inputs=(video, tracks))
    check_container(output, "h264")
    with opened(video, tracks, _for_eyes(settings), force=force) as job:
        canvas = _proof_canvas(job)
        info = job.decoder.info
        options = EncodeOptions(
            canvas.width, canvas.height, info.time_base, info.fps, info.colour, preset=PROOF_PRESET, crf=PROOF_CRF
        )
        num_frames = 0
        with (
            atomic_output(output, overwrite=overwrite) as unfinished,
            open_compositor(job.device, canvas) as compositor,
            VideoWriter(unfinished, options, video) as writer,
        ):
            for frame in rising(job.decoder.frames()):
                writer.write(_proof(job, compositor, canvas, frame), frame.pts)
                num_frames += 1
                if progress is not None:
                    progress(num_frames, len(job.decoder.index))
            writer.finish(job.decoder.index.end_pts)
        notes = (*job.notes, *(note for camera in job.cameras.values() for note in camera.notes))
    seconds = time.perf_counter() - started
    return PreviewReport((output,), num_frames, round(seconds, 3), round(num_frames / seconds, 2), notes)


def still(  # noqa: PLR0913 - the public call, with the options of the command
    video: Path | str,
    seconds: float,
    tracks: Path | str | None = None,
    output: Path | str | None = None,
    *,
    settings: RenderSettings | None = None,
    force: bool = False,
    overwrite: bool = False,
    proof: bool = False,
) -> PreviewReport:
    """Write one picture of what a rendering would show, as PNG in 8 bits of SDR.

    Args:
        video: Any file that FFmpeg opens.
        seconds: The moment: the frame that is shown ``seconds`` after the first one's start.
        tracks: Its track file; ``in.tracks.parquet`` beside it if not given.
        output: The picture; ``in.12.500s.png`` beside the video if not given. Each of several has its name in it.
        settings: Output, camera.
        force: Take the tracks even if they were made from another file.
        overwrite: Replace an existing file.
        proof: The picture of the preview, instead.

    Raises:
        SettingError: The video has no frame at that time.
        DftError: One of its other subclasses, see ``configs/errors.py``.
    """
    started = time.perf_counter()
    video, tracks = Path(video), tracks_path(Path(video), tracks)
    output = Path(output) if output is not None else video.parent / f"{video.stem}.{seconds:.3f}s.png"
    if output.suffix.lower() != ".png":
        raise SettingError(f"cannot write a still named *{output.suffix}", expected="a name ending in .png")
    with opened(video, tracks, _for_eyes(settings), force=force) as job:
        frame = _frame_at(job, seconds)
        pictures = {None: _proof_canvas(job)} if proof else {name: plan.canvas for name, plan in job.cameras.items()}
        paths = {name: output if name is None else output.with_suffix(f".{name}.png") for name in pictures}
        for path in paths.values():
            check_output(path, overwrite=overwrite, inputs=(video, tracks))
        for name, canvas in pictures.items():
            with open_compositor(job.device, canvas) as compositor:
                if proof:
                    made = _proof(job, compositor, canvas, frame)
                else:
                    made = compositor.compose(frame.image, job.cameras[name].tiles(frame.frame_index))
            with atomic_output(paths[name], overwrite=overwrite) as unfinished:
                unfinished.write_bytes(_png(to_bgr(made)))
    taken = time.perf_counter() - started
    return PreviewReport(tuple(paths.values()), len(paths), round(taken, 3), round(len(paths) / taken, 2), job.notes)


def _for_eyes(settings: RenderSettings | None) -> RenderSettings:
    """The settings of a rendering that anything can show: 8 bits of SDR, on the CPU, where it can be drawn on."""
    settings = settings or RenderSettings()
    return replace(settings, encode=replace(settings.encode, device="cpu", depth=8, keep_hdr=False))


def _frame_at(job: Job, seconds: float) -> Frame:
    index, info = job.decoder.index, job.decoder.info
    pts = int(index.pts[0]) + round(seconds / float(info.time_base))
    if not index.pts[0] <= pts < index.end_pts:
        lasts = float((index.end_pts - int(index.pts[0])) * info.time_base)
        raise SettingError(
            f"{job.video} has no frame at {seconds:g} s",
            expected=f"a time from 0 to {lasts:.3f} s",
            hint="change --still",
        )
    number = int(np.searchsorted(index.pts, pts, side="right")) - 1
    for frame in job.decoder.frames(number, number + 1):
        return frame
    raise CorruptVideoError(f"the frame at {seconds:g} s of {job.video} is damaged", hint="choose another moment")


def _png(pixels: NDArray[np.uint8]) -> bytes:
    import cv2

    return cv2.imencode(".png", pixels)[1].tobytes()


def _proof_canvas(job: Job) -> Canvas:
    """The displayed picture at the proof's height, of square pixels."""
    info = job.source
    width = info.width * float(info.pixel_aspect) * PROOF_HEIGHT / info.height
    return Canvas(max(2, round(width / 2) * 2), PROOF_HEIGHT)


def _proof(job: Job, compositor: Compositor, canvas: Canvas, frame: Frame) -> Any:
    """The source's picture with what pass one found and what pass two shows."""
    info = job.source
    whole = Tile((0.0, 0.0, float(info.width), float(info.height)), 0, 0, canvas.width, canvas.height)
    image = compositor.compose(frame.image, [whole])
    pen, scale = Pen(image), np.array([canvas.width / info.width, canvas.height / info.height] * 2)
    for camera in job.cameras.values():
        _draw_crops(pen, camera, frame.frame_index, scale)
    _draw_faces(pen, job.track_file.table, frame.frame_index, scale)
    seconds = float((frame.pts - int(job.decoder.index.pts[0])) * job.decoder.info.time_base)
    pen.words(f"{format_timecode(seconds)}  frame {frame.frame_index}", 10, canvas.height - 12, (255, 255, 255))
    return image


def _draw_crops(pen: Pen, camera: CameraPlan, frame_index: int, scale: NDArray[np.float64]) -> None:
    for view, colour in zip(camera.views, VIEW_COLOURS * len(camera.views), strict=False):
        if view.shown[frame_index]:
            crop = view.crops_xyxy[frame_index] * scale
            pen.rectangle(crop, colour, 4)
            pen.words(view.area.side, crop[0] + 8, crop[1] + 20, colour)


def _draw_faces(pen: Pen, table: pa.Table, frame_index: int, scale: NDArray[np.float64]) -> None:
    first, end = np.searchsorted(numbers(table, "frame_index"), [frame_index, frame_index + 1])
    rows = table.slice(int(first), int(end - first))
    for box, code in zip(boxes_xyxy(rows).astype(np.float64) * scale, codes(rows, "person", PERSONS), strict=True):
        colour = PERSON_COLOURS[code] if code >= 0 else NOBODY_COLOUR
        pen.rectangle(box, colour)
        pen.words(PERSONS[code] if code >= 0 else "-", box[0], box[1] - 4, colour)
