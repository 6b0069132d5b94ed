"""Seconds as people read them."""

import re
from fractions import Fraction

_TIMECODE = re.compile(r"(\d{1,9}:){0,2}\d{1,9}(\.\d*)?")


def format_timecode(seconds: float | Fraction) -> str:
    """``HH:MM:SS.mmm``, to the millisecond; hours may have more digits, and negative times begin with ``-``.

    >>> format_timecode(3723.5)
    '01:02:03.500'

    Raises:
        ValueError, OverflowError: ``seconds`` is not finite.
    """
    milliseconds = round(Fraction(seconds) * 1000)
    sign = "-" if milliseconds < 0 else ""
    whole, rest = divmod(abs(milliseconds), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{sign}{hours:02d}:{minute:02d}:{second:02d}.{rest:03d}"


def parse_timecode(text: str) -> float:
    """Seconds of ``HH:MM:SS.mmm``, ``MM:SS.mmm`` or plain seconds.

    >>> parse_timecode("01:02:03.5"), parse_timecode("2:03"), parse_timecode("3.25")
    (3723.5, 123.0, 3.25)

    Raises:
        ValueError: It reads otherwise, or is negative.
    """
    if not _TIMECODE.fullmatch(text.strip()):
        raise ValueError(f"no time: {text!r}")
    seconds = Fraction(0)
    for part in text.strip().split(":"):
        seconds = seconds * 60 + Fraction(part)
    return float(seconds)


def format_clock(seconds: float, decimals: int = 0) -> str:
    """``m:ss``, or ``h:mm:ss`` from one hour on, with ``decimals`` digits of the second; for axes and tables.

    >>> format_clock(75.25, decimals=1)
    '1:15.2'
    """
    unit = 10**decimals
    whole, rest = divmod(round(Fraction(abs(seconds)) * unit), unit)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    sign = "-" if seconds < 0 and (whole or rest) else ""
    clock = f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
    return sign + clock + (f".{rest:0{decimals}d}" if decimals else "")
