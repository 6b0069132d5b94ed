"""Each operation on a talk whose outcome can be told by hand (see ``talk_file``)."""

import re
from itertools import pairwise

import numpy as np
import pytest

from dft.configs.errors import EditError
from dft.trackio.edits.actions import contradicted, do
from dft.trackio.edits.gaps import propose
from dft.trackio.edits.operations import (
    Anchor,
    Assign,
    Batch,
    Box,
    Boxes,
    Delete,
    Interpolate,
    Mark,
    Merge,
    SetSide,
    Split,
    Swap,
    operation_from_dict,
)
from dft.trackio.edits.replay import replay
from dft.trackio.edits.rows import Rows
from dft.trackio.validate import problems

LAST = 39


@pytest.fixture
def after(talk_file):
    """The rows after operations, by frame and track."""

    def run(*operations, file=talk_file):
        made = replay(file, operations)
        assert problems(made.table, made.metadata) == []
        return {(row["frame_index"], row["track_id"]): row for row in made.table.to_pylist()}

    return run


def names(rows, frame):
    """Person and side of each track in a frame."""
    return {track: (row["person"], row["side"]) for (at, track), row in rows.items() if at == frame}


def test_without_operations_it_is_the_file_itself(talk_file):
    assert replay(talk_file, []) is talk_file


def test_swap_exchanges_persons_with_their_sides_and_leaves_others(after):
    rows = after(Swap(4, 8))
    assert names(rows, 3) == {1: ("A", "left"), 2: ("B", "right"), 7: (None, None)}
    assert names(rows, 4) == {8: ("B", "right"), 9: ("A", "left"), 7: (None, None)}
    assert names(rows, 6) == {9: ("A", "left"), 7: (None, None)}, "who is there alone, too"
    assert names(rows, 9) == {1: ("A", "left"), 2: ("B", "right")}
    assert rows[4, 8]["x1"] == 104 and rows[4, 8]["landmarks"] == [104] * 10 and rows[4, 8]["mood"] == "m4"


def test_a_whole_swap_needs_no_new_ids(after):
    assert names(after(Swap(0, LAST)), 20) == {1: ("B", "right"), 2: ("A", "left")}


def test_sides_that_follow_the_places_stay(after, make_file):
    rows = [(f, 1, "A", "left", 100.0) for f in range(9)] + [(f, 2, "B", "right", 400.0) for f in range(9)]
    swapped = after(Swap(0, LAST), file=make_file(rows, assign="position"))
    assert names(swapped, 0) == {1: ("B", "left"), 2: ("A", "right")}


def test_split_gives_the_later_part_a_new_id(after):
    rows = after(Split(1, 20))
    assert names(rows, 19) == {1: ("A", "left"), 2: ("B", "right")}
    assert names(rows, 20) == {8: ("A", "left"), 2: ("B", "right")}
    assert {track for _, track in after(Split(1, 20), Split(8, 30))} == {1, 2, 7, 8, 9}


def test_a_new_id_is_never_used_twice(after):
    rows = after(Split(1, 20), Delete(8, 0, LAST), Split(1, 10))
    assert {track for _, track in rows} == {1, 2, 7, 9}


@pytest.mark.parametrize(
    ("both", "first", "second"),
    [("first", 2, 0), ("second", 0, 2), ("higher_score", 0, 2)],
)
def test_merge_keeps_one_box_a_frame(after, make_file, both, first, second):
    file = make_file([(f, 1, "A", "left", 100.0) for f in (0, 1, 2)] + [(f, 5, None, None, 200.0) for f in (1, 2, 3)])
    rows = after(Merge(1, 5, both), file=file)
    assert set(rows) == {(0, 1), (1, 1), (2, 1), (3, 1)}
    assert [rows[f, 1]["x1"] for f in (1, 2)].count(100.0) == first
    assert [rows[f, 1]["x1"] for f in (1, 2)].count(200.0) == second
    assert rows[3, 1]["person"] == "A" and rows[3, 1]["side"] == "left"


