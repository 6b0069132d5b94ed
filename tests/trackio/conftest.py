"""A small valid track table, made by hand so that its numbers can be checked by hand.

Ten frames at 25 fps, a cut before frame 5. A (track 1, left) is missing in frames 3 and 4, interpolated in 6;
B (track 2, right) is seen in frames 0 to 7; a bystander (track 7) in frames 2 and 3.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest

from dft.trackio.files import TrackFile, write_tracks
from dft.trackio.metadata import DeviceRecord, Shot, Suspect, TrackMetadata, VideoRecord
from dft.trackio.schema import SCHEMA

START_PTS, FRAME_PTS = 1000, 40  # in units of 1/1000 s


def pts_of(frame: int) -> int:
    return START_PTS + FRAME_PTS * frame


def row_of(frame: int, track: int, person: str | None, side: str | None, **changes: Any) -> dict[str, Any]:
    left, height = {1: (100.0, 60.0), 2: (400.0, 80.0)}.get(track, (250.0, 40.0))
    row = {
        "frame_index": frame,
        "pts": pts_of(frame),
        "track_id": track,
        "person": person,
        "side": side,
        "x1": left + frame,
        "y1": 50.0,
        "x2": left + frame + 50,
        "y2": 50.0 + height + frame,
        "score": 0.75,
        "landmarks": [left + k for k in range(10)],
        "origin": "detected",
        "shot": 0 if frame < 5 else 1,
    }
    return row | changes


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    made = []
    for frame in range(10):
        if frame not in (3, 4):
            guessed = {"origin": "interpolated", "score": 0.0, "landmarks": None} if frame == 6 else {}
            made.append(row_of(frame, 1, "A", "left", **guessed))
        if frame < 8:
            made.append(row_of(frame, 2, "B", "right", score=0.5))
        if frame in (2, 3):
            made.append(row_of(frame, 7, None, None))
    return made


@pytest.fixture
def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@pytest.fixture
def metadata() -> TrackMetadata:
    return TrackMetadata(
        video=VideoRecord("ab" * 32, 640, 360, 0, 10, Fraction(1, 1000), Fraction(25), 0.4, START_PTS),
        persons=("A", "B"),
        models={"yunet": "cd" * 32},
        settings={"high_score": 0.6, "detector": "yunet", "threads": None},
        device=DeviceRecord("cpu", "no GPU was found"),
        tool_version="0.1.0",
        shots=(Shot(0, 4, pts_of(0), pts_of(4)), Shot(5, 9, pts_of(5), pts_of(9))),
        suspects=(
            Suspect("cut", 5, 5, pts_of(5), pts_of(5), 0.25),
            Suspect("gap", 3, 4, pts_of(3), pts_of(4), 0.5, "A [left] is away"),
        ),
        notes=("decoded on the CPU",),
    )


@pytest.fixture
def track_file(tmp_path, table, metadata) -> TrackFile:
    path = tmp_path / "in.tracks.parquet"
    write_tracks(path, table, metadata)
    return TrackFile(path, table, metadata)


@pytest.fixture
def with_video(metadata) -> Callable[..., TrackMetadata]:
    """Metadata whose video has other values."""
    return lambda **changes: replace(metadata, video=replace(metadata.video, **changes))
