"""CSV with a header: the columns of the track file, for spreadsheets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...configs.errors import TrackFormatError
from ..atomic import atomic_output
from ..columns import UNKNOWN, filled, landmarks, number_array, numbers
from ..files import TrackFile
from ..metadata import VideoRecord
from ..schema import PERSONS, SIDES
from .csv_files import column_number, read_csv, write_csv
from .imported import BYSTANDER, NO_ID, NO_SIDE, Imported, name_codes, untold

_BOX = ("x1", "y1", "x2", "y2")
NEEDED = ("frame_index", *_BOX)
LANDMARKS = ("right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner")
"""In the order of the profile; right and left are the subject's."""


def write_plain(path: Path, track_file: TrackFile, *, overwrite: bool = False) -> None:
    """Write the rows with their times in seconds; of landmarks, x and y have a column each.

    Raises:
        OutputError: The file cannot be written; ``OutputExistsError`` where it exists.
    """
    table = track_file.table
    points = landmarks(table)
    columns = {name: table[name] for name in ("frame_index", "pts")}
    seconds = track_file.metadata.video.seconds_array(numbers(table, "pts"))
    columns["seconds"] = number_array(np.round(seconds, 6), pa.float64())
    columns |= {name: table[name].cast(pa.string()) if name in ("person", "side") else table[name] for name in
                ("track_id", "person", "side", *_BOX, "score")}  # fmt: skip
    columns |= {"origin": table["origin"].cast(pa.string()), "shot": table["shot"]}
    for place, name in enumerate(LANDMARKS):
        for axis, letter in enumerate("xy"):
            values = points[:, 2 * place + axis]
            columns[f"{name}_{letter}"] = number_array(values, pa.float32(), ~np.isnan(values))
    with atomic_output(path, overwrite=overwrite) as temporary:
        write_csv(pa.table(columns), temporary, header=True)


def read_plain(path: Path, video: VideoRecord) -> Imported:
    """Read such a CSV; the columns frame_index, x1, y1, x2, y2 are needed, and track_id, person and side are used.

    Raises:
        TrackFileNotFoundError: There is no such file.
        TrackFormatError: It is no such CSV.
    """
    table = read_csv(path, header=True)
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise TrackFormatError(f"{path}", got=f"no column {missing[0]}", expected=", ".join(NEEDED))
    frame, *corners = (column_number(table, name, f"{path}, column {name}") for name in NEEDED)
    person, side = (_names(table, path, *names) for names in (("person", PERSONS, BYSTANDER), ("side", SIDES, NO_SIDE)))
    claimed = _track_ids(table, path)
    return Imported(
        path=path,
        # rows without a track_id are one track for each person
        track=np.where(claimed == NO_ID, NO_ID - 1 - (person.astype(np.int64) - UNKNOWN), claimed),
        frame_index=frame.astype(np.int64), boxes_xyxy=np.stack(corners, axis=1), claimed_id=claimed,
        person=person, side=side, certain=True, frames=(0, video.frame_count - 1),
    )  # fmt: skip


def _track_ids(table: pa.Table, path: Path) -> NDArray[np.int64]:
    if "track_id" not in table.column_names:
        return np.full(table.num_rows, NO_ID, np.int64)
    column = table["track_id"]
    try:
        return filled(column.cast(pa.int64()), NO_ID)
    except pa.ArrowException as error:
        raise TrackFormatError(f"{path}, column track_id", got=error, expected="whole numbers") from error


def _names(table: pa.Table, path: Path, column: str, names: Sequence[str], nothing: str) -> NDArray[np.int8]:
    if column not in table.column_names:
        return untold(table.num_rows)
    return name_codes(table[column], names, nothing, f"{path}, column {column}")
