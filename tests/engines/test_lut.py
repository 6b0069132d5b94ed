"""Tone-mapped pictures against the operator itself, computed without table and filters."""

import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dft.configs.errors import EngineError
from dft.engines.cpu.colour import LUMA_COEFFICIENTS
from dft.engines.cpu.image import plane_view
from dft.engines.cpu.lut import ToneMapper
from dft.engines.cpu.tonemap import light_to_pq, to_sdr
from dft.engines.protocols import HLG, PQ, Colour, HdrMetadata, VideoInfo

PATCH = 32  # pixels; its middle is free of its neighbours' chroma
SHAPE = (6, 10)  # patches


def info_of(colour, hdr=None):
    return VideoInfo(
        Path("hdr.mp4"), 320, 192, 0, Fraction(1), Fraction(1, 25), Fraction(25), colour, "hevc", "yuv420p10le", hdr=hdr
    )


def to_yuv(rgb, matrix, depth, full_range=False):
    """``(..., 3)`` Y, U, V in codes of that depth, of R'G'B' in 0..1; ITU-T H.273, section 8.3."""
    kr, kb = LUMA_COEFFICIENTS[matrix]
    y = rgb @ np.array([kr, 1 - kr - kb, kb])
    chroma = np.stack([(rgb[..., 2] - y) / (2 - 2 * kb), (rgb[..., 0] - y) / (2 - 2 * kr)], axis=-1)
    scale, top = 2 ** (depth - 8), 2**depth - 1
    if full_range:
        return np.concatenate([top * y[..., None], top * chroma + 128 * scale], axis=-1)
    return np.concatenate([16 + 219 * y[..., None], 128 + 224 * chroma], axis=-1) * scale


