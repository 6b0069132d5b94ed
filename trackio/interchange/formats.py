"""The formats by name, and how their files are told apart."""

from pathlib import Path

from ...configs.errors import SettingError, TrackFileError, TrackFileNotFoundError, TrackFormatError

SUFFIXES = {"cvat": ".cvat.xml", "mot": ".mot.txt", "coco": ".coco.json", "csv": ".csv"}
FORMATS = tuple(SUFFIXES)
IMPORTED = ("cvat", "mot", "csv")
MIN_TOLERANCE = 0.01
"""Pixels within which boxes are the same: CVAT rounds to two decimals, which moves a coordinate by half of that."""
FACE_TOLERANCE = 0.05
"""In face heights: about what a detector's boxes jitter by; every sixth box or so is a keyframe then."""


def format_of_name(output: Path) -> str:
    """The format of a file to be written, by the end of its name.

    Raises:
        SettingError: It has another end.
    """
    for name, suffix in SUFFIXES.items():
        if output.suffix.lower() == Path(suffix).suffix:
            return name
    raise SettingError(f"no format goes with the name {output.name}", expected="--format", hint="say it")


def detect_format(source: Path) -> str:
    """Which format a file has, by its name and its first bytes.

    Raises:
        TrackFileNotFoundError: There is no such file.
        TrackFormatError: None that is imported.
        TrackFileError: The system does not let it be read.
    """
    try:
        with source.open("rb") as file:
            head = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    except FileNotFoundError as error:
        raise TrackFileNotFoundError(f"there is no file {source}", hint="check the path") from error
    except OSError as error:
        raise TrackFileError(f"cannot read {source}", got=error.strerror) from error
    if head.startswith((b"<", b"PK\x03\x04")):
        return "cvat"
    first = head.partition(b"\n")[0]
    if b"frame_index" in first:
        return "csv"
    if first[:1].isdigit():
        return "mot"
    raise TrackFormatError(f"{source}", got="an unknown format", expected="CVAT for video 1.1, MOTChallenge or CSV")
