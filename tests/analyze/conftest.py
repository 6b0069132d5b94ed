"""Tracklets and chains made by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from dft.analyze.identity.chains import Chain
from dft.analyze.identity.tracklets import Tracklet

FPS = 25.0


def box_at(x: float, y: float = 150.0, height: float = 100.0) -> list[float]:
    """A face of four fifths of its height in width, centred at x, y."""
    return [x - 0.4 * height, y - 0.5 * height, x + 0.4 * height, y + 0.5 * height]


def tracklet_of(
    frames: Sequence[int],
    x: Any,
    *,
    y: float = 150.0,
    height: float = 100.0,
    shot: int = 0,
    fps: float = FPS,
    faces: Sequence[tuple[Any, ...]] = (),
    stability: Any = 1.0,
) -> Tracklet:
    """A tracklet whose centre lies at ``x``: one number, one per frame, or a function of the time in seconds.

    ``faces`` are its embeddings: (position among the frames, vector) of quality 1, or (position, vector, quality).
    ``stability`` is one number, or one per frame.
    """
    frame_index = np.array(list(frames), np.int32)
    times = frame_index / fps
    places = [x(t) for t in times] if callable(x) else np.broadcast_to(x, len(times))
    boxes = np.array([box_at(float(place), y, height) for place in places], np.float32).reshape(-1, 4)
    size = len(times)
    embedded = sorted(
        ((int(position), vector, *(quality or [1.0])) for position, vector, *quality in faces), key=lambda face: face[0]
    )
    positions, vectors, qualities = zip(*embedded, strict=True) if embedded else ((), np.zeros((0, 0)), ())
    return Tracklet(
        shot, frame_index, times, boxes, np.full(size, 0.9, np.float32), np.full((size, 10), 5.0, np.float32),
        np.broadcast_to(np.float32(stability), size).copy(),
        np.array(positions, np.intp), np.array(vectors, np.float32), np.array(qualities, np.float32),
    )  # fmt: skip


@pytest.fixture(scope="session")
def box() -> Callable[..., list[float]]:
    return box_at


@pytest.fixture(scope="session")
def tracklet() -> Callable[..., Tracklet]:
    return tracklet_of


@pytest.fixture(scope="session")
def chain() -> Callable[..., Chain]:
    """A chain of one tracklet."""
    return lambda *args, **kwargs: Chain((tracklet_of(*args, **kwargs),))
