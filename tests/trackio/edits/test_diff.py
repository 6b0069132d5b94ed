"""Where two track files differ, and the operations that make one into the other."""

import pytest

from dft.configs.errors import EditError, TrackMismatchError
from dft.trackio.edits.diff import diff
from dft.trackio.edits.imports import edits_from_diff
from dft.trackio.edits.operations import Assign, Batch, Box, Boxes, Delete, Interpolate, SetSide, Split, Swap
from dft.trackio.edits.replay import replay
from dft.trackio.edits.session import Edits


def found(a, b, **options):
    return [(d.person, d.kind, d.first_frame, d.last_frame, d.frames, d.note) for d in diff(a, b, **options)]


BOX = (300.0, 50.0, 350.0, 110.0)


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([], []),
        ([Split(1, 20)], []),
        ([Swap(20, 24)], [("A", "person", 20, 24, 5, "is now B"), ("B", "person", 20, 24, 5, "is now A")]),
        ([Swap(4, 8)], [  # A is not seen in frames 5 to 7
            ("A", "person", 4, 4, 1, "is now B"), ("B", "person", 4, 8, 5, "is now A"),
            ("A", "added", 5, 7, 3, "only in the second"), ("A", "person", 8, 8, 1, "is now B"),
        ]),
        ([Assign(2, None, 20, 39)], [
            (None, "added", 20, 29, 10, "more of them in the second"),
            ("B", "person", 20, 29, 10, "is now a bystander"),
        ]),
        ([Delete(7, 5, 6)], [(None, "removed", 5, 6, 2, "fewer of them in the second")]),
        ([Delete(2, 5, 6)], [("B", "removed", 5, 6, 2, "only in the first")]),
        ([Interpolate(1, 0, 39)], [("A", "added", 5, 7, 3, "only in the second")]),
        ([Box(30, BOX, 1), Box(31, BOX, 1)], [("A", "box", 30, 31, 2, "by up to 170.0 pixels")]),
        ([Box(4, BOX, 7)], [(None, "box", 4, 4, 1, "elsewhere")]),
        ([SetSide("A", "right", 28, 31)], [
            ("B", "side", 28, 29, 2, "right is now left"), ("A", "side", 28, 31, 4, "left is now right"),
        ]),
        ([SetSide("A", None, 0, 1), SetSide("A", "right", 2, 4)], [
            ("A", "side", 0, 1, 2, "left is now none"), ("A", "side", 2, 4, 3, "left is now right"),
            ("B", "side", 2, 4, 3, "right is now left"),
        ]),
    ],
    ids=lambda value: str([item.words() for item in value if hasattr(item, "words")]),
)  # fmt: skip
def test_differences_are_ranges(talk_file, operations, expected):
    assert found(talk_file, replay(talk_file, operations)) == expected


def test_a_gap_does_not_break_a_range_but_a_frame_that_is_equal_does(talk_file):
    """Track 1 has no frames 5 to 7."""
    away = replay(talk_file, [Delete(2, 0, 39), SetSide("A", "right", 3, 9)])
    assert found(replay(talk_file, [Delete(2, 0, 39)]), away) == [("A", "side", 3, 9, 4, "left is now right")]
    back = replay(away, [SetSide("A", "left", 8, 8)])
    assert [(d.first_frame, d.last_frame) for d in diff(talk_file, back) if d.kind == "side"] == [(3, 4), (9, 9)]


def test_small_moves_are_no_difference(talk_file):
    moved = replay(talk_file, [Box(10, (110.4, 50.0, 160.4, 110.0), 1)])
    assert found(talk_file, moved) == []
    assert [(d.kind, d.note) for d in diff(talk_file, moved, 0.3)] == [("box", "by up to 0.4 pixels")]


def test_words_and_json(talk_file):
    (difference,) = diff(talk_file, replay(talk_file, [Delete(2, 5, 6)]))
    assert difference.words() == ("00:00:00.200 to 00:00:00.217  frames 5 to 6  B: removed, only in the first")
    assert difference.as_dict()["person"] == "B" and difference.as_dict()["start"] == "00:00:00.200"


@pytest.mark.parametrize(
    "operations",
    [
        [Swap(4, 8)],
        [Swap(0, 39)],
        [Swap(2, 3), Swap(20, 29)],
        [Assign(1, None, 10, 20)],
        [Delete(7, 4, 5)],
        [SetSide("A", "right", 10, 20)],
    ],
    ids=str,
)
def test_imports_are_the_operations_that_a_person_would_have_made(talk_file, operations):
    made = edits_from_diff(talk_file, replay(talk_file, operations))
    words = [operation.words().replace(", taken from other tracks", "") for operation in made]
    rest = [word for word in words if not word.startswith("B is")]  # the side of the other follows by itself
    assert rest == [operation.words() for operation in operations]


def test_moved_and_added_boxes_are_imported_by_track(talk_file):
    corrected = replay(talk_file, [Box(30, BOX, 1), Box(33, BOX, 1), Box(6, BOX, 1), Box(0, BOX)])
    made = edits_from_diff(talk_file, corrected)
    assert [operation.words() for operation in made] == [
        "2 boxes of track 1 in frames 30 to 33", "1 boxes of track 1 in frame 6", "1 boxes of a new track in frame 0",
    ]  # fmt: skip
    assert found(replay(talk_file, made), corrected, tolerance=0) == []


def test_boxes_within_the_tolerance_are_left(talk_file):
    corrected = replay(talk_file, [Box(30, (130.005, 50.0, 180.0, 110.0), 1)])
    assert edits_from_diff(talk_file, corrected) == ()
    (moved,) = edits_from_diff(talk_file, corrected, 0.001)
    assert isinstance(moved, Boxes) and moved.frames == (30,)


def test_imports_begin_with_the_edits_that_there_are(talk_file, talk_path):
    """Ids that were used up by edits are not used again, so operations on new ids must know them."""
    edits = Edits(talk_path)
    for operation in (Split(1, 20), Delete(8, 0, 39), Swap(4, 8)):
        edits.do(operation)
    corrected = replay(talk_file, [Swap(10, 12), Assign(1, None, 30, 33), Box(6, BOX, 1), Split(2, 4)])
    made = edits.edits_to(corrected)
    edits.do(Batch(made))
    assert found(edits.current(), corrected, tolerance=0.01) == []
    assert edits.revision == 4
    assert edits.edits_to(corrected) == ()
    edits.undo()
    assert found(edits.current(), replay(talk_file, [Split(1, 20), Delete(8, 0, 39), Swap(4, 8)])) == []


def test_other_videos_and_persons_are_refused(talk_file, make_file):
    other = make_file([(0, 1, "C", None, 0.0)], persons=("A", "B", "C"))
    with pytest.raises(EditError, match="no such person"):
        edits_from_diff(talk_file, other)
    object.__setattr__(other.metadata.video, "frame_count", 30)
    for function in (diff, edits_from_diff):
        with pytest.raises(TrackMismatchError, match="of another video"):
            function(talk_file, other)
