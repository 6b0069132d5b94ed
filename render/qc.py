"""The quality control of a finished rendering: measured from the file, beside what went in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..configs.errors import OutputExistsError, TrackFormatError
from ..engines.probe import probe, scan
from ..engines.protocols import FrameIndex, VideoInfo
from ..engines.timing import sound_times
from ..trackio.atomic import atomic_output
from ..trackio.metadata import TrackMetadata
from ..trackio.records import Record
from .camera.plan import CameraPlan
from .segments import Encoded

if TYPE_CHECKING:
    from rich.console import Console

FAMILY = "dft_qc"
PROFILE = f"{FAMILY} 1.0"
EDGE_PIXELS = 1.0  # a crop this near to the picture's edge touches it
PLACES = ("start", "middle", "end")


@dataclass(frozen=True)
class SideReport(Record):
    """What one tile showed.

    Attributes:
        side: Whom it shows.
        absent_seconds: Time in which that person is not seen.
        absent: What was shown instead, in seconds by mode: ``hold``, ``wide``, ``blur``, ``black``, ``collapse``.
        at_edge: Share of the tile's frames in which its crop touches the picture's edge, 0..1.
    """

    side: str
    absent_seconds: float
    absent: dict[str, float]
    at_edge: float


@dataclass(frozen=True)
class QualityReport(Record):
    """One finished video, beside its input.

    Attributes:
        profile: ``dft_qc 1.0``.
        output: Name of the video.
        input: Name of the input.
        frames_in: Frames of the input.
        frames_out: Frames of the video.
        seconds_in: From the first frame's start to the last one's end.
        seconds_out: The same of the video.
        start_shift_ms: How much later the first frame is shown than in the input, in milliseconds; Matroska, which has
            no time before 0, shows everything later where the sound has priming.
        picture_drift_ms: Largest difference between a frame's time in the video and in the input beyond that shift,
            in milliseconds.
        sound_drift_ms: By how much the sound lies later against the picture than in the input, in milliseconds: the
            largest of all tracks, at their start, middle and end; empty without sound.
        sides: What each tile showed.
        suspects_open: Moments of doubt in the tracks that nobody has settled.
        suspects_greatest: The largest of their probabilities, or 0.
        notes: What a reader should know, in words.
        segments: What the video was made of, for the next rendering.
        encoder: What encoded it: ``cpu``, ``nvenc`` or ``ffmpeg-nvenc``.
    """

    profile: str
    output: str
    input: str
    frames_in: int
    frames_out: int
    seconds_in: float
    seconds_out: float
    start_shift_ms: float
    picture_drift_ms: float
    sound_drift_ms: dict[str, float]
    sides: tuple[SideReport, ...]
    suspects_open: int
    suspects_greatest: float
    notes: tuple[str, ...]
    segments: tuple[Encoded, ...]
    encoder: str
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Input:
    """What was rendered: the file, its facts, its frames and its tracks' metadata."""

    path: Path
    info: VideoInfo
    index: FrameIndex
    metadata: TrackMetadata


def report_path(output: Path) -> Path:
    """Where the report on ``output`` lies: ``talk.mp4`` -> ``talk.mp4.qc.json``."""
    return output.with_name(f"{output.name}.qc.json")


def measure(
    output: Path, source: Input, camera: CameraPlan, encoded: tuple[Encoded, ...], notes: tuple[str, ...], encoder: str
) -> QualityReport:
    """Compare a finished video with its input.

    Args:
        output: The video.
        source: Its input.
        camera: What every tile shows.
        encoded: What the video was joined of.
        notes: What a reader should know.
        encoder: What encoded it.

    Raises:
        VideoError: A file cannot be read.
    """
    info, index = probe(output), scan(output)
    frames = np.concatenate([part.frames for part in encoded])
    wanted = source.index.pts[frames] * float(source.info.time_base)
    got = index.pts * float(info.time_base)
    shift = float(got[0] - wanted[0])
    drift = np.abs(got - wanted - shift).max() * 1000 if len(got) == len(wanted) else np.inf
    suspects = [suspect.probability for suspect in source.metadata.suspects]
    times = source.metadata.video.seconds_array(source.index.pts)
    return QualityReport(
        profile=PROFILE,
        output=output.name,
        input=source.path.name,
        frames_in=len(source.index),
        frames_out=len(index),
        seconds_in=_seconds(source.info, source.index),
        seconds_out=_seconds(info, index),
        start_shift_ms=round(shift * 1000, 3),
        picture_drift_ms=round(float(drift), 3),
        sound_drift_ms=_sound_drift(source.path, output, shift),
        sides=_sides(camera, times, _seconds(source.info, source.index)),
        suspects_open=len(suspects),
        suspects_greatest=round(max(suspects, default=0.0), 3),
        notes=notes,
        segments=encoded,
        encoder=encoder,
    )


