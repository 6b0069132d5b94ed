"""A batch's note: whatever is cut off or damaged, it reads as the changes up to some moment, or is refused."""

import errno
import json
import os
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.configs.errors import OutputError
from dft.render.batch import journal
from dft.render.batch.entry import Entry
from dft.render.batch.journal import Journal
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions, Values, make_jobs
from dft.render.batch.state import FOLDER, LINES_PER_VIDEO, NAME, OLD_NAME, PROFILE, BatchState
from dft.render.batch.work import Passes

from .conftest import fake_analyze, fake_render

NAMES = ("talk", "täglich \N{SNOWMAN}", "two\nlines", "not utf-8 \udcff")
changes = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(["analyze", "render"]),
    st.booleans(),
    st.text("0123456789abcdef", max_size=8),
)


def folder_in(scratch: str) -> Path:
    output = Path(scratch)
    (output / FOLDER).mkdir()
    return output


def job_of(output: Path, name: str):
    return make_jobs([Entry(Path(__file__), name)], output, Values({}, {}), 1)[0]


def make(state: BatchState, output: Path, change) -> None:
    name, step, is_end, key = change
    if is_end:
        state.finish(job_of(output, name), step, key, [key])
    else:
        state.begin(job_of(output, name), step, key)


def known(state: BatchState):
    return json.loads(json.dumps(state._videos))


def history(output: Path, made) -> list:
    """What is known before the first change, and after each."""
    state, seen = BatchState(output), [{}]
    for change in made:
        make(state, output, change)
        seen.append(known(state))
    return seen


@settings(max_examples=60, deadline=None)
@given(st.lists(changes, min_size=1, max_size=8), changes, st.data())
def test_cut_anywhere_it_is_the_changes_up_to_a_moment_and_goes_on_from_there(made, further, data):
    with TemporaryDirectory() as scratch:
        output = folder_in(scratch)
        seen = history(output, made)
        note = output / FOLDER / NAME
        whole = note.read_bytes()
        assert known(BatchState(output)) == seen[-1]
        end = data.draw(st.integers(0, len(whole)))
        note.write_bytes(whole[:end])
        kept = max(0, whole[:end].count(b"\n") - 1)
        state = BatchState(output)
        assert known(state) == seen[kept]
        make(state, output, further)
        make(state, output, made[0])
        assert known(BatchState(output)) == known(state)
        with TemporaryDirectory() as other:
            assert known(state) == json.loads(
                json.dumps(history(folder_in(other), [*made[:kept], further, made[0]])[-1])
            )


@settings(max_examples=150, deadline=None)
@given(st.lists(changes, min_size=1, max_size=5), st.data())
def test_whatever_is_changed_in_it_is_refused_in_one_line(made, data):
    with TemporaryDirectory() as scratch:
        output = folder_in(scratch)
        seen = history(output, made)
        note = output / FOLDER / NAME
        content = bytearray(note.read_bytes())
        begin = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(st.binary(min_size=1, max_size=30).filter(lambda new: new != content[begin : begin + len(new)]))
        note.write_bytes(content[:begin] + new + content[begin + len(new) :])
        try:
            assert known(BatchState(output)) in seen[: content[:begin].count(b"\n") + 1]
        except OutputError as error:
            assert "remove that file" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("damage", ["lost", "twice", "swapped", "from another"])
def test_whole_lines_that_are_not_in_their_places_are_refused(tmp_path, damage):
    (tmp_path / FOLDER).mkdir()
    history(tmp_path, [("talk", "analyze", False, "a"), ("talk", "analyze", True, "a"), ("talk", "render", False, "b")])
    note = tmp_path / FOLDER / NAME
    head, one, two, three = note.read_bytes().splitlines(keepends=True)
    lines = {
        "lost": [head, one, three],
        "twice": [head, one, one, two, three],
        "swapped": [head, two, one, three],
        "from another": [one, two, three],
    }[damage]
    note.write_bytes(b"".join(lines))
    with pytest.raises(OutputError, match="remove that file"):
        BatchState(tmp_path)


def test_a_torn_line_is_told_and_goes_with_the_next_change(tmp_path, caplog):
    (tmp_path / FOLDER).mkdir()
    history(tmp_path, [("talk", "analyze", False, "a")])
    note = tmp_path / FOLDER / NAME
    note.write_bytes(note.read_bytes() + b'{"name": "ta' + bytes(500))  # longer than the next line
    make(BatchState(tmp_path), tmp_path, ("talk", "analyze", True, "a"))
    assert [record.getMessage() for record in caplog.records] == [
        f"{note}: the unfinished last line (512 bytes) is left out"
    ]
    assert known(BatchState(tmp_path))["talk"]["analyze"]["done"]
    assert len(caplog.records) == 1


def test_a_change_costs_a_line_however_many_videos_there_are(tmp_path):
    (tmp_path / FOLDER).mkdir()
    note = tmp_path / FOLDER / NAME
    state, sizes, inodes = BatchState(tmp_path), [], set()
    for number in range(300):
        state.finish(job_of(tmp_path, f"talk{number:03}"), "analyze", "k" * 64, ["m" * 64])
        sizes.append(note.stat().st_size)
        inodes.add(note.stat().st_ino)
    assert len({after - before for before, after in pairwise(sizes)}) == 1
    assert len(inodes) == 1


