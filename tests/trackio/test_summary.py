import io
import json
from dataclasses import replace
from fractions import Fraction

import pytest
from rich.console import Console

from dft.trackio.files import TrackFile
from dft.trackio.schema import empty_table
from dft.trackio.summary import Gap, print_summary, summarize


@pytest.fixture
def summary(track_file):
    return summarize(track_file)


def test_person_with_a_gap(summary):
    a = summary.persons[0]
    assert (a.name, a.frames, a.coverage) == ("A", 8, 0.8)
    assert (a.first_seconds, a.last_seconds) == (0.0, 0.36)
    assert (a.gap_count, a.gaps) == (1, (Gap(3, 4, pytest.approx(0.12), 0.2),))
    assert a.longest_gap_seconds == pytest.approx(0.08)
    assert a.interpolated_share == 1 / 8
    # heights are 60 + frame for frames 0 1 2 5 6 7 8 9
    assert (a.box_height_min, a.box_height_median, a.box_height_max) == (60, 65.5, 69)
    assert a.mean_score == 0.75  # the interpolated face has no score


def test_person_without_a_gap(summary):
    b = summary.persons[1]
    assert (b.name, b.frames, b.coverage) == ("B", 8, 0.8)
    assert (b.first_seconds, b.last_seconds) == (0.0, 0.28)
    assert (b.gap_count, b.longest_gap_seconds, b.gaps) == (0, 0.0, ())
    assert (b.interpolated_share, b.mean_score) == (0.0, 0.5)
    assert (b.box_height_min, b.box_height_median, b.box_height_max) == (80, 83.5, 87)


def test_sides_are_measured_like_persons(summary):
    left, right = summary.sides
    assert left == replace(summary.persons[0], name="left")
    assert right == replace(summary.persons[1], name="right")


def test_a_side_is_whoever_is_there(track_file):
    table = track_file.table
    swapped = ["right" if frame >= 5 else "left" for frame in table["frame_index"].to_pylist()]
    swapped = [s if p == "A" else None for s, p in zip(swapped, table["person"].to_pylist(), strict=True)]
    left, right = summarize(replace(track_file, table=table.set_column(4, "side", [swapped]))).sides
    assert (left.frames, left.last_seconds) == (3, 0.08)
    assert (right.frames, right.first_seconds) == (5, 0.2)


def test_the_rest(summary, metadata):
    assert summary.tracks == "in.tracks.parquet"
    assert (summary.bystander_tracks, summary.bystander_rows, summary.shots) == (1, 2, 2)
    assert (summary.video, summary.device, summary.notes) == (metadata.video, metadata.device, metadata.notes)


def test_suspects_come_in_order_of_time(summary):
    assert [(s.start, s.end, s.kind, s.probability) for s in summary.suspects] == [
        ("00:00:00.120", "00:00:00.160", "gap", 0.5),
        ("00:00:00.200", "00:00:00.200", "cut", 0.25),
    ]


def test_as_dict_is_json(summary):
    values = json.loads(json.dumps(summary.as_dict(), allow_nan=False))
    assert values["video"]["fps"] == "25/1"
    assert values["persons"][0]["gaps"][0]["last_frame"] == 4
    assert type(summary).from_dict(values) == summary


def test_nobody(track_file):
    nothing = summarize(TrackFile(track_file.path, empty_table(), track_file.metadata))
    a = nothing.persons[0]
    assert (a.frames, a.coverage, a.gap_count, a.longest_gap_seconds) == (0, 0.0, 0, 0.0)
    assert (a.first_seconds, a.interpolated_share, a.box_height_min, a.mean_score) == (None, None, None, None)
    assert nothing.bystander_tracks == 0
    assert "A" in printed(nothing)


def printed(summary, width=120):
    stream = io.StringIO()
    print_summary(summary, Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


def test_printed_tables_hold_the_numbers(summary):
    text = printed(summary)
    assert "640 x 360, 25 fps, 10 frames, 00:00:00.400, 2 shots" in text
    assert "on cpu: no GPU was found" in text
    (line,) = [line for line in text.splitlines() if line.startswith(" A ")]
    assert line.split() == [
        "A", "8", "80.0%", "0:00.00", "0:00.36", "1", "0.08", "s", "12.5%", "60", "/", "66", "/", "69", "0.75",
    ]  # fmt: skip
    assert "A [left] is away" in text
    assert "Note: decoded on the CPU" in text


def test_printed_without_suspects(track_file):
    calm = replace(track_file, metadata=replace(track_file.metadata, suspects=()))
    assert "No suspects." in printed(summarize(calm))


def test_printed_rate_and_rotation(track_file, with_video):
    turned = replace(track_file, metadata=with_video(rotation=90, fps=Fraction(30000, 1001)))
    assert "rotated 90 degrees, 29.97 fps" in printed(summarize(turned))
