"""CSV files through pyarrow, with errors that name file and column."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
from numpy.typing import NDArray

from ...configs.errors import TrackFileError, TrackFileNotFoundError, TrackFormatError
from ..columns import as_numpy


def write_csv(table: pa.Table, path: Path, *, header: bool) -> None:
    """Write ``table`` with commas; nulls are empty."""
    pc.write_csv(table, path, pc.WriteOptions(include_header=header, quoting_style="needed"))


def read_csv(path: Path, *, header: bool) -> pa.Table:
    """Read a CSV file; without a header, columns are named ``f0``, ``f1`` ...

    Raises:
        TrackFileNotFoundError: There is no such file.
        TrackFormatError: It is no CSV.
        TrackFileError: The system does not let it be read.
    """
    if not path.exists():
        raise TrackFileNotFoundError(f"there is no file {path}", hint="check the path")
    if path.stat().st_size == 0:
        return pa.table({})
    text_columns = {name: pa.string() for name in ("person", "side", "origin")}
    try:
        return pc.read_csv(
            path,
            read_options=pc.ReadOptions(autogenerate_column_names=not header),
            convert_options=pc.ConvertOptions(column_types=text_columns, strings_can_be_null=True),
        )
    except pa.ArrowException as error:
        raise TrackFormatError(f"{path} is not a CSV file", got=error) from error
    except OSError as error:
        raise TrackFileError(f"cannot read {path}", got=error.strerror or error) from error


def column_number(table: pa.Table, column: str | int, where: str) -> NDArray[np.float64]:
    """``(N,)`` float64 values of a column.

    Raises:
        TrackFormatError: It has other than numbers, or lacks some.
    """
    values: Any = table[column]
    try:
        values = values.cast(pa.float64())
    except pa.ArrowException as error:
        raise TrackFormatError(where, got=error, expected="numbers") from error
    if values.null_count:
        raise TrackFormatError(where, got=f"{values.null_count} empty cells", expected="a number in every row")
    return as_numpy(values)
