"""The commands of ``dft tracks`` that say what a track file holds, and how right it is.

Modules that do the work are imported when their command runs, so that help and completion stay quick.
"""

import json
import sys
from pathlib import Path

import click

from ..configs.console import FILE, common


@click.command("show")
@click.argument("file", type=FILE)
@common
def show_command(file: Path, as_json: bool) -> None:
    """Who is where in FILE with its edits: spans, coverage, gaps, box sizes, suspects.

    \b
    Example:
      dft tracks show tracks.parquet
    """
    from rich.console import Console

    from .edits.reading import read_edited
    from .summary import print_summary, summarize

    track_file, edits = read_edited(file)
    summary = summarize(track_file)
    if as_json:
        click.echo(json.dumps({**summary.as_dict(), "edits": edits.as_dict()}))
    else:
        if edits.operations:
            click.echo(edits.words())
        print_summary(summary, Console(width=None if sys.stdout.isatty() else 100))


@click.command("validate")
@click.argument("file", type=FILE)
@common
def validate_command(file: Path, as_json: bool) -> None:
    """Check FILE against the profile dft_tracks; problems name row and column.

    \b
    Example:
      dft tracks validate tracks.parquet
    """
    from .files import read_tracks
    from .validate import problems

    track_file = read_tracks(file, check=False)
    found = problems(track_file.table, track_file.metadata)
    if as_json:
        click.echo(json.dumps({"file": str(file), "valid": not found, "problems": found}))
    else:
        click.echo("\n".join(found) if found else f"{file} is valid: {track_file.table.num_rows} rows")
    if found:
        raise click.exceptions.Exit(1)


@click.command("plot")
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, help="Picture, PNG or SVG.  [FILE's name with .png]")
@click.option("--overwrite", is_flag=True, help="Replace an existing picture.")
@common
def plot_command(file: Path, output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Draw the position of both people over time, sides, gaps and suspects.

    \b
    Example:
      dft tracks plot tracks.parquet -o tracks.png
    """
    from .edits.reading import read_edited
    from .plot import plot_tracks

    output = output or file.with_suffix(".png")
    plot_tracks(read_edited(file)[0], output, overwrite=overwrite)
    click.echo(json.dumps({"output": str(output)}) if as_json else str(output))


@click.command("score")
@click.argument("file", metavar="TRACKS", type=FILE)
@click.argument("truth", type=FILE)
@click.option(
    "--iou", type=click.FloatRange(0, 1, min_open=True), default=0.4, show_default=True,
    help="Least overlap of a box with a true one to be on that face.",
)  # fmt: skip
@common
def score_command(file: Path, truth: Path, iou: float, as_json: bool) -> None:
    """How right TRACKS, with its edits, is by TRUTH: names that are right, wrong, missing, and how often they change.

    TRUTH is a corrected track file, or a table with the columns frame_index, person, x1, y1, x2, y2 and optionally
    visible, such as dft demo writes.

    \b
    Example:
      dft tracks score demo/demo.tracks.parquet demo/demo.truth.parquet
    """
    from rich.console import Console

    from .edits.reading import read_edited
    from .score import print_score, score
    from .truth import read_truth

    made = score(read_edited(file)[0], read_truth(truth), iou)
    if as_json:
        click.echo(json.dumps(made.as_dict()))
    else:
        print_score(made, Console(width=None if sys.stdout.isatty() else 100))


COMMANDS: tuple[click.Command, ...] = (show_command, validate_command, plot_command, score_command)
