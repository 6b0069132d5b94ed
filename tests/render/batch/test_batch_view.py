"""What a person sees: lines, the table, the page."""

import io
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from dft.cli import cli
from dft.configs.analysis import AnalyzeSettings
from dft.configs.rendering import RenderSettings
from dft.render.batch import pipeline
from dft.render.batch.admission import Admission
from dft.render.batch.faults import Fault
from dft.render.batch.plan import Job
from dft.render.batch.reporting.live import Lines, Table, shown
from dft.render.batch.reporting.page import page_of
from dft.render.batch.reporting.report import Run, report_on
from dft.render.batch.schedule import Record
from dft.render.batch.work import Advanced, Made


def record_of(name, status="waiting"):
    paths = Path(f"/none/{name}.parquet"), Path(f"/none/{name}.mp4")
    return Record(Job(Path(f"{name}.mov"), name, *paths, AnalyzeSettings(), RenderSettings(), 0, 1, False), status)


@pytest.fixture
def records():
    """One that is done, one that runs, one that failed, one that waits."""
    done, running, failed, waiting = (record_of(name) for name in ("don", "run[b]", "fai<l", "wai"))
    done.begin("analyze")
    done.made["analyze"] = Made(1000, 4.0, (), ("a note",))
    done.notes["analyze"] = ("a note",)
    done.status = "done"
    running.begin("render")
    running.advance(Advanced(500, 2000))
    running._first = running._first[0] - 10, 500
    running.advance(Advanced(1000, 2000))
    failed.begin("analyze")
    failed.faults.append(Fault("analyze", "error", "it is <damaged>", "film it again"))
    failed.status = "failed"
    return [done, running, failed, waiting]


def test_speed_and_time_left_do_not_count_what_was_there_before(records):
    assert records[1].fps == pytest.approx(50, rel=0.01) and records[1].seconds_left == pytest.approx(20, rel=0.01)
    assert records[0].seconds_left is None


def test_the_table_has_a_line_a_video_and_a_total(records):
    table, out = Table(), io.StringIO()
    table.begin(records)
    table._begun -= 1800
    Console(file=out, width=120).print(table)
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert ["run[b]", "render", "1,000/2,000"] in [line[:3] for line in lines]
    assert ["don", "done"] in lines
    assert "failed: it is <damaged>" in out.getvalue()
    assert "2 of 4 through, 1 failed, 1 waiting, 2.0 videos/hour" in out.getvalue()


def test_in_a_narrow_terminal_names_and_figures_stay_whole(records):
    records[2].faults[0] = Fault("analyze", "error", "a long story " * 20, "film it again")
    records[3].job = replace(records[3].job, name="long-" * 20)
    table, out = Table(), io.StringIO()
    table.begin(records)
    Console(file=out, width=80).print(table)
    lines = out.getvalue().splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert any(line.startswith("fai<l ") and "failed: a long" in line for line in lines)
    assert any(line.startswith("run[b] ") and "1,000/2,000" in line and line.endswith("0:00:20") for line in lines)


@pytest.mark.parametrize("seconds", ["nan", "inf"])
def test_a_stall_is_a_number_of_seconds(seconds, tmp_path):
    result = CliRunner().invoke(cli, ["batch", str(tmp_path), "-o", str(tmp_path / "out"), "--stall", seconds])
    assert result.exit_code == 2 and "is no number of seconds" in result.output


def test_an_interrupt_says_that_the_same_command_goes_on(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "batch", interrupted)
    result = CliRunner().invoke(cli, ["batch", str(tmp_path), "-o", str(tmp_path / "out")])
    assert (result.exit_code, result.output) == (130, "dft: stopped; the same command goes on\n")


def test_what_is_logged_while_the_table_is_drawn_comes_above_it(records):
    out = io.StringIO()
    handler = logging.StreamHandler(io.StringIO())
    logging.getLogger().addHandler(handler)
    before = handler.stream
    try:
        table = Table()
        table.begin(records)
        with shown(table, Console(file=out, width=100, force_terminal=True)):
            handler.emit(logging.makeLogRecord({"msg": "look here"}))
        assert handler.stream is before and before.getvalue() == ""
    finally:
        logging.getLogger().removeHandler(handler)
    assert out.getvalue().index("look here") < out.getvalue().rindex("videos/hour")


def test_lines_say_what_begins_and_ends(records, capsys):
    lines = Lines()
    lines.begin(records)
    for record in records[:3]:
        lines.changed(record)
    assert capsys.readouterr().err.splitlines() == [
        "dft: [2/4] don: done",
        "dft: [2/4] run[b]: render begins",
        "dft: [2/4] fai<l: failed in analyze: it is <damaged>; film it again",
    ]


def test_the_page_holds_everything_and_escapes_names(records):
    run = Run(Admission(2, (0, 0), "asked for"), "cpu", 3600.0, False, True, (Path("notes.txt"),))
    report = report_on(records, run)
    assert (report.verdict, report.videos_per_hour, report.failure_rate) == ("interrupted", 1.0, 0.5)
    assert [video.outcome for video in report.videos] == ["done", "left", "failed", "left"]
    page = page_of(report, {"don": [b"one", b"two"]})
    assert page.count("data:image/jpeg;base64,") == 2 and "http" not in page
    assert "fai&lt;l" in page and "it is &lt;damaged&gt;; film it again" in page and "<damaged>" not in page
    assert "2 at once on cpu (asked for)" in page
    assert "analyze: 1,000 frames in 4.0 s, 250.0 frames/s" in page and "a note" in page
    assert page.index("fai&lt;l: failed") < page.index("don: done")
