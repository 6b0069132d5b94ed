"""The ladder of decoders: which rung is taken, why, and what happens when one gives up."""

import gc
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dft.configs.errors import BackendUnavailableError, DftError, EngineError, VideoNotFoundError
from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.cuda import decode
from dft.engines.cuda.counters import reset, transfers
from dft.engines.cuda.decode import RUNGS, CudaDecoder, UploadDecoder, split_at_keyframes
from dft.engines.cuda.hwaccel import HwAccelDecoder
from dft.engines.cuda.refusal import RefusedError
from dft.engines.cuda.surfaces import SurfaceCopy
from dft.engines.protocols import Decoder, FrameIndex, PictureOptions


@pytest.fixture
def no_hwaccel(monkeypatch):
    def refuse(*_):
        raise RefusedError("PyAV cannot open the GPU's decoder", got="no GPU here")

    monkeypatch.setattr(decode, "HwAccelDecoder", refuse)


def test_nvdec_comes_first(nvc, media, planes):
    with CudaDecoder(media("open gop")) as decoder:
        assert isinstance(decoder, Decoder)
        assert (decoder.rung, decoder.why) == ("nvdec", "")
        frames = list(decoder.frames())
        assert [media.read_number(planes(f.image)[0]) for f in frames] == list(range(50))
        assert decoder.num_corrupt == 0


def test_no_frame_crosses_where_nvdec_decodes(nvc, media):
    reset()
    with CudaDecoder(media("closed gop")) as decoder:
        assert len(list(decoder.frames())) == 50
    assert transfers().num_bytes == 0


@pytest.mark.parametrize("name", ["4:4:4", "odd size", "interlaced", "avi", "vp9", "hlg"])
@pytest.mark.parametrize("depth", [8, 10])
def test_what_nvdec_does_not_take_is_uploaded(nvc, no_hwaccel, media, planes, name, depth):
    """As the CPU decodes it, bit for bit, with one copy a frame."""
    path, picture = media(name), PictureOptions(depth=depth, tone_map=True, deinterlace=True)
    reset()
    with CudaDecoder(path, 2, picture) as decoder, PyAvDecoder(path, 2, picture) as cpu:
        assert decoder.rung == "cpu" and "nvdec: " in decoder.why and "pyav-cuda: no GPU here" in decoder.why
        assert (decoder.info, list(decoder.index.pts)) == (cpu.info, list(cpu.index.pts))
        num_bytes = 0
        for ours, theirs in zip(decoder.frames(), cpu.frames(), strict=True):
            image = theirs.image
            assert (ours.frame_index, ours.pts) == (theirs.frame_index, theirs.pts)
            assert (ours.image.colour, ours.image.rotation) == (image.colour, image.rotation)
            for plane, wanted in zip(planes(ours.image), (image.y, image.u, image.v), strict=True):
                np.testing.assert_array_equal(plane, wanted)
            num_bytes += image.y.nbytes + image.u.nbytes + image.v.nbytes
    assert transfers().to_device == {"frames": num_bytes}


def test_why_is_logged_once(nvc, no_hwaccel, media, caplog):
    with caplog.at_level("INFO"):
        CudaDecoder(media("4:4:4")).close()
    (line,) = [record.getMessage() for record in caplog.records if record.name.endswith("cuda.decode")]
    assert line.startswith("v.mp4 is decoded by rung cpu: nvdec: pixel format yuv444p") and "\n" not in line


def test_a_rung_can_be_forced(nvc, media):
    with CudaDecoder(media("closed gop"), rungs=("cpu",)) as decoder:
        assert (decoder.rung, decoder.why, nvc.num_sessions) == ("cpu", "", 0)
    with pytest.raises(EngineError, match=r"cannot be decoded for the GPU; got nvdec: pixel format yuv444p"):
        CudaDecoder(media("4:4:4"), rungs=("nvdec",))


def test_scaling_while_decoding_leaves_only_nvdec(nvc, media):
    with CudaDecoder(media("closed gop"), size=(48, 32)) as decoder:
        assert next(decoder.frames()).image.width == 48
    with pytest.raises(EngineError, match="4:2:0"):
        CudaDecoder(media("4:4:4"), size=(48, 32))


def test_missing_packages_lead_to_the_cpu(cupy, no_hwaccel, media, monkeypatch):
    monkeypatch.setattr("dft.engines.cuda.nvdec.why_no_pynvvideocodec", lambda: "PyNvVideoCodec is not installed")
    with CudaDecoder(media("closed gop")) as decoder:
        assert decoder.rung == "cpu" and decoder.why.startswith("nvdec: PyNvVideoCodec is not installed; pyav-cuda: ")


