"""What a track file holds, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .columns import NULL, codes, numbers
from .files import TrackFile
from .metadata import DeviceRecord, Suspect, VideoRecord
from .records import Record
from .schema import DETECTED, INTERPOLATED, ORIGINS, SIDES
from .spans import Sightings
from .timecode import format_clock, format_timecode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True)
class Gap(Record):
    """Frames between two sightings in which somebody is not seen; first and last are both missing.

    Attributes:
        first_frame: Index of the first missing frame.
        last_frame: Index of the last missing frame.
        start_seconds: When it starts, from the start of the video.
        end_seconds: When the next sighting starts.
    """

    first_frame: int
    last_frame: int
    start_seconds: float
    end_seconds: float

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end_seconds - self.start_seconds


@dataclass(frozen=True)
class Presence(Record):
    """How one person, or whoever is on one side, is seen; values are None where there is nothing to measure.

    Attributes:
        name: ``A``, ``B`` ... or ``left``, ``right``.
        frames: Frames with a box.
        coverage: Share of all frames of the video.
        first_seconds: Time of the first frame with a box, from the start of the video.
        last_seconds: Time of the last frame with a box.
        gap_count: Gaps between the first and the last frame.
        longest_gap_seconds: Length of the longest gap, 0 without gaps.
        interpolated_share: Share of the boxes that are interpolated.
        box_height_min: Smallest height in pixels.
        box_height_median: Median height in pixels.
        box_height_max: Largest height in pixels.
        mean_score: Of the detected boxes.
        gaps: All gaps in order.
    """

    name: str
    frames: int
    coverage: float
    first_seconds: float | None
    last_seconds: float | None
    gap_count: int
    longest_gap_seconds: float
    interpolated_share: float | None
    box_height_min: float | None
    box_height_median: float | None
    box_height_max: float | None
    mean_score: float | None
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class SuspectTime(Record):
    """A suspect with the times at which to find it in a player.

    Attributes:
        start: ``HH:MM:SS.mmm`` of its first frame, from the start of the video.
        end: ``HH:MM:SS.mmm`` of its last frame.
        kind: What is doubtful.
        probability: That something is wrong, 0..1.
        note: One sentence.
        evidence: What the probability was taken from, by name.
        state: What a reviewer said of it: ``accepted``, ``fixed``, ``unsure``; None as long as nobody did.
    """

    start: str
    end: str
    kind: str
    probability: float
    note: str
    evidence: dict[str, float]
    state: str | None = None


@dataclass(frozen=True)
class Summary(Record):
    """What a track file holds.

    Attributes:
        tracks: Name of the track file.
        video: The video.
        device: Where the analysis ran.
        tool_version: Version of dft that made it.
        persons: One entry per main person.
        sides: Left and right.
        bystander_tracks: Tracks that never have a person.
        bystander_rows: Rows without a person.
        shots: Number of shots.
        suspects: In order of time.
        notes: What the analysis noted.
    """

    tracks: str
    video: VideoRecord
    device: DeviceRecord
    tool_version: str
    persons: tuple[Presence, ...]
    sides: tuple[Presence, ...]
    bystander_tracks: int
    bystander_rows: int
    shots: int
    suspects: tuple[SuspectTime, ...]
    notes: tuple[str, ...]


def summarize(track_file: TrackFile) -> Summary:
    """Count and measure what ``track_file`` holds."""
    table, metadata = track_file.table, track_file.metadata
    person, side = codes(table, "person", metadata.persons), codes(table, "side", SIDES)
    track: NDArray[np.int32] = numbers(table, "track_id")
    in_order = sorted(metadata.suspects, key=lambda s: (s.first_pts, s.last_pts, s.kind))
    return Summary(
        tracks=track_file.path.name,
        video=metadata.video,
        device=metadata.device,
        tool_version=metadata.tool_version,
        persons=tuple(_presence(n, table, person == code, metadata.video) for code, n in enumerate(metadata.persons)),
        sides=tuple(_presence(n, table, side == code, metadata.video) for code, n in enumerate(SIDES)),
        bystander_tracks=len(np.setdiff1d(track[person == NULL], track[person != NULL])),
        bystander_rows=int(np.count_nonzero(person == NULL)),
        shots=len(metadata.shots),
        suspects=tuple(_timed(suspect, metadata.video) for suspect in in_order),
        notes=metadata.notes,
    )


def _presence(name: str, table: pa.Table, chosen: NDArray[np.bool_], video: VideoRecord) -> Presence:
    seen = Sightings(numbers(table, "frame_index")[chosen], video.seconds_array(numbers(table, "pts")[chosen]))
    count = len(seen.seconds)
    origin = codes(table, "origin", ORIGINS)[chosen]
    heights = (numbers(table, "y2") - numbers(table, "y1"))[chosen].astype(np.float64)
    scores = numbers(table, "score")[chosen][origin == ORIGINS.index(DETECTED)].astype(np.float64)
    gaps = tuple(
        Gap(int(frames[0]), int(frames[1]), float(times[0]), float(times[1]))
        for frames, times in zip(seen.gap_frames(), seen.gap_seconds(), strict=True)
    )
    return Presence(
        name=name,
        frames=count,
        coverage=count / video.frame_count if video.frame_count else 0.0,
        first_seconds=float(seen.seconds[0]) if count else None,
        last_seconds=float(seen.seconds[-1]) if count else None,
        gap_count=len(gaps),
        longest_gap_seconds=max((gap.seconds for gap in gaps), default=0.0),
        interpolated_share=float(np.mean(origin == ORIGINS.index(INTERPOLATED))) if count else None,
        box_height_min=float(heights.min()) if count else None,
        box_height_median=float(np.median(heights)) if count else None,
        box_height_max=float(heights.max()) if count else None,
        mean_score=float(scores.mean()) if len(scores) else None,
        gaps=gaps,
    )


def _timed(suspect: Suspect, video: VideoRecord) -> SuspectTime:
    start, end = (format_timecode(video.seconds(pts)) for pts in (suspect.first_pts, suspect.last_pts))
    return SuspectTime(start, end, suspect.kind, suspect.probability, suspect.note, suspect.evidence, suspect.state)


def print_summary(summary: Summary, console: Console) -> None:
    """Draw the summary as tables."""
    for line in _facts(summary):
        console.print(line, markup=False, highlight=False)
    console.print(_presence_table(summary))
    if summary.suspects:
        console.print(_suspect_table(summary))
    else:
        console.print("No suspects.")
    for note in summary.notes:
        console.print(f"Note: {note}", markup=False, highlight=False)


def _facts(summary: Summary) -> list[str]:
    video, device = summary.video, summary.device
    turned = f", rotated {video.rotation} degrees" if video.rotation else ""
    cuts = f"{summary.shots} shot{'' if summary.shots == 1 else 's'}"
    return [
        f"{summary.tracks}: {video.width} x {video.height}{turned}, {float(video.fps):.6g} fps, "
        f"{video.frame_count:,} frames, {format_timecode(video.duration_seconds)}, {cuts}",
        f"Analyzed by dft {summary.tool_version} on {device.kind}: {device.why}",
        f"Bystanders: {summary.bystander_tracks} tracks, {summary.bystander_rows:,} rows",
    ]


def _presence_table(summary: Summary) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    # narrow enough for a terminal of 80 columns
    table = Table(title="Presence", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("who")
    for heading in (
        "frames",
        "cover",
        "first",
        "last",
        "gaps",
        "longest",
        "interp.",
        "height px",
        "score",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for section in (summary.persons, summary.sides):
        for entry in section:
            table.add_row(*_cells(entry), end_section=entry is section[-1])
    return table


def _cells(entry: Presence) -> list[str]:
    def show(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    def clock(value: float | None) -> str:
        return "-" if value is None else format_clock(value, 2)

    low, middle, high = (show(v, ".0f") for v in (entry.box_height_min, entry.box_height_median, entry.box_height_max))
    return [
        entry.name,
        f"{entry.frames:,}",
        show(entry.coverage, ".1%"),
        clock(entry.first_seconds),
        clock(entry.last_seconds),
        str(entry.gap_count),
        f"{entry.longest_gap_seconds:.2f} s",
        show(entry.interpolated_share, ".1%"),
        f"{low} / {middle} / {high}",
        show(entry.mean_score, ".2f"),
    ]


def _suspect_table(summary: Summary) -> Table:
    from rich.table import Table
    from rich.text import Text

    reviewed = any(suspect.state for suspect in summary.suspects)
    table = Table(title=f"Suspects ({len(summary.suspects)})", title_justify="left")
    for heading in ("start", "end", "kind"):
        table.add_column(heading, no_wrap=True)
    table.add_column("prob.", justify="right")
    if reviewed:
        table.add_column("state", no_wrap=True)
    table.add_column("note")
    table.add_column("evidence")
    for suspect in summary.suspects:
        state = [suspect.state or "open"] if reviewed else []
        # Text, because square brackets in a note would be taken for markup
        cells = (
            suspect.start,
            suspect.end,
            suspect.kind,
            f"{suspect.probability:.2f}",
            *state,
            suspect.note,
            _evidence(suspect),
        )
        table.add_row(*map(Text, cells))
    return table


def _evidence(suspect: SuspectTime) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in suspect.evidence.items())
