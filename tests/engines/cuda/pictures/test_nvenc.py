"""NVENC against a stand-in of PyNvVideoCodec that keeps to what its documentation and samples say, and to no more."""

import ctypes
import inspect
import sys
import types
from collections import deque
from fractions import Fraction

import av
import numpy as np
import pytest

from dft.configs.errors import BackendUnavailableError, EncoderBusyError, EngineError, OutputError
from dft.configs.hardware import why_no_cuda
from dft.engines import join
from dft.engines.cpu.priority import usual_priority
from dft.engines.cuda import nvenc as nvenc_module
from dft.engines.cuda import sessions
from dft.engines.cuda.compose import CudaCompositor
from dft.engines.cuda.counters import reset, transfers
from dft.engines.cuda.encode import open_cuda_encoder
from dft.engines.cuda.nvenc import NvencEncoder, nvenc_options, why_no_encoder
from dft.engines.cuda.sessions import count_sessions
from dft.engines.protocols import Canvas, Colour, EncodeOptions, Encoder, HdrMetadata, Tile

SIZE = (192, 128)
OPTIONS = {  # every option that NvEncoderClInterface.cpp reads; others it ignores without a word
    "codec", "preset", "tuning_info", "rc", "fps", "gop", "bf", "cq", "bitrate", "maxbitrate", "vbvbufsize", "constqp",
    "repeatspspps", "use_ivf_container", "colorspace", "gpu_id", "idrperiod", "lookahead", "aq", "temporalaq",
}  # fmt: skip
PLANES = {  # PyCAIMemoryView.cpp: type string, and per plane the shape and the strides that it wants
    "NV12": ("|u1", lambda w, h: (((h, w, 1), (w, 1, 1)), ((h // 2, w // 2, 2), (w, 2, 1)))),
    "P010": ("|u2", lambda w, h: (((h, w, 1), (2 * w, 2, 1)), ((h // 2, w // 2, 2), (2 * w, 2, 1)))),
}
LATE = 3  # packets that the library holds back


class UnsupportedError(Exception):
    """For PyNvVCExceptionUnsupported."""


class NV_ENC_PIC_PARAMS:
    __slots__ = ("encodePicFlags", "frameIdx", "inputDuration", "inputTimeStamp")


class PyNvEncoder:
    """Encodes with FFmpeg's libraries; packets come late, in the order of decoding, with headers at keyframes."""

    def __init__(self, width, height, fmt, stream, options):
        self._size, self._format, self._stream = (width, height), fmt, stream
        self._waiting, self._ended = deque(), False
        self._context = made = av.CodecContext.create(
            {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}[options["codec"]], "w"
        )
        made.width, made.height, made.time_base, made.framerate = width, height, Fraction(1, 25), Fraction(25)
        made.pix_fmt = "yuv420p" if fmt == "NV12" else "yuv420p10le"
        if "colorspace" in options:
            made.color_range = 2  # the library's own fault
        quality = {"preset": "ultrafast", "crf": options["cq"]} if "cq" in options else {"preset": "ultrafast"}
        params = f"keyint={options['gop']}:bframes={options['bf']}:log-level=none"
        made.options = {
            "h264": {**quality, "x264-params": params},
            "hevc": {**quality, "x265-params": params + ":repeat-headers=1:open-gop=0"},
            "av1": {"preset": "12", "svtav1-params": "keyint=9999"},
        }[options["codec"]]
        with usual_priority():
            made.open()

    def Encode(self, frame, picParams):
        assert not self._ended
        if not hasattr(frame, "cuda"):
            raise UnsupportedError("incorrect usage of CPU inut buffer")
        assert isinstance(picParams, NV_ENC_PIC_PARAMS)
        y, uv = (self._plane(frame.cuda()[number], number) for number in (0, 1))
        assert uv.ctypes.data > y.ctypes.data, "Unsupported surface allocation. u plane must follow yplane."
        copied = []
        self._stream.enqueue(lambda: copied.extend([y.copy(), uv.copy()]))
        self._stream.run()
        picture = av.VideoFrame(*self._size, self._context.pix_fmt)
        shift = 0 if self._format == "NV12" else 6
        for plane, values in zip(picture.planes, (copied[0], copied[1][..., :1], copied[1][..., 1:]), strict=True):
            rows = np.frombuffer(plane, values.dtype).reshape(plane.height, -1)
            rows[:, : plane.width] = values[..., 0] >> shift
        picture.pts, picture.time_base = picParams.inputTimeStamp, Fraction(1, 25)
        self._waiting.extend(self._context.encode(picture))
        return [self._told(self._waiting.popleft()) for _ in range(len(self._waiting) - LATE)]

    def EndEncode(self):
        self._ended = True
        self._waiting.extend(self._context.encode(None))
        return [self._told(packet) for packet in self._waiting]

    def _told(self, packet):
        return {"data": bytes(packet), "timestamp": packet.pts, "picture_type": 3 if packet.is_keyframe else 0}

    def _plane(self, plane, number):
        told, (kind, form) = plane.__cuda_array_interface__, PLANES[self._format]
        shape, strides = form(*self._size)[number]
        if told["typestr"] not in (kind, "B"):
            raise RuntimeError(f"Could not encode CUDA array! Invalid typstr: {told['typestr']}")
        if told["shape"] != shape:
            raise RuntimeError(f"Invalid shape: {told['shape']}, expected: {shape}")
        if told["strides"] is not None and told["strides"] != strides:
            raise RuntimeError(f"Invalid strides: {told['strides']}, expected: {strides}")
        dtype = np.dtype(np.uint8 if kind == "|u1" else np.uint16)
        held = (ctypes.c_uint8 * (int(np.prod(shape)) * dtype.itemsize)).from_address(told["data"][0])
        return np.frombuffer(held, dtype).reshape(shape)


class FakeNvenc(types.ModuleType):
    """The module ``PyNvVideoCodec``, for encoding."""

    PyNvEncoder, NV_ENC_PIC_PARAMS = PyNvEncoder, NV_ENC_PIC_PARAMS

    def __init__(self, streams):
        super().__init__("PyNvVideoCodec")
        self._streams, self.max_sessions, self.asked, self.num_max_bframes = streams, 3, [], 4
        self.sessions = []

    def GetEncoderCaps(self, gpuid=0, codec="h264"):
        self._check()
        return {"num_max_bframes": self.num_max_bframes, "support_10bit_encode": 1}

    def CreateEncoder(self, width, height, fmt, usecpuinputbuffer, **kwargs):
        self._check()
        stream = self._streams[int(kwargs.pop("cudastream"))]
        assert usecpuinputbuffer is False and fmt in PLANES
        options = {name: str(value) for name, value in kwargs.items()}
        assert options.keys() <= OPTIONS, options.keys() - OPTIONS
        assert options["preset"] in {f"P{n}" for n in range(1, 8)} and options["rc"] in ("constqp", "vbr", "cbr")
        if options["codec"] == "h264" and fmt == "P010":
            raise UnsupportedError("10-bit format isn't supported by H264 encoder")
        self.asked.append(options)
        made = PyNvEncoder(width, height, fmt, stream, options)
        self.sessions = [alive for alive in self.sessions if sys.getrefcount(alive) > 3]
        self.sessions.append(made)
        return made

    def _check(self):
        held = [alive for alive in self.sessions if sys.getrefcount(alive) > 3]
        if len(held) >= self.max_sessions:
            raise UnsupportedError("m_nvenc.nvEncOpenEncodeSessionEx failed : OpenEncodeSessionEx failed")


@pytest.fixture
def nvenc(cupy_on_host, monkeypatch):
    streams = vars(inspect.getmodule(type(cupy_on_host.cuda.Stream.null)))["STREAMS"]
    module = FakeNvenc(streams)
    monkeypatch.setattr(nvenc_module, "_without_encoder", {})
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", module)
    return module


def options_of(**changes):
    form = {"colour": Colour(1, 1, 1), "preset": "veryfast", **changes}
    return EncodeOptions(*SIZE, Fraction(1, 1000), Fraction(25), **form)


def flat(pictures, level, depth=8):
    height, width = SIZE[1], SIZE[0]
    chroma = (height // 2, width // 2)
    return pictures.of([np.full((height, width), float(level)), np.full(chroma, 110.0), np.full(chroma, 150.0)], depth)


def levels_of(path):
    """Luma of every picture in the order of time, in 8 bits; and the first picture."""
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
        assert file.streams.video[0].frames == len(frames)
    return [float(np.median(f.reformat(format="gray").to_ndarray())) for f in frames], frames


@pytest.mark.parametrize(("codec", "depth"), [("h264", 8), ("hevc", 8), ("hevc", 10), ("av1", 8), ("av1", 10)])
def test_a_finished_file_holds_every_picture_in_order(nvenc, pictures, tmp_path, codec, depth):
    levels = [40 + 5 * number for number in range(30)]
    with NvencEncoder(tmp_path / "p.mp4", options_of(codec=codec, depth=depth)) as encoder:
        assert isinstance(encoder, Encoder)
        for number, level in enumerate(levels):
            encoder.write(pictures.on_gpu(flat(pictures, level, depth)), 40 * number + number % 3)
        encoder.finish()
    got, frames = levels_of(tmp_path / "p.mp4")
    assert len(got) == 30 and np.abs(np.diff(got) - np.diff(got).mean()).max() < 4 and got[29] > got[0] + 120
    assert [frame.pts for frame in frames] == sorted(frame.pts for frame in frames)
    assert frames[0].key_frame and frames[0].format.name == ("yuv420p" if depth == 8 else "yuv420p10le")
    u, v = (np.frombuffer(frames[7].planes[n], np.uint8 if depth == 8 else np.uint16)[5] for n in (1, 2))
    assert abs(u / 2 ** (depth - 8) - 110) < 3 and abs(v / 2 ** (depth - 8) - 150) < 3


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize(
    ("colour", "told"),
    [
        (Colour(1, 1, 1), (1, 1, 1, 1)),
        (Colour(1, 1, 1, full_range=True), (1, 1, 1, 2)),
        (Colour(9, 9, 16), (9, 9, 16, 1)),
        (Colour(6, 6, 6), (6, 6, 6, 1)),
        (Colour(0, 1, 13, full_range=True), (1, 1, 13, 1)),  # RGB became limited BT.709
    ],
)
def test_colours_are_told_as_they_are(nvenc, pictures, tmp_path, codec, colour, told):
    with NvencEncoder(tmp_path / "p.mp4", options_of(codec=codec, colour=colour)) as encoder:
        encoder.write(pictures.on_gpu(flat(pictures, 90)), 0)
        encoder.finish()
    with av.open(str(tmp_path / "p.mp4")) as file:
        context, frame = file.streams.video[0].codec_context, next(file.decode(video=0))
    for source in (context, frame):
        assert (source.colorspace, source.color_primaries, source.color_trc, source.color_range) == told


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_pieces_are_joined_and_keep_their_times(nvenc, pictures, tmp_path, codec):
    stamps = [np.array([0, 40, 100, 120, 200, 210, 290]), np.array([300, 333, 350, 420, 430])]
    pieces = []
    for number, pts in enumerate(stamps):
        path = tmp_path / f"{number}.mp4"
        with NvencEncoder(path, options_of(codec=codec)) as encoder:
            for place, when in enumerate(pts.tolist()):
                encoder.write(pictures.on_gpu(flat(pictures, 30 + 100 * number + 10 * place)), when)
            encoder.finish()
        (facts,) = join.facts(path)
        assert facts.num_packets == len(pts)
        pieces.append(join.Piece(path, 0, facts, pts))
    join.join(pieces, tmp_path / "all.mp4", join.JoinOptions(Fraction(1, 1000), 460, Fraction(25)))
    levels, frames = levels_of(tmp_path / "all.mp4")
    assert [round(frame.pts * frame.time_base * 1000) for frame in frames] == [*stamps[0], *stamps[1]]
    assert (np.diff(levels) > 0).all()


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"preset": "ultrafast"}, {"preset": "P1", "bf": "0"}),
        ({"preset": "medium", "crf": 23}, {"preset": "P4", "rc": "vbr", "cq": "23", "bf": "2", "gop": "250"}),
        ({"preset": "veryslow"}, {"preset": "P7"}),
        ({"crf": 0}, {"cq": "1"}),  # 0 would mean: as the encoder likes
        ({"bitrate": 4_000_000}, {"rc": "vbr", "bitrate": "4000000", "cq": None}),
        ({"codec": "av1"}, {"codec": "av1", "use_ivf_container": "0", "repeatspspps": None}),
        ({"codec": "hevc", "depth": 10}, {"codec": "hevc", "repeatspspps": "1", "colorspace": None}),
    ],
)
def test_options_are_put_into_nvenc_s_words(nvenc, tmp_path, changes, asked):
    with NvencEncoder(tmp_path / "p.mp4", options_of(**changes)):
        pass
    assert {name: nvenc.asked[0].get(name) for name in asked} == asked
    assert nvenc.asked[0]["fps"] == "25.00"


def test_b_frames_are_those_that_the_card_can(nvenc, tmp_path):
    nvenc.num_max_bframes = 0
    with NvencEncoder(tmp_path / "p.mp4", options_of()):
        assert nvenc.asked[0]["bf"] == "0"
    assert nvenc_options(options_of(), 1)["bf"] == "1"


def test_a_canvas_s_memory_is_used_again_when_it_is_copied(nvenc, pictures, tmp_path):
    source = [pictures.on_gpu(flat(pictures, level)) for level in range(40, 220, 12)]
    with CudaCompositor(Canvas(*SIZE)) as compositor, NvencEncoder(tmp_path / "p.mp4", options_of()) as encoder:
        for number, image in enumerate(source):
            encoder.write(compositor.compose(image, [Tile((0, 0, 90, 60), 0, 0, *SIZE)]), 40 * number)
        encoder.finish()
        assert compositor._rings[8].num_slots == 1
    assert (np.diff(levels_of(tmp_path / "p.mp4")[0]) > 6).all()


def test_no_byte_of_a_frame_crosses(nvenc, pictures, tmp_path):
    image = pictures.on_gpu(flat(pictures, 50))
    reset()
    with NvencEncoder(tmp_path / "p.mp4", options_of()) as encoder:
        encoder.write(image, 0)
        encoder.finish()
    assert transfers().num_bytes == 0


def test_sessions_are_counted_by_trying_and_freed_by_closing(nvenc, tmp_path):
    opened = [NvencEncoder(tmp_path / f"{number}.mp4", options_of()) for number in range(3)]
    with pytest.raises(EncoderBusyError, match=r"sessions of NVENC are at work; got .*OpenEncodeSessionEx failed"):
        NvencEncoder(tmp_path / "4.mp4", options_of())
    opened[1].close()
    opened.append(NvencEncoder(tmp_path / "5.mp4", options_of()))
    for encoder in opened:
        encoder.close()
        encoder.close()


def test_a_card_without_an_encoder_is_asked_once(nvenc, tmp_path, monkeypatch):
    """For both ways to it; a card whose sessions are used up is asked for the next video as well."""
    asked, told = [], "m_nvenc.nvEncOpenEncodeSessionEx(&encodeSessionExParams, &hEncoder) returned error "

    def failing(**_):
        asked.append(told)
        raise UnsupportedError(told)

    monkeypatch.setattr(nvenc, "GetEncoderCaps", failing)
    told += "10 at NvEncoder.cpp:55"
    for _ in range(2):
        with pytest.raises(BackendUnavailableError, match="returned error 10"):
            NvencEncoder(tmp_path / "p.mp4", options_of())
    assert len(asked) == 2 and why_no_encoder() is None
    told = told.replace("error 10", "error 2")
    for _ in range(2):
        with pytest.raises(BackendUnavailableError, match="returned error 2;"):
            NvencEncoder(tmp_path / "p.mp4", options_of())
    assert len(asked) == 3 and "returned error 2" in why_no_encoder()
    with pytest.raises(BackendUnavailableError, match=r"FFmpeg's NVENC cannot be used; got .*error 2"):
        open_cuda_encoder(tmp_path / "p.mp4", options_of(), "ffmpeg-nvenc")


@pytest.mark.parametrize(
    ("said", "busy"),
    [
        ("m_nvenc.nvEncOpenEncodeSessionEx(&params, &hEncoder) returned error 10 at NvEncoder.cpp:55", True),
        (
            "NvEncoder : m_nvenc.nvEncOpenEncodeSessionEx(&params, &hEncoder) returned error 21\nat NvEncoder.cpp:55",
            True,
        ),
        ("m_nvenc.nvEncOpenEncodeSessionEx failed : OpenEncodeSessionEx failed", True),
        ("m_nvenc.nvEncOpenEncodeSessionEx(&params, &hEncoder) returned error 15 at NvEncoder.cpp:55", False),
        ("m_nvenc.nvEncOpenEncodeSessionEx(&params, &hEncoder) returned error 2 at NvEncoder.cpp:55", False),
        ("m_nvenc.nvEncInitializeEncoder(m_hEncoder, &params) returned error 8 at NvEncoder.cpp:200", False),
        ("cannot open libnvidia-encode.so.1", False),
    ],
)
def test_sessions_that_are_used_up_are_told_from_what_is_not_there(nvenc, tmp_path, monkeypatch, said, busy):
    def failing(*_, **__):
        raise UnsupportedError(said)

    monkeypatch.setattr(nvenc, "CreateEncoder", failing)
    with pytest.raises(BackendUnavailableError) as caught:
        NvencEncoder(tmp_path / "p.mp4", options_of())
    assert isinstance(caught.value, EncoderBusyError) == busy
    assert (count_sessions() is None) != busy


def test_sessions_are_counted_and_none_is_kept(nvenc, tmp_path):
    assert count_sessions() == 3
    with NvencEncoder(tmp_path / "p.mp4", options_of()):
        assert (count_sessions(), count_sessions(1)) == (2, 1)
    assert count_sessions() == 3
    nvenc.max_sessions = 100
    assert count_sessions() == sessions.MOST
    nvenc.max_sessions = 0
    assert count_sessions() == 0


def test_they_are_counted_in_a_process_of_its_own(monkeypatch):
    """In which there is no NVENC here, and no stand-in."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    if why_no_cuda() is None:
        pytest.skip("there may be NVENC")
    assert sessions.count_sessions_aside() is None


def test_what_it_cannot_do_is_refused(nvenc, tmp_path):
    with pytest.raises(BackendUnavailableError, match="10-bit"):
        NvencEncoder(tmp_path / "p.mp4", options_of(depth=10))
    with pytest.raises(BackendUnavailableError, match="HDR metadata"):
        NvencEncoder(tmp_path / "p.mp4", options_of(codec="hevc", depth=10, hdr=HdrMetadata(max_cll=1000)))
    with pytest.raises(OutputError):
        NvencEncoder(tmp_path / "nowhere" / "p.mp4", options_of())
    assert not list(tmp_path.iterdir())


def test_a_library_that_does_not_start_is_refused_in_one_line(nvenc, tmp_path, monkeypatch):
    def failing(**_):
        raise RuntimeError("cannot open libnvidia-encode.so.1\n\n=== TROUBLESHOOTING STEPS ===\nmuch advice")

    monkeypatch.setattr(nvenc, "GetEncoderCaps", failing)
    with pytest.raises(BackendUnavailableError, match=r"got cannot open libnvidia-encode.so.1; encode on the CPU"):
        NvencEncoder(tmp_path / "p.mp4", options_of())
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", None)
    with pytest.raises(BackendUnavailableError, match="PyNvVideoCodec"):
        NvencEncoder(tmp_path / "p.mp4", options_of())


def test_canvases_of_another_form_and_times_that_go_back_are_refused(nvenc, pictures, tmp_path):
    with NvencEncoder(tmp_path / "p.mp4", options_of()) as encoder:
        with pytest.raises(EngineError, match="64x64 of 8 bits"):
            encoder.write(pictures.on_gpu(pictures.natural(64, 64)), 0)
        with pytest.raises(EngineError, match="of 10 bits"):
            encoder.write(pictures.on_gpu(flat(pictures, 9, 10)), 0)
        encoder.write(pictures.on_gpu(flat(pictures, 90)), 40)
        for pts in (40, 0):
            with pytest.raises(EngineError, match="out of order"):
                encoder.write(pictures.on_gpu(flat(pictures, 90)), pts)


def test_the_library_s_failures_are_ours(nvenc, pictures, tmp_path, monkeypatch):
    def failing(*_):
        raise UnsupportedError("nvEncEncodePicture API failed")

    encoder = NvencEncoder(tmp_path / "p.mp4", options_of())
    with encoder, pytest.raises(EngineError, match="without pictures"):
        encoder.finish()
    with NvencEncoder(tmp_path / "p.mp4", options_of()) as encoder:
        monkeypatch.setattr(PyNvEncoder, "Encode", failing)
        with pytest.raises(EngineError, match="nvEncEncodePicture"):
            encoder.write(pictures.on_gpu(flat(pictures, 90)), 0)


def test_real_nvenc_encodes_or_says_why_not(needs_cuda, pictures, tmp_path):
    """On a card without an encoder, such as an H100, CreateEncoder raises, and the reason is told."""
    needs_cuda()
    path = tmp_path / "p.mp4"
    try:
        encoder = NvencEncoder(path, options_of())
    except BackendUnavailableError as error:
        assert "NVENC cannot be used; got" in str(error)
        return
    with encoder:
        for number in range(30):
            encoder.write(pictures.on_gpu(flat(pictures, 40 + 5 * number)), 40 * number)
        encoder.finish()
    levels, frames = levels_of(path)
    assert len(levels) == 30 and (np.diff(levels) > 2).all() and frames[0].color_range == 1
