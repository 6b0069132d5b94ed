"""Colour conversion on the CPU."""

import numpy as np
from numpy.typing import NDArray

# Luma coefficients (Kr, Kb) by H.273 matrix code; what is not stated is BT.709, as HD players assume.
LUMA_COEFFICIENTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
BT709 = LUMA_COEFFICIENTS[1]
# x, y of red, green and blue by H.273 primaries code: BT.709, BT.2020, and P3 with the white of both (table 2).
PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
BT2020_PRIMARIES = 9
D65 = (0.3127, 0.3290)


def yuv_to_bgr(matrix: int, full_range: bool) -> NDArray[np.float32]:
    """``(3, 4)`` float32 matrix from (Y, U, V, 1) in 0-255 to B, G, R; formulas of ITU-T H.273, section 8.3."""
    kr, kb = LUMA_COEFFICIENTS.get(matrix, BT709)
    kg = 1 - kr - kb
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    rows = np.array(
        [
            [luma, 2 * (1 - kb) * chroma, 0],
            [luma, -2 * (1 - kb) * kb / kg * chroma, -2 * (1 - kr) * kr / kg * chroma],
            [luma, 0, 2 * (1 - kr) * chroma],
        ]
    )
    offset = -rows @ np.array([black, 128.0, 128.0])
    return np.column_stack([rows, offset]).astype(np.float32)


def rgb_to_rgb(source: int, target: int) -> NDArray[np.float64]:
    """``(3, 3)`` matrix from linear R, G, B of one set of primaries to another's, all with white D65.

    Args:
        source: H.273 primaries code; what is not known is taken as BT.2020, the wider one.
        target: H.273 primaries code, one of ``PRIMARIES``.
    """
    return np.asarray(np.linalg.solve(_rgb_to_xyz(target), _rgb_to_xyz(source)), np.float64)


def _rgb_to_xyz(primaries: int) -> NDArray[np.float64]:
    """Formulas of SMPTE RP 177: columns of the primaries, scaled so that R = G = B is white."""
    points = PRIMARIES.get(primaries, PRIMARIES[BT2020_PRIMARIES])
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in points]).T
    white = np.array([D65[0] / D65[1], 1, (1 - D65[0] - D65[1]) / D65[1]])
    return np.asarray(columns * np.linalg.solve(columns, white), np.float64)
