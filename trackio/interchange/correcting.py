"""The base's table with an imported file's corrections."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...configs.errors import TrackFormatError
from ..columns import NULL, number_array, numbers, text_array
from ..edits.times import FrameTimes
from ..files import TrackFile
from ..schema import MANUAL, PERSONS, SCHEMA, SIDES, conform
from .formats import MIN_TOLERANCE
from .imported import Imported
from .keyframes import KeyframeChoice, TrackRows
from .matching import NONE, BaseRows, Match, match

_BOX = ("x1", "y1", "x2", "y2")


def correct(base: TrackFile, imported: Imported, tolerance: float = MIN_TOLERANCE) -> TrackFile:
    """``base`` as the imported file says it should be.

    A box that lies where it was exported, to within the tolerance, stays as it is, with score and landmarks; so does
    one between keyframes that CVAT has interpolated. A box that differs, or is new, has the origin manual, no landmarks
    and the score 0. Persons and sides are those of the file. Rows of the base that the file does not have are left out,
    within the frames that it speaks of.

    A track may have more than one person in the result: that is what the corrections say, and replaying them sorts it.

    Args:
        base: The tracks that were exported.
        imported: The file.
        tolerance: Pixels by which a coordinate may differ.

    Raises:
        TrackFormatError: The file cannot be of this video, or has a person or a side twice in a frame.
    """
    imported.check(base.metadata.video)
    rows = BaseRows.of(base.table)
    found = match(rows, imported)
    _refuse_twice(found.person, PERSONS, "two boxes of person", imported)
    _refuse_twice(found.side, SIDES, "two persons on the side", imported)
    shown = TrackRows.of(rows).shown(KeyframeChoice.parse(imported.keyframes))
    moved = found.row == NONE
    there = np.flatnonzero(~moved)
    away = np.minimum(_apart(imported, shown, there, found), _apart(imported, rows.boxes, there, found))
    moved[there] = away > tolerance
    first, last = imported.frames
    outside = np.flatnonzero((rows.frame < first) | (rows.frame > last))
    table = pa.concat_tables([_kept(base, outside), _changed(base, imported, found, moved)])
    order = np.lexsort((numbers(table, "track_id"), numbers(table, "frame_index")))
    return TrackFile(base.path, conform(table.take(number_array(order, pa.int64()))), base.metadata)


def _apart(
    imported: Imported, boxes: NDArray[np.float64], there: NDArray[np.intp], found: Match
) -> NDArray[np.float64]:
    """``(M,)`` largest difference of a coordinate between the rows ``there (M,)`` and the boxes that they are."""
    apart: NDArray[np.float64] = np.abs(imported.boxes_xyxy[there] - boxes[found.row[there]]).max(axis=1, initial=0)
    return apart


def _refuse_twice(codes: NDArray[np.int8], names: tuple[str, ...], what: str, imported: Imported) -> None:
    named = np.flatnonzero(codes >= 0)
    keys = imported.frame_index[named] * len(names) + codes[named]
    values, counts = np.unique(keys, return_counts=True)
    again = values[counts > 1]
    if len(again) == 0:
        return
    frame, name = int(again[0]) // len(names), names[int(again[0]) % len(names)]
    frames = np.unique(again // len(names))
    raise TrackFormatError(
        f"{imported.path}: {what} {name} in frame {frame} (from 0)",
        got=f"such a clash in {len(frames)} frames, the last of them {frames[-1]}" if len(frames) > 1 else None,
        expected="one", hint="correct it there, and import again",
    )  # fmt: skip


def _plain(table: pa.Table) -> pa.Table:
    """The columns of the profile with names as plain strings, which tables can be joined by."""
    columns = [table[f.name].cast(pa.string()) if pa.types.is_dictionary(f.type) else table[f.name] for f in SCHEMA]
    return pa.table(columns, names=SCHEMA.names)


def _kept(base: TrackFile, rows: NDArray[np.intp]) -> pa.Table:
    return _plain(base.table).take(number_array(rows.astype(np.int64), pa.int64()))


def _changed(base: TrackFile, imported: Imported, found: Match, moved: NDArray[np.bool_]) -> pa.Table:
    """The imported rows in the columns of the profile; what a box that was not moved has beside it is the base's."""
    still = _plain(base.table).take(number_array(found.row.astype(np.int64), pa.int64(), ~moved))
    times = FrameTimes(base)
    frame = imported.frame_index
    columns = {
        "frame_index": number_array(frame.astype(np.int32), pa.int32()),
        "pts": number_array(times.pts[frame], pa.int64()),
        "track_id": number_array(found.track_id.astype(np.int32), pa.int32()),
        "person": _texts(found.person, PERSONS),
        "side": _texts(found.side, SIDES),
        "score": still["score"].fill_null(0.0),
        "landmarks": still["landmarks"],
        "origin": still["origin"].fill_null(MANUAL),
        "shot": number_array(times.shot[frame], pa.int32()),
    }
    for place, name in enumerate(_BOX):
        columns[name] = pc.coalesce(
            still[name], number_array(imported.boxes_xyxy[:, place].astype(np.float32), pa.float32())
        )
    return pa.table({name: columns[name] for name in SCHEMA.names})


def _texts(codes: NDArray[np.int8], names: tuple[str, ...]) -> pa.Array:
    """Names of ``codes``, null for ``NULL``."""
    return text_array(names).take(number_array(codes.astype(np.int64), pa.int64(), codes != NULL))
