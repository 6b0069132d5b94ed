"""The commands ``dft tracks export`` and ``dft tracks import``."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ...configs.console import FILE, common, count
from .formats import FACE_TOLERANCE, FORMATS, IMPORTED, MIN_TOLERANCE

_MAX_PRINTED = 20
SIZE = click.FloatRange(min=0)


@click.command(name="export", short_help="Write TRACKS for CVAT, MOTChallenge, COCO-VID tools or spreadsheets.")
@click.argument("file", metavar="TRACKS", type=FILE)
@click.option("-o", "--output", type=FILE, help="File to write.  [TRACKS' name with .cvat.xml, .mot.txt ...]")
@click.option("--format", "to", type=click.Choice(FORMATS), help="Format.  [what the name of --output says, or cvat]")
@click.option(
    "--keyframes", default="all", show_default=True, metavar="all|auto|N",
    help="Boxes for CVAT: all; only those that are needed to interpolate the others; and at most N frames apart.",
)  # fmt: skip
@click.option(
    "--keyframe-tolerance", "tolerance", type=SIZE, default=FACE_TOLERANCE, show_default=True,
    help="Face heights by which interpolation may miss a box, where not all are keyframes.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@common
def export(
    file: Path, output: Path | None, to: str | None, keyframes: str, tolerance: float, overwrite: bool, as_json: bool
) -> None:
    """Write TRACKS, with the edits in the log beside them, for CVAT, MOTChallenge, COCO-VID tools or spreadsheets.

    docs/interchange.md says what each format keeps, and how to set up CVAT.

    \b
    Example:
      dft tracks export in.tracks.parquet --keyframes auto
      dft tracks export in.tracks.parquet --format mot
    """
    choice = _choice(keyframes, tolerance)
    from .exporting import export_tracks

    report = export_tracks(file, output, to=to, choice=choice, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(asdict(report), default=str))
        return
    parts = [count(report.rows, "row"), count(report.tracks, "track")]
    if report.keyframes is not None:
        parts.append(count(report.keyframes, "keyframe"))
    if report.operations:
        parts.append(f"with {count(report.operations, 'edit')}")
    click.echo(f"{' and '.join(map(str, report.outputs))}: {', '.join(parts)}")


def _choice(keyframes: str, tolerance: float) -> Any:
    if keyframes not in ("all", "auto") and not re.fullmatch(r"[1-9]\d{0,8}", keyframes):
        raise click.BadParameter(f"{keyframes!r}; expected all, auto or a number of frames", param_hint="--keyframes")
    from .keyframes import KeyframeChoice

    if keyframes == "all":
        return KeyframeChoice()
    return KeyframeChoice(tolerance, None if keyframes == "auto" else int(keyframes))


@click.command(name="import", short_help="Take another tool's corrections of TRACKS into the log of edits.")
@click.argument("file", metavar="TRACKS", type=FILE)
@click.argument("corrected", type=FILE)
@click.option("--format", "of", type=click.Choice(IMPORTED), help="Format of CORRECTED.  [told from the file]")
@click.option(
    "--tolerance", type=SIZE, default=MIN_TOLERANCE, show_default=True,
    help="Pixels by which a box may differ and be the same.",
)  # fmt: skip
@click.option("--author", help="Who corrected.  [as for other edits]")
@click.option("--dry-run", is_flag=True, help="Only print the edits.")
@common
def import_(
    file: Path, corrected: Path, of: str | None, tolerance: float, author: str | None, dry_run: bool, as_json: bool
) -> None:
    """Find what CORRECTED changes in TRACKS, and append it to the log beside them.

    CORRECTED is CVAT for video 1.1 (XML or ZIP), MOTChallenge or CSV. TRACKS itself is not changed. The corrections are
    one entry of the log: dft tracks undo takes all of them back.

    \b
    Example:
      dft tracks import in.tracks.parquet corrected.xml --dry-run
    """
    from .importing import import_corrections

    report = import_corrections(file, corrected, of=of, tolerance=tolerance, author=author, dry_run=dry_run)
    for warning in report.warnings:
        click.echo(f"dft: warning: {warning}", err=True)
    if as_json:
        operations = [operation.as_dict() for operation in report.operations]
        click.echo(json.dumps({**vars(report), "operations": operations}, default=str))
        return
    for operation in report.operations[:_MAX_PRINTED]:
        click.echo(operation.words())
    if len(report.operations) > _MAX_PRINTED:
        click.echo(f"and {len(report.operations) - _MAX_PRINTED:,} more")
    click.echo(_outcome(report))


def _outcome(report: Any) -> str:
    if not report.operations:
        return f"{report.source} changes nothing in {report.tracks}"
    found = f"{count(len(report.operations), 'edit')} of {count(report.rows, 'row')}"
    frames = f"frames {report.first_frame} to {report.last_frame}"
    if report.dry_run:
        return f"{found}, {frames}; nothing was written"
    return f"{found}, {frames}, revision {report.revision} of the log"


COMMANDS = (export, import_)
