"""The command ``dft``: each command is thin, calls one function of the library, and prints its result.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 1 a ``DftError``, 2 wrong usage, 130 stopped by
Ctrl-C. Passes are imported when their command runs, so that help and completion stay quick.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .configs.analysis import STAGE_TWO, AnalyzeSettings
from .configs.console import FILE, QUIET, common, count
from .configs.errors import DftError
from .configs.flags import setting_flags, settings_from_flags, settings_page
from .configs.rendering import RenderSettings
from .configs.settings import build
from .configs.version import VERSION
from .render.batch.commands import batch_command, soak_command
from .trackio.commands import EDIT_COMMANDS
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


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar with rate and time left on stderr, where that is a terminal."""
    if click.get_current_context().meta[QUIET] or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]:>6.1f} frames/s")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, rate=0.0)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, rate=bar.tasks[0].speed or 0.0)

        yield show


def _print_report(report: Any, as_json: bool, line: str) -> None:
    from .configs.hardware import peak_rss_mb

    if as_json:
        click.echo(json.dumps({**asdict(report), "peak_rss_mb": round(peak_rss_mb(), 1)}, default=str))
    else:
        click.echo(line)


@click.group(cls=_Interruptible, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="dft")
def cli() -> None:
    """Two passes from a video of two people to a split-screen video.

    \b
    Example:
      dft analyze in.mp4 -o tracks.parquet
      dft render in.mp4 tracks.parquet -o out.mp4
    """


