"""The usual ways to follow a face, and the comparison with them."""

import numpy as np
import pytest
from scipy.signal import savgol_filter

from dft.configs.errors import OutputError, SettingError
from dft.configs.rendering import CameraSettings, RenderSettings
from dft.render.camera.baselines import WAYS, dead_zone, savitzky_golay, usual_plans
from dft.render.camera.metrics import Study, measure
from dft.render.camera.plan import plan
from dft.render.camera.plot import plot_plan

FPS, UNIT = 25, 200.0
SETTINGS = CameraSettings()
TIMES = np.arange(500) / FPS


@pytest.fixture
def studied(make_table, make_metadata, box, rng):
    """Somebody who walks, goes away and comes back, and somebody who only fidgets; one cut."""
    jitter = rng.normal(0, 4, (500, 2))
    walk = lambda i: None if 300 <= i < 340 else box(np.interp(i, [100, 150], [500, 900]), 430, 200)  # noqa: E731
    fidget = lambda i: box(1440 + jitter[i, 0], 450 + jitter[i, 1], 160)  # noqa: E731
    table = make_table([("A", "left", walk), ("B", "right", fidget)], 500)
    camera = plan(table, make_metadata(500, cuts=[400]), RenderSettings(), np.arange(500))
    return Study("talk.tracks.parquet", camera, TIMES, SETTINGS)


def test_the_filter_is_scipy_s_on_even_frames(rng):
    target = np.cumsum(rng.normal(0, 5, 500))
    np.testing.assert_allclose(savitzky_golay(TIMES, target, UNIT, SETTINGS), savgol_filter(target, 25, 3), atol=1e-9)


def test_the_filter_keeps_cubics_at_a_variable_rate(rng):
    times = np.cumsum(rng.uniform(0.02, 0.06, 400))
    target = 3 * (times - 8) ** 3 - 20 * times
    made = savitzky_golay(times, target, UNIT, SETTINGS)
    assert np.abs(made - target).max() < 0.01 * np.ptp(target)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 8])
def test_short_takes(length):
    times, target = TIMES[:length], np.linspace(0, 1, length)
    for way in WAYS.values():
        made = way(times, target, UNIT, SETTINGS)
        assert made.shape == (length,) and np.abs(made - target).max() < 1.01
    np.testing.assert_array_equal(savitzky_golay(np.zeros(3), np.arange(3.0), UNIT, SETTINGS), np.arange(3.0))


def test_the_dead_zone_stays_then_goes_and_stays_again():
    target = 500 + np.where(TIMES < 5, 49.0, np.where(TIMES < 12, 300.0, 340.0))
    target[0] = 500
    path = dead_zone(TIMES, target, UNIT, SETTINGS)  # the zone is 50
    assert (path[TIMES < 5] == 500).all()
    assert np.ptp(path[(TIMES > 8) & (TIMES < 12)]) == 0 and abs(path[250] - 800) <= 10
    assert (path[TIMES >= 12] == path[250]).all()  # 340 is within the zone of 300
    going = (TIMES >= 5) & (TIMES < 6)
    np.testing.assert_allclose(np.diff(np.log(800 - path[going])), -1 / FPS / 0.4, rtol=1e-6)


def test_usual_plans_have_the_camera_s_sizes_and_stay_in_the_picture(studied):
    for other in usual_plans(studied.camera, TIMES, SETTINGS).values():
        for own, view in zip(studied.camera.views, other.views, strict=True):
            sizes = [each.crops_xyxy[:, 2:] - each.crops_xyxy[:, :2] for each in (own, view)]
            np.testing.assert_allclose(sizes[0], sizes[1], atol=1e-9)
            assert view.crops_xyxy.min() >= 0 and (view.crops_xyxy.max(axis=0)[2:] <= [1920, 1080]).all()


def test_the_camera_is_calmer_than_usual_ways(studied):
    report = studied.report(compare=True)
    assert list(report.usual) == list(WAYS) and [len(cameras) for cameras in report.usual.values()] == [2, 2]
    for cameras in report.usual.values():
        for own, usual in zip(report.cameras, cameras, strict=True):
            assert own.side == usual.side and own.full >= usual.full
            assert own.acceleration <= usual.acceleration and own.jerk <= usual.jerk
    assert report.cameras == measure(studied.camera, TIMES, SETTINGS.face_level)
    assert studied.report().usual == {}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_plot_is_a_picture(studied, tmp_path, suffix):
    path = tmp_path / f"camera{suffix}"
    plot_plan(studied, path, overwrite=False)
    assert path.read_bytes().startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    with pytest.raises(OutputError):
        plot_plan(studied, path, overwrite=False)


def test_the_plot_knows_its_formats(studied, tmp_path):
    with pytest.raises(SettingError, match=r"\.svg"):
        plot_plan(studied, tmp_path / "camera.gif", overwrite=False)
