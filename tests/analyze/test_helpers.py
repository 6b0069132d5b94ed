"""One video looked at by this machine and by helpers: the tracks are the same to the byte."""

import logging
from contextlib import contextmanager

import pytest

from dft.analyze.chunks import Chunk
from dft.analyze.parallel import _wait_for
from dft.analyze.pipeline import analyze
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import EvidenceError
from dft.configs.settings import build
from dft.engines.processes import WorkerProcess

SETTINGS = build(AnalyzeSettings, {"chunk_seconds": 0.5, "threads": 1, "device": "cpu"})


class Neighbours:
    """Helpers on this very machine, with what they are given; some cannot open it."""

    def __init__(self, seconds: float, useless: bool = False):
        self.seconds, self.useless, self.arguments = seconds, useless, []

    def num(self, seconds: float) -> int:
        return int(seconds / self.seconds) - 1

    def hire(self, number, open_work, argument):
        self.arguments.append(argument)
        return WorkerProcess(number, unopened if self.useless else open_work, argument)


@contextmanager
def unopened(argument):
    raise OSError("no such folder here")
    yield


@pytest.fixture(scope="module")
def alone(talk, tmp_path_factory):
    output = tmp_path_factory.mktemp("alone") / "t.parquet"
    analyze(talk.video, output, settings=SETTINGS)
    return output.read_bytes()


class Never(WorkerProcess):
    """Does not begin: of so short a video it would do all before helpers are there."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ready = False


def test_tracks_are_the_same_whoever_looks(talk, alone, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("dft.analyze.parallel.WorkerProcess", Never)
    helpers, frames = Neighbours(2.0), []
    report = analyze(
        talk.video,
        tmp_path / "t.parquet",
        settings=SETTINGS,
        helpers=helpers,
        progress=lambda *done: frames.append(done),
    )
    assert (tmp_path / "t.parquet").read_bytes() == alone
    assert len(helpers.arguments) == 1 and report.recovered == ()
    assert "helpers looked at 6 of 6 parts" in caplog.text
    assert frames[-1] == (110, 110) and sorted(frames) == frames
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_helpers_that_are_of_no_use_are_told_of_and_change_nothing(talk, alone, tmp_path):
    report = analyze(talk.video, tmp_path / "t.parquet", settings=SETTINGS, helpers=Neighbours(2.0, useless=True))
    assert (tmp_path / "t.parquet").read_bytes() == alone
    assert [recovery.cause for recovery in report.recovered] == ["a helper is lost: failed: no such folder here"]


def test_a_short_video_needs_no_helpers(talk, alone, tmp_path):
    helpers = Neighbours(100.0)
    analyze(talk.video, tmp_path / "t.parquet", settings=SETTINGS, helpers=helpers)
    assert helpers.arguments == [] and (tmp_path / "t.parquet").read_bytes() == alone


def test_chunks_that_are_seen_late_are_waited_for(monkeypatch, tmp_path):
    class Late:
        folder = tmp_path

        def __init__(self, times):
            self.times = times

        def missing_runs(self, chunks):
            self.times -= 1
            return [chunks] if self.times > 0 else []

    monkeypatch.setattr("dft.analyze.parallel.POLL_SECONDS", 0.01)
    _wait_for([], Late(3))
    monkeypatch.setattr("dft.analyze.parallel.SEEN_SECONDS", 0.05)
    with pytest.raises(EvidenceError, match=r"chunk 7 in .* is finished, and not to be seen"):
        _wait_for([Chunk(7, 0, 1)], Late(10**6))
