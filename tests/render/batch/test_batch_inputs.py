"""What a batch is to do, and all that is told before any work."""

import os
import time
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import OutputError, SettingError, VideoNotFoundError, VideoUnreadableError
from dft.render.batch import plan
from dft.render.batch.entry import Entry
from dft.render.batch.faults import is_degraded, is_hopeless
from dft.render.batch.files import growing
from dft.render.batch.inputs import find_inputs
from dft.render.batch.leftovers import remove_leftovers
from dft.render.batch.manifest import read_manifest
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions, Values, check_space, make_jobs
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
    assert (one.name, one.suffix, one.priority) == ("one", ".mkv", 7)
    assert (two.name, two.suffix, two.priority) == ("talk", ".dft.mp4", 0)
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
        ("video\nday1/t\0.mp4\n", "line 2: a field has a NUL character"),
        ("video,output\nday1/talk.mp4,one/\n", r"line 2: output cannot be 'one/'; expected .* \.mp4, \.mov or \.mkv"),
        ("video,output\nday1/talk.mp4,a.webm\n", r"line 2: output cannot be 'a\.webm'; .* \.mp4, \.mov or \.mkv"),
    ],
)
def test_a_manifest_that_is_not_right(tree, text, message):
    (tree / "list.csv").write_text(text)
    with pytest.raises((SettingError, VideoNotFoundError), match=message):
        read_manifest(tree / "list.csv")


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "", ".dft-batch/x", "a/.b/c", ".x"])
def test_an_output_elsewhere_is_refused(tree, name):
    with pytest.raises(SettingError, match="within the output folder"):
        jobs_of(Entry(tree / "day1/talk.mp4", name))


def test_an_output_in_place_of_an_input_is_refused(tree):
    entries = Entry(tree / "day1/talk.mp4", "talk", suffix=".mp4"), Entry(tree / "day2/talk.MP4", "two")
    with pytest.raises(OutputError, match="would replace an input"):
        jobs_of(*entries, folder=tree / "day1")


def folder_of(tmp_path, *names):
    folder = tmp_path / "in"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))
    return folder


def names_in(*given, output=Path("out")):
    return [entry.name for entry in find_inputs(given, output).entries]


@pytest.mark.parametrize("given", ["in", "in/caf\udce9.mp4", "list.csv", "caf\udce9/list.csv"])
def test_names_that_are_no_text_are_told_before_any_work(tmp_path, given):
    folder_of(tmp_path, "caf\udce9.mp4")
    for place in (tmp_path, tmp_path / "caf\udce9"):
        place.mkdir(exist_ok=True)
        (place / "list.csv").write_bytes(b"video\nin/caf\xe9.mp4\n")
    with pytest.raises((VideoUnreadableError, SettingError)) as told:
        find_inputs([tmp_path / given], tmp_path / "out")
    assert "\n" not in str(told.value) and str(told.value).encode()
    if given != "list.csv":
        assert "is not UTF-8; got " in str(told.value) and "caf\\xe9" in str(told.value)


def test_an_output_folder_that_is_no_text_is_told(tree, tmp_path):
    with pytest.raises(SettingError, match=r"is not UTF-8; got .*out\\xe9; expected UTF-8; rename it"):
        find_inputs([tree], tmp_path / "out\udce9")


def test_a_file_that_is_no_video_may_have_any_name(tmp_path):
    found = find_inputs([folder_of(tmp_path, "a.mp4", "caf\udce9.txt")], tmp_path / "out")
    assert len(found.entries) == 1 and len(found.ignored) == 1


@pytest.mark.parametrize(
    ("entry", "values", "added"),
    [
        ({}, {}, len("..tracks.parquet.chunks")),
        ({}, {"layout": "separate"}, len("..dft.right.mp4.segments")),
        ({"suffix": ".mkv"}, {}, len("..tracks.parquet.chunks")),
        ({"suffix": ".mkv", "where": "manifest list.csv, line 2: "}, {}, len("..tracks.parquet.chunks")),
    ],
)
def test_names_that_leave_no_room_for_what_is_added_are_told(tree, entry, values, added):
    most, values = 255 - added, Values({}, values)
    video, name = tree / "day1/talk.mp4", "\N{LATIN SMALL LETTER E WITH ACUTE}" + "a" * (most - 2)
    assert jobs_of(Entry(video, f"one/{name}", **entry), values=values)
    where = entry.get("where", "")
    message = (
        rf"^{where}the name .* is too long; got {most + 1} bytes; expected at most {most}.*; rename .* column output"
    )
    with pytest.raises(SettingError, match=message):
        jobs_of(Entry(video, f"one/{name}b", **entry), values=values)


def test_a_folder_name_that_is_too_long_is_told(tree):
    assert jobs_of(Entry(tree / "day1/talk.mp4", f"{'a' * 255}/b"))
    with pytest.raises(SettingError, match="is too long; got 256 bytes; expected at most 255"):
        jobs_of(Entry(tree / "day1/talk.mp4", f"{'a' * 256}/b"))


