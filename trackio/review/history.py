"""What has been done so far, as the page lists it."""

from typing import Any

from ..edits.log import EditLog, Entry
from ..edits.operations import Batch, Operation

Span = tuple[int, int]

FEW = 3  # operations of a batch that are all told


def history(log: EditLog) -> list[dict[str, Any]]:
    """Every record of the log as a JSON object."""
    return [_plain(entry, log) for entry in log.entries]


def spans(log: EditLog) -> list[tuple[int, int, int]]:
    """First frame, last frame and number of every operation in effect that names frames."""
    found = ((span_of(log.operation(number)), number) for number in log.done)
    return [(*span, number) for span, number in found if span is not None]


def span_of(operation: Operation) -> Span | None:
    """First and last frame that an operation names; None if it names none."""
    if isinstance(operation, Batch):
        within = [span for span in map(span_of, operation.operations) if span is not None]
        return (min(first for first, _ in within), max(last for _, last in within)) if within else None
    values = operation.as_dict()
    if "first_frame" in values:
        return values["first_frame"], values["last_frame"]
    frames = values.get("frames") or ([values["frame"]] if "frame" in values else [])
    return (frames[0], frames[-1]) if frames else None


def in_words(operation: Operation) -> str:
    """The operation in one line; of a batch of a few, each of them."""
    if isinstance(operation, Batch) and len(operation.operations) <= FEW:
        return "; ".join(map(in_words, operation.operations))
    return operation.words()


def _plain(entry: Entry, log: EditLog) -> dict[str, Any]:
    action = "undo" if entry.undoes is not None else "redo" if entry.redoes is not None else "do"
    operation = entry.operation or log.operation(entry.undoes or entry.redoes or 0)
    first, last = span_of(operation) or (None, None)
    words = entry.words() if entry.operation is None else in_words(entry.operation)
    return {
        "number": entry.number, "action": action, "words": words, "author": entry.author,
        "time": entry.time, "first_frame": first, "last_frame": last, "in_effect": entry.in_effect,
    }  # fmt: skip
