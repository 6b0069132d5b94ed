"""MOTChallenge CSV: one line per box, ten numbers, and beside it a small file that says who the tracks are.

``frame, id, bb_left, bb_top, bb_width, bb_height, conf, x, y, z`` as https://motchallenge.net/instructions says:
frames, ids and pixels are counted from 1 (as ``motmetrics`` reads them), and x, y, z are -1. Further columns stop some
readers, so persons and sides are in a file of their own (``talk.mot.persons.csv``): for each id and range of frames, in
the numbers of the first file.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...configs.errors import TrackFormatError
from ..atomic import atomic_output
from ..columns import NULL, boxes_xyxy, codes, number_array, numbers, text_array
from ..files import TrackFile
from ..metadata import VideoRecord
from ..schema import DETECTED, ORIGINS, PERSONS, SIDES
from .csv_files import column_number, read_csv, write_csv
from .imported import BYSTANDER, NO_SIDE, Imported, groups, name_codes, untold

_DECIMALS = 3
_FIELDS = ("frame", "id", "bb_left", "bb_top", "bb_width", "bb_height", "conf", "x", "y", "z")
_NUM_NEEDED = 6
_SPAN_FIELDS = ("id", "first_frame", "last_frame", "person", "side")


def persons_path(path: Path) -> Path:
    """Where the persons of the MOT file ``path`` are said: beside ``talk.mot.txt``, ``talk.mot.persons.csv``."""
    return path.with_suffix(".persons.csv")


def write_mot(path: Path, track_file: TrackFile, *, overwrite: bool = False) -> None:
    """Write the MOT file, and the file of persons beside it.

    conf is the score; 1 where a box was not detected, because 0 means in a ground truth that a box does not count.

    Raises:
        OutputError: A file cannot be written; ``OutputExistsError`` where it exists.
    """
    table = track_file.table
    boxes = boxes_xyxy(table).astype(np.float64)
    corners: NDArray[np.float64] = np.concatenate([boxes[:, :2] + 1, boxes[:, 2:] - boxes[:, :2]], axis=1)
    corners = corners.round(_DECIMALS)
    detected = codes(table, "origin", ORIGINS) == ORIGINS.index(DETECTED)
    numbers_of = [
        numbers(table, "frame_index").astype(np.int64) + 1,
        numbers(table, "track_id").astype(np.int64) + 1,
        *(corners[:, place] for place in range(4)),
        np.where(detected, np.round(numbers(table, "score").astype(np.float64), 4), 1.0),
        *([np.full(table.num_rows, -1, np.int64)] * 3),
    ]
    columns = [number_array(v, pa.int64() if v.dtype == np.int64 else pa.float64()) for v in numbers_of]
    with (
        atomic_output(path, overwrite=overwrite) as file,
        atomic_output(persons_path(path), overwrite=overwrite) as beside,
    ):
        write_csv(pa.table(columns, names=_FIELDS), file, header=False)
        write_csv(_spans(track_file), beside, header=True)


def _spans(track_file: TrackFile) -> pa.Table:
    """One row per id and run of rows with one person and side."""
    table = track_file.table
    track, frame = (numbers(table, name).astype(np.int64) for name in ("track_id", "frame_index"))
    person, side = codes(table, "person", PERSONS), codes(table, "side", SIDES)
    order = np.lexsort((frame, track))
    kinds = np.stack([track, person, side], axis=1)[order]
    new = np.flatnonzero(np.any(np.diff(kinds, axis=0) != 0, axis=1)) + 1
    starts, stops = (np.r_[0, new], np.r_[new, len(order)]) if len(order) else (new, new)
    first, last = frame[order[starts]] + 1, frame[order[stops - 1]] + 1
    columns = [number_array(values, pa.int64()) for values in (kinds[starts, 0] + 1, first, last)]
    columns.append(text_array([PERSONS[code] if code != NULL else BYSTANDER for code in kinds[starts, 1].tolist()]))
    columns.append(text_array([SIDES[code] if code != NULL else NO_SIDE for code in kinds[starts, 2].tolist()]))
    return pa.table(columns, names=_SPAN_FIELDS)


def read_mot(path: Path, video: VideoRecord) -> Imported:
    """Read a MOT file, with the file of persons beside it if there is one.

    Where a track has rows outside of the ranges in the file of persons, they are of the person of the nearest range.

    Raises:
        TrackFileNotFoundError: There is no such file.
        TrackFormatError: It is no such CSV, or a row has no id.
    """
    table = read_csv(path, header=False)
    if table.num_columns == 0:  # an empty file says that there are no boxes
        table = pa.table([pa.array([], pa.float64())] * _NUM_NEEDED, names=_FIELDS[:_NUM_NEEDED])
    if table.num_columns < _NUM_NEEDED:
        raise TrackFormatError(
            f"{path} is no MOTChallenge CSV", got=f"{table.num_columns} columns",
            expected=", ".join(_FIELDS), hint="a CSV with a header is told by its column frame_index",
        )  # fmt: skip
    frame, own, left, top, width, height = (
        column_number(table, place, f"{path}, {_FIELDS[place]}") for place in range(_NUM_NEEDED)
    )
    if (own < 1).any():
        raise TrackFormatError(
            f"{path}, row {int(np.flatnonzero(own < 1)[0]) + 1}", got=f"id {own[own < 1][0]:g}", expected="1 or more",
            hint="detections without a track cannot be imported",
        )  # fmt: skip
    boxes = np.stack([left - 1, top - 1, left - 1 + width, top - 1 + height], axis=1)
    track, frame_index = own.astype(np.int64), frame.astype(np.int64) - 1
    person, side = _persons(path, track, frame_index)
    return Imported(
        path=path, track=track, frame_index=frame_index, boxes_xyxy=boxes, claimed_id=track - 1,
        person=person, side=side, certain=False, frames=(0, video.frame_count - 1),
    )  # fmt: skip


def _persons(
    path: Path, track: NDArray[np.int64], frame: NDArray[np.int64]
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Person and side of each row as the file beside ``path`` says them."""
    person, side = untold(len(track)), untold(len(track))
    beside = persons_path(path)
    if not beside.exists():
        return person, side
    table = read_csv(beside, header=True)
    missing = [name for name in _SPAN_FIELDS if name not in table.column_names]
    if missing:
        raise TrackFormatError(f"{beside}", got=f"no column {missing[0]}", expected=", ".join(_SPAN_FIELDS))
    ids, first, last = (column_number(table, name, f"{beside}, {name}").astype(np.int64) for name in _SPAN_FIELDS[:3])
    people = name_codes(table["person"], PERSONS, BYSTANDER, f"{beside}, person")
    sides = name_codes(table["side"], SIDES, NO_SIDE, f"{beside}, side")
    spans_of = {int(ids[spans[0]]): spans for spans in groups(ids)}
    for rows in groups(track):
        spans = spans_of.get(int(track[rows[0]]))
        if spans is not None:
            away = np.maximum(first[spans] - 1 - frame[rows, None], frame[rows, None] - last[spans] + 1)
            nearest = spans[np.argmin(np.maximum(away, 0), axis=1)]
            person[rows], side[rows] = people[nearest], sides[nearest]
    return person, side
