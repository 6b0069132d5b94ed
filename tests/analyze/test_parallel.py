"""A video looked at by several processes: the same track file; resumed, damaged, and with a dead process."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dft.analyze import parallel
from dft.analyze.parallel import num_processes
from dft.analyze.pipeline import analyze
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import CorruptVideoError, ModelError
from dft.configs.settings import build
from dft.engines.cuda.gpus import VisibleGpu
from dft.engines.devices import DeviceChoice
from dft.engines.protocols import FrameIndex
from dft.trackio.files import read_tracks

CPU = DeviceChoice("cpu", "asked for")


def settings(**values):
    return build(AnalyzeSettings, {"chunk_seconds": 0.8, "threads": 1, **values})


@pytest.fixture(scope="module")
def alone(talk, tmp_path_factory):
    """The track file of one process."""
    output = tmp_path_factory.mktemp("alone") / "talk.tracks.parquet"
    analyze(talk.video, output, settings=settings(workers=1))
    return output


def test_three_processes_write_what_one_does(talk, alone, tmp_path):
    told = []
    report = analyze(
        talk.video, tmp_path / "t.parquet", settings=settings(workers=3), progress=lambda *step: told.append(step)
    )
    assert (tmp_path / "t.parquet").read_bytes() == alone.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    total = talk.scene.num_frames
    assert [done for done, _ in told] == sorted(done for done, _ in told) and told[-1] == (total, total)
    assert report.frames == total and report.reid_seconds > 0


def test_the_track_file_says_how_it_was_looked_at(alone):
    rungs = read_tracks(alone).metadata.device.rungs
    assert rungs["decode"] == ("cpu",)
    assert all(rung.startswith("onnxruntime-cpu ") for role in ("detect", "embed") for rung in rungs[role])


class StoppedError(Exception):
    pass


def test_a_stopped_analysis_goes_on_with_another_number_of_processes(talk, alone, tmp_path):
    def stop(done: int, total: int) -> None:
        if done > 45:
            raise StoppedError

    output = tmp_path / "t.parquet"
    with pytest.raises(StoppedError):
        analyze(talk.video, output, settings=settings(workers=2), progress=stop)
    report = analyze(talk.video, output, settings=settings(workers=1))
    assert report.resumed_frames > 0 and output.read_bytes() == alone.read_bytes()


def test_a_process_that_is_killed_is_replaced(talk, alone, tmp_path, caplog):
    killed = []

    def kill_one(done: int, total: int) -> None:
        if not killed:
            killed.append(_children()[0])
            os.kill(killed[0], signal.SIGKILL)

    analyze(talk.video, tmp_path / "t.parquet", settings=settings(workers=2), progress=kill_one)
    assert killed and "died (signal SIGKILL)" in caplog.text
    assert (tmp_path / "t.parquet").read_bytes() == alone.read_bytes()


def _children() -> list[int]:
    return [
        int(child)
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
        if "serve" in Path(f"/proc/{child}/cmdline").read_text()
    ]


def test_damage_is_counted_over_all_of_them(talk, tmp_path):
    broken = tmp_path / "broken.mp4"
    data = bytearray(talk.video.read_bytes())
    rng = np.random.default_rng(3)
    start = data.find(b"mdat") + 4
    for place in rng.integers(start, len(data) - 2000, 60):
        data[place : place + 400] = rng.integers(0, 256, 400, np.uint8).tobytes()
    broken.write_bytes(data)
    for workers in (1, 2, 2):  # again: what was kept must not hide the damage
        with pytest.raises(CorruptVideoError, match="too damaged"):
            analyze(broken, tmp_path / "t.parquet", settings=settings(workers=workers, max_corrupt=0.01))
    assert not (tmp_path / "t.parquet").exists()


def test_a_failure_in_a_process_is_ours(talk, tmp_path, monkeypatch):
    # the caller finds a model that is gone when the processes look for it
    model = tmp_path / "own.onnx"
    model.write_bytes(b"no model")
    with pytest.raises(ModelError, match="ONNX"):
        analyze(talk.video, tmp_path / "t.parquet", settings=settings(workers=2, detector=str(model)))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dft-")]


@pytest.mark.parametrize(
    ("engines", "workers", "frames", "cores", "wanted"),
    [
        ([7], None, 3_000, 16, 1),
        ([7], None, 20_000, 16, 4),
        ([7], None, 200_000, 16, 8),
        ([7], None, 200_000, 6, 3),
        ([7], 5, 100, 1, 5),
        ([7, 7], None, 200_000, 32, 16),
        ([7, 7], None, 200_000, 16, 8),
        ([7, 1], None, 200_000, 64, 10),
        ([7, 7], None, 30_000, 64, 6),
    ],
)
def test_how_many_on_gpus(monkeypatch, engines, workers, frames, cores, wanted):
    """One more than a GPU has decoders, as long as there are cores and frames for them."""
    monkeypatch.setattr(parallel, "gpus", lambda _: tuple(VisibleGpu("", num, None) for num in engines))
    monkeypatch.setattr(parallel, "num_cores", lambda: cores)
    index = FrameIndex(np.arange(frames), np.ones(frames, bool), frames)
    assert num_processes(settings(workers=workers), DeviceChoice("cuda", "asked for"), index) == wanted


def test_each_process_has_the_next_gpu(talk, alone, tmp_path, monkeypatch):
    """Told by their environments: what they look at runs on the CPU here."""
    places = tuple({"CUDA_VISIBLE_DEVICES": name} for name in ("0", "MIG-1"))
    monkeypatch.setattr(parallel, "environments", lambda _: places)
    seen = []

    def look(done: int, total: int) -> None:
        if not seen:
            for child in _children():
                variables = Path(f"/proc/{child}/environ").read_text().split("\0")
                seen.append(next(line for line in variables if line.startswith("CUDA_VISIBLE")))

    analyze(talk.video, tmp_path / "t.parquet", settings=settings(workers=3), progress=look)
    assert sorted(seen) == ["CUDA_VISIBLE_DEVICES=0"] * 2 + ["CUDA_VISIBLE_DEVICES=MIG-1"]
    assert (tmp_path / "t.parquet").read_bytes() == alone.read_bytes()


def test_one_on_the_cpu(monkeypatch):
    monkeypatch.setattr(parallel, "num_cores", lambda: 64)
    index = FrameIndex(np.arange(10**6), np.ones(10**6, bool), 10**6)
    assert num_processes(settings(), CPU, index) == 1


def test_steps_are_gathered_and_none_is_lost(monkeypatch):
    told, now = [], iter(np.arange(0, 100, 0.01))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    steps = parallel._Steps(told.append)
    for _ in range(200):
        steps.add(parallel.Step(1))
    steps.send()
    assert sum(step.done for step in told) == 200 and 2 < len(told) < 30
