"""The operator from HDR to SDR: its curves, its fixed points, and what it must never do."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dft.engines.cpu.colour import rgb_to_rgb
from dft.engines.cpu.tonemap import (
    GAMUT_KNEE,
    REFERENCE_WHITE,
    eetf,
    hlg_to_light,
    light_to_pq,
    pq_to_light,
    source_peak,
    to_sdr,
)
from dft.engines.protocols import HLG, PQ, HdrMetadata

BT709, BT2020 = 1, 9
shares = st.floats(0, 1)
peaks = st.floats(REFERENCE_WHITE, 10_000)
transfers = st.sampled_from([PQ, HLG])
colours = st.tuples(shares, shares, shares)


def pq_of(light):
    """PQ signals of BT.2020 light in cd/m2."""
    return light_to_pq(np.asarray(light, float))


# --- signals and light ---


@pytest.mark.parametrize(
    ("light", "signal"), [(0, 0), (100, 0.5081), (203, 0.5807), (1000, 0.7518), (4000, 0.9026), (10_000, 1)]
)
def test_pq_of_known_light(light, signal):
    """Levels of BT.2408, table 1, and BT.2390."""
    assert light_to_pq(light) == pytest.approx(signal, abs=5e-5)
    assert pq_to_light(light_to_pq(light)) == pytest.approx(light, abs=1e-3)


@given(shares)
def test_pq_there_and_back(signal):
    assert light_to_pq(pq_to_light(signal)) == pytest.approx(signal, abs=1e-6)


@pytest.mark.parametrize(("signal", "light", "within"), [(0, 0, 0), (0.38, 26, 0.3), (0.75, 203, 0.5), (1, 1000, 0.01)])
def test_hlg_of_known_signals(signal, light, within):
    """BT.2408, table 1: the grey card, reference white and peak on a display of 1000 cd/m2."""
    np.testing.assert_allclose(hlg_to_light([signal] * 3), [light] * 3, atol=within)


# --- the tone curve ---


@given(peaks, st.lists(shares, min_size=2, max_size=20))
def test_the_curve_ascends_and_ends_at_the_target(peak, signals):
    mapped = eetf(np.sort(signals), peak, REFERENCE_WHITE)
    assert (np.diff(mapped) >= -1e-12).all()
    assert mapped[0] >= 0 and mapped[-1] <= light_to_pq(REFERENCE_WHITE) + 1e-12
    assert eetf(light_to_pq(peak), peak, REFERENCE_WHITE) == pytest.approx(float(light_to_pq(REFERENCE_WHITE)))
    assert eetf(0, peak, REFERENCE_WHITE) == 0


@given(peaks, shares)
def test_the_curve_only_darkens(peak, signal):
    assert eetf(signal, peak, REFERENCE_WHITE) <= signal + 1e-12


@given(st.floats(0, 0.49))
def test_below_the_knee_nothing_changes(signal):
    assert eetf(signal, 1000, REFERENCE_WHITE) == pytest.approx(signal, abs=1e-12)


@given(peaks)
def test_the_curve_has_no_step(peak):
    signals = np.linspace(0, 1, 4001)
    assert np.diff(eetf(signals, peak, REFERENCE_WHITE)).max() <= 1.001 / 4000


@given(shares)
def test_a_source_no_brighter_than_the_target_is_left_alone(signal):
    top = float(light_to_pq(150))
    assert eetf(signal, 150, REFERENCE_WHITE) == pytest.approx(min(signal, top), abs=1e-12)


def test_the_peak_of_a_source():
    display = HdrMetadata(luminance=(0.005, 4000.0))
    assert source_peak(PQ, None) == 1000
    assert source_peak(PQ, display) == 4000
    assert source_peak(PQ, HdrMetadata(luminance=(0.005, 4000.0), max_cll=1500, max_fall=100)) == 1500
    assert source_peak(PQ, HdrMetadata(luminance=(0.005, 1000.0), max_cll=9000, max_fall=100)) == 1000
    assert source_peak(PQ, HdrMetadata(max_cll=600, max_fall=0)) == 600
    assert source_peak(PQ, HdrMetadata(max_cll=0, max_fall=80)) == 1000
    assert source_peak(PQ, HdrMetadata(max_cll=65_535, max_fall=0)) == 10_000
    assert source_peak(PQ, HdrMetadata(max_cll=90, max_fall=20)) == REFERENCE_WHITE
    assert source_peak(HLG, display) == 1000


# --- the whole operator ---


@pytest.mark.parametrize(("light", "signal"), [(0, 0), (26, 0.4247), (89, 0.7092), (203, 0.9033), (1000, 1), (4000, 1)])
def test_where_greys_land(light, signal):
    np.testing.assert_allclose(to_sdr(pq_of([light] * 3), PQ, BT2020, 1000.0), [signal] * 3, atol=5e-5)


def test_hlg_and_pq_of_the_same_light_look_alike():
    hlg = np.random.default_rng(3).random((500, 3))
    np.testing.assert_allclose(
        to_sdr(hlg, HLG, BT2020, 1000.0), to_sdr(light_to_pq(hlg_to_light(hlg)), PQ, BT2020, 1000.0), atol=1e-6
    )


@given(transfers, peaks, shares)
def test_greys_stay_grey(transfer, peak, signal):
    red, green, blue = to_sdr([signal] * 3, transfer, BT2020, peak)
    assert red == pytest.approx(green, abs=1e-4) and blue == pytest.approx(green, abs=1e-4)


@given(transfers, peaks, st.lists(shares, min_size=2, max_size=20))
def test_greys_ascend(transfer, peak, signals):
    greys = to_sdr(np.repeat(np.sort(signals)[:, None], 3, axis=1), transfer, BT2020, peak)[:, 1]
    assert (np.diff(greys) >= -1e-9).all()


@given(transfers, peaks, colours)
def test_every_colour_fits(transfer, peak, colour):
    mapped = to_sdr(colour, transfer, BT2020, peak)
    assert np.isfinite(mapped).all() and mapped.min() >= 0 and mapped.max() <= 1


@given(st.tuples(*[st.floats(1, 60)] * 3))
def test_usual_colours_below_the_knee_keep_their_light(light):
    """SDR of the same light: nothing but the scale to reference white."""
    linear = np.array(light) / REFERENCE_WHITE
    grey = linear @ (0.2126, 0.7152, 0.0722)
    assume(np.max((grey - linear) / grey) < GAMUT_KNEE)
    mapped = to_sdr(pq_of(rgb_to_rgb(BT709, BT2020) @ light), PQ, BT2020, 1000.0)
    np.testing.assert_allclose(mapped, linear ** (1 / 2.4), atol=1e-4)


@given(transfers, peaks, colours, st.floats(0.3, 1))
def test_luminance_never_falls_when_light_rises(transfer, peak, colour, share):
    """Along a ray of one hue, in linear light."""
    light = pq_to_light(np.array(colour))
    signals = pq_of(np.stack([share * light, light]))
    dim, bright = to_sdr(signals, PQ, BT2020, peak) ** 2.4 @ (0.2126, 0.7152, 0.0722)
    assert dim <= bright + 1e-6


@pytest.mark.parametrize("source", [BT709, 12, BT2020])
def test_white_is_the_same_in_all_primaries(source):
    np.testing.assert_allclose(rgb_to_rgb(source, BT709).sum(axis=1), [1, 1, 1], atol=1e-9)


@pytest.mark.parametrize("colour", [(1, 0.62, 0.48), (0.9, 1, 0.7)])
def test_bright_colours_keep_hue_and_shades(colour):
    """Skin in the light, from below the knee up to the peak: always brighter, and of the same hue and saturation."""
    light = np.linspace(50, 900, 18)[:, None] * (rgb_to_rgb(BT709, BT2020) @ colour)
    linear = to_sdr(pq_of(light), PQ, BT2020, 1000.0) ** 2.4
    assert (np.diff(linear.max(axis=1)) > 0).all()
    np.testing.assert_allclose(linear / linear.max(axis=1, keepdims=True), [colour] * 18, atol=1e-3)


def test_bt2020_in_bt709():
    """The matrix of BT.2087, annex 2, to the four digits that it has."""
    wanted = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    np.testing.assert_allclose(rgb_to_rgb(BT2020, BT709), wanted, atol=1e-4)