def test_merge_may_leave_nothing_of_the_other(after, make_file):
    file = make_file([(0, 1, "A", "left", 0.0), (0, 2, None, None, 9.0)])
    assert names(after(Merge(1, 2, "first"), file=file), 0) == {1: ("A", "left")}
    assert names(after(Merge(2, 1, "first"), file=file), 0) == {2: ("A", "left")}


def test_merge_into_a_bystander_gives_it_the_person(after, make_file):
    file = make_file([(0, 1, None, None, 0.0), (1, 2, "B", "right", 0.0)])
    assert names(after(Merge(1, 2), file=file), 0) == {1: ("B", "right")}


def test_merge_gives_one_person_the_others_rows(after, make_file):
    file = make_file([(0, 1, "A", "left", 0.0), (1, 2, "B", "right", 0.0), (2, 2, None, None, 0.0)])
    rows = after(Merge(1, 2), file=file)
    assert [rows[f, 1]["person"] for f in range(3)] == ["A", "A", None]


def test_assign_takes_the_side_of_the_nearest_moment(after, make_file):
    """A is left at first, then right: who becomes A gets the side of that time."""
    rows = [(f, 1, "A", "left", 0.0) for f in range(5)] + [(f, 1, "A", "right", 0.0) for f in range(30, 35)]
    file = make_file([*rows, (7, 4, None, None, 0.0), (28, 4, None, None, 0.0), (33, 4, None, None, 50.0)])
    assigned = after(Assign(4, "A", 0, 30), file=file)
    assert [assigned[f, 4]["side"] for f in (7, 28, 33)] == ["left", "right", None]
    taken = after(Assign(4, "A", 0, LAST, take=True), file=file)
    assert names(taken, 33) == {1: (None, None), 4: ("A", "right")}
    assert names(taken, 32) == {1: ("A", "right")}


def test_assign_leaves_a_side_to_who_has_it(after, make_file):
    file = make_file([(0, 1, "A", "left", 0.0), (1, 2, "B", "left", 0.0), (1, 3, None, None, 0.0)])
    assert names(after(Assign(3, "A", 0, LAST), file=file), 1) == {2: ("B", "left"), 3: ("A", None)}


def test_a_person_without_any_box_gets_the_free_side(after, make_file):
    file = make_file([(0, 1, "A", "left", 0.0), (0, 3, None, None, 0.0)], persons=("A",))
    assert names(after(Assign(3, "B", 0, LAST), file=file), 0) == {1: ("A", "left"), 3: ("B", "right")}
    made = replay(file, [Assign(3, "B", 0, LAST)]).metadata
    assert made.persons == ("A", "B") and [track.person for track in made.tracks] == ["A", "B"]


def test_a_third_person_gets_no_side(after, make_file):
    rows = [(0, 1, "A", "left", 0.0), (0, 2, "B", "right", 0.0), (1, 3, None, None, 0.0)]
    file = make_file(rows, persons=("A", "B", "C"))
    assert names(after(Assign(3, "C", 0, LAST), file=file), 1) == {3: ("C", None)}


def test_a_bystander_has_neither_name_nor_side(after):
    rows = after(Assign(1, None, 10, 12))
    assert [rows[f, 1]["person"] for f in (9, 10, 12, 13)] == ["A", None, None, "A"]
    assert rows[10, 1]["side"] is None


def test_delete(after):
    assert {f for f, track in after(Delete(7, 4, LAST)) if track == 7} == {3}


def test_interpolation_is_linear_in_time_and_certain_of_nothing(after, talk_file):
    rows = after(Interpolate(1, 0, LAST))
    pts = {row["frame_index"]: row["pts"] for row in talk_file.table.to_pylist()}
    for frame in (5, 6, 7):
        share = (pts[frame] - pts[4]) / (pts[8] - pts[4])
        row = rows[frame, 1]
        assert row["x1"] == pytest.approx(104 + 4 * share, abs=1e-4)
        assert (row["person"], row["side"], row["origin"]) == ("A", "left", "interpolated")
        assert (row["score"], row["landmarks"], row["pts"], row["mood"]) == (0, None, pts[frame], None)


