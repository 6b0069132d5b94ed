"""Corrections from another tool's file, as edits in the log of the tracks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...configs.errors import SettingError
from ..edits.operations import Batch, Operation
from ..edits.session import Edits
from ..metadata import VideoRecord
from .correcting import correct
from .cvat_reader import read_cvat
from .formats import IMPORTED, MIN_TOLERANCE, detect_format
from .imported import Imported
from .mot import read_mot
from .plain import read_plain

_READERS: dict[str, Callable[[Path, VideoRecord], Imported]] = {"cvat": read_cvat, "mot": read_mot, "csv": read_plain}


@dataclass(frozen=True)
class ImportReport:
    """What an imported file corrects.

    Attributes:
        tracks: The track file.
        source: The imported file.
        format: One of :data:`IMPORTED`.
        operations: What is different, as edits.
        revision: What the log is at.
        rows: Rows that come out differently.
        first_frame: First frame with such a row, or None.
        last_frame: Last frame with such a row, or None.
        warnings: What a person should look at.
        dry_run: Whether nothing was written.
    """

    tracks: Path
    source: Path
    format: str
    operations: tuple[Operation, ...]
    revision: int
    rows: int
    first_frame: int | None
    last_frame: int | None
    warnings: tuple[str, ...]
    dry_run: bool


def import_corrections(
    tracks: Path, source: Path, *, of: str | None = None, tolerance: float = MIN_TOLERANCE,
    author: str | None = None, dry_run: bool = False,
) -> ImportReport:  # fmt: skip
    """Find what another tool's file corrects, and append it to the log of the tracks as one edit.

    Args:
        tracks: The track file that was exported.
        source: The corrected file.
        of: One of :data:`IMPORTED`; told from the file if not given.
        tolerance: Pixels by which a box may differ without being a correction.
        author: Who corrected; as for other edits if not given.
        dry_run: Only find out.

    Raises:
        TrackFileError: One of the files cannot be used, or they are not of the same video.
        EditError: The corrections contradict each other.
        OutputError: The log cannot be written.
    """
    source, edits = Path(source), Edits(Path(tracks))
    of = detect_format(source) if of is None else of
    if of not in _READERS:
        raise SettingError("format", got=of, expected=f"one of {', '.join(IMPORTED)}")
    base, revision = edits.current(), edits.revision
    corrected = correct(base, _READERS[of](source, base.metadata.video), tolerance)
    operations = edits.edits_to(corrected, MIN_TOLERANCE)
    outcome = None
    if operations:
        batch = Batch(operations)
        outcome = edits.attempt(batch) if dry_run else edits.do(batch, revision=revision, author=author)
    return ImportReport(
        tracks=Path(tracks), source=source, format=of, operations=operations, revision=edits.revision,
        rows=outcome.rows if outcome else 0, first_frame=outcome.first_frame if outcome else None,
        last_frame=outcome.last_frame if outcome else None, warnings=outcome.warnings if outcome else (),
        dry_run=dry_run,
    )  # fmt: skip