def test_an_error_of_nvdec_midway_is_taken_over_by_the_next_rung(nvc, no_hwaccel, media, planes):
    real = nvc.decoders

    class Failing(real):
        num_decoded = 0

        def Decode(self, data):
            self.num_decoded += 1
            if self.num_decoded > 20:
                raise RuntimeError("error 700")
            return super().Decode(data)

    nvc.decoders = Failing
    with CudaDecoder(media("closed gop")) as decoder:
        frames = [(f.frame_index, media.read_number(planes(f.image)[0]), decoder.rung) for f in decoder.frames()]
        assert [(index, number) for index, number, _ in frames] == [(i, i) for i in range(50)]
        changed = next(index for index, _, rung in frames if rung == "cpu")
        assert 0 < changed <= 20 and {rung for *_, rung in frames[changed:]} == {"cpu"}
        assert f"nvdec: NVDEC stopped; got error 700 at frame {changed}" in decoder.why
        assert decoder.num_corrupt == 0
        assert [f.frame_index for f in decoder.frames(5, 7)] == [5, 6]


def test_a_size_that_changes_midway_goes_on(nvc, no_hwaccel, media, tmp_path):
    small = media("closed gop", name="v.ts")
    large = media("closed gop", name="v.ts", size=(192, 128), pts=tuple(range(60, 110)))
    path = tmp_path / "v.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with CudaDecoder(path) as decoder:
        frames = list(decoder.frames())
        assert [f.frame_index for f in frames] == list(range(100))
        assert {(f.image.width, f.image.height) for f in frames} == {(96, 64)}
        assert decoder.rung == "cpu" and "size changes midway" in decoder.why


def test_without_cupy_it_says_what_to_install(media, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendUnavailableError, match=r"held on the GPU; got cupy .*pip install.*; use --device cpu"):
        CudaDecoder(media("closed gop"))


def test_errors_of_the_file_are_no_refusals(nvc, tmp_path):
    with pytest.raises(VideoNotFoundError):
        CudaDecoder(tmp_path / "no.mp4")


def test_pyav_on_a_machine_without_a_gpu_is_refused_in_one_line(media, needs_no_gpu):
    with pytest.raises(RefusedError) as caught:
        HwAccelDecoder(media("closed gop"))
    assert "\n" not in str(caught.value) and "PyAV" in str(caught.value)


def test_pyav_works_in_cupy_s_context(cupy, media, monkeypatch):
    """PyAV's own choice, the primary context, is refused by FFmpeg once CuPy has made it."""
    asked = []

    def opened(path, hwaccel):
        asked.append((hwaccel.options, hwaccel.device_id, hwaccel.is_hw_owned, hwaccel.allow_software_fallback))
        raise NotImplementedError("no GPU here")

    monkeypatch.setattr(cupy.cuda.runtime, "setDevice", asked.append)
    monkeypatch.setattr("dft.engines.cuda.hwaccel.why_no_cupy", lambda: None)
    monkeypatch.setattr("dft.engines.cuda.hwaccel.open_video", opened)
    with pytest.raises(RefusedError, match="PyAV cannot open the GPU's decoder; got no GPU here"):
        HwAccelDecoder(media("closed gop"))
    assert asked == [0, ({"primary_ctx": "0", "current_ctx": "1"}, 0, True, False)]


@pytest.fixture
def needs_no_gpu():
    from dft.configs.hardware import why_no_cuda

    if why_no_cuda() is None:
        pytest.skip("there is a GPU")


def test_upload_can_be_iterated_and_closed_again_and_again(cupy, media, planes):
    decoder = UploadDecoder(media("closed gop"), 2)
    assert [media.read_number(planes(f.image)[0]) for f in decoder.frames(3, 9)] == list(range(3, 9))
    decoder.close()
    decoder.close()
    kept = [f.image for f in decoder.frames()]
    assert [media.read_number(planes(image)[0]) for image in kept] == list(range(50))
    decoder.close()


def test_a_dropped_uploader_lets_its_last_copy_end(cupy, planes):
    """Its pinned memory is given back, and written by whoever gets it next."""
    from dft.engines.cpu.image import YuvImage
    from dft.engines.cuda.transfer import Uploader
    from dft.engines.protocols import Colour

    y, u, v = (np.full(shape, value, np.uint8) for shape, value in (((16, 16), 10), ((8, 8), 20), ((8, 8), 30)))
    upload = Uploader(16, 16)
    image = upload(YuvImage(y, u, v, Colour(), 0))
    del upload
    gc.collect()
    assert [set(plane.ravel().tolist()) for plane in planes(image)] == [{10}, {20}, {30}]


