"""The encoders: pictures, tags, options and errors. Times in the finished video are those of ``test_join.py``."""

import os
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import av
import av.error
import numpy as np
import pytest

from dft.configs.errors import DftError, EngineError, MemoryFullError
from dft.engines.cpu.encode import LIBRARIES, PyAvEncoder
from dft.engines.cpu.image import YuvImage, empty, lying_in
from dft.engines.cpu.priority import THREADS
from dft.engines.protocols import Colour, EncodeOptions

CODECS = sorted(LIBRARIES)


def options(time_base=Fraction(1, 90), **changes):
    chosen = {"fps": Fraction(20), "colour": Colour(1, 1, 1), "preset": "medium", "crf": 20, "threads": 2, **changes}
    return EncodeOptions(96, 64, time_base, **chosen)


def canvas(luma=100, u=90, v=160, noise=None, depth=8):
    kind, scale = (np.uint8, 1) if depth == 8 else (np.uint16, 4)
    y = np.full((64, 96), luma * scale, kind)
    if noise is not None:
        y = np.random.default_rng(noise).integers(0, 255 * scale, (64, 96), kind)
    u, v = (np.full((32, 48), value * scale, kind) for value in (u, v))
    return YuvImage(y, u, v, Colour(1, 1, 1))


def encode(path, num_frames=12, *, noise=False, **changes):
    with PyAvEncoder(path, options(**changes)) as encoder:
        for number in range(num_frames):
            picture = canvas(20 + 15 * number, noise=number if noise else None, depth=changes.get("depth", 8))
            encoder.write(picture, 100 + 3 * number)
        encoder.finish()
    return path


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("codec", CODECS)
def test_pictures_come_back_as_they_were(tmp_path, codec, depth):
    pictures = decoded(encode(tmp_path / "v.mp4", codec=codec, depth=depth))
    assert len(pictures) == 12
    for number, planes in enumerate(pictures):
        levels = planes.astype(float) / (1 if depth == 8 else 4)
        y, u, v = levels[:64], levels[64:80], levels[80:]
        assert np.abs(y - (20 + 15 * number)).max() <= 2
        assert np.abs(u - 90).max() <= 2 and np.abs(v - 160).max() <= 2


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("codec", CODECS)
def test_it_is_what_was_asked_for(tmp_path, codec, depth):
    with av.open(str(encode(tmp_path / "v.mp4", codec=codec, depth=depth))) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        keys = [packet.is_keyframe for packet in av.open(container.name).demux(video=0) if packet.size]
    assert stream.codec_context.codec.canonical_name == codec
    assert frame.format.name == {8: "yuv420p", 10: "yuv420p10le"}[depth]
    assert (frame.width, frame.height, stream.sample_aspect_ratio) == (96, 64, 1)
    assert keys == [True] + 11 * [False]  # can be decoded without any other file


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "colour", [Colour(1, 1, 1, False), Colour(6, 6, 6, False), Colour(9, 9, 16, False), Colour(5, 5, 6, True)]
)
def test_colour_tags_are_kept(tmp_path, colour, codec):
    with av.open(str(encode(tmp_path / "v.mp4", codec=codec, colour=colour))) as container:
        frame = next(container.decode(video=0))
    tags = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range == 2)
    assert tags == (colour.matrix, colour.primaries, colour.transfer, colour.full_range)


def test_rgb_is_never_claimed(tmp_path):
    with av.open(str(encode(tmp_path / "v.mp4", colour=Colour(0, 1, 13, True)))) as container:
        frame = next(container.decode(video=0))
    assert (int(frame.colorspace), int(frame.color_range)) == (1, 1)


def test_rate_settings_reach_x264(tmp_path):
    by_quality = encode(tmp_path / "q.mp4", noise=True, crf=31, preset="fast").read_bytes()
    by_rate = encode(tmp_path / "r.mp4", noise=True, bitrate=123_000).read_bytes()
    assert b"crf=31.0" in by_quality and b"subme=6" in by_quality
    assert b"rc=abr" in by_rate and b"bitrate=123" in by_rate


