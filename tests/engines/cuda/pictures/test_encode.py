"""The rungs of encoders, and the one that brings pictures to the host; on a GPU where there is one."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from dft.configs.errors import BackendUnavailableError, EngineError, OutputError, SettingError
from dft.configs.hardware import why_no_cuda
from dft.engines.cpu.encode import PyAvEncoder
from dft.engines.cuda import encode
from dft.engines.cuda.compose import CudaCompositor
from dft.engines.cuda.counters import reset, transfers
from dft.engines.cuda.encode import DownloadingEncoder, ffmpeg_nvenc, open_cuda_encoder
from dft.engines.protocols import Canvas, Colour, EncodeOptions, Encoder, Tile

RUNGS = dict(encode.RUNGS)
OPTIONS = EncodeOptions(96, 64, Fraction(1, 1000), Fraction(25), Colour(1, 1, 1), preset="ultrafast", crf=4)


@pytest.fixture
def no_nvenc(monkeypatch):
    """A machine on which NVENC refuses, each time with another reason."""
    tried = []

    def refuse(path, options):
        tried.append(path)
        raise BackendUnavailableError("NVENC cannot be used", got=f"reason {len(tried)}")

    monkeypatch.setitem(encode.RUNGS, "nvenc", refuse)
    monkeypatch.setitem(encode.RUNGS, "ffmpeg-nvenc", refuse)
    return tried


def planes_of(path, depth=8):
    with av.open(str(path)) as file:
        made = []
        for frame in file.decode(video=0):
            values = frame.to_ndarray(channel_last=True) if depth > 8 else frame.to_ndarray()
            made.append(np.asarray(values).reshape(-1))
        return made


@pytest.mark.parametrize("depth", [8, 10])
def test_pictures_come_to_the_host_as_they_are(any_cupy, pictures, tmp_path, depth):
    """The same file as the CPU's encoder writes of the same canvases."""
    options = replace(OPTIONS, depth=depth, threads=1)
    sources = [pictures.smooth(seed, 96, 64, depth=depth) for seed in range(5)]
    with PyAvEncoder(tmp_path / "cpu.mp4", options) as encoder:
        for number, source in enumerate(sources):
            encoder.write(source, 40 * number)
        encoder.finish()
    with DownloadingEncoder(tmp_path / "gpu.mp4", options) as encoder:
        assert isinstance(encoder, Encoder)
        for number, source in enumerate(sources):
            encoder.write(pictures.on_gpu(source), 40 * number)
        encoder.finish()
    assert (tmp_path / "gpu.mp4").read_bytes() == (tmp_path / "cpu.mp4").read_bytes()


