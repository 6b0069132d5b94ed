"""The commands of ``dft tracks`` that correct tracks: each makes one operation, or looks at the log.

Modules that do the work are imported when their command runs, so that help and completion stay quick.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...configs.console import FILE, common, count

if TYPE_CHECKING:
    from .operations import Operation
    from .session import Edits, Outcome

_log = logging.getLogger(__name__)

Command = Callable[..., Any]
Resolved = tuple[int, int]

_PERSON = click.Choice(["A", "B", "C", "D"])
_BYSTANDER = "bystander"
_TIME = "Time (00:01:23.4, 83.4s) or frame (2085f)"
_author = click.option("--author", help="Who edits.  [env: DFT_AUTHOR, or the user of the system]")


def _edit(command: Command) -> Command:
    """Make a command on FILE of a function from its ``Edits`` to an operation, which is done and printed."""

    @click.argument("file", type=FILE)
    @click.option("--dry-run", is_flag=True, help="Say what would come of it, and write nothing.")
    @_author
    @common
    @wraps(command)
    def wrapped(file: Path, dry_run: bool, author: str | None, as_json: bool, **values: Any) -> None:
        from .session import Edits

        edits = Edits(file)
        operation = command(edits, **values)
        outcome = edits.attempt(operation) if dry_run else edits.do(operation, author=author)
        _print_outcome(edits, outcome, "would change" if dry_run else "changed", as_json)

    return wrapped


def _print_outcome(edits: Edits, outcome: Outcome, verb: str, as_json: bool) -> None:
    from .operations import frame_words

    if as_json:
        click.echo(json.dumps({"file": str(edits.base.path), **outcome.as_dict(), **_times(edits, outcome)}))
        return
    what = f"{verb} no row"
    if outcome.first_frame is not None and outcome.last_frame is not None:
        ends = sorted({outcome.first_frame, outcome.last_frame})
        span = " to ".join(map(edits.times.timecode_of, ends))
        frames = frame_words(outcome.first_frame, outcome.last_frame)
        what = f"{verb} {count(outcome.rows, 'row')}, in {frames} ({span})"
    click.echo(f"{outcome.operation.words()}: {what}")
    for warning in outcome.warnings:
        _log.warning("%s", warning)


def _times(edits: Edits, outcome: Outcome) -> dict[str, str | None]:
    ends = {"start": outcome.first_frame, "end": outcome.last_frame}
    return {name: None if frame is None else edits.times.timecode_of(frame) for name, frame in ends.items()}


def _range(*, required: bool = False) -> Callable[[Command], Command]:
    """Add --at, --until and --range, and hand them over as ``span``."""

    def decorate(command: Command) -> Command:
        @click.option("--at", metavar="TIME", help=f"Where it begins. {_TIME}.")
        @click.option("--until", metavar="TIME", help="With --at: its last frame, cut (the next cut) or end.  [end]")
        @click.option(
            "--range", "ends", nargs=2, metavar="TIME TIME",
            help="Its first and last frame." + ("" if required else "  [all, without --at]"),
        )  # fmt: skip
        @wraps(command)
        def wrapped(
            *args: Any, at: str | None, until: str | None, ends: tuple[str, str] | None, **values: Any
        ) -> Any:  # fmt: skip
            if ends is not None and (at is not None or until is not None):
                raise click.UsageError("either --range, or --at and --until")
            if until is not None and at is None:
                raise click.UsageError("--until needs --at")
            if required and at is None and ends is None:
                raise click.UsageError("give --at or --range")
            return command(*args, span=(at, until or "end") if ends is None else ends, **values)

        return wrapped

    return decorate


def _resolved(edits: Edits, span: tuple[str | None, str]) -> Resolved:
    times, (begin, end) = edits.times, span
    first = 0 if begin is None else times.resolve(begin)
    last = {"end": times.last_frame, "cut": times.next_cut(first)}.get(end)
    return first, times.resolve(end) if last is None else last


@click.command(short_help="Exchange two persons, and with them their sides.")
@_edit
@_range(required=True)
@click.option("--persons", nargs=2, type=_PERSON, default=("A", "B"), show_default=True, help="Who.")
def swap(edits: Edits, span: tuple[str | None, str], persons: tuple[str, str]) -> Operation:
    """Exchange two persons in FILE, and with them their sides: from a moment on, up to the next cut, or in a range.

    \b
    Example:
      dft tracks swap in.tracks.parquet --at 00:01:23.4 --until cut --dry-run
    """
    from .operations import Swap

    return Swap(*_resolved(edits, span), persons)


@click.command(short_help="Cut a track in two.")
@_edit
@click.argument("track", type=int)
@click.option("--at", required=True, metavar="TIME", help=f"The new track's first frame. {_TIME}.")
def split(edits: Edits, track: int, at: str) -> Operation:
    """Cut a track of FILE in two: from --at on it is a new track.

    \b
    Example:
      dft tracks split in.tracks.parquet 4 --at 83.4s
    """
    from .operations import Split

    return Split(track, edits.times.resolve(at))


@click.command(short_help="Make one track part of another.")
@_edit
@click.argument("track", type=int)
@click.argument("other", type=int)
@click.option(
    "--both", type=click.Choice(["refuse", "first", "second", "higher-score"]), default="refuse", show_default=True,
    help="Whose box remains in frames where both have one.",
)  # fmt: skip
def merge(_: Edits, track: int, other: int, both: str) -> Operation:
    """Make OTHER part of TRACK in FILE.

    \b
    Example:
      dft tracks merge in.tracks.parquet 4 9 --both higher-score
    """
    from .operations import Merge

    return Merge(track, other, both.replace("-", "_"))


@click.command(short_help="Say whose face a track is.")
@_edit
@click.argument("track", type=int)
@click.argument("person", type=click.Choice([*_PERSON.choices, _BYSTANDER]))
@_range()
@click.option("--take", is_flag=True, help="Take the name from other tracks that have it in these frames.")
def assign(edits: Edits, track: int, person: str, span: tuple[str | None, str], take: bool) -> Operation:
    """Say whose face TRACK of FILE is: a person's, or a bystander's.

    \b
    Example:
      dft tracks assign in.tracks.parquet 7 A --range 00:01:00 00:01:23.4
    """
    from .operations import Assign

    return Assign(track, None if person == _BYSTANDER else person, *_resolved(edits, span), take)


@click.command(short_help="Remove the boxes of a track.")
@_edit
@click.argument("track", type=int)
@_range()
def delete(edits: Edits, track: int, span: tuple[str | None, str]) -> Operation:
    """Remove the boxes of TRACK from FILE.

    \b
    Example:
      dft tracks delete in.tracks.parquet 12
    """
    from .operations import Delete

    return Delete(track, *_resolved(edits, span))


@click.command(short_help="Fill the gaps of a track: a proposal first.")
@click.argument("file", type=FILE)
@click.argument("track", type=int)
@_range()
@click.option("--max-seconds", type=float, default=2.0, show_default=True, help="Longest gap to fill.")
@click.option("--accept", is_flag=True, help="Do what is proposed.")
@_author
@common
def interpolate(
    file: Path, track: int, span: tuple[str | None, str], max_seconds: float, accept: bool, author: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Fill the gaps of TRACK in FILE, never across a cut: a proposal, and with --accept the edit.

    \b
    Example:
      dft tracks interpolate in.tracks.parquet 4 --range 00:01:00 00:01:05 --accept
    """
    from .operations import Interpolate
    from .session import Edits

    edits = Edits(file)
    wish = Interpolate(track, *_resolved(edits, span), max_seconds)
    if accept:
        _print_outcome(edits, edits.do(wish, author=author), "changed", as_json)
        return
    proposal = edits.propose(track, wish.first_frame, wish.last_frame, max_seconds)
    gaps = [
        {"first_frame": first, "last_frame": last, "start": edits.times.timecode_of(first),
         "end": edits.times.timecode_of(last)}
        for first, last in proposal.gaps
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps({
            "file": str(file), "operation": wish.as_dict(), "gaps": gaps, "refused": list(proposal.refused),
            "frames": proposal.frame_index.tolist(), "boxes": proposal.boxes_xyxy.tolist(),
        }))  # fmt: skip
        return
    for gap in gaps:
        click.echo(f"would fill frames {gap['first_frame']} to {gap['last_frame']} ({gap['start']} to {gap['end']})")
    for line in proposal.refused:
        click.echo(f"would not fill {line}")
    click.echo(f"{count(len(proposal.frame_index), 'frame')} proposed; nothing was changed, see --accept")


