"""Random track files: up to four tracks with gaps, sub-pixel boxes, bystanders, sides that change at a cut."""

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from dft.trackio.files import TrackFile
from dft.trackio.metadata import DeviceRecord, Shot, TrackMetadata, VideoRecord
from dft.trackio.schema import SCHEMA, conform
from dft.trackio.validate import validate

WIDTH, HEIGHT = 640, 360


def metadata_of(frame_count: int, cut: int) -> TrackMetadata:
    shots = [(0, frame_count - 1)] if not 0 < cut < frame_count else [(0, cut - 1), (cut, frame_count - 1)]
    return TrackMetadata(
        video=VideoRecord("ab" * 32, WIDTH, HEIGHT, 0, frame_count, Fraction(1, 25), Fraction(25), frame_count / 25, 0),
        persons=("A", "B"), models={}, settings={}, device=DeviceRecord("cpu", "test"), tool_version="0",
        shots=tuple(Shot(first, last, first, last) for first, last in shots), suspects=(),
    )  # fmt: skip


def row_of(frame: int, track: int, box: Any, person: str | None, side: str | None, cut: int = 0) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(np.float32(value)) for value in box)
    return {
        "frame_index": frame, "pts": frame, "track_id": track, "person": person, "side": side,
        "x1": x1, "y1": y1, "x2": x2, "y2": y2, "score": 0.5, "landmarks": [x1 + k for k in range(10)],
        "origin": "detected", "shot": int(0 < cut <= frame),
    }  # fmt: skip


def file_of(path: Any, rows: list[dict[str, Any]], frame_count: int, cut: int = 0) -> TrackFile:
    rows = sorted(rows, key=lambda row: (row["frame_index"], row["track_id"]))
    table = conform(pa.Table.from_pylist(rows, schema=SCHEMA))
    metadata = metadata_of(frame_count, cut)
    validate(table, metadata)
    return TrackFile(path, table, metadata)


@st.composite
def track_files(draw: Any) -> TrackFile:
    frame_count = draw(st.integers(1, 30))
    cut = draw(st.integers(0, frame_count - 1))
    turned = draw(st.booleans())
    ids = draw(st.lists(st.integers(0, 500), min_size=1, max_size=4, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = []
    for place, track in enumerate(ids):
        person = (["A", "B", None, None])[place]
        frames = draw(st.sets(st.integers(0, frame_count - 1)))
        jitter = draw(st.sampled_from([0.0, 0.3, 30.0]))
        corner = rng.uniform(0, 250, 2)
        for frame in sorted(frames):
            left, top = corner + np.array([frame * 0.7, frame * 0.3]) + rng.uniform(0, jitter + 1e-9, 2)
            size = rng.uniform(40, 40 + jitter + 1e-9, 2)
            swapped = turned and frame >= cut
            side = None if person is None else "left" if (person == "A") != swapped else "right"
            rows.append(row_of(frame, track, (left, top, left + size[0], top + size[1]), person, side, cut))
    return file_of("in.tracks.parquet", rows, frame_count, cut)


@pytest.fixture(scope="session")
def any_tracks() -> st.SearchStrategy[TrackFile]:
    return track_files()


@pytest.fixture(scope="session")
def make_tracks() -> Any:
    """``make_tracks(rows, frame_count)``, and ``make_tracks.row(...)``."""

    def make(rows: list[dict[str, Any]], frame_count: int, cut: int = 0, path: Any = "in.tracks.parquet") -> TrackFile:
        return file_of(path, rows, frame_count, cut)

    make.row = row_of  # type: ignore[attr-defined]
    return make
