"""Track tables with known truth."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dft.trackio.metadata import DeviceRecord, Shot, TrackMetadata, VideoRecord
from dft.trackio.schema import SCHEMA


def table_of(faces: Any, num_frames: int, pts: Any = None) -> pa.Table:
    """One row per frame and face.

    Args:
        faces: (person, side, box) with a box of four numbers, or a function of the frame's index that gives one, or
            None where the face is absent.
        num_frames: Frames.
        pts: Their times; the frame's index if not given.
    """
    rows = []
    for index in range(num_frames):
        for track, (person, side, box) in enumerate(faces):
            found = box(index) if callable(box) else box
            if found is not None:
                x1, y1, x2, y2 = (float(value) for value in found)
                rows.append(
                    {
                        "frame_index": index, "pts": index if pts is None else int(pts[index]), "track_id": track,
                        "person": person, "side": side, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "score": 0.9,
                        "landmarks": None, "origin": "detected", "shot": 0,
                    }
                )  # fmt: skip
    return pa.Table.from_pylist(rows, SCHEMA)


def metadata_of(
    num_frames: int,
    size: tuple[int, int] = (1920, 1080),
    cuts: Any = (),
    *,
    time_base: Any = Fraction(1, 25),
    **more: Any,
) -> TrackMetadata:
    """Metadata of a video of that many frames, with a cut before each frame in ``cuts``."""
    firsts, lasts = [0, *cuts], [*(cut - 1 for cut in cuts), num_frames - 1]
    shots = tuple(Shot(first, last, first, last) for first, last in zip(firsts, lasts, strict=True))
    video = {"sha256": "0" * 64, "rotation": 0, "fps": Fraction(25), "duration_seconds": 1.0, "start_pts": 0, **more}
    record = VideoRecord(width=size[0], height=size[1], frame_count=num_frames, time_base=time_base, **video)
    return TrackMetadata(record, ("A", "B"), {}, {}, DeviceRecord("cpu", "test"), "0", shots, ())


@pytest.fixture(scope="session")
def make_table() -> Callable[..., pa.Table]:
    return table_of


@pytest.fixture(scope="session")
def make_metadata() -> Callable[..., TrackMetadata]:
    return metadata_of


@pytest.fixture(scope="session")
def box() -> Callable[..., tuple[float, float, float, float]]:
    """A face box from its centre and height."""

    def make(x: float, y: float, height: float) -> tuple[float, float, float, float]:
        return x - 0.4 * height, y - height / 2, x + 0.4 * height, y + height / 2

    return make


@pytest.fixture(scope="session")
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
