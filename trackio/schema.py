"""The columns of a track table: the profile ``dft_tracks``.

One row per frame and track, sorted by ``frame_index``, ``track_id``. Any reader of Parquet opens it; what
other tools write back is accepted with plain strings, other dictionary index widths and variable lists, and
brought to :data:`SCHEMA` by :func:`conform`.
"""

import pyarrow as pa

from ..configs.errors import TrackFormatError

PROFILE = "dft_tracks"
VERSION = "1.0"

PERSONS = ("A", "B", "C", "D")
SIDES = ("left", "right")
DETECTED, INTERPOLATED, MANUAL = ORIGINS = ("detected", "interpolated", "manual")
NUM_LANDMARK_VALUES = 10

# int32 indices are what pyarrow's own dictionary_encode() makes; pandas, polars and DuckDB open them.
_NAME = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("track_id", pa.int32(), nullable=False),
        pa.field("person", _NAME),
        pa.field("side", _NAME),
        pa.field("x1", pa.float32(), nullable=False),
        pa.field("y1", pa.float32(), nullable=False),
        pa.field("x2", pa.float32(), nullable=False),
        pa.field("y2", pa.float32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("landmarks", pa.list_(pa.float32(), NUM_LANDMARK_VALUES)),
        pa.field("origin", _NAME, nullable=False),
        pa.field("shot", pa.int32(), nullable=False),
    ]
)


def empty_table() -> pa.Table:
    """A table of the profile without rows."""
    return SCHEMA.empty_table()


def schema_problems(schema: pa.Schema) -> list[str]:
    """What keeps ``schema`` from being the profile, one line per column; further columns are no problem."""
    found = []
    for field in SCHEMA:
        count = len(schema.get_all_field_indices(field.name))
        if count != 1:
            got = "no such column" if count == 0 else f"{count} columns of that name"
            found.append(f"column {field.name}: got {got}, expected one of type {_words(field.type)}")
        elif not _fits(schema.field(field.name).type, field.type):
            got = _words(schema.field(field.name).type)
            found.append(f"column {field.name}: got type {got}, expected {_words(field.type)}")
    return found


def conform(table: pa.Table) -> pa.Table:
    """``table`` in exactly the types of :data:`SCHEMA`, in one chunk; further columns follow unchanged.

    Dictionaries hold their values in order of first appearance, so that equal tables compare equal.

    Raises:
        TrackFormatError: A column is missing, or has a type that does not fit.
    """
    found = schema_problems(table.schema)
    if found:
        raise TrackFormatError(found[0], hint="the columns of a track file are listed in dft/trackio/schema.py")
    extra = [field for field in table.schema if field.name not in SCHEMA.names]
    columns = [_cast(table[field.name], field) for field in SCHEMA]
    columns += [table[field.name] for field in extra]
    made = pa.Table.from_arrays(columns, schema=pa.schema([*SCHEMA, *extra], metadata=table.schema.metadata))
    return made.combine_chunks()


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if pa.types.is_dictionary(field.type):
        return column.cast(pa.string()).combine_chunks().dictionary_encode()
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid as error:  # lists of other lengths; the rest fits by type
        raise TrackFormatError(
            f"column {field.name}", got="lists of other lengths", expected=_words(field.type)
        ) from error


def _fits(got: pa.DataType, expected: pa.DataType) -> bool:
    if pa.types.is_dictionary(expected):
        value = got.value_type if pa.types.is_dictionary(got) else got
        # A column of nulls only has the type null in pandas and Python.
        return _is_text(value) or bool(pa.types.is_null(value))
    if pa.types.is_fixed_size_list(expected):
        if pa.types.is_fixed_size_list(got) and got.list_size != expected.list_size:
            return False
        return _is_list(got) and bool(got.value_type == expected.value_type)
    return bool(got == expected)


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_list(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list))


def _words(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return f"dictionary<{kind.value_type}>"
    if pa.types.is_fixed_size_list(kind):
        return f"fixed_size_list<{kind.value_type}>[{kind.list_size}]"
    return str(kind)
