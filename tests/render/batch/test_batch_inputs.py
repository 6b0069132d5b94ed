"""What a batch is to do, and all that is told before any work."""

import os
import time
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import OutputError, SettingError, VideoNotFoundError
from dft.render.batch import plan
from dft.render.batch.faults import is_degraded, is_hopeless
from dft.render.batch.inputs import Entry, find_inputs, growing, read_manifest
from dft.render.batch.leftovers import remove_leftovers
from dft.render.batch.plan import Values, check_space, make_jobs
from dft.render.batch.state import BatchState, locked, step_key

NONE = Values({}, {})


def jobs_of(*entries, folder=Path("out"), values=NONE):
    return make_jobs(entries, folder, values, threads=1)


@pytest.fixture
def tree(tmp_path):
    """day1/talk.mp4, day2/talk.mp4, day2/notes.txt, .hidden/talk.mp4 and day2/.talk.mp4."""
    folder = tmp_path / "in"
    for name in ("day1/talk.mp4", "day2/talk.MP4", "day2/notes.txt", ".hidden/talk.mp4", "day2/.talk.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_a_folder_is_searched_and_tells_equal_names_apart(tree, tmp_path):
    found = find_inputs([tree], tmp_path / "out")
    assert [entry.name for entry in found.entries] == ["day1/talk", "day2/talk"]
    assert [path.name for path in found.ignored] == ["notes.txt"]
    first, second = jobs_of(*found.entries, folder=tmp_path / "out")
    assert {first.tracks, second.tracks} == {tmp_path / f"out/day{k}/talk.tracks.parquet" for k in (1, 2)}
    assert {first.output, second.output} == {tmp_path / f"out/day{k}/talk.dft.mp4" for k in (1, 2)}


def test_single_files_of_one_name_are_refused(tree, tmp_path):
    found = find_inputs([tree / "day1/talk.mp4", tree / "day2/talk.MP4"], tmp_path / "out")
    with pytest.raises(SettingError, match=r"more than one video .* column output"):
        jobs_of(*found.entries)


@pytest.mark.parametrize("inside", ["", "out", "day1/out"])
def test_an_output_folder_inside_the_input_is_refused(tree, inside):
    with pytest.raises(SettingError, match="lies in the input folder"):
        find_inputs([tree], tree / inside)


def test_a_folder_without_videos_and_a_file_that_is_not_there(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(VideoNotFoundError, match="an empty folder"):
        find_inputs([tmp_path / "in"], tmp_path / "out")
    (tmp_path / "in" / "notes.txt").touch()
    with pytest.raises(VideoNotFoundError, match="1 other file"):
        find_inputs([tmp_path / "in"], tmp_path / "out")
    with pytest.raises(VideoNotFoundError, match=r"there is no video .*gone\.mp4"):
        find_inputs([tmp_path / "gone.mp4"], tmp_path / "out")


def test_a_manifest_names_outputs_priorities_and_settings(tree, tmp_path):
    manifest = tree / "list.csv"
    manifest.write_text(
        "\ufeffvideo,output,priority,crf,match_heads,people,threads\n"
        "day1/talk.mp4,one.mkv,7,30,no,1,3\n\nday2/talk.MP4,,,,,,\n",
        encoding="utf-8",
    )
    one, two = find_inputs([manifest], tmp_path / "out").entries
    assert (one.name, one.priority, two.name, two.priority) == ("one.mkv", 7, "talk", 0)
    job, plain = jobs_of(one, two, folder=tmp_path, values=Values({"people": 2}, {"crf": 20}))
    assert (job.output, job.tracks) == (tmp_path / "one.mkv", tmp_path / "one.tracks.parquet")
    assert (job.rendering.encode.crf, job.rendering.camera.match_heads, job.analysis.identity.people) == (30, False, 1)
    assert (job.rendering.encode.threads, job.analysis.runtime.threads) == (3, 3)
    assert (plain.rendering.encode.crf, plain.rendering.encode.threads, plain.analysis.identity.people) == (20, 1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column video; got columns .none."),
        ("output\nx\n", "no column video; got columns output"),
        ("video,colour\n", "column 'colour'"),
        ("video,crf,crf\n", "a column twice"),
        ("video\nnone.mp4\n", r"line 2: there is no video .*none\.mp4"),
        ("video,crf\nday1/talk.mp4\n", "line 2: not as many fields"),
        ("video\nday1/talk.mp4,3\n", "line 2: not as many fields"),
        ("video,crf\n,20\n", "line 2: no video is named"),
        ("video,priority\nday1/talk.mp4,soon\n", "line 2: priority cannot be 'soon'; expected a whole number"),
        ("video,crf\nday1/talk.mp4,64\n", "line 2: setting crf cannot be 64; expected a whole number"),
        ("video,match_eyes\nday1/talk.mp4,perhaps\n", "expected true or false"),
        ('video\n"day1\n', "cannot read manifest"),
    ],
)
def test_a_manifest_that_is_not_right(tree, text, message):
    (tree / "list.csv").write_text(text)
    with pytest.raises((SettingError, VideoNotFoundError), match=message):
        read_manifest(tree / "list.csv")


@pytest.mark.parametrize("name", ["../x", "/tmp/x", ""])
def test_an_output_elsewhere_is_refused(tree, name):
    with pytest.raises(SettingError, match="within the output folder"):
        jobs_of(Entry(tree / "day1/talk.mp4", name))


def test_an_output_in_place_of_an_input_is_refused(tree):
    entries = Entry(tree / "day1/talk.mp4", "talk.mp4"), Entry(tree / "day2/talk.MP4", "two")
    with pytest.raises(OutputError, match="would replace an input"):
        jobs_of(*entries, folder=tree / "day1")


def test_room_is_made_sure_of(tree, tmp_path, monkeypatch):
    job = jobs_of(Entry(tree / "day1/talk.mp4", "talk"))[0]
    check_space([job], tmp_path)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda folder: usage(job.size / 2 - 1))
    with pytest.raises(OutputError, match="not enough space"):
        check_space([job], tmp_path)