@pytest.mark.parametrize("rung", ["nvdec", "cpu"])
def test_a_known_index_is_not_read_again(nvc, media, monkeypatch, rung):
    path = media("closed gop")
    with CudaDecoder(path, 1) as decoder:
        index = decoder.index
    for module in ("cuda.nvdec", "cpu.decode"):
        monkeypatch.setattr(f"dft.engines.{module}.scan", None)
    with CudaDecoder(path, 1, rungs=(rung,), index=index) as decoder:
        assert decoder.index is index and decoder.rung == rung
        assert [f.frame_index for f in decoder.frames(20, 23)] == [20, 21, 22]


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("gap", [0, 8])
def test_surfaces_with_padded_rows(cupy, bits, depth, gap):
    """As FFmpeg maps them: rows padded, chroma right after luma or further on."""
    from dft.engines.cuda.ring import Ring
    from dft.engines.protocols import Colour

    random = np.random.default_rng(5)
    values = random.integers(0, 1 << bits, (36 + gap, 160), np.uint16)
    surface = values.astype(np.uint8) if bits == 8 else values << 6
    stream, pitch = cupy.cuda.Stream(), surface.strides[0]
    start = surface.ctypes.data
    copy = SurfaceCopy(96, 24, bits, stream)

    def enqueue(slot):
        copy(slot, (start, pitch), (start + (24 + gap) * pitch, pitch))

    image = Ring(96, 24, depth).fill(stream, enqueue, Colour())
    stream.synchronize()
    wanted = values.astype(int)
    if (bits, depth) == (8, 10):
        wanted = wanted << 2
    if (bits, depth) == (10, 8):
        wanted = np.minimum((wanted + 2) >> 2, 255)
    held = [np.asarray(plane).astype(int) >> (0 if depth == 8 else 6) for plane in (image.y, image.uv)]
    np.testing.assert_array_equal(held[0], wanted[:24, :96])
    np.testing.assert_array_equal(held[1].reshape(12, 96), wanted[24 + gap :, :96])


@given(
    keyframe=st.lists(st.booleans(), min_size=1, max_size=200), num_parts=st.integers(1, 9), seekable=st.booleans()
)  # fmt: skip
def test_spans_cover_the_video_and_begin_at_keyframes(keyframe, num_parts, seekable):
    index = FrameIndex(np.arange(len(keyframe)), np.array(keyframe), len(keyframe), seekable)
    spans = split_at_keyframes(index, num_parts)
    assert 1 <= len(spans) <= num_parts
    assert spans[0][0] == 0 and spans[-1][1] == len(keyframe)
    assert all(first < end for first, end in spans)
    assert all(end == first for (_, end), (first, _) in pairwise(spans))
    assert all(keyframe[first] and seekable for first, _ in spans[1:])


def test_spans_are_about_equal_where_keyframes_allow():
    keyframe = np.arange(7000) % 50 == 0
    spans = split_at_keyframes(FrameIndex(np.arange(7000), keyframe, 7000), 7)
    assert [end - first for first, end in spans] == [1000] * 7


def test_spans_decoded_apart_are_the_video(nvc, media):
    path = media("open gop")
    spans = split_at_keyframes(CudaDecoder(path).index, 4)
    assert len(spans) == 4
    found = []
    for span in spans:
        with CudaDecoder(path) as decoder:
            found += [f.frame_index for f in decoder.frames(*span)]
    assert found == list(range(50))


def test_the_rungs_are_named():
    assert ("nvdec", HwAccelDecoder.rung, UploadDecoder.rung) == RUNGS


