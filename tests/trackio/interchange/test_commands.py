"""``dft tracks export`` and ``dft tracks import``."""

import json
import logging

import pytest
from click.testing import CliRunner

from dft.cli import cli
from dft.configs.errors import TrackFormatError
from dft.trackio.files import write_tracks


@pytest.fixture
def tracks(make_tracks, tmp_path):
    rows = [make_tracks.row(f, 0, (100 + f, 50, 150 + f, 120), "A", "left") for f in range(30)]
    rows += [make_tracks.row(f, 1, (400, 50, 450, 120), "B", "right") for f in range(30)]
    made = make_tracks(rows, 30, path=tmp_path / "in.tracks.parquet")
    write_tracks(made.path, made.table, made.metadata)
    return made.path


@pytest.fixture
def dft():
    """Run the command: exit status, stdout, stderr; errors of dft come through."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def run(*words):
        result = CliRunner().invoke(cli, ["tracks", *map(str, words)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    yield run
    root.handlers[:], root.level = before


def test_export_says_what_it_wrote(dft, tracks):
    status, out, err = dft("export", tracks)
    path = tracks.with_name("in.cvat.xml")
    assert (status, out, err) == (0, f"{path}: 60 rows, 2 tracks, 60 keyframes\n", "")
    assert path.read_text().startswith("<?xml")


@pytest.mark.parametrize(("keyframes", "count"), [("all", 60), ("auto", 4), ("10", 8)])
def test_keyframes_on_demand(dft, tracks, keyframes, count):
    words = ["export", tracks, "--keyframes", keyframes, "--keyframe-tolerance", "0.001", "--json"]
    status, out, _ = dft(*words)
    report = json.loads(out)
    assert (status, report["keyframes"], report["rows"], report["format"]) == (0, count, 60, "cvat")
    assert report["outputs"] == [str(tracks.with_name("in.cvat.xml"))]


@pytest.mark.parametrize("keyframes", ["0", "-3", "some", "1.5"])
def test_wrong_keyframes_are_wrong_usage(dft, tracks, keyframes):
    status, _, err = dft("export", tracks, f"--keyframes={keyframes}")
    assert status == 2 and "expected all, auto or a number" in err


def test_other_formats(dft, tracks, tmp_path):
    _, out, _ = dft("export", tracks, "--format", "mot")
    assert out == f"{tmp_path / 'in.mot.txt'} and {tmp_path / 'in.mot.persons.csv'}: 60 rows, 2 tracks\n"
    _, out, _ = dft("export", tracks, "-o", tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["videos"][0]["name"] == "in"


def test_import_prints_and_writes_the_edits(dft, tracks):
    dft("export", tracks, "--format", "csv")
    path = tracks.with_name("in.csv")
    lines = path.read_text().splitlines()
    frame = [int(line.split(",")[0]) for line in lines[1:]]
    kept = [
        line for line, number in zip(lines[1:], frame, strict=True) if number < 20 or ",A," not in line.replace('"', "")
    ]
    path.write_text("\n".join([lines[0], *kept]) + "\n")
    status, out, err = dft("import", tracks, path, "--dry-run")
    assert (status, err) == (0, "") and out.splitlines()[-1].endswith("frames 20 to 29; nothing was written")
    log = tracks.with_name("in.tracks.edits.jsonl")
    assert not log.exists()
    status, out, _ = dft("import", tracks, path, "--author", "Eve")
    assert status == 0 and "1 edit of 10 rows, frames 20 to 29, revision 1 of the log" in out
    assert '"Eve"' in log.read_text()
    status, out, _ = dft("import", tracks, path)
    assert out == f"{path} changes nothing in {tracks}\n"
    status, out, _ = dft("import", tracks, path, "--json")
    report = json.loads(out)
    assert (report["operations"], report["revision"], report["format"]) == ([], 1, "csv")


def test_import_of_another_thing_fails(dft, tracks, tmp_path):
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(TrackFormatError, match="unknown format"):
        dft("import", tracks, tmp_path / "a.txt")
