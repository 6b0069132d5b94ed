"""What is known to be right: where every face really is, read from a corrected track file or a plain table."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..configs.errors import TrackFileError, TrackFileNotFoundError, TrackFormatError
from .columns import boxes_xyxy, codes, numbers
from .files import read_tracks
from .metadata import TrackMetadata
from .schema import PERSONS, PROFILE

_PLAIN = pa.schema(
    [("frame_index", pa.int64()), ("person", pa.string()), *((name, pa.float64()) for name in ("x1", "y1", "x2", "y2"))]
)
_HINT = "a truth is a track file, or a table with the columns " + ", ".join(_PLAIN.names) + " and optionally visible"


@dataclass(frozen=True)
class Truth:
    """Where every face really is; made by :func:`read_truth`.

    Attributes:
        path: Where it was read from.
        table: Columns frame_index int64, person (a main's name, or another or null for a bystander), x1, y1, x2, y2
            float64 pixels, optionally visible bool, and pts int64 if there is metadata. One row per face and frame.
        metadata: Of a track file; None for a plain table, whose frames have the times of the file that is scored.
    """

    path: Path
    table: pa.Table
    metadata: TrackMetadata | None = None


def read_truth(path: Path) -> Truth:
    """Read a truth: a track file, or a plain Parquet table such as ``dft demo`` writes.

    Raises:
        TrackFileNotFoundError: There is no such file.
        TrackFormatError: It is no Parquet file, a column is missing or holds what it should not.
        TrackFileError: The system does not let it be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as source, pq.ParquetFile(source) as file:
            is_tracks = PROFILE.encode() in (file.schema_arrow.metadata or {})
            table = None if is_tracks else file.read()
    except FileNotFoundError as error:
        raise TrackFileNotFoundError(f"there is no truth {path}", hint=_HINT) from error
    except pa.ArrowException as error:
        raise TrackFormatError(f"{path} is not a whole Parquet file", got=error) from error
    except OSError as error:
        if error.errno is None:  # pyarrow's, about what it read; the system's have a number
            raise TrackFormatError(f"{path} is damaged", got=error) from error
        raise TrackFileError(f"cannot read truth {path}", got=error.strerror) from error
    if table is not None:
        return Truth(path, _conformed(path, table))
    track_file = read_tracks(path)
    made = _conformed(path, track_file.table).append_column("pts", track_file.table["pts"])
    return Truth(path, made, track_file.metadata)


def _conformed(path: Path, table: pa.Table) -> pa.Table:
    missing = [name for name in _PLAIN.names if name not in table.column_names]
    if missing:
        got = ", ".join(table.column_names) or "no columns"
        raise TrackFormatError(f"truth {path} lacks {', '.join(missing)}", got=got, expected="these too", hint=_HINT)
    visible = [pa.field("visible", pa.bool_())] if "visible" in table.column_names else []
    fields = [*_PLAIN, *visible]
    made = pa.table({field.name: _column(path, table, field) for field in fields}, schema=pa.schema(fields))
    boxes = boxes_xyxy(made)
    bad = np.flatnonzero(~(np.isfinite(boxes).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)))
    if len(bad):
        got = "x1, y1, x2, y2 = " + ", ".join(f"{value:g}" for value in boxes[bad[0]])
        raise TrackFormatError(f"truth {path}, row {bad[0]}", got=got, expected="finite numbers, x1 < x2 and y1 < y2")
    frame, person = numbers(made, "frame_index"), codes(made, "person", PERSONS)
    mains = np.flatnonzero(person >= 0)
    _, first = np.unique(frame[mains] * len(PERSONS) + person[mains], return_index=True)
    twice = np.delete(mains, first)
    if len(twice):
        got = f"{PERSONS[person[twice[0]]]} again in frame {frame[twice[0]]}"
        raise TrackFormatError(f"truth {path}, row {twice[0]}, column person", got=got, expected="once per frame")
    return made


def _column(path: Path, table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if table.column_names.count(field.name) > 1:
        raise TrackFormatError(f"truth {path}", got=f"several columns {field.name}", expected="one")
    column, where = table[field.name], f"truth {path}, column {field.name}"
    try:
        column = column.cast(field.type)
    except pa.ArrowException as error:
        raise TrackFormatError(where, got=f"type {column.type}", expected=field.type, hint=_HINT) from error
    if column.null_count and field.name != "person":
        raise TrackFormatError(where, got=f"{column.null_count} nulls", expected="a value in every row")
    return column
