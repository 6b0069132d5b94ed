"""Every rule of the profile has a case that breaks it and nothing else."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dft.configs.errors import TrackFormatError
from dft.trackio.metadata import Shot, Suspect
from dft.trackio.schema import SCHEMA, empty_table
from dft.trackio.validate import MAX_PER_RULE, problems, validate


@dataclass
class Broken:
    """Changes of rows by number, and the message that they must cause."""

    label: str
    row: int
    column: str
    message: str
    changes: dict[int, dict[str, Any]] = field(default_factory=dict)


def broken(label, row, message, **values):
    """One row with other values."""
    return Broken(label, row, next(iter(values)), message, {row: values})


# Rows by person and frame: 0 A0, 1 B0, 2 A1, 3 B1, 4 A2, 5 B2, 6 bystander 2, 7 B3, 8 bystander 3, 9 B4,
# 10 A5, 11 B5, 12 A6 (interpolated), 13 B6, 14 A7, 15 B7, 16 A8, 17 A9.
CASES = [
    broken(
        "frames descend",
        17,
        "got 7, expected at least 8",
        frame_index=7,
        pts=1280,
        track_id=3,
        person=None,
        side=None,
    ),
    Broken(
        "tracks descend",
        1,
        "track_id",
        "got 0, expected more than 1",
        {r: {"track_id": 0} for r in (1, 3, 5, 7, 9, 11, 13, 15)},
    ),
    broken("track twice in a frame", 6, "got 2 again in frame 2", track_id=2),
    broken("pts differ within a frame", 1, "got 1001, expected 1000", pts=1001),
    Broken("pts descend", 2, "pts", "got 999, expected at least 1000", {2: {"pts": 999}, 3: {"pts": 999}}),
    broken("frame after the end", 17, "got 10, expected 0 to 9", frame_index=10),
    broken("frame before the start", 0, "got -1, expected 0 to 9", frame_index=-1, pts=960),
    broken("x1 is not a number", 4, "got nan, expected a finite number", x1=float("nan")),
    broken("y2 is infinite", 4, "got inf, expected a finite number", y2=float("inf")),
    broken("x2 before x1", 17, "got 12.5, expected more than x1 (109.0)", x2=12.5),
    broken("y2 equal to y1", 4, "got 50.0, expected more than y1 (50.0)", y2=50.0),
    broken("box far left of the frame", 4, "expected a box in or near the frame", x1=-200.0, x2=-120.0),
    broken("box far below the frame", 4, "ends at 360", y1=500.0, y2=560.0),
    broken("score over 1", 4, "got 1.5, expected 0 to 1", score=1.5),
    broken("score below 0", 4, "got -0.25, expected 0 to 1", score=-0.25),
    broken("score is not a number", 4, "got nan, expected 0 to 1", score=float("nan")),
    broken("score where interpolated", 12, "got 0.5, expected 0 where origin is interpolated", score=0.5),
    broken("unknown origin", 4, "got dreamt, expected one of detected", origin="dreamt"),
    Broken(
        "unknown person",
        6,
        "person",
        "got Z, expected null or one of A, B",
        {6: {"person": "Z"}, 8: {"person": "Z"}},
    ),
    Broken(
        "unlisted person",
        6,
        "person",
        "got C, expected null or one of A, B",
        {r: {"person": "C"} for r in (6, 8)},
    ),
    broken("unknown side", 4, "got top, expected null, left or right", side="top"),
    broken("side without person", 8, "got left, expected null where person is null", side="left"),
    Broken(
        "person twice in a frame",
        8,
        "person",
        "got B again in frame 3, expected once per frame",
        {8: {"person": "B"}, 6: {"track_id": 8}},
    ),
    broken("side twice in a frame", 5, "got left again in frame 2", side="left"),
    broken("track of two persons", 16, "got B, expected A as elsewhere in track 1", person="B"),
    Broken(
        "landmarks not finite",
        4,
        "landmarks",
        "expected null or 10 finite numbers",
        {4: {"landmarks": [1.0] * 9 + [float("inf")]}},
    ),
    Broken(
        "a landmark is null",
        4,
        "landmarks",
        "expected null or 10 finite",
        {4: {"landmarks": [1.0] * 9 + [None]}},
    ),
    broken("unknown shot", 17, "got 2, expected 0 to 1", shot=2),
    broken("negative shot", 17, "got -1, expected 0 to 1", shot=-1),
    broken("wrong shot", 17, "got 0, expected the shot of frame 9", shot=0),
]


def test_the_table_itself_is_valid(table, metadata):
    assert problems(table, metadata) == []
    validate(table, metadata)
    assert problems(empty_table(), metadata) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_each_rule(rows, metadata, case):
    for row, values in case.changes.items():
        rows[row] |= values
    found = problems(pa.Table.from_pylist(rows, schema=SCHEMA), metadata)
    columns = {message.split("column ")[1].split(":")[0] for message in found}
    assert columns == {case.column}, found
    assert len({message.split("expected")[1][:8] for message in found if message.startswith("row")}) == 1, (
        f"more than one rule broken: {found}"
    )
    assert found[0].startswith(f"row {case.row}, column {case.column}: got "), found[0]
    assert case.message in found[0]
    with pytest.raises(TrackFormatError) as caught:
        validate(pa.Table.from_pylist(rows, schema=SCHEMA), metadata)
    assert str(caught.value).startswith(found[0])


@pytest.mark.parametrize("name", [f.name for f in SCHEMA if not f.nullable])
def test_nulls_are_refused_where_a_value_is_needed(table, metadata, name):
    place = SCHEMA.names.index(name)
    values = table[name].to_pylist()
    values[3] = None
    holed = table.set_column(place, pa.field(name, SCHEMA.field(name).type), pa.array(values, SCHEMA.field(name).type))
    assert problems(holed, metadata) == [f"row 3, column {name}: got null, expected a value in every row"]


def test_variable_lists_of_other_lengths_are_named(rows, metadata):
    rows[2]["landmarks"] = [1.0] * 9
    schema = SCHEMA.set(10, pa.field("landmarks", pa.list_(pa.float32())))
    table = pa.Table.from_pylist(rows, schema=schema)
    assert problems(table, metadata) == ["row 2, column landmarks: got 9 numbers, expected null or 10 numbers"]


def test_a_wrong_type_is_one_problem(table, metadata):
    wrong = table.set_column(0, "frame_index", table["frame_index"].cast(pa.int64()))
    assert problems(wrong, metadata) == ["column frame_index: got type int64, expected int32"]
    with pytest.raises(TrackFormatError, match="column frame_index"):
        validate(wrong, metadata)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"x1": -20.0, "x2": 20.0}, id="half out"),
        pytest.param({"x1": -59.0, "x2": -19.0}, id="just out"),
        pytest.param({"side": None}, id="person without side"),
        pytest.param({"landmarks": None}, id="no landmarks"),
        pytest.param({"origin": "manual", "score": 1.0}, id="manual"),
    ],
)
def test_what_is_allowed(rows, metadata, changes):
    rows[4] |= changes
    assert problems(pa.Table.from_pylist(rows, schema=SCHEMA), metadata) == []


def test_equal_pts_of_neighbouring_frames_are_allowed(rows, metadata):
    rows[2]["pts"] = rows[3]["pts"] = rows[0]["pts"]
    assert problems(pa.Table.from_pylist(rows, schema=SCHEMA), metadata) == []


def test_each_rule_names_few_rows_and_counts_all(table, metadata):
    wrong = table.set_column(9, SCHEMA.field("score"), pa.array([2.0] * table.num_rows, pa.float32()))
    found = problems(wrong, metadata)
    assert len(found) == MAX_PER_RULE + 1
    assert found[-1] == f"column score: {table.num_rows - MAX_PER_RULE} more rows like row 0"
    with pytest.raises(TrackFormatError, match=rf"^row 0, column score.*\(and {table.num_rows - 1} more problems\)$"):
        validate(wrong, metadata)


def with_suspect(metadata, *values):
    return replace(metadata, suspects=(Suspect(*values),))


METADATA_CASES = {
    "video:": lambda m: replace(m, video=replace(m.video, width=0)),
    "video.rotation:": lambda m: replace(m, video=replace(m.video, rotation=45)),
    "video.time_base:": lambda m: replace(m, video=replace(m.video, time_base=-m.video.time_base)),
    "persons:": lambda m: replace(m, persons=("A", "B", "A")),
    "shots[1]:": lambda m: replace(m, shots=(m.shots[0], Shot(5, 10, 1200, 1400))),
    "suspects[0].kind:": lambda m: with_suspect(m, "ghost", 1, 2, 1040, 1080, 0.5),
    "suspects[0].probability:": lambda m: with_suspect(m, "gap", 1, 2, 1040, 1080, 1.5),
    "suspects[0]:": lambda m: with_suspect(m, "gap", 2, 1, 1080, 1080, 0.5),
}


@pytest.mark.parametrize("key", METADATA_CASES)
def test_each_rule_of_the_metadata(table, metadata, key):
    found = problems(table, METADATA_CASES[key](metadata))
    (message,) = [line for line in found if line.startswith("metadata")]  # a wrong size leaves boxes outside, too
    assert message.startswith(f"metadata key {key} got ")


def test_overlapping_shots_are_refused(table, metadata):
    found = problems(table, replace(metadata, shots=(metadata.shots[0], Shot(4, 9, 1160, 1360))))
    assert found == ["metadata key shots[1]: got 4 to 9, expected frames from 5 on, below 10"]


def test_rows_without_shots_are_refused(table, metadata):
    assert problems(table, replace(metadata, shots=()))[0].startswith("row 0, column shot: got 0")


def test_a_newer_minor_version_may_know_other_suspects(table, metadata):
    strange = with_suspect(metadata, "ghost", 1, 2, 1040, 1080, 0.5)
    assert problems(table, replace(strange, version="1.4")) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixture is not changed
@given(data=st.data())
def test_rows_in_any_wrong_order_are_found(metadata, data):
    metadata = replace(metadata, shots=(Shot(0, 9, 0, 360),), suspects=())
    frames = np.repeat(np.arange(6), 3)
    count = len(frames)
    order = data.draw(st.permutations(range(count)).filter(lambda o: o != list(range(count))))
    made = build(frames, np.tile([1, 2, 5], 6))
    assert problems(made, metadata) == []
    found = problems(made.take(order), metadata)
    assert any("column frame_index" in message or "column track_id" in message for message in found)


def build(frames, tracks):
    """Bystanders at ``frames`` with ``tracks``."""
    count = len(frames)
    columns = {
        "frame_index": frames.astype(np.int32),
        "pts": frames.astype(np.int64) * 40,
        "track_id": np.asarray(tracks, np.int32),
        "person": pa.nulls(count, pa.string()),
        "side": pa.nulls(count, pa.string()),
        **{
            name: np.full(count, value, np.float32)
            for name, value in zip(("x1", "y1", "x2", "y2"), (1, 2, 30, 40), strict=True)
        },
        "score": np.full(count, 0.5, np.float32),
        "landmarks": pa.nulls(count, pa.list_(pa.float32(), 10)),
        "origin": pa.array(["detected"] * count),
        "shot": np.zeros(count, np.int32),
    }
    return pa.table(columns)


def test_a_long_table_is_checked_quickly(with_video):
    frames = np.repeat(np.arange(200_000), 2)
    metadata = replace(with_video(frame_count=200_000), shots=(Shot(0, 199_999, 0, 199_999 * 40),), suspects=())
    started = time.perf_counter()
    validate(build(frames, np.tile([1, 2], 200_000)), metadata)
    assert time.perf_counter() - started < 5
