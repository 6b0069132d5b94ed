"""Tracklets and chains made by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from dft.analyze.chains import Chain
from dft.analyze.tracklets import Tracklet

FPS = 25.0


def box_at(x: float, y: float = 150.0, height: float = 100.0) -> list[float]:
    """A face of four fifths of its height in width, centred at x, y."""
    return [x - 0.4 * height, y - 0.5 * height, x + 0.4 * height, y + 0.5 * height]


def tracklet_of(
    frames: Sequence[int], x: Any, *, y: float = 150.0, height: float = 100.0, shot: int = 0, fps: float = FPS
) -> Tracklet:
    """A tracklet whose centre lies at ``x``: one number, one per frame, or a function of the time in seconds."""
    frame_index = np.array(list(frames), np.int32)
    times = frame_index / fps
    places = [x(t) for t in times] if callable(x) else np.broadcast_to(x, len(times))
    boxes = np.array([box_at(float(place), y, height) for place in places], np.float32)
    size = len(times)
    return Tracklet(
        shot, frame_index, times, boxes, np.full(size, 0.9, np.float32), np.full((size, 10), 5.0, np.float32)
    )


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
