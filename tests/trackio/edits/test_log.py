"""The log on disk: what is appended, what is refused, what is repaired."""

import errno
import json
import os
import subprocess
import sys
from io import FileIO
from pathlib import Path

import pytest

import dft
from dft.configs.errors import EditError, EditLogError, OutputError, StaleEditError, TrackFileNotFoundError
from dft.trackio.edits.log import REDO, UNDO, append, author_name, log_path, read_log
from dft.trackio.edits.operations import Delete, Split, Swap

SWAP, SPLIT = Swap(1, 2), Split(1, 20)


def test_where_it_lies(tmp_path):
    assert log_path(tmp_path / "in.tracks.parquet") == tmp_path / "in.tracks.edits.jsonl"
    assert log_path(Path("t.parquet")) == Path("t.edits.jsonl")


def test_without_a_log_there_are_no_edits(talk_path):
    log = read_log(talk_path)
    assert (log.revision, log.operations, log.digest, log.torn) == (0, (), None, 0)
    assert not log.path.exists()


def test_records_say_what_who_and_when(talk_path):
    append(talk_path, [SWAP], author="ann")
    append(talk_path, [SPLIT, UNDO], author="bob")
    lines = [json.loads(line) for line in log_path(talk_path).read_text().splitlines()]
    assert lines[0]["dft_edits"] == "1.0" and lines[0]["tracks"] == talk_path.name
    assert [line["op"] for line in lines[1:]] == ["swap", "split", "undo"]
    assert [line["author"] for line in lines[1:]] == ["ann", "bob", "bob"]
    assert all(line["time"].endswith("Z") and len(line["time"]) == 20 for line in lines[1:])
    log = read_log(talk_path)
    assert [entry.in_effect for entry in log.entries] == [True, False, False]
    assert [entry.words() for entry in log.entries][1:] == ["split track 1 before frame 20", "undo 2"]
    assert log.operations == (SWAP,) and log.done == (1,) and log.undone == (2,)
    assert log.entries[0].as_dict()["operation"] == SWAP.as_dict()


def test_lines_are_only_appended(talk_path):
    written = b""
    for record in (SWAP, SPLIT, UNDO, REDO):
        append(talk_path, [record])
        content = log_path(talk_path).read_bytes()
        assert content.startswith(written) and len(content) > len(written)
        written = content


def test_a_new_operation_ends_what_can_be_redone(talk_path):
    append(talk_path, [SWAP, UNDO, SPLIT])
    with pytest.raises(EditError, match="there is nothing to redo"):
        append(talk_path, [REDO])
    assert read_log(talk_path).operations == (SPLIT,)


@pytest.mark.parametrize("records", [[UNDO], [REDO], [SWAP, UNDO, UNDO], [SWAP, REDO]], ids=str)
def test_nothing_to_undo_or_redo_writes_nothing(talk_path, records):
    with pytest.raises(EditError, match=r"there is nothing to (undo|redo)"):
        append(talk_path, records)
    assert not log_path(talk_path).exists()


def test_a_stale_edit_is_refused(talk_path):
    append(talk_path, [SWAP], revision=0)
    with pytest.raises(StaleEditError, match="got revision 1; expected 0") as caught:
        append(talk_path, [SPLIT], revision=0)
    assert caught.value.revision == 1
    assert append(talk_path, [SPLIT], revision=1).revision == 2


def test_a_torn_last_line_is_cut_off_by_the_next_append(talk_path, caplog):
    append(talk_path, [SWAP])
    path = log_path(talk_path)
    whole = path.read_bytes()
    for torn in (b"{", b'{"op": "swap"', b'{"op": "undo", "author": "a"}'):
        path.write_bytes(whole + torn)
        log = read_log(talk_path)
        assert (log.revision, log.torn) == (1, len(torn))
        assert path.read_bytes() == whole + torn, "reading repairs nothing"
        append(talk_path, [SPLIT])
        assert path.read_bytes().startswith(whole) and torn + b"\n" not in path.read_bytes()
        assert read_log(talk_path).operations == (SWAP, SPLIT)
        assert f"unfinished last line ({len(torn)} bytes)" in caplog.text


def test_a_torn_header_is_no_log_yet(talk_path):
    log_path(talk_path).write_bytes(b'{"dft_ed')
    assert read_log(talk_path).torn == 8
    append(talk_path, [SWAP])
    assert read_log(talk_path).operations == (SWAP,)


