"""The commands ``dft batch`` and ``dft soak``."""

import json
import sys
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import click

from ...configs.analysis import AnalyzeSettings
from ...configs.console import FILE, QUIET, common
from ...configs.flags import setting_flags
from ...configs.rendering import RenderSettings
from ...configs.settings import all_settings, read_settings_file

_SHARED = set(all_settings(AnalyzeSettings)) & set(all_settings(RenderSettings))
_RENDERING = [name for name in all_settings(RenderSettings) if name not in _SHARED]


@click.command("batch", short_help="Analyze and render many videos, several at once.")
@click.argument("given", metavar="FILES|FOLDERS|MANIFEST.csv...", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, required=True, help="Folder of the results; made if it is not there.")
@click.option("--only", type=click.Choice(["analyze", "render"]), help="One pass, so that people review in between.")
@click.option("--streams", type=click.IntRange(1, 10_000), help="Videos at once.  [1 for 2 cores; what GPUs allow]")
@click.option(
    "--stall", type=click.FloatRange(1), default=300.0, show_default=True,
    help="Seconds without progress after which a video is begun again in a new process.",
)  # fmt: skip
@click.option("--keep-going", is_flag=True, help="Go on even if more than half of the videos fail.")
@click.option(
    "--share-bitrate", is_flag=True, help="Take 70 % of --bitrate where three or more renderings share a GPU's encoder."
)
@click.option("--overwrite", is_flag=True, help="Replace results that this batch has not made, or others have changed.")
@click.option(
    "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
    help="This machine, or a Ray cluster that it is part of.",
)  # fmt: skip
@click.option(
    "--address", metavar="HOST:PORT", default="127.0.0.1:6379", show_default=True, help="Head of the Ray cluster."
)
@click.option(
    "--split-seconds", type=click.FloatRange(1), default=300.0, show_default=True,
    help="With --engine ray, one more node for each so many seconds of a video, where nodes are free.",
)  # fmt: skip
@setting_flags(AnalyzeSettings)
@setting_flags(RenderSettings, only=_RENDERING)
@common
def batch_command(
    given: tuple[Path, ...], output: Path, only: str | None, streams: int | None, stall: float, keep_going: bool,
    share_bitrate: bool, overwrite: bool, engine: Literal["local", "ray"], address: str, split_seconds: float,
    config: Path | None, as_json: bool, **flags: Any,
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

    if not isfinite(stall):
        raise click.BadParameter(f"{stall} is no number of seconds", param_hint="--stall")
    steps = tuple(step for step in STEPS if only in (None, step))
    options = BatchOptions(
        steps, streams, stall, keep_going, overwrite, engine, address, split_seconds, share_bitrate
    )  # fmt: skip
    values = Values(*(_values(kind, section, config, flags) for section, kind in _PASSES.items()))
    quiet = bool(click.get_current_context().meta[QUIET])
    try:
        report = batch(given, output, values=values, options=options, quiet=quiet)
    except KeyboardInterrupt:
        click.echo("dft: stopped; the same command goes on", err=True)
        raise click.exceptions.Exit(130) from None
    click.echo(json.dumps(report.as_dict()) if as_json else report.as_text())
    if report.num("failed") or report.num("left"):
        raise click.exceptions.Exit(1)


@click.command("soak", short_help="Analyze and render videos again and again: does anything grow?")
@click.argument("given", metavar="FILES|FOLDERS|MANIFEST.csv...", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, required=True, help="Report with every sample, JSON.")
@click.option("--passes", type=click.IntRange(1), default=500, show_default=True, help="Videos in all.")
@click.option("--streams", type=click.IntRange(1, 256), default=1, show_default=True, help="Videos at once.")
@click.option("--overwrite", is_flag=True, help="Replace an existing report.")
@setting_flags(AnalyzeSettings)
@setting_flags(RenderSettings, only=_RENDERING)
@common
def soak_command(
    given: tuple[Path, ...], output: Path, passes: int, streams: int, overwrite: bool, config: Path | None,
    as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Analyze and render videos again and again in a batch's workers, and see whether anything grows.

    After each video its worker's memory, open files and threads are noted; what was made is removed. Growth is the
    slope of memory after warm-up, a fifth of the videos, with its 95 % interval (Theil and Sen). Small videos tell
    as much in less time. Exit status 1 if anything grows.

    \b
    Example:
      dft soak talks -o soak.json --passes 500 --preset ultrafast
    """
    from ...trackio.atomic import atomic_output, check_output
    from .endurance.soak import soak
    from .plan import Values

    check_output(output, overwrite=overwrite, inputs=given)
    values = Values(*(_values(kind, section, config, flags) for section, kind in _PASSES.items()))
    hidden = bool(click.get_current_context().meta[QUIET]) or not sys.stderr.isatty()
    with click.progressbar(length=passes, label="soak", file=StringIO() if hidden else sys.stderr) as bar:
        report = soak(given, passes, values=values, streams=streams, progress=lambda *_: bar.update(1))
    with atomic_output(output, overwrite=overwrite) as unfinished:
        unfinished.write_text(json.dumps(report.as_dict()), encoding="utf-8")
    click.echo(json.dumps(report.as_dict()) if as_json else report.as_text())
    if not report.steady:
        raise click.exceptions.Exit(1)


_PASSES: dict[str, type] = {"analyze": AnalyzeSettings, "render": RenderSettings}


def _values(settings: type, section: str, config: Path | None, flags: dict[str, Any]) -> dict[str, Any]:
    values = read_settings_file(config, section) if config else {}
    known = all_settings(settings)
    return {**values, **{name: value for name, value in flags.items() if name in known and value is not None}}
