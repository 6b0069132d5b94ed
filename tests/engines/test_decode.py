"""Damage: what is broken is left out and counted, and no foreign error escapes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dft.configs.errors import DftError
from dft.engines.cpu.decode import PyAvDecoder

CASES = {
    "mp4": {"name": "v.mp4", "container_options": (("movflags", "faststart"),)},
    "mkv": {"name": "v.mkv"},
    "ts": {"name": "v.ts"},
    "raw": {"name": "v.h264"},
    "h264 in avi": {"name": "v.avi"},
    "mpeg4": {"name": "v.avi", "codec": "mpeg4", "options": (("g", "12"), ("bf", "2"))},
}


def decoded(path):
    """All frames of a damaged file, or its error; anything but a DftError fails the test."""
    try:
        with PyAvDecoder(path, 2) as decoder:
            return decoder, list(decoder.frames())
    except DftError as error:
        assert "\n" not in str(error) and path.name in str(error)
        return None, []


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage(media, tmp_path, case, data):
    original = media("closed gop", **CASES[case])
    content = bytearray(original.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(len(content) // 8, len(content) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=200))
        content[at : at + len(piece)] = piece
    path = tmp_path / original.name
    path.write_bytes(content)
    decoder, frames = decoded(path)
    if decoder is None:
        return
    indices = [f.frame_index for f in frames]
    assert indices == sorted(set(indices))
    assert all(0 <= i < len(decoder.index) for i in indices)
    assert [f.pts for f in frames] == decoder.index.pts[indices].tolist()
    assert (np.diff(decoder.index.pts) >= 0).all()
    for frame in frames:
        assert (frame.image.width, frame.image.height) == (96, 64)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_any_truncation(media, tmp_path, case, share):
    original = media("closed gop", **CASES[case])
    content = original.read_bytes()
    path = tmp_path / original.name
    path.write_bytes(content[: int(share * len(content))])
    _, frames = decoded(path)
    indices = [f.frame_index for f in frames]
    assert indices == sorted(set(indices))


def test_damaged_packets_are_counted_and_the_others_come(media, tmp_path):
    """Three packets in the middle of an all-intra file are overwritten: those frames are lost, no other."""
    import av

    original = media("intra only", name="v.mp4")
    content = bytearray(original.read_bytes())
    with av.open(str(original)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    lost = [10, 20, 21]
    for number in lost:
        at, size = places[number]
        content[at : at + size] = b"\xff" * size
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with PyAvDecoder(path, 2) as decoder:
        frames = list(decoder.frames())
        assert [f.frame_index for f in frames] == [i for i in range(50) if i not in lost]
        assert [media.read_number(f.image.y) for f in frames] == [f.frame_index for f in frames]
        assert decoder.num_corrupt == len(lost)
        assert [f.frame_index for f in decoder.frames(19, 23)] == [19, 22]


def test_a_file_that_shrinks_while_it_is_read(media, tmp_path):
    path = tmp_path / "v.mp4"
    content = media("closed gop", num_frames=400, size=(320, 180), container_options=CASES["mp4"]["container_options"])
    path.write_bytes(content.read_bytes())
    with PyAvDecoder(path, 2) as decoder:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        indices = [f.frame_index for f in decoder.frames()]
        assert 0 < len(indices) < 400 and indices == sorted(set(indices))


def test_a_file_that_vanishes(media, tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(media("closed gop").read_bytes())
    with PyAvDecoder(path, 2) as decoder:
        path.unlink()
        with pytest.raises(DftError, match=r"there is no video .*v\.mp4"):
            list(decoder.frames())


def test_the_size_changes_midway(media, tmp_path):
    """As in broadcasts: every frame has the size that was told at the start."""
    small, large = (media(media.videos["closed gop"], name="v.ts", size=size) for size in ((96, 64), (192, 128)))
    path = tmp_path / "v.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with PyAvDecoder(path, 2) as decoder:
        frames = list(decoder.frames())
    assert len(frames) >= 50
    assert {(f.image.width, f.image.height) for f in frames} == {(decoder.info.width, decoder.info.height)}
