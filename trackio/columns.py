"""The columns of a track table as numpy arrays, and back.

pyarrow's own ways between lists or numpy and its arrays import pandas where that is installed, which takes 0.2 s at
every start; buffers do not.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .schema import NUM_LANDMARK_VALUES

NULL, UNKNOWN = -1, -2


def as_numpy(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """``(N,)`` values of numbers, or truth values as bool; what stands under a null is undefined."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_boolean(array.type):
        return as_numpy(array.cast(pa.uint8())).astype(bool)
    dtype = np.dtype(array.type.to_pandas_dtype())  # numpy's, whatever its name says
    if len(array) == 0:
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def filled(column: pa.Array | pa.ChunkedArray, value: int) -> NDArray[np.int64]:
    """``(N,)`` int64 whole numbers, with ``value`` for null."""
    made = np.full(len(column), value, np.int64)
    made[as_numpy(column.is_valid())] = as_numpy(column.drop_null())
    return made


def number_array(values: NDArray[Any], kind: pa.DataType, valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """An array of ``kind`` on the memory of ``values (N,)``, null where not ``valid (N,)``."""
    return pa.Array.from_buffers(kind, len(values), [validity(valid), pa.py_buffer(np.ascontiguousarray(values))])


def text_array(texts: Sequence[str]) -> pa.Array:
    """An array of strings."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(encoded), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def validity(valid: NDArray[np.bool_] | None) -> pa.Buffer | None:
    """Arrow's bitmap of the rows that are not null."""
    return None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))


def numbers(table: pa.Table, name: str) -> NDArray[Any]:
    """``(N,)`` values of a number column without nulls, in the column's own dtype."""
    return as_numpy(table[name])


def codes(table: pa.Table, name: str, names: Sequence[str]) -> NDArray[np.int8]:
    """``(N,)`` int8 place of each row's text in ``names``; ``NULL`` for null, ``UNKNOWN`` for other text."""
    column = table[name].cast(pa.string())
    found = filled(pc.index_in(column, value_set=text_array(names)), UNKNOWN)
    return np.where(as_numpy(column.is_null()), NULL, found).astype(np.int8)


def boxes_xyxy(table: pa.Table) -> NDArray[np.float32]:
    """``(N, 4)`` float32 face boxes in displayed pixels, x2 y2 exclusive."""
    return np.stack([numbers(table, name) for name in ("x1", "y1", "x2", "y2")], axis=1)


def landmarks(table: pa.Table) -> NDArray[np.float32]:
    """``(N, 10)`` float32 x,y in pixels in the order of the profile; NaN where null."""
    made = np.full((table.num_rows, NUM_LANDMARK_VALUES), np.nan, np.float32)
    column = table["landmarks"].combine_chunks()
    present = as_numpy(column.is_valid())
    # flatten() leaves out what lies under nulls
    values = column.flatten()
    known = np.where(as_numpy(values.is_valid()), as_numpy(values), np.nan)
    made[present] = known.reshape(-1, NUM_LANDMARK_VALUES)
    return made
