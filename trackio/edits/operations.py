"""What can be done to tracks. Each operation is one object of the log, the same in library, command line and page.

Frames are frame indices, and both ends of a range belong to it. An operation knows nothing of the tracks that it is
for: whether they allow it shows when it is done (``actions``).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ...configs.errors import EditError, TrackFormatError
from ..metadata import REVIEW_STATES
from ..records import Record
from ..schema import PERSONS, SIDES

BOTH_RULES = ("refuse", "first", "second", "higher_score")
OPEN = "open"
MARKS = (*REVIEW_STATES, OPEN)
MAX_GAP_SECONDS = 2.0  # as far as a face is usually still where a straight line says


@dataclass(frozen=True)
class Operation(Record, ABC):
    """Base of all operations.

    Raises:
        EditError: When made: a value cannot be, whatever the tracks.
    """

    name: ClassVar[str]

    def as_dict(self) -> dict[str, Any]:
        """The JSON object: ``op`` and the values."""
        return {"op": self.name, **super().as_dict()}

    @abstractmethod
    def words(self) -> str:
        """The operation in one line, for the log."""

    def _check(self, right: bool, what: str, got: object, expected: str) -> None:
        if not right:
            raise EditError(f"{self.name}: {what}", got=got, expected=expected)

    def _check_range(self, first: int, last: int) -> None:
        self._check(0 <= first <= last, "frames", f"{first} to {last}", "a range from 0 on, its first frame first")

    def _check_person(self, person: str | None) -> None:
        self._check(person is None or person in PERSONS, "person", person, f"one of {', '.join(PERSONS)}")

    def _check_box(self, box: tuple[float, ...]) -> None:
        right = len(box) == 4 and all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]
        self._check(right, "box", list(box), "x1, y1, x2, y2 in pixels with x1 < x2 and y1 < y2")


@dataclass(frozen=True)
class Swap(Operation):
    """Two persons change places in a range: the person, and with it the side, of their rows.

    Other tracks stay. In tracks whose sides follow the places (``--assign position``) the sides stay, too: they say
    where a face is, not whose it is.
    """

    name: ClassVar[str] = "swap"
    first_frame: int
    last_frame: int
    persons: tuple[str, ...] = ("A", "B")

    def __post_init__(self) -> None:
        self._check_range(self.first_frame, self.last_frame)
        self._check(len(set(self.persons)) == len(self.persons) == 2, "persons", self.persons, "two of them")
        for person in self.persons:
            self._check_person(person)

    def words(self) -> str:
        """The operation in one line."""
        return f"swap {' and '.join(self.persons)} in {frame_words(self.first_frame, self.last_frame)}"


@dataclass(frozen=True)
class Split(Operation):
    """A track ends before ``frame``; its rows from there on are a new track of the same person."""

    name: ClassVar[str] = "split"
    track_id: int
    frame: int

    def __post_init__(self) -> None:
        self._check_range(self.frame, self.frame)

    def words(self) -> str:
        """The operation in one line."""
        return f"split track {self.track_id} before frame {self.frame}"


@dataclass(frozen=True)
class Merge(Operation):
    """Track ``other_id`` becomes part of ``track_id``, whose person it gets if there is one.

    Attributes:
        track_id: The track that remains.
        other_id: The track that goes into it.
        both: What remains in frames where both have a box: that of the ``first``, the ``second``, or the one of
            ``higher_score`` (the first's, if equal); ``refuse`` if there are such frames.
    """

    name: ClassVar[str] = "merge"
    track_id: int
    other_id: int
    both: str = "refuse"

    def __post_init__(self) -> None:
        self._check(self.track_id != self.other_id, "tracks", f"{self.track_id} twice", "two tracks")
        self._check(self.both in BOTH_RULES, "both", self.both, f"one of {', '.join(BOTH_RULES)}")

    def words(self) -> str:
        """The operation in one line."""
        rule = "" if self.both == "refuse" else f", where both have boxes {self.both.replace('_', ' ')}"
        return f"merge track {self.other_id} into track {self.track_id}{rule}"


@dataclass(frozen=True)
class Assign(Operation):
    """A track's rows in a range get a person, or none (a bystander).

    A row that gets a person gets the side that the person has at that moment, or had or has nearest in time.

    Attributes:
        track_id: The track.
        person: The person, or None.
        first_frame: First frame of the range.
        last_frame: Last frame of the range.
        take: Whether the person's other boxes in these frames become a bystander's; the operation is refused if not.
    """

    name: ClassVar[str] = "assign"
    track_id: int
    person: str | None
    first_frame: int
    last_frame: int
    take: bool = False

    def __post_init__(self) -> None:
        self._check_range(self.first_frame, self.last_frame)
        self._check_person(self.person)

    def words(self) -> str:
        """The operation in one line."""
        whom = "a bystander" if self.person is None else self.person
        how = ", taken from other tracks" if self.take and self.person else ""
        return f"track {self.track_id} is {whom} in {frame_words(self.first_frame, self.last_frame)}{how}"


@dataclass(frozen=True)
class Delete(Operation):
    """A track's rows in a range are removed."""

    name: ClassVar[str] = "delete"
    track_id: int
    first_frame: int
    last_frame: int

    def __post_init__(self) -> None:
        self._check_range(self.first_frame, self.last_frame)

    def words(self) -> str:
        """The operation in one line."""
        return f"delete track {self.track_id} in {frame_words(self.first_frame, self.last_frame)}"


@dataclass(frozen=True)
class Interpolate(Operation):
    """The gaps of a track in a range are filled, linearly in time, never across a cut.

    Attributes:
        track_id: The track.
        first_frame: First frame of the range.
        last_frame: Last frame of the range.
        max_seconds: Longest gap that is filled, from the box before it to the one after it.
    """

    name: ClassVar[str] = "interpolate"
    track_id: int
    first_frame: int
    last_frame: int
    max_seconds: float = MAX_GAP_SECONDS

    def __post_init__(self) -> None:
        self._check_range(self.first_frame, self.last_frame)
        right = math.isfinite(self.max_seconds) and self.max_seconds > 0
        self._check(right, "max_seconds", self.max_seconds, "more than 0")

    def words(self) -> str:
        """The operation in one line."""
        return f"interpolate track {self.track_id} in {frame_words(self.first_frame, self.last_frame)}"


@dataclass(frozen=True)
class Box(Operation):
    """A box is moved, or added: a keyframe.

    Interpolated rows beside it, up to the next row that is not, are interpolated anew. Other rows stay, or with
    ``blend_seconds`` follow: the correction fades out over that time, or up to the next keyframe if that is nearer.

    Attributes:
        frame: The frame.
        box: x1, y1, x2, y2 in displayed pixels.
        track_id: The track; a new one if None.
        person: Whose the new track is; None for a bystander, and where there is a ``track_id``.
        blend_seconds: How far the correction of detected boxes reaches, in both directions.
    """

    name: ClassVar[str] = "box"
    frame: int
    box: tuple[float, ...]
    track_id: int | None = None
    person: str | None = None
    blend_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._check_range(self.frame, self.frame)
        self._check_box(self.box)
        self._check_person(self.person)
        self._check(self.person is None or self.track_id is None, "person", self.person, "none: the track has one")
        right = math.isfinite(self.blend_seconds) and self.blend_seconds >= 0
        self._check(right, "blend_seconds", self.blend_seconds, "0 or more")

    def words(self) -> str:
        """The operation in one line."""
        whose = (
            f"track {self.track_id}" if self.track_id is not None else f"a new track of {self.person or 'a bystander'}"
        )
        fade = f", fading over {self.blend_seconds:g} s" if self.blend_seconds else ""
        return f"box of {whose} in frame {self.frame}: {', '.join(f'{value:g}' for value in self.box)}{fade}"


@dataclass(frozen=True)
class Boxes(Operation):
    """Boxes of one track in many frames, moved or added, while all others stay: what imports write.

    Attributes:
        track_id: The track; a new one if None.
        person: Of added rows; moved ones keep theirs.
        frames: Ascending.
        boxes: One per frame, x1, y1, x2, y2 in displayed pixels.
    """

    name: ClassVar[str] = "boxes"
    track_id: int | None
    person: str | None
    frames: tuple[int, ...]
    boxes: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.frames, self.frames[1:], strict=False))
        self._check(bool(self.frames) and self.frames[0] >= 0 and rising, "frames", len(self.frames), "rising ones")
        self._check(len(self.boxes) == len(self.frames), "boxes", len(self.boxes), f"{len(self.frames)}, one a frame")
        for box in self.boxes:
            self._check_box(box)
        self._check_person(self.person)

    def words(self) -> str:
        """The operation in one line."""
        whose = f"track {self.track_id}" if self.track_id is not None else "a new track"
        return f"{len(self.frames)} boxes of {whose} in {frame_words(self.frames[0], self.frames[-1])}"


