"""What the decoder makes of pictures on request: 10 bits, deinterlaced, tone-mapped."""

from fractions import Fraction

import numpy as np
import pytest

from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.cpu.tonemap import to_sdr
from dft.engines.devices import DeviceChoice, open_decoder
from dft.engines.protocols import HLG, PQ, Colour, PictureOptions

SDR = Colour(matrix=1, primaries=1, transfer=1, full_range=False)
DEINTERLACED, MAPPED, DEEP = (
    PictureOptions(deinterlace=True),
    PictureOptions(tone_map=True),
    PictureOptions(depth=10),
)
PARTS = [(0, 1), (1, 2), (5, 6), (7, 19), (11, 14), (12, 13), (13, 14), (24, 30), (49, 50), (48, None)]


def content(image):
    return b"".join(np.ascontiguousarray(plane).tobytes() for plane in (image.y, image.u, image.v))


def decoded(path, picture, first=0, end=None, threads=2):
    with PyAvDecoder(path, threads, picture) as decoder:
        return {frame.frame_index: frame for frame in decoder.frames(first, end)}


def interlaced_cases(media):
    closed = media.videos["interlaced"]
    return {
        "closed gop": media(closed),
        "open gop": media(closed, options=media.interlaced(12, open_gop=True)),
        "one keyframe": media(closed, options=media.interlaced(250)),
        "ten bits": media(closed, pixel_format="yuv420p10le"),
        "4:2:2": media(closed, pixel_format="yuv422p10le"),
        "mpeg2": media("interlaced mpeg2"),
        "raw": media(closed, name="v.h264"),
        "start offset": media(
            closed, name="v.mkv", pts=tuple(range(2500, 4500, 40)), time_base=Fraction(1, 1000)
        ),
    }  # fmt: skip


INTERLACED = ["closed gop", "open gop", "one keyframe", "ten bits", "4:2:2", "mpeg2", "raw", "start offset"]


@pytest.mark.parametrize("case", INTERLACED)
def test_any_part_of_a_deinterlaced_video_is_the_same(media, case):
    """Every picture shows another number, so that one without its neighbours would differ."""
    path = interlaced_cases(media)[case]
    with PyAvDecoder(path, 2, DEINTERLACED) as decoder:
        assert decoder.info.interlaced
        whole = [(f.frame_index, f.pts, content(f.image)) for f in decoder.frames()]
        assert [index for index, *_ in whole] == list(range(50))
        assert [pts for _, pts, _ in whole] == decoder.index.pts.tolist()
        for first, end in PARTS:
            part = [(f.frame_index, f.pts, content(f.image)) for f in decoder.frames(first, end)]
            assert part == whole[first:end], f"frames {first} to {end}"
        assert decoder.num_corrupt == 0


@pytest.mark.parametrize("case", INTERLACED)
def test_deinterlacing_changes_every_picture_but_not_what_it_shows(media, case):
    path = interlaced_cases(media)[case]
    woven, made = decoded(path, PictureOptions()), decoded(path, DEINTERLACED)
    assert all(content(woven[index].image) != content(made[index].image) for index in woven)
    assert [media.read_number(frame.image.y) for frame in made.values()] == list(range(50))


def test_the_number_of_threads_does_not_matter(media):
    path = media("interlaced")
    one, three = (decoded(path, DEINTERLACED, threads=threads) for threads in (1, 3))
    assert [content(f.image) for f in one.values()] == [content(f.image) for f in three.values()]


@pytest.mark.parametrize("name", ["closed gop", "hevc", "ten bits"])
def test_progressive_videos_are_not_touched(media, name):
    plain, made = decoded(media(name), PictureOptions()), decoded(media(name), DEINTERLACED)
    assert [content(f.image) for f in plain.values()] == [content(f.image) for f in made.values()]


def test_a_moving_edge_is_straight(media, tmp_path):
    """Two fields 1/50 s apart show a bar at two places; afterwards there is one bar."""

    def woven(number):
        rgb = np.full((64, 96, 3), 40, np.uint8)
        for field in (0, 1):
            left = 3 * (2 * number + field) % 64
            rgb[field::2, left : left + 24] = 220
        return rgb

    recipe = media.recipe(num_frames=20, options=media.interlaced(12))
    path = media.write(tmp_path / "v.mp4", recipe, woven)
    for picture, straight in ((PictureOptions(), False), (DEINTERLACED, True)):
        for frame in decoded(path, picture).values():
            luma = frame.image.y[2:-2].astype(int)
            between_lines = np.abs(np.diff(luma, axis=0)).max(axis=1)
            assert (np.median(between_lines) < 30) == straight, frame.frame_index


