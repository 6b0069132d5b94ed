"""The queue and the decision cards."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dft.engines.probe import scan
from dft.trackio.edits.exchanges import with_exchanges
from dft.trackio.edits.operations import Swap
from dft.trackio.edits.replay import replay
from dft.trackio.edits.times import FrameTimes
from dft.trackio.files import TrackFile, read_tracks
from dft.trackio.metadata import Suspect
from dft.trackio.review.cards import card
from dft.trackio.review.columns import Columns
from dft.trackio.review.queue import queue

CUT = 25


@pytest.fixture
def made(media, written, tmp_path):
    """A track file with another list of suspects, and columns of it."""

    def make(*suspects: Suspect, swapped=None) -> TrackFile:
        path = written(media("closed gop"), tmp_path / "in.tracks.parquet", swapped, suspects=suspects)
        return read_tracks(path)

    return make


def card_of(track_file: TrackFile):
    (suspect,) = track_file.metadata.suspects
    return card(suspect, Columns.of(track_file.table), track_file.metadata, FrameTimes(track_file))


def suspect(kind, first, last, probability=0.5, note="", **more):
    return Suspect(kind, first, last, first * 512, last * 512, probability, note, **more)


def names(track_file: TrackFile):
    table = track_file.table
    rows = zip(*(table[name].to_pylist() for name in ("frame_index", "x1", "person")), strict=True)
    return sorted(rows, key=lambda row: row[:2])


def test_the_queue_is_sorted_by_probability_times_length(made):
    items = [
        suspect("contact", 0, 9, 0.3),
        suspect("gap", 20, 20, 0.9),
        suspect("cut", 25, 49, 0.2),
        suspect("jump", 5, 5),
    ]
    found = queue(made(*items).metadata)
    assert [each.suspect.kind for each in found] == ["cut", "contact", "gap", "jump"]  # 5.0, 3.0, 0.9, 0.5 frames
    assert [each.rank for each in found] == [0, 1, 2, 3]


def test_suspects_with_one_key_are_one(made):
    found = queue(made(suspect("gap", 3, 4, 0.2, "A is away"), suspect("gap", 3, 4, 0.4, "B is away")).metadata)
    assert [(each.key, each.suspect.probability, each.suspect.note) for each in found] == [
        ("gap:3:4", 0.4, "B is away; A is away")
    ]


def test_which_suspects_are_open(made):
    states = [None, "unsure", "accepted", "fixed"]
    items = [suspect("gap", 3, 4 + n, state=state) for n, state in enumerate(states)]
    assert {each.suspect.state: each.open for each in queue(made(*items).metadata)} == {
        None: True, "unsure": True, "accepted": False, "fixed": False,
    }  # fmt: skip


def test_the_card_shows_both_before_and_after(made):
    shown = card_of(made(suspect("contact", 10, 14)))
    values = shown.as_dict()
    assert all(seen.frame < 10 for seen in shown.before.values()) and all(
        seen.frame > 14 for seen in shown.after.values()
    )
    assert values["kept"]["A"] == [values["before"]["A"]["frame"], values["after"]["A"]["frame"]]
    assert values["before"]["B"]["box"][0] > values["before"]["A"]["box"][0]
    looks = dict(shown.looks())
    assert 10 in looks and sum(map(len, looks.values())) == 4
    for moment, who in product(("before", "after"), "AB"):
        face = values[moment][who]
        assert tuple(face["box"]) in looks[face["frame"]], "made in advance under the numbers that are asked for"


def test_a_swap_begins_where_unbroken_tracks_are_nearest_and_ends_with_them(made):
    shown = card_of(made(suspect("contact", 10, 14)))
    assert shown.choices == ((12, 24, "the end of the tracks"), (12, 49, "the end of the video"))


def test_a_swap_after_a_gap_begins_with_the_return(made):
    assert card_of(made(suspect("gap", 20, 20))).choices[0][:2] == (21, 24)


def test_that_tracks_end_at_a_cut_tells_nothing(made):
    assert card_of(made(suspect("contact", 22, 24))).choices[0][:2] == (22, 24)
    assert card_of(made(suspect("contact", 25, 27))).choices[0][:2] == (25, 49)


@pytest.mark.parametrize("kind", ["cut", "low_margin"])
def test_a_doubtful_track_is_swapped_whole(made, kind):
    shown = card_of(made(suspect(kind, 25, 49)))
    assert shown.choices[0] == (25, 49, "the end of the doubtful track")
    assert all(seen.frame < 25 for seen in shown.before.values()) and all(
        seen.frame >= 25 for seen in shown.after.values()
    )


def test_who_is_known_only_after_a_doubtful_track_is_shown_from_there(made):
    shown = card_of(made(suspect("cut", 0, 24)))
    assert all(seen.frame > 24 for seen in shown.before.values())


def test_somebody_who_does_not_come_back_has_no_face(made):
    shown = card_of(made(suspect("gap", 40, 49)))
    assert shown.after == {"A": None, "B": None}
    values = shown.as_dict()
    assert values["after"] == {"frame": None, "A": None, "B": None} and values["kept"]["A"][1] is None


def test_interpolated_faces_are_not_shown_while_there_are_others(made):
    assert card_of(made(suspect("jump", 34, 34))).before["B"].frame < 30


@pytest.fixture(scope="module")
def wrong_and_right(media, written, table, tmp_path_factory):
    """Two track files: one with names exchanged in a range, in tracks of their own, and the right one."""
    right = read_tracks(written(media("closed gop"), tmp_path_factory.mktemp("right") / "in.tracks.parquet"))
    pts = scan(media("closed gop")).pts

    def make(first, last, doubt):
        metadata = replace(right.metadata, suspects=(doubt,))
        return replace(right, table=table(pts, (first, last)), metadata=metadata), right

    return make


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 45), st.integers(0, 48), st.sampled_from(["contact", "crossing", "jump"]))
def test_one_swap_mends_a_wrong_stretch_that_a_suspect_begins(wrong_and_right, first, length, kind):
    """Within a shot, as names are decided shot by shot; a wrong first frame alone, after a cut, looks like its end."""
    assume(first != CUT or length > 0)
    last = min(first + length, CUT - 1 if first < CUT else 49)
    doubt = suspect(kind, max(first - 2, 0 if first < CUT else CUT), first)
    wrong, right = wrong_and_right(first, last, doubt)
    begin, end, _ = card_of(wrong).choices[0]
    assert names(replay(wrong, [Swap(begin, end)])) == names(right)


def test_an_exchange_that_the_rows_show_lasts_until_the_next_one(wrong_and_right):
    """Also across a cut."""
    wrong, right = wrong_and_right(21, 40, suspect("gap", 3, 4))
    shown = with_exchanges(wrong)
    found = card(shown.metadata.suspects[1], Columns.of(shown.table), shown.metadata, FrameTimes(shown))
    assert found.choices[0] == (21, 40, "the next exchange")
    assert names(replay(wrong, [Swap(*found.choices[0][:2])])) == names(right)
