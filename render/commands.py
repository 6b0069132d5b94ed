"""The commands ``dft render`` and ``dft tracks plan``.

Modules that do the work are imported when their command runs, so that help and completion stay quick.
"""

import json
import sys
from pathlib import Path
from typing import Any

import click

from ..configs.console import FILE, QUIET, common, count, print_result, progress_bar
from ..configs.flags import setting_flags, settings_from_flags
from ..configs.rendering import RenderSettings


@click.command("render", short_help="Crop both people, tile them, and encode with the original sound.")
@click.argument("video", type=FILE)
@click.argument("tracks", type=FILE, required=False)
@click.option("-o", "--output", type=FILE, help="Video to write (mp4, mov, mkv).  [VIDEO's name with .dft.mp4]")
@click.option("--overwrite", is_flag=True, help="Replace an existing video.")
@click.option("--force", is_flag=True, help="Use TRACKS even if they were made from another file.")
@click.option("--preview", is_flag=True, help="A small, quick proof instead: boxes and crops over the source.")
@click.option("--still", metavar="TIME", help="One picture instead, as PNG: 12.5s or 00:00:12.5 from the start.")
@setting_flags(RenderSettings)
@common
def render_command(
    video: Path, tracks: Path | None, output: Path | None, overwrite: bool, force: bool, preview: bool,
    still: str | None, config: Path | None, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Crop both people of VIDEO by TRACKS, tile them, and encode with the original sound.

    TRACKS is VIDEO's name with .tracks.parquet, if not given. Stopped midway, the same command goes on after the last
    finished segment; with --overwrite only the segments are encoded that come out differently. A report on the result
    is printed, and written beside it (.qc.json).

    \b
    Example:
      dft render in.mp4 tracks.parquet -o out.mp4
    """
    settings = settings_from_flags(RenderSettings, "render", config, flags)
    common: dict[str, Any] = {"settings": settings, "force": force, "overwrite": overwrite}
    if preview or still is not None:
        _look(video, tracks, output, _moment(still), preview, as_json, common)
        return
    from .pipeline import render

    with progress_bar("render") as progress:
        report = render(video, tracks, output, progress=progress, **common)
    reused = f", {report.reused:,} of them from before" if report.reused else ""
    names = ", ".join(map(str, report.outputs))
    print_result(report, as_json, f"{names}: {count(report.frames, 'frame')}{reused} ({report.fps:.1f} frames/s)")
    if not as_json and not click.get_current_context().meta[QUIET]:
        from rich.console import Console

        from .qc import print_report

        for quality in report.quality:
            print_report(quality, Console(width=None if sys.stdout.isatty() else 100))


@click.command("plan", short_help="How the camera of dft render would move, in numbers.")
@click.argument("video", type=FILE)
@click.argument("file", metavar="[TRACKS]", type=FILE, required=False)
@click.option("--force", is_flag=True, help="Use TRACKS even if they were made from another file.")
@click.option("--compare", is_flag=True, help="The figures of two usual ways to follow a face as well.")
@click.option("--plot", "picture", type=FILE, help="Draw the paths and their acceleration (png, svg).")
@click.option("--overwrite", is_flag=True, help="Replace an existing picture.")
@setting_flags(RenderSettings)
@common
def plan_command(
    video: Path, file: Path | None, force: bool, compare: bool, picture: Path | None, overwrite: bool,
    config: Path | None, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """How the camera of dft render would move through VIDEO by TRACKS, in numbers, without decoding.

    Per tile: how calm the camera is, how long it stands still, how much of the face it shows and how near to its
    place. TRACKS is VIDEO's name with .tracks.parquet, if not given. The flags are those of dft render.

    The two usual ways make crops of the same size: the face's centre smoothed by a Savitzky-Golay filter over a second,
    and a camera that stays until the face leaves a dead zone and then moves there by exponential smoothing.

    \b
    Example:
      dft tracks plan in.mp4 tracks.parquet --compare --plot camera.png
    """
    settings = settings_from_flags(RenderSettings, "render", config, flags)
    from rich.console import Console

    from .camera.metrics import print_plan, study

    studied = study(video, file, settings, force=force)
    report = studied.report(compare=compare)
    if picture is not None:
        from .camera.plot import plot_plan

        plot_plan(studied, picture, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        print_plan(report, Console(width=None if sys.stdout.isatty() else 130 if compare else 100))


def _moment(text: str | None) -> float | None:
    from ..trackio.timecode import parse_timecode

    try:
        return None if text is None else parse_timecode(text.removesuffix("s"))
    except ValueError as error:
        raise click.BadParameter(f"{error}; expected 12.5s or 00:00:12.5", param_hint="--still") from error


def _look(
    video: Path, tracks: Path | None, output: Path | None, moment: float | None, proof: bool, as_json: bool,
    common: dict[str, Any],
) -> None:  # fmt: skip
    """The preview, or a still of the result or of the preview."""
    from .preview import preview, still

    if moment is not None:
        report = still(video, moment, tracks, output, proof=proof, **common)
    else:
        with progress_bar("preview") as progress:
            report = preview(video, tracks, output, progress=progress, **common)
    names = ", ".join(map(str, report.outputs))
    print_result(report, as_json, names if moment is not None else f"{names}: {count(report.frames, 'frame')}")
