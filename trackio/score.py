"""How right a track file is, measured against one that is known to be right.

The terms are those of multi-object tracking, narrowed to what an editor asks of a split screen: how long is
everybody shown under the right name, how long under a wrong one, and how often does it change over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..configs.errors import SettingError, TrackFormatError, TrackMismatchError
from .columns import NULL, as_numpy, boxes_xyxy, codes, numbers
from .files import TrackFile
from .records import Record
from .schema import PERSONS
from .timecode import format_timecode
from .truth import Truth

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MIN_IOU = 0.4  # below PASCAL VOC's 0.5, because two detectors seldom draw a face's chin and forehead alike
MAX_PRINTED = 40
UNMATCHED = -2
"""No box lies on the true face; ``NULL`` is a box without a name."""


@dataclass(frozen=True)
class WrongRange(Record):
    """Consecutive frames in which one face has the same wrong name; first and last both belong to it.

    Attributes:
        person: Who it is by the truth, or None for a bystander.
        first_frame: Index of the first wrong frame.
        last_frame: Index of the last wrong frame.
        start: ``HH:MM:SS.mmm`` of the first frame, from the start of the video.
        end: ``HH:MM:SS.mmm`` of the last frame.
        named_as: The name in the file that is scored; see ``Score.names`` for whose name that is.
    """

    person: str | None
    first_frame: int
    last_frame: int
    start: str
    end: str
    named_as: str


@dataclass(frozen=True)
class Score(Record):
    """How right a track file is.

    What is counted are *true faces*: pairs of a frame and a main person (A, B, C or D of the truth) visible in it.
    ``coverage``, ``missed`` and the mains' part of ``wrong`` add up to 1.

    Attributes:
        tracks: Name of the file that is scored.
        truth: Name of the truth.
        min_iou: Least overlap of a box with a true box to be matched with it, 0..1.
        names: Whose name each name of the file is: its main person in the truth. One to one, so that the most
            true faces are right; a name that is right nowhere is left out.
        faces: Number of true faces.
        visible_seconds: Time in which at least one main person is visible.
        coverage: Share of true faces with a box of the right name.
        wrong: Share of true faces with a box of another name, plus visible bystanders with a box of any name, over
            the same number of true faces.
        missed: Share of true faces without a box, or with one without a name.
        detected: Share of true faces with a box, whatever its name.
        switches: How often the name on a true face changes. The last name is held across gaps and cuts. Changes of
            several persons within the same whole second are one: A and B exchanged is one switch.
        switches_per_minute: Over ``visible_seconds``; None where the video has no frame rate.
        box_error: Median distance of a box's centre from the true one, in heights of the true face; None without
            any match.
        wrong_ranges: Where to look, in order of time.
    """

    tracks: str
    truth: str
    min_iou: float
    names: dict[str, str]
    faces: int
    visible_seconds: float
    coverage: float
    wrong: float
    missed: float
    detected: float
    switches: int
    switches_per_minute: float | None
    box_error: float | None
    wrong_ranges: tuple[WrongRange, ...]


class _Faces:
    """The true faces in order of time, as arrays made once, and the name that the scored file gives each.

    ``main (N,)`` is the place in ``PERSONS``, negative for bystanders; ``named (N,)`` the place in ``names``, ``NULL``
    for a box without a name, ``UNMATCHED`` for no box; ``offset (N,)`` how far the centres are apart in face heights.
    """

    def __init__(self, tracks: TrackFile, truth: Truth, min_iou: float):
        frame, main = numbers(truth.table, "frame_index"), codes(truth.table, "person", PERSONS)
        order = np.lexsort((main, frame))
        self.frame = frame[order].astype(np.int64)
        self.main: NDArray[np.int8] = main[order]
        boxes = boxes_xyxy(truth.table)[order].astype(np.float64)
        self.visible = np.ones(len(order), np.bool_)
        if "visible" in truth.table.column_names:
            self.visible = as_numpy(truth.table["visible"])[order]
        self.names: list[str] = sorted(tracks.table["person"].cast(pa.string()).drop_null().unique().to_pylist())
        match, self.offset = _match(self.frame, boxes, tracks.table, min_iou)
        person = codes(tracks.table, "person", self.names)
        self.named = np.full(len(order), UNMATCHED, np.int64)
        self.named[match >= 0] = person[match[match >= 0]]
        self.seconds = _seconds_at(self.frame, tracks, truth)


def score(tracks: TrackFile, truth: Truth, min_iou: float = MIN_IOU) -> Score:
    """Measure how right ``tracks`` is; see :class:`Score` for what is measured.

    In each frame boxes are matched with true boxes one to one, the best overlap first. Invisible true faces take part
    in that, so that a box on a covered face is not laid to whoever covers it, but are not counted. Boxes on no true
    face are not counted either: a plain truth need not know every bystander.

    Args:
        tracks: The file to score.
        truth: What is right.
        min_iou: Least overlap (intersection over union), more than 0, at most 1.

    Raises:
        SettingError: ``min_iou`` is out of range.
        TrackFormatError: The truth has no visible row of a main person.
        TrackMismatchError: The truth is a track file of a video with another size or number of frames.
    """
    if not 0 < min_iou <= 1:
        raise SettingError("the least overlap of a match cannot be", got=min_iou, expected="more than 0, at most 1")
    _check_same_frames(tracks, truth)
    faces = _Faces(tracks, truth, min_iou)
    counted = faces.visible & (faces.main >= 0)
    num_faces = int(np.count_nonzero(counted))
    if num_faces == 0:
        names = [str(name) for name in truth.table["person"].unique().to_pylist()[: 2 * len(PERSONS)]]
        raise TrackFormatError(
            f"truth {truth.path} has no visible row of a main person",
            got=f"persons {', '.join(names)}" if names else "no rows", expected=f"rows of {', '.join(PERSONS)}",
        )  # fmt: skip
    owner = _owners(faces, counted)
    has_name = faces.visible & (faces.named >= 0)
    right = counted & has_name & (owner[faces.named] == faces.main)
    wrong = has_name & ~right
    fps = tracks.metadata.video.fps
    visible_seconds = float(len(np.unique(faces.frame[counted])) / fps) if fps > 0 else 0.0
    switches = _count_switches(faces, counted & has_name)
    matched = counted & (faces.named != UNMATCHED)
    return Score(
        tracks=tracks.path.name,
        truth=truth.path.name,
        min_iou=min_iou,
        names={name: PERSONS[main] for name, main in zip(faces.names, owner[:-2], strict=True) if main >= 0},
        faces=num_faces,
        visible_seconds=visible_seconds,
        coverage=np.count_nonzero(right) / num_faces,
        wrong=np.count_nonzero(wrong) / num_faces,
        missed=np.count_nonzero(counted & ~has_name) / num_faces,
        detected=np.count_nonzero(matched) / num_faces,
        switches=switches,
        switches_per_minute=switches * 60 / visible_seconds if visible_seconds else None,
        box_error=float(np.median(faces.offset[matched])) if matched.any() else None,
        wrong_ranges=_wrong_ranges(faces, np.flatnonzero(wrong)),
    )


def _check_same_frames(tracks: TrackFile, truth: Truth) -> None:
    if truth.metadata is None:
        return
    expected, got = (
        f"{video.width} x {video.height} with {video.frame_count} frames"
        for video in (truth.metadata.video, tracks.metadata.video)
    )
    if got != expected:
        hint = "score a file against the truth of the same video"
        raise TrackMismatchError(f"{tracks.path} and {truth.path} differ", got=got, expected=expected, hint=hint)


def _match(
    frame: NDArray[np.int64], boxes: NDArray[np.float64], table: pa.Table, min_iou: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """``(N,)`` row of ``table`` that each true box has, -1 for none, and the distance of the centres.

    Greedy, best overlap first, in all frames at once: in each round the pairs are taken that are the best of both
    their boxes, until none is left. Of equal overlaps the earlier row comes first.
    """
    order = np.argsort(numbers(table, "frame_index"), kind="stable")
    theirs, their_boxes = numbers(table, "frame_index")[order], boxes_xyxy(table)[order].astype(np.float64)
    start, end = (np.searchsorted(theirs, frame, side) for side in ("left", "right"))
    count = end - start
    true = np.repeat(np.arange(len(frame)), count)
    box = np.arange(len(true)) + np.repeat(start - (np.cumsum(count) - count), count)
    overlap = _iou(boxes[true], their_boxes[box])
    close = np.flatnonzero(overlap >= min_iou)
    close = close[np.argsort(-overlap[close], kind="stable")]
    true, box = true[close], box[close]

    match, taken = np.full(len(frame), -1, np.int64), np.zeros(len(order), np.bool_)
    first_of_true, first_of_box = np.empty(len(frame), np.int64), np.empty(len(order), np.int64)
    while len(true):
        places = np.arange(len(true))
        first_of_true[true[::-1]] = first_of_box[box[::-1]] = places[::-1]  # the last one written is the first
        best = (first_of_true[true] == places) & (first_of_box[box] == places)
        match[true[best]], taken[box[best]] = box[best], True
        left = (match[true] < 0) & ~taken[box]
        true, box = true[left], box[left]

    found = np.flatnonzero(match >= 0)
    centres, their_centres = ((b[:, :2] + b[:, 2:]) / 2 for b in (boxes[found], their_boxes[match[found]]))
    distance = np.full(len(frame), np.nan)
    distance[found] = np.hypot(*(their_centres - centres).T) / (boxes[found, 3] - boxes[found, 1])
    match[found] = order[match[found]]
    return match, distance


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(M,)`` intersection over union of each of ``a (M, 4)``, not empty, with the same row of ``b (M, 4)``."""
    sides = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None)
    shared = sides[:, 0] * sides[:, 1]
    areas = [np.prod(box[:, 2:] - box[:, :2], axis=1) for box in (a, b)]
    return np.asarray(shared / (areas[0] + areas[1] - shared))


