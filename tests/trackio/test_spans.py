from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.trackio.spans import Sightings, merged


def seen_in(frames: Iterable[int]) -> Sightings:
    frames = np.array(list(frames), np.int32)
    return Sightings(frames, frames * 0.5)


def test_gaps_and_runs():
    seen = seen_in([2, 3, 6, 7, 9])
    assert seen.gap_frames().tolist() == [[4, 5], [8, 8]]
    assert seen.gap_seconds().tolist() == [[2.0, 3.0], [4.0, 4.5]]
    assert seen.run_seconds(0.5).tolist() == [[1.0, 2.0], [3.0, 4.0], [4.5, 5.0]]


@pytest.mark.parametrize("frames", [[], [4], [4, 5, 6]], ids=str)
def test_no_gaps(frames):
    assert seen_in(frames).gap_frames().shape == (0, 2)
    assert len(seen_in(frames).run_seconds(0.5)) == (1 if frames else 0)


@given(st.sets(st.integers(0, 60), min_size=1))
def test_gaps_are_exactly_the_missing_frames(frames):
    gaps = [range(first, last + 1) for first, last in seen_in(sorted(frames)).gap_frames()]
    missing = [frame for gap in gaps for frame in gap]
    assert missing == [frame for frame in range(min(frames), max(frames)) if frame not in frames]


def test_merged_joins_what_is_near():
    spans = np.array([[0, 1], [1.05, 2], [3, 4], [4.2, 5]])
    assert merged(spans, 0.1).tolist() == [[0, 2], [3, 4], [4.2, 5]]
    assert merged(spans, 10).tolist() == [[0, 5]]
    assert merged(np.empty((0, 2)), 1).shape == (0, 2)