@cli.command(short_help="Find the two people in every frame, and decide who is left and right.")
@click.argument("video", type=FILE)
@click.option("-o", "--output", type=FILE, help="Track file.  [VIDEO's name with .tracks.parquet]")
@click.option("--overwrite", is_flag=True, help="Replace an existing track file.")
@click.option("--keep-evidence", is_flag=True, help="Keep what was seen, for dft tracks reidentify.")
@setting_flags(AnalyzeSettings)
@common
def analyze(
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
    from .analyze.pipeline import analyze as run

    with _progress("analyze") as progress:
        report = run(
            video, output, settings=settings, overwrite=overwrite, keep_evidence=keep_evidence, progress=progress
        )
    _print_report(
        report, as_json,
        f"{_found(report)}, {report.embedded:,} of {count(report.faces, 'face')} embedded ({report.fps:.0f} frames/s)",
    )  # fmt: skip


def _found(report: Any) -> str:
    return (
        f"{report.output}: {' and '.join(report.persons)} in {count(report.frames, 'frame')}, "
        f"{count(report.shots, 'shot')}, {count(report.suspects, 'moment')} to review"
    )


@cli.command(short_help="Crop both people, tile them, and encode with the original sound.")
@click.argument("video", type=FILE)
@click.argument("tracks", type=FILE, required=False)
@click.option("-o", "--output", type=FILE, help="Video to write (mp4, mov, mkv).  [VIDEO's name with .dft.mp4]")
@click.option("--overwrite", is_flag=True, help="Replace an existing video.")
@click.option("--force", is_flag=True, help="Use TRACKS even if they were made from another file.")
@click.option("--preview", is_flag=True, help="A small, quick proof instead: boxes and crops over the source.")
@click.option("--still", metavar="TIME", help="One picture instead, as PNG: 12.5s or 00:00:12.5 from the start.")
@setting_flags(RenderSettings)
@common
def render(
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
    from .render.pipeline import render as run

    with _progress("render") as progress:
        report = run(video, tracks, output, progress=progress, **common)
    reused = f", {report.reused:,} of them from before" if report.reused else ""
    names = ", ".join(map(str, report.outputs))
    _print_report(report, as_json, f"{names}: {count(report.frames, 'frame')}{reused} ({report.fps:.1f} frames/s)")
    if not as_json and not click.get_current_context().meta[QUIET]:
        from rich.console import Console

        from .render.qc import print_report

        for quality in report.quality:
            print_report(quality, Console(width=None if sys.stdout.isatty() else 100))


def _moment(text: str | None) -> float | None:
    from .trackio.timecode import parse_timecode

    try:
        return None if text is None else parse_timecode(text.removesuffix("s"))
    except ValueError as error:
        raise click.BadParameter(f"{error}; expected 12.5s or 00:00:12.5", param_hint="--still") from error


def _look(
    video: Path, tracks: Path | None, output: Path | None, moment: float | None, proof: bool, as_json: bool,
    common: dict[str, Any],
) -> None:  # fmt: skip
    """The preview, or a still of the result or of the preview."""
    from .render.preview import preview, still

    if moment is not None:
        report = still(video, moment, tracks, output, proof=proof, **common)
    else:
        with _progress("preview") as progress:
            report = preview(video, tracks, output, progress=progress, **common)
    names = ", ".join(map(str, report.outputs))
    _print_report(report, as_json, names if moment is not None else f"{names}: {count(report.frames, 'frame')}")


def _video_for_review(video: Path, fingerprint: str) -> Any:
    from .render.reviewing import ReviewedVideo

    return ReviewedVideo(video, fingerprint)


cli.add_command(review_command(_video_for_review))
cli.add_command(batch_command, "batch")
cli.add_command(soak_command, "soak")


@cli.group()
def tracks() -> None:
    """Look into track files, and correct them.

    \b
    Example:
      dft tracks show tracks.parquet
    """


@tracks.command()
@click.argument("file", type=FILE)
@common
def show(file: Path, as_json: bool) -> None:
    """Who is where in FILE with its edits: spans, coverage, gaps, box sizes, suspects.

    \b
    Example:
      dft tracks show tracks.parquet
    """
    from rich.console import Console

    from .trackio.edits.reading import read_edited
    from .trackio.summary import print_summary, summarize

    track_file, edits = read_edited(file)
    summary = summarize(track_file)
    if as_json:
        click.echo(json.dumps({**summary.as_dict(), "edits": edits.as_dict()}))
    else:
        if edits.operations:
            click.echo(edits.words())
        print_summary(summary, Console(width=None if sys.stdout.isatty() else 100))


@tracks.command()
@click.argument("file", type=FILE)
@common
def validate(file: Path, as_json: bool) -> None:
    """Check FILE against the profile dft_tracks; problems name row and column.

    \b
    Example:
      dft tracks validate tracks.parquet
    """
    from .trackio.files import read_tracks
    from .trackio.validate import problems

    track_file = read_tracks(file, check=False)
    found = problems(track_file.table, track_file.metadata)
    if as_json:
        click.echo(json.dumps({"file": str(file), "valid": not found, "problems": found}))
    else:
        click.echo("\n".join(found) if found else f"{file} is valid: {track_file.table.num_rows} rows")
    if found:
        raise click.exceptions.Exit(1)


@tracks.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, help="Picture, PNG or SVG.  [FILE's name with .png]")
@click.option("--overwrite", is_flag=True, help="Replace an existing picture.")
@common
def plot(file: Path, output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Draw the position of both people over time, sides, gaps and suspects.

    \b
    Example:
      dft tracks plot tracks.parquet -o tracks.png
    """
    from .trackio.edits.reading import read_edited
    from .trackio.plot import plot_tracks

    output = output or file.with_suffix(".png")
    plot_tracks(read_edited(file)[0], output, overwrite=overwrite)
    click.echo(json.dumps({"output": str(output)}) if as_json else str(output))


@tracks.command(short_help="Decide anew who is who, without decoding.")
@click.argument("file", metavar="TRACKS", type=FILE)
@click.option("-o", "--output", type=FILE, help="New track file.  [TRACKS itself, with --overwrite]")
@click.option("--evidence", type=FILE, help="Folder of the evidence.  [TRACKS' name with .evidence]")
@click.option("--overwrite", is_flag=True, help="Replace an existing track file.")
@setting_flags(AnalyzeSettings, only=STAGE_TWO)
@common
def reidentify(
    file: Path, output: Path | None, evidence: Path | None, overwrite: bool, as_json: bool, **flags: Any
) -> None:
    """Decide anew who is who in TRACKS, from the evidence that dft analyze --keep-evidence kept: without decoding.

    Settings that are not given stay as they were.

    \b
    Example:
      dft tracks reidentify in.tracks.parquet -o new.tracks.parquet --main "480,300@2.5"
    """
    from .analyze.pipeline import reidentify as run

    changes = {name: value for name, value in flags.items() if value is not None}
    report = run(file, output, changes=changes, evidence=evidence, overwrite=overwrite)
    _print_report(report, as_json, _found(report))


@tracks.command()
@click.argument("file", metavar="TRACKS", type=FILE)
@click.argument("truth", type=FILE)
@click.option(
    "--iou", type=click.FloatRange(0, 1, min_open=True), default=0.4, show_default=True,
    help="Least overlap of a box with a true one to be on that face.",
)  # fmt: skip
@common
def score(file: Path, truth: Path, iou: float, as_json: bool) -> None:
    """How right TRACKS, with its edits, is by TRUTH: names that are right, wrong, missing, and how often they change.

    TRUTH is a corrected track file, or a table with the columns frame_index, person, x1, y1, x2, y2 and optionally
    visible, such as dft demo writes.

    \b
    Example:
      dft tracks score demo/demo.tracks.parquet demo/demo.truth.parquet
    """
    from rich.console import Console

    from .trackio.edits.reading import read_edited
    from .trackio.score import print_score, read_truth
    from .trackio.score import score as run

    made = run(read_edited(file)[0], read_truth(truth), iou)
    if as_json:
        click.echo(json.dumps(made.as_dict()))
    else:
        print_score(made, Console(width=None if sys.stdout.isatty() else 100))


@tracks.command(name="plan", short_help="How the camera of dft render would move, in numbers.")
@click.argument("video", type=FILE)
@click.argument("file", metavar="[TRACKS]", type=FILE, required=False)
@click.option("--force", is_flag=True, help="Use TRACKS even if they were made from another file.")
@click.option("--compare", is_flag=True, help="The figures of two usual ways to follow a face as well.")
@click.option("--plot", "picture", type=FILE, help="Draw the paths and their acceleration (png, svg).")
@click.option("--overwrite", is_flag=True, help="Replace an existing picture.")
@setting_flags(RenderSettings)
@common
def plan_(
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

    from .render.camera.metrics import print_plan, study

    studied = study(video, file, settings, force=force)
    report = studied.report(compare=compare)
    if picture is not None:
        from .render.camera.plot import plot_plan

        plot_plan(studied, picture, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        print_plan(report, Console(width=None if sys.stdout.isatty() else 130 if compare else 100))


for _command in (*EDIT_COMMANDS, *INTERCHANGE_COMMANDS):
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
    with _progress("make") as progress:
        truth = write_scene(DEMO_SCENE, video, overwrite=overwrite, progress=progress)
    with _progress("analyze") as progress:
        analysis = run_analyze(video, overwrite=overwrite, progress=progress)
    with _progress("render") as progress:
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
