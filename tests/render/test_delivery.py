"""What is delivered of unusual pictures: codecs, bits, HDR, fields, and colour tags."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from dft.configs.errors import SettingError
from dft.configs.rendering import EncodeSettings, OutputSettings, RenderSettings
from dft.engines.probe import probe, scan
from dft.engines.protocols import HdrMetadata
from dft.render.pipeline import render
from dft.trackio.files import write_tracks
from dft.trackio.fingerprint import fingerprint

SIZE, N = (320, 180), 30
FACES = (("A", "left", (60, 60, 100, 110)), ("B", "right", (210, 70, 246, 116)))
SETTINGS = RenderSettings(
    output=OutputSettings(size="256x144"), encode=EncodeSettings(preset="ultrafast", segment_seconds=0.5)
)
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
HDR = HdrMetadata(
    primaries_xy=((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    white_xy=(0.3127, 0.329),
    luminance=(0.005, 1000.0),
    max_cll=900,
    max_fall=300,
)


def encoded(**changes):
    return replace(SETTINGS, encode=replace(SETTINGS.encode, **changes))


@pytest.fixture
def made(media, tmp_path, make_table, make_metadata):
    """A grey video that becomes lighter, by recipe, with its tracks."""

    def make(name="in.mp4", **recipe):
        draw = lambda number: np.full((SIZE[1], SIZE[0], 3), 40 + 4 * number, np.uint8)  # noqa: E731
        path = media.write(tmp_path / name, media.recipe(num_frames=N, size=SIZE, name=name, **recipe), draw)
        index = scan(path)
        metadata = make_metadata(len(index), SIZE, time_base=probe(path).time_base, sha256=fingerprint(path))
        tracks = path.with_suffix(".tracks.parquet")
        write_tracks(tracks, make_table(FACES, len(index), index.pts), metadata, overwrite=True)
        return path

    return make


@pytest.fixture
def pq(made):
    tags = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    params = f"log-level=none:{tags}:master-display={MASTERING}:max-cll=900,300:hdr10=1"
    options = (("preset", "ultrafast"), ("x265-params", params))
    return made("hdr.mp4", codec="libx265", pixel_format="yuv420p10le", options=options)


def frames_of(path):
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("codec", "depth"), [("h264", 8), ("hevc", 8), ("hevc", 10), ("av1", 8), ("av1", 10)])
def test_codecs_and_bits(made, tmp_path, codec, depth, suffix):
    video = made()
    report = render(video, output=tmp_path / f"out{suffix}", settings=encoded(codec=codec, depth=depth))
    with av.open(str(report.output)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec
    frames = frames_of(report.output)
    assert [round(frame.time * 25) for frame in frames] == list(range(N))
    assert {frame.format.name for frame in frames} == {"yuv420p" if depth == 8 else "yuv420p10le"}
    levels = [frame.to_ndarray()[:144].mean() / (1 if depth == 8 else 4) for frame in frames]
    wanted = [frame.to_ndarray()[: SIZE[1]].mean() for frame in frames_of(video)]
    np.testing.assert_allclose(levels, wanted, atol=1.5)


def test_av1_in_mov_is_refused_before_any_work(made, tmp_path):
    with pytest.raises(SettingError, match="MOV cannot hold AV1"):
        render(made(), output=tmp_path / "out.mov", settings=encoded(codec="av1"))
    assert not list(tmp_path.glob("out*"))


def test_hdr_becomes_sdr_and_says_so(pq):
    report = render(pq, settings=SETTINGS)
    info = probe(report.output)
    assert (info.codec, info.pixel_format, info.hdr) == ("h264", "yuv420p", None)
    assert (info.colour.matrix, info.colour.primaries, info.colour.transfer) == (1, 1, 1)
    assert any("tone-mapped" in note and "BT.2390" in note for note in report.notes)


@pytest.mark.parametrize(("codec", "wanted"), [("h264", "hevc"), ("hevc", "hevc"), ("av1", "av1")])
def test_hdr_is_kept_when_asked(pq, codec, wanted):
    report = render(pq, settings=encoded(keep_hdr=True, codec=codec, crf=10))
    info = probe(report.output)
    with av.open(str(report.output)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == wanted
    assert info.pixel_format == "yuv420p10le"
    assert (info.colour.matrix, info.colour.primaries, info.colour.transfer) == (9, 9, 16)
    assert info.hdr is not None
    for name in ("primaries_xy", "white_xy", "luminance", "max_cll", "max_fall"):
        np.testing.assert_allclose(getattr(info.hdr, name), getattr(HDR, name), rtol=1e-3, atol=1e-4)
    assert not any("tone-mapped" in note for note in report.notes)
    before, after = ([frame.to_ndarray() for frame in frames_of(path)] for path in (pq, report.output))
    errors = [two[:144].mean() - one[: SIZE[1]].mean() for one, two in zip(before, after, strict=True)]
    assert np.abs(errors).mean() < 3 and np.abs(np.mean(errors)) < 1  # of 1023: nothing was mapped


def test_there_may_be_no_hdr_to_keep(made):
    report = render(made(), settings=encoded(keep_hdr=True))
    assert probe(report.output).pixel_format == "yuv420p"
    assert "the input is not HDR, so there is none to keep" in report.notes


def test_fields_become_frames(made, media):
    video = made(options=media.interlaced(12))
    assert probe(video).interlaced
    report = render(video, settings=SETTINGS)
    frames = frames_of(report.output)
    assert len(frames) == N and not any(frame.interlaced_frame for frame in frames)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(number, 25) for number in range(N)]
    assert any("deinterlaced" in note for note in report.notes)


@pytest.mark.parametrize(("pixel_format", "size"), [("yuv422p", SIZE), ("yuv444p", SIZE), ("yuv422p10le", SIZE)])
def test_fuller_chroma_is_delivered_in_420(made, pixel_format, size):
    video = made(pixel_format=pixel_format, options=(("preset", "ultrafast"), ("crf", "10")))
    report = render(video, settings=SETTINGS)
    assert report.notes == () and probe(report.output).pixel_format == "yuv420p"


@pytest.mark.parametrize(
    ("colour", "wanted"),
    [
        ("colorprim=bt709:transfer=bt709:colormatrix=bt709", (1, 1, 1, False)),
        ("colorprim=smpte170m:transfer=smpte170m:colormatrix=smpte170m", (6, 6, 6, False)),
        ("colorprim=bt2020:transfer=bt2020-10:colormatrix=bt2020nc", (9, 9, 14, False)),
        ("colorprim=bt709:transfer=bt709:colormatrix=bt709:fullrange=on", (1, 1, 1, True)),
    ],
)
def test_colour_tags_go_through(made, colour, wanted):
    report = render(made(options=(("preset", "ultrafast"), ("x264-params", colour))), settings=SETTINGS)
    found = probe(report.output).colour
    assert (found.matrix, found.primaries, found.transfer, found.full_range) == wanted