def test_the_longest_name_goes_through_both_passes(two_people, tmp_path):
    folder, name = two_people(a=10), "n" * (255 - len("..dft.right.mp4.segments"))
    (folder / "a.mp4").rename(folder / f"{name}.mp4")
    values = Values({}, {"size": "128x96", "preset": "ultrafast", "layout": "separate"})
    (video,) = batch([folder], tmp_path / "out", values=values, options=BatchOptions(streams=1)).videos
    assert video.outcome == "done", video.faults
    assert (tmp_path / "out" / f"{name}.dft.right.mp4.qc.json").exists()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(116, "Stale file handle")])
@pytest.mark.parametrize("given", ["in", "in/a.mp4", "list.csv", "in/note", "in/sub"])
def test_what_the_system_refuses_is_told_in_one_line(tmp_path, monkeypatch, given, error):
    folder = folder_of(tmp_path, "a.mp4", "note", "sub/b.mp4")
    (folder / "sub" / "link").symlink_to(folder / "note")
    (tmp_path / "list.csv").write_text("video\nin/a.mp4\n")
    stat = Path.stat

    def refused(path, **more):
        if path in (folder / "a.mp4", folder / "note", folder / "sub" / "link"):
            raise error
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(VideoUnreadableError, match=rf"cannot be looked at; got {error.strerror}; .*its rights"):
        find_inputs([tmp_path / given], tmp_path / "out")


@pytest.mark.parametrize("name", ["a" * 256 + ".mp4", "a" * 256, "a" * 256 + ".csv"])
def test_names_that_no_file_can_have_are_told(tmp_path, name):
    with pytest.raises(VideoUnreadableError, match=r"cannot be looked at; got File name too long"):
        find_inputs([tmp_path / name], tmp_path / "out")


def test_a_video_that_goes_away_while_all_is_planned_is_told(tree):
    (tree / "day1/talk.mp4").unlink()
    with pytest.raises(VideoNotFoundError, match=r"there is no video .*talk\.mp4"):
        jobs_of(Entry(tree / "day1/talk.mp4", "talk"))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_a_manifest_that_is_no_file_is_told(tmp_path, make):
    make(tmp_path / "list.csv")
    with pytest.raises(
        (VideoUnreadableError, VideoNotFoundError), match=r"list\.csv( is no file; got a pipe|; got an em)"
    ):
        find_inputs([tmp_path / "list.csv"], tmp_path / "out")


def test_a_manifest_that_is_not_there_is_told(tmp_path):
    with pytest.raises(VideoNotFoundError, match=r"there is no manifest .*list\.csv"):
        find_inputs([tmp_path / "list.csv"], tmp_path / "out")


def test_a_folder_that_cannot_be_searched_is_told(tree, tmp_path, monkeypatch):
    """As it is without the right to read it, which root does not need."""
    scandir = os.scandir

    def refused(path):
        if Path(path).name == "day2":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(
        VideoUnreadableError, match=r"folder .*day2 cannot be searched; got Permission denied; .*its rights"
    ):
        find_inputs([tree], tmp_path / "out")


def test_links_are_followed_and_each_folder_and_video_is_taken_once(tmp_path):
    folder = folder_of(tmp_path, "day1/a.mp4", "day1/b.mp4", "z/c.mp4")
    outside = tmp_path / "elsewhere"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "d.mp4").touch()
    for link, target in (
        ("again", folder / "day1"), ("day1/0.mp4", folder / "day1/a.mp4"), ("day1/round", folder), ("far", outside),
        ("far2", outside / "deep"), ("gone", tmp_path / "nothing"), ("gone.mp4", tmp_path / "nothing.mp4"),
        ("loop.mp4", folder / "loop.mp4"), (".hidden", outside),
    ):  # fmt: skip
        (folder / link).symlink_to(target)
    found = find_inputs([folder], tmp_path / "out")
    assert [entry.name for entry in found.entries] == ["day1/a", "day1/b", "far/deep/d", "z/c"]
    assert [path.name for path in found.ignored] == ["gone", "gone.mp4", "loop.mp4"]


def test_an_output_folder_inside_a_linked_folder_is_refused(tree, tmp_path):
    (tmp_path / "other").mkdir()
    (tree / "link").symlink_to(tmp_path / "other")
    with pytest.raises(SettingError, match=r"lies in the input folder .*link"):
        find_inputs([tree], tmp_path / "other" / "out")