DAMAGES = {
    "no JSON": (lambda lines: [*lines[:2], b"nonsense\n", *lines[3:]], "damaged in line 3; got"),
    "no object": (lambda lines: [*lines[:2], b"[1]\n", *lines[3:]], "damaged in line 3; got no JSON object"),
    "a changed number": (lambda lines: [*lines[:2], lines[2].replace(b"20", b"21"), *lines[3:]], "in line 4"),
    "a lost line": (lambda lines: [*lines[:2], *lines[3:]], "in line 3; got what stands before it"),
    "lines in another order": (lambda lines: [*lines[:1], lines[2], lines[1], *lines[3:]], "in line 2"),
    "a line twice": (lambda lines: [*lines[:3], *lines[2:]], "in line 4"),
    "an empty line": (lambda lines: [*lines[:2], b"\n", *lines[2:]], "in line 3"),
    "no header": (lambda lines: lines[1:], "no log of edits that this dft knows; expected version 1.0"),
    "a newer version": (lambda lines: [lines[0].replace(b"1.0", b"2.0"), *lines[1:]], "got 2.0; expected"),
    "another file": (lambda lines: [lines[0].replace(b'sha256": "', b'sha256": "0'), *lines[1:]], "another track"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_log_is_refused_and_left_alone(talk_path, case):
    append(talk_path, [SWAP, SPLIT, Delete(7, 0, 39)])
    path = log_path(talk_path)
    damage, message = DAMAGES[case]
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    damaged = path.read_bytes()
    with pytest.raises(EditLogError, match=message):
        read_log(talk_path)
    with pytest.raises(EditLogError, match=message):
        append(talk_path, [SWAP])
    assert path.read_bytes() == damaged


def test_an_unknown_operation_is_refused(talk_path, monkeypatch):
    monkeypatch.setattr(Swap, "name", "dance")
    with pytest.raises(EditLogError, match="in line 2; got unknown operation; got 'dance'"):
        append(talk_path, [SWAP])
    assert not log_path(talk_path).exists()


def test_the_tracks_must_be_there_and_the_same(talk_path):
    append(talk_path, [SWAP])
    talk_path.write_bytes(talk_path.read_bytes() + b"x")
    with pytest.raises(EditLogError, match="is of another track file"):
        read_log(talk_path)
    talk_path.unlink()
    with pytest.raises(TrackFileNotFoundError, match="there is no track file"):
        read_log(talk_path)
    with pytest.raises(TrackFileNotFoundError):
        append(talk_path.with_name("no.parquet"), [SWAP])
    assert not talk_path.with_name("no.edits.jsonl").exists()


def test_a_log_that_cannot_be_read_or_written(talk_path):
    log_path(talk_path).mkdir()
    with pytest.raises(EditLogError, match="cannot read the log of edits"):
        read_log(talk_path)
    with pytest.raises(OutputError, match="cannot write"):
        append(talk_path, [SWAP])


def test_on_a_full_disk_nothing_is_half_written(talk_path, monkeypatch):
    append(talk_path, [SWAP])
    before = log_path(talk_path).read_bytes()

    class Full(FileIO):
        def write(self, data):
            if self.tell() > len(before):
                raise OSError(errno.ENOSPC, "no space")
            return super().write(bytes(data)[:10])

    monkeypatch.setattr("dft.trackio.edits.log.FileIO", Full)
    with pytest.raises(OutputError, match="the disk is full"):
        append(talk_path, [SPLIT])
    assert log_path(talk_path).read_bytes() == before


def test_writers_at_one_time_lose_nothing(talk_path):
    script = (
        "import sys; from pathlib import Path; from dft.trackio.edits.log import append; "
        "from dft.trackio.edits.operations import Swap; "
        "[append(Path(sys.argv[1]), [Swap(n, n)], author=sys.argv[2]) for n in range(10)]"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(dft.__path__[0]).parent)}
    writers = [
        subprocess.Popen([sys.executable, "-c", script, talk_path, name], env=environment) for name in ("ann", "bob")
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    entries = read_log(talk_path).entries
    for name in ("ann", "bob"):
        mine = [entry.operation.first_frame for entry in entries if entry.author == name]
        assert mine == list(range(10))


def test_the_author(monkeypatch):
    monkeypatch.setenv("DFT_AUTHOR", "ann")
    assert author_name() == "ann"
    monkeypatch.delenv("DFT_AUTHOR")
    monkeypatch.setattr("getpass.getuser", lambda: "bob")
    assert author_name() == "bob"

    def nobody():
        raise KeyError(1000)

    monkeypatch.setattr("getpass.getuser", nobody)
    assert author_name() == f"user {os.getuid()}"
