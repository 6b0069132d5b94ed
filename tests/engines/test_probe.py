"""What is learnt of a file before it is decoded, and which error a bad one gets."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dft.configs.errors import CorruptVideoError, DftError, VideoError, VideoNotFoundError, VideoUnreadableError
from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.probe import check_times, open_video, probe, scan, time_notes
from dft.engines.protocols import Colour

FASTSTART = (("movflags", "faststart"),)


def test_facts(media):
    info = probe(media("closed gop"))
    assert (info.width, info.height, info.rotation) == (96, 64, 0)
    assert (info.fps, info.pixel_aspect) == (25, 1)
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")
    assert not info.colour.full_range


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_clockwise_and_size_is_displayed(media, rotation):
    info = probe(media("rotated", rotation=rotation))
    assert info.rotation == rotation
    assert (info.width, info.height) == ((96, 64) if rotation == 180 else (64, 96))


@pytest.mark.parametrize("rotation", [0, 90])
def test_pixel_aspect_is_that_of_displayed_pixels(media, rotation):
    info = probe(media("closed gop", pixel_aspect=Fraction(4, 3), rotation=rotation))
    assert info.pixel_aspect == (Fraction(3, 4) if rotation else Fraction(4, 3))


def test_odd_size_and_pixel_formats(media):
    assert (probe(media("odd size")).width, probe(media("odd size")).height) == (97, 63)
    assert probe(media("ten bits")).pixel_format == "yuv420p10le"
    assert probe(media("4:4:4")).pixel_format == "yuv444p"


TAGS = {
    "BT.601": ("smpte170m", "smpte170m", "smpte170m", Colour(6, 6, 6)),
    "BT.601 of Europe": ("bt470bg", "bt470bg", "bt470bg", Colour(5, 5, 5)),
    "BT.709": ("bt709", "bt709", "bt709", Colour(1, 1, 1)),
    "BT.2020": ("bt2020", "bt2020-10", "bt2020nc", Colour(9, 9, 14)),
    "PQ": ("bt2020", "smpte2084", "bt2020nc", Colour(9, 9, 16)),
    "HLG": ("bt2020", "arib-std-b67", "bt2020nc", Colour(9, 9, 18)),
}


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("case", TAGS)
def test_colour_tags(media, case, full_range):
    primaries, transfer, matrix, colour = TAGS[case]
    params = f"colorprim={primaries}:transfer={transfer}:colormatrix={matrix}"
    recipe = media.recipe(num_frames=2, options=(("preset", "ultrafast"), ("x264-params", params)))
    path = media(recipe, pixel_format="yuvj420p" if full_range else "yuv420p")
    wanted = replace(colour, full_range=full_range)
    info = probe(path)
    assert info.colour == wanted
    assert info.is_hdr == (case in ("PQ", "HLG"))
    with PyAvDecoder(path, 1) as decoder:
        assert decoder.info.colour == next(decoder.frames()).image.colour == wanted


def test_depth(media):
    names = {"closed gop": 8, "ten bits": 10, "4:4:4": 8, "pq": 10}
    assert {name: probe(media(name)).depth for name in names} == names
    twelve = media("odd size", pixel_format="yuv444p12le")
    assert probe(twelve).depth == 12


def test_interlaced(media):
    names = {"interlaced": True, "interlaced mpeg2": True, "closed gop": False, "mpeg2": False, "hevc": False}
    assert {name: probe(media(name)).interlaced for name in names} == names


def test_a_cover_picture_is_not_the_video(media):
    path = media("closed gop", cover=True)
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams.video] == ["h264", "mjpeg"]
    info, index = probe(path), scan(path)
    assert (info.codec, info.width, len(index)) == ("h264", 96, 50)
    assert index.ended_early is None


def test_times_of_a_variable_rate(media):
    recipe = media.videos["variable rate"]
    index = scan(media(recipe))
    assert index.pts.tolist() == list(recipe.stamps)
    assert index.end_pts > recipe.stamps[-1]
    assert np.flatnonzero(index.keyframe).tolist() == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4"])
def test_an_offset_is_kept_and_is_no_loss(media, name):
    """Matroska counts its duration from zero, MP4 from the first picture: neither file ends early."""
    index = scan(media("start offset", name=name))
    info = probe(media("start offset", name=name))
    assert float(index.pts[0] * info.time_base) == pytest.approx(2.5)
    assert index.ended_early is None


@pytest.mark.parametrize("audio", [False, True])
def test_avi_with_empty_frames_is_whole(media, audio):
    index = scan(media(media.recipe("v.avi", codec="mpeg4", options=(), audio=audio)))
    assert len(index) == 50 and index.ended_early is None


B_FRAMES_IN_AVI = {
    "closed gop": lambda media: media("h264 in avi"),
    "open gop": lambda media: media("h264 in avi", options=media.x264(12, 3, open_gop=True)),
    "with sound": lambda media: media("h264 in avi", audio=True),
    "one keyframe": lambda media: media("h264 in avi", options=media.x264(250, 3)),
    "interlaced": lambda media: media("h264 in avi", options=media.interlaced(12)),
}


@pytest.mark.parametrize("case", B_FRAMES_IN_AVI)
def test_without_times_of_presentation_the_order_is_the_decoders(media, case):
    """AVI has none, and FFmpeg guesses those of H.264 in the order of the file."""
    path = B_FRAMES_IN_AVI[case](media)
    index, info = scan(path), probe(path)
    seconds = (index.pts - index.pts[0]) * float(info.time_base)
    np.testing.assert_allclose(seconds, np.arange(50) / float(info.fps), atol=1e-9)
    assert index.seekable and index.keyframe[0] and index.ended_early is None
    assert sorted(index.packet_pts) == index.pts.tolist() != index.packet_pts.tolist()
    assert time_notes(index) == ["the file holds no times of presentation: its frames are in the order of the decoder"]
    with PyAvDecoder(path, 2, index=index) as decoder:
        frames = list(decoder.frames())
        assert [f.pts for f in frames] == index.pts.tolist()
        assert [media.read_number(f.image.y) for f in frames] == list(range(50))
        for first in (1, 11, 12, 13, 30, 49):
            assert media.read_number(next(decoder.frames(first)).image.y) == first


def test_a_lost_picture_moves_no_other_where_there_are_no_times(media, tmp_path):
    """A reference picture and a B-frame are overwritten; what FFmpeg gives keeps its time."""
    path = tmp_path / "v.avi"
    content = bytearray(media("h264 in avi", options=media.x264(6, 1)).read_bytes())
    with av.open(str(media("h264 in avi", options=media.x264(6, 1)))) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for at, size in (places[20], places[33]):
        content[at + 8 : at + size] = bytes(size - 8)  # past the NAL unit's head
    path.write_bytes(content)
    with PyAvDecoder(path, 2) as decoder:
        frames = list(decoder.frames())
        assert len(decoder.index) == 50 and 44 <= len(frames) < 50
        shown = [(f.frame_index, media.read_number(f.image.y)) for f in frames]
        whole = [pair for pair in shown if pair[0] < 18 or pair[0] >= 36]
        assert whole == [(number, number) for number in (*range(18), *range(36, 50))]


@pytest.mark.parametrize(
    "name", ["closed gop", "open gop", "avi", "mpeg2", "variable rate", "transport stream", "hevc"]
)
def test_files_with_times_of_presentation_are_not_decoded_for_them(media, monkeypatch, name):
    monkeypatch.setattr("dft.engines.probe.decoding_order", lambda *_: pytest.fail("decoded"))
    index = scan(media(name))
    assert index.packet_pts is None and index.stamps is index.pts and time_notes(index) == []


def test_avi_without_b_frames_is_not_decoded_for_its_times(media, monkeypatch):
    monkeypatch.setattr("dft.engines.probe.decoding_order", lambda *_: pytest.fail("decoded"))
    assert len(scan(media("h264 in avi", options=media.x264(12, 0)))) == 50


@pytest.mark.parametrize(
    ("shared", "allowed", "passes"), [(50, 0.2, False), (12, 0.2, False), (11, 0.2, True), (50, 1, True)]
)
def test_frames_at_one_time_are_allowed_up_to_a_share(media, shared, allowed, passes):
    stamps = (*(0,) * shared, *range(1, 51 - shared))
    path = media(media.recipe("v.mkv", pts=stamps, codec="ffv1", options=()))
    index = scan(path)
    assert index.num_shared == shared - 1
    if passes:
        check_times(path, index, allowed)
        return
    with pytest.raises(CorruptVideoError) as caught:
        check_times(path, index, allowed)
    message = str(caught.value)
    assert f"time stamps; got {shared - 1} of 50 frames at the time of another" in message
    assert "at most 20%" in message and "damaged" not in message and "\n" not in message


def test_raw_h264_is_counted(media):
    index = scan(media("raw h264"))
    info = probe(media("raw h264"))
    assert len(index) == 50 and not index.seekable
    assert float(index.end_pts * info.time_base) == pytest.approx(50 / float(info.fps))


@pytest.mark.parametrize("share", [0.35, 0.6, 0.97])
@pytest.mark.parametrize("audio", [False, True])
def test_a_truncated_mp4_says_where_it_ends(media, tmp_path, share, audio):
    whole = media("closed gop", num_frames=200, size=(320, 180), container_options=FASTSTART, audio=audio).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: int(len(whole) * share)])
    index = scan(cut)
    assert 0 < len(index) < 200
    assert "video ends at" in index.ended_early and "of stated 8.000 s" in index.ended_early
    said = float(index.ended_early.split("ends at ")[1].split(" s")[0])
    assert said == pytest.approx(float(index.end_pts * probe(cut).time_base), abs=1e-3)
    decoded = []
    for threads in (1, 2, 7):
        with PyAvDecoder(cut, threads) as decoder:
            decoded.append([f.frame_index for f in decoder.frames()])
    assert decoded[0] == decoded[1] == decoded[2], "whatever the parallelism"
    assert len(decoded[0]) >= len(index) - 1 and decoded[0] == sorted(set(decoded[0])), "the cut frame alone is lost"


def bad_files(tmp_path: Path, media) -> dict[str, tuple[Path, type, str]]:
    whole = media("closed gop", num_frames=200).read_bytes()
    texts = {"text.mp4": b"no video at all\n" * 40, "empty.mp4": b"", "few.mkv": b"\x1a\x45\xdf\xa3", "noise.mp4": None}
    for name, content in texts.items():
        noise = np.random.default_rng(5).integers(0, 256, 5000, np.uint8).tobytes()
        (tmp_path / name).write_bytes(noise if content is None else content)
    (tmp_path / "no-moov.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.mp4").mkdir()
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return {
        "missing": (tmp_path / "missing.mp4", VideoNotFoundError, "there is no video"),
        "below a file": (tmp_path / "text.mp4" / "v.mp4", VideoNotFoundError, "there is no video"),
        "text": (tmp_path / "text.mp4", VideoUnreadableError, "a file that is no video"),
        "empty": (tmp_path / "empty.mp4", VideoUnreadableError, "a file that is no video"),
        "few bytes": (tmp_path / "few.mkv", VideoError, "cannot read"),
        "noise": (tmp_path / "noise.mp4", VideoUnreadableError, "a file that is no video"),
        "cut before its index": (tmp_path / "no-moov.mp4", VideoUnreadableError, "without its index (moov)"),
        "folder": (tmp_path / "folder.mp4", VideoUnreadableError, "a folder"),
        "sound only": (tmp_path / "sound.m4a", VideoUnreadableError, "has no video stream; got streams of type audio"),
    }


CASES = [
    "missing",
    "below a file",
    "text",
    "empty",
    "few bytes",
    "noise",
    "cut before its index",
    "folder",
    "sound only",
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("function", [open_video, probe, scan, PyAvDecoder], ids=lambda f: f.__name__)
def test_bad_files_get_one_clear_line(media, tmp_path, case, function):
    path, kind, part = bad_files(tmp_path, media)[case]
    with pytest.raises(kind) as caught:
        function(path)
    assert isinstance(caught.value, DftError)
    message = str(caught.value)
    assert part in message and path.name in message and "\n" not in message


def test_a_file_that_may_not_be_read(media, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(VideoUnreadableError, match=r"closed\.mp4; got permission denied"):
        open_video(tmp_path / "closed.mp4")


@pytest.mark.parametrize("function", [probe, scan])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, function):
    os.mkfifo(tmp_path / "live.mp4")
    with pytest.raises(VideoUnreadableError, match=r"live\.mp4; got a pipe or device; expected a video file"):
        function(tmp_path / "live.mp4")
