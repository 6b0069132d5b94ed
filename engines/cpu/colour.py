"""Colour conversion on the CPU."""

import numpy as np
from numpy.typing import NDArray

# Luma coefficients (Kr, Kb) by H.273 matrix code; what is not stated is BT.709, as HD players assume.
LUMA_COEFFICIENTS = {
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
BT709 = (0.2126, 0.0722)


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
