"""Joining what was encoded apart: time stamps, tags, containers and errors."""

import struct
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.configs.errors import EngineError, OutputError, SettingError, VideoError, VideoUnreadableError
from dft.engines.cpu.encode import PyAvEncoder
from dft.engines.cpu.image import YuvImage
from dft.engines.join import JoinOptions, Piece, _decoding_times, check_container, facts, join
from dft.engines.protocols import Colour, EncodeOptions
from dft.engines.writer import VideoWriter

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


def encode(path, stamps=VARIABLE, end=END, **changes):
    with VideoWriter(path, options(**changes)) as encoder:
        for number, pts in enumerate(stamps):
            encoder.write(canvas(20 + 15 * (number % 14)), pts)
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


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_index_comes_first(tmp_path, suffix):
    content = encode(tmp_path / f"v{suffix}").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_an_empty_video_is_refused(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", options()) as writer, pytest.raises(EngineError, match="no picture"):
        writer.finish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["v.avi", "v", "v.mp3", "v.jpg", "v.webm"])
def test_unknown_suffixes_are_named(tmp_path, name):
    with pytest.raises(SettingError, match=r"\.mp4, \.mov or \.mkv") as caught:
        VideoWriter(tmp_path / name, options())
    assert Path(name).suffix in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_what_cannot_be_created_is_an_output_error(tmp_path, folder):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot write") as caught:
        VideoWriter(tmp_path / folder / "v.mp4", options())
    assert "\n" not in str(caught.value)


def test_a_source_that_is_no_media_is_a_video_error(tmp_path):
    (tmp_path / "notes.mp4").write_text("not a video")
    with VideoWriter(tmp_path / "v.mp4", options(), tmp_path / "notes.mp4") as writer, pytest.raises(VideoError):
        writer.write(canvas(), 0)
        writer.finish()


def test_pts_must_ascend(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", options()) as encoder:
        encoder.write(canvas(), 5)
        with pytest.raises(EngineError, match="out of order"):
            encoder.write(canvas(), 5)


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_join import VideoWriter, canvas, options
from dft.configs.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    with VideoWriter(Path(sys.argv[1]), options(crf=1, preset="ultrafast")) as encoder:
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


STAMPS = list(range(0, 60, 3))
CUTS = [0, 7, 8, 20]


def pieces_of(folder, codec="h264", stamps=STAMPS, cuts=CUTS, **changes):
    """The pictures between ``cuts``, each part encoded on its own."""
    made = []
    for first, end in pairwise(cuts):
        path = folder / f"{codec}-{first}.mp4"
        with PyAvEncoder(path, options(codec=codec, **changes)) as encoder:
            for number in range(first, end):
                encoder.write(canvas(20 + 10 * number), stamps[number])
            encoder.finish()
        made.append(Piece(path, 0, facts(path)[0], np.array(stamps[first:end], np.int64)))
    return made


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_pieces_become_one_video(tmp_path, codec, suffix):
    path = tmp_path / f"out{suffix}"
    pieces = pieces_of(tmp_path, codec)
    assert codec == "av1" or pieces[0].facts.reorder > 0  # B-frames, so that decoding times matter
    if (codec, suffix) == ("av1", ".mov"):
        with pytest.raises(SettingError, match="MOV cannot hold AV1"):
            check_container(path, codec)
        return
    assert join(pieces, path, JoinOptions(Fraction(1, 90), 63, Fraction(30))) == ()
    pictures = decoded(path)
    np.testing.assert_allclose([float(time) for time, _ in pictures], np.array(STAMPS) / 90, atol=0.00051)
    assert suffix == ".mkv" or [time * 90 for time, _ in pictures] == STAMPS
    assert [round(float(planes[:64].mean()), -1) for _, planes in pictures] == [20 + 10 * n for n in range(20)]
    with av.open(str(path)) as container:
        keys = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.is_keyframe]
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.sample_aspect_ratio) == (96, 64, 1)
        assert suffix == ".mkv" or stream.duration * stream.time_base == Fraction(63, 90)
    assert [round(float(key) * 90) for key in keys] == [STAMPS[first] for first in CUTS[:-1]]
    if codec == "hevc" and suffix != ".mkv":
        assert b"hvc1" in path.read_bytes() and b"hev1" not in path.read_bytes()


def test_pieces_of_a_finished_video_can_be_taken_again(tmp_path):
    """Digests of a part are the same wherever it lies, and pictures may come from both kinds of file."""
    pieces, path = pieces_of(tmp_path), tmp_path / "first.mp4"
    settings = JoinOptions(Fraction(1, 90), 60, Fraction(30))
    join(pieces, path, settings)
    counts = [len(piece.pts) for piece in pieces]
    assert facts(path, counts) == [piece.facts for piece in pieces]
    again = [Piece(path, first, piece.facts, piece.pts) for first, piece in zip(CUTS, pieces, strict=False)]
    join([again[0], pieces[1], again[2]], tmp_path / "again.mp4", settings)
    for (time, planes), (other_time, other) in zip(decoded(path), decoded(tmp_path / "again.mp4"), strict=True):
        assert time == other_time
        np.testing.assert_array_equal(planes, other)


def test_what_is_missing_is_told(tmp_path):
    (piece, *_) = pieces_of(tmp_path)
    with pytest.raises(VideoUnreadableError, match="lacks pictures"):
        facts(piece.path, [3, 5])


def test_pieces_that_differ_in_kind_are_refused(tmp_path):
    first, second, _ = pieces_of(tmp_path)
    with PyAvEncoder(tmp_path / "other.mp4", options(preset="ultrafast")) as encoder:
        encoder.write(canvas(), 3)
        encoder.finish()
    other = Piece(tmp_path / "other.mp4", 0, facts(tmp_path / "other.mp4")[0], second.pts[:1])
    with pytest.raises(EngineError, match="different options"):
        join([first, other], tmp_path / "out.mp4", JoinOptions(Fraction(1, 90), None, Fraction(30)))


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(0, 4), st.data())
@settings(deadline=None)
def test_every_packet_is_decoded_before_it_is_shown_and_after_the_one_before(steps, reorder, data):
    times = np.cumsum(steps)
    decoding = _decoding_times(times, reorder)
    assert (np.diff(decoding) > 0).all() and len(decoding) == len(times)
    late = min(reorder, len(times) - 1)
    for place in range(len(times)):  # a packet is at most `reorder` places ahead of its turn
        turn = max(0, place - data.draw(st.integers(0, late)))
        assert decoding[place] <= times[turn]
