"""The command ``dft batch``."""

import json
from pathlib import Path
from typing import Any

import click

from ...configs.analysis import AnalyzeSettings
from ...configs.console import FILE, QUIET, common
from ...configs.flags import setting_flags
from ...configs.rendering import RenderSettings
from ...configs.settings import all_settings, read_settings_file

_SHARED = set(all_settings(AnalyzeSettings)) & set(all_settings(RenderSettings))
_RENDERING = [name for name in all_settings(RenderSettings) if name not in _SHARED]


@click.command(short_help="Analyze and render many videos, several at once.")
@click.argument("given", metavar="FILES|FOLDERS|MANIFEST.csv...", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, required=True, help="Folder of the results; made if it is not there.")
@click.option("--only", type=click.Choice(["analyze", "render"]), help="One pass, so that people review in between.")
@click.option("--streams", type=click.IntRange(1, 256), help="Videos at once.  [1 for 2 cores; a GPU's decoders]")
@click.option(
    "--stall", type=click.FloatRange(1), default=300.0, show_default=True,
    help="Seconds without progress after which a video is begun again in a new process.",
)  # fmt: skip
@click.option("--keep-going", is_flag=True, help="Go on even if more than half of the videos fail.")
@click.option("--overwrite", is_flag=True, help="Replace results that this batch has not made, or others have changed.")
@setting_flags(AnalyzeSettings)
@setting_flags(RenderSettings, only=_RENDERING)
@common
def batch_command(
    given: tuple[Path, ...], output: Path, only: str | None, streams: int | None, stall: float, keep_going: bool,
    overwrite: bool, config: Path | None, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Analyze and render many videos, several at once; one that fails does not stop the others.

    Folders are searched with their subfolders. A manifest is CSV with a column video and, where wanted, output,
    priority and settings by name. The same command run again skips what is done, goes on with what was cut off, and
    tries again what failed. Beside the results lie batch.json and batch.html, the report. The flags are those of dft
    analyze and dft render. Exit status 1 if any video failed.

    \b
    Example:
      dft batch talks -o done --preset veryfast
    """
    from .pipeline import batch
    from .plan import STEPS, BatchOptions, Values

    steps = tuple(step for step in STEPS if only in (None, step))
    options = BatchOptions(steps, streams, stall, keep_going, overwrite)
    values = Values(*(_values(kind, section, config, flags) for section, kind in _PASSES.items()))
    quiet = bool(click.get_current_context().meta[QUIET])
    report = batch(given, output, values=values, options=options, quiet=quiet)
    click.echo(json.dumps(report.as_dict()) if as_json else report.as_text())
    if report.num("failed") or report.num("left"):
        raise click.exceptions.Exit(1)


_PASSES: dict[str, type] = {"analyze": AnalyzeSettings, "render": RenderSettings}


def _values(settings: type, section: str, config: Path | None, flags: dict[str, Any]) -> dict[str, Any]:
    values = read_settings_file(config, section) if config else {}
    known = all_settings(settings)
    return {**values, **{name: value for name, value in flags.items() if name in known and value is not None}}