@dataclass(frozen=True)
class SetSide(Operation):
    """A person gets a side in a range, or none; who had that side gets the person's former one."""

    name: ClassVar[str] = "side"
    person: str
    side: str | None
    first_frame: int
    last_frame: int

    def __post_init__(self) -> None:
        self._check_range(self.first_frame, self.last_frame)
        self._check_person(self.person)
        self._check(self.side is None or self.side in SIDES, "side", self.side, f"one of {', '.join(SIDES)}, or none")

    def words(self) -> str:
        """The operation in one line."""
        return f"{self.person} is {self.side or 'on no side'} in {frame_words(self.first_frame, self.last_frame)}"


@dataclass(frozen=True)
class Mark(Operation):
    """A suspect is reviewed. Its kind and its frames are its key, which a new analysis of the same video keeps.

    Attributes:
        kind: Kind of the suspect.
        first_frame: Its first frame.
        last_frame: Its last frame.
        state: ``accepted`` (it is right as it is), ``fixed``, ``unsure``, or ``open`` again.
    """

    name: ClassVar[str] = "mark"
    kind: str
    first_frame: int
    last_frame: int
    state: str

    def __post_init__(self) -> None:
        self._check_range(self.first_frame, self.last_frame)
        self._check(self.state in MARKS, "state", self.state, f"one of {', '.join(MARKS)}")

    def words(self) -> str:
        """The operation in one line."""
        return f"mark the {self.kind} in {frame_words(self.first_frame, self.last_frame)} as {self.state}"


