"""Track tables with known truth."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest

from dft.engines.probe import scan
from dft.trackio.files import write_tracks
from dft.trackio.fingerprint import fingerprint
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


@pytest.fixture
def two_people(media: Any, tmp_path: Path, make_table: Any, make_metadata: Any) -> Callable[..., Path]:
    """A noisy video with a track file beside it, which says where two people are."""

    def make(size: tuple[int, int], num_frames: int, boxes: tuple[Any, Any]) -> Path:
        def noisy(number: int) -> Any:
            shape = size[1] // 10, size[0] // 10, 3
            picture = np.random.default_rng(number).integers(60, 120, shape).astype(np.uint8)
            return np.kron(picture, np.ones((10, 10, 1), np.uint8))

        path: Path = media.write(
            tmp_path / "in.mp4", media.recipe(num_frames=num_frames, size=size, name="in.mp4"), noisy
        )
        index = scan(path)
        with av.open(str(path)) as container:
            time_base = container.streams.video[0].time_base
        metadata = make_metadata(num_frames, size, time_base=time_base, sha256=fingerprint(path))
        rows = [("A", "left", boxes[0]), ("B", "right", boxes[1])]
        write_tracks(path.with_suffix(".tracks.parquet"), make_table(rows, num_frames, index.pts), metadata)
        return path

    return make