def _seconds(info: VideoInfo, index: FrameIndex) -> float:
    return round(float((index.end_pts - int(index.pts[0])) * info.time_base), 6)


def _sound_drift(source: Path, output: Path, picture_shift: float) -> dict[str, float]:
    """The largest shift of any copied track, less that of the picture.

    Tracks are matched in order; a track whose packets differ in number is another one, or was damaged.
    """
    drift: dict[str, float] = {}
    theirs = sound_times(source)
    for ours in sound_times(output):
        match = next((number for number, times in enumerate(theirs) if len(times) == len(ours)), None)
        if match is None or len(ours) == 0:
            continue
        shift = (ours - theirs.pop(match) - picture_shift) * 1000
        for place, value in zip(PLACES, (shift[0], shift[len(shift) // 2], shift[-1]), strict=True):
            drift[place] = max(drift.get(place, 0.0), round(float(value), 3), key=abs)
    return drift


def _sides(camera: CameraPlan, times: NDArray[np.float64], seconds: float) -> tuple[SideReport, ...]:
    spans = np.append(np.diff(times), max(seconds - float(times[-1] - times[0]), 0.0))  # of every frame
    reports = []
    for side in dict.fromkeys(view.area.side for view in camera.views if view.face is not None):
        views = [view for view in camera.views if view.area.side == side and view.face is not None]
        unseen = np.ones(len(spans), bool)
        unseen[views[0].face.seen if views[0].face is not None else []] = False
        absent: dict[str, float] = {}
        for use in camera.absences:
            if use.side == side:
                lasted = float(spans[use.first_frame : use.last_frame + 1].sum())
                absent[use.mode] = round(absent.get(use.mode, 0.0) + lasted, 3)
        reports.append(SideReport(side, round(float(spans[unseen].sum()), 3), absent, _at_edge(camera, side)))
    return tuple(reports)


def _at_edge(camera: CameraPlan, side: str) -> float:
    shown = touching = 0
    width, height = camera.picture.width, camera.picture.height
    for view in camera.views:
        if view.area.side == side and view.face is not None:
            crops = view.crops_xyxy[view.shown]
            at_start, at_end = crops[:, :2] < EDGE_PIXELS, crops[:, 2:] > np.array([width, height]) - EDGE_PIXELS
            shown, touching = shown + len(crops), touching + int((at_start | at_end).any(axis=1).sum())
    return round(touching / shown, 4) if shown else 0.0


def check_report_path(output: Path) -> None:
    """Make sure that the report's name is free, or holds a report.

    Raises:
        OutputExistsError: Another file has that name.
    """
    path = report_path(output)
    if path.exists() and not str(_read(path).get("profile")).startswith(FAMILY):
        raise OutputExistsError(
            f"{path} exists and is no QC report of dft", hint="move it away, or choose another output"
        )


def write_report(report: QualityReport, output: Path) -> Path:
    """Write ``report`` beside ``output`` as JSON, in place of an older one."""
    path = report_path(output)
    with atomic_output(path, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(report.as_dict(), indent=1) + "\n", encoding="utf-8")
    return path


def read_report(output: Path) -> QualityReport | None:
    """The report beside ``output``; None where there is none that can be read."""
    try:
        report = QualityReport.from_dict(_read(report_path(output)))
    except TrackFormatError:  # of another version
        return None
    return report if report.profile == PROFILE else None


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def print_report(report: QualityReport, console: Console) -> None:
    """Draw the figures as a short table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("", "input", "output"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("frames", f"{report.frames_in:,}", f"{report.frames_out:,}")
    table.add_row("duration, s", f"{report.seconds_in:.3f}", f"{report.seconds_out:.3f}")
    console.print(table)
    for line in _lines(report):
        console.print(line, markup=False, highlight=False)


def _lines(report: QualityReport) -> Iterator[str]:
    drift = f"drift: picture {report.picture_drift_ms:g} ms"
    if report.sound_drift_ms:
        parts = ", ".join(f"{place} {value:g} ms" for place, value in report.sound_drift_ms.items())
        drift += f", sound against picture: {parts}"
    if report.start_shift_ms:
        drift += f"; all of it {report.start_shift_ms:g} ms later than in the input"
    yield drift
    for side in report.sides:
        shown = ", ".join(f"{mode} {seconds:.1f} s" for mode, seconds in side.absent.items())
        yield (
            f"{side.side}: absent {side.absent_seconds:.1f} s{f' ({shown})' if shown else ''}, "
            f"crop at the picture's edge in {side.at_edge:.1%} of the frames"
        )
    if report.suspects_open:
        yield f"suspects open: {report.suspects_open}, the greatest probability {report.suspects_greatest:.2f}"
    for note in report.notes:
        yield f"note: {note}"
