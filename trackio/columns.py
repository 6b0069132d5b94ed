"""The columns of a track table as numpy arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .schema import NUM_LANDMARK_VALUES

NULL, UNKNOWN = -1, -2


def numbers(table: pa.Table, name: str) -> NDArray[Any]:
    """``(N,)`` values of a number column without nulls, in the column's own dtype."""
    values: NDArray[Any] = table[name].to_numpy()
    return values


def codes(table: pa.Table, name: str, names: Sequence[str]) -> NDArray[np.int8]:
    """``(N,)`` int8 place of each row's text in ``names``; ``NULL`` for null, ``UNKNOWN`` for other text."""
    column = table[name].cast(pa.string())
    found = pc.index_in(column, value_set=pa.array(names, pa.string())).fill_null(UNKNOWN)
    return np.where(column.is_null().to_numpy(), NULL, found.to_numpy()).astype(np.int8)


def boxes_xyxy(table: pa.Table) -> NDArray[np.float32]:
    """``(N, 4)`` float32 face boxes in displayed pixels, x2 y2 exclusive."""
    return np.stack([numbers(table, name) for name in ("x1", "y1", "x2", "y2")], axis=1)


def landmarks(table: pa.Table) -> NDArray[np.float32]:
    """``(N, 10)`` float32 x,y in pixels in the order of the profile; NaN where null."""
    made = np.full((table.num_rows, NUM_LANDMARK_VALUES), np.nan, np.float32)
    column = table["landmarks"].combine_chunks()
    present = column.is_valid().to_numpy(zero_copy_only=False)
    # flatten() leaves out what lies under nulls
    made[present] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, NUM_LANDMARK_VALUES)
    return made
