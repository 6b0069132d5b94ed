"""A track file that is being edited, by one session or two, and what its readers get."""

import json
from dataclasses import replace

import pytest

from dft.configs.errors import EditError, EditLogError, OutputError, OutputExistsError, StaleEditError
from dft.trackio.edits.log import append, log_path
from dft.trackio.edits.operations import Anchor, Assign, Batch, Box, Delete, Interpolate, Mark, Split, Swap
from dft.trackio.edits.reading import (
    apply_edits,
    corrected_path,
    open_suspects,
    read_edited,
    suspect_at,
    suspects_warning,
)
from dft.trackio.edits.replay import digest, replay
from dft.trackio.edits.session import Edits
from dft.trackio.edits.tracks import list_tracks
from dft.trackio.files import read_tracks, write_tracks
from dft.trackio.validate import problems


def persons(track_file, frame):
    rows = [row for row in track_file.table.to_pylist() if row["frame_index"] == frame]
    return {row["track_id"]: row["person"] for row in rows}


def test_an_edit_changes_the_tracks_and_not_the_file(talk_path):
    before = talk_path.read_bytes()
    edits = Edits(talk_path)
    assert edits.current() is edits.base and edits.revision == 0
    outcome = edits.do(Swap(20, 24), author="ann")
    assert (outcome.rows, outcome.first_frame, outcome.last_frame, outcome.revision) == (10, 20, 24, 1)
    assert outcome.track_file is edits.current() and persons(edits.current(), 20) == {8: "B", 9: "A"}
    assert talk_path.read_bytes() == before
    assert edits.current().metadata.edits_sha256 == edits.log.digest == digest([Swap(20, 24)])
    assert edits.log.entries[0].author == "ann"
    assert json.loads(json.dumps(outcome.as_dict()))["operation"]["op"] == "swap"


def test_an_attempt_writes_nothing(talk_path):
    edits = Edits(talk_path)
    outcome = edits.attempt(Swap(20, 24))
    assert outcome.rows == 10 and persons(outcome.track_file, 20) == {8: "B", 9: "A"}
    assert edits.revision == outcome.revision == 0 and edits.current() is edits.base
    assert not log_path(talk_path).exists()


def test_what_the_tracks_do_not_allow_is_not_logged(talk_path):
    edits = Edits(talk_path)
    with pytest.raises(EditError, match="no track 5"):
        edits.do(Split(5, 20))
    assert not log_path(talk_path).exists()
    with pytest.raises(EditError, match="no track 7"):
        edits.do(Batch((Delete(7, 0, 39), Delete(7, 0, 39))))
    assert len(edits.current().table) == len(edits.base.table), "a batch is done as a whole"


def test_outcomes_of_undo_and_redo(talk_path):
    edits = Edits(talk_path)
    edits.do(Interpolate(1, 0, 39))
    undone = edits.undo()
    assert (undone.operation, undone.rows, undone.first_frame, undone.last_frame) == (Interpolate(1, 0, 39), 3, 5, 7)
    assert undone.track_file is edits.base
    redone = edits.redo()
    assert (redone.operation, redone.rows, redone.revision) == (Interpolate(1, 0, 39), 3, 3)
    marked = edits.do(Mark("gap", 3, 4, "accepted"))
    assert (marked.rows, marked.first_frame, marked.last_frame) == (0, None, None)


def test_a_warning_names_the_anchor(talk_path):
    edits = Edits(talk_path)
    assert edits.do(Anchor(20, "A")).warnings == ()
    (warning,) = edits.attempt(Swap(18, 25)).warnings
    assert warning.endswith("contradicts the anchor that A is right in frame 20 (00:00:00.800)")
    assert edits.do(Swap(18, 25)).warnings == (warning,)
    assert edits.do(Swap(18, 25)).warnings == ()
    assert len(edits.undo().warnings) == 1


def test_what_is_undone_with_its_anchor_does_not_warn(talk_path):
    edits = Edits(talk_path)
    edits.do(Batch((Box(35, (300.0, 50.0, 350.0, 110.0), None, "B"), Anchor(35, "B"))))
    assert edits.undo().warnings == edits.redo().warnings == ()


def test_two_sessions(talk_path):
    one, other = Edits(talk_path), Edits(talk_path)
    one.do(Swap(20, 24))
    with pytest.raises(StaleEditError):
        other.do(Split(1, 10))
    assert other.current() is other.base and other.refresh() and not other.refresh()
    assert other.current().table.equals(one.current().table)
    other.do(Split(1, 10))
    with pytest.raises(StaleEditError):
        one.undo()
    with pytest.raises(StaleEditError):
        other.do(Split(1, 5), revision=1)


def test_a_log_whose_operations_cannot_be_done_is_refused(talk_path):
    append(talk_path, [Split(5, 20)])
    with pytest.raises(EditLogError, match=r"entry 1 of .* cannot be done; got split track 5 .*: there is no track 5"):
        Edits(talk_path).current()


