"""Writing a track file in another tool's format."""

from dataclasses import dataclass
from pathlib import Path

from ...configs.errors import SettingError
from ..atomic import check_output
from ..edits.reading import read_edited
from .coco import write_coco
from .cvat import write_cvat
from .formats import FORMATS, SUFFIXES, format_of_name
from .keyframes import KeyframeChoice
from .mot import persons_path, write_mot
from .plain import write_plain


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Attributes:
        outputs: The files.
        format: One of :data:`formats.FORMATS`.
        rows: Boxes.
        tracks: Tracks.
        keyframes: Boxes that are keyframes, for CVAT; None for the others.
        operations: Edits of the log that are in it.
    """

    outputs: tuple[Path, ...]
    format: str
    rows: int
    tracks: int
    keyframes: int | None
    operations: int


def export_tracks(
    tracks: Path, output: Path | None = None, *, to: str | None = None, choice: KeyframeChoice | None = None,
    overwrite: bool = False,
) -> ExportReport:  # fmt: skip
    """Write the tracks, with the edits in the log beside them, in another tool's format.

    Args:
        tracks: The track file.
        output: The file to write; beside ``in.tracks.parquet``, ``in.cvat.xml`` and so on if not given.
        to: One of :data:`formats.FORMATS`; if not given, what the name of ``output`` says, or cvat.
        choice: Which boxes become keyframes in CVAT; all if not given.
        overwrite: Whether an existing file may be replaced.

    Raises:
        SettingError: There is no such format.
        TrackFileError: The track file or its log cannot be used.
        OutputError: The file cannot be written.
    """
    tracks = Path(tracks)
    if to is None:
        to = "cvat" if output is None else format_of_name(Path(output))
    if to not in FORMATS:
        raise SettingError("format", got=to, expected=f"one of {', '.join(FORMATS)}")
    name = tracks.name.removesuffix(".parquet").removesuffix(".tracks")
    output = tracks.with_name(name + SUFFIXES[to]) if output is None else Path(output)
    outputs = (output, persons_path(output)) if to == "mot" else (output,)
    for path in outputs:
        check_output(path, overwrite=overwrite, inputs=[tracks])
    track_file, summary = read_edited(tracks)
    keyframes = None
    if to == "cvat":
        keyframes = write_cvat(output, track_file, choice or KeyframeChoice(), overwrite=overwrite)
    elif to == "coco":
        write_coco(output, track_file, name, overwrite=overwrite)
    else:
        (write_mot if to == "mot" else write_plain)(output, track_file, overwrite=overwrite)
    table = track_file.table
    return ExportReport(outputs, to, table.num_rows, len(table["track_id"].unique()), keyframes, summary.operations)
