import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import EditError
from dft.trackio.edits.times import FrameTimes
from dft.trackio.timecode import format_timecode

PTS = 1000 + np.cumsum(np.tile([40, 40, 17, 63], 10)) - 40  # as in conftest


@given(st.sets(st.integers(0, 39)))
def test_every_printed_time_names_its_frame(make_file, frames):
    times = FrameTimes(make_file([(frame, 0, None, None, 0.0) for frame in frames]))
    for frame in range(40):
        assert times.resolve(times.timecode_of(frame)) == frame
        assert times.resolve(f"{frame}f") == frame


def test_a_frame_is_on_screen_until_the_next(talk_file):
    times = FrameTimes(talk_file)
    assert [times.frame_at(seconds) for seconds in (0, 0.02, 0.0394, 0.04, 0.0799, 1.59)] == [0, 0, 0, 1, 2, 39]
    assert times.resolve("0.08s") == times.resolve("00:00:00.080") == times.resolve("0.08") == 2
    assert times.next_cut(0) == times.next_cut(11) == 11 and times.next_cut(12) == 24 and times.next_cut(39) == 39


def test_times_of_rows_are_exact_and_others_lie_between(make_file):
    frames = [f for f in range(40) if f not in (5, 6)]
    pts = FrameTimes(make_file([(frame, 0, None, None, 0.0) for frame in frames])).pts
    assert np.array_equal(pts[frames], PTS[frames])
    assert (np.diff(pts) > 0).all() and pts[5] == round(PTS[4] + (PTS[7] - PTS[4]) / 3)


def test_known_time_stamps_are_taken(talk_file):
    pts = np.arange(40) * 40 + 1000
    assert FrameTimes(talk_file, pts).frame_at(1.0) == 25


def test_frames_after_all_rows_go_on_at_the_frame_rate(make_file):
    file = make_file([(0, 0, None, None, 0.0)])
    object.__setattr__(file.metadata, "shots", ())
    object.__setattr__(file.metadata, "suspects", ())
    assert FrameTimes(file).pts.tolist() == (1000 + 40 * np.arange(40)).tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.65s", f"after the end; expected before {format_timecode(1.56)}"),
        ("40f", "there is no such frame; got 40; expected 0 to 39"),
        ("noon", "no time; got 'noon'"),
        ("-1", "no time; got '-1'"),
        ("", "no time; got ''"),
    ],
)
def test_what_is_no_moment_of_the_video(talk_file, text, message):
    with pytest.raises(EditError, match=message):
        FrameTimes(talk_file).resolve(text)
