"""The command ``dft``, of the packages' commands and those that span both passes.

Each command is thin, calls one function of the library, and prints its result.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 1 a ``DftError``, 2 wrong usage, 130 stopped by
Ctrl-C. Passes are imported when their command runs, so that help and completion stay quick.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .analyze.commands import analyze_command, reidentify_command
from .configs.analysis import AnalyzeSettings
from .configs.console import FILE, common, progress_bar
from .configs.errors import DftError
from .configs.flags import setting_flags, settings_from_flags, settings_page
from .configs.rendering import RenderSettings
from .configs.settings import build
from .configs.version import VERSION
from .render.batch.commands import batch_command, soak_command
from .render.commands import plan_command, render_command
from .trackio.commands import COMMANDS as TRACKS_COMMANDS
from .trackio.edits.commands import COMMANDS as EDIT_COMMANDS
from .trackio.interchange.commands import COMMANDS as INTERCHANGE_COMMANDS
from .trackio.review.commands import review_command

PASSES = {"analyze": AnalyzeSettings, "render": RenderSettings}


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        # what a command leaves with (--help, a file that is not valid, Ctrl-C) is returned, not raised
        sys.exit(cli.main(prog_name="dft", standalone_mode=False))
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DftError as error:
        click.echo(f"dft: error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("dft: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as with `dft ... | head`
        sys.exit(141)


class _Interruptible(click.Group):
    """A group whose commands say in one line that Ctrl-C stopped them."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("dft: stopped", err=True)
            ctx.exit(130)


@click.group(cls=_Interruptible, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="dft")
def cli() -> None:
    """Two passes from a video of two people to a split-screen video.

    \b
    Example:
      dft analyze in.mp4 -o tracks.parquet
      dft render in.mp4 tracks.parquet -o out.mp4
    """


def _video_for_review(video: Path, fingerprint: str) -> Any:
    from .render.reviewing import ReviewedVideo

    return ReviewedVideo(video, fingerprint)


for _command in (analyze_command, render_command, review_command(_video_for_review), batch_command, soak_command):
    cli.add_command(_command)


@cli.group()
def tracks() -> None:
    """Look into track files, and correct them.

    \b
    Example:
      dft tracks show tracks.parquet
    """


for _command in (*TRACKS_COMMANDS, reidentify_command, plan_command, *EDIT_COMMANDS, *INTERCHANGE_COMMANDS):
    tracks.add_command(_command)


@cli.command(short_help="Make a two-person video, analyze it, render it.")
@click.argument("folder", type=FILE, default=Path("demo"))
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier demo.")
@common
def demo(folder: Path, overwrite: bool, as_json: bool) -> None:
    """Make a two-person video from two public-domain portraits in FOLDER, analyze it, render it.

    \b
    Example:
      dft demo demo
    """
    from .analyze.pipeline import analyze as run_analyze
    from .render.demo import DEMO_SCENE
    from .render.pipeline import render as run_render
    from .render.scene import write_scene

    video = folder / "demo.mp4"
    with progress_bar("make") as progress:
        truth = write_scene(DEMO_SCENE, video, overwrite=overwrite, progress=progress)
    with progress_bar("analyze") as progress:
        analysis = run_analyze(video, overwrite=overwrite, progress=progress)
    with progress_bar("render") as progress:
        rendered = run_render(video, analysis.output, overwrite=overwrite, progress=progress)
    files = {"video": video, "truth": truth, "tracks": analysis.output, "render": rendered.output}
    if as_json:
        click.echo(json.dumps({name: str(path) for name, path in files.items()}))
    else:
        click.echo("\n".join(f"{name + ':':8} {path}" for name, path in files.items()))


@cli.command(short_help="Measure both passes against this machine's own limits.")
@click.argument("video", type=FILE)
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="Rounds; figures are medians.")
@click.option("--truth", type=FILE, help="Where the faces really are: prints what each part of identity is worth, too.")
@click.option(
    "--streams",
    type=click.IntRange(1, 256),
    help="Measure analysis alone, of so many videos at once, all of them VIDEO.",
)
@click.option("--processes", type=click.IntRange(1, 64), help="To which they are spread.  [half as many as cores]")
@click.option("--seconds", type=click.FloatRange(0.5), default=10.0, show_default=True, help="How long streams run.")
@setting_flags(RenderSettings)
@common
def bench(
    video: Path, repeat: int, truth: Path | None, streams: int | None, processes: int | None, seconds: float,
    config: Path | None, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Measure both passes on VIDEO against this machine's own limits, in one run.

    Prints decode-only speed, the analysis and its share of that, ReID's share of the analysis, a plain transcode
    (decode, crop, scale, hstack, x264),
    the rendering and its share of that, and the peak memory. The flags are those of dft render. With --truth (see dft
    tracks score) VIDEO is also analyzed with less and less of identity: ByteTrack only, without embeddings, with all.
    With --streams it is looked at by so many at once, beside their decoders alone.

    \b
    Example:
      dft bench in.mp4 --preset veryfast --repeat 3
      dft bench in.mp4 --device cuda --streams 8 --processes 4
    """
    settings = settings_from_flags(RenderSettings, "render", config, flags)
    if streams is not None:
        _bench_streams(video, settings.encode.device, streams, processes, seconds, as_json=as_json)
        return
    from .analyze.ablation import ablation, as_text
    from .render.bench import bench as run

    report = run(video, settings, repeat)
    rows = [] if truth is None else ablation(video, truth)
    if as_json:
        click.echo(json.dumps({**asdict(report), "ablation": [asdict(row) for row in rows]}))
    else:
        click.echo("\n\n".join([report.as_text(), as_text(rows)] if rows else [report.as_text()]))


def _bench_streams(
    video: Path, device: str, streams: int, processes: int | None, seconds: float, *, as_json: bool
) -> None:
    from .analyze.streams import bench_streams

    report = bench_streams(video, build(AnalyzeSettings, {"device": device}), streams, processes, seconds)
    click.echo(json.dumps(asdict(report)) if as_json else report.as_text())


@cli.command(short_help="Print every setting of every pass as Markdown.")
def settings() -> None:
    """Print every setting of every pass as Markdown (docs/settings.md).

    \b
    Example:
      dft settings > settings.md
    """
    click.echo(settings_page(PASSES), nl=False)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    Example:
      eval "$(dft completion bash)"
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(cli, {}, "dft", "_DFT_COMPLETE").source())
