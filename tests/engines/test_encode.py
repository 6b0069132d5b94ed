"""The x264 encoder: time stamps, tags, containers and errors."""

import struct
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dft.configs.errors import DftError, EngineError, OutputError, SettingError, VideoError
from dft.engines.cpu.encode import LibX264Encoder
from dft.engines.cpu.image import YuvImage, empty
from dft.engines.protocols import Colour, EncodeOptions

VARIABLE = [0, 3, 4, 9, 10, 20, 21, 22, 30, 31, 40, 55]
END = 70


def options(time_base=Fraction(1, 90), **changes):
    chosen = {"fps": Fraction(20), "colour": Colour(1, 1, 1), "preset": "medium", "crf": 20, "threads": 2, **changes}
    return EncodeOptions(96, 64, time_base, **chosen)


def canvas(luma=100, u=90, v=160, noise=None):
    y = np.full((64, 96), luma, np.uint8)
    if noise is not None:
        y = np.random.default_rng(noise).integers(0, 255, (64, 96), np.uint8)
    return YuvImage(y, np.full((32, 48), u, np.uint8), np.full((32, 48), v, np.uint8), Colour(1, 1, 1))


def encode(path, stamps=VARIABLE, end=END, *, source=None, noise=False, **changes):
    with LibX264Encoder(path, options(**changes), source) as encoder:
        for number, pts in enumerate(stamps):
            encoder.write(canvas(20 + 15 * (number % 14), noise=number if noise else None), pts)
        encoder.finish(end)
    return path


def decoded(path):
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray()) for frame in container.decode(video=0)]


@pytest.mark.parametrize("start", [0, 37])
@pytest.mark.parametrize("time_base", [Fraction(1, 90), Fraction(1, 12800), Fraction(1001, 30000), Fraction(1, 90000)])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_times_are_exact_to_the_tick(tmp_path, suffix, time_base, start):
    stamps = [start + pts for pts in VARIABLE]
    path = encode(tmp_path / f"v{suffix}", stamps, start + END, time_base=time_base)
    assert [time for time, _ in decoded(path)] == [pts * time_base for pts in stamps]


def test_matroska_rounds_to_milliseconds(tmp_path):
    path = encode(tmp_path / "v.mkv", [pts + 37 for pts in VARIABLE], 37 + END)
    wanted = [float((pts + 37) * Fraction(1, 90)) for pts in VARIABLE]
    np.testing.assert_allclose([float(time) for time, _ in decoded(path)], wanted, atol=0.0005001)


def stated_seconds(path):
    """The length that the MP4's movie header states, and that of its edit list."""
    content = path.read_bytes()
    timescale, duration = struct.unpack_from(">II", content, content.index(b"mvhd") + 16)
    edits = content.index(b"elst")
    (count,) = struct.unpack_from(">I", content, edits + 8)
    shown = [struct.unpack_from(">Ii", content, edits + 12 + 12 * number) for number in range(count)]
    return duration / timescale, sum(length for length, media_time in shown if media_time >= 0) / timescale


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])  # without and with B-frames
@pytest.mark.parametrize(("end", "wanted"), [(END, END), (None, 59), (10, 59)])  # 1/20 s is 4.5 ticks of 1/90 s
def test_the_last_frame_s_time_counts(tmp_path, preset, end, wanted):
    path = encode(tmp_path / "v.mp4", end=end, preset=preset)
    assert stated_seconds(path) == pytest.approx((wanted / 90, wanted / 90))


def test_a_constant_rate_has_its_exact_duration(tmp_path):
    path = encode(tmp_path / "v.mp4", range(50), 50, time_base=Fraction(1, 25), fps=Fraction(25))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == 2
        assert stream.average_rate == 25


def test_pictures_come_back_as_they_were(tmp_path):
    for number, (_, planes) in enumerate(decoded(encode(tmp_path / "v.mp4"))):
        y, u, v = planes[:64], planes[64:80], planes[80:]
        assert np.abs(y.astype(int) - (20 + 15 * number)).max() <= 2
        assert np.abs(u.astype(int) - 90).max() <= 2 and np.abs(v.astype(int) - 160).max() <= 2


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    "colour", [Colour(1, 1, 1, False), Colour(6, 6, 6, False), Colour(9, 9, 16, False), Colour(5, 5, 6, True)]
)
def test_colour_tags_are_kept(tmp_path, colour, suffix):
    path = encode(tmp_path / f"v{suffix}", colour=colour)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    tags = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range == 2)
    assert tags == (colour.matrix, colour.primaries, colour.transfer, colour.full_range)


