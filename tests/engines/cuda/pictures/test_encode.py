"""The rungs of encoders, and the one that brings pictures to the host; on a GPU where there is one."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from dft.configs.errors import BackendUnavailableError, EngineError, OutputError, SettingError
from dft.configs.hardware import why_no_cuda
from dft.engines.cpu.encode import PyAvEncoder
from dft.engines.cuda.compose import CudaCompositor
from dft.engines.cuda.counters import reset, transfers
from dft.engines.cuda.encode import NUM_STAGING, RUNGS, DownloadingEncoder, ffmpeg_nvenc, open_cuda_encoder
from dft.engines.devices import DeviceChoice, encoder_rungs
from dft.engines.protocols import Canvas, Colour, EncodeOptions, Encoder, HdrMetadata, Tile

OPTIONS = EncodeOptions(96, 64, Fraction(1, 1000), Fraction(25), Colour(1, 1, 1), preset="ultrafast", crf=4)


def planes_of(path, depth=8):
    with av.open(str(path)) as file:
        made = []
        for frame in file.decode(video=0):
            values = frame.to_ndarray(channel_last=True) if depth > 8 else frame.to_ndarray()
            made.append(np.asarray(values).reshape(-1))
        return made


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("depth", [8, 10])
def test_pictures_come_to_the_host_as_they_are(any_cupy, pictures, tmp_path, depth, codec):
    """The same pictures as the CPU's encoder writes of the same canvases, though the memory is used over and over."""
    options = replace(OPTIONS, width=96, height=54, depth=depth, codec=codec, preset="veryfast", threads=1)
    sources = [pictures.smooth(seed, 96, 54, depth=depth) for seed in range(3 * NUM_STAGING + 2)]
    with PyAvEncoder(tmp_path / "cpu.mp4", options) as encoder:
        for number, source in enumerate(sources):
            encoder.write(source, 40 * number)
        encoder.finish()
    with DownloadingEncoder(tmp_path / "gpu.mp4", options) as encoder:
        assert isinstance(encoder, Encoder)
        for number, source in enumerate(sources):
            encoder.write(pictures.on_gpu(source), 40 * number)
        encoder.finish()
    cpu, gpu = (planes_of(tmp_path / f"{name}.mp4", depth) for name in ("cpu", "gpu"))
    assert len(gpu) == len(cpu) == len(sources)
    for one, other, before in zip(cpu, gpu, [None, *cpu], strict=False):
        # not the same bits: at widths like 96, x264's choices differ from run to run, from whatever memory it is fed
        assert np.abs(one.astype(int) - other).mean() < 2 * 2 ** (depth - 8)
        assert before is None or np.abs(before.astype(int) - other).mean() > 20 * 2 ** (depth - 8)


def test_each_picture_is_copied_once(any_cupy, pictures, tmp_path):
    image = pictures.on_gpu(pictures.natural(96, 64))
    reset()
    with DownloadingEncoder(tmp_path / "p.mp4", OPTIONS) as encoder:
        for number in range(11):
            encoder.write(image, number)
        encoder.finish()
        assert len(encoder._free) == NUM_STAGING  # staging memory is used again
    assert transfers().to_host == {"frames": 11 * 96 * 64 * 3 // 2} and not transfers().to_device


def test_pictures_are_encoded_from_where_they_arrive(cupy_on_host, pictures, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(PyAvEncoder, "write", lambda _, image, pts: given.append((pts, image)))
    monkeypatch.setattr(PyAvEncoder, "finish", lambda _: None)
    with DownloadingEncoder(tmp_path / "p.mp4", OPTIONS) as encoder:
        for number in range(2 * NUM_STAGING):
            encoder.write(pictures.on_gpu(pictures.natural(96, 64)), number)
            assert len(given) == max(0, number - NUM_STAGING + 2)  # later ones are on their way meanwhile
        encoder.finish()
    assert [pts for pts, _ in given] == list(range(2 * NUM_STAGING))
    assert len({id(image) for _, image in given}) == NUM_STAGING
    for image in (image for _, image in given):
        assert [plane.buffer_ptr for plane in image.owner.planes] == [
            p.ctypes.data for p in (image.y, image.u, image.v)
        ]


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
    with pytest.raises(EngineError, match="libx264 fails"):
        DownloadingEncoder(tmp_path / "p.mp4", replace(OPTIONS, preset="warp"))
    with pytest.raises(OutputError):
        DownloadingEncoder(tmp_path / "nowhere" / "p.mp4", OPTIONS)


def test_rungs_are_those_that_the_devices_name(tmp_path):
    assert tuple(RUNGS) == encoder_rungs(DeviceChoice("cuda", "test"))
    assert encoder_rungs(DeviceChoice("cpu", "test")) == ("cpu",)
    with pytest.raises(SettingError, match="no such encoder"):
        open_cuda_encoder(tmp_path / "p.mp4", OPTIONS, "x265")


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, ("h264_nvenc", {"preset": "p1", "bf": "0", "cq": "4", "b": "0"})),
        ({"codec": "hevc", "preset": "slow"}, ("hevc_nvenc", {"preset": "p5", "bf": "2", "rc": "vbr"})),
        ({"codec": "av1", "bitrate": 10}, ("av1_nvenc", {"cq": None, "g": "250"})),
        ({"crf": 0}, ("h264_nvenc", {"cq": "1"})),  # 0 would mean: as the encoder likes
    ],
)
def test_ffmpeg_s_nvenc_is_asked_alike(changes, asked):
    name, options = ffmpeg_nvenc(replace(OPTIONS, **changes))
    assert name == asked[0] and {key: options.get(key) for key in asked[1]} == asked[1]


def test_ffmpeg_s_nvenc_says_why_it_cannot(cupy_on_host, tmp_path):
    """Without a driver it is FFmpeg that refuses, and that is not taken for a file that cannot be written."""
    if why_no_cuda() is None:
        pytest.skip("this machine may have an encoder")
    with pytest.raises(EngineError, match="the encoder h264_nvenc fails"):
        open_cuda_encoder(tmp_path / "p.mp4", OPTIONS, "ffmpeg-nvenc")
    for changes in ({"codec": "hevc", "depth": 10}, {"hdr": HdrMetadata(max_cll=1000)}):
        with pytest.raises(BackendUnavailableError, match="10 bits or HDR"):
            open_cuda_encoder(tmp_path / "p.mp4", replace(OPTIONS, **changes), "ffmpeg-nvenc")


def test_real_encoding_on_every_rung(needs_cuda, pictures, tmp_path):
    needs_cuda()
    for rung in RUNGS:
        path = tmp_path / f"{rung}.mp4"
        try:
            encoder = open_cuda_encoder(path, replace(OPTIONS, width=320, height=240), rung)
        except EngineError:
            assert rung != "cpu"
            continue
        with CudaCompositor(Canvas(320, 240)) as compositor, encoder:
            for number in range(30):
                image = pictures.on_gpu(pictures.smooth(number, 640, 480))
                encoder.write(compositor.compose(image, [Tile((10.3, 20, 330, 260.5), 0, 0, 320, 240)]), 40 * number)
            encoder.finish()
        assert len(planes_of(path)) == 30