def test_each_picture_is_copied_once(any_cupy, pictures, tmp_path):
    image = pictures.on_gpu(pictures.natural(96, 64))
    reset()
    with DownloadingEncoder(tmp_path / "p.mp4", OPTIONS) as encoder:
        for number in range(7):
            encoder.write(image, number)
        encoder.finish()
        assert len(encoder._free) == 2  # staging memory is used again
    assert transfers().to_host == {"frames": 7 * 96 * 64 * 3 // 2} and not transfers().to_device


def test_canvases_may_be_dropped_while_they_are_copied(any_cupy, pictures, tmp_path):
    levels = range(40, 220, 15)
    with CudaCompositor(Canvas(96, 64)) as compositor, DownloadingEncoder(tmp_path / "p.mp4", OPTIONS) as encoder:
        for number, level in enumerate(levels):
            flat = pictures.of([np.full((64, 96), float(level)), *[np.full((32, 48), 128.0)] * 2])
            encoder.write(compositor.compose(pictures.on_gpu(flat), [Tile((0, 0, 80, 60), 0, 0, 96, 64)]), number)
        encoder.finish()
    got = [float(np.median(planes[: 96 * 64])) for planes in planes_of(tmp_path / "p.mp4")]
    np.testing.assert_allclose(got, levels, atol=1)


def test_what_is_wrong_is_refused_at_once(cupy_on_host, pictures, tmp_path):
    with DownloadingEncoder(tmp_path / "p.mp4", OPTIONS) as encoder:
        with pytest.raises(EngineError, match="64x64 of 8 bits"):
            encoder.write(pictures.on_gpu(pictures.natural(64, 64)), 0)
        encoder.write(pictures.on_gpu(pictures.natural(96, 64)), 40)
        with pytest.raises(EngineError, match="out of order"):
            encoder.write(pictures.on_gpu(pictures.natural(96, 64)), 40)
        encoder.close()
    with pytest.raises(OutputError):
        DownloadingEncoder(tmp_path / "nowhere" / "p.mp4", OPTIONS)


def test_the_next_rung_is_taken_and_it_is_said_why(cupy_on_host, no_nvenc, pictures, tmp_path):
    opened = open_cuda_encoder(tmp_path / "p.mp4", OPTIONS)
    assert opened.rung == "cpu" and len(no_nvenc) == 2
    assert opened.why == (
        "not nvenc: NVENC cannot be used; got reason 1", "not ffmpeg-nvenc: NVENC cannot be used; got reason 2",
    )  # fmt: skip
    with opened.encoder as encoder:
        encoder.write(pictures.on_gpu(pictures.natural(96, 64)), 0)
        encoder.finish()
    assert len(planes_of(tmp_path / "p.mp4")) == 1


def test_a_forced_rung_is_the_only_one(cupy_on_host, no_nvenc, tmp_path):
    with pytest.raises(BackendUnavailableError, match="reason 1"):
        open_cuda_encoder(tmp_path / "p.mp4", OPTIONS, rung="nvenc")
    opened = open_cuda_encoder(tmp_path / "p.mp4", OPTIONS, rung="cpu")
    assert (opened.rung, opened.why, len(no_nvenc)) == ("cpu", (), 1)
    opened.encoder.close()
    with pytest.raises(SettingError, match="no such encoder"):
        open_cuda_encoder(tmp_path / "p.mp4", OPTIONS, rung="x265")


def test_a_folder_that_cannot_be_written_is_no_reason_for_another_rung(cupy_on_host, monkeypatch, tmp_path):
    monkeypatch.setitem(encode.RUNGS, "nvenc", DownloadingEncoder)
    with pytest.raises(OutputError):
        open_cuda_encoder(tmp_path / "nowhere" / "p.mp4", OPTIONS)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, ("h264_nvenc", {"preset": "p1", "bf": "0", "cq": "4", "b": "0"})),
        ({"codec": "hevc", "preset": "slow"}, ("hevc_nvenc", {"preset": "p5", "bf": "2", "rc": "vbr"})),
        ({"codec": "av1", "bitrate": 10}, ("av1_nvenc", {"cq": None, "g": "250"})),
    ],
)
def test_ffmpeg_s_nvenc_is_asked_alike(changes, asked):
    name, options = ffmpeg_nvenc(replace(OPTIONS, **changes))
    assert name == asked[0] and {key: options.get(key) for key in asked[1]} == asked[1]


def test_ffmpeg_s_nvenc_is_refused_when_it_is_opened(cupy_on_host, no_nvenc, tmp_path, monkeypatch):
    if why_no_cuda() is None:
        pytest.skip("this machine may have an encoder")
    monkeypatch.setitem(encode.RUNGS, "ffmpeg-nvenc", RUNGS["ffmpeg-nvenc"])
    opened = open_cuda_encoder(tmp_path / "p.mp4", OPTIONS)
    opened.encoder.close()
    assert opened.rung == "cpu" and opened.why[1].startswith("not ffmpeg-nvenc: FFmpeg's NVENC cannot be used; got ")


def test_real_encoding_on_whatever_rung(needs_cuda, pictures, tmp_path):
    needs_cuda()
    opened = open_cuda_encoder(tmp_path / "p.mp4", replace(OPTIONS, width=320, height=240))
    with CudaCompositor(Canvas(320, 240)) as compositor, opened.encoder as encoder:
        for number in range(30):
            image = pictures.on_gpu(pictures.smooth(number, 640, 480))
            encoder.write(compositor.compose(image, [Tile((10.3, 20, 330, 260.5), 0, 0, 320, 240)]), 40 * number)
        encoder.finish()
    assert len(planes_of(tmp_path / "p.mp4")) == 30
    assert opened.rung == "nvenc" or opened.why
