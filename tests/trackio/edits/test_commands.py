"""The commands that correct tracks: what they print, what they write, how they fail."""

import json

import pytest
from click.testing import CliRunner

from dft.cli import cli
from dft.configs.errors import EditError
from dft.trackio.edits.log import log_path, read_log
from dft.trackio.edits.operations import Anchor, Assign, Box, Delete, Interpolate, Mark, Merge, SetSide, Split, Swap
from dft.trackio.edits.session import Edits
from dft.trackio.files import read_tracks


@pytest.fixture
def tracks(talk_path, monkeypatch):
    """Runs a command of ``dft tracks`` on the talk: the result of click."""
    monkeypatch.setenv("DFT_AUTHOR", "ann")

    def run(command, *words):
        return CliRunner().invoke(cli, ["tracks", command, str(talk_path), *map(str, words)])

    return run


COMMANDS = {
    "swap --at 0.8": Swap(20, 39),
    "swap --at 0.8s --until cut": Swap(20, 24),
    "swap --at 00:00:00.8 --until 24f": Swap(20, 24),
    "swap --range 20f 0.97": Swap(20, 24),
    "split 1 --at 0.8": Split(1, 20),
    "merge 1 7 --both higher-score": Merge(1, 7, "higher_score"),
    "assign 7 A --take": Assign(7, "A", 0, 39, take=True),
    "assign 1 bystander --range 20f 24f": Assign(1, None, 20, 24),
    "delete 7": Delete(7, 0, 39),
    "delete 7 --at 4f --until 5f": Delete(7, 4, 5),
    "interpolate 1 --max-seconds 1 --accept": Interpolate(1, 0, 39, 1.0),
    "box --at 20f --track 1 --box 1 2 30 40.5 --blend 0.4": Box(20, (1.0, 2.0, 30.0, 40.5), 1, None, 0.4),
    "box --at 35f --person B --box 1 2 30 40": Box(35, (1.0, 2.0, 30.0, 40.0), None, "B"),
    "side A right --at 20f --until cut": SetSide("A", "right", 20, 24),
    "side B none": SetSide("B", None, 0, 39),
    "mark accepted --at 3f": Mark("gap", 3, 4, "accepted"),
    "mark unsure --at 12f --kind cut": Mark("cut", 12, 12, "unsure"),
    "anchor B --at 20f": Anchor(20, "B"),
}


@pytest.mark.parametrize(("words", "operation"), COMMANDS.items(), ids=list(COMMANDS))
def test_each_command_is_one_operation(tracks, talk_path, words, operation):
    before = talk_path.read_bytes()
    result = tracks(*words.split())
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{operation.words()}: changed ") and result.stdout.count("\n") == 1
    (entry,) = read_log(talk_path).entries
    assert (entry.operation, entry.author) == (operation, "ann")
    assert talk_path.read_bytes() == before


@pytest.mark.parametrize("words", [words for words in COMMANDS if "--accept" not in words])
def test_a_dry_run_says_the_same_and_writes_nothing(tracks, talk_path, words):
    dry = tracks(*words.split(), "--dry-run")
    assert dry.exit_code == 0 and not log_path(talk_path).exists()
    assert dry.stdout.replace("would change", "changed") == tracks(*words.split()).stdout


def test_resolved_frames_are_printed(tracks):
    assert tracks("swap", "--at", "0.81", "--until", "cut").stdout == (
        "swap A and B in frames 20 to 24: changed 10 rows, in frames 20 to 24 (00:00:00.800 to 00:00:00.960)\n"
    )
    assert tracks("delete", 7, "--range", "3f", "3f").stdout == (
        "delete track 7 in frame 3: changed 1 row, in frame 3 (00:00:00.120)\n"
    )


def test_json(tracks, talk_path):
    made = json.loads(tracks("swap", "--at", "20f", "--until", "cut", "--json", "--author", "bob").stdout)
    assert made["operation"] == {"op": "swap", "first_frame": 20, "last_frame": 24, "persons": ["A", "B"]}
    assert (made["rows"], made["first_frame"], made["start"], made["revision"]) == (10, 20, "00:00:00.800", 1)
    assert made["file"] == str(talk_path) and made["warnings"] == []
    log = json.loads(tracks("log", "--json").stdout)
    assert log["revision"] == 1 and log["entries"][0]["author"] == "bob"
    assert json.loads(tracks("diff", "--json").stdout)[0]["kind"] == "person"
    assert json.loads(tracks("undo", "--json").stdout)["revision"] == 2
    assert json.loads(tracks("list", "--json").stdout)[0]["track_id"] == 1


