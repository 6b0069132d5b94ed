"""A track file as it is after its edits: what every reader of tracks wants, or a file of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...configs.errors import EditError
from ..atomic import check_output
from ..files import TrackFile, write_tracks
from ..metadata import Suspect, TrackMetadata
from ..timecode import format_timecode
from .session import Edits

_CLOSED = ("accepted", "fixed")


@dataclass(frozen=True)
class EditSummary:
    """What the log of a track file says as a whole.

    Attributes:
        log: Where it lies; None if there is none.
        revision: Number of its records.
        operations: Number of operations in effect.
        digest: Hash of these, see ``replay.digest``; None without any.
    """

    log: Path | None
    revision: int
    operations: int
    digest: str | None

    def words(self) -> str:
        """What a reader of the tracks should know, or nothing."""
        if not self.operations:
            return ""
        edits = "1 edit is" if self.operations == 1 else f"{self.operations} edits are"
        return f"{edits} in the tracks, from {self.log}"

    def as_dict(self) -> dict[str, Any]:
        """The summary as a JSON object."""
        path = None if self.log is None else str(self.log)
        return {"log": path, "revision": self.revision, "operations": self.operations, "digest": self.digest}


def read_edited(path: Path) -> tuple[TrackFile, EditSummary]:
    """Read a track file, with the edits of its log if there is one.

    Raises:
        TrackFileError: The track file cannot be read, or its log (``EditLogError``).
    """
    edits = Edits(Path(path))
    log = edits.log
    return edits.current(), EditSummary(
        log.path if log.path.exists() else None, log.revision, len(log.done), log.digest
    )


def open_suspects(metadata: TrackMetadata, above: float) -> tuple[Suspect, ...]:
    """The suspects of a probability over ``above`` that no reviewer has accepted or fixed."""
    return tuple(item for item in metadata.suspects if item.state not in _CLOSED and item.probability > above)


def suspect_at(metadata: TrackMetadata, frame: int, kind: str | None = None) -> Suspect:
    """The suspect that a frame belongs to.

    Args:
        metadata: Says which suspects there are.
        frame: Index of the frame.
        kind: Kind of the suspect; any if None.

    Raises:
        EditError: There is none, or there are several.
    """
    found = [
        item
        for item in metadata.suspects
        if item.first_frame <= frame <= item.last_frame and kind in (None, item.kind)
    ]  # fmt: skip
    if len(found) != 1:
        listed = ", ".join(f"{item.kind} in frames {item.first_frame} to {item.last_frame}" for item in found)
        raise EditError(
            f"frame {frame} is in {len(found)} suspects", got=listed or None, expected="one",
            hint="choose one by its kind" if found else "list them with: dft tracks show",
        )  # fmt: skip
    return found[0]


def suspects_warning(metadata: TrackMetadata, above: float) -> str:
    """One line on the open suspects of a probability over ``above``; nothing if there are none."""
    found = open_suspects(metadata, above)
    if not found:
        return ""
    first = min(found, key=lambda item: item.first_pts)
    one = len(found) == 1
    return (
        f"{len(found)} moment{' is' if one else 's are'} open to review with a probability over {above:g}, "
        f"{'' if one else 'the first '}at {format_timecode(metadata.video.seconds(first.first_pts))} ({first.kind})"
    )


def corrected_path(tracks: Path) -> Path:
    """Where a corrected copy lies if not said otherwise: for ``in.tracks.parquet`` ``in.tracks.corrected.parquet``."""
    return Path(tracks).with_suffix(".corrected.parquet")


def apply_edits(tracks: Path, output: Path | None = None, *, overwrite: bool = False) -> tuple[Path, EditSummary]:
    """Write the tracks with their edits as a file of its own, which needs no log.

    Args:
        tracks: The track file; it and its log stay as they are.
        output: The new file; :func:`corrected_path` if None.
        overwrite: Whether an existing file may be replaced, but never ``tracks``.

    Raises:
        TrackFileError: The track file cannot be read, or its log (``EditLogError``).
        OutputError: The new file cannot be written, or would replace ``tracks``; ``OutputExistsError`` where it exists.
    """
    target = corrected_path(tracks) if output is None else Path(output)
    check_output(target, overwrite=overwrite, inputs=[tracks])
    track_file, summary = read_edited(tracks)
    write_tracks(target, track_file.table, track_file.metadata, overwrite=overwrite)
    return target, summary
