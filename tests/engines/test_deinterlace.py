"""Deinterlacing: combs go, times stay, and no picture depends on where decoding began."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.engines.cpu.deinterlace import deinterlaced
from dft.engines.cpu.filters import FilterChain
from dft.engines.cpu.image import plane_view

DARK, BRIGHT = 40, 220


def flagged(luma, field="tff", pixel_format="yuv420p"):
    """A frame of that luma, flagged as two fields (``tff``, ``bff``) or as progressive (``prog``)."""
    height, width = luma.shape
    depth = av.VideoFormat(pixel_format).components[0].bits
    frame = av.VideoFrame(width, height, pixel_format)
    for plane in frame.planes:
        plane_view(plane, depth)[:] = 128 << (depth - 8)
    plane_view(frame.planes[0], depth)[:] = luma.astype(np.uint16) << (depth - 8)
    setter = FilterChain(frame, [("setfield", {"mode": field})], threads=1)
    setter.push(frame)
    return setter.pull()


def moving_bar(number, top_first=True, size=(96, 64)):
    """A bar that moves by 4 pixels from field to field, woven into one picture."""
    luma = np.full(size[::-1], DARK, np.uint8)
    for order in (0, 1):
        left = 4 * (2 * number + order)
        luma[order if top_first else 1 - order :: 2, left : left + 24] = BRIGHT
    return luma


def combs(luma):
    """How much lines differ from both neighbours alike, on average: high where two fields are seen at once."""
    luma = luma.astype(int)
    up, down = luma[1:-1] - luma[:-2], luma[1:-1] - luma[2:]
    return np.where(up * down > 0, np.minimum(abs(up), abs(down)), 0).mean()


def run(frames, first=0):
    return list(deinterlaced(enumerate(frames), first, threads=1))


def luma_of(frame):
    depth = frame.format.components[0].bits
    return plane_view(frame.planes[0], depth).astype(int)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv422p10le"])
@pytest.mark.parametrize("top_first", [True, False])
def test_combs_go_and_the_first_field_stays(pixel_format, top_first):
    woven = [moving_bar(number, top_first) for number in range(8)]
    given_frames = [flagged(luma, "tff" if top_first else "bff", pixel_format) for luma in woven]
    scale = 4 if "10" in pixel_format else 1
    assert all(combs(luma) > 10 for luma in woven)
    made = run(given_frames)
    assert [index for index, _ in made] == list(range(8))
    for number, frame in made:
        luma = luma_of(frame)
        assert combs(luma) / scale < 1
        kept = slice(0 if top_first else 1, None, 2)
        np.testing.assert_array_equal(luma[kept], woven[number][kept].astype(int) * scale)


def test_progressive_pictures_are_handed_on_as_they_are():
    frames = [flagged(moving_bar(number), "prog") for number in range(4)]
    assert [id(frame) for _, frame in run(frames)] == [id(frame) for frame in frames]


@settings(max_examples=60, deadline=None)
@given(flags=st.lists(st.booleans(), min_size=1, max_size=10), data=st.data())
def test_a_picture_depends_on_its_neighbours_alone(flags, data):
    """From any beginning that shows the picture before the first wanted one, and to any end after the next one."""
    rng = np.random.default_rng(len(flags))
    frames = [flagged(rng.integers(0, 256, (32, 32)), "tff" if flag else "prog") for flag in flags]
    whole = dict(run(frames))
    assert list(whole) == list(range(len(frames)))
    first = data.draw(st.integers(0, len(frames) - 1))
    begin, end = data.draw(st.integers(0, max(first - 1, 0))), data.draw(st.integers(first, len(frames) - 1))
    numbered = list(enumerate(frames))[begin : end + 2]
    part = dict(deinterlaced(numbered, first, threads=1))
    for number in range(first, end + 1):
        np.testing.assert_array_equal(luma_of(part[number]), luma_of(whole[number]))


def test_it_looks_one_picture_ahead_and_no_further():
    taken = []

    def frames():
        for number in range(9):
            taken.append(number)
            yield number, flagged(moving_bar(number))

    running = deinterlaced(frames(), 3, threads=1)
    assert next(running)[0] == 3
    assert taken == [0, 1, 2, 3, 4]


def test_short_videos():
    made = run([flagged(moving_bar(number)) for number in range(2)])
    assert len(made) == 2
    assert all(combs(luma_of(frame)) < 1 for _, frame in made)
    alone = moving_bar(0)
    [(_, frame)] = run([flagged(alone)])
    np.testing.assert_array_equal(luma_of(frame), alone)


def test_the_size_changes_midway():
    sizes = [(96, 64)] * 3 + [(97, 63)] * 3 + [(96, 64)] * 2
    made = run([flagged(moving_bar(number % 3, size=size)) for number, size in enumerate(sizes)])
    assert [(frame.width, frame.height) for _, frame in made] == sizes
    assert all(combs(luma_of(frame)) < 1 for _, frame in made)


def test_a_new_start_is_as_good_as_a_neighbour_of_another_size():
    """A picture after the change is what it is as the first one of a video."""
    small, large = flagged(moving_bar(0, size=(64, 48))), [flagged(moving_bar(number)) for number in range(3)]
    after_change, alone = run([small, *large])[1:], run(large)
    for (_, one), (_, other) in zip(after_change, alone, strict=True):
        np.testing.assert_array_equal(luma_of(one), luma_of(other))
