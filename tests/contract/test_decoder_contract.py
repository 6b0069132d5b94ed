"""What every decoder must do, whatever the file is."""

import numpy as np
import pytest

from dft.engines.protocols import Decoder

NAMES = [
    "closed gop",
    "open gop",
    "intra only",
    "one keyframe",
    "variable rate",
    "variable rate mp4",
    "start offset",
    "transport stream",
    "hevc",
    "vp9",
    "mpeg2",
    "odd size",
    "ten bits",
    "4:4:4",
    "avi",
    "h264 in avi",
    "raw h264",
    "interlaced",
    "interlaced mpeg2",
    "pq",
    "hlg",
    "rotated",
    "with sound",
]


@pytest.fixture(scope="session", params=NAMES)
def recipe(request, media):
    return media.videos[request.param]


@pytest.fixture
def decoder(backend, recipe, media):
    with backend.decoder(recipe, media(recipe)) as made:
        yield made


def test_the_cases_are_all_videos(media):
    assert set(media.videos) == set(NAMES)


def test_it_is_a_decoder(decoder):
    assert isinstance(decoder, Decoder)


def test_every_frame_comes_once_in_order_with_its_time(decoder, backend, recipe):
    frames = list(decoder.frames())
    assert [f.frame_index for f in frames] == list(range(len(recipe.stamps)))
    assert [f.pts for f in frames] == decoder.index.pts.tolist()
    assert [backend.number(f.image) for f in frames] == list(range(len(recipe.stamps)))
    assert decoder.num_corrupt == 0


def test_the_index_tells_the_times_of_the_file(decoder, recipe):
    index = decoder.index
    seconds = (index.pts - index.pts[0]) * float(decoder.info.time_base)
    wanted = (np.array(recipe.stamps) - recipe.stamps[0]) * float(recipe.time_base)
    assert index.pts.dtype == np.int64 and index.keyframe.dtype == np.bool_
    np.testing.assert_allclose(seconds, wanted, atol=1e-6)
    assert index.keyframe[0]
    assert index.end_pts > index.pts[-1]
    assert index.ended_early is None


def test_any_part_equals_the_same_part_of_a_full_run(decoder, backend):
    whole = [(f.frame_index, f.pts, backend.content(f.image)) for f in decoder.frames()]
    num = len(whole)
    for first, end in [(0, 1), (1, 2), (5, 6), (7, 19), (11, 14), (num // 2, num), (num - 1, num), (num - 2, None)]:
        part = [(f.frame_index, f.pts, backend.content(f.image)) for f in decoder.frames(first, end)]
        assert part == whole[first:end], f"frames {first} to {end}"


def test_every_keyframe_can_be_sought(decoder, backend):
    for key in np.flatnonzero(decoder.index.keyframe)[::-1]:
        frame = next(decoder.frames(int(key)))
        assert (frame.frame_index, backend.number(frame.image)) == (key, key)


def test_no_frame_of_an_empty_range(decoder):
    num = len(decoder.index)
    assert [list(decoder.frames(*span)) for span in ((3, 3), (4, 2), (num, None), (num, num + 5))] == [[], [], [], []]


def test_a_range_past_the_end_stops_at_the_end(decoder):
    num = len(decoder.index)
    assert [f.frame_index for f in decoder.frames(num - 3, num + 10)] == [num - 3, num - 2, num - 1]


def test_it_goes_on_after_an_iteration_that_was_left(decoder, backend):
    running = decoder.frames()
    for _ in range(4):
        next(running)
    running.close()
    assert [backend.number(f.image) for f in decoder.frames(2, 6)] == [2, 3, 4, 5]
    held = decoder.frames(9)
    next(held)  # never closed
    assert [backend.number(f.image) for f in decoder.frames(0, 3)] == [0, 1, 2]


def test_images_that_are_kept_do_not_change(decoder, backend):
    """A backend may reuse memory of images that were dropped, never of those still held."""
    kept = [f.image for f in decoder.frames(0, 20)]
    assert [backend.number(image) for image in kept] == list(range(20))


def test_it_can_be_closed_twice_and_midway(decoder):
    running = decoder.frames()
    next(running)
    decoder.close()
    decoder.close()
    running.close()
    decoder.close()


def test_with_closes_it_and_lets_errors_through(backend, media):
    recipe = media.videos["closed gop"]
    with pytest.raises(KeyError, match="mine"), backend.decoder(recipe, media(recipe)) as decoder:
        next(decoder.frames())
        raise KeyError("mine")
    decoder.close()