def test_a_proposal_is_what_is_done_and_changes_nothing(talk_file):
    rows = Rows(talk_file)
    wish = Interpolate(1, 6, LAST)
    proposal = propose(rows, wish)
    assert proposal.frame_index.tolist() == [6, 7] and proposal.gaps == ((6, 7),) and proposal.refused == ()
    assert len(rows.track(1)) == 37
    do(rows, wish)
    track = rows.track(1)
    added = track[np.isin(rows.frame[track], [6, 7])]
    assert np.array_equal(rows.boxes[added], proposal.boxes_xyxy)


def test_interpolation_stops_at_cuts_lengths_and_doubles(make_file):
    rows = [(f, 1, "A", "left", 0.0) for f in (2, 8, 11, 14)] + [(10, 3, "A", "left", 9.0), (9, 4, None, None, 9.0)]
    made = Rows(make_file(rows))
    assert propose(made, Interpolate(1, 0, LAST, 0.2)).refused == (
        "frames 3 to 7: 0.26 s are longer than 0.2 s",
        "frames 9 to 10: its person has a box in frame 10 already",
        "frames 12 to 13: a cut lies between",
    )
    with pytest.raises(EditError, match="nothing to fill; got frames 3 to 7: "):
        do(made, Interpolate(1, 0, LAST, 0.2))


def test_a_moved_box_is_a_keyframe(after):
    rows = after(Box(10, (200.0, 60.0, 260.0, 130.0), 1))
    row = rows[10, 1]
    assert [row[name] for name in ("x1", "y1", "x2", "y2")] == [200, 60, 260, 130]
    assert (row["origin"], row["score"], row["landmarks"], row["person"]) == ("manual", 1, None, "A")
    assert rows[9, 1]["x1"] == 109 and rows[11, 1]["landmarks"] == [111] * 10


def test_interpolated_boxes_follow_a_keyframe(after):
    rows = after(Interpolate(1, 0, LAST), Box(6, (306.0, 50.0, 356.0, 110.0), 1))
    pts = {frame: row["pts"] for (frame, track), row in rows.items() if track == 1}
    shares = [(pts[f] - pts[f - 1]) / (pts[f + 1] - pts[f - 1]) for f in (5, 7)]
    assert rows[5, 1]["x1"] == pytest.approx(104 + (306 - 104) * shares[0], abs=1e-3)
    assert rows[7, 1]["x1"] == pytest.approx(306 + (108 - 306) * shares[1], abs=1e-3)
    assert rows[5, 1]["origin"] == "interpolated" and rows[4, 1]["x1"] == 104 and rows[8, 1]["x1"] == 108


def test_blend_fades_out_up_to_a_keyframe_and_the_cut(after):
    moved = (216.0, 50.0, 266.0, 110.0)  # 100 pixels to the right of where track 1 is in frame 16
    rows = after(Box(14, (114.0, 50.0, 164.0, 110.0), 1), Box(16, moved, 1, blend_seconds=10.0))
    shift = {f: rows[f, 1]["x1"] - (100 + f) for f in range(8, 40)}
    assert shift[16] == 100 and shift[14] == 0 and 0 < shift[15] < 100
    assert shift[13] == shift[11] == shift[25] == 0, "before the keyframe, and behind cuts"
    assert 100 > shift[17] > shift[18] > shift[24] > 0
    assert rows[17, 1]["origin"] == "detected" and rows[17, 1]["landmarks"] is None


