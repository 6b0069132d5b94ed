"""From a track file and the operations in effect to the corrected track file."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..columns import number_array, text_array
from ..files import TrackFile
from ..metadata import TrackMetadata
from ..schema import ORIGINS, PERSONS, SCHEMA, SIDES, conform
from .actions import do
from .operations import Operation
from .rows import NO_ROW, Rows


def replay(track_file: TrackFile, operations: Sequence[Operation]) -> TrackFile:
    """The tracks after ``operations``: always the same for the same file and operations.

    Without any, the file itself. Its metadata then has the persons, the tracks' persons, the states of suspects and
    the hash of the operations.

    Raises:
        EditError: An operation cannot be done on what those before it have left.
    """
    rows = Rows(track_file)
    for operation in operations:
        do(rows, operation)
    return result(track_file, rows, operations)


def digest(operations: Iterable[Operation]) -> str:
    """SHA-256, in hex, of operations: of their JSON objects with sorted keys, one a line.

    What has been undone, authors and times do not count, so tracks that are the same have the same hash.
    """
    lines = [json.dumps(operation.as_dict(), sort_keys=True) for operation in operations]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def result(track_file: TrackFile, rows: Rows, operations: Sequence[Operation]) -> TrackFile:
    """The track file that ``rows`` make, after ``operations`` on those of ``track_file``."""
    if not operations:
        return track_file
    return TrackFile(track_file.path, _table(track_file, rows), _metadata(track_file.metadata, rows, operations))


def _metadata(metadata: TrackMetadata, rows: Rows, operations: Sequence[Operation]) -> TrackMetadata:
    persons = rows.persons()
    named = {*metadata.persons, *persons.values()}
    states = zip(metadata.suspects, rows.suspects, strict=True)
    return replace(
        metadata,
        persons=metadata.persons + tuple(n for n in PERSONS if n in named and n not in metadata.persons),
        suspects=tuple(replace(suspect, state=state) for suspect, state in states),
        tracks=tuple(
            replace(track, person=persons[track.track_id]) for track in metadata.tracks if track.track_id in persons
        ),
        edits_sha256=digest(operations),
    )


def _table(track_file: TrackFile, rows: Rows) -> pa.Table:
    """The rows as a table of the profile, with the further columns of the file that they are from."""
    base, alive = track_file.table, rows.find()
    shown = rows.shown(alive)
    order = np.lexsort((shown, rows.frame[alive]))
    chosen, shown = alive[order], shown[order]
    frame, boxes, source = rows.frame[chosen], rows.boxes[chosen], rows.source[chosen]
    columns = {
        "frame_index": number_array(frame, pa.int32()),
        "pts": number_array(rows.times.pts[frame], pa.int64()),
        "track_id": number_array(shown.astype(np.int32), pa.int32()),
        "person": _names(rows.person[chosen], PERSONS),
        "side": _names(rows.side[chosen], SIDES),
        **{name: number_array(boxes[:, place], pa.float32()) for place, name in enumerate(("x1", "y1", "x2", "y2"))},
        "score": number_array(rows.score[chosen], pa.float32()),
        "landmarks": _taken(base["landmarks"], source, rows.seen[chosen]),
        "origin": _names(rows.origin[chosen], ORIGINS),
        "shot": number_array(rows.times.shot[frame], pa.int32()),
    }
    table = pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
    for item in base.schema:
        if item.name not in SCHEMA.names:
            table = table.append_column(item.with_nullable(True), _taken(base[item.name], source, source != NO_ROW))
    return conform(table.replace_schema_metadata(base.schema.metadata))


def _names(values: NDArray[np.int8], names: Sequence[str]) -> pa.Array:
    places = number_array(values.astype(np.int32), pa.int32(), values >= 0)
    return pa.DictionaryArray.from_arrays(places, text_array(names))


def _taken(column: pa.ChunkedArray, source: NDArray[np.int32], valid: NDArray[np.bool_]) -> pa.Array:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.take(array, number_array(source, pa.int32(), valid))
