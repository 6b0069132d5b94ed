"""From HDR to SDR: the operator, as mathematics on arrays.

Sources: Recommendation ITU-R BT.2100-2 (PQ, table 4; HLG, table 5), Report ITU-R BT.2390-10, section 5.4.1 (the EETF),
Report ITU-R BT.2408-7 (HDR reference white of 203 cd/m2), Recommendation ITU-R BT.1886 (SDR displays), and for
chromaticities Recommendation ITU-T H.273, table 2.

The steps of :func:`to_sdr`:

1. Signal to display light in cd/m2. PQ tells it; HLG is shown on the nominal display of 1000 cd/m2 (gamma 1.2).
2. BT.2020 primaries become those of BT.709, in linear light. Saturated colours are mixed with the grey of their own
   luminance until no part is negative: those up to 80 % of the way from grey to the edge of BT.709 stay as they are,
   those beyond share the rest, so that nothing is cut off and no step is seen.
3. The EETF lowers the greatest of red, green and blue from the source's peak to SDR white, and the other two in
   proportion, so that hue and saturation stay and highlights keep their shades. SDR white stands for HDR's reference
   white, 203 cd/m2: below the knee (89 cd/m2 for a source of 1000) light keeps its ratio to reference white. Black is 0
   on both sides.
4. Linear light to signal by the inverse of BT.1886 with a black of 0: a power of 1/2.4.

Of a source of 1000 cd/m2, an 18 % grey (26 cd/m2) comes to 42 % of the SDR signal and reference white to 91 %.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocols import HLG, HdrMetadata
from .colour import LUMA_COEFFICIENTS, rgb_to_rgb

Values = NDArray[np.float64]

REFERENCE_WHITE = 203.0  # cd/m2, BT.2408 table 1
NOMINAL_PEAK = 1000.0  # cd/m2, of HLG's display, and of PQ sources that tell none
PQ_PEAK = 10_000.0  # cd/m2
HLG_GAMMA = 1.2  # of the OOTF at 1000 cd/m2
SDR_GAMMA = 2.4
GAMUT_KNEE = 0.8  # of the way from grey to the edge of BT.709, in linear light
BT2020_MATRIX, BT2020_PRIMARIES, BT709_PRIMARIES = 9, 9, 1

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073


def pq_to_light(signal: Any) -> Values:
    """PQ's EOTF: cd/m2 for signals of 0..1."""
    power = np.asarray(signal, np.float64) ** (1 / _M2)
    return PQ_PEAK * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def light_to_pq(light: Any) -> Values:
    """PQ's inverse EOTF: signals of 0..1 for 0..10000 cd/m2."""
    power = (np.asarray(light, np.float64) / PQ_PEAK) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def hlg_to_light(signal: Any) -> Values:
    """HLG's EOTF for the nominal display: ``(..., 3)`` R'G'B' of 0..1 to cd/m2 of 0..1000."""
    signal = np.asarray(signal, np.float64)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)
    luminance = scene @ _luminance_weights(BT2020_MATRIX)
    return np.asarray(NOMINAL_PEAK * luminance[..., None] ** (HLG_GAMMA - 1) * scene)


def eetf(signal: Any, source_peak: float, target_peak: float) -> Values:
    """BT.2390's tone curve: PQ signals up to the source's peak to PQ signals up to the target's; black stays 0.

    Args:
        signal: PQ signals of 0..1.
        source_peak: Greatest light of the source in cd/m2; what exceeds it is cut to it.
        target_peak: Greatest light of the target in cd/m2.
    """
    top = float(light_to_pq(source_peak))
    share = np.minimum(np.asarray(signal, np.float64) / top, 1)
    max_share = float(light_to_pq(target_peak)) / top
    if max_share >= 1:
        return share * top
    knee = 1.5 * max_share - 0.5
    t = np.maximum(share - knee, 0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * max_share
    return np.where(share < knee, share, spline) * top


def source_peak(transfer: int, hdr: HdrMetadata | None) -> float:
    """Greatest light of a source in cd/m2, from reference white up.

    For PQ that is the lower one of MaxCLL and the mastering display's peak; 1000 where neither is told, and for HLG.
    """
    told = [] if hdr is None or transfer == HLG else [hdr.max_cll or 0, hdr.luminance[1] if hdr.luminance else 0]
    known = [float(light) for light in told if light > 0]
    return max(min([*known, PQ_PEAK]), REFERENCE_WHITE) if known else NOMINAL_PEAK


def to_sdr(signal: Any, transfer: int, primaries: int, peak: float) -> Values:
    """``(..., 3)`` R'G'B' of HDR, 0..1 each, to R'G'B' of SDR in BT.709; see the steps above.

    Args:
        signal: HDR's non-linear values.
        transfer: 16 for PQ, 18 for HLG.
        primaries: Of the source, as the code of H.273; what is not known is taken as BT.2020.
        peak: Greatest light of the source in cd/m2.
    """
    signal = np.clip(np.asarray(signal, np.float64), 0, 1)
    light = hlg_to_light(signal) if transfer == HLG else pq_to_light(signal)
    light = _into_gamut(light @ rgb_to_rgb(primaries, BT709_PRIMARIES).T)
    greatest = light.max(axis=-1, keepdims=True)
    lowered = pq_to_light(eetf(light_to_pq(greatest), peak, REFERENCE_WHITE))
    linear = light * (lowered / np.maximum(greatest, 1e-12)) / REFERENCE_WHITE
    return np.asarray(np.clip(linear, 0, 1) ** (1 / SDR_GAMMA))


def _into_gamut(light: Values) -> Values:
    """Draw colours towards the grey of their luminance, so that no part of theirs is negative."""
    grey = np.maximum(light @ _luminance_weights(BT709_PRIMARIES), 0)[..., None]
    distance = np.max((grey - light) / np.maximum(grey, 1e-12), axis=-1, keepdims=True)  # 0 for grey, 1 at the edge
    beyond = np.maximum(distance - GAMUT_KNEE, 0) / (1 - GAMUT_KNEE)
    nearer = np.minimum(distance, GAMUT_KNEE) + (1 - GAMUT_KNEE) * beyond / (1 + beyond)
    return np.asarray(np.maximum(grey + (light - grey) * nearer / np.maximum(distance, 1e-12), 0))


def _luminance_weights(matrix: int) -> Values:
    kr, kb = LUMA_COEFFICIENTS[matrix]
    return np.array([kr, 1 - kr - kb, kb])
