"""Flat colours against the tables and formulas of the standards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.engines.cpu.colour import yuv_to_bgr
from dft.engines.cpu.paint import rgb_to_yuv
from dft.engines.cpu.tonemap import hlg_to_light, pq_to_light
from dft.engines.protocols import HLG, PQ, Colour

BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)


@pytest.mark.parametrize(
    ("rgb", "colour", "depth", "yuv"),
    [
        pytest.param(BLACK, Colour(1), 8, (16, 128, 128), id="black"),
        pytest.param(WHITE, Colour(1), 8, (235, 128, 128), id="white"),
        pytest.param(BLACK, Colour(1), 10, (64, 512, 512), id="black-10"),
        pytest.param(WHITE, Colour(1), 10, (940, 512, 512), id="white-10"),
        pytest.param(BLACK, Colour(1, full_range=True), 8, (0, 128, 128), id="black-full"),
        pytest.param(WHITE, Colour(1, full_range=True), 8, (255, 128, 128), id="white-full"),
        pytest.param(WHITE, Colour(1, full_range=True), 10, (1023, 512, 512), id="white-full-10"),
        pytest.param(RED, Colour(1), 8, (63, 102, 240), id="red-709"),
        pytest.param(RED, Colour(6), 8, (81, 90, 240), id="red-601"),
        pytest.param(RED, Colour(6), 10, (326, 361, 960), id="red-601-10"),
        pytest.param(RED, Colour(1, full_range=True), 10, (217, 395, 1023), id="red-full-10"),
    ],
)
def test_known_colours(rgb, colour, depth, yuv):
    assert rgb_to_yuv(rgb, colour, depth) == yuv


@given(
    rgb=st.tuples(*[st.integers(0, 255)] * 3), matrix=st.sampled_from([1, 2, 4, 5, 6, 7, 9]), full_range=st.booleans()
)
def test_the_way_back_gives_the_same_colour(rgb, matrix, full_range):
    yuv = rgb_to_yuv(rgb, Colour(matrix, full_range=full_range), 8)
    bgr = yuv_to_bgr(matrix, full_range) @ (*yuv, 1)
    np.testing.assert_allclose(bgr[::-1], rgb, atol=2.5)


@pytest.mark.parametrize(("transfer", "to_light"), [(PQ, pq_to_light), (HLG, hlg_to_light)])
def test_white_is_reference_white_in_hdr(transfer, to_light):
    y, u, v = rgb_to_yuv(WHITE, Colour(9, 9, transfer), 10)
    assert to_light(np.full(3, (y - 64) / 876)) == pytest.approx(np.full(3, 203), rel=0.01)
    assert (u, v) == (512, 512)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_black_is_black_in_hdr(transfer):
    assert rgb_to_yuv(BLACK, Colour(9, 9, transfer), 10) == (64, 512, 512)


def test_colours_of_a_wider_gamut_are_less_saturated():
    narrow, wide = (rgb_to_yuv(RED, Colour(9, primaries, 1), 10) for primaries in (1, 9))
    assert wide[2] < narrow[2]
    assert rgb_to_yuv((90, 90, 90), Colour(9, 9, 1), 10) == rgb_to_yuv((90, 90, 90), Colour(9, 1, 1), 10)