@click.command(short_help="Move a box, or add one.")
@_edit
@click.option("--at", required=True, metavar="TIME", help=f"The frame. {_TIME}.")
@click.option("--box", "corners", required=True, nargs=4, type=float, metavar="X1 Y1 X2 Y2", help="In pixels.")
@click.option("--track", type=int, help="Whose box; a new track if not given.")
@click.option("--person", type=_PERSON, help="Whose the new track is; a bystander's if not given.")
@click.option(
    "--blend", type=float, default=0.0, show_default=True, help="Fade out the correction over so many seconds."
)
def box(
    edits: Edits, at: str, corners: tuple[float, ...], track: int | None, person: str | None, blend: float
) -> Operation:
    """Move a box of FILE, or add one: a keyframe, which interpolated boxes beside it follow.

    \b
    Example:
      dft tracks box in.tracks.parquet --at 2085f --track 4 --box 610 220 790 460 --blend 0.4
    """
    from .operations import Box

    return Box(edits.times.resolve(at), corners, track, person, blend)


@click.command(short_help="Put a person on a side.")
@_edit
@click.argument("person", type=_PERSON)
@click.argument("place", metavar="[left|right|none]", type=click.Choice(["left", "right", "none"]))
@_range()
def side(edits: Edits, person: str, place: str, span: tuple[str | None, str]) -> Operation:
    """Put PERSON of FILE on a side; who was there gets the other.

    \b
    Example:
      dft tracks side in.tracks.parquet A right --at 00:01:23.4
    """
    from .operations import SetSide

    return SetSide(person, None if place == "none" else place, *_resolved(edits, span))


