"""Streams share the cores: what each of them starts in threads, counted in its process; and nobody's words pile up."""

import os
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from dft.analyze.pipeline import analyze
from dft.engines.processes import Told, WorkerProcess
from dft.render.batch.crews import engine
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions, Values
from dft.render.batch.work import TELL_SECONDS, Passes, _Throttled
from dft.render.pipeline import render

TASKS = Path("/proc/self/task")
LIBRARIES = 4  # with threads of their own at once: FFmpeg, OpenCV, and ONNX Runtime twice


def num_threads() -> int:
    return sum(1 for _ in TASKS.iterdir())


def most_threads(run, output: Path):
    """Note beside the output how many threads the process had at most, more than before."""
    before, most, over = num_threads(), [0], threading.Event()

    def look():
        while not over.wait(0.005):
            most[0] = max(most[0], num_threads())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        return run()
    finally:
        over.set()
        looking.join()
        output.with_name(f"{output.name}.threads").write_text(str(most[0] - before - 1))


def counted_analyze(video: Path, output: Path, **more):
    return most_threads(lambda: analyze(video, output, **more), output)


def counted_render(video: Path, tracks: Path, output: Path, **more):
    return most_threads(lambda: render(video, tracks, output, **more), output)


@pytest.mark.skipif(not TASKS.exists(), reason="threads are counted by way of /proc")
def test_streams_take_no_more_threads_than_their_share_of_the_cores(talk, tmp_path, monkeypatch):
    for name in ("a", "b"):
        shutil.copy(talk.video, tmp_path / f"{name}.mp4")
        os.utime(tmp_path / f"{name}.mp4", (1, 1))
    most = {}
    for cores in (2, 10):
        monkeypatch.setattr(engine, "num_cores", lambda cores=cores: cores)
        out, values = tmp_path / f"out{cores}", {"preset": "ultrafast", "size": "160x90"}
        report = batch(
            [tmp_path / "a.mp4", tmp_path / "b.mp4"], out, values=Values({}, values), options=BatchOptions(streams=2),
            passes=Passes(counted_analyze, counted_render),
        )  # fmt: skip
        assert report.num("done") == 2, report.as_text()
        for step, pattern in (("analyze", "*.parquet.threads"), ("render", "*.mp4.threads")):
            most[cores // 2, step] = max(int(path.read_text()) for path in out.glob(pattern))
    for step, own in (("analyze", 3), ("render", 5)):  # threads of ours, one of each kind
        assert most[1, step] <= own
        assert most[1, step] < most[5, step] <= own + LIBRARIES * 5


def test_progress_is_told_a_few_times_a_second(monkeypatch):
    told, now = [], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    throttled = _Throttled(told.append)
    for done in range(10_000):
        now[0] += 0.001
        throttled(done, 20_000)
    assert len(told) <= 10 / TELL_SECONDS + 1
    throttled(20_000, 20_000)
    assert told[-1].done == 20_000


@contextmanager
def talking(folder: Path):
    """Tells more than anybody wants to hear, and keeps count."""

    def work(num: int, tell):
        count = (folder / "told").open("w")
        for _ in range(num):
            tell("x" * 1000)
            count.write(".")
            count.flush()

    yield work


def test_what_nobody_hears_waits_in_the_worker(tmp_path):
    """Messages do not pile up in the caller: the worker stops until they are heard."""
    told = tmp_path / "told"
    with WorkerProcess(0, talking, tmp_path) as worker:
        worker.begin(0, 5000)
        sizes = [-1]
        deadline = time.monotonic() + 120
        while not told.exists() or sizes[-1] != sizes[-min(len(sizes), 20)] or len(sizes) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            sizes.append(told.stat().st_size if told.exists() else -1)
        assert 0 < sizes[-1] < 1000  # 1 MB: what the system keeps on the way
        heard = 0
        while isinstance(worker.receive(), Told):
            heard += 1
        assert heard == 5000 == told.stat().st_size
        worker.dismiss()