def test_readers_get_the_edited_tracks(talk_path):
    track_file, summary = read_edited(talk_path)
    assert (summary.log, summary.operations, summary.digest, summary.words()) == (None, 0, None, "")
    assert track_file.table.equals(read_tracks(talk_path).table)
    Edits(talk_path).do(Swap(20, 24))
    Edits(talk_path).do(Swap(20, 24))
    Edits(talk_path).undo()
    track_file, summary = read_edited(talk_path)
    assert persons(track_file, 20) == {8: "B", 9: "A"}
    assert (summary.operations, summary.revision) == (1, 3)
    assert summary.words() == f"1 edit is in the tracks, from {log_path(talk_path)}"


def test_a_corrected_file_needs_no_log(talk_path):
    edits = Edits(talk_path)
    edits.do(Swap(20, 24))
    path, summary = apply_edits(talk_path)
    assert path == corrected_path(talk_path) == talk_path.with_name("in.tracks.corrected.parquet")
    made = read_tracks(path)
    assert made.table.equals(edits.current().table) and made.metadata == edits.current().metadata
    assert summary.operations == 1 and made.metadata.edits_sha256 == summary.digest
    with pytest.raises(OutputExistsError):
        apply_edits(talk_path)
    assert apply_edits(talk_path, overwrite=True)[0] == path
    before = talk_path.read_bytes()
    with pytest.raises(OutputError, match="would replace its own input"):
        apply_edits(talk_path, talk_path, overwrite=True)
    assert talk_path.read_bytes() == before
    assert Edits(path).do(Delete(7, 0, 39)).rows == 4, "a corrected file can be edited in turn"


def test_further_columns_and_metadata_of_the_file_are_kept(talk_file, tmp_path):
    path = tmp_path / "t.parquet"
    table = talk_file.table.replace_schema_metadata({b"other": b"tool"})
    write_tracks(path, table, talk_file.metadata)
    edits = Edits(path)
    edits.do(Interpolate(1, 0, 39))
    rows = edits.current().table.to_pylist()
    assert {row["mood"] for row in rows if row["origin"] == "interpolated"} == {None}
    assert all(row["mood"] == f"m{row['frame_index']}" for row in rows if row["origin"] == "detected")
    assert edits.current().table.schema.metadata == {b"other": b"tool"}


def test_open_suspects(talk_file):
    metadata = talk_file.metadata
    assert [suspect.kind for suspect in open_suspects(metadata, 0.1)] == ["gap", "cut"]
    assert suspects_warning(metadata, 0.5) == (
        "1 moment is open to review with a probability over 0.5, at 00:00:00.120 (gap)"
    )
    assert "2 moments are open to review with a probability over 0.1, the first at" in suspects_warning(metadata, 0.1)
    for state, found in {"accepted": 0, "fixed": 0, "unsure": 1, "open": 1}.items():
        marked = replay(talk_file, [Mark("gap", 3, 4, state)]).metadata
        assert len(open_suspects(marked, 0.5)) == found
        assert bool(suspects_warning(marked, 0.5)) == bool(found)


def test_states_of_suspects_belong_to_the_profile(talk_file):
    odd = replace(talk_file.metadata, suspects=(replace(talk_file.metadata.suspects[0], state="odd"),))
    assert problems(talk_file.table, odd) == [
        "metadata key suspects[0].state: got odd, expected null or one of accepted, fixed, unsure"
    ]
    assert problems(talk_file.table, replace(odd, version="1.7")) == []


def test_the_suspect_of_a_frame(talk_file):
    assert suspect_at(talk_file.metadata, 12).kind == "cut"
    with pytest.raises(EditError, match="frame 20 is in 0 suspects; expected one; list them"):
        suspect_at(talk_file.metadata, 20)
    twice = replace(talk_file.metadata, suspects=(talk_file.metadata.suspects[0],) * 2)
    with pytest.raises(EditError, match="is in 2 suspects; got gap in frames 3 to 4, gap in frames 3 to 4"):
        suspect_at(twice, 3)
    with pytest.raises(EditError, match="is in 0 suspects"):
        suspect_at(talk_file.metadata, 12, "gap")


def test_tracks_are_listed(talk_path):
    edits = Edits(talk_path)
    edits.do(Assign(2, "A", 5, 7))
    found = list_tracks(edits.current(), edits.times)
    assert [(t.track_id, t.person, t.frames, t.first_frame, t.last_frame) for t in found] == [
        (1, "A", 37, 0, 39), (2, "B", 27, 0, 29), (7, None, 4, 3, 6), (8, "A", 3, 5, 7),
    ]  # fmt: skip
    (here,) = list_tracks(edits.current(), edits.times, 35)
    assert (here.track_id, here.side, here.box) == (1, "left", (135.0, 50.0, 185.0, 110.0))
    assert "track    1  A (left)" in here.words() and here.words().endswith("box 135.0 50.0 185.0 110.0")
    assert list_tracks(edits.current(), edits.times, 3)[2].words().startswith("track    7  bystander")
