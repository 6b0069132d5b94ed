from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dft.analyze.chunks import plan_chunks
from dft.engines.protocols import FrameIndex


@st.composite
def indices(draw):
    steps = draw(st.lists(st.integers(0, 300), min_size=1, max_size=120))
    keyframe = np.array(draw(st.lists(st.booleans(), min_size=len(steps), max_size=len(steps))), bool)
    keyframe[0] = draw(st.booleans())
    pts = np.cumsum(np.array([draw(st.integers(-500, 5000)), *steps[1:]], np.int64))
    return FrameIndex(pts, keyframe, int(pts[-1]) + 40)


@given(indices(), st.floats(0.5, 5))
def test_chunks_cover_the_video_and_begin_at_keyframes(index, seconds):
    chunks = plan_chunks(index, Fraction(1, 1000), seconds)
    assert [c.number for c in chunks] == list(range(len(chunks)))
    assert [frame for c in chunks for frame in range(c.first, c.end)] == list(range(len(index)))
    assert all(c.end > c.first for c in chunks)
    for before, chunk in pairwise(chunks):
        assert index.keyframe[chunk.first]
        assert (index.pts[chunk.first] - index.pts[before.first]) / 1000 >= seconds
        inside = np.flatnonzero(index.keyframe[before.first : before.end])
        assert (index.pts[before.first + inside] - index.pts[before.first] < seconds * 1000).all(), "the first is taken"


def test_a_chunk_at_every_second_keyframe():
    keyframe = np.arange(100) % 10 == 0  # every 0.4 s
    index = FrameIndex(np.arange(100) * 40, keyframe, 4000)
    assert [(c.first, c.end) for c in plan_chunks(index, Fraction(1, 1000), 0.8)] == [
        (0, 20), (20, 40), (40, 60), (60, 80), (80, 100),
    ]  # fmt: skip
    assert len(plan_chunks(index, Fraction(1, 1000), 60)) == 1
