"""What the system tells of files that may be gone, be no files, or not answer."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...configs.errors import DftError, VideoNotFoundError, VideoUnreadableError
from .stalls import in_time

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def stat_of(path: Path, where: str = "", kind: str = "video") -> os.stat_result:
    """What the system tells of an input.

    Args:
        path: The file.
        where: What an error begins with.
        kind: What it should be.

    Raises:
        VideoNotFoundError: There is none.
        VideoUnreadableError: The system refuses, or does not answer.
    """
    try:
        return in_time(path.stat, path)
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise VideoNotFoundError(f"{where}there is no {kind} {printable(path)}", hint="check the path") from error
        raise VideoUnreadableError(
            f"{where}{printable(path)} cannot be looked at", got=error.strerror,
            hint="check the path, its rights and its drive",
        ) from error  # fmt: skip


def mode_of(path: Path) -> int:
    """Kind and rights of a file; 0 if there is none."""
    try:
        return stat_of(path).st_mode
    except VideoNotFoundError:
        return 0


def check_file(path: Path, where: str = "", kind: str = "video") -> None:
    """Make sure that an input is a file; see :func:`stat_of`.

    Raises:
        VideoNotFoundError: There is none.
        VideoUnreadableError: It is something else, or the system refuses, or does not answer.
    """
    mode = stat_of(path, where, kind).st_mode
    if not stat.S_ISREG(mode):
        raise VideoUnreadableError(
            f"{where}{path} is no file", got="a folder" if stat.S_ISDIR(mode) else "a pipe or device",
            expected=f"a {kind} file, which is read more than once",
        )  # fmt: skip


def check_text(path: Path, error: type[DftError] = VideoUnreadableError) -> None:
    """Make sure that a path can be written in notes and reports.

    Raises:
        DftError: Of the kind ``error``: it is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as reason:
        raise error(
            "the name of a file or folder is not UTF-8", got=printable(path), expected="UTF-8", hint="rename it"
        ) from reason


def printable(path: Path | str) -> str:
    """A path as text that can be written anywhere: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


def growing(paths: Iterable[Path], now: float, quiet_seconds: float) -> Iterator[Path]:
    """Those of ``paths`` that were modified less than ``quiet_seconds`` before ``now``, seconds since the epoch.

    Raises:
        VideoError: There is no such file, or it cannot be looked at.
    """
    for path in paths:
        if abs(now - stat_of(path).st_mtime) < quiet_seconds:
            yield path
