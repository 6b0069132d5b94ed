"""What a source holds beside its picture: tracks, subtitles, chapters, attachments, metadata, in every container."""

from fractions import Fraction
from hashlib import sha256

import av
import numpy as np
import pytest
from av.subtitles.subtitle import SubtitleSet

from dft.engines.cpu.image import blank
from dft.engines.keepsakes import meaningful, sound_chapters
from dft.engines.protocols import Colour, EncodeOptions
from dft.engines.writer import VideoWriter

DEFAULT, COMMENT, FORCED, COVER = 1, 8, 64, 1024  # AV_DISPOSITION_*
TAGS = {"title": "Talk", "artist": "Ann", "comment": "hello", "creation_time": "2021-03-04T05:06:07.000000Z"}
CHAPTERS = [(0, 1000, "One"), (1000, 3000, "Two")]  # milliseconds
LINES = [(300, "Hello there"), (1500, "Good bye")]
FONT = b"\0\1\0\0" + bytes(range(50))
ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Alignment
Style: Default,Arial,16,&Hffffff,0,2

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
MILLISECOND = Fraction(1, 1000)


def write_source(
    path, subtitle=None, *, start_seconds=0.0, tags=TAGS, timecode=None, font=False, cover=False, bitmaps=False
):
    """Three seconds of grey with a main track, a commentary that may start late, and all that goes beside it."""
    with av.open(str(path), "w") as container:
        container.metadata.update(tags)
        picture = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        picture.metadata.update({"language": "ita", **({"timecode": timecode} if timecode else {})})
        picture.disposition = DEFAULT
        main, commentary = (container.add_stream("aac", rate=48000, layout="mono") for _ in range(2))
        main.metadata.update(language="eng", title="Main", handler_name="Microphone")
        commentary.metadata.update(language="deu", title="Director")
        main.disposition, commentary.disposition = DEFAULT, COMMENT
        text = add_subtitle(container, subtitle) if subtitle else None
        pictures = container.add_mux_stream("pgssub", time_base=MILLISECOND) if bitmaps else None
        if pictures is not None:
            pictures.metadata["language"] = "jpn"
        if font:
            container.add_attachment("font.ttf", "application/x-truetype-font", FONT)
        if cover:
            container.add_attachment("cover.png", "image/png", cover_png())
        container.set_chapters(
            [
                {"id": 1 + n, "start": start, "end": end, "time_base": MILLISECOND, "metadata": {"title": title}}
                for n, (start, end, title) in enumerate(CHAPTERS)
            ]
        )
        container.start_encoding()
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 100, np.uint8), "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        write_noise(container, main, 0, 0)
        write_noise(container, commentary, 1, start_seconds)
        if text is not None:
            write_lines(container, text)
        if pictures is not None:
            packet = av.Packet(b"\x80\x00\x00")  # the end of an empty set
            packet.stream, packet.pts, packet.dts, packet.time_base = pictures, 500, 500, MILLISECOND
            container.mux(packet)
    return path


def write_noise(container, stream, seed, start_seconds):
    """Noise, so that every packet differs."""
    rng = np.random.default_rng(seed)
    for first in range(0, 3 * 48000, 1024):
        samples = rng.uniform(-0.4, 0.4, (1, 1024)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
        frame.pts = first + round(start_seconds * 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def packets(path, number):
    """Seconds from the picture's beginning, and hashes, of the packets of an audio stream."""
    with av.open(str(path)) as container:
        begin = float(picture_start(container))
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(audio=number) if packet.size]
        times = [float(packet.pts * packet.time_base) - begin for packet in found]
        return times, [sha256(bytes(packet)).hexdigest() for packet in found]


def picture_start(container):
    first = next(packet for packet in container.demux(video=0) if packet.size)
    return first.pts * first.time_base


def add_subtitle(container, codec):
    stream = container.add_stream(codec)
    stream.codec_context.subtitle_header = ASS_HEADER
    stream.metadata.update(language="fra", title="Signs")
    stream.disposition = DEFAULT | FORCED
    stream.time_base = MILLISECOND
    return stream


def write_lines(container, stream):
    for number, (start, words) in enumerate(LINES):
        dialogue = f"{number},0,Default,,0,0,0,,{words}".encode()
        packet = stream.codec_context.encode_subtitle(SubtitleSet.create(dialogue, 0, 700, pts=start * 1000))
        packet.stream, packet.time_base = stream, MILLISECOND
        packet.pts = packet.dts = start
        packet.duration = 700
        container.mux(packet)


def cover_png():
    codec = av.CodecContext.create("png", "w")
    codec.width = codec.height = 16
    codec.pix_fmt, codec.time_base = "rgb24", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 80, np.uint8), "rgb24")
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def render(source, path, start=0, preset="ultrafast", audio="all"):
    options = EncodeOptions(64, 48, Fraction(1, 25), Fraction(25), Colour(1, 1, 1), preset=preset)
    with VideoWriter(path, options, source, audio) as encoder:
        for pts in range(start, start + 75):
            encoder.write(blank(64, 48, Colour()), pts)
        encoder.finish()
        return encoder.notes


