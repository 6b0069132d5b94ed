"""A batch through its processes, with passes that fail in every way."""

import json
import logging
import os
import time

import pytest

from dft.configs.errors import DftError, OutputError, OutputExistsError, TrackFileNotFoundError
from dft.configs.hardware import why_no_cuda
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions, Values
from dft.render.batch.work import Passes

from .conftest import fake_analyze, fake_render, num_runs

FAKES = Passes(fake_analyze, fake_render)


def run(given, output, values=None, **options):
    given = given if isinstance(given, list) else [given]
    return batch(given, output, values=values, options=BatchOptions(**{"streams": 1, **options}), passes=FAKES)


def outcomes(report):
    return {video.name: video.outcome for video in report.videos}


def test_one_that_fails_stops_nobody(files, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    folder = files(a="good a", b="error", c="poison", d="die-once", e="bug", f="good f", g="hang", h="good h")
    report = run(folder, tmp_path / "out", stall_seconds=4.0, streams=2, keep_going=True)
    good, bad = dict.fromkeys("adfh", "done"), dict.fromkeys("bceg", "failed")
    assert outcomes(report) == {**good, **bad}
    faults = {video.name: [(fault.stage, fault.kind) for fault in video.faults] for video in report.videos}
    assert faults == {
        "a": [], "f": [], "h": [], "b": [("analyze", "error")], "e": [("analyze", "unexpected")],
        "c": [("analyze", "died")] * 2, "d": [("analyze", "died")], "g": [("analyze", "hung")] * 2,
    }  # fmt: skip
    by_name = {video.name: video for video in report.videos}
    assert "got noise; film it again" in by_name["b"].faults[0].cause
    assert "exit status 3" in by_name["c"].faults[1].cause and "given up after 2 tries" in by_name["c"].faults[1].answer
    assert "SIGKILL" in by_name["d"].faults[0].cause and "begun again" in by_name["d"].faults[0].answer
    assert by_name["d"].stages["analyze"]["tries"] == 2
    assert "KeyError: 'missing'" in by_name["e"].faults[0].cause
    assert "no progress for 4 s" in by_name["g"].faults[0].cause
    assert (report.verdict, report.failure_rate, report.recovery_rate) == ("degraded", 0.5, 0.2)
    for name in "adfh":
        made = (tmp_path / "out" / f"{name}.dft.mp4").read_text()
        assert made == f"tracks of {(folder / f'{name}.mp4').read_text()} in {(folder / f'{name}.mp4').read_text()}"
    assert num_runs(folder) == {"a": 2, "b": 1, "c": 2, "d": 3, "e": 1, "f": 2, "g": 2, "h": 2}
    document = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert (document["done"], document["failed"], document["verdict"]) == (4, 4, "degraded")
    page = (tmp_path / "out" / "batch.html").read_text()
    assert "film it again" in page and "DEGRADED: 50% failed" in page

    before = num_runs(folder)
    (folder / "b.mp4").write_text("good after all")
    os.utime(folder / "b.mp4", (0, 0))
    again = run([folder / "a.mp4", folder / "b.mp4", folder / "e.mp4"], tmp_path / "out")
    assert outcomes(again) == {"a": "skipped", "b": "done", "e": "failed"}
    assert num_runs(folder) == {**before, "b": 3, "e": 2}


def test_a_process_in_which_dft_failed_gets_no_other_video(files, tmp_path):
    """Whatever broke there may break what follows; a bad video is none of its faults."""
    folder = files(a="error and the largest", b="bug and large", c="good one", d="good")
    run(folder, tmp_path / "out", steps=("analyze",), keep_going=True)
    pids = {name: (folder / f"{name}.runs").read_text().split()[0] for name in "abcd"}
    assert pids["a"] == pids["b"] != pids["c"] == pids["d"]


def test_most_of_them_failing_stops_it(files, tmp_path):
    folder = files(**{f"v{k}": "error" for k in range(3)}, **{f"w{k}": "good, and larger" for k in range(1)})
    later = files(**{f"x{k}": "go" for k in range(4)})
    report = run(later, tmp_path / "out")
    assert report.verdict == "stopped" and report.num("failed") == 3 and report.num("done") == 1
    assert report.num("left") == 4 and "--keep-going" in report.as_text()
    assert run(folder, tmp_path / "out", keep_going=True).num("left") == 0


def test_priority_then_size_decide_and_a_begun_video_is_finished_first(files, tmp_path):
    folder = files(small="go", large="go on and on", first="x")
    manifest = tmp_path / "m.csv"
    manifest.write_text("video,priority\nin/small.mp4,0\nin/large.mp4,\nin/first.mp4,5\n")
    report = run(manifest, tmp_path / "out")
    order = sorted(folder.glob("*.runs"), key=lambda path: path.stat().st_mtime_ns)
    assert [path.stem for path in order] == ["first", "large", "small"] == [video.name for video in report.videos]


def test_done_is_told_by_content_and_settings(files, tmp_path):
    folder, out = files(a="good a", b="good b"), tmp_path / "out"
    assert run(folder, out).num("done") == 2
    (folder / "a.mp4").rename(folder / "moved.mp4")
    (folder / "moved.mp4").rename(folder / "a.mp4")
    os.utime(folder / "a.mp4", (1, 1))
    assert run(folder, out, streams=2).num("skipped") == 2  # as it is made the same with other threads
    other = run(folder, out, Values({}, {"crf": 30}))
    assert outcomes(other) == {"a": "done", "b": "done"} and "analyze" not in other.videos[0].stages
    (folder / "a.mp4").write_text("good, and new")
    os.utime(folder / "a.mp4", (1, 1))
    changed = run(folder, out, Values({}, {"crf": 30}))
    assert outcomes(changed) == {"a": "done", "b": "skipped"}
    assert (out / "a.dft.mp4").read_text() == "tracks of good, and new in good, and new"
    (out / "b.dft.mp4").unlink()
    assert outcomes(run(folder, out, Values({}, {"crf": 30}))) == {"a": "skipped", "b": "done"}


def test_passes_apart_and_what_a_reviewer_changed_is_rendered(files, tmp_path):
    folder, out = files(a="good a", b="good b"), tmp_path / "out"
    assert [v.stages.keys() for v in run(folder, out, steps=("analyze",)).videos] == [{"analyze"}] * 2
    assert not (out / "a.dft.mp4").exists()
    assert [v.stages.keys() for v in run(folder, out, steps=("render",)).videos] == [{"render"}] * 2
    (out / "a.tracks.edits.jsonl").write_text("an edit")
    assert outcomes(run(folder, out)) == {"a": "done", "b": "skipped"}
    assert num_runs(folder) == {"a": 3, "b": 2}
    with pytest.raises(OutputError, match="has edits"):
        run(folder, out, Values({"people": 1}, {}), overwrite=True)


def test_nothing_of_others_is_replaced(files, tmp_path):
    folder, out = files(a="good a"), tmp_path / "out"
    out.mkdir()
    (out / "a.dft.mp4").write_text("somebody's")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        run(folder, out)
    assert num_runs(folder) == {} and (out / "a.dft.mp4").read_text() == "somebody's"
    assert run(folder, out, overwrite=True).num("done") == 1
    assert (out / "a.dft.mp4").read_text().startswith("tracks")


def test_another_video_of_that_name_does_not_replace_the_first(files, tmp_path):
    folder, out = files(a="good a"), tmp_path / "out"
    assert run(folder, out).num("done") == 1
    (folder / "day2").mkdir()
    (folder / "a.mp4").rename(folder / "day2/a.mp4")
    assert run(folder / "day2/a.mp4", out).num("skipped") == 1, "it was only moved"
    (folder / "day2/a.mp4").write_text("good b")
    os.utime(folder / "day2/a.mp4", (1, 1))
    with pytest.raises(OutputExistsError, match="made from another video"):
        run(folder / "day2/a.mp4", out)


def test_an_interrupt_ends_all_and_the_next_run_goes_on(files, tmp_path):
    folder, out = files(a="good and long", z="interrupt"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(folder, out)
    document = json.loads((out / "batch.json").read_text())
    assert document["verdict"] == "interrupted" and (document["done"], document["left"]) == (1, 1)
    worker = int((folder / "z.runs").read_text().split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    (folder / "z.mp4").write_text("good again")
    os.utime(folder / "z.mp4", (0, 0))
    assert outcomes(run(folder, out)) == {"a": "skipped", "z": "done"}


def test_what_a_reader_should_know_is_told_again_as_long_as_it_holds(files, tmp_path):
    folder, out = files(a="good a", b="good b"), tmp_path / "out"
    before = {video.name: video.notes for video in run(folder, out).videos}
    assert all(notes[0] == "a note" for notes in before.values())
    (folder / "b.mp4").write_text("error")
    os.utime(folder / "b.mp4", (0, 0))
    report = run(folder, out, overwrite=True)
    skipped, failed = sorted(report.videos, key=lambda video: video.name)
    assert skipped.notes == before["a"] and skipped.results == (out / "a.tracks.parquet", out / "a.dft.mp4")
    assert failed.notes == failed.results == (), "what lies there is of another video"


@pytest.mark.parametrize(
    ("analysis", "rendering", "message"),
    [
        ({}, {"layout": "nope.toml"}, r"nope\.toml"),
        ({"detector": "nope.onnx"}, {}, r"there is no model nope\.onnx"),
        ({"embedder": "nope.onnx"}, {}, r"there is no model nope\.onnx"),
        ({"device": "cpu"}, {"device": "cuda"}, "device cuda cannot be used"),
    ],
)
def test_what_settings_name_and_is_not_there_is_told_before_any_work(files, tmp_path, analysis, rendering, message):
    if "device" in rendering and why_no_cuda() is None:
        pytest.skip("there is a GPU")
    folder = files(a="good", b="good")
    with pytest.raises(DftError, match=message):
        run(folder, tmp_path / "out", Values(analysis, rendering))
    assert num_runs(folder) == {} and not (tmp_path / "out").exists()


def test_rendering_alone_needs_tracks(files, tmp_path):
    folder, out = files(a="good", b="good"), tmp_path / "out"
    with pytest.raises(TrackFileNotFoundError, match=r"no track file to render by.*--only analyze first"):
        run(folder, out, steps=("render",))
    run(folder / "a.mp4", out, steps=("analyze",))
    report = run(folder, out, steps=("render",))
    assert outcomes(report) == {"a": "done", "b": "failed"}
    assert "no track file" in report.videos[1].faults[0].cause and "--only analyze first" in report.as_text()


def test_tracks_that_cannot_be_read_are_of_one_video(files, tmp_path):
    folder, out = files(a="good a", b="good b"), tmp_path / "out"
    run(folder, out, steps=("analyze",))
    (out / "b.tracks.parquet").unlink()
    (out / "b.tracks.parquet").mkdir()
    report = run(folder, out, steps=("render",))
    assert outcomes(report) == {"a": "done", "b": "failed"}
    (fault,) = (fault for video in report.videos for fault in video.faults)
    assert fault.kind == "error" and "cannot read" in fault.cause and "got Is a directory" in fault.cause


def test_a_folder_that_cannot_be_made_is_of_one_video(files, tmp_path):
    folder, out = files(a="good a", b="good b"), tmp_path / "out"
    for name in "ab":
        (folder / f"day-{name}").mkdir()
        (folder / f"{name}.mp4").rename(folder / f"day-{name}" / f"{name}.mp4")
    out.mkdir()
    (out / "day-a").write_text("in the way")
    report = run(folder, out)
    assert outcomes(report) == {"day-a/a": "failed", "day-b/b": "done"}
    assert [(fault.kind, "cannot write" in fault.cause) for fault in report.videos[0].faults] == [("error", True)]


@pytest.mark.parametrize("name", ["batch.json", "batch.html"])
def test_a_report_of_somebody_else_is_not_replaced(files, tmp_path, name):
    folder, out = files(a="good a"), tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"profile": "mine"}')
    with pytest.raises(OutputExistsError, match=rf"{name} is no report of dft batch; .*--overwrite"):
        run(folder, out)
    assert num_runs(folder) == {} and (out / name).read_text() == '{"profile": "mine"}'
    assert run(folder, out, overwrite=True).num("done") == 1
    assert run(folder, out).num("skipped") == 1


def test_one_whose_process_dies_when_all_is_made_is_done(files, tmp_path):
    folder = files(a="die-late", b="die-late")
    report = run(folder / "a.mp4", tmp_path / "out")
    assert outcomes(report) == {"a": "done"} and report.recovery_rate == 1.0
    only = run(folder / "b.mp4", tmp_path / "tracks", steps=("analyze",))
    assert outcomes(only) == {"b": "done"} and (only.recovery_rate, only.videos[0].stages) == (1.0, {})


def test_a_file_that_is_being_written_comes_last(files, tmp_path):
    folder = files(a="go", b="go, and be the largest by far")
    os.utime(folder / "b.mp4")
    assert outcomes(run(folder, tmp_path / "out")) == {"a": "done", "b": "done"}
    assert (folder / "a.runs").stat().st_mtime_ns < (folder / "b.runs").stat().st_mtime_ns


def test_a_file_that_never_gets_whole_is_told(files, tmp_path, monkeypatch):
    monkeypatch.setattr("dft.render.batch.schedule.PATIENCE_SECONDS", 0.2)
    folder = files(a="go")
    os.utime(folder / "a.mp4", (time.time() + 2.5,) * 2)
    report = run(folder, tmp_path / "out")
    assert "is being written" in report.videos[0].faults[0].cause
