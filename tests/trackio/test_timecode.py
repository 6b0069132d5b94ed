from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.trackio.timecode import format_clock, format_timecode, parse_timecode


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "00:00:00.000"),
        (0.0004, "00:00:00.000"),
        (59.9996, "00:01:00.000"),
        (3723.5, "01:02:03.500"),
        (Fraction(1001, 30000), "00:00:00.033"),
        (360000, "100:00:00.000"),
        (-1.25, "-00:00:01.250"),
        (-0.0001, "00:00:00.000"),
    ],
)
def test_timecode(seconds, expected):
    assert format_timecode(seconds) == expected


@given(st.integers(0, 10**9))
def test_timecode_says_every_millisecond(milliseconds):
    hours, minutes, seconds = format_timecode(Fraction(milliseconds, 1000)).split(":")
    assert int(hours) * 3_600_000 + int(minutes) * 60_000 + round(float(seconds) * 1000) == milliseconds


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_timecode_refuses_what_is_not_finite(seconds):
    with pytest.raises((ValueError, OverflowError)):
        format_timecode(seconds)


@pytest.mark.parametrize(
    ("seconds", "decimals", "expected"),
    [
        (0, 0, "0:00"),
        (75.25, 0, "1:15"),
        (75.25, 2, "1:15.25"),
        (59.96, 1, "1:00.0"),
        (3600, 0, "1:00:00"),
        (-5, 0, "-0:05"),
        (-0.2, 0, "0:00"),
    ],
)
def test_clock(seconds, decimals, expected):
    assert format_clock(seconds, decimals) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("3.25", 3.25),
        ("3.", 3.0),
        (" 75 ", 75.0),
        ("2:03", 123.0),
        ("02:03.5", 123.5),
        ("00:01:02.000", 62.0),
        ("1:02:03.004", 3723.004),
        ("100:00:00", 360000.0),
        ("90:00", 5400.0),
    ],
)
def test_times_are_read(text, expected):
    assert parse_timecode(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "+1",
        ".5",
        "1e3",
        "nan",
        "inf",
        "1:2:3:4",
        "1:",
        ":1",
        "1.5:00",
        "00:01,5",
        "1 2",
        "one",
        "9" * 400,
    ],
    ids=lambda text: text[:9],
)
def test_what_is_no_time(text):
    with pytest.raises(ValueError):
        parse_timecode(text)


@given(st.integers(0, 10**10))
def test_what_is_written_is_read(milliseconds):
    assert parse_timecode(format_timecode(Fraction(milliseconds, 1000))) == milliseconds / 1000
