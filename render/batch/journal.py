"""A file of changes, one JSON line each, that are appended and flushed to the disk: what a batch's note is kept in.

The first line names the profile. Each line ends with a check, the beginning of the SHA-256 of the check before it and
of its own values, so that a line that was changed, lost or put in shows. A crash may leave a last line without its
end: it was never confirmed to anybody, is not read, and goes with the next change. Other damage is refused.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from ...configs.errors import OutputError
from ...trackio.atomic import atomic_output, translate_os_error

log = logging.getLogger(__name__)

_CHECK_DIGITS = 16


class Journal:
    """Changes on the disk; one process at a time writes them.

    Args:
        path: The file; it need not be there.
        profile: Kind and version of the changes.

    Attributes:
        num_changes: That the file holds, as far as it was read or written here.
    """

    def __init__(self, path: Path, profile: str):
        self.num_changes = 0
        self._path, self._profile = path, profile
        self._length, self._check = 0, ""  # bytes of whole lines, and the check of the last one

    def read(self) -> list[dict[str, Any]] | None:
        """All changes, oldest first; None where there is no file.

        Raises:
            OutputError: It is damaged, of another profile, or cannot be read.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(self._path, error, self._profile) from error
        *lines, torn = content.split(b"\n")
        if torn:
            log.warning("%s: the unfinished last line (%d bytes) is left out", self._path, len(torn))
        check, values = "", []
        for number, line in enumerate(lines, start=1):
            try:
                value, check = self._parsed(line, number, check)
            except (ValueError, TypeError, RecursionError) as error:
                raise unreadable(self._path, f"line {number}: {error}", self._profile) from error
            values.append(value)
        self._length, self._check, self.num_changes = len(content) - len(torn), check, max(0, len(values) - 1)
        return values[1:]

    def append(self, change: dict[str, Any]) -> bool:
        """Write one more change, wholly or, for instance on a full disk, not at all.

        Returns:
            Whether it was; if not, the file is not as it was left here, and all is to be written anew.

        Raises:
            OutputError: It cannot be written.
        """
        line, check = _line(change, self._check)
        try:
            with FileIO(self._path, "r+") as file:
                if self._length == 0 or os.fstat(file.fileno()).st_size != self._length:
                    return False
                self._add(file, line)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise translate_os_error(error, self._path) from error
        self._length, self._check = self._length + len(line), check
        self.num_changes += 1
        return True

    def write(self, changes: Iterable[dict[str, Any]]) -> None:
        """Write the file anew, with these changes alone; until it is whole, the one before stays.

        Raises:
            OutputError: It cannot be written.
        """
        lines, check = [], ""
        for values in ({"profile": self._profile}, *changes):
            line, check = _line(values, check)
            lines.append(line)
        content = b"".join(lines)
        with atomic_output(self._path, overwrite=True) as unfinished:
            unfinished.write_bytes(content)
        self._length, self._check, self.num_changes = len(content), check, len(lines) - 1

    def _parsed(self, line: bytes, number: int, before: str) -> tuple[dict[str, Any], str]:
        values = dict(json.loads(line))
        if number == 1 and values.get("profile") != self._profile:
            raise ValueError(f"profile {values.get('profile')}")
        values.pop("check", None)
        written, check = _line(values, before)
        if written != line + b"\n":
            raise ValueError("its check is not right")
        return values, check

    def _add(self, file: FileIO, line: bytes) -> None:
        try:
            file.seek(self._length)
            rest = memoryview(line)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):  # it is longer then than it was left, and the next change writes all anew
                file.truncate(self._length)
            raise


def unreadable(path: Path, got: object, profile: str) -> OutputError:
    """The error for a note that cannot be read."""
    return OutputError(
        f"cannot read {path}", got=got, expected=f"a note of the kind {profile}",
        hint="choose another folder, or remove that file and begin anew with --overwrite",
    )  # fmt: skip


def _line(values: dict[str, Any], before: str) -> tuple[bytes, str]:
    """A line, and its check, by the check of the line before."""
    check = hashlib.sha256((before + json.dumps(values)).encode()).hexdigest()[:_CHECK_DIGITS]
    return json.dumps({**values, "check": check}).encode() + b"\n", check
