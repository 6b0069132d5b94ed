"""What a person sees of a batch while it runs: a table where stderr is a terminal, else a line for each step."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..schedule import Record, View

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SHOWN_ENDED = 8  # of the jobs that are through, only the last few are shown
NAME_WIDTH = 30  # of the longest name that is shown whole
REFRESHES_PER_SECOND = 4
ENDED = ("done", "skipped", "failed")


class Silent:
    """Says nothing; implements :class:`dft.render.batch.schedule.View`."""

    def begin(self, records: Sequence[Record]) -> None:
        """Say nothing."""

    def changed(self, record: Record) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Say nothing."""


class Lines:
    """A line on stderr whenever something begins or ends; implements :class:`dft.render.batch.schedule.View`."""

    def __init__(self) -> None:
        self._records: Sequence[Record] = ()

    def begin(self, records: Sequence[Record]) -> None:
        """These are all."""
        self._records = records

    def changed(self, record: Record) -> None:
        """Say how it is."""
        ended = sum(record.status in ENDED for record in self._records)
        print(f"dft: [{ended}/{len(self._records)}] {record.job.name}: {words(record)}", file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Say nothing."""


def words(record: Record) -> str:
    """How it is with a job, in a line."""
    if record.status in ("done", "skipped"):
        return "done" if record.made else "done before"
    if record.status == "failed":
        return f"failed in {record.step}: {record.faults[-1].cause}; {record.faults[-1].answer}"
    if record.status == "waiting":
        return f"{record.step}: {record.faults[-1].cause}; {record.faults[-1].answer}"
    if record.step in record.made:
        made = record.made[record.step]
        return f"{record.step} finished, {made.frames:,} frames in {made.seconds:.1f} s"
    return f"{record.step} begins"


def per_hour(records: Sequence[Record], seconds: float) -> float:
    """Videos brought to a good end in this run per hour of it."""
    return 3600 * sum(record.status == "done" for record in records) / max(seconds, 1e-9)


class Table:
    """A table that is drawn again and again; implements :class:`dft.render.batch.schedule.View`."""

    def __init__(self) -> None:
        self._records: Sequence[Record] = ()
        self._begun = time.monotonic()

    def begin(self, records: Sequence[Record]) -> None:
        """These are all."""
        self._records, self._begun = records, time.monotonic()

    def changed(self, record: Record) -> None:
        """The next drawing shows it."""

    def tick(self) -> None:
        """The next drawing shows it."""

    def __rich__(self) -> "RenderableType":
        """The table as it is now."""
        from rich.table import Table as Drawn
        from rich.text import Text

        seconds = time.monotonic() - self._begun
        ended = [record for record in self._records if record.status in ENDED]
        running = [record for record in self._records if record.status == "running"]
        waiting = sum(record.status == "waiting" for record in self._records)
        drawn = Drawn(box=None, pad_edge=False, caption_justify="left", header_style="dim", expand=True)
        longest = max((len(record.job.name) for record in self._records), default=0)
        drawn.add_column("video", no_wrap=True, overflow="ellipsis", width=max(len("video"), min(longest, NAME_WIDTH)))
        drawn.add_column("stage", no_wrap=True, overflow="ellipsis", ratio=1)
        for name in ("frames", "frames/s", "left"):
            drawn.add_column(name, no_wrap=True, justify="right")
        for record in ended[-SHOWN_ENDED:]:
            style = "red" if record.status == "failed" else "dim"
            cause = f": {record.faults[-1].cause}" if record.status == "failed" else ""
            drawn.add_row(Text(record.job.name), Text(f"{record.status}{cause}"), style=style)
        for record in running:
            done, total = record.advanced.done, record.advanced.total
            frames, fps = f"{done:,}/{total:,}" if total else "", f"{record.fps:.0f}" if record.fps else ""
            drawn.add_row(Text(record.job.name), record.step, frames, fps, _left(record))
        drawn.caption = (
            f"{len(ended)} of {len(self._records)} through, {sum(r.status == 'failed' for r in ended)} failed, "
            f"{waiting} waiting, {per_hour(self._records, seconds):.1f} videos/hour"
        )
        return drawn


def _left(record: Record) -> str:
    seconds = record.seconds_left
    return "" if seconds is None else f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


@contextmanager
def shown(table: Table, console: "Console") -> Iterator[None]:
    """Draw the table at the foot of the terminal; what is logged meanwhile comes above it."""
    from rich.live import Live

    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    streams = [handler.stream for handler in handlers]
    with Live(table, console=console, refresh_per_second=REFRESHES_PER_SECOND):
        try:
            for handler in handlers:
                handler.setStream(sys.stderr)  # Live's own, for as long as it draws
            yield
        finally:
            for handler, stream in zip(handlers, streams, strict=True):
                handler.setStream(stream)


@contextmanager
def watched(*, quiet: bool) -> Iterator[View]:
    """What shows a batch on stderr, or nothing if ``quiet``."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        from rich.console import Console

        table = Table()
        with shown(table, Console(stderr=True)):
            yield table
    else:
        yield Lines()
