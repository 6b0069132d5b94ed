"""The commands ``dft analyze`` and ``dft tracks reidentify``.

Modules that do the work are imported when their command runs, so that help and completion stay quick.
"""

from pathlib import Path
from typing import Any

import click

from ..configs.analysis import STAGE_TWO, AnalyzeSettings
from ..configs.console import FILE, common, count, print_result, progress_bar
from ..configs.flags import setting_flags, settings_from_flags


@click.command("analyze", short_help="Find the two people in every frame, and decide who is left and right.")
@click.argument("video", type=FILE)
@click.option("-o", "--output", type=FILE, help="Track file.  [VIDEO's name with .tracks.parquet]")
@click.option("--overwrite", is_flag=True, help="Replace an existing track file.")
@click.option("--keep-evidence", is_flag=True, help="Keep what was seen, for dft tracks reidentify.")
@setting_flags(AnalyzeSettings)
@common
def analyze_command(
    video: Path, output: Path | None, overwrite: bool, keep_evidence: bool,
    config: Path | None, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Find the two people in every frame of VIDEO, and decide who is left and right.

    Stopped midway, the same command goes on from the last finished chunk.

    \b
    Example:
      dft analyze in.mp4 -o tracks.parquet
    """
    settings = settings_from_flags(AnalyzeSettings, "analyze", config, flags)
    from .pipeline import analyze

    with progress_bar("analyze") as progress:
        report = analyze(
            video, output, settings=settings, overwrite=overwrite, keep_evidence=keep_evidence, progress=progress
        )
    print_result(
        report, as_json,
        f"{_found(report)}, {report.embedded:,} of {count(report.faces, 'face')} embedded ({report.fps:.0f} frames/s)",
    )  # fmt: skip


@click.command("reidentify", short_help="Decide anew who is who, without decoding.")
@click.argument("file", metavar="TRACKS", type=FILE)
@click.option("-o", "--output", type=FILE, help="New track file.  [TRACKS itself, with --overwrite]")
@click.option("--evidence", type=FILE, help="Folder of the evidence.  [TRACKS' name with .evidence]")
@click.option("--overwrite", is_flag=True, help="Replace an existing track file.")
@setting_flags(AnalyzeSettings, only=STAGE_TWO)
@common
def reidentify_command(
    file: Path, output: Path | None, evidence: Path | None, overwrite: bool, as_json: bool, **flags: Any
) -> None:
    """Decide anew who is who in TRACKS, from the evidence that dft analyze --keep-evidence kept: without decoding.

    Settings that are not given stay as they were.

    \b
    Example:
      dft tracks reidentify in.tracks.parquet -o new.tracks.parquet --main "480,300@2.5"
    """
    from .pipeline import reidentify

    changes = {name: value for name, value in flags.items() if value is not None}
    report = reidentify(file, output, changes=changes, evidence=evidence, overwrite=overwrite)
    print_result(report, as_json, _found(report))


def _found(report: Any) -> str:
    return (
        f"{report.output}: {' and '.join(report.persons)} in {count(report.frames, 'frame')}, "
        f"{count(report.shots, 'shot')}, {count(report.suspects, 'moment')} to review"
    )
