"""The rules of the profile ``dft_tracks``, each over whole columns at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .columns import NULL, UNKNOWN, as_numpy, boxes_xyxy, codes, filled, landmarks, numbers
from .metadata import REVIEW_STATES, SUSPECT_KINDS, TrackMetadata
from .schema import INTERPOLATED, NUM_LANDMARK_VALUES, ORIGINS, PERSONS, SCHEMA, SIDES

_BOX = ("x1", "y1", "x2", "y2")
Describe = Callable[[int], object]


@dataclass(frozen=True)
class Finding:
    """The rows that break one rule.

    Attributes:
        column: Column at fault.
        rows: ``(M,)`` row numbers, ascending, at least one.
        got: What a row holds.
        expected: What a row should hold.
    """

    column: str
    rows: NDArray[np.intp]
    got: Describe
    expected: Describe

    def message(self, row: int) -> str:
        """One line about ``row``."""
        return f"row {row}, column {self.column}: got {self.got(row)}, expected {self.expected(row)}"


class _Rows:
    """A table's columns as arrays, made once."""

    def __init__(self, table: pa.Table, metadata: TrackMetadata):
        self.table = table
        self.metadata = metadata
        self.frame: NDArray[np.int32] = numbers(table, "frame_index")
        self.pts: NDArray[np.int64] = numbers(table, "pts")
        self.track: NDArray[np.int32] = numbers(table, "track_id")
        self.boxes = boxes_xyxy(table).astype(np.float64)
        self.score: NDArray[np.float32] = numbers(table, "score")
        self.shot: NDArray[np.int32] = numbers(table, "shot")
        self.person = codes(table, "person", PERSONS)
        self.side = codes(table, "side", SIDES)
        self.origin = codes(table, "origin", ORIGINS)

    def text(self, column: str) -> Describe:
        """What ``column`` holds in a row, as it is written in the file."""
        return lambda row: self.table[column][row].as_py()


# column, which rows break the rule, what they hold, what they should hold
Checks = Iterator[tuple[str, NDArray[np.bool_], Describe, Describe]]
Rule = Callable[[_Rows], Checks]


def row_findings(table: pa.Table, metadata: TrackMetadata) -> list[Finding]:
    """What is wrong in the rows of a table of ``SCHEMA``'s types without nulls where they are not allowed."""
    rows = _Rows(table, metadata)
    found = []
    for rule in _RULES:
        for column, bad, got, expected in rule(rows):
            if bad.any():
                found.append(Finding(column, np.flatnonzero(bad), got, expected))
    return found


def null_findings(table: pa.Table) -> list[Finding]:
    """Nulls in columns that allow none, and lists of landmarks of another length than the profile's."""
    found = []
    for field in SCHEMA:
        column = table[field.name]
        if not field.nullable and column.null_count:
            bad = np.flatnonzero(as_numpy(column.is_null()))
            found.append(Finding(field.name, bad, _always("null"), _always("a value in every row")))
    if not pa.types.is_fixed_size_list(table.schema.field("landmarks").type):
        lengths = filled(pc.list_value_length(table["landmarks"]), NUM_LANDMARK_VALUES)
        bad = np.flatnonzero(lengths != NUM_LANDMARK_VALUES)
        if len(bad):
            found.append(Finding("landmarks", bad, lambda r: f"{lengths[r]} numbers", _always("null or 10 numbers")))
    return found


def _always(words: str) -> Describe:
    return lambda _: words