@dataclass(frozen=True)
class Anchor(Operation):
    """The person's box in a frame is right: later operations that take it away warn."""

    name: ClassVar[str] = "anchor"
    frame: int
    person: str

    def __post_init__(self) -> None:
        self._check_range(self.frame, self.frame)
        self._check_person(self.person)

    def words(self) -> str:
        """The operation in one line."""
        return f"anchor: {self.person} is {self.person} in frame {self.frame}"


@dataclass(frozen=True)
class Batch(Operation):
    """Several operations as one: done and undone together, or not at all."""

    name: ClassVar[str] = "batch"
    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        self._check(bool(self.operations), "operations", "none", "at least one")

    def words(self) -> str:
        """The operation in one line."""
        counts: dict[str, int] = {}
        for operation in self.operations:
            counts[operation.name] = counts.get(operation.name, 0) + 1
        return "batch: " + ", ".join(f"{count} {name}" for name, count in counts.items())

    @classmethod
    def from_dict(cls, values: object, where: str = "") -> Self:
        """Make the batch from a JSON object; each operation is read by its own kind."""
        listed = values.get("operations") if isinstance(values, Mapping) else None
        if not isinstance(listed, list):
            raise TrackFormatError(f"metadata key {where or 'operations'}", got=repr(listed), expected="a list")
        return cls(tuple(operation_from_dict(item) for item in listed))


KINDS: dict[str, type[Operation]] = {
    kind.name: kind
    for kind in (Swap, Split, Merge, Assign, Delete, Interpolate, Box, Boxes, SetSide, Mark, Anchor, Batch)
}


def operation_from_dict(values: object) -> Operation:
    """The operation of a JSON object, such as ``as_dict`` makes.

    Raises:
        EditError: It is no operation, lacks a value or has one too many, or a value cannot be.
    """
    name = values.get("op") if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(name, str) or name not in KINDS:
        raise EditError("unknown operation", got=repr(name), expected=f"one of {', '.join(KINDS)}")
    kind = KINDS[name]
    unknown = set(values) - {"op", *kind.__dataclass_fields__}
    if unknown:
        raise EditError(f"{name} has no {', '.join(sorted(map(str, unknown)))}", hint="a newer dft may know it")
    try:
        return kind.from_dict(values)
    except TrackFormatError as error:
        what = error.what.removeprefix("metadata key ")
        raise EditError(f"{name}: {what}", got=error.got, expected=error.expected) from error


def frame_words(first: int, last: int) -> str:
    """``frame 3``, ``frames 3 to 5``."""
    return f"frame {first}" if first == last else f"frames {first} to {last}"
