"""What the commands share: how they log, and what they say on stdout and stderr."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click

QUIET = "dft.quiet"
LEVELS = ("debug", "info", "warning", "error")
FILE = click.Path(path_type=Path)
Command = Callable[..., Any]


def common(command: Command) -> Command:
    """Add --json, --quiet and --log-level to a command, and set up logging."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
    @click.option("--quiet", "-q", is_flag=True, help="No progress bar, and only errors are logged.")
    @click.option("--log-level", type=click.Choice(LEVELS), default="warning", show_default=True, help="Log to stderr.")
    @wraps(command)
    def wrapped(*args: Any, quiet: bool, log_level: str, **kwargs: Any) -> Any:
        click.get_current_context().meta[QUIET] = quiet
        level = logging.ERROR if quiet else getattr(logging, log_level.upper())
        logging.basicConfig(level=level, format="dft: %(levelname)s: %(message)s", stream=sys.stderr, force=True)
        return command(*args, **kwargs)

    return wrapped


def count(number: int, noun: str) -> str:
    """``1 frame``, ``2,000 frames``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
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


def print_result(report: Any, as_json: bool, line: str) -> None:
    """Print a report, a dataclass: as JSON with this process's peak memory, or as the line that is given."""
    from .hardware import peak_rss_mb

    if as_json:
        click.echo(json.dumps({**asdict(report), "peak_rss_mb": round(peak_rss_mb(), 1)}, default=str))
    else:
        click.echo(line)