@pytest.mark.parametrize("picture", [DEINTERLACED, PictureOptions(depth=10, deinterlace=True)])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_cut_off_file(media, tmp_path, picture, share):
    whole = media("interlaced", container_options=(("movflags", "faststart"),)).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert list(decoded(path, picture)) == list(decoded(path, PictureOptions()))


@pytest.mark.parametrize("name", ["closed gop", "ten bits", "4:4:4", "odd size", "rotated", "vp9", "pq"])
def test_ten_bits(media, name):
    path = media(name)
    plain, deep = decoded(path, PictureOptions()), decoded(path, DEEP)
    assert list(plain) == list(deep)
    for eight, ten in zip(plain.values(), deep.values(), strict=True):
        assert (eight.image.depth, ten.image.depth) == (8, 10)
        assert (ten.image.colour, ten.image.rotation) == (eight.image.colour, eight.image.rotation)
        for name_of_plane in "yuv":
            low, high = (getattr(image, name_of_plane).astype(int) for image in (eight.image, ten.image))
            assert low.shape == high.shape
            assert np.abs(high - 4 * low).max() <= 4  # dither
    assert [media.read_number(frame.image.y // 4) for frame in deep.values()] == list(plain)


@pytest.mark.parametrize("name", ["pq", "hlg"])
@pytest.mark.parametrize("depth", [8, 10])
def test_hdr_becomes_sdr(media, name, depth):
    path = media(name)
    picture = PictureOptions(depth=depth, tone_map=True)
    with PyAvDecoder(path, 2, picture) as decoder:
        assert (decoder.info.colour, decoder.info.is_hdr, decoder.info.hdr) == (SDR, False, None)
        frames = list(decoder.frames())
        assert [media.read_number(f.image.y // 2 ** (depth - 8)) for f in frames] == list(range(50))
        assert {(f.image.colour, f.image.depth) for f in frames} == {(SDR, depth)}
        part = [content(f.image) for f in decoder.frames(17, 23)]
        assert part == [content(f.image) for f in frames[17:23]]
    with PyAvDecoder(path, 2) as decoder:
        assert decoder.info.is_hdr and decoder.info.colour.matrix == 9
        hdr = next(decoder.frames()).image
    middle = (slice(36, 60), slice(4, 8))  # of the first stripe, a grey
    signal = (hdr.y[middle].mean() - 16) / 219
    wanted = 16 + 219 * to_sdr([signal] * 3, PQ if name == "pq" else HLG, 9, 1000.0)[0]
    assert frames[0].image.y[middle].mean() / 2 ** (depth - 8) == pytest.approx(wanted, abs=1.5)


@pytest.mark.parametrize("name", ["closed gop", "ten bits", "4:4:4"])
def test_sdr_is_not_tone_mapped(media, name):
    plain, made = decoded(media(name), PictureOptions()), decoded(media(name), MAPPED)
    assert [content(f.image) for f in plain.values()] == [content(f.image) for f in made.values()]


@pytest.mark.parametrize("picture", [MAPPED, PictureOptions(depth=10, tone_map=True)])
def test_a_rotated_hdr_video_of_odd_size(media, picture):
    path = media("pq", name="v.mkv", codec="ffv1", size=(97, 63), options=(("color_trc", "smpte2084"),), rotation=90)
    with PyAvDecoder(path, 1, picture) as decoder:
        assert (decoder.info.width, decoder.info.height, decoder.info.rotation) == (63, 97, 90)
        frame = next(decoder.frames())
    assert (frame.image.width, frame.image.height, frame.image.rotation) == (97, 63, 90)
    assert frame.image.colour == SDR


@pytest.mark.parametrize(
    "picture", [DEINTERLACED, DEEP, MAPPED, PictureOptions(depth=10, deinterlace=True, tone_map=True)]
)
@pytest.mark.parametrize("name", ["interlaced", "pq"])
def test_the_size_changes_midway(media, tmp_path, picture, name):
    small, large = (media(name, name="v.ts", size=size) for size in ((96, 64), (192, 128)))
    path = tmp_path / "v.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    frames = decoded(path, picture)
    assert list(frames) == list(decoded(path, PictureOptions())) and len(frames) >= 50
    assert {(f.image.width, f.image.height, f.image.depth) for f in frames.values()} == {(96, 64, picture.depth)}


def test_a_device_opens_it_as_asked(media):
    cpu = DeviceChoice("cpu", "asked for")
    with open_decoder(media("pq"), cpu, 1, PictureOptions(depth=10, tone_map=True)) as decoder:
        assert decoder.info.colour == SDR
        assert next(decoder.frames()).image.depth == 10
    with open_decoder(media("pq"), cpu, 1) as decoder:
        assert decoder.info.is_hdr
        assert next(decoder.frames()).image.depth == 8
