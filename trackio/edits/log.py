"""The log of edits on disk: ``in.tracks.edits.jsonl`` beside ``in.tracks.parquet``.

The first line says for which track file it is. Each further line is one record, an operation, ``undo`` or ``redo``,
with author and time. Lines are only ever appended, under a lock, and flushed to the disk. Each holds the beginning of
the SHA-256 of all bytes before it, so that a line that was changed, lost or put in shows by the one after it. A crash
may leave a last line without its end: it was never confirmed to anybody, is not read, and is cut off by the next
append. Other damage is refused.

Undo takes the last operation back that is in effect, redo brings the last one back that was undone; a new operation
ends what can be redone.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from ...configs.errors import EditError, EditLogError, StaleEditError, TrackFileNotFoundError
from ..atomic import translate_os_error
from .operations import Operation, operation_from_dict
from .replay import digest

log = logging.getLogger(__name__)

VERSION = "1.0"
SUFFIX = ".edits.jsonl"
AUTHOR = "DFT_AUTHOR"
UNDO, REDO = "undo", "redo"
_HEADER = "dft_edits"
_CHAIN_DIGITS = 16
_ABOUT_RECORD = ("author", "time", "before")


@dataclass(frozen=True)
class Entry:
    """One record of a log.

    Attributes:
        number: From 1 on.
        operation: What was done, or None for an undo or a redo.
        undoes: Number of the operation that an undo takes back.
        redoes: Number of the operation that a redo brings back.
        author: Who did it.
        time: When, ISO 8601 in UTC.
        in_effect: Whether the operation counts by now; False for undo and redo.
    """

    number: int
    operation: Operation | None
    undoes: int | None
    redoes: int | None
    author: str
    time: str
    in_effect: bool

    def words(self) -> str:
        """What was done, in one line."""
        if self.operation is not None:
            return self.operation.words()
        return f"undo {self.undoes}" if self.undoes is not None else f"redo {self.redoes}"

    def as_dict(self) -> dict[str, Any]:
        """The entry as a JSON object."""
        done = {} if self.operation is None else {"operation": self.operation.as_dict()}
        return {
            "number": self.number, "words": self.words(), **done, "undoes": self.undoes, "redoes": self.redoes,
            "author": self.author, "time": self.time, "in_effect": self.in_effect,
        }  # fmt: skip


@dataclass(frozen=True)
class EditLog:
    """What a log holds.

    Attributes:
        path: Where it lies, or would.
        entries: All records in order.
        torn: Bytes of an unfinished last line, which are no record.
        done: Numbers of the operations in effect, in order.
        undone: Numbers of those that can be redone; the next one last.
    """

    path: Path
    entries: tuple[Entry, ...] = ()
    torn: int = 0
    done: tuple[int, ...] = ()
    undone: tuple[int, ...] = ()

    @property
    def revision(self) -> int:
        """Number of records."""
        return len(self.entries)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations in effect, in order."""
        return tuple(map(self.operation, self.done))

    def operation(self, number: int) -> Operation:
        """The operation of entry ``number``.

        Raises:
            LookupError: There is no such entry, or it is an undo or a redo.
        """
        found = self.entries[number - 1].operation if 1 <= number <= self.revision else None
        if found is None:
            raise LookupError(f"entry {number} is no operation")
        return found

    @property
    def digest(self) -> str | None:
        """Hash of the operations in effect, see ``replay.digest``; None without any."""
        return digest(self.operations) if self.done else None


def log_path(tracks: Path) -> Path:
    """Where the edits of a track file lie: for ``in.tracks.parquet`` ``in.tracks.edits.jsonl`` beside it."""
    return Path(tracks).with_suffix(SUFFIX)


def author_name() -> str:
    """Who edits: the environment variable ``DFT_AUTHOR``, or else the user of the system."""
    try:
        return os.environ.get(AUTHOR) or getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container; Python 3.13 raises the first
        return f"user {os.getuid()}"


def read_log(tracks: Path) -> EditLog:
    """The log of a track file; an empty one where there is none.

    Raises:
        EditLogError: It is damaged, of an unknown version, or of another track file.
        TrackFileNotFoundError: There is no such track file.
    """
    path = log_path(tracks)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return EditLog(path)
    except OSError as error:
        raise EditLogError(f"cannot read the log of edits {path}", got=error.strerror) from error
    return _parsed(path, content, tracks)


def append(
    tracks: Path, records: Sequence[Operation | str], *, revision: int | None = None, author: str | None = None
) -> EditLog:
    """Append records to the log of a track file, which is made if there is none.

    Args:
        tracks: The track file.
        records: Operations, ``UNDO`` and ``REDO``. Whether the tracks allow an operation is asked in ``session``.
        revision: Number of records of the log that they were made on; any if None.
        author: Who made them; :func:`author_name` if None.

    Returns:
        The log with them.

    Raises:
        StaleEditError: The log has another number of records: somebody else has written.
        EditError: There is nothing to undo or to redo.
        EditLogError: The log is damaged, of an unknown version, or of another track file.
        OutputError: It cannot be written.
    """
    path = log_path(tracks)
    with _locked(path) as file:
        content = file.read()
        known = _parsed(path, content, tracks)
        if revision is not None and revision != known.revision:
            raise StaleEditError(
                f"{path} has been written to in the meantime", got=f"revision {known.revision}", expected=revision,
                hint="look at the tracks as they are now, and edit again", revision=known.revision,
            )  # fmt: skip
        whole = content[: len(content) - known.torn]
        lines = _lines(tracks, whole, known, records, author or author_name())
        made = _parsed(path, whole + lines, tracks)
        if known.torn:
            log.warning("%s: the unfinished last line (%d bytes) is cut off", path, known.torn)
        _write(file, path, len(whole), lines)
    return made


