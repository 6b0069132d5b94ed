"""A track file that is being edited, as the commands, the review page and imports do it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...configs.errors import EditError, EditLogError
from ..files import TrackFile, read_tracks
from ..schema import PERSONS
from .actions import contradicted, do
from .exchanges import with_exchanges
from .gaps import Proposal, propose
from .imports import IMPORT_PIXELS, corrections
from .log import REDO, UNDO, EditLog, append, read_log
from .operations import MAX_GAP_SECONDS, Interpolate, Operation
from .replay import result
from .rows import Rows
from .times import FrameTimes


@dataclass(frozen=True)
class Outcome:
    """What an operation did, or would do.

    Attributes:
        operation: The operation; for an undo or redo the one that was undone or redone.
        track_file: The tracks after it.
        revision: Number of records of the log after it.
        rows: How many rows came out differently: changed, added or removed.
        first_frame: The first frame with such a row; None if there is none.
        last_frame: The last one.
        warnings: Anchors that it contradicts, one line each.
    """

    operation: Operation
    track_file: TrackFile
    revision: int
    rows: int
    first_frame: int | None
    last_frame: int | None
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """All but the tracks, as a JSON object."""
        return {
            "operation": self.operation.as_dict(), "words": self.operation.words(), "revision": self.revision,
            "rows": self.rows, "first_frame": self.first_frame, "last_frame": self.last_frame,
            "warnings": list(self.warnings),
        }  # fmt: skip


class Edits:
    """The tracks of a file and their log.

    Not for several threads at once. Other processes may append to the same log: state the ``revision`` that an edit was
    made on to be told (``StaleEditError``), and :meth:`refresh`.

    Args:
        tracks: The track file, which is never changed.

    Attributes:
        base: The tracks as they are in the file, with the exchanges that their rows show among the suspects.
        log: The log as it was last read or written.

    Raises:
        TrackFileError: The track file cannot be read, or its log (``EditLogError``).
    """

    def __init__(self, tracks: Path):
        self.base = with_exchanges(read_tracks(tracks))
        self.log = read_log(tracks)
        self._rows: Rows | None = None
        self._current: TrackFile | None = None

    @cached_property
    def times(self) -> FrameTimes:
        """Frames and times of the video."""
        return FrameTimes(self.base)

    @property
    def revision(self) -> int:
        """Number of records of the log."""
        return self.log.revision

    def current(self) -> TrackFile:
        """The tracks after all operations in effect; made anew only after a change."""
        if self._current is None:
            operations = self.log.operations
            self._current = result(self.base, self._rows_now(), operations) if operations else self.base
        return self._current

    def refresh(self) -> bool:
        """Read the log again, and say whether somebody else has written to it."""
        log = read_log(self.base.path)
        if log.entries == self.log.entries:
            return False
        self._take(log, None)
        return True

    def attempt(self, operation: Operation) -> Outcome:
        """What ``operation`` would do; nothing is written.

        Raises:
            EditError: The tracks do not allow it.
        """
        before, rows = self._rows_now(), self._rows_now().copy()
        do(rows, operation)
        after = result(self.base, rows, (*self.log.operations, operation))
        return _outcome(operation, after, self.revision, rows, before)

    def do(self, operation: Operation, *, revision: int | None = None, author: str | None = None) -> Outcome:
        """Do an operation, and append it to the log.

        Args:
            operation: The operation.
            revision: On which revision it was made; that of this object if None.
            author: Who does it; ``DFT_AUTHOR`` or the user of the system if None.

        Raises:
            StaleEditError: The log has another revision by now; this object is as it was, see :meth:`refresh`.
            EditError: The tracks do not allow it.
            EditLogError, OutputError: It cannot be written.
        """
        before, rows = self._rows_now(), self._rows_now().copy()
        do(rows, operation)
        self._take(self._append(operation, revision, author), rows)
        return _outcome(operation, self.current(), self.revision, rows, before)

    def undo(self, *, revision: int | None = None, author: str | None = None) -> Outcome:
        """Take the last operation back that is in effect; arguments and errors as in :meth:`do`."""
        return self._step(UNDO, self.log.done, revision, author)

    def redo(self, *, revision: int | None = None, author: str | None = None) -> Outcome:
        """Do the last operation again that was undone; arguments and errors as in :meth:`do`."""
        return self._step(REDO, self.log.undone, revision, author)

    def propose(
        self, track_id: int, first_frame: int, last_frame: int, max_seconds: float = MAX_GAP_SECONDS
    ) -> Proposal:
        """What interpolating a track would add: to look at before the operation ``Interpolate`` is done.

        Raises:
            EditError: There is no such track, or the range cannot be.
        """
        return propose(self._rows_now(), Interpolate(track_id, first_frame, last_frame, max_seconds))

    def edits_to(self, corrected: TrackFile, tolerance: float = IMPORT_PIXELS) -> tuple[Operation, ...]:
        """The operations that make these tracks, with their edits, into others: see ``imports.edits_from_diff``."""
        return corrections(self._rows_now().copy(), corrected, tolerance)

    def _step(self, record: str, stack: tuple[int, ...], revision: int | None, author: str | None) -> Outcome:
        rows = self._rows_now()
        log = self._append(record, revision, author)
        self._take(log, None)
        return _outcome(log.operation(stack[-1]), self.current(), self.revision, self._rows_now(), rows)

    def _append(self, record: Operation | str, revision: int | None, author: str | None) -> EditLog:
        made_on = self.revision if revision is None else revision
        return append(self.base.path, [record], revision=made_on, author=author)

    def _take(self, log: EditLog, rows: Rows | None) -> None:
        self.log, self._rows, self._current = log, rows, None

    def _rows_now(self) -> Rows:
        if self._rows is None:
            self._rows = _replayed(self.base, self.times, self.log)
        return self._rows


def _replayed(base: TrackFile, times: FrameTimes, log: EditLog) -> Rows:
    rows = Rows(base, times)
    for number in log.done:
        try:
            do(rows, log.operation(number))
        except EditError as error:
            raise EditLogError(
                f"entry {number} of {log.path} cannot be done",
                got=error,
                hint="another version of dft may have written it",
            ) from error
    return rows


def _outcome(operation: Operation, after: TrackFile, revision: int, rows: Rows, before: Rows) -> Outcome:
    frames = rows.changed_frames(before)
    first, last = (int(frames.min()), int(frames.max())) if len(frames) else (None, None)
    warnings = tuple(
        f"{operation.words()}: contradicts the anchor that {PERSONS[pin.person]} is right in frame {pin.frame} "
        f"({rows.times.timecode_of(pin.frame)})"
        for pin in contradicted(rows, before)
    )
    return Outcome(operation, after, revision, len(frames), first, last, warnings)