@pytest.mark.parametrize("codec", CODECS)
def test_a_better_rate_is_larger(tmp_path, codec):
    good, poor = (encode(tmp_path / f"{crf}.mp4", noise=True, codec=codec, crf=crf).stat().st_size for crf in (15, 45))
    assert good > 1.5 * poor


@pytest.mark.skipif(not THREADS.exists(), reason="threads are found by way of /proc")
@pytest.mark.parametrize("codec", CODECS)
def test_an_encoder_leaves_the_machine_to_others_too(tmp_path, codec):
    """SVT-AV1 makes real-time threads, and one of its caller, where it may."""
    with PyAvEncoder(tmp_path / "v.mp4", options(codec=codec)) as encoder:
        encoder.write(canvas(), 0)
        policies = {os.sched_getscheduler(int(thread.name)) for thread in THREADS.iterdir()}
    assert policies == {os.SCHED_OTHER}


def test_pts_must_ascend(tmp_path):
    with PyAvEncoder(tmp_path / "v.mp4", options()) as encoder:
        encoder.write(canvas(), 5)
        with pytest.raises(EngineError, match="out of order"):
            encoder.write(canvas(), 5)


def test_options_that_x264_refuses_are_an_error_of_ours(tmp_path):
    with pytest.raises(DftError):
        PyAvEncoder(tmp_path / "v.mp4", options(preset="warp"))


def test_a_canvas_is_encoded_from_where_it_lies(tmp_path):
    """A compositor's canvas is not copied; an image that only borrows a frame's memory is not taken for it."""
    made = empty(64, 48, Colour())
    for plane, value in zip((made.y, made.u, made.v), (90, 100, 110), strict=True):
        plane.fill(value)
    changed = replace(made, y=np.full((48, 64), 200, np.uint8))
    path = tmp_path / "out.mp4"
    with PyAvEncoder(
        path, EncodeOptions(64, 48, Fraction(1, 25), Fraction(25), Colour(), preset="ultrafast", crf=1)
    ) as encoder:
        encoder.write(made, 0)
        encoder.write(changed, 1)
        encoder.finish()
    with av.open(str(path)) as container:
        levels = [float(frame.to_ndarray(format="yuv420p")[:48].mean()) for frame in container.decode(video=0)]
    assert levels == pytest.approx([90, 200], abs=2)


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("codec", CODECS)
def test_memory_of_the_caller_s_may_be_written_again_once_a_picture_is_taken(tmp_path, codec, depth):
    """Though the encoder holds pictures back: it has copies of them."""
    values = np.zeros(64 * 96 * 3 // 2, np.uint8 if depth == 8 else np.uint16)
    image = lying_in(values, 96, 64, Colour(1, 1, 1))
    assert (image.y.shape, image.u.shape, image.depth) == ((64, 96), (32, 48), depth)
    levels = [20 + 15 * (7 * number % 15) for number in range(40)]  # never near the one before
    with PyAvEncoder(tmp_path / "v.mp4", options(codec=codec, depth=depth)) as encoder:
        for number, level in enumerate(levels):
            image.y.fill(level << (depth - 8))
            image.u.fill(90 << (depth - 8))
            image.v.fill(160 << (depth - 8))
            encoder.write(image, number)
            values.fill(0)
        encoder.finish()
    got = [float(planes.astype(float)[:64].mean()) / 2 ** (depth - 8) for planes in decoded(tmp_path / "v.mp4")]
    assert got == pytest.approx(levels, abs=2)


def test_an_encoder_that_fails_is_no_fault_of_the_file_s(tmp_path, monkeypatch):
    """A card's memory that is used up, say, is no full disk."""

    def failing(_):
        raise av.error.MemoryError(12, "Cannot allocate memory")

    with PyAvEncoder(tmp_path / "v.mp4", options()) as encoder:
        stream = SimpleNamespace(codec_context=encoder._stream.codec_context, encode=failing)
        monkeypatch.setattr(encoder, "_stream", stream)
        with pytest.raises(MemoryFullError, match="the encoder libx264 fails; got Cannot allocate memory"):
            encoder.write(canvas(), 5)