def chart(rgb, matrix=9, full_range=False, pixel_format="yuv420p10le"):
    """A frame of patches: ``(rows, columns, 3)`` R'G'B' of HDR."""
    yuv = np.round(to_yuv(rgb, matrix, 10, full_range)).astype(np.uint16)
    frame = av.VideoFrame(rgb.shape[1] * PATCH, rgb.shape[0] * PATCH, pixel_format)
    for plane, values in zip(frame.planes, np.moveaxis(yuv, -1, 0), strict=True):
        repeats = np.ones((plane.height // rgb.shape[0], plane.width // rgb.shape[1]), np.uint16)
        plane_view(plane, 10)[:] = np.kron(values, repeats)
    return frame


def patches(frame, shape=SHAPE, depth=8):
    """``(rows, columns, 3)`` mean Y, U, V of the middles of the patches."""
    means = []
    for plane in frame.planes:
        size = plane.height // shape[0]
        blocks = plane_view(plane, depth).reshape(shape[0], size, shape[1], size)
        middle = slice(size // 2 - 3, size // 2 + 3)
        means.append(blocks[:, middle, :, middle].mean(axis=(1, 3)))
    return np.stack(means, axis=-1)


def usual_colours(seed, lightest):
    """``(6, 10, 3)`` PQ or HLG signals as scenes have them: of any lightness, and moderately saturated."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.uniform(0.25, lightest, (*SHAPE, 1)) + rng.normal(0, 0.04, (*SHAPE, 3)), 0.15, 1)


@pytest.mark.parametrize(
    ("transfer", "matrix", "full_range"),
    [(PQ, 9, False), (PQ, 9, True), (PQ, 6, False), (PQ, 1, True), (HLG, 9, False), (HLG, 9, True)],
)
def test_usual_colours(transfer, matrix, full_range):
    rgb = usual_colours(matrix, 0.74 if transfer == PQ else 0.95)
    made = ToneMapper(info_of(Colour(matrix, 9, transfer, full_range)), threads=1)(chart(rgb, matrix, full_range))
    error = np.abs(patches(made) - to_yuv(to_sdr(rgb, transfer, 9, 1000.0), 1, 8))
    assert made.format.name == "yuv420p"
    assert error.mean() < 0.5 and error.max() < 2.5


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_any_colours(transfer):
    """Of greatest saturation, where the table is coarsest: rare colours are a few levels off, never wrong."""
    rgb = np.random.default_rng(1).uniform(0.15, 0.74, (*SHAPE, 3))
    made = ToneMapper(info_of(Colour(9, 9, transfer)), threads=1)(chart(rgb))
    error = np.abs(patches(made) - to_yuv(to_sdr(rgb, transfer, 9, 1000.0), 1, 8))
    assert error.mean() < 0.6 and error.max() < 6


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_greys(transfer):
    greys = np.repeat(np.linspace(0, 1, 60).reshape(*SHAPE, 1), 3, axis=-1)
    made = patches(ToneMapper(info_of(Colour(9, 9, transfer)), threads=1)(chart(greys)))
    assert np.abs(made[..., 1:] - 128).max() < 0.5
    assert (np.diff(made[..., 0].ravel()) > -0.5).all()
    assert np.abs(made - to_yuv(to_sdr(greys, transfer, 9, 1000.0), 1, 8)).max() < 1.5


def test_a_brighter_source_is_pressed_harder():
    white = np.full((*SHAPE, 3), float(light_to_pq(203)))
    levels = []
    for peak in (400, 1000, 4000):
        hdr = HdrMetadata(luminance=(0.005, float(peak)))
        made = ToneMapper(info_of(Colour(9, 9, PQ), hdr), threads=1)(chart(white))
        levels.append(patches(made)[..., 0].mean())
        assert levels[-1] == pytest.approx(16 + 219 * to_sdr(white[0, 0], PQ, 9, peak)[0], abs=1)
    assert levels[0] > levels[1] > levels[2]


def test_ten_bits():
    rgb = usual_colours(5, 0.74)
    made = ToneMapper(info_of(Colour(9, 9, PQ)), depth=10, threads=1)(chart(rgb))
    assert made.format.name == "yuv420p10le"
    error = np.abs(patches(made, depth=10) - to_yuv(to_sdr(rgb, PQ, 9, 1000.0), 1, 10))
    assert error.mean() < 1.5 and error.max() < 10


@pytest.mark.parametrize("pixel_format", ["yuv422p10le", "yuv444p10le"])
def test_other_subsampling(pixel_format):
    rgb = usual_colours(6, 0.74)
    made = ToneMapper(info_of(Colour(9, 9, PQ)), threads=1)(chart(rgb, pixel_format=pixel_format))
    error = np.abs(patches(made) - to_yuv(to_sdr(rgb, PQ, 9, 1000.0), 1, 8))
    assert error.mean() < 0.5 and error.max() < 2.5


def test_rgb():
    """RGB has no matrix; 16 bits a value."""
    rgb = usual_colours(7, 0.74)
    pixels = np.kron(np.round(rgb * 65535), np.ones((PATCH, PATCH, 1))).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb48le")
    made = ToneMapper(info_of(Colour(0, 9, PQ, full_range=True)), threads=1)(frame)
    error = np.abs(patches(made) - to_yuv(to_sdr(rgb, PQ, 9, 1000.0), 1, 8))
    assert error.mean() < 0.5 and error.max() < 2.5


def test_size_and_format_may_change():
    mapper = ToneMapper(info_of(Colour(9, 9, PQ)), threads=1)
    white = np.full((1, 1, 3), 0.5807)
    for shape, pixel_format in (((2, 3), "yuv420p10le"), ((1, 4), "yuv420p10le"), ((1, 4), "yuv444p10le")):
        made = mapper(chart(np.broadcast_to(white, (*shape, 3)), pixel_format=pixel_format))
        assert (made.height, made.width) == (shape[0] * PATCH, shape[1] * PATCH)
        assert patches(made, shape)[..., 0] == pytest.approx(214, abs=1)


def test_an_odd_size():
    frame = av.VideoFrame(97, 63, "yuv420p10le")
    for plane, value in zip(frame.planes, (573, 512, 512), strict=True):
        plane_view(plane, 10)[:] = value
    made = ToneMapper(info_of(Colour(9, 9, PQ)), threads=1)(frame)
    assert (made.width, made.height) == (97, 63)
    assert np.abs(plane_view(made.planes[0]).astype(int) - 214).max() <= 1


def test_no_room_for_the_table(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(EngineError, match="cannot write a temporary file of 8 MB; got No such file or directory"):
        ToneMapper(info_of(Colour(9, 9, PQ)))(chart(np.zeros((1, 1, 3))))


def test_no_temporary_file_stays(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ToneMapper(info_of(Colour(9, 9, PQ)))(chart(np.zeros((1, 1, 3))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_a_matrix_that_cannot_be_read(matrix):
    with pytest.raises(EngineError, match=rf"cannot tone-map hdr\.mp4; got colour matrix {matrix} of H\.273"):
        ToneMapper(info_of(Colour(matrix, 9, PQ)))
