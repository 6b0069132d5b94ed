"""Exchanges that the rows themselves show: found where a name passes to another face, and nowhere else."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dft.trackio.edits.exchanges import exchanges, with_exchanges
from dft.trackio.edits.operations import Swap
from dft.trackio.edits.replay import replay
from dft.trackio.edits.session import Edits
from dft.trackio.edits.times import FrameTimes
from dft.trackio.files import write_tracks


def moments(track_file):
    return exchanges(track_file, FrameTimes(track_file))


def two(make_file, a, b, frames=range(40)):
    """A at ``a(frame)`` and B at ``b(frame)``; None is absent."""
    rows = [(f, 1, "A", "left", x) for f in frames if (x := a(f)) is not None]
    return make_file(rows + [(f, 2, "B", "right", x) for f in frames if (x := b(f)) is not None])


def test_none_in_sound_tracks(talk_file):
    assert moments(talk_file) == []
    assert with_exchanges(talk_file) is talk_file


def test_an_exchange_within_a_shot_is_found_at_both_ends(talk_file):
    wrong = replay(talk_file, [Swap(14, 20)])
    assert moments(wrong) == [(13, 14), (20, 21)]
    one, other = with_exchanges(wrong).metadata.suspects[-2:]
    assert (one.kind, one.first_frame, one.last_frame, one.first_pts) == ("jump", 13, 14, talk_file_pts(talk_file, 13))
    assert one.probability > 0.9 and other.first_frame == 20
    assert one.evidence["stake_seconds"] == pytest.approx(
        (talk_file_pts(talk_file, 20 + 1) - one.last_pts) / 1000, abs=0.05
    )


def talk_file_pts(track_file, frame):
    return int(FrameTimes(track_file).pts[frame])


def test_an_exchange_at_a_cut_shows_in_no_row(talk_file):
    assert moments(replay(talk_file, [Swap(12, 24)])) == []


def test_a_name_that_passes_on_while_the_other_is_away(make_file):
    found = two(make_file, lambda f: 100.0 if f < 16 else None, lambda f: 100.0 if f >= 16 else None)
    assert moments(found) == [(15, 16)]


def test_after_a_long_absence_somebody_else_may_have_taken_the_place(make_file):
    away = two(make_file, lambda f: 100.0 if f < 26 else None, lambda f: 100.0 if f >= 39 else None)
    assert moments(away) == []


def test_faces_that_cross_and_overlap_are_no_exchange(make_file):
    assert moments(two(make_file, lambda f: 100.0 + 8 * f, lambda f: 420.0 - 8 * f)) == []


def test_one_that_enters_another_s_place_who_stays(make_file):
    """Two overlapping faces: the other one has not gone."""
    assert moments(two(make_file, lambda f: 300.0 if f < 16 else 105.0, lambda f: 100.0)) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it is not changed
@given(st.data())
def test_every_exchange_within_a_shot_is_found_and_mended_by_its_swap(talk_file, data):
    first, end = data.draw(st.sampled_from([(1, 11), (13, 24), (26, 28)]))
    start = data.draw(st.integers(first, end - 1))
    last = data.draw(st.integers(start, end - 1))
    wrong = replay(talk_file, [Swap(start, last)])
    found = moments(wrong)
    assert found and abs(found[0][1] - start) <= 4
    assert moments(replay(wrong, [Swap(start, last)])) == []


def test_the_session_lists_them_and_they_can_be_marked(talk_file, tmp_path):
    from dft.trackio.edits.operations import Mark

    wrong = replay(talk_file, [Swap(14, 20)])
    path = tmp_path / "in.tracks.parquet"
    write_tracks(path, wrong.table, talk_file.metadata)
    edits = Edits(path)
    assert [(s.kind, s.first_frame) for s in edits.current().metadata.suspects][-2:] == [("jump", 13), ("jump", 20)]
    edits.do(Mark("jump", 13, 14, "fixed"))
    again = Edits(path).current().metadata.suspects
    assert [(s.first_frame, s.state) for s in again][-2:] == [(13, "fixed"), (20, None)]
