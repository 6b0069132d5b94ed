"""Tracks to edit.

Forty frames with uneven time stamps, about 25 a second, and cuts before frames 12 and 25.
"""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dft.trackio.files import TrackFile, write_tracks
from dft.trackio.metadata import DeviceRecord, Shot, Suspect, TrackMetadata, TrackRecord, VideoRecord
from dft.trackio.schema import SCHEMA, conform

FRAMES = 40
CUTS = (0, 12, 25, FRAMES)
PTS = (1000 + np.cumsum(np.tile([40, 40, 17, 63], 10)) - 40).tolist()


def _make(rows, persons=("A", "B"), **settings) -> TrackFile:
    shots = tuple(Shot(a, b - 1, PTS[a], PTS[b - 1]) for a, b in pairwise(CUTS))
    made = [
        {
            "frame_index": frame, "pts": PTS[frame], "track_id": track, "person": person, "side": side,
            "x1": x, "y1": 50.0, "x2": x + 50, "y2": 110.0, "score": 0.5 + track / 100, "landmarks": [x] * 10,
            "origin": "detected", "shot": int(np.searchsorted(CUTS, frame, side="right")) - 1, "mood": f"m{frame}",
        }
        for frame, track, person, side, x in sorted(rows, key=lambda row: row[:2])
    ]  # fmt: skip
    owners = {track: None for _, track, *_ in rows} | {track: who for _, track, who, *_ in rows if who}
    metadata = TrackMetadata(
        video=VideoRecord("ab" * 32, 640, 360, 0, FRAMES, Fraction(1, 1000), Fraction(25), 1.6, PTS[0]),
        persons=persons, models={}, settings=settings, device=DeviceRecord("cpu", "no GPU"), tool_version="0.1.0",
        shots=shots,
        suspects=(Suspect("gap", 3, 4, PTS[3], PTS[4], 0.6), Suspect("cut", 12, 12, PTS[12], PTS[12], 0.2)),
        tracks=tuple(TrackRecord(track, owners[track], None, 1, 1.0) for track in sorted(owners)),
    )  # fmt: skip
    schema = SCHEMA.append(pa.field("mood", pa.string()))
    return TrackFile(Path("in.tracks.parquet"), conform(pa.Table.from_pylist(made, schema=schema)), metadata)


@pytest.fixture(scope="session")
def make_file():
    """Makes a track file in memory of rows ``(frame, track, person, side, x1)`` and settings of the analysis."""
    return _make


@pytest.fixture
def talk_file(make_file):
    """A is track 1, left, without frames 5 to 7; B is track 2, right, to frame 29; a bystander, 7, in frames 3 to 6."""
    rows = [(f, 1, "A", "left", 100.0 + f) for f in range(FRAMES) if f not in (5, 6, 7)]
    rows += [(f, 2, "B", "right", 400.0) for f in range(30)]
    rows += [(f, 7, None, None, 250.0) for f in range(3, 7)]
    return make_file(rows)


@pytest.fixture
def talk_path(talk_file, tmp_path):
    """The same as a file."""
    path = tmp_path / "in.tracks.parquet"
    write_tracks(path, talk_file.table, talk_file.metadata)
    return path