def test_what_was_just_modified_may_be_growing(tree):
    now, path = time.time(), tree / "day1/talk.mp4"
    os.utime(path, (now - 10, now - 10))
    assert not list(growing([path], now, 3)) and list(growing([path], now, 11)) == [path]
    assert jobs_of(Entry(path, "a"), Entry(tree / "day2/talk.MP4", "b"))[-1].growing  # comes last


@given(st.integers(0, 500), st.integers(0, 500))
def test_shares_of_failures(failed, good):
    through = failed + good
    assert is_degraded(failed, through) == (failed * 20 > through)
    assert is_hopeless(failed, through) == (through >= 4 and failed * 2 > through)


def test_a_key_is_of_content_and_settings_alone(tree, tmp_path):
    path = tree / "day1/talk.mp4"

    def keys(**changes):
        known = {"people": 2, "threads": 1, "crf": 20, "layout": "stacked", **changes}
        analysis = {name: known[name] for name in ("people", "threads")}
        rendering = {name: known[name] for name in ("crf", "threads", "layout")}
        job = jobs_of(Entry(path, "talk"), folder=tmp_path, values=Values(analysis, rendering))[0]
        return step_key(job, "analyze"), step_key(job, "render")

    before = keys()
    assert keys(threads=2) == before
    assert [one == two for one, two in zip(before, keys(crf=21), strict=True)] == [True, False]
    assert [one == two for one, two in zip(before, keys(people=1), strict=True)] == [False, True]
    layout = tmp_path / "own.toml"
    layout.write_text('size = "640x360"\n[[tile]]\nside = "left"\nx = 0\ny = 0\nwidth = 640\nheight = 360\n')
    with_layout = keys(layout=str(layout))
    layout.write_text(layout.read_text() + "\n")
    assert keys(layout=str(layout))[1] != with_layout[1]
    (tmp_path / "talk.tracks.parquet").write_text("tracks")
    assert [one == two for one, two in zip(before, keys(), strict=True)] == [True, False]
    path.write_text("another video")
    assert keys()[0] != before[0]


@pytest.mark.parametrize("name", ["state.jsonl", "state.json"])
def test_a_note_of_another_kind_is_told(tmp_path, name):
    (tmp_path / ".dft-batch").mkdir()
    (tmp_path / ".dft-batch" / name).write_text('{"profile": "dft_batch_state 9.0"}\n')
    with pytest.raises(OutputError, match=rf"cannot read .*{name}; got .*dft_batch_state 9\.0"):
        BatchState(tmp_path)


def test_two_batches_do_not_share_a_folder(tmp_path):
    with locked(tmp_path / "own"), pytest.raises(OutputError, match="another dft batch"), locked(tmp_path / "own"):
        pass
    with locked(tmp_path / "own"):
        pass


def test_unfinished_files_of_its_own_results_are_removed(tree, tmp_path):
    job = jobs_of(Entry(tree / "day1/talk.mp4", "a" * 60), folder=tmp_path)[0]
    ours = [f".{'a' * 40}.partial-12-3.mp4", f".{'a' * 40}.partial-12-0.parquet"]
    theirs = [".another.partial-12-3.mp4", f".{'a' * 60}.tracks.parquet.chunks"]
    own = [".batch.partial-12-1.json", ".batch.partial-12-1.html", ".dft-batch/.state.partial-12-1.jsonl"]
    (tmp_path / ".dft-batch").mkdir()
    for name in (*ours, *theirs, *own):
        (tmp_path / name).touch()
    remove_leftovers([job], tmp_path)
    assert {path.name for path in tmp_path.glob(".*")} == {*theirs, ".dft-batch"}
    assert not list((tmp_path / ".dft-batch").iterdir())