def test_rgb_is_never_claimed(tmp_path):
    with av.open(str(encode(tmp_path / "v.mp4", colour=Colour(0, 1, 13, True)))) as container:
        frame = next(container.decode(video=0))
    assert (int(frame.colorspace), int(frame.color_range)) == (1, 1)


def test_it_is_h264_of_8_bits_with_square_pixels(tmp_path):
    with av.open(str(encode(tmp_path / "v.mp4"))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.sample_aspect_ratio) == (96, 64, 1)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_index_comes_first(tmp_path, suffix):
    content = encode(tmp_path / f"v{suffix}").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_rate_settings_reach_x264(tmp_path):
    by_quality = encode(tmp_path / "q.mp4", noise=True, crf=31, preset="fast").read_bytes()
    by_rate = encode(tmp_path / "r.mp4", noise=True, bitrate=123_000).read_bytes()
    assert b"crf=31.0" in by_quality and b"subme=6" in by_quality
    assert b"rc=abr" in by_rate and b"bitrate=123" in by_rate


def test_an_empty_video_can_be_finished(tmp_path):
    with LibX264Encoder(tmp_path / "v.mp4", options()) as encoder:
        encoder.finish()


@pytest.mark.parametrize("name", ["v.avi", "v", "v.mp3", "v.jpg", "v.webm"])
def test_unknown_suffixes_are_named(tmp_path, name):
    with pytest.raises(SettingError, match=r"\.mp4, \.mov or \.mkv") as caught:
        LibX264Encoder(tmp_path / name, options())
    assert Path(name).suffix in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_what_cannot_be_created_is_an_output_error(tmp_path, folder):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot write") as caught:
        LibX264Encoder(tmp_path / folder / "v.mp4", options())
    assert "\n" not in str(caught.value)


def test_a_source_that_is_no_media_is_a_video_error(tmp_path):
    (tmp_path / "notes.mp4").write_text("not a video")
    with pytest.raises(VideoError):
        LibX264Encoder(tmp_path / "v.mp4", options(), tmp_path / "notes.mp4")


def test_pts_must_ascend(tmp_path):
    with LibX264Encoder(tmp_path / "v.mp4", options()) as encoder:
        encoder.write(canvas(), 5)
        with pytest.raises(EngineError, match="out of order"):
            encoder.write(canvas(), 5)


def test_options_that_x264_refuses_are_an_error_of_ours(tmp_path):
    with pytest.raises(DftError):
        LibX264Encoder(tmp_path / "v.mp4", options(preset="warp"))


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_encode import LibX264Encoder, canvas, options
from dft.configs.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    with LibX264Encoder(Path(sys.argv[1]), options(crf=1, preset="ultrafast")) as encoder:
        for number in range(60):
            encoder.write(canvas(noise=number), number)
        encoder.finish()
except OutputError as error:
    print("OutputError", error)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("limit", [10, 1000, 100_000, 300_000])
def test_a_full_disk_is_an_output_error(tmp_path, suffix, limit):
    here = str(Path(__file__).parent)
    arguments = [sys.executable, "-c", FULL_DISK, str(tmp_path / f"v{suffix}"), str(limit), here]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("OutputError cannot write in") and "file too large" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_a_canvas_is_encoded_from_where_it_lies(tmp_path):
    """A compositor's canvas is not copied; an image that only borrows a frame's memory is not taken for it."""
    made = empty(64, 48, Colour())
    for plane, value in zip((made.y, made.u, made.v), (90, 100, 110), strict=True):
        plane.fill(value)
    changed = replace(made, y=np.full((48, 64), 200, np.uint8))
    path = tmp_path / "out.mp4"
    with LibX264Encoder(
        path, EncodeOptions(64, 48, Fraction(1, 25), Fraction(25), Colour(), "ultrafast", 1)
    ) as encoder:
        encoder.write(made, 0)
        encoder.write(changed, 1)
        encoder.finish()
    with av.open(str(path)) as container:
        levels = [float(frame.to_ndarray(format="yuv420p")[:48].mean()) for frame in container.decode(video=0)]
    assert levels == pytest.approx([90, 200], abs=2)