def test_added_boxes(after):
    rows = after(Box(6, (300.0, 50.0, 350.0, 110.0), 1))
    assert rows[6, 1]["person"] == "A" and rows[6, 1]["side"] == "left" and rows[6, 1]["origin"] == "manual"
    assert after(Box(35, (300.0, 50.0, 350.0, 110.0), None, "B"))[35, 8]["person"] == "B"
    assert after(Box(0, (300.0, 50.0, 350.0, 110.0)))[0, 8]["person"] is None


def test_boxes_move_and_add_without_touching_others(after):
    boxes = tuple((300.0 + f, 50.0, 350.0 + f, 110.0) for f in (4, 5, 6))
    rows = after(Interpolate(1, 0, 5), Boxes(1, "A", (4, 6, 8), boxes))
    assert [rows[f, 1]["x1"] for f in (4, 6, 8)] == [304, 305, 306]
    assert rows[5, 1]["x1"] == pytest.approx(105, abs=1)


def test_a_side_is_exchanged_with_who_has_it(after):
    rows = after(SetSide("A", "right", 20, 35))
    assert names(rows, 20) == {1: ("A", "right"), 2: ("B", "left")}
    assert names(rows, 35) == {1: ("A", "right")} and names(rows, 36) == {1: ("A", "left")}
    assert names(after(SetSide("A", None, 20, 20)), 20) == {1: ("A", None), 2: ("B", "right")}


def test_marks_are_states_of_suspects(talk_file):
    assert [suspect.state for suspect in talk_file.metadata.suspects] == [None, None]
    marked = replay(talk_file, [Mark("gap", 3, 4, "accepted")])
    assert [suspect.state for suspect in marked.metadata.suspects] == ["accepted", None]
    again = replay(talk_file, [Mark("gap", 3, 4, "accepted"), Mark("gap", 3, 4, "open")])
    assert [suspect.state for suspect in again.metadata.suspects] == [None, None]


@pytest.mark.parametrize(
    ("operation", "contradicts"),
    [
        (Swap(18, 25), True),
        (Swap(0, 19), False),
        (Assign(1, None, 20, 20), True),
        (Assign(2, "A", 20, 20, take=True), True),
        (Delete(1, 0, 20), True),
        (Delete(2, 0, LAST), False),
        (SetSide("A", "right", 0, LAST), False),
        (Merge(2, 1, "first"), True),
        (Batch((Swap(0, LAST), Swap(0, LAST))), False),
    ],
    ids=lambda value: value.words() if hasattr(value, "words") else "",
)
def test_anchors(talk_file, operation, contradicts):
    before = Rows(talk_file)
    do(before, Anchor(20, "A"))
    rows = before.copy()
    do(rows, operation)
    assert [(pin.frame, pin.person) for pin in contradicted(rows, before)] == ([(20, 0)] if contradicts else [])


def test_an_anchor_warns_once(talk_file):
    states = [Rows(talk_file)]
    for operation in (Anchor(20, "A"), Swap(18, 25), Delete(7, 0, LAST), Swap(20, 20), Swap(20, 20)):
        states.append(states[-1].copy())
        do(states[-1], operation)
    found = [len(contradicted(after, before)) for before, after in pairwise(states)]
    assert found == [0, 1, 0, 0, 1], "not again by another operation, but again after it was right again"