def _order(rows: _Rows) -> Checks:
    frame, track, pts = rows.frame, rows.track, rows.pts
    same_frame, back = _with_before(np.equal, frame), _with_before(np.less, frame)
    yield (
        "frame_index",
        back,
        rows.text("frame_index"),
        lambda r: f"at least {frame[r - 1]} as in the row before",
    )
    track_back = same_frame & _with_before(np.less, track)
    yield (
        "track_id",
        track_back,
        rows.text("track_id"),
        lambda r: f"more than {track[r - 1]} as in the row before",
    )
    twice = _repeats((frame.astype(np.int64) << 32) | (track.astype(np.int64) & 0xFFFFFFFF))
    yield (
        "track_id",
        twice,
        lambda r: f"{track[r]} again in frame {frame[r]}",
        _always("each track once per frame"),
    )
    if back.any():
        return  # which of two rows has the wrong pts shows only in order
    differs = same_frame & _with_before(np.not_equal, pts)
    yield "pts", differs, rows.text("pts"), lambda r: f"{pts[r - 1]} as elsewhere in frame {frame[r]}"
    # Damaged videos repeat a pts in the next frame, so equal ones are let through.
    falls = ~same_frame & _with_before(np.less, pts)
    yield "pts", falls, rows.text("pts"), lambda r: f"at least {pts[r - 1]} as in the frame before"


def _frames(rows: _Rows) -> Checks:
    frame, shot, count = rows.frame, rows.shot, rows.metadata.video.frame_count
    outside = (frame < 0) | (frame >= count)
    yield "frame_index", outside, rows.text("frame_index"), _always(f"0 to {count - 1}")
    shots = rows.metadata.shots
    unknown = (shot < 0) | (shot >= len(shots))
    yield (
        "shot",
        unknown,
        rows.text("shot"),
        _always(f"0 to {len(shots) - 1}" if shots else "no rows without shots"),
    )
    if not shots:
        return
    first = np.array([s.first_frame for s in shots])[np.where(unknown, 0, shot)]
    last = np.array([s.last_frame for s in shots])[np.where(unknown, 0, shot)]
    misplaced = ~unknown & ~outside & ((frame < first) | (frame > last))
    yield "shot", misplaced, rows.text("shot"), lambda r: f"the shot of frame {frame[r]}"


def _boxes(rows: _Rows) -> Checks:
    boxes, video = rows.boxes, rows.metadata.video
    finite = np.isfinite(boxes)
    for place, name in enumerate(_BOX):
        yield name, ~finite[:, place], rows.text(name), _always("a finite number")
    boxes = np.where(finite, boxes, 0)
    sizes, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    for axis, (low, high) in enumerate((("x1", "x2"), ("y1", "y2"))):
        size, centre, extent = sizes[:, axis], centres[:, axis], (video.width, video.height)[axis]
        whole = finite[:, axis] & finite[:, axis + 2]
        yield high, whole & (size <= 0), rows.text(high), _more_than(low, boxes[:, axis])
        # A face at the edge sticks out a little; with its centre further out than its own size it is no face.
        astray = whole & (size > 0) & ((centre < -size) | (centre > extent + size))
        yield low, astray, rows.text(low), _always(f"a box in or near the frame, which ends at {extent}")


def _more_than(name: str, values: NDArray[np.float64]) -> Describe:
    return lambda row: f"more than {name} ({values[row]})"


def _scores(rows: _Rows) -> Checks:
    score = rows.score
    outside = ~((score >= 0) & (score <= 1))
    yield "score", outside, rows.text("score"), _always("0 to 1")
    invented = ~outside & (rows.origin == ORIGINS.index(INTERPOLATED)) & (score != 0)
    yield "score", invented, rows.text("score"), _always("0 where origin is interpolated")
    yield "origin", rows.origin < 0, rows.text("origin"), _always("one of " + ", ".join(ORIGINS))


def _names(rows: _Rows) -> Checks:
    listed = [name for name in rows.metadata.persons if name in PERSONS]
    person, side, frame = rows.person, rows.side, rows.frame.astype(np.int64)
    stranger = (person != NULL) & ~np.isin(person, [PERSONS.index(name) for name in listed])
    yield (
        "person",
        stranger,
        rows.text("person"),
        _always(f"null or one of {', '.join(listed) or 'no persons'}"),
    )
    yield "side", side == UNKNOWN, rows.text("side"), _always("null, left or right")
    yield "side", (side >= 0) & (person == NULL), rows.text("side"), _always("null where person is null")
    for name, code in (("person", person), ("side", side)):
        again = np.zeros(len(frame), np.bool_)
        again[code >= 0] = _repeats((frame * 16 + code)[code >= 0])
        yield name, again, _twice(rows, name), _always("once per frame")


