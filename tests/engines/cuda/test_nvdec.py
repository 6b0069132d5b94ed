"""Decoding on NVDEC, against a stand-in that decodes the very bytes it is given with FFmpeg, on lazy streams."""

import numpy as np
import pytest

from dft.configs.errors import VideoNotFoundError
from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.cuda.nvdec import NvDecoder
from dft.engines.cuda.refusal import RefusedError
from dft.engines.protocols import PictureOptions

TAKEN = [
    "closed gop", "open gop", "intra only", "one keyframe", "variable rate", "variable rate mp4", "start offset",
    "transport stream", "hevc", "mpeg2", "raw h264", "rotated", "with sound", "ten bits", "pq",
]  # fmt: skip
SPANS = [(0, 1), (1, 2), (5, 6), (7, 19), (11, 14), (12, 13), (24, 50), (49, 50), (48, None)]


def depth_of(name):
    return PictureOptions(depth=10 if name in ("ten bits", "pq") else 8)


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