def test_its_own_renderings_are_no_videos_of_a_folder(tmp_path):
    own = ["a.dft.mp4", "b.dft.left.MOV", "b.dft.right.mov", "b.preview.mp4", "final.mkv"]
    others = ["left.mp4", "somebody.preview.mp4", "talk.dft.old.mp4"]
    folder = folder_of(tmp_path, "a.mp4", "b.mov", *others, *own, "final.mkv.qc.json")
    found = find_inputs([folder], tmp_path / "out")
    assert [entry.name for entry in found.entries] == ["a", "b", "left", "somebody.preview", "talk.dft.old"]
    assert [path.name for path in found.ignored] == [*own, "final.mkv.qc.json"]
    assert names_in(folder / "a.dft.mp4", folder / "final.mkv") == ["a.dft", "final"]
    for path in [*(entry.video for entry in found.entries), folder / "b.preview.mp4"]:
        path.unlink()
    with pytest.raises(
        VideoNotFoundError, match=r"; got 4 renderings of dft's own and 1 other file; .* by their names"
    ):
        find_inputs([folder], tmp_path / "out")


@pytest.mark.parametrize("given", ["in", "in/clip.mov.mp4", "in/list.csv"])
def test_a_dot_in_a_name_is_no_container(tmp_path, given):
    folder = folder_of(tmp_path, "clip.mov.mp4")
    (folder / "list.csv").write_text("video\nclip.mov.mp4\n")
    (job,) = jobs_of(*find_inputs([tmp_path / given], tmp_path / "out").entries)
    assert (job.tracks, job.output) == (Path("out/clip.mov.tracks.parquet"), Path("out/clip.mov.dft.mp4"))


@pytest.mark.parametrize(
    ("output", "tracks", "rendering"),
    [
        ("one", "one.tracks.parquet", "one.dft.mp4"),
        ("./day//one.MOV", "day/one.tracks.parquet", "day/one.MOV"),
        ("one.mov.mkv", "one.mov.tracks.parquet", "one.mov.mkv"),
        ("take 1.5", "take 1.5.tracks.parquet", "take 1.5.dft.mp4"),
    ],
)
def test_a_manifest_may_name_a_container(tree, output, tracks, rendering):
    (tree / "list.csv").write_text(f"video,output\nday1/talk.mp4,{output}\n")
    (job,) = jobs_of(*read_manifest(tree / "list.csv"))
    assert (job.tracks, job.output) == (Path("out") / tracks, Path("out") / rendering)


@pytest.mark.parametrize("output", ["../x", "/tmp/x", ".dft-batch/x", "a/.x.mp4", ".mp4", "..mp4", "."])
def test_an_output_elsewhere_is_told_with_manifest_and_line(tree, output):
    (tree / "list.csv").write_text(f"video,output\nday1/talk.mp4,{output}\n")
    with pytest.raises(SettingError, match=r"^manifest .*list\.csv, line 2: .* path within the output folder"):
        jobs_of(*read_manifest(tree / "list.csv"))


def test_a_video_given_more_than_once_is_taken_once(tree):
    (tree / "link.mp4").symlink_to(tree / "day1/talk.mp4")
    day1 = tree / "day1"
    assert names_in(day1 / "talk.mp4", day1 / "talk.mp4") == ["talk"]
    assert names_in(day1, day1 / ".." / "day1" / "talk.mp4", tree / "link.mp4") == ["talk"]
    assert names_in(tree / "link.mp4", day1 / "talk.mp4") == ["talk"]
    assert names_in(tree, tree / "day2/talk.MP4") == ["day1/talk", "day2/talk"]


def test_a_video_of_a_manifest_is_taken_once_for_each_output_and_settings(tree):
    lines = "day1/talk.mp4,one,,\nday1/talk.mp4,two,,\nday1/talk.mp4,one,9,\nday1/talk.mp4,,,\n"
    (tree / "list.csv").write_text(f"video,output,priority,crf\n{lines}")
    entries = find_inputs([tree / "day1/talk.mp4", tree / "list.csv"], Path("out")).entries
    assert [(entry.name, entry.priority) for entry in entries] == [("talk", 0), ("one", 9), ("two", 0)]
    (tree / "list.csv").write_text("video,crf\nday1/talk.mp4,18\nday1/talk.mp4,19\n")
    with pytest.raises(
        SettingError, match=r"line 2: .*talk\.mp4 and manifest .* line 3: .*; give each .* column output"
    ):
        jobs_of(*find_inputs([tree / "list.csv"], Path("out")).entries)


def test_two_videos_of_one_stem_in_one_folder_are_told_how_to_go_on(tmp_path):
    folder = folder_of(tmp_path, "a.mov", "a.mp4")
    with pytest.raises(SettingError, match=r"a\.mov and .*a\.mp4; rename one of them, or .* manifest's column output"):
        jobs_of(*find_inputs([folder], Path("out")).entries)


def test_both_videos_of_one_result_are_named(tree):
    (tree / "list.csv").write_text("video,output\nday1/talk.mp4,a\nday2/talk.MP4,A.dft.mp4\n")
    with pytest.raises(SettingError, match=r"made into out/A\.dft\.mp4; got .*day1/talk\.mp4 and .*day2/talk\.MP4"):
        jobs_of(*read_manifest(tree / "list.csv"))


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
