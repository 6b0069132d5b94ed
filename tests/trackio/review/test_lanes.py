"""The timeline and the history, against tables counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.trackio.edits.operations import Anchor, Batch, Boxes, Delete, Merge, Split, Swap
from dft.trackio.edits.session import Edits
from dft.trackio.files import read_tracks
from dft.trackio.review.columns import Columns
from dft.trackio.review.history import history, in_words, span_of, spans
from dft.trackio.review.lanes import lanes


@pytest.fixture(scope="module")
def tracks(media, written, tmp_path_factory):
    return read_tracks(written(media("closed gop"), tmp_path_factory.mktemp("lanes") / "in.tracks.parquet"))


@pytest.fixture(scope="module")
def columns(tracks):
    return Columns.of(tracks.table)


def test_a_step_per_frame(tracks, columns):
    made = lanes(columns, tracks.metadata, [], (0, 49), 1000)
    assert made["buckets"] == 50
    assert made["left"] == [0 if frame == 20 else 1 for frame in range(50)]
    assert made["right"] == [2 if 30 <= frame <= 33 else 1 for frame in range(50)]
    assert made["bystanders"] == [1 if 40 <= frame <= 44 else 0 for frame in range(50)]
    assert made["distance"][20] is None and made["distance"][12] == 1.5 and made["distance"][0] == 2.5
    # track 1 has margin 3, 12 has 1.5, 2 had no choice, and of 11 nothing is known
    assert made["appearance"] == [None if f == 20 else 3.0 if f < 25 else 1.5 for f in range(50)]
    assert made["cuts"] == [25]


def test_a_step_tells_the_worst_of_its_frames(tracks, columns):
    made = lanes(columns, tracks.metadata, [(3, 4, 1), (12, 30, 2), (45, 49, 3)], (10, 34), 5)
    assert (made["first"], made["last"], made["buckets"]) == (10, 34, 5)
    assert made["right"] == [1, 1, 1, 1, 4] and made["left"] == [1, 1, 1, 1, 1]
    assert made["distance"] == [1.5, 2.5, 2.5, 2.5, 2.5]
    assert made["edits"] == [[12, 30, 2]] and made["cuts"] == [25]
    assert lanes(columns, tracks.metadata, [], (28, 36), 1)["right"] == [4]


@settings(deadline=None)
@given(st.integers(0, 49), st.integers(0, 49), st.integers(1, 60))
def test_lanes_of_any_range_agree_with_those_of_frames(tracks, columns, one, other, buckets):
    first, last = sorted((one, other))
    made = lanes(columns, tracks.metadata, [], (first, last), buckets)
    single = lanes(columns, tracks.metadata, [], (0, 49), 50)
    step = (np.arange(first, last + 1) - first) * made["buckets"] // (last - first + 1)
    assert made["buckets"] == min(buckets, last - first + 1) == len(made["left"]) == len(made["distance"])
    for place in range(made["buckets"]):
        frames = first + np.flatnonzero(step == place)
        for lane in ("left", "right", "bystanders"):
            ways = {single[lane][frame] for frame in frames} - {0}
            assert made[lane][place] == (4 if len(ways) > 1 else max(ways, default=0))
        near = [single["distance"][frame] for frame in frames if single["distance"][frame] is not None]
        assert made["distance"][place] == min(near, default=None)


def test_a_file_that_says_nothing_of_its_tracks_has_no_appearance(tracks, columns):
    assert lanes(columns, replace(tracks.metadata, tracks=()), [], (0, 49), 5)["appearance"] is None


def test_one_person_has_no_distance(tracks, columns):
    assert lanes(columns, replace(tracks.metadata, persons=("A",)), [], (0, 49), 5)["distance"] == [None] * 5


def test_rows_by_frame(columns):
    rows = columns.by_frame(30, 31)
    assert list(rows) == ["30", "31"]
    assert rows["30"][1] == [12, "B", "right", 60.0, 20.0, 76.0, 40.0, "interpolated", 0.0]
    assert columns.by_frame(40, 40)["40"][2][:3] == [17, None, None]


@pytest.mark.parametrize(
    ("operation", "span"),
    [
        (Swap(3, 9), (3, 9)), (Split(1, 7), (7, 7)), (Anchor(5, "A"), (5, 5)), (Merge(1, 2), None),
        (Boxes(1, None, (4, 8), ((1.0, 1.0, 2.0, 2.0), (1.0, 1.0, 2.0, 2.0))), (4, 8)),
        (Batch((Delete(1, 20, 30), Merge(1, 2), Swap(3, 9))), (3, 30)), (Batch((Merge(1, 2),)), None),
    ],
)  # fmt: skip
def test_the_frames_of_operations(operation, span):
    assert span_of(operation) == span


def test_a_batch_of_a_few_tells_each():
    few, many = Batch((Swap(3, 9), Split(1, 7))), Batch((Swap(3, 9),) * 4)
    assert in_words(few) == "swap A and B in frames 3 to 9; split track 1 before frame 7"
    assert in_words(many) == "batch: 4 swap"


def test_history(media, written, tmp_path):
    edits = Edits(written(media("closed gop"), tmp_path / "in.tracks.parquet"))
    edits.do(Swap(3, 9), author="ann")
    edits.do(Anchor(3, "A"), author="bob")
    edits.undo(author="ann")
    listed = [(e["number"], e["action"], e["author"], e["first_frame"], e["in_effect"]) for e in history(edits.log)]
    assert listed == [(1, "do", "ann", 3, True), (2, "do", "bob", 3, False), (3, "undo", "ann", 3, False)]
    assert spans(edits.log) == [(3, 9, 1)]