def _twice(rows: _Rows, name: str) -> Describe:
    return lambda r: f"{rows.text(name)(r)} again in frame {rows.frame[r]}"


def _tracks(rows: _Rows) -> Checks:
    named = np.flatnonzero(rows.person >= 0)
    _, first, which = np.unique(rows.track[named], return_index=True, return_inverse=True)
    owner = rows.person.copy()
    owner[named] = rows.person[named][first][which]
    mixed = rows.person != owner
    yield (
        "person",
        mixed,
        rows.text("person"),
        lambda r: f"{PERSONS[owner[r]]} as elsewhere in track {rows.track[r]}",
    )


def _landmarks(rows: _Rows) -> Checks:
    present = as_numpy(rows.table["landmarks"].is_valid())
    bad = present & ~np.isfinite(landmarks(rows.table)).all(axis=1)
    yield "landmarks", bad, rows.text("landmarks"), _always("null or 10 finite numbers")


_RULES: tuple[Rule, ...] = (_order, _frames, _boxes, _scores, _names, _tracks, _landmarks)


def _with_before(compare: np.ufunc, values: NDArray[Any]) -> NDArray[np.bool_]:
    """``compare`` of each row with the one before; False for the first row."""
    found = np.zeros(len(values), np.bool_)
    found[1:] = compare(values[1:], values[:-1])
    return found


def _repeats(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows hold a key that an earlier row holds."""
    again = np.ones(len(keys), np.bool_)
    again[np.unique(keys, return_index=True)[1]] = False
    return again


def metadata_problems(metadata: TrackMetadata) -> list[str]:
    """What is wrong in the metadata itself."""
    video, found = metadata.video, []

    def check(right: bool, key: str, got: Any, expected: str) -> None:
        if not right:
            found.append(f"metadata key {key}: got {got}, expected {expected}")

    check(video.width > 0 and video.height > 0, "video", f"{video.width} x {video.height}", "a size in pixels")
    check(video.rotation in (0, 90, 180, 270), "video.rotation", video.rotation, "0, 90, 180 or 270")
    check(video.time_base > 0, "video.time_base", video.time_base, "more than 0")
    names = metadata.persons
    known = all(name in PERSONS for name in names) and len(set(names)) == len(names)
    check(known, "persons", list(names), f"some of {', '.join(PERSONS)}, each once")
    end = 0
    for place, shot in enumerate(metadata.shots):
        right = end == shot.first_frame <= shot.last_frame < video.frame_count and shot.first_pts <= shot.last_pts
        span = f"{shot.first_frame} to {shot.last_frame}"
        check(right, f"shots[{place}]", span, f"frames from {end} on, below {video.frame_count}")
        end = shot.last_frame + 1
    for place, doubt in enumerate(metadata.suspects):
        key, span = f"suspects[{place}]", f"frames {doubt.first_frame} to {doubt.last_frame}"
        kind_known = doubt.kind in SUSPECT_KINDS or metadata.from_newer_minor
        check(kind_known, key + ".kind", doubt.kind, "one of " + ", ".join(SUSPECT_KINDS))
        state_known = doubt.state in (None, *REVIEW_STATES) or metadata.from_newer_minor
        check(state_known, key + ".state", doubt.state, "null or one of " + ", ".join(REVIEW_STATES))
        check(0 <= doubt.probability <= 1, key + ".probability", doubt.probability, "0 to 1")
        right = 0 <= doubt.first_frame <= doubt.last_frame < video.frame_count and doubt.first_pts <= doubt.last_pts
        check(right, key, span, f"an ascending range below {video.frame_count}")
    return found