@click.command(short_help="Say what became of a moment to review.")
@_edit
@click.argument(
    "state", metavar="[accepted|fixed|unsure|open]", type=click.Choice(["accepted", "fixed", "unsure", "open"])
)
@click.option("--at", required=True, metavar="TIME", help=f"A moment of the suspect. {_TIME}.")
@click.option("--kind", help="Its kind, where there are several.")
def mark(edits: Edits, state: str, at: str, kind: str | None) -> Operation:
    """Say of a suspect of FILE that it was looked at: it is right (accepted), fixed, or still unsure.

    \b
    Example:
      dft tracks mark in.tracks.parquet accepted --at 00:01:23.4
    """
    from .operations import Mark
    from .reading import suspect_at

    found = suspect_at(edits.base.metadata, edits.times.resolve(at), kind)
    return Mark(found.kind, found.first_frame, found.last_frame, state)


@click.command(short_help="Say that a person's box is right: edits against it warn.")
@_edit
@click.argument("person", type=_PERSON)
@click.option("--at", required=True, metavar="TIME", help=f"The frame. {_TIME}.")
def anchor(edits: Edits, person: str, at: str) -> Operation:
    """Say that PERSON's box in a frame of FILE is right: edits that contradict it warn.

    \b
    Example:
      dft tracks anchor in.tracks.parquet A --at 00:01:23.4
    """
    from .operations import Anchor

    return Anchor(edits.times.resolve(at), person)


