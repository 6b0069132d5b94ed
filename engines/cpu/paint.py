"""Flat colours of the canvas as YUV values of a video's own colour space.

Sources: IEC 61966-2-1 (sRGB), Recommendation ITU-T H.273, section 8.3 (YUV and its ranges), Recommendation ITU-R
BT.2100-2 (PQ, table 4; HLG, table 5), Report ITU-R BT.2408-7 (HDR reference white of 203 cd/m2).
"""

from functools import lru_cache

import numpy as np

from ..protocols import HLG, PQ, RGB, Colour
from .colour import LUMA_COEFFICIENTS, PRIMARIES, rgb_to_rgb, yuv_to_bgr
from .tonemap import (
    BT709_PRIMARIES,
    BT2020_MATRIX,
    HLG_GAMMA,
    NOMINAL_PEAK,
    REFERENCE_WHITE,
    Values,
    light_to_pq,
)


@lru_cache(maxsize=64)
def rgb_to_yuv(rgb: RGB, colour: Colour, depth: int) -> tuple[int, int, int]:
    """Y, U and V of an sRGB colour, as a video of that ``colour`` and ``depth`` codes them.

    Light keeps its chromaticity where the video's primaries are known. In PQ and HLG white is reference white, 203
    cd/m2; in other transfer functions sRGB's signal is taken as it is.

    Args:
        rgb: 8 bits each, non-linear.
        colour: How the video's values are to be read.
        depth: Bits of a value: 8 or 10.
    """
    bgr = 255 * _signal(np.array(rgb) / 255, colour)[::-1]
    to_bgr = yuv_to_bgr(colour.matrix, colour.full_range).astype(np.float64)
    yuv = np.linalg.solve(to_bgr[:, :3], bgr - to_bgr[:, 3])
    top = 2**depth - 1
    if colour.full_range:  # of more bits, the scale has no round factor, but neutral chroma stays half of 2 ** depth
        yuv = (yuv - (0, 128, 128)) * top / 255 + np.array([0, 128, 128]) * 2 ** (depth - 8)
    else:
        yuv = yuv * 2 ** (depth - 8)
    y, u, v = (int(value) for value in np.clip(np.rint(yuv), 0, top))
    return y, u, v


def _signal(srgb: Values, colour: Colour) -> Values:
    """``(3,)`` R'G'B' of sRGB, 0..1, as R'G'B' of the video's primaries and transfer function."""
    hdr = colour.transfer in (PQ, HLG)
    if not hdr and colour.primaries not in PRIMARIES:
        return srgb
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = rgb_to_rgb(BT709_PRIMARIES, colour.primaries) @ linear
    linear = np.maximum(linear, 0)
    if colour.transfer == PQ:
        return light_to_pq(REFERENCE_WHITE * linear)
    if colour.transfer == HLG:
        return _light_to_hlg(REFERENCE_WHITE * linear)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _light_to_hlg(light: Values) -> Values:
    """``(3,)`` R'G'B' of HLG, 0..1, for cd/m2 on its nominal display: the inverse of ``tonemap.hlg_to_light``."""
    kr, kb = LUMA_COEFFICIENTS[BT2020_MATRIX]
    shown = light / NOMINAL_PEAK
    luminance = max(float(shown @ np.array([kr, 1 - kr - kb, kb])), 1e-12)
    scene = shown * luminance ** (1 / HLG_GAMMA - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    high = a * np.log(np.maximum(12 * scene - b, 1e-12)) + c
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high), np.float64)