@pytest.mark.parametrize("case", [("v.mp4", (("movflags", "faststart"),)), ("v.mkv", ()), ("v.ts", ()), ("v.h264", ())])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage(nvc, no_hwaccel, media, tmp_path, case, data):
    """Whatever is broken: frames ascend, have the times of the index and one size, and no foreign error escapes."""
    name, container_options = case
    content = bytearray(media("closed gop", name=name, container_options=container_options).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(len(content) // 8, len(content) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=200))
        content[at : at + len(piece)] = piece
    path = tmp_path / name
    path.write_bytes(content)
    try:
        with CudaDecoder(path, 1) as decoder:
            frames = list(decoder.frames())
    except DftError as error:
        assert "\n" not in str(error)
        return
    indices = [f.frame_index for f in frames]
    assert indices == sorted(set(indices))
    assert [f.pts for f in frames] == decoder.index.pts[indices].tolist()
    assert {(f.image.width, f.image.height) for f in frames} <= {(decoder.info.width, decoder.info.height)}


@pytest.fixture
def failing(nvc):
    """Has NVDEC fail at the packet that a session is given after so many others; one number a session, then none."""
    real, left = nvc.decoders, []

    class Failing(real):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.num_left = left.pop(0) if left else None

        def Decode(self, data):
            if self.num_left == 0:
                raise RuntimeError("error 700")
            if self.num_left is not None:
                self.num_left -= 1
            return super().Decode(data)

    nvc.decoders = Failing
    return left.extend


def rungs_of(decoder, media, planes, *span):
    """The rung of each frame, all of which are there and right."""
    taken = []
    for number, frame in enumerate(decoder.frames(*span), span[0] if span else 0):
        assert frame.frame_index == media.read_number(planes(frame.image)[0]) == number
        taken.append(decoder.rung)
    return taken


def test_after_an_error_the_next_stretch_is_decoded_by_nvdec_again(nvc, no_hwaccel, failing, media, planes):
    failing([20])
    with CudaDecoder(media("closed gop"), seams=(0, 24, 48)) as decoder:
        taken = rungs_of(decoder, media, planes)
        lost = taken.index("cpu")
        assert 0 < lost <= 20 and taken == ["nvdec"] * lost + ["cpu"] * (24 - lost) + ["nvdec"] * 26
        (setback,) = decoder.setbacks
        assert setback.frame_index == lost
        assert setback.recovery.cause == f"nvdec gave up at frame {lost}: NVDEC stopped; got error 700"
        assert setback.recovery.answer == "decoded by rung cpu up to frame 24"
        assert f"error 700 at frame {lost}" in decoder.why and decoder.num_corrupt == 0
        assert nvc.num_sessions == 2


def test_after_three_errors_it_stays_down(nvc, no_hwaccel, failing, media, planes):
    failing([5, 5, 5, 5])
    with CudaDecoder(media("closed gop"), seams=range(0, 50, 12)) as decoder:
        taken = rungs_of(decoder, media, planes)
        assert taken[-14:] == ["cpu"] * 14 and "nvdec" in taken[24:36]
        assert [setback.frame_index // 12 for setback in decoder.setbacks] == [0, 1, 2]
        assert decoder.setbacks[-1].recovery.answer == "decoded by rung cpu from there on"
        assert rungs_of(decoder, media, planes, 36, 50) == ["cpu"] * 14 and nvc.num_sessions == 3


def test_frames_asked_for_later_are_decoded_by_nvdec_again(nvc, no_hwaccel, failing, media, planes):
    failing([20])
    with CudaDecoder(media("closed gop"), seams=(0, 24)) as decoder:
        assert rungs_of(decoder, media, planes, 0, 22)[-1] == "cpu"
        assert set(rungs_of(decoder, media, planes, 2, 20)) == {"cpu"}
        assert set(rungs_of(decoder, media, planes, 30, 40)) == {"nvdec"}
        assert set(rungs_of(decoder, media, planes, 2, 20)) == {"nvdec"}


def test_without_seams_a_stretch_ends_at_a_keyframe(nvc, no_hwaccel, failing, media, planes, monkeypatch):
    monkeypatch.setattr(decode, "STRETCH_SECONDS", 0.5)
    failing([20])
    with CudaDecoder(media("closed gop")) as decoder:
        taken = rungs_of(decoder, media, planes)
        lost = taken.index("cpu")  # half a second later is frame 25 to 36, and the next keyframe is 36
        assert 12 < lost <= 20 and taken == ["nvdec"] * lost + ["cpu"] * (36 - lost) + ["nvdec"] * 14


def test_a_rung_that_takes_the_video_no_more_is_not_tried_again(nvc, no_hwaccel, failing, media, planes):
    failing([20])
    with CudaDecoder(media("closed gop"), seams=(0, 24, 36)) as decoder:
        frames = decoder.frames()
        while decoder.rung == "nvdec":
            next(frames)
        nvc.caps["supported"] = 0
        decode.NvDecoder.__init__.__globals__["decoder_caps"].cache_clear()
        assert {decoder.rung for _ in frames} == {"cpu"} and "does not decode h264" in decoder.why
