"""Copying sound: the same packets, at the same times, in the same streams."""

import hashlib
from fractions import Fraction

import av
import numpy as np
import pytest

from dft.configs.errors import VideoError
from dft.engines.cpu.image import blank
from dft.engines.protocols import Colour, EncodeOptions
from dft.engines.remux import SourceStreams
from dft.engines.writer import VideoWriter

SECONDS = 3
DEFAULT, COMMENT = 1, 8  # AV_DISPOSITION_*


def write_source(path, codecs=("aac",), start_seconds=0.0, video_seconds=SECONDS):
    """Noise in each stream, so that every packet differs, beside a black picture."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        streams = [container.add_stream(codec, rate=48000, layout="mono") for codec in codecs]
        for number, stream in enumerate(streams):
            stream.metadata["language"] = ("eng", "deu", "fra")[number]
            stream.disposition = DEFAULT if number == 0 else COMMENT
        for number in range(int(video_seconds * 25)):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 100, np.uint8), "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for number, stream in enumerate(streams):
            write_noise(container, stream, number, start_seconds)
    return path


def write_noise(container, stream, seed, start_seconds):
    rng = np.random.default_rng(seed)
    for first in range(0, SECONDS * 48000, 1024):
        samples = rng.uniform(-0.4, 0.4, (1, 1024)).astype(np.float32)
        if stream.format.name == "fltp":
            frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        else:
            frame = av.AudioFrame.from_ndarray(np.int16(samples * 32767), "s16", "mono")
        frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
        frame.pts = first + round(start_seconds * 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def packets(path, stream_number=0):
    """Times, durations and contents of one audio stream."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[stream_number]
        found = [packet for packet in container.demux(stream) if packet.size]
        times = [(packet.pts * packet.time_base, packet.dts * packet.time_base) for packet in found]
        return times, [hashlib.sha256(bytes(packet)).hexdigest() for packet in found]


def render(source, path, num_frames=SECONDS * 25):
    options = EncodeOptions(64, 48, Fraction(1, 25), Fraction(25), Colour(1, 1, 1), preset="ultrafast")
    with VideoWriter(path, options, source) as encoder:
        for pts in range(num_frames):
            encoder.write(blank(64, 48, Colour()), pts)
        encoder.finish()
        return encoder.notes


@pytest.mark.parametrize("start_seconds", [0.0, 0.7])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_packets_and_times_are_the_source_s(tmp_path, suffix, start_seconds):
    source = write_source(tmp_path / f"in{suffix}", start_seconds=start_seconds)
    assert render(source, tmp_path / "out.mp4") == ()
    assert packets(tmp_path / "out.mp4")[1] == packets(source)[1]
    times, wanted = packets(tmp_path / "out.mp4")[0], packets(source)[0]
    assert len(wanted) > 100
    np.testing.assert_allclose(np.array(times, float), np.array(wanted, float), atol=1 / 12800)
    assert np.diff(np.array(times, float)[:, 0]).max() == pytest.approx(1024 / 48000)


def test_priming_is_kept(tmp_path):
    source = write_source(tmp_path / "in.mp4")
    render(source, tmp_path / "out.mp4")
    assert packets(source)[0][0][0] < 0
    assert packets(tmp_path / "out.mp4")[0][0] == packets(source)[0][0]


@pytest.mark.parametrize(("inside", "outside"), [(".mkv", ".mp4"), (".mp4", ".mkv"), (".mkv", ".mkv")])
def test_sound_stays_in_step_across_containers(tmp_path, inside, outside):
    source = write_source(tmp_path / f"in{inside}", start_seconds=0.5)
    render(source, tmp_path / f"out{outside}")
    assert packets(tmp_path / f"out{outside}")[1] == packets(source)[1]
    offsets = []
    for path in (source, tmp_path / f"out{outside}"):
        with av.open(str(path)) as container:
            first = next(packet for packet in container.demux(video=0) if packet.size)
        picture = float(first.pts * first.time_base)
        offsets.append(np.array([float(pts) for pts, _ in packets(path)[0]]) - picture)
    np.testing.assert_allclose(offsets[1], offsets[0], atol=0.0021)  # Matroska counts in milliseconds


