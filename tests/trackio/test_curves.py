import numpy as np
import pytest

from dft.trackio import curves
from dft.trackio.columns import codes
from dft.trackio.curves import centre_curve


def chosen(table, person):
    return codes(table, "person", ("A", "B")) == person


def test_every_frame_is_a_point_and_lines_break_at_gaps_and_cuts(table, metadata):
    curve = centre_curve(table, chosen(table, 0), metadata.video)
    assert not curve.thinned
    # A: frames 0 1 2, then a gap and a cut, then 5 to 9, with 6 interpolated
    frames = np.array([0, 1, 2, np.nan, 5, 6, 7, 8, 9])
    np.testing.assert_allclose(curve.seconds, frames * 0.04)
    np.testing.assert_allclose(curve.middle, (125 + frames) / 640)
    assert np.flatnonzero(curve.interpolated).tolist() == [5]


def test_a_cut_alone_breaks_the_line(table, metadata):
    curve = centre_curve(table, chosen(table, 1), metadata.video)
    assert np.flatnonzero(np.isnan(curve.middle)).tolist() == [5]


def test_each_track_is_a_line_of_its_own(table, metadata):
    everybody = np.ones(table.num_rows, bool)
    curve = centre_curve(table, everybody, metadata.video, by_track=True)
    # track 1 has three frames, then five; track 2 five, then three; track 7 two
    assert np.flatnonzero(np.isnan(curve.middle)).tolist() == [3, 9, 15, 19]


def test_nobody(table, metadata):
    curve = centre_curve(table, np.zeros(table.num_rows, bool), metadata.video)
    assert len(curve.seconds) == len(curve.interpolated) == 0


def test_thinning_keeps_extremes(table, metadata, monkeypatch):
    monkeypatch.setattr(curves, "MAX_POINTS", 2)
    curve = centre_curve(table, chosen(table, 0), metadata.video)
    assert curve.thinned
    # two points, of frames 0 1 2 and of 5 to 9; the cut stands between
    np.testing.assert_allclose(curve.low, np.array([125, np.nan, 130]) / 640)
    np.testing.assert_allclose(curve.middle, np.array([126, np.nan, 132]) / 640)
    np.testing.assert_allclose(curve.high, np.array([127, np.nan, 134]) / 640)
    assert curve.seconds[[0, 2]] == pytest.approx([0.04, 0.28])