def streams_of(path, kind):
    """Language, title and disposition of each stream of a kind."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found = [(meaningful(stream.metadata), int(stream.disposition)) for stream in streams]
    return [(said.get("language"), said.get("title"), disposition) for said, disposition in found]


def chapters_of(path):
    """Start and end in milliseconds, from the picture's beginning, and title."""
    with av.open(str(path)) as container:
        begin = picture_start(container)
        return [
            (
                round((one["start"] * one["time_base"] - begin) * 1000),
                round((one["end"] * one["time_base"] - begin) * 1000),
                one["metadata"]["title"],
            )
            for one in container.chapters()
        ]


def lines_of(path):
    """Start in milliseconds from the picture's beginning, and the words, of the first subtitle stream."""
    with av.open(str(path)) as container:
        begin = picture_start(container)
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        found = []
        for packet in container.demux(stream):
            for entry in stream.codec_context.decode2(packet) or ():
                words = entry.ass.split(b",,")[-1].decode()
                found.append((round((packet.pts * packet.time_base - begin) * 1000), words))
        return found


CONTAINERS = [(".mp4", "mov_text"), (".mov", "mov_text"), (".mkv", "srt"), (".mkv", "ass")]


@pytest.mark.parametrize(("suffix", "subtitle"), CONTAINERS)
def test_the_same_container_keeps_everything(tmp_path, suffix, subtitle):
    source = write_source(tmp_path / f"in{suffix}", subtitle)
    output = tmp_path / f"out{suffix}"
    assert render(source, output) == ()
    for kind in ("video", "audio", "subtitle"):
        assert streams_of(output, kind) == streams_of(source, kind)
    assert len(streams_of(output, "audio")) == 2 and len(streams_of(output, "subtitle")) == 1
    for number in range(2):
        assert packets(output, number)[1] == packets(source, number)[1]
    assert lines_of(output) == LINES
    assert chapters_of(output) == CHAPTERS
    with av.open(str(output)) as container:
        said = meaningful(container.metadata)
    assert said == TAGS


@pytest.mark.parametrize("inside", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("outside", [".mp4", ".mov", ".mkv"])
def test_tracks_chapters_and_metadata_cross_containers(tmp_path, inside, outside):
    source, output = write_source(tmp_path / f"in{inside}"), tmp_path / f"out{outside}"
    notes = render(source, output)
    tracks, wanted = streams_of(output, "audio"), streams_of(source, "audio")
    known_to_quicktime = {"deu": "ger"} if outside == ".mov" else {}
    assert [language for language, _, _ in tracks] == [known_to_quicktime.get(name, name) for name, _, _ in wanted]
    assert [title for _, title, _ in tracks] == ["Main", "Director"]
    assert chapters_of(output) == CHAPTERS
    with av.open(str(output)) as container:
        assert meaningful(container.metadata) == TAGS
    marked = wanted[1][2] == COMMENT
    assert notes == (
        ("audio in aac (deu) lost what mov cannot hold: the mark 'comment'",) if outside == ".mov" and marked else ()
    )


@pytest.mark.parametrize("inside", CONTAINERS)
@pytest.mark.parametrize("outside", [".mp4", ".mov", ".mkv"])
def test_text_subtitles_cross_containers(tmp_path, inside, outside):
    (suffix, codec), written = inside, "srt" if outside == ".mkv" else "mov_text"
    source, output = write_source(tmp_path / f"in{suffix}", codec), tmp_path / f"out{outside}"
    notes = render(source, output)
    ((language, title, disposition),) = streams_of(output, "subtitle")
    assert (language, title) == ("fra", "Signs") and disposition & DEFAULT
    times, words = zip(*lines_of(output), strict=True)
    assert words == tuple(words for _, words in LINES)
    np.testing.assert_allclose(times, [start for start, _ in LINES], atol=1)
    held = (suffix == ".mkv") == (outside == ".mkv")
    with av.open(str(output)) as container:
        kept = container.streams.subtitles[0].codec_context.name
    assert kept == (("ssa" if codec == "ass" else codec) if held else written)
    assert any(f"(fra) was rewritten as {written}" in note for note in notes) == (not held)


def test_bitmap_subtitles_stay_in_matroska_and_are_named_elsewhere(tmp_path):
    source = write_source(tmp_path / "in.mkv", bitmaps=True)
    assert render(source, tmp_path / "out.mkv") == ()
    assert len(streams_of(tmp_path / "out.mkv", "subtitle")) == 1
    notes = render(source, tmp_path / "out.mp4")
    assert notes == ("subtitle in pgssub (jpn) was left out: the output format cannot hold it",)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("audio", "kept"), [("none", []), ("first", ["Main"]), ("all", ["Main", "Director"])])