def test_each_change_is_flushed_before_it_counts(tmp_path, monkeypatch):
    (tmp_path / FOLDER).mkdir()
    state, note, flushed, really = BatchState(tmp_path), tmp_path / FOLDER / NAME, [], os.fsync

    def fsync(descriptor):
        really(descriptor)
        flushed.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    for number in range(3):
        make(state, tmp_path, ("talk", "render", False, str(number)))
        assert (note.stat().st_ino, note.stat().st_size) in flushed


@pytest.mark.parametrize("can_truncate", [True, False])
def test_a_change_that_the_disk_does_not_take_is_not_there(tmp_path, monkeypatch, can_truncate):
    (tmp_path / FOLDER).mkdir()
    state, note = BatchState(tmp_path), tmp_path / FOLDER / NAME
    make(state, tmp_path, ("talk", "analyze", False, "a"))
    before, seen = note.read_bytes(), known(state)

    def full(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Stubborn(journal.FileIO):
        truncate = full

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        if not can_truncate:
            patch.setattr(journal, "FileIO", Stubborn)
        with pytest.raises(OutputError, match="the disk is full") as caught:
            make(state, tmp_path, ("talk", "analyze", True, "a"))
    assert str(note) in str(caught.value) and "\n" not in str(caught.value)
    assert known(state) == seen
    assert (note.read_bytes() == before) == can_truncate
    make(state, tmp_path, ("talk", "render", False, "b"))
    assert known(BatchState(tmp_path)) == known(state)
    assert known(state) == {"talk": {**seen["talk"], "render": {"key": "b", "done": False, "made": [], "before": []}}}


def test_a_note_that_goes_while_the_batch_works_is_written_anew(tmp_path):
    (tmp_path / FOLDER).mkdir()
    state = BatchState(tmp_path)
    make(state, tmp_path, ("talk", "analyze", True, "a"))
    (tmp_path / FOLDER / NAME).unlink()
    make(state, tmp_path, ("other", "analyze", True, "a"))
    assert known(BatchState(tmp_path)) == known(state)
    assert set(known(state)) == {"talk", "other"}


@pytest.mark.parametrize("name", [NAME, OLD_NAME])
def test_a_note_that_cannot_be_read_is_told_in_one_line(tmp_path, name):
    (tmp_path / FOLDER / name).mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot read") as caught:
        BatchState(tmp_path)
    assert str(tmp_path / FOLDER / name) in str(caught.value) and "\n" not in str(caught.value)


def test_a_note_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / FOLDER).write_text("somebody's file")
    with pytest.raises(OutputError, match=FOLDER) as caught:
        Journal(tmp_path / FOLDER / NAME, PROFILE).write([])
    assert "\n" not in str(caught.value)


def test_it_is_compacted_when_it_holds_many_more_lines_than_videos(tmp_path):
    (tmp_path / FOLDER).mkdir()
    state, note = BatchState(tmp_path), tmp_path / FOLDER / NAME
    for name in ("one", "two"):
        for _ in range(LINES_PER_VIDEO // 2):
            make(state, tmp_path, (name, "analyze", False, "a"))
            make(state, tmp_path, (name, "render", True, "b"))
    seen, before = known(state), note.read_bytes()
    BatchState(tmp_path).compact()
    assert note.read_bytes() == before, "not yet"
    make(state, tmp_path, ("two", "render", True, "b"))
    again = BatchState(tmp_path)
    again.compact()
    assert len(note.read_bytes().splitlines()) == 1 + 4
    assert known(again) == known(BatchState(tmp_path)) == seen
    make(again, tmp_path, ("one", "analyze", True, "c"))
    assert known(BatchState(tmp_path)) == known(again) != seen
    assert len(note.read_bytes().splitlines()) == 1 + 4 + 1


def as_it_was(output: Path) -> str:
    """The note of a batch in the kind of before, in place of today's."""
    document = json.dumps({"profile": "dft_batch_state 1.0", "videos": BatchState(output)._videos}, indent=1)
    (output / FOLDER / NAME).unlink()
    (output / FOLDER / OLD_NAME).write_text(document)
    return document


@pytest.mark.parametrize("given_new", [False, True], ids=["nothing to do", "something to do"])
def test_the_note_of_an_older_dft_is_carried_over(files, tmp_path, given_new):
    def work():
        return batch([folder], out, options=BatchOptions(streams=1), passes=Passes(fake_analyze, fake_render))

    folder, out = files(a="good"), tmp_path / "out"
    work()
    seen = known(BatchState(out))
    as_it_was(out)
    assert known(BatchState(out)) == seen
    if given_new:
        files(b="good as well")
    report = work()
    assert (report.num("skipped"), report.num("done")) == (1, int(given_new))
    assert known(BatchState(out))["a"] == seen["a"]
    assert sorted(path.name for path in (out / FOLDER).glob("state.*")) == [NAME]


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.sampled_from(["cut", "zeros", "other"]))
def test_a_damaged_note_of_an_older_dft_is_refused_in_one_line(place, kind):
    with TemporaryDirectory() as scratch:
        output = folder_in(scratch)
        history(output, [("talk", "analyze", True, "a")])
        document = as_it_was(output).encode()
        end = round(place * (len(document) - 1))
        damaged = {
            "cut": document[:end],
            "zeros": document[:end] + bytes(len(document) - end),
            "other": document.replace(b"state 1.0", b"state 0.9"),
        }[kind]
        (output / FOLDER / OLD_NAME).write_bytes(damaged)
        with pytest.raises(OutputError, match="remove that file") as caught:
            BatchState(output)
        assert OLD_NAME in str(caught.value) and "\n" not in str(caught.value)
