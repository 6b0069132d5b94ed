"""Scores of tables made by hand: two faces of 100 x 100 pixels, A left and B right, and sometimes a bystander."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dft.configs.errors import (
    SettingError,
    TrackFileError,
    TrackFileNotFoundError,
    TrackFormatError,
    TrackMismatchError,
)
from dft.trackio.files import TrackFile, write_tracks
from dft.trackio.metadata import DeviceRecord, Shot, TrackMetadata, VideoRecord
from dft.trackio.schema import PERSONS, SCHEMA
from dft.trackio.score import MAX_PRINTED, WrongRange, print_score, score
from dft.trackio.timecode import format_timecode
from dft.trackio.truth import Truth, read_truth

LEFT, RIGHT, MIDDLE = 100.0, 1000.0, 500.0
START_PTS, FRAME_PTS = 500, 40  # in units of 1/1000 s, so 25 frames are one second
FRAMES = 100

# frame, name, left edge, and how far the box is moved down
Face = tuple[int, str | None, float, float]


def faces(name: str | None, place: float, frames=range(FRAMES), down: float = 0.0) -> list[Face]:
    return [(frame, name, place, down) for frame in frames]


BOTH = faces("A", LEFT) + faces("B", RIGHT)


def columns(boxes: list[Face]) -> dict[str, list]:
    return {
        "frame_index": [frame for frame, *_ in boxes],
        "person": [name for _, name, *_ in boxes],
        "x1": [x for _, _, x, _ in boxes],
        "y1": [100 + down for *_, down in boxes],
        "x2": [x + 100 for _, _, x, _ in boxes],
        "y2": [200 + down for *_, down in boxes],
    }


def truth_of(boxes: list[Face], visible: Callable[[Face], bool] | None = None) -> Truth:
    table = pa.table(columns(boxes))
    if visible is not None:
        table = table.append_column("visible", pa.array([visible(box) for box in boxes]))
    return Truth(Path("in.truth.parquet"), table)


def tracks_of(boxes: list[Face], frame_pts: Callable[[int], int] = lambda frame: FRAME_PTS * frame) -> TrackFile:
    boxes = sorted(boxes, key=lambda box: box[0])
    video = VideoRecord("ab" * 32, 1920, 1080, 0, FRAMES, Fraction(1, 1000), Fraction(25), FRAMES / 25, START_PTS)
    names = tuple(sorted({name for _, name, *_ in boxes if name}))
    # one track for each name and place, as a track keeps its person
    tracks = {key: number for number, key in enumerate(sorted({(str(b[1]), b[2], b[3]) for b in boxes}))}
    more = [
        {
            "pts": START_PTS + frame_pts(frame), "track_id": tracks[str(name), x, down], "side": None, "score": 0.5,
            "landmarks": None, "origin": "detected", "shot": 0,
        }
        for frame, name, x, down in boxes
    ]  # fmt: skip
    plain = pa.table(columns(boxes)).to_pylist()
    table = pa.Table.from_pylist([a | b for a, b in zip(plain, more, strict=True)], schema=SCHEMA)
    metadata = TrackMetadata(
        video, names, {}, {}, DeviceRecord("cpu", "asked for"), "0.1.0",
        (Shot(0, FRAMES - 1, START_PTS, START_PTS + FRAME_PTS * (FRAMES - 1)),), (),
    )  # fmt: skip
    return TrackFile(Path("in.tracks.parquet"), table, metadata)


def shares(made) -> tuple[float, float, float, float]:
    return made.coverage, made.wrong, made.missed, made.detected


def test_the_truth_itself_is_perfect():
    made = score(tracks_of(BOTH), truth_of(BOTH))
    assert shares(made) == (1, 0, 0, 1)
    assert (made.switches, made.switches_per_minute, made.box_error, made.wrong_ranges) == (0, 0, 0, ())
    assert (made.names, made.faces, made.visible_seconds) == ({"A": "A", "B": "B"}, 2 * FRAMES, 4.0)
    assert (made.tracks, made.truth, made.min_iou) == ("in.tracks.parquet", "in.truth.parquet", 0.4)


def test_names_exchanged_in_the_whole_file_are_right():
    made = score(tracks_of(faces("B", LEFT) + faces("A", RIGHT)), truth_of(BOTH))
    assert (shares(made), made.switches, made.names) == ((1, 0, 0, 1), 0, {"A": "B", "B": "A"})


def test_swapped_halfway():
    early, late = range(50), range(50, FRAMES)
    swapped = faces("A", LEFT, early) + faces("B", RIGHT, early) + faces("B", LEFT, late) + faces("A", RIGHT, late)
    made = score(tracks_of(swapped), truth_of(BOTH))
    assert (shares(made), made.switches, made.switches_per_minute) == ((0.5, 0.5, 0, 1), 1, pytest.approx(15))
    assert made.wrong_ranges == (
        WrongRange("A", 50, 99, "00:00:02.000", "00:00:03.960", "B"),
        WrongRange("B", 50, 99, "00:00:02.000", "00:00:03.960", "A"),
    )


@pytest.mark.parametrize(
    ("wrong", "switches"),
    [
        (range(30, 60), 2),
        (range(80, FRAMES), 1),
        (range(20), 1),
        # both changes within second 2, and both people make them
        (range(51, 55), 2),
    ],
    ids=["and back", "to the end", "from the start", "briefly"],
)
def test_swapped_for_a_while(wrong, switches):
    rest = [frame for frame in range(FRAMES) if frame not in wrong]
    swapped = faces("A", LEFT, rest) + faces("B", RIGHT, rest) + faces("B", LEFT, wrong) + faces("A", RIGHT, wrong)
    made = score(tracks_of(swapped), truth_of(BOTH))
    assert shares(made) == (1 - len(wrong) / FRAMES, len(wrong) / FRAMES, 0, 1)
    assert made.switches == switches
    assert [(r.person, r.first_frame, r.last_frame) for r in made.wrong_ranges] == [
        ("A", wrong[0], wrong[-1]), ("B", wrong[0], wrong[-1]),
    ]  # fmt: skip


@pytest.mark.parametrize(("b_from", "switches"), [(50, 1), (60, 1), (74, 1), (75, 2)])
def test_changes_within_one_second_of_the_clock_are_one(b_from, switches):
    swapped = faces("A", LEFT, range(50)) + faces("B", LEFT, range(50, FRAMES))
    swapped += faces("B", RIGHT, range(40)) + faces("A", RIGHT, range(b_from, FRAMES))
    assert score(tracks_of(swapped), truth_of(BOTH)).switches == switches


def test_the_clock_is_that_of_the_scored_file():
    # at a tenth of the rate every frame is 0.4 s, so that 50 and 60 lie in other seconds
    swapped = faces("A", LEFT, range(50)) + faces("B", LEFT, range(50, FRAMES))
    swapped += faces("B", RIGHT, range(40)) + faces("A", RIGHT, range(60, FRAMES))
    made = score(tracks_of(swapped, lambda frame: 400 * frame), truth_of(BOTH))
    assert (made.switches, made.wrong_ranges[0].start) == (2, "00:00:20.000")


def test_the_clock_is_that_of_a_truth_with_pts(tmp_path):
    slow = tracks_of(BOTH, lambda frame: 400 * frame)
    write_tracks(tmp_path / "right.parquet", slow.table, slow.metadata)
    swapped = faces("A", LEFT, range(50)) + faces("B", LEFT, range(50, FRAMES))
    swapped += faces("B", RIGHT, range(40)) + faces("A", RIGHT, range(60, FRAMES))
    made = score(tracks_of(swapped), read_truth(tmp_path / "right.parquet"))
    assert (made.switches, made.wrong_ranges[0].start) == (2, "00:00:20.000")


def test_of_one_second_the_most_changes_of_one_person_count():
    # A in frames 98 and 99, both in second 3; B in frame 50 and in second 3 too
    swapped = faces("A", LEFT, [0, 99]) + faces("C", LEFT, [98]) + faces("B", RIGHT, [0, 99]) + faces("A", RIGHT, [50])
    assert score(tracks_of(swapped), truth_of(BOTH)).switches == 3


def test_times_begin_with_the_video():
    seen = range(40, 60)
    made = score(tracks_of(faces("A", LEFT, seen) + faces("B", MIDDLE, seen)), truth_of(BOTH + faces(None, MIDDLE)))
    assert made.wrong_ranges == (WrongRange(None, 40, 59, "00:00:01.600", "00:00:02.360", "B"),)


def test_a_gap_is_missed_and_the_last_name_is_held():
    made = score(tracks_of(faces("A", LEFT, [*range(30), *range(60, FRAMES)]) + faces("B", RIGHT)), truth_of(BOTH))
    assert shares(made) == (0.85, 0, 0.15, 0.85)
    assert (made.switches, made.wrong_ranges) == (0, ())


def test_a_change_over_a_gap_is_a_switch():
    swapped = faces("A", LEFT, range(30)) + faces("C", LEFT, range(80, FRAMES)) + faces("B", RIGHT)
    made = score(tracks_of(swapped), truth_of(BOTH))
    assert shares(made) == (0.65, 0.1, 0.25, 0.75)
    assert (made.switches, made.names) == (1, {"A": "A", "B": "B"})
    assert [(r.person, r.named_as) for r in made.wrong_ranges] == [("A", "C")]


def test_a_box_without_a_name_is_missed_but_detected():
    unnamed = faces("A", LEFT, range(40)) + faces(None, LEFT, range(40, FRAMES)) + faces("B", RIGHT)
    made = score(tracks_of(unnamed), truth_of(BOTH))
    assert (shares(made), made.switches) == ((0.7, 0, 0.3, 1), 0)


def test_nobody_named_and_nothing_found():
    made = score(tracks_of(faces(None, LEFT)), truth_of(BOTH))
    assert (shares(made), made.names, made.box_error) == ((0, 0, 1, 0.5), {}, 0)
    made = score(tracks_of([]), truth_of(BOTH))
    assert (shares(made), made.names, made.box_error) == ((0, 0, 1, 0), {}, None)


@pytest.mark.parametrize("name", [None, "passer-by"])
def test_a_bystander_named_as_a_main_is_wrong(name):
    truth = truth_of(BOTH + faces(name, MIDDLE))
    astray = faces("A", LEFT) + faces("B", RIGHT, range(80)) + faces("B", MIDDLE, range(80, FRAMES))
    made = score(tracks_of(astray), truth)
    assert (shares(made), made.switches) == ((0.9, 0.1, 0.1, 0.9), 0)
    assert made.wrong_ranges == (WrongRange(None, 80, 99, "00:00:03.200", "00:00:03.960", "B"),)


def test_a_bystander_without_a_name_is_right():
    everybody = BOTH + faces(None, MIDDLE)
    assert shares(score(tracks_of(everybody), truth_of(everybody))) == (1, 0, 0, 1)


def test_a_box_where_nobody_is_does_not_count():
    assert shares(score(tracks_of(BOTH + faces("C", MIDDLE)), truth_of(BOTH))) == (1, 0, 0, 1)


@pytest.mark.parametrize(("near", "far"), [(0.0, 10.0), (5.0, -20.0)])
@pytest.mark.parametrize("doubled", ["C", None])
def test_of_duplicate_boxes_the_best_counts(near, far, doubled):
    made = score(
        tracks_of(BOTH[FRAMES:] + faces("A", LEFT, down=near) + faces(doubled, LEFT, down=far)), truth_of(BOTH)
    )
    assert (shares(made), made.switches) == ((1, 0, 0, 1), 0)
    made = score(
        tracks_of(BOTH[FRAMES:] + faces("A", LEFT, down=far) + faces(doubled, LEFT, down=near)), truth_of(BOTH)
    )
    # the better box has the name C all the time, so that A is C; or it has none
    assert shares(made) == ((1, 0, 0, 1) if doubled else (0.5, 0, 0.5, 1))


def test_one_box_on_two_faces_goes_to_the_nearer():
    close = faces("A", LEFT) + faces("B", LEFT + 30)
    made = score(tracks_of(faces("B", LEFT + 20)), truth_of(close))
    assert (shares(made), made.names) == ((0.5, 0, 0.5, 0.5), {"B": "B"})


def test_the_best_overlap_goes_first_even_if_another_is_left_without():
    # the box between is B's best, and A has no other; B's own box is then free but too far from A
    close = truth_of(faces("A", LEFT) + faces("B", LEFT + 40))
    made = score(tracks_of(faces("A", LEFT + 30) + faces("B", LEFT + 80)), close)
    assert (shares(made), made.names) == ((0.5, 0, 0.5, 0.5), {"A": "B"})


def test_invisible_faces_do_not_count():
    def visible(box: Face) -> bool:
        return box[1] != "B" or box[0] < 50

    late = range(50, FRAMES)
    wrong_there = faces("A", LEFT) + faces("B", RIGHT, range(50)) + faces("C", RIGHT, late)
    for boxes in (BOTH, BOTH[:150], wrong_there):
        made = score(tracks_of(boxes), truth_of(BOTH, visible))
        assert (shares(made), made.faces, made.switches, made.wrong_ranges) == ((1, 0, 0, 1), 150, 0, ())
    unseen = score(tracks_of(BOTH), truth_of(BOTH, lambda box: box[0] < 25))
    assert unseen.visible_seconds == 1.0


def test_an_invisible_bystander_does_not_count():
    truth = truth_of(BOTH + faces(None, MIDDLE), lambda box: box[1] is not None)
    assert score(tracks_of(BOTH + faces("C", MIDDLE)), truth).wrong == 0


def test_a_box_on_a_covered_face_is_not_laid_to_who_covers_it():
    covered = truth_of(faces("A", LEFT) + faces("B", LEFT + 30), lambda box: box[1] == "B")
    made = score(tracks_of(faces("A", LEFT)), covered)
    assert (shares(made), made.wrong_ranges) == ((0, 0, 1, 0), ())


# two squares that share this much: (1 - moved) / (1 + moved)
@pytest.mark.parametrize(("down", "min_iou", "found"), [(40, 0.4, 1), (45, 0.4, 0), (45, 0.3, 1), (0, 1.0, 1)])
def test_threshold(down, min_iou, found):
    moved = faces("A", LEFT, down=down) + faces("B", RIGHT, down=down)
    made = score(tracks_of(moved), truth_of(BOTH), min_iou)
    assert (made.coverage, made.detected, made.missed) == (found, found, 1 - found)
    assert made.box_error == (down / 100 if found else None)


def test_overlap_of_exactly_the_threshold_is_enough():
    made = score(tracks_of(faces("A", LEFT, down=50)), truth_of(faces("A", LEFT)), 1 / 3)
    assert made.coverage == 1


@pytest.mark.parametrize("min_iou", [0, -0.1, 1.1, math.nan])
def test_threshold_that_cannot_be(min_iou):
    with pytest.raises(SettingError, match="more than 0, at most 1"):
        score(tracks_of(BOTH), truth_of(BOTH), min_iou)


def test_box_error_is_the_median_of_all_matches():
    moved = faces("A", LEFT, down=10) + faces("B", RIGHT, range(50), down=20)
    assert score(tracks_of(moved), truth_of(BOTH)).box_error == pytest.approx(0.1)


def test_names_are_bound_to_explain_the_most_faces():
    # C is on A a little longer than A itself, but A fits nobody else
    boxes = faces("A", LEFT, range(40)) + faces("C", LEFT, range(40, FRAMES))
    boxes += faces("C", RIGHT, range(30)) + faces("B", RIGHT, range(30, FRAMES))
    made = score(tracks_of(boxes), truth_of(BOTH))
    assert (made.names, shares(made)) == ({"B": "B", "C": "A"}, (0.65, 0.35, 0, 1))


def test_one_to_one():
    halves = faces("A", LEFT, range(60)) + faces("C", LEFT, range(60, FRAMES))
    made = score(tracks_of(halves), truth_of(faces("A", LEFT)))
    assert (made.names, shares(made), made.switches) == ({"A": "A"}, (0.6, 0.4, 0, 1), 1)


def test_more_than_two():
    four = [box for place, name in enumerate(PERSONS) for box in faces(name, LEFT + 300 * place)]
    turned = [(frame, PERSONS[PERSONS.index(name) - 1], x, y) for frame, name, x, y in four]
    made = score(tracks_of(turned), truth_of(four))
    assert (shares(made), made.names) == ((1, 0, 0, 1), {"A": "B", "B": "C", "C": "D", "D": "A"})


@pytest.mark.parametrize(
    ("truth", "got"),
    [
        (truth_of(faces(None, LEFT)), "persons None"),
        (truth_of(faces("Ada", LEFT)), "persons Ada"),
        (truth_of(BOTH, lambda _: False), "persons A, B"),
        (Truth(Path("in.truth.parquet"), truth_of(BOTH).table.slice(0, 0)), "no rows"),
    ],
)
def test_truth_without_a_main_person(truth, got):
    with pytest.raises(TrackFormatError, match=f"in.truth.parquet has no visible row.*got {got}; expected.*A, B, C, D"):
        score(tracks_of(BOTH), truth)


def test_truth_with_one_main_person():
    made = score(tracks_of(BOTH), truth_of(faces("B", RIGHT)))
    assert (shares(made), made.names) == ((1, 0, 0, 1), {"B": "B"})


@given(st.data())
def test_other_names_change_nothing(data):
    names = [None, "A", "B", "C"]
    places = (LEFT, RIGHT, MIDDLE)
    order = [data.draw(st.permutations(names)) for _ in range(6)]
    frames = [0, 3, 4, 30, 31, 60]
    boxes = [
        (frame, name, place, 0.0)
        for frame, chosen in zip(frames, order, strict=True)
        for place, name in zip(places, chosen, strict=False)
    ]
    truth = truth_of(BOTH + faces(None, MIDDLE))
    made = score(tracks_of(boxes), truth)
    new = dict(zip("ABC", data.draw(st.sampled_from([*permutations("ABC"), *permutations("BCD")])), strict=True))
    renamed = score(tracks_of([(f, name and new[name], x, y) for f, name, x, y in boxes]), truth)
    ranges = sorted(
        (replace(r, named_as=new[r.named_as]) for r in made.wrong_ranges),
        key=lambda r: (r.first_frame, r.last_frame, r.person or "", r.named_as),
    )
    names = dict(sorted((new[name], main) for name, main in made.names.items()))
    assert renamed == replace(made, wrong_ranges=tuple(ranges), names=names)


@given(st.data())
def test_greedy_matching_is_that_of_a_plain_loop(data):
    near = st.lists(st.sampled_from(range(0, 120, 7)), min_size=1, max_size=4, unique=True)
    true, found = data.draw(near), data.draw(near)
    pairs = [(-(100 - abs(t - f)) / (100 + abs(t - f)), t, k) for t in sorted(true) for k, f in enumerate(found)]
    match: dict[int, int] = {}
    for overlap, t, k in sorted(pairs, key=lambda pair: pair[0]):  # stable: of equal ones the earlier
        if overlap <= -0.4 and t not in match and k not in match.values():
            match[t] = k
    mains = [(0, name, float(t), 0.0) for name, t in zip(PERSONS, sorted(true), strict=False)]
    boxes = [(0, name, float(f), 0.0) for name, f in zip(PERSONS, found, strict=False)]
    made = score(tracks_of(boxes), truth_of(mains))
    expected = {PERSONS[k]: PERSONS[sorted(true).index(t)] for t, k in match.items()}
    assert (made.names, made.coverage) == (dict(sorted(expected.items())), pytest.approx(len(match) / len(true)))


def test_the_order_of_the_truth_does_not_matter():
    shuffled = [BOTH[place] for place in np.random.default_rng(0).permutation(len(BOTH))]
    swapped = tracks_of(faces("A", LEFT, range(50)) + faces("B", LEFT, range(50, 100)) + faces("B", RIGHT))
    assert score(swapped, truth_of(shuffled)) == score(swapped, truth_of(BOTH))


class TestReadTruth:
    def write(self, tmp_path, table):
        pq.write_table(table, tmp_path / "truth.parquet")
        return tmp_path / "truth.parquet"

    def test_plain_table(self, tmp_path):
        table = truth_of(BOTH, lambda box: box[0] < 50).table.append_column("pose", pa.nulls(len(BOTH)))
        truth = read_truth(self.write(tmp_path, table))
        assert (truth.metadata, "pose" in truth.table.column_names) == (None, False)
        assert score(tracks_of(BOTH), truth).faces == FRAMES

    def test_other_types_that_fit(self, tmp_path):
        table = truth_of(BOTH, lambda box: box[0] < 50).table
        table = table.set_column(0, "frame_index", table["frame_index"].cast(pa.uint16()))
        table = table.set_column(1, "person", table["person"].dictionary_encode())
        table = table.set_column(2, "x1", table["x1"].cast(pa.int32()))
        table = table.set_column(6, "visible", table["visible"].cast(pa.int64()))
        assert score(tracks_of(BOTH), read_truth(self.write(tmp_path, table))).coverage == 1

    def test_track_file(self, tmp_path):
        right = tracks_of(BOTH + faces(None, MIDDLE))
        write_tracks(tmp_path / "right.tracks.parquet", right.table, right.metadata)
        truth = read_truth(tmp_path / "right.tracks.parquet")
        assert truth.metadata == right.metadata
        made = score(tracks_of(BOTH + faces("C", MIDDLE, range(50))), truth)
        assert (made.coverage, made.wrong) == (1, 0.25)

    @pytest.mark.parametrize("change", [{"frame_count": 90}, {"width": 1280}], ids=str)
    def test_track_file_of_another_video(self, tmp_path, change):
        right = tracks_of(BOTH)
        write_tracks(tmp_path / "right.tracks.parquet", right.table, right.metadata)
        other = replace(right, metadata=replace(right.metadata, video=replace(right.metadata.video, **change)))
        with pytest.raises(TrackMismatchError, match=r"got .*; expected 1920 x 1080 with 100 frames"):
            score(other, read_truth(tmp_path / "right.tracks.parquet"))

    def test_missing_columns(self, tmp_path):
        path = self.write(tmp_path, truth_of(BOTH).table.drop_columns(["person", "y2"]))
        with pytest.raises(TrackFormatError) as caught:
            read_truth(path)
        assert str(caught.value) == (
            f"truth {path} lacks person, y2; got frame_index, x1, y1, x2; expected these too; a truth is a track file, "
            "or a table with the columns frame_index, person, x1, y1, x2, y2 and optionally visible"
        )

    @pytest.mark.parametrize(
        ("name", "values", "message"),
        [
            ("x1", ["a"], "column x1; got type string; expected double"),
            ("x1", [[1.0]], "column x1; got type list.*; expected double"),
            ("frame_index", [1.5], "column frame_index; got type double; expected int64"),
            ("frame_index", [None], "column frame_index; got 1 nulls; expected a value"),
            ("visible", pa.array([None], pa.bool_()), "column visible; got 1 nulls"),
            ("x2", [100.0], "row 0; got x1, y1, x2, y2 = 100, 100, 100, 200; expected finite numbers, x1 < x2"),
            ("y1", [math.nan], "row 0; got .* = 100, nan, 200, 200; expected finite"),
        ],
    )
    def test_bad_values(self, tmp_path, name, values, message):
        table = truth_of(BOTH[:1], lambda _: True).table
        path = self.write(tmp_path, table.set_column(table.column_names.index(name), name, pa.array(values)))
        with pytest.raises(TrackFormatError, match=f"truth .*{message}") as caught:
            read_truth(path)
        assert "\n" not in str(caught.value)

    def test_person_twice_in_a_frame(self, tmp_path):
        twice = [*BOTH[:3], (1, "A", RIGHT, 0.0), (1, "extra", LEFT, 0.0), (1, "extra", LEFT, 0.0)]
        path = self.write(tmp_path, truth_of(twice).table)
        with pytest.raises(TrackFormatError, match="row 3, column person; got A again in frame 1; expected once"):
            read_truth(path)

    def test_column_twice(self, tmp_path):
        table = truth_of(BOTH).table
        path = self.write(tmp_path, table.append_column("x1", table["x1"]))
        with pytest.raises(TrackFormatError, match="several columns x1"):
            read_truth(path)

    def test_files_that_are_no_truth(self, tmp_path):
        with pytest.raises(TrackFileNotFoundError, match="there is no truth"):
            read_truth(tmp_path / "none.parquet")
        with pytest.raises(TrackFileError, match="cannot read truth"):
            read_truth(tmp_path)
        (tmp_path / "text").write_text("not Parquet", encoding="utf-8")
        with pytest.raises(TrackFormatError, match="not a whole Parquet file"):
            read_truth(tmp_path / "text")


def printed(made, width=80) -> str:
    stream = io.StringIO()
    print_score(made, Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


def test_printed():
    boxes = faces("A", LEFT, range(75)) + faces("B", LEFT, range(75, FRAMES)) + faces("B", MIDDLE, [3])
    boxes += faces("B", RIGHT, range(10, 75))
    text = printed(score(tracks_of(boxes), truth_of(BOTH + faces(None, MIDDLE))))
    assert "in.tracks.parquet against in.truth.parquet, overlap of at least 0.4" in text
    assert "200 true faces in 4.0 s; A is A, B is B of the truth" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["70.00%", "13.00%", "17.50%", "82.50%", "1", "15.00", "0.000"] in lines
    assert ["00:00:00.120", "00:00:00.120", "bystander", "B", "3", "to", "3"] in lines
    assert ["00:00:03.000", "00:00:03.960", "A", "B", "75", "to", "99"] in lines


def test_printed_when_all_is_right_or_nothing_is():
    assert "Nothing is named wrong." in printed(score(tracks_of(BOTH), truth_of(BOTH)))
    text = printed(score(tracks_of([]), truth_of(BOTH)))
    assert "nobody is named" in text
    assert ["0.00%", "0.00%", "100.00%", "0.00%", "0", "0.00", "-"] in [line.split() for line in text.splitlines()]


def test_a_video_without_a_frame_rate():
    still = tracks_of(BOTH)
    still = replace(still, metadata=replace(still.metadata, video=replace(still.metadata.video, fps=Fraction(0))))
    made = score(still, truth_of(BOTH))
    assert (made.coverage, made.visible_seconds, made.switches_per_minute) == (1, 0, None)
    assert "-" in printed(made).split()


def test_a_long_list_is_printed_in_part():
    flicker = faces("A", LEFT, range(0, FRAMES, 2)) + faces("C", LEFT, range(1, FRAMES, 2)) + faces("B", RIGHT)
    made = score(tracks_of(flicker), truth_of(BOTH))
    assert (len(made.wrong_ranges), made.switches) == (50, 99)
    assert f"and {50 - MAX_PRINTED} more; all with --json" in printed(made)


def test_as_dict_is_json():
    swapped = tracks_of(faces("A", LEFT, range(50)) + faces("B", LEFT, range(50, 100)) + faces("B", RIGHT))
    made = score(swapped, truth_of(BOTH))
    values = json.loads(json.dumps(made.as_dict(), allow_nan=False))
    assert values["wrong_ranges"][0]["start"] == format_timecode(2)
    assert type(made).from_dict(values) == made