def test_interpolation_is_proposed_first(tracks, talk_path):
    result = tracks("interpolate", 1)
    assert result.stdout.splitlines() == [
        "would fill frames 5 to 7 (00:00:00.200 to 00:00:00.280)",
        "3 frames proposed; nothing was changed, see --accept",
    ]
    assert not log_path(talk_path).exists()
    made = json.loads(tracks("interpolate", 1, "--json").stdout)
    assert made["frames"] == [5, 6, 7] and len(made["boxes"]) == 3 and made["gaps"][0]["first_frame"] == 5
    assert (
        "would not fill frames 5 to 7: 0.16 s are longer than 0.1 s"
        in tracks("interpolate", 1, "--max-seconds", "0.1").stdout
    )
    assert "changed 3 rows, in frames 5 to 7 (" in tracks("interpolate", 1, "--accept").stdout
    assert len(Edits(talk_path).current().table) == len(read_tracks(talk_path).table) + 3


def test_log_undo_redo(tracks, talk_path):
    assert tracks("log").stdout == f"no edits: there is no {log_path(talk_path)}\n"
    tracks("delete", 7)
    tracks("split", 1, "--at", "20f")
    assert tracks("undo").stdout.startswith("split track 1 before frame 20: undone; changed 20 rows")
    lines = tracks("log").stdout.splitlines()
    assert [line.split("  ann  ")[1] for line in lines[:3]] == [
        "delete track 7 in frames 0 to 39", "split track 1 before frame 20  [undone]", "undo 2"
    ]  # fmt: skip
    assert lines[3] == "1 edit in effect"
    assert tracks("redo").stdout.startswith("split track 1 before frame 20: done again; changed 20 rows")
    assert [tracks("undo").exit_code for _ in range(2)] == [0, 0]
    with pytest.raises(EditError, match="there is nothing to undo"):
        raise tracks("undo").exception


def test_diff_and_apply(tracks, talk_path):
    assert tracks("diff").stdout == "no differences\n"
    tracks("delete", 7, "--range", "4f", "6f")
    expected = "00:00:00.160 to 00:00:00.217  frames 4 to 6  bystanders: removed, fewer of them in the second\n"
    assert tracks("diff").stdout == expected
    corrected = talk_path.with_name("in.tracks.corrected.parquet")
    assert tracks("apply").stdout == f"{corrected}: 1 edit worked in\n"
    assert tracks("diff", corrected).stdout == "no differences\n"
    other = talk_path.with_name("c.parquet")
    assert json.loads(tracks("apply", "-o", other, "--json").stdout)["output"] == str(other)
    assert read_tracks(other).table.equals(read_tracks(corrected).table)


def test_a_contradicted_anchor_warns_on_stderr(tracks):
    tracks("anchor", "A", "--at", "20f")
    for words in (["--dry-run"], []):
        result = tracks("swap", "--at", "18f", "--until", "cut", *words)
        assert result.exit_code == 0
        assert result.stderr.startswith("dft: WARNING: swap A and B in frames 18 to 24: contradicts the anchor")


def test_readers_of_tracks_see_the_edits(tracks, talk_path):
    assert "edit" not in tracks("show").stdout
    tracks("mark", "accepted", "--at", "3f")
    tracks("delete", 7)
    shown = tracks("show").stdout
    assert shown.startswith(f"2 edits are in the tracks, from {log_path(talk_path)}")
    assert "Bystanders: 0 tracks" in shown and "accepted" in shown and "state" in shown
    made = json.loads(tracks("show", "--json").stdout)
    assert made["edits"]["operations"] == 2 and made["suspects"][0]["state"] == "accepted"
    assert json.loads(tracks("score", talk_path, "--json").stdout)


@pytest.mark.parametrize(
    "words",
    [
        "swap",
        "swap --at 1 --range 1 2",
        "swap --until cut",
        "swap --at 1 --persons A Z",
        "merge 1",
        "merge 1 2 --both worst",
        "assign 1 nobody",
        "side A up",
        "box --at 1 --box 1 2 3",
        "mark right --at 1",
        "diff --tolerance -1",
    ],
)
def test_wrong_usage(tracks, words):
    assert tracks(*words.split()).exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("swap --at noon", "no time; got 'noon'"),
        ("swap --at 5s", "after the end"),
        ("swap --range 5f 4f", "swap: frames; got 5 to 4"),
        ("split 9 --at 5f", "there is no track 9"),
        ("mark fixed --at 20f", "is in 0 suspects"),
        ("redo", "there is nothing to redo"),
    ],
)
def test_errors(tracks, talk_path, words, message):
    with pytest.raises(EditError, match=message):
        raise tracks(*words.split()).exception
    assert not log_path(talk_path).exists()