def test_the_tracks_that_are_asked_for(tmp_path, suffix, audio, kept):
    source, output = write_source(tmp_path / f"in{suffix}"), tmp_path / f"out{suffix}"
    assert render(source, output, audio=audio) == ()  # what is not asked for is not missed
    assert [title for _, title, _ in streams_of(output, "audio")] == kept
    for number in range(len(kept)):
        assert packets(output, number)[1] == packets(source, number)[1]
    assert chapters_of(output) == CHAPTERS


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_late_track_stays_late(tmp_path, suffix):
    source, output = write_source(tmp_path / f"in{suffix}", start_seconds=0.7), tmp_path / f"out{suffix}"
    render(source, output)
    for number in range(2):
        times, wanted = packets(output, number)[0], packets(source, number)[0]
        np.testing.assert_allclose(times, wanted, atol=0.0011)
    assert packets(output, 1)[0][0] == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_what_is_lost_is_named(tmp_path, suffix):
    source = write_source(tmp_path / "in.mkv", tags={**TAGS, "scene": "7"}, font=True)
    notes = render(source, tmp_path / f"out{suffix}")
    name = suffix[1:]
    assert "attachment in font.ttf was left out: the output format cannot hold it" in notes
    assert f"metadata left out, {name} cannot hold it: scene" in notes
    if suffix == ".mov":
        assert "audio in aac (deu) lost what mov cannot hold: the mark 'comment'" in notes


def test_attachments_stay_in_matroska(tmp_path):
    source = write_source(tmp_path / "in.mkv", "ass", font=True)
    assert render(source, tmp_path / "out.mkv") == ()
    with av.open(str(tmp_path / "out.mkv")) as container:
        (font,) = container.streams.attachments
        assert font.metadata["filename"] == "font.ttf" and bytes(font.data) == FONT


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_cover_is_kept_or_named(tmp_path, suffix):
    source, output = write_source(tmp_path / "in.mkv", cover=True), tmp_path / f"out{suffix}"
    notes = [note for note in render(source, output) if "mark" not in note]
    with av.open(str(output)) as container:
        covers = [stream for stream in container.streams.video if int(stream.disposition) & COVER]
        assert len(container.streams.video) - len(covers) == 1
        found = [bytes(next(container.demux(stream))) for stream in covers]
    if suffix == ".mov":
        assert notes == ["video in png was left out: the output format cannot hold it"] and not found
    else:
        assert notes == [] and found == [cover_png()]


@pytest.mark.parametrize("outside", [".mp4", ".mov", ".mkv"])
def test_a_timecode_is_kept(tmp_path, outside):
    source = write_source(tmp_path / "in.mov", timecode="01:02:03:04")
    assert render(source, tmp_path / f"out{outside}") == ()
    with av.open(str(tmp_path / f"out{outside}")) as container:
        assert meaningful(container.streams.video[0].metadata)["timecode"] == "01:02:03:04"


def test_a_timecode_that_cannot_be_counted_is_named(tmp_path):
    source = write_source(tmp_path / "in.mkv", timecode="01:02:03;04")  # drop-frame, at 25 frames/s
    notes = render(source, tmp_path / "out.mov", audio="none")
    assert notes == ("the picture lost what mov cannot hold: timecode",)


def test_chapters_that_muxers_refuse_are_mended():
    def chapter(start, end, time_base=MILLISECOND):
        return {"id": 0, "start": start, "end": end, "time_base": time_base, "metadata": {}}

    made = sound_chapters([chapter(900, 100), chapter(-50, 800), chapter(0, 1, None)], Fraction(1, 100))
    assert [(one["id"], one["start"], one["end"]) for one in made] == [(1, 0, 810), (2, 910, 910)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_an_empty_track_and_a_second_picture_are_named(tmp_path, suffix):
    source, output = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    with av.open(str(source), "w") as container:
        pictures = [container.add_stream("libx264", rate=25, options={"preset": "ultrafast"}) for _ in range(2)]
        empty, main = (container.add_stream("aac", rate=48000, layout="mono") for _ in range(2))
        empty.metadata["language"], main.metadata["language"] = "jpn", "eng"
        for picture in pictures:
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
        for picture in pictures:
            for number in range(75):
                frame = av.VideoFrame.from_ndarray(np.full((72, 64), 100, np.uint8), "yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        write_noise(container, main, 0, 0)
    notes = render(source, output)
    assert notes[0] == "video in h264 was left out: the output has one picture"
    assert [language for language, _, _ in streams_of(output, "audio")] == (
        ["jpn", "eng"] if suffix == ".mkv" else ["eng"]
    )
    assert notes[1:] == (() if suffix == ".mkv" else ("audio in aac (jpn) was left out: it is empty",))


@pytest.mark.parametrize("inside", [".mp4", ".mkv"])
@pytest.mark.parametrize("outside", [".mp4", ".mkv"])
@pytest.mark.parametrize("start", [0, 40])
def test_chapters_and_subtitles_keep_to_a_picture_that_starts_late_and_has_b_frames(tmp_path, inside, outside, start):
    source = write_source(tmp_path / f"in{inside}", "mov_text" if inside == ".mp4" else "srt")
    output = tmp_path / f"out{outside}"
    render(source, output, preset="medium", start=start)
    late = start * 40  # milliseconds by which the picture begins later than all else
    assert chapters_of(output) == [(begin - late, end - late, title) for begin, end, title in CHAPTERS]
    np.testing.assert_allclose([time + late for time, _ in lines_of(output)], [time for time, _ in LINES], atol=1)
