"""Whether what grows is told from what does not."""

import json
import mmap
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.cli import cli
from dft.configs.errors import BackendUnavailableError, CorruptVideoError, EngineError, SettingError
from dft.render.batch.endurance import vitals
from dft.render.batch.endurance.soak import soak
from dft.render.batch.endurance.vitals import Trend, Vitals
from dft.render.batch.work import Passes

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="/proc tells how a process is")

MB = 1_000_000
HELD: list[object] = []


def test_memory_files_and_threads_of_a_process_are_seen(tmp_path):
    before = Vitals.of(os.getpid())
    # not the allocator's, which may have room left
    block, release = mmap.mmap(-1, 40 * MB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), threading.Event()
    block[:: mmap.PAGESIZE] = b"x" * -(-len(block) // mmap.PAGESIZE)
    thread = threading.Thread(target=release.wait)
    thread.start()
    with (tmp_path / "file").open("w"):
        after = Vitals.of(os.getpid())
    release.set()
    thread.join()
    assert 0.9 * len(block) < after.memory - before.memory < 2 * len(block)
    assert (after.descriptors, after.threads) == (before.descriptors + 1, before.threads + 1)


def test_a_system_that_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(vitals, "PROC", tmp_path)
    with pytest.raises(BackendUnavailableError, match="Linux"):
        Vitals.of(os.getpid())


def samples(memory, descriptors=8, threads=4):
    columns = [
        np.arange(1, len(memory) + 1),
        memory,
        *(np.broadcast_to(c, len(memory)) for c in (descriptors, threads)),
    ]
    return np.stack(columns, axis=1).astype(np.int64)


@settings(deadline=None)
@given(st.integers(-50_000, 200_000), st.integers(0, 2**32 - 1))
def test_growth_is_found_in_noise(slope, seed):
    noise = np.random.default_rng(seed).normal(0, 30_000, 200)
    trend = Trend.of("worker 0", samples(300 * MB + slope * np.arange(200) + noise))
    assert trend.samples == 160 and abs(trend.growth - slope) < 600
    assert trend.growth_low <= trend.growth <= trend.growth_high
    assert trend.steady or slope > 3500
    assert not trend.steady or slope < 4700


def test_warm_up_and_single_readings_do_not_count():
    memory = np.full(100, 300.0 * MB)
    memory[:20] = np.linspace(100 * MB, 300 * MB, 20)
    memory[[30, 99]] += 80 * MB
    assert Trend.of("worker 0", samples(memory)).steady


@pytest.mark.parametrize("kind", ["descriptors", "threads"])
def test_what_is_counted_may_vary_but_not_creep(kind):
    memory, varying = np.full(100, 300 * MB), np.tile([8, 9], 50)
    assert Trend.of("caller", samples(memory, **{kind: varying})).steady
    creeping = Trend.of("caller", samples(memory, **{kind: 8 + np.arange(100) // 10}))
    assert not creeping.steady and "GROWS" in creeping.as_text() and "10 to 17" in creeping.as_text()


def clean(video, *places, **more):
    places[-1].write_bytes(b"made")
    if video.read_bytes() == b"bad":
        raise CorruptVideoError("damaged")
    return SimpleNamespace(frames=1, notes=(), recovered=(), resumed_frames=0, reused=0)


def hoarding(video, *places, **more):
    HELD.append(np.ones(MB, np.uint8))
    return clean(video, *places)


def littering(video, *places, **more):
    HELD.append(video.open("rb"))
    return clean(video, *places)


def spawning(video, *places, **more):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return clean(video, *places)


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.mp4").write_bytes(b"good")
        os.utime(folder / f"{name}.mp4", (0, 0))
    return folder


def test_clean_passes_are_steady(videos):
    told = []
    report = soak([videos], 60, streams=2, work=Passes(clean, clean), progress=lambda *done: told.append(done))
    assert report.steady, report.as_text()
    assert told == [(number, 60) for number in range(1, 61)] and (report.passes, report.failed) == (60, 0)
    names = ["caller", "worker 0", "worker 1"]
    assert [process.process for process in report.processes] == names == list(report.samples)
    assert len(report.samples["worker 0"]) + len(report.samples["worker 1"]) == len(report.samples["caller"]) == 60
    assert report.as_dict()["steady"] is True and len(report.as_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("place", "bad"), [("analyze", hoarding), ("render", hoarding), ("analyze", littering), ("render", spawning)]
)
def test_what_a_pass_keeps_is_found(videos, place, bad):
    work = Passes(bad, clean) if place == "analyze" else Passes(clean, bad)
    report = soak([videos], 25, work=work)
    caller, worker = report.processes
    assert caller.steady and not worker.steady, report.as_text()
    if bad is hoarding:
        assert worker.growth == pytest.approx(MB, rel=0.1)


def test_failures_are_counted_and_all_failing_is_told(videos):
    (videos / "a.mp4").write_bytes(b"bad")
    report = soak([videos], 20, work=Passes(clean, clean))
    assert (report.passes, report.failed) == (20, 10)
    (videos / "b.mp4").write_bytes(b"bad")
    with pytest.raises(EngineError, match="no video could be worked on; got damaged"):
        soak([videos], 20, work=Passes(clean, clean))
    with pytest.raises(SettingError, match="got 39; expected at least 40"):
        soak([videos], 39, streams=2, work=Passes(clean, clean))


@pytest.mark.slow
def test_the_command_soaks_real_videos(two_people, tmp_path):
    """Descriptors and threads are constant; so few videos tell little about memory."""
    report = tmp_path / "soak.json"
    words = ["soak", str(two_people(a=25, b=13)), "-o", str(report), "--passes", "40", "--preset", "ultrafast"]
    result = CliRunner().invoke(cli, [*words, "--size", "160x90"])
    assert result.exit_code in (0, 1), result.output
    document = json.loads(report.read_text())
    assert (document["passes"], document["failed"], document["profile"]) == (40, 0, "dft_soak 1.0")
    for process in document["processes"]:
        for kind in ("descriptors", "threads"):
            assert process[kind][0] == process[kind][1], f"{process['process']} has other {kind} after some videos"
    assert result.output.count(" bytes a video (95 % interval") == 2
    again = CliRunner().invoke(cli, words)
    assert "exists" in str(again.exception)