@pytest.mark.parametrize(
    ("operation", "message", "frames"),
    [
        (Swap(0, 40), "no such frame; got 40; expected 0 to 39", 0),
        (Swap(0, 1, ("A", "C")), "no such person in these tracks; got C; expected one of A, B", 0),
        (Split(5, 3), "there is no track 5; list them", 0),
        (Split(1, 0), "it would stay whole; got frames 0 to 39", 0),
        (Merge(1, 2), "both have boxes; got 27 frames: 0, 1, 2, 3, 4, ...;", 27),
        (Assign(7, "A", 0, LAST), "A has another box; got 2 frames: 3, 4; expected at most one in each frame", 2),
        (Assign(7, "A", 20, LAST), "the track has no box there; got a track in frames 3 to 6", 0),
        (Delete(7, 20, LAST), "the track has no box there", 0),
        (Interpolate(2, 0, LAST), "nothing to fill; got no gap in the range", 0),
        (Interpolate(5, 0, LAST), "there is no such track; got 5", 0),
        (Box(4, (0.0, 0.0, 9.0, 9.0), None, "A"), "A has a box; got 1 frame: 4;", 1),
        (Box(4, (1000.0, 0.0, 1009.0, 9.0), 1), "box in frame 4; got .*; expected .*near the picture of 640x360", 1),
        (Boxes(None, "A", (4, 5, 8), ((0.0, 0.0, 9.0, 9.0),) * 3), "A has a box; got 2 frames: 4, 8", 2),
        (SetSide("B", "left", 30, LAST), "B has no box there", 0),
        (Mark("gap", 3, 5, "fixed"), "there is no such suspect", 0),
        (Anchor(6, "A"), "A has no box there; assign a track to them first", 0),
        (Batch((Delete(7, 0, LAST), Delete(7, 0, LAST))), "there is no track 7", 0),
    ],
    ids=lambda value: value.words() if hasattr(value, "words") else "",
)
def test_what_the_tracks_do_not_allow(talk_file, operation, message, frames):
    with pytest.raises(EditError, match=message) as caught:
        do(Rows(talk_file), operation)
    assert len(caught.value.frames) == frames


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"op": "swap", "first_frame": 5, "last_frame": 4}, "swap: frames; got 5 to 4"),
        ({"op": "swap", "first_frame": 5, "last_frame": 6, "persons": ["A"]}, "swap: persons"),
        ({"op": "swap", "first_frame": 5}, "swap: last_frame is missing"),
        ({"op": "swap", "first_frame": 5, "last_frame": 6.5}, "last_frame; got 6.5; expected a whole number"),
        ({"op": "swap", "first_frame": 5, "last_frame": 6, "mood": 1}, "swap has no mood"),
        ({"op": "assign", "track_id": 1, "person": "Z", "first_frame": 0, "last_frame": 1}, "person; got Z"),
        ({"op": "merge", "track_id": 1, "other_id": 1}, "merge: tracks; got 1 twice"),
        ({"op": "merge", "track_id": 1, "other_id": 2, "both": "worst"}, "both; got worst; expected one of refuse"),
        ({"op": "box", "frame": 1, "box": [1, 2, 3]}, "box: box; got"),
        ({"op": "box", "frame": 1, "box": [1, 2, 1, 3]}, "box: box; got"),
        ({"op": "box", "frame": 1, "box": [1, 2, 3, 4], "track_id": 1, "person": "A"}, "none: the track has one"),
        ({"op": "boxes", "track_id": 1, "person": None, "frames": [2, 1], "boxes": []}, "boxes: frames"),
        ({"op": "boxes", "track_id": 1, "person": None, "frames": [2], "boxes": []}, "boxes: boxes; got 0"),
        ({"op": "side", "person": "A", "side": "up", "first_frame": 0, "last_frame": 1}, "side: side; got up"),
        ({"op": "mark", "kind": "gap", "first_frame": 0, "last_frame": 1, "state": "odd"}, "mark: state; got odd"),
        ({"op": "interpolate", "track_id": 1, "first_frame": 0, "last_frame": 1, "max_seconds": 0}, "seconds; got 0"),
        ({"op": "batch", "operations": []}, "batch: operations; got none"),
        ({"op": "batch", "operations": [{"op": "anchor"}]}, "anchor: frame is missing"),
        ({"op": "batch", "operations": 5}, "operations; got 5; expected a list"),
        ({"op": "dance"}, "unknown operation; got 'dance'"),
        ([], "unknown operation; got None"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_operation(values, message):
    with pytest.raises(EditError, match=re.escape(message)):
        operation_from_dict(values)