def _seconds_at(frame: NDArray[np.int64], tracks: TrackFile, truth: Truth) -> NDArray[np.float64]:
    """``(N,)`` times of frames by the truth, or else by the scored file; frames that have no row there lie between."""
    table, video = tracks.table, tracks.metadata.video
    if truth.metadata is not None:
        table, video = truth.table, truth.metadata.video
    step = float(1 / video.fps) if video.fps > 0 else 0.0
    known, rows = np.unique(numbers(table, "frame_index"), return_index=True)
    if len(known) == 0:
        return np.asarray(frame * step, np.float64)
    between = np.interp(frame, known, video.seconds_array(numbers(table, "pts")[rows]))
    outside = np.minimum(frame - known[0], 0) + np.maximum(frame - known[-1], 0)
    return np.asarray(between + outside * step, np.float64)


def _owners(faces: _Faces, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``(names + 2,)`` main person that each name of the scored file stands for, ``UNMATCHED`` for none.

    The last two entries, also none, are what ``UNMATCHED`` and ``NULL`` point at.
    """
    rows = np.flatnonzero(counted & (faces.named >= 0))
    # In order of first appearance, so that a tie is broken the same whatever the names are.
    present, first, which = np.unique(faces.named[rows], return_index=True, return_inverse=True)
    order = np.argsort(first)
    table = np.zeros((len(present), len(PERSONS)), np.int64)
    np.add.at(table, (which, faces.main[rows]), 1)
    name, main = linear_sum_assignment(table[order], maximize=True)
    name = order[name]
    useful = table[name, main] > 0
    owner = np.full(len(faces.names) + 2, UNMATCHED, np.int64)
    owner[present[name[useful]]] = main[useful]
    return owner


def _count_switches(faces: _Faces, rows: NDArray[np.bool_]) -> int:
    """Changes of name among ``rows``; of each whole second, those of the person that has the most."""
    most: dict[int, int] = {}
    for main in range(len(PERSONS)):
        own = np.flatnonzero(rows & (faces.main == main))
        changed = own[1:][np.diff(faces.named[own]) != 0]
        seconds, counts = np.unique(np.floor(faces.seconds[changed]), return_counts=True)
        for second, count in zip(seconds.tolist(), counts.tolist(), strict=True):
            most[second] = max(most.get(second, 0), count)
    return sum(most.values())


def _wrong_ranges(faces: _Faces, rows: NDArray[np.intp]) -> tuple[WrongRange, ...]:
    main = np.maximum(faces.main[rows], NULL)  # all bystanders are alike
    order = np.lexsort((faces.frame[rows], faces.named[rows], main))
    rows, main = rows[order], main[order]
    same = (np.diff(main) == 0) & (np.diff(faces.named[rows]) == 0) & (np.diff(faces.frame[rows]) <= 1)
    starts, ends = rows[np.r_[True, ~same][: len(rows)]], rows[np.r_[~same, True][: len(rows)]]
    ranges = [
        WrongRange(
            person=PERSONS[faces.main[start]] if faces.main[start] >= 0 else None,
            first_frame=int(faces.frame[start]),
            last_frame=int(faces.frame[end]),
            start=format_timecode(float(faces.seconds[start])),
            end=format_timecode(float(faces.seconds[end])),
            named_as=faces.names[faces.named[start]],
        )
        for start, end in zip(starts, ends, strict=True)
    ]
    return tuple(sorted(ranges, key=lambda r: (r.first_frame, r.last_frame, r.person or "", r.named_as)))


def print_score(score: Score, console: Console) -> None:
    """Draw the score as tables."""
    names = ", ".join(f"{name} is {main}" for name, main in score.names.items()) or "nobody is named"
    for line in (
        f"{score.tracks} against {score.truth}, overlap of at least {score.min_iou:g}",
        f"{score.faces:,} true faces in {score.visible_seconds:.1f} s; {names} of the truth",
    ):
        console.print(line, markup=False, highlight=False)
    console.print(_figures(score))
    if score.wrong_ranges:
        console.print(_range_table(score))
    else:
        console.print("Nothing is named wrong.")
    rest = len(score.wrong_ranges) - MAX_PRINTED
    if rest > 0:
        console.print(f"and {rest:,} more; all with --json", highlight=False)


def _figures(score: Score) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    cells = {
        "coverage": f"{score.coverage:.2%}",
        "wrong": f"{score.wrong:.2%}",
        "missed": f"{score.missed:.2%}",
        "detected": f"{score.detected:.2%}",
        "switches": f"{score.switches:,}",
        "per minute": "-" if score.switches_per_minute is None else f"{score.switches_per_minute:.2f}",
        "box error": "-" if score.box_error is None else f"{score.box_error:.3f}",
    }
    for heading in cells:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row(*cells.values())
    return table


def _range_table(score: Score) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    title = f"Named wrong ({len(score.wrong_ranges)})"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("start", "end", "who", "named"):
        table.add_column(heading, no_wrap=True)
    table.add_column("frames", justify="right", no_wrap=True)
    for item in score.wrong_ranges[:MAX_PRINTED]:
        frames = f"{item.first_frame} to {item.last_frame}"
        # Text, because square brackets would be taken for markup
        table.add_row(*map(Text, (item.start, item.end, item.person or "bystander", item.named_as, frames)))
    return table
