"""What a tile does while the person whom it follows is absent.

Every frame of every tile that follows somebody is in one mode: ``PRESENT``, or the place of one of ``ABSENT_MODES``.
The modes are known for the whole video before any camera is planned, so that cameras cut where modes change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...configs.rendering import ABSENT_MODES
from .faces import NOBODY, FaceTrack

Modes = NDArray[np.int8]
Mask = NDArray[np.bool_]

PRESENT = -1
HOLD, WIDE, BLUR, BLACK, COLLAPSE = (ABSENT_MODES.index(mode) for mode in ("hold", "wide", "blur", "black", "collapse"))
FLASH_SECONDS = 0.5  # between a switch and a cut of the video; what is shorter is seen as a fault
BLUR_OF_TILE = 0.03  # standard deviation in tile heights: nobody can be recognised
LEAST_TOLD_SECONDS = 0.05  # a frame or two: it would be told as 0.0 s
TOGETHER, UNDECIDED = -1, -2  # instead of the one who has the canvas


@dataclass(frozen=True)
class Absence:
    """Frames in which nobody is seen where a tile follows somebody, and what it shows instead.

    Attributes:
        side: Whom the tile shows, as ``TileArea.side``.
        first_frame: Index of the first frame.
        last_frame: Index of the last frame.
        mode: One of ``ABSENT_MODES``.
        seconds: From the first frame to the one after the last.
    """

    side: str
    first_frame: int
    last_frame: int
    mode: str
    seconds: float


@dataclass(frozen=True)
class Timeline:
    """When frames and shots are.

    Attributes:
        times_seconds: ``(N,)`` float64, not descending.
        shot_starts: ``(K,)`` int64 first frames of the shots, ascending; the first is 0.
    """

    times_seconds: NDArray[np.float64]
    shot_starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times_seconds)

    def seconds(self, first: int, end: int) -> float:
        """From frame ``first`` to frame ``end``; after the last frame another as long as the usual one is counted."""
        times = self.times_seconds
        if end < len(times):
            return float(times[end] - times[first])
        usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        return float(times[-1] - times[first]) + usual

    def pieces(self, mask: Mask) -> Iterator[slice]:
        """The runs of frames in ``mask``, cut where the video cuts."""
        for first, end in runs(mask):
            inside = self.shot_starts[(self.shot_starts > first) & (self.shot_starts < end)].tolist()
            yield from (slice(start, stop) for start, stop in pairwise([first, *inside, end]))

    def shot(self, frame_index: int) -> slice:
        """The frames of the shot that ``frame_index`` is in."""
        number = int(np.searchsorted(self.shot_starts, frame_index, side="right"))
        end = int(self.shot_starts[number]) if number < len(self.shot_starts) else len(self)
        return slice(int(self.shot_starts[number - 1]), end)


def runs(mask: Mask) -> list[tuple[int, int]]:
    """First frame and frame after the last of each run in ``mask (N,)``.

    >>> runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


@dataclass(frozen=True)
class Presence:
    """Where the person of one tile is, and what the tile does.

    Attributes:
        modes: ``(N,)`` int8 mode of each frame.
        away: ``(N,)`` bool, whether the person is absent for long.
    """

    modes: Modes
    away: Mask


def presence(face: FaceTrack | None, mode: str, timeline: Timeline, min_seconds: float) -> Presence:
    """The presence of one person, as if the other tiles did not matter.

    Absences shorter than ``min_seconds`` hold. Where a longer one begins or ends close to a cut of the video, the
    switch is made at the cut.

    Args:
        face: The face that the tile follows; None if it is not seen in the whole video.
        mode: One of ``ABSENT_MODES``.
        timeline: The frames.
        min_seconds: See above.
    """
    unseen = np.ones(len(timeline), bool) if face is None else face.person == NOBODY
    away = np.zeros(len(timeline), bool)
    for first, end in runs(unseen):
        if timeline.seconds(first, end) >= min_seconds:
            away[_without_flashes(first, end, timeline)] = True
    modes = np.where(away, ABSENT_MODES.index(mode), np.where(unseen, HOLD, PRESENT))
    return Presence(modes.astype(np.int8), away)


