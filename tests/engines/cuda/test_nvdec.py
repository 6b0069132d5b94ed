"""Decoding on NVDEC, against a stand-in that decodes the very bytes it is given with FFmpeg, on lazy streams."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import VideoNotFoundError
from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.cuda.nvdec import MAX_WITHHELD, NvDecoder, num_engines
from dft.engines.cuda.packets import entries
from dft.engines.cuda.refusal import RefusedError
from dft.engines.protocols import FrameIndex, PictureOptions

from .conftest import HEVC_BLA, HEVC_CRA, HEVC_RASL, hevc_picture_type

TAKEN = [
    "closed gop", "open gop", "intra only", "one keyframe", "variable rate", "variable rate mp4", "start offset",
    "transport stream", "hevc", "mpeg2", "raw h264", "rotated", "with sound", "ten bits", "pq", "hlg",
]  # fmt: skip
SPANS = [(0, 1), (1, 2), (5, 6), (7, 19), (11, 14), (12, 13), (24, 50), (49, 50), (48, None)]


def depth_of(name):
    return PictureOptions(depth=10 if name in ("ten bits", "pq", "hlg") else 8)


def seen(frames, planes):
    return [(f.frame_index, f.pts, b"".join(plane.tobytes() for plane in planes(f.image))) for f in frames]


def reference(path, first=0, end=None, picture=None):
    with PyAvDecoder(path, 1, picture or PictureOptions()) as decoder:
        return [
            (f.frame_index, f.pts, b"".join(plane.tobytes() for plane in (f.image.y, f.image.u, f.image.v)))
            for f in decoder.frames(first, end)
        ]


@pytest.mark.parametrize("name", TAKEN)
def test_frames_times_and_pixels_are_the_cpu_s(nvc, media, planes, name):
    path, picture = media(name), depth_of(name)
    with NvDecoder(path, picture) as decoder:
        assert seen(decoder.frames(), planes) == reference(path, picture=picture)
        assert decoder.num_corrupt == 0
        with PyAvDecoder(path, 1, picture) as cpu:
            assert decoder.info == cpu.info
            np.testing.assert_array_equal(decoder.index.pts, cpu.index.pts)


@pytest.mark.parametrize("name", TAKEN)
def test_any_part_is_the_same_part(nvc, media, planes, name):
    path, picture = media(name), depth_of(name)
    whole = reference(path, picture=picture)
    with NvDecoder(path, picture) as decoder:
        for first, end in SPANS:
            assert seen(decoder.frames(first, end), planes) == whole[first:end], f"frames {first} to {end}"
        assert decoder.num_corrupt == 0


@pytest.fixture
def closed_to_cra(nvc, monkeypatch):
    """Whatever is made of a CRA picture, it is no way in."""
    monkeypatch.setattr(nvc.decoders, "kept_back", (HEVC_BLA, HEVC_CRA))


def test_a_keyframe_that_gives_no_picture_is_entered_one_earlier(nvc, closed_to_cra, media):
    """The frames before the wanted one are not given out."""
    with NvDecoder(media("hevc")) as decoder:
        assert np.flatnonzero(decoder.index.keyframe).tolist() == [0, 12, 24, 36, 48]
        assert ([f.frame_index for f in decoder.frames(24, 26)], nvc.num_sessions) == ([24, 25], 2)
        assert ([f.frame_index for f in decoder.frames(26, 30)], nvc.num_sessions) == ([26, 27, 28, 29], 2)
        assert ([f.frame_index for f in decoder.frames(14, 16)], nvc.num_sessions) == ([14, 15], 3)
        assert decoder.num_corrupt == 0


def test_leading_pictures_of_the_keyframe_that_is_entered_are_left_out(nvc, media, planes):
    """Given them, the driver confuses their times with that of the keyframe."""
    real, types_given = nvc.decoders, []

    class Looking(real):
        def _look_at(self, content, pts):
            super()._look_at(content, pts)
            types_given.append(hevc_picture_type(content))

    nvc.decoders = Looking
    with NvDecoder(media("hevc")) as decoder:
        for first in (12, 24, 36):
            types_given.clear()
            (frame,) = decoder.frames(first, first + 1)
            assert (frame.frame_index, media.read_number(planes(frame.image)[0])) == (first, first)
            assert types_given[0] == HEVC_CRA and types_given[1] not in HEVC_RASL
        assert (decoder.num_corrupt, nvc.num_sessions) == (0, 3)


@pytest.mark.parametrize(("first", "tried"), [(150, [144, 132, 108, 60, 0]), (7, [0]), (149, [144, 132, 108, 60, 0])])
def test_the_way_back_ends_at_the_first_frame_and_is_given_up_early(nvc, closed_to_cra, media, first, tried):
    """A parser that waits for an IDR picture, of which there is one, gets no more packets than can be in its pipe."""
    real, given_packets = nvc.decoders, []

    class WaitingForIdr(real):
        def __init__(self, *args):
            super().__init__(*args)
            given_packets.append(0)

        def _look_at(self, content, pts):
            super()._look_at(content, pts)
            given_packets[-1] += 1
            if self._withheld > -(2**40):
                self._withheld = 2**40

    nvc.decoders = WaitingForIdr
    with NvDecoder(media("hevc", num_frames=300)) as decoder:
        assert [f.frame_index for f in decoder.frames(first, first + 2)] == [first, first + 1]
        assert decoder.num_corrupt == 0
    assert len(given_packets) == len(tried)
    for key, num in zip(tried, given_packets, strict=True):
        assert num <= first - key + MAX_WITHHELD + 2


@given(keyframe=st.lists(st.booleans(), min_size=1, max_size=200), data=st.data())
def test_entries_go_back_ever_faster_and_end_at_the_start(keyframe, data):
    index = FrameIndex(np.arange(len(keyframe)), np.array(keyframe), len(keyframe))
    first = data.draw(st.integers(0, len(keyframe) - 1))
    found = entries(index, first)
    assert found[-1] == 0 and all(earlier < later for later, earlier in pairwise(found))
    assert all(keyframe[key] for key in found[:-1])
    assert found[0] == max((key for key in range(1, first + 1) if keyframe[key]), default=0)
    assert len(found) <= 1 + len(keyframe).bit_length()


def test_a_video_that_cannot_be_sought_is_entered_at_its_start():
    assert entries(FrameIndex(np.arange(9), np.ones(9, bool), 9, seekable=False), 7) == [0]


def test_a_known_index_is_not_read_again(nvc, media, monkeypatch):
    path = media("closed gop")
    with NvDecoder(path) as decoder:
        index = decoder.index
    monkeypatch.setattr("dft.engines.cuda.nvdec.scan", None)
    with NvDecoder(path, index=index) as decoder:
        assert decoder.index is index
        assert [f.frame_index for f in decoder.frames(20, 23)] == [20, 21, 22]


def test_a_picture_costs_one_copy(nvc, cupy, media, monkeypatch):
    copies, real = [], cupy.cuda.runtime.memcpy2DAsync

    def counted(*args):
        copies.append(args)
        real(*args)

    monkeypatch.setattr(cupy.cuda.runtime, "memcpy2DAsync", counted)
    with NvDecoder(media("closed gop")) as decoder:
        assert len(list(decoder.frames(0, 20))) == len(copies) == 20


def test_engines_are_counted_once(nvc, monkeypatch):
    asked, real = [], nvc.GetDecoderCaps

    def counted(**args):
        asked.append(args["gpuid"])
        return real(**args)

    monkeypatch.setattr(nvc, "GetDecoderCaps", counted)
    assert [num_engines(), num_engines(), num_engines(1)] == [7, 7, 7]
    assert asked == [0, 1]


@pytest.mark.parametrize("caps", [{}, {"num_decoder_engines": 0}])
def test_an_untold_number_of_engines_is_one(nvc, monkeypatch, caps):
    monkeypatch.setattr(nvc, "GetDecoderCaps", lambda **_: caps)
    assert num_engines() == 1


def test_without_nvdec_there_is_one_engine(nvc, monkeypatch):
    def fail(**_):
        raise RuntimeError("CUDA driver API error")

    monkeypatch.setattr(nvc, "GetDecoderCaps", fail)
    assert num_engines() == 1
    num_engines.cache_clear()
    monkeypatch.setattr("dft.engines.cuda.nvdec.why_no_pynvvideocodec", lambda: "it is not installed")
    assert num_engines() == 1


def test_an_iteration_goes_on_where_the_last_one_stopped(nvc, media, planes):
    """Chunks that follow each other cost one session and no seeking."""
    path = media("open gop")
    with NvDecoder(path) as decoder:
        found = [each for span in ((0, 7), (7, 30), (30, None)) for each in seen(decoder.frames(*span), planes)]
        assert (found, nvc.num_sessions) == (reference(path), 1)
        assert [f.frame_index for f in decoder.frames(3, 5)] == [3, 4]
        assert nvc.num_sessions == 2


def test_it_goes_on_after_an_iteration_that_was_left(nvc, media):
    with NvDecoder(media("closed gop")) as decoder:
        running = decoder.frames()
        assert [next(running).frame_index for _ in range(4)] == [0, 1, 2, 3]
        running.close()
        assert [f.frame_index for f in decoder.frames(4, 6)] == [4, 5]
        held = decoder.frames(9)
        next(held)
        assert [f.frame_index for f in decoder.frames(0, 3)] == [0, 1, 2]
        assert list(held) == []
        assert nvc.num_sessions == 3


def test_a_closed_decoder_ends_its_iteration_and_can_be_used_again(nvc, media):
    decoder = NvDecoder(media("closed gop"))
    running = decoder.frames()
    next(running)
    decoder.close()
    decoder.close()
    assert list(running) == []
    assert len(list(decoder.frames())) == 50
    decoder.close()


def test_images_that_are_kept_do_not_change(nvc, media, planes):
    with NvDecoder(media("closed gop")) as decoder:
        kept = [f.image for f in decoder.frames(0, 40)]
    assert [media.read_number(planes(image)[0]) for image in kept] == list(range(40))


def test_images_that_are_dropped_give_their_memory_back(nvc, media):
    with NvDecoder(media("closed gop")) as decoder:
        for frame in decoder.frames():
            del frame
        assert decoder._ring.num_slots <= 2


@pytest.mark.parametrize(("name", "depth"), [("closed gop", 10), ("ten bits", 8)])
def test_another_depth_is_made_on_the_gpu(nvc, media, planes, name, depth):
    path = media(name)
    with NvDecoder(path, PictureOptions(depth=depth)) as decoder, PyAvDecoder(path, 1) as cpu:
        for ours, theirs in zip(decoder.frames(0, 9), cpu.frames(0, 9), strict=True):
            assert ours.image.depth == depth
            for plane, wanted in zip(planes(ours.image), (theirs.image.y, theirs.image.u, theirs.image.v), strict=True):
                scale = 4 if depth == 10 else 1
                assert np.abs(plane.astype(int) - scale * wanted.astype(int)).max() <= 1  # the CPU dithers


def test_scaling_while_decoding(nvc, media, planes):
    with NvDecoder(media("closed gop", size=(192, 128)), size=(96, 64)) as decoder:
        frames = list(decoder.frames(0, 20))
        assert {(f.image.width, f.image.height) for f in frames} == {(96, 64)}
        assert [media.read_number(planes(f.image)[0]) for f in frames] == list(range(20))
        assert (decoder.info.width, decoder.info.height) == (192, 128)


def test_an_odd_size_is_refused(nvc, media):
    with pytest.raises(RefusedError, match="cannot scale to an odd size; got 96x63; expected even numbers"):
        NvDecoder(media("closed gop"), size=(96, 63))


@pytest.mark.parametrize(
    ("name", "picture", "reason"),
    [
        ("4:4:4", PictureOptions(), "pixel format yuv444p is neither"),
        ("odd size", PictureOptions(), "a size of 97x63 is odd"),
        ("avi", PictureOptions(), "codec mpeg4 is not decoded"),
        ("interlaced", PictureOptions(), "deinterlaces interlaced video"),
        ("interlaced mpeg2", PictureOptions(deinterlace=True), "deinterlacing runs on the CPU"),
        ("pq", PictureOptions(depth=10, tone_map=True), "tone mapping runs on the CPU"),
    ],
)
def test_what_is_refused_and_why(nvc, media, name, picture, reason):
    with pytest.raises(RefusedError, match=reason):
        NvDecoder(media(name), picture)


@pytest.mark.parametrize(
    ("caps", "reason"),
    [
        ({"supported": 0}, "this GPU does not decode h264 of 8 bits"),
        ({"width_min": 144, "height_min": 144}, "96x64 lies outside of 144x144 to 4096x4096"),
        ({"mb_num_max": 20}, "96x64 has more than 20 macroblocks"),
    ],
)
def test_what_the_gpu_cannot_do_is_refused(nvc, media, caps, reason):
    nvc.caps.update(caps)
    with pytest.raises(RefusedError, match=reason):
        NvDecoder(media("closed gop"))


def test_a_driver_that_does_not_answer_is_a_refusal(nvc, media, monkeypatch):
    def fail(**_):
        raise RuntimeError("CUDA driver API error")

    monkeypatch.setattr(nvc, "GetDecoderCaps", fail)
    with pytest.raises(RefusedError, match=r"does not tell what NVDEC can do \(CUDA driver API error\)"):
        NvDecoder(media("closed gop"))


def test_a_session_that_cannot_be_opened_is_a_refusal(nvc, media, monkeypatch):
    def fail(**_):
        raise RuntimeError("out of memory")

    decoder = NvDecoder(media("closed gop"))
    monkeypatch.setattr(nvc, "CreateDecoder", fail)
    with pytest.raises(RefusedError, match="NVDEC cannot be opened; got out of memory"):
        list(decoder.frames())


def test_an_error_midway_is_a_refusal_and_the_decoder_stays_usable(nvc, media):
    real = nvc.decoders

    class Failing(real):
        num_decoded = 0

        def Decode(self, data):
            self.num_decoded += 1
            if self.num_decoded > 20:
                raise RuntimeError("cuvidDecodePicture returned error 700")
            return super().Decode(data)

    nvc.decoders = Failing
    with NvDecoder(media("closed gop")) as decoder:
        found = []
        with pytest.raises(RefusedError, match="NVDEC stopped; got cuvidDecodePicture"):
            found += [f.frame_index for f in decoder.frames()]
        nvc.decoders = real
        assert [f.frame_index for f in decoder.frames(18, 22)] == [18, 19, 20, 21]


def test_a_size_that_changes_midway_is_a_refusal(nvc, media, tmp_path):
    small, large = (media(media.videos["closed gop"], name="v.ts", size=size) for size in ((96, 64), (192, 128)))
    path = tmp_path / "v.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with (
        pytest.raises(RefusedError, match="the picture's size changes midway; got 192x128"),
        NvDecoder(path) as decoder,
    ):
        list(decoder.frames())


def test_lost_frames_are_counted_and_the_others_come(nvc, media, tmp_path):
    """Three packets of an all-intra file are overwritten."""
    import av

    content = bytearray(media("intra only").read_bytes())
    with av.open(str(media("intra only"))) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    lost = [10, 20, 21]
    for at, size in (places[number] for number in lost):
        content[at : at + size] = b"\xff" * size
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with NvDecoder(path) as decoder:
        assert [f.frame_index for f in decoder.frames()] == [i for i in range(50) if i not in lost]
        assert decoder.num_corrupt == 3
        assert [f.frame_index for f in decoder.frames(19, 21)] == [19]  # 20 is lost, as is known when 22 comes
        assert decoder.num_corrupt == 4
        assert [f.frame_index for f in decoder.frames(21, 23)] == [22]
        assert decoder.num_corrupt == 5


@pytest.mark.parametrize("share", [0.6, 0.8])
def test_a_cut_off_file_is_used_as_far_as_it_goes(nvc, media, tmp_path, share):
    content = media("closed gop", container_options=(("movflags", "faststart"),)).read_bytes()
    path = tmp_path / "v.mp4"
    path.write_bytes(content[: int(len(content) * share)])
    with NvDecoder(path) as decoder:
        assert decoder.index.ended_early
        indices = [f.frame_index for f in decoder.frames()]
        assert indices == [index for index, *_ in reference(path)]
        assert decoder.num_corrupt == len(decoder.index) - len(indices)


def test_no_foreign_error_for_a_missing_file(nvc, tmp_path):
    with pytest.raises(VideoNotFoundError):
        NvDecoder(tmp_path / "no.mp4")


def test_the_range_is_cut_to_the_video(nvc, media):
    with NvDecoder(media("closed gop")) as decoder:
        assert [f.frame_index for f in decoder.frames(47, 99)] == [47, 48, 49]
        assert [list(decoder.frames(*span)) for span in ((3, 3), (4, 2), (50, None), (50, 55))] == [[], [], [], []]
