"""What the commands share: how they log, and what they say on stdout and stderr."""

import logging
import sys
from collections.abc import Callable
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
