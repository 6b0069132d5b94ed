"""The benchmark of both passes: its figures fit together."""

from dataclasses import asdict

import pytest

from dft.configs.rendering import RenderSettings
from dft.configs.settings import build
from dft.render.bench import STAGES, bench


@pytest.mark.slow
def test_shares_are_those_of_the_speeds(talk):
    report = bench(talk.video, build(RenderSettings, {"preset": "ultrafast", "size": "640x360", "device": "cpu"}))
    assert (report.frames, report.device) == (talk.scene.num_frames, "cpu")
    for share, speed, limit in [
        (report.analyze_share, report.analyze_fps, report.decode_fps),
        (report.render_share, report.render_fps, report.transcode_fps),
        (report.compose_share, report.compose_fps, report.decode_fps),
        (report.encode_share, report.render_fps, report.encode_fps),
    ]:
        assert 0 < share == pytest.approx(speed / limit, abs=0.01)
    assert 0 < report.compose_ms <= report.compose_ms_p95
    assert set(report.stages) == set(STAGES) and report.stages["encode"] > 0
    assert report.faces > report.embedded > 0 and report.peak_rss_mb > 50
    text = report.as_text()
    assert all(f"{value:.1f}" in text for name, value in asdict(report).items() if name.endswith("_fps"))
