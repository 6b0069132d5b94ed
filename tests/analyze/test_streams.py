"""Streams that are measured together: every frame counted is a frame seen, and only the common time counts."""

import numpy as np
import pytest

from dft.analyze import streams
from dft.analyze.streams import bench_streams
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import VideoNotFoundError
from dft.configs.settings import build

SETTINGS = build(AnalyzeSettings, {"device": "cpu", "threads": 1})


def seen(*samples):
    none = np.zeros(0)
    return streams._Seen(tuple(np.array(s) for s in samples), none, none, 0, None, 0.0, ("", ""))


def test_the_rate_is_that_of_the_time_in_which_all_are_at_work():
    # at 100 and 50 frames/s; the second one alone is at work from 0 to 2 s, the first alone from 4 s on
    one, two = [(2.0, 60.0), (6.0, 460.0)], [(0.0, 60.0), (4.0, 260.0)]
    assert streams._fps([seen(one, two)]) == pytest.approx(150.0)
    assert streams._fps([seen(one), seen(two)]) == pytest.approx(150.0)


def test_streams_in_processes(talk):
    report = bench_streams(talk.video, SETTINGS, num_streams=3, num_processes=2, seconds=1.0)
    assert (report.num_streams, report.num_processes) == (3, 2)
    assert report.decode_fps > 0 and report.analyze_fps > 0
    assert report.share == pytest.approx(report.analyze_fps / report.decode_fps, abs=0.01)
    assert 0 < report.decode_ms[0] <= report.decode_ms[1]
    assert report.rung[0] == "cpu" and report.rung[1].startswith("onnxruntime-cpu")
    assert report.copied_share is report.memory_mb is report.inference_ms is None
    text = report.as_text()
    assert "3 streams in 2 processes" in text and "GPU" not in text


def test_processes_are_spread_over_the_gpus(talk, monkeypatch):
    class EndedError(Exception):
        pass

    def share(items, num, *rest):
        shared.append((items, num, rest[-1]))
        raise EndedError

    shared, places = [], ({"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"})
    monkeypatch.setattr(streams, "share_out_to_processes", share)
    monkeypatch.setattr(streams, "environments", lambda device: places if device.kind == "cpu" else ())
    with pytest.raises(EndedError):
        bench_streams(talk.video, SETTINGS, num_streams=5, num_processes=2, seconds=1.0)
    assert shared == [([("decode", 2), ("decode", 3)], 2, places)]


def test_a_count_samples_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "WARM_SECONDS", 0.0)
    warm = []
    count = streams._Count(tmp_path / "finish", lambda: warm.append(1))
    for _ in range(streams.WARM_FRAMES - 1):
        assert not count()
    assert not warm and not count.samples
    count()
    assert warm == [1] and len(count.samples) == 1
    (tmp_path / "finish").touch()
    while not count():
        pass
    assert count.over and len(count.samples) == 2
    assert count.samples[1][0] - count.samples[0][0] > streams.SAMPLE_SECONDS
    assert len(count.frame_seconds) == count.frames - streams.WARM_FRAMES


def test_a_video_that_is_not_there(tmp_path):
    with pytest.raises(VideoNotFoundError):
        bench_streams(tmp_path / "none.mp4", SETTINGS, 1, 1, 1.0)