def _lines(tracks: Path, content: bytes, known: EditLog, records: Sequence[Operation | str], author: str) -> bytes:
    made = []
    if not content:
        made.append(_line({_HEADER: VERSION, "tracks": Path(tracks).name, "tracks_sha256": _hash_of(tracks)}))
    chain = hashlib.sha256(content + b"".join(made))
    time = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    can = {UNDO: len(known.done), REDO: len(known.undone)}
    for record in records:
        can = _can_after(can, record)
        what = {"op": record} if isinstance(record, str) else record.as_dict()
        made.append(_line({**what, "author": author, "time": time, "before": chain.hexdigest()[:_CHAIN_DIGITS]}))
        chain.update(made[-1])
    return b"".join(made)


def _can_after(can: dict[str, int], record: Operation | str) -> dict[str, int]:
    """How often one can undo and redo after ``record``."""
    if not isinstance(record, str):
        return {UNDO: can[UNDO] + 1, REDO: 0}
    if can[record] == 0:
        raise EditError(f"there is nothing to {record}", hint="see what was done with: dft tracks log")
    step = 1 if record == REDO else -1
    return {UNDO: can[UNDO] + step, REDO: can[REDO] - step}


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _parsed(path: Path, content: bytes, tracks: Path) -> EditLog:
    lines = content.splitlines(keepends=True)
    torn = len(lines.pop()) if lines and not lines[-1].endswith(b"\n") else 0
    if not lines:
        return EditLog(path, torn=torn)
    _check_header(path, _object(path, 1, lines[0]), tracks)
    chain, found = hashlib.sha256(lines[0]), []
    for number, line in enumerate(lines[1:], start=2):
        values = _object(path, number, line)
        if values.get("before") != chain.hexdigest()[:_CHAIN_DIGITS]:
            raise _damaged(path, number, "what stands before it is not what it was written after")
        chain.update(line)
        found.append(values)
    return _with_effects(path, found, torn)


def _with_effects(path: Path, records: Sequence[dict[str, Any]], torn: int) -> EditLog:
    done: list[int] = []
    undone: list[int] = []
    entries: list[Entry] = []
    for number, values in enumerate(records, start=1):
        operation = undoes = redoes = None
        try:
            if values.get("op") == UNDO:
                undoes = done.pop()
                undone.append(undoes)
            elif values.get("op") == REDO:
                redoes = undone.pop()
                done.append(redoes)
            else:
                operation = operation_from_dict({k: v for k, v in values.items() if k not in _ABOUT_RECORD})
                done, undone = [*done, number], []
        except IndexError:
            raise _damaged(path, number + 1, f"nothing to {values['op']}") from None
        except EditError as error:
            raise _damaged(path, number + 1, error) from error
        author, time = str(values.get("author", "")), str(values.get("time", ""))
        entries.append(Entry(number, operation, undoes, redoes, author, time, in_effect=False))
    effective = set(done)
    marked = tuple(replace(entry, in_effect=entry.number in effective) for entry in entries)
    return EditLog(path, marked, torn, tuple(done), tuple(undone))


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, number, error) from error
    if not isinstance(values, dict):
        raise _damaged(path, number, "no JSON object")
    return values


def _damaged(path: Path, number: int, got: object) -> EditLogError:
    return EditLogError(
        f"the log of edits {path} is damaged in line {number}", got=got,
        hint="restore it from a copy, or delete this line and all after it",
    )  # fmt: skip


def _check_header(path: Path, values: dict[str, Any], tracks: Path) -> None:
    version = values.get(_HEADER)
    if not isinstance(version, str) or version.split(".")[0] != VERSION.split(".", maxsplit=1)[0]:
        raise EditLogError(f"{path} is no log of edits that this dft knows", got=version, expected=f"version {VERSION}")
    got, expected = _hash_of(tracks), values.get("tracks_sha256")
    if got != expected:
        raise EditLogError(
            f"the log of edits {path} is of another track file than {tracks}", got=f"a file with hash {got[:12]}",
            expected=str(expected)[:12], hint="restore the track file that was edited, or move the log away",
        )  # fmt: skip


def _hash_of(tracks: Path) -> str:
    try:
        with Path(tracks).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise TrackFileNotFoundError(
            f"there is no track file {tracks}", hint="make it with: dft analyze VIDEO"
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[FileIO]:
    """The log, open for reading and writing from its beginning, while nobody else appends."""
    with _opened(path) as file:
        try:
            yield file
        finally:
            if os.fstat(file.fileno()).st_size == 0:  # it could not be begun
                path.unlink(missing_ok=True)


def _opened(path: Path) -> FileIO:
    while True:
        try:
            file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")
        except OSError as error:
            raise translate_os_error(error, path) from error
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # another process had it, could not begin it, and has removed it


def _write(file: FileIO, path: Path, begin: int, lines: bytes) -> None:
    """Write ``lines`` from ``begin`` on, wholly or, for instance on a full disk, not at all."""
    try:
        file.seek(begin)
        file.truncate()
        rest = memoryview(lines)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
        if begin == 0:
            _flush_folder(path.parent)
    except OSError as error:
        file.truncate(begin)
        raise translate_os_error(error, path) from error


def _flush_folder(folder: Path) -> None:
    """Make a new name in a folder last, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