def _without_flashes(first: int, end: int, timeline: Timeline) -> slice:
    """The frames from ``first`` to ``end`` less what is short, at their ends, and in a shot that shows the person."""
    before, after = timeline.shot(first), timeline.shot(end - 1)
    if before.start < first and before.stop < end and timeline.seconds(first, before.stop) < FLASH_SECONDS:
        first = before.stop
    if after.stop > end and after.start > first and timeline.seconds(after.start, end) < FLASH_SECONDS:
        end = after.start
    return slice(first, end)


def together(presences: Sequence[Presence], subjects: Sequence[str]) -> tuple[list[Modes], NDArray[np.int64]]:
    """The modes of all tiles of a canvas, and who has it for themselves.

    A tile that collapses gives the canvas to the only other person who is there. If several are, it just goes away; if
    nobody is, everything stays as it is: who had the canvas keeps it, and tiles that were there hold.

    Args:
        presences: Of each tile that follows somebody.
        subjects: Whom each shows; the same twice is one subject.

    Returns:
        ``(N,)`` modes of each tile, and the ``(N,)`` number of the tile that has the canvas, or ``TOGETHER``.
    """
    tiles = np.array([subjects.index(name) for name in dict.fromkeys(subjects)])
    there = np.stack([~presences[tile].away for tile in tiles])
    collapsing = np.any([presence.modes == COLLAPSE for presence in presences], axis=0)
    count = there.sum(axis=0)
    alone = np.where(count == 1, tiles[there.argmax(axis=0)], np.where(count == 0, UNDECIDED, TOGETHER))
    alone = _carried(np.where(collapsing, alone, TOGETHER))
    settled = []
    for subject, own in zip(subjects, presences, strict=True):
        stays = (count == 0) & ((alone == TOGETHER) | (alone == subjects.index(subject)))
        settled.append(np.where((own.modes == COLLAPSE) & stays, HOLD, own.modes).astype(np.int8))
    return settled, alone


def _carried(alone: NDArray[np.int64]) -> NDArray[np.int64]:
    """``alone`` with each ``UNDECIDED`` like the frame before it, and ``TOGETHER`` before anything was decided."""
    decided = np.flatnonzero(alone != UNDECIDED)
    before = np.searchsorted(decided, np.arange(len(alone)), side="right")
    return np.concatenate([[TOGETHER], alone[decided]])[before]


def switches(modes: Modes) -> NDArray[np.int64]:
    """The frames at which a tile's picture changes by a cut: both ends of every mode but to hold."""
    other = np.where(modes == HOLD, PRESENT, modes)
    return np.flatnonzero(np.diff(other)) + 1


def absences(side: str, modes: Modes, timeline: Timeline) -> list[Absence]:
    """Every run of one mode, in the order of time, for a tile that shows ``side``."""
    found = [
        Absence(side, first, end - 1, mode, timeline.seconds(first, end))
        for code, mode in enumerate(ABSENT_MODES)
        for first, end in runs(modes == code)
    ]
    return sorted(found, key=lambda absence: absence.first_frame)


def absence_notes(found: Sequence[Absence]) -> list[str]:
    """How long who was absent, and what was shown, in words; a frame that is held is not worth one."""
    groups: dict[tuple[str, str], list[float]] = {}
    for absence in found:
        groups.setdefault((absence.side, absence.mode), []).append(absence.seconds)
    return [
        f"{side}: absent for {sum(seconds):.1f} s in {len(seconds)} span{'' if len(seconds) == 1 else 's'}, {mode}"
        for (side, mode), seconds in groups.items()
        if sum(seconds) >= LEAST_TOLD_SECONDS
    ]