@click.command(name="list")
@click.argument("file", type=FILE)
@click.option("--at", metavar="TIME", help=f"Only those with a box in this frame. {_TIME}.")
@common
def list_(file: Path, at: str | None, as_json: bool) -> None:
    """The tracks of FILE with its edits: ids, persons, frames.

    \b
    Example:
      dft tracks list in.tracks.parquet --at 00:01:23.4
    """
    from .session import Edits
    from .tracks import list_tracks

    edits = Edits(file)
    found = list_tracks(edits.current(), edits.times, None if at is None else edits.times.resolve(at))
    if as_json:
        click.echo(json.dumps([track.as_dict() for track in found]))
        return
    for track in found:
        click.echo(track.words())


@click.command(short_help="What was done, by whom and when.")
@click.argument("file", type=FILE)
@common
def log(file: Path, as_json: bool) -> None:
    """What was done to FILE, by whom and when; what is not in effect has been undone.

    \b
    Example:
      dft tracks log in.tracks.parquet
    """
    from .log import read_log

    found = read_log(file)
    if as_json:
        entries = [entry.as_dict() for entry in found.entries]
        click.echo(json.dumps({"log": str(found.path), "revision": found.revision, "entries": entries}))
        return
    for entry in found.entries:
        undone = entry.operation is not None and not entry.in_effect
        click.echo(f"{entry.number:4}  {entry.time}  {entry.author}  {entry.words()}{'  [undone]' if undone else ''}")
    click.echo(
        f"{count(len(found.done), 'edit')} in effect" if found.entries else f"no edits: there is no {found.path}"
    )


@click.command(short_help="Take back the last edit.")
@click.argument("file", type=FILE)
@_author
@common
def undo(file: Path, author: str | None, as_json: bool) -> None:
    """Take back the last edit of FILE that is in effect; again and again, to the first.

    \b
    Example:
      dft tracks undo in.tracks.parquet
    """
    from .session import Edits

    edits = Edits(file)
    _print_outcome(edits, edits.undo(author=author), "undone; changed", as_json)


@click.command(short_help="Do again what was undone last.")
@click.argument("file", type=FILE)
@_author
@common
def redo(file: Path, author: str | None, as_json: bool) -> None:
    """Do again what was undone last in FILE.

    \b
    Example:
      dft tracks redo in.tracks.parquet
    """
    from .session import Edits

    edits = Edits(file)
    _print_outcome(edits, edits.redo(author=author), "done again; changed", as_json)


@click.command(short_help="In which frames two track files differ.")
@click.argument("file", type=FILE)
@click.argument("other", type=FILE, required=False)
@click.option("--tolerance", type=click.FloatRange(0), default=0.5, show_default=True, help="For boxes, in pixels.")
@common
def diff(file: Path, other: Path | None, tolerance: float, as_json: bool) -> None:
    """In which frames OTHER differs from FILE, each with its edits; without OTHER, what the edits of FILE changed.

    \b
    Example:
      dft tracks diff in.tracks.parquet in.tracks.corrected.parquet
    """
    from .diff import diff as run
    from .session import Edits

    edits = Edits(file)
    before, after = (edits.base, edits.current()) if other is None else (edits.current(), Edits(other).current())
    found = run(before, after, tolerance)
    if as_json:
        click.echo(json.dumps([difference.as_dict() for difference in found]))
    else:
        click.echo("\n".join(difference.words() for difference in found) if found else "no differences")


@click.command(short_help="Write the tracks with their edits as a new file.")
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, help="New track file.  [FILE's name with .corrected.parquet]")
@click.option("--overwrite", is_flag=True, help="Replace an existing file, but never FILE.")
@common
def apply(file: Path, output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Write FILE with its edits as a track file of its own, which needs no log.

    \b
    Example:
      dft tracks apply in.tracks.parquet -o corrected.parquet
    """
    from .reading import apply_edits

    target, summary = apply_edits(file, output, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps({"output": str(target), **summary.as_dict()}))
    else:
        click.echo(f"{target}: {count(summary.operations, 'edit')} worked in")


COMMANDS: tuple[click.Command, ...] = (
    list_, swap, split, merge, assign, delete, interpolate, box, side, mark, anchor, log, undo, redo, diff, apply,
)  # fmt: skip
