"""A disk that is full: a clear error that names the folder, nothing half-written, and going on once there is space."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dft.analyze.pipeline import analyze
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import OutputError
from dft.configs.rendering import RenderSettings
from dft.configs.settings import build
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions, Values
from dft.render.batch.state import BatchState
from dft.render.batch.work import Passes
from dft.render.pipeline import render

from .conftest import fake_analyze, fake_render
from .disturbed import SRC, pictures
from .small_disk import TRACKS, VIDEO

VALUES = Values(
    {"chunk_seconds": 0.5, "device": "cpu"},
    {"segment_seconds": 0.5, "device": "cpu", "preset": "ultrafast", "size": "160x90"},
)
ANALYSIS, RENDERING = build(AnalyzeSettings, VALUES.analysis), build(RenderSettings, VALUES.rendering)
AMOUNTS = {
    "analyze": [0, 4096, 24_576, 49_152, 73_728],
    "render": [0, 16_384, 32_768, 49_152, 65_536],
    "batch": [49_152, 81_920],
}
FINAL = {TRACKS, VIDEO, f"{VIDEO}.qc.json"}


@pytest.fixture(scope="module")
def video(two_people):
    return two_people(talk=37) / "talk.mp4"


@pytest.fixture(scope="module")
def whole(video, tmp_path_factory):
    """A folder with both results."""
    folder = tmp_path_factory.mktemp("whole")
    analyze(video, folder / TRACKS, settings=ANALYSIS)
    render(video, folder / TRACKS, folder / VIDEO, settings=RENDERING)
    return folder


@pytest.fixture(scope="module")
def namespace(tmp_path_factory):
    """The words before a command that may mount what others do not see."""
    words = ["unshare", "--user", "--map-root-user", "--mount"]
    folder = tmp_path_factory.mktemp("mount")
    try:
        subprocess.run([*words, "mount", "-t", "tmpfs", "none", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this system lets nobody mount a small disk: {error}")
    return words


@pytest.fixture(scope="module")
def rows(namespace, video, whole, tmp_path_factory):
    disk, made = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("made")
    plan = {"analysis": VALUES.analysis, "rendering": VALUES.rendering, "amounts": AMOUNTS}
    program = [
        sys.executable,
        Path(__file__).with_name("small_disk.py"),
        video,
        whole / TRACKS,
        disk,
        made,
        json.dumps(plan),
    ]
    done = subprocess.run(
        [*namespace, *program], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": SRC}
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], made


def test_a_full_disk_stops_a_pass_with_one_line_and_space_lets_it_go_on(rows, whole):
    seen, made = rows
    stopped, resumed = {"analyze": 0, "render": 0}, {"analyze": 0, "render": 0}
    for row in (row for row in seen if row["pass"] != "batch"):
        first, second, name = row["first"], row["second"], row["pass"]
        result = {"analyze": TRACKS, "render": VIDEO}[name]
        if "error" in first:
            stopped[name] += 1
            assert first["ours"] and row["folder"] in first["error"] and "\n" not in first["error"], row
            assert "full" in first["error"] or "no space" in first["error"], row
            assert not [path for path in row["there"] if ".partial" in path], row
            assert result not in row["there"] or f"{result}.qc.json" in first["error"], row
        assert "done" in second or result in row["there"], row
        resumed[name] += second.get("done", 0) > 0
        folder = made / f"{name}-{row['free']}"
        if name == "analyze":
            assert (folder / TRACKS).read_bytes() == (whole / TRACKS).read_bytes()
        else:
            assert pictures(folder / VIDEO) == pictures(whole / VIDEO)
        assert {path.name for path in folder.iterdir()} <= FINAL, "no parts are left"
    assert stopped["analyze"] >= 2 and stopped["render"] >= 3, "the amounts hit what they should"
    assert resumed["analyze"] >= 1 and resumed["render"] >= 1, "what was finished was taken"


def test_a_batch_on_a_full_disk_says_so_and_goes_on_when_there_is_space(rows, whole):
    seen, made = rows
    told = 0
    for row in (row for row in seen if row["pass"] == "batch"):
        first, out = row["first"], made / f"batch-{row['free']}" / "out"
        if "error" in first or first["done"]["failed"]:
            told += 1
            line = first.get("error") or first["done"]["videos"][0]["faults"][-1]["cause"]
            assert first.get("ours", True) and row["folder"] in line and "\n" not in line, row
            assert "full" in line or "no space" in line or "not enough space" in line, row
        assert row["second"]["done"]["failed"] == 0, row
        assert (out / TRACKS).read_bytes() == (whole / TRACKS).read_bytes()
        assert pictures(out / VIDEO) == pictures(whole / VIDEO)
        assert [path.name for path in out.glob(".*")] == [".dft-batch"]
    assert told == len(AMOUNTS["batch"])


def full_from(monkeypatch, number: int) -> list[int]:
    """Have the disk take no more from the flush of that number on, counted from 0; counts them."""
    flushed, really = [0], os.fsync

    def fsync(descriptor: int) -> None:
        flushed[0] += 1
        if flushed[0] > number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return flushed


@pytest.mark.parametrize("number", [0, 2, 3, 5, 8], ids="after {} flushes".format)
@pytest.mark.parametrize("step", ["analyze", "render"])
def test_a_disk_that_is_full_when_it_is_flushed(video, whole, tmp_path, monkeypatch, step, number):
    """As network and quota file systems tell it: only when what was written has to go to the disk."""

    def work():
        if step == "analyze":
            return analyze(video, tmp_path / TRACKS, settings=ANALYSIS).resumed_frames
        return render(video, whole / TRACKS, tmp_path / VIDEO, settings=RENDERING).reused

    with monkeypatch.context() as patch:
        full_from(patch, number)
        with pytest.raises(OutputError, match=str(tmp_path)):
            work()
    assert not list(tmp_path.glob("*.tracks.parquet")) + list(tmp_path.glob(".*.partial-*"))
    assert work() > 0 or number < 5
    if step == "analyze":
        assert (tmp_path / TRACKS).read_bytes() == (whole / TRACKS).read_bytes()
    else:
        assert pictures(tmp_path / VIDEO) == pictures(whole / VIDEO)


def test_a_batch_that_cannot_note_what_it_has_done_stops_and_reports(files, tmp_path, monkeypatch):
    folder, out = files(a="good", b="good as well"), tmp_path / "out"
    note, noted = BatchState._note, []

    def full_at_last(self, *given):
        noted.append(given)
        if len(noted) > 5:
            raise OutputError(f"cannot write {out}: the disk is full", hint="free some space")
        note(self, *given)

    def work():
        return batch([folder], out, options=BatchOptions(streams=1), passes=Passes(fake_analyze, fake_render))

    with monkeypatch.context() as patch:
        patch.setattr(BatchState, "_note", full_at_last)
        with pytest.raises(OutputError, match="the disk is full; free some space"):
            work()
    document = json.loads((out / "batch.json").read_text())
    assert (document["verdict"], document["done"], document["left"]) == ("interrupted", 1, 1)
    again = work()
    assert (again.num("skipped"), again.num("done"), again.num("failed")) == (1, 1, 0)
