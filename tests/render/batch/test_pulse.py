"""What reads is told from what hangs."""

import time
from pathlib import Path

import pytest

from dft.render.batch import pulse
from dft.render.batch.pulse import beating, num_bytes

from .conftest import num_runs
from .test_batch_local import outcomes, run

pytestmark = pytest.mark.skipif(num_bytes() is None, reason="/proc tells what a process has read")


def read(num: int) -> None:
    with Path("/dev/zero").open("rb") as file:
        file.read(num)


def test_it_beats_while_there_is_something_read(monkeypatch):
    monkeypatch.setattr(pulse, "BEAT_SECONDS", 0.01)
    beats: list[int] = []
    with beating(lambda: beats.append(1)):
        time.sleep(0.3)
        assert not beats, "nothing was read but how much was read"
        read(pulse.LEAST_BYTES)
        time.sleep(0.3)
        assert len(beats) == 1
    read(2 * pulse.LEAST_BYTES)
    time.sleep(0.1)
    assert len(beats) == 1


def test_where_nobody_tells_there_are_no_beats(monkeypatch, tmp_path):
    monkeypatch.setattr(pulse, "COUNTS", tmp_path / "io")
    with beating(lambda: pytest.fail("a beat")):
        read(2 * pulse.LEAST_BYTES)
    (tmp_path / "io").write_text("something else\n")
    assert num_bytes() is None


def test_a_long_scan_is_no_stall(files, tmp_path):
    folder = files(a="scan")
    assert outcomes(run(folder, tmp_path / "out", stall_seconds=4.0)) == {"a": "done"}
    assert num_runs(folder) == {"a": 2}