def test_every_stream_keeps_its_content_language_and_role(tmp_path):
    source = write_source(tmp_path / "in.mkv", ["aac", "flac", "libmp3lame"])
    assert render(source, tmp_path / "out.mkv") == ()
    for number in range(3):
        assert packets(tmp_path / "out.mkv", number)[1] == packets(source, number)[1]
    with av.open(str(tmp_path / "out.mkv")) as container:
        audio = container.streams.audio
        assert [stream.language for stream in audio] == ["eng", "deu", "fra"]
        assert [int(stream.disposition) for stream in audio] == [DEFAULT, COMMENT, COMMENT]


def test_a_stream_that_the_container_cannot_hold_is_named_and_the_others_stay(tmp_path):
    source = write_source(tmp_path / "in.mov", ["pcm_mulaw", "aac"])
    notes = render(source, tmp_path / "out.mp4")
    assert len(notes) == 1 and "pcm_mulaw" in notes[0]
    assert packets(tmp_path / "out.mp4")[1] == packets(source, 1)[1]


def test_what_only_fails_in_the_header_is_dropped_too(tmp_path):
    source = write_source(tmp_path / "in.mkv", ["flac"])
    notes = render(source, tmp_path / "out.mov")
    assert len(notes) == 1 and "flac" in notes[0]
    with av.open(str(tmp_path / "out.mov")) as container:
        assert len(container.streams.audio) == 0


def test_sound_and_picture_are_interleaved(tmp_path):
    source = write_source(tmp_path / "in.mp4")
    render(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        found = sorted(
            (packet.pos, packet.stream.type, float(packet.dts * packet.time_base))
            for packet in container.demux()
            if packet.size
        )
    latest = {"audio": 0.0, "video": 0.0}
    for _, kind, time in found:
        latest[kind] = time
        assert abs(latest["audio"] - latest["video"]) < 1


def test_a_silent_source_has_nothing_to_copy(tmp_path):
    source = write_source(tmp_path / "in.mp4", [])
    assert render(source, tmp_path / "out.mp4") == ()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_sound_longer_and_shorter_than_the_picture_is_whole(tmp_path):
    source = write_source(tmp_path / "in.mp4")
    for num_frames in (10, SECONDS * 25 + 50):
        render(source, tmp_path / "out.mp4", num_frames)
        assert packets(tmp_path / "out.mp4")[1] == packets(source)[1]


def test_a_truncated_source_gives_what_there_is(tmp_path):
    whole = write_source(tmp_path / "whole.mkv")
    content = whole.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) * 2 // 3])
    render(tmp_path / "cut.mkv", tmp_path / "out.mp4")
    kept, all_packets = packets(tmp_path / "out.mp4")[1], packets(whole)[1]
    assert 20 < len(kept) < len(all_packets)
    assert kept[:-1] == all_packets[: len(kept) - 1]  # of the last only a part may be left


def test_damage_does_not_stop_the_picture(tmp_path):
    whole = write_source(tmp_path / "whole.mkv")
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(np.random.default_rng(3).integers(0, 255, 3000, np.uint8))
    (tmp_path / "bad.mkv").write_bytes(content)
    render(tmp_path / "bad.mkv", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == SECONDS * 25
    kept, all_packets = packets(tmp_path / "out.mp4")[1], packets(whole)[1]
    assert len(set(kept) & set(all_packets)) > len(all_packets) // 3


class Packet:
    """What ``SourceStreams`` looks at in a packet."""

    size, time_base, is_discard = 7, Fraction(1, 1000), False

    def __init__(self, stream, dts):
        self.stream, self.dts, self.pts = stream, dts, dts


def test_packets_out_of_order_are_left_out_and_counted(tmp_path, monkeypatch):
    source = write_source(tmp_path / "in.mp4")
    with av.open(str(tmp_path / "out.mp4"), "w") as output:
        output.add_stream("libx264", rate=25)
        audio = SourceStreams(source, output)
        stream = audio._container.streams.audio[0]
        good = [audio._is_good(Packet(stream, dts)) for dts in (500, 520, 510, 520, None, 540)]
        audio.close()
    assert good == [True, True, False, False, False, True]
    assert audio.notes == ["3 damaged audio or subtitle packets were left out"]


def test_a_missing_source_is_a_video_error(tmp_path):
    with av.open(str(tmp_path / "out.mp4"), "w") as output, pytest.raises(VideoError):
        SourceStreams(tmp_path / "none.mp4", output)
