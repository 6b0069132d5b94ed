"""The boxes that a file of another tool holds, before they are matched with the base."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...configs.errors import TrackFormatError
from ..columns import UNKNOWN
from ..metadata import VideoRecord

NO_ID = -1
BYSTANDER, NO_SIDE = "bystander", "none"
"""How a row without a person or a side is written, where a format needs a word for it."""


@dataclass(frozen=True)
class Imported:
    """The boxes of a file, one row per frame and track of that file.

    Attributes:
        path: The file.
        track: ``(N,)`` int64 number of the track in that file.
        frame_index: ``(N,)`` int64, from 0.
        boxes_xyxy: ``(N, 4)`` float64 displayed pixels, x2 y2 exclusive.
        claimed_id: ``(N,)`` int64 track_id of the base that the file says the row belongs to, or :data:`NO_ID`.
        person: ``(N,)`` int8 place in ``schema.PERSONS``; ``NULL`` for a bystander, ``UNKNOWN`` where it is not told.
        side: ``(N,)`` int8 place in ``schema.SIDES``; ``NULL`` for none, ``UNKNOWN`` where it is not told.
        certain: Whether a claimed id holds even where the box lies elsewhere than the base's.
        frames: First and last frame that the file speaks of; what the base has outside of them stays.
        keyframes: Which boxes of the base became keyframes when it was exported, see ``keyframes.KeyframeChoice``.
    """

    path: Path
    track: NDArray[np.int64]
    frame_index: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    claimed_id: NDArray[np.int64]
    person: NDArray[np.int8]
    side: NDArray[np.int8]
    certain: bool
    frames: tuple[int, int]
    keyframes: str = "all"

    def check(self, video: VideoRecord) -> None:
        """Make sure that the rows can be rows of a track file.

        Raises:
            TrackFormatError: Names a frame that the video does not have, a box without extent, or a track that has
                two boxes in one frame.
        """
        outside = (self.frame_index < 0) | (self.frame_index >= video.frame_count)
        if outside.any():
            got = int(self.frame_index[outside][0])
            raise TrackFormatError(
                f"{self.path} has a box in a frame that the video does not have",
                got=f"frame {got} (counted from 0)", expected=f"0 to {video.frame_count - 1}",
                hint="is it of another video, or are its frames counted from another number?",
            )  # fmt: skip
        boxes = self.boxes_xyxy
        bad = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise TrackFormatError(
                f"{self.path}: a box in frame {self.frame_index[row]}",
                got=[round(value, 2) for value in boxes[row].tolist()],
                expected="four numbers with x2 > x1 and y2 > y1",
            )
        order = np.lexsort((self.frame_index, self.track))
        twice = (np.diff(self.frame_index[order]) == 0) & (np.diff(self.track[order]) == 0)
        if twice.any():
            row = int(order[np.flatnonzero(twice)[0]])
            raise TrackFormatError(
                f"{self.path}: track {self.track[row]} has two boxes in frame {self.frame_index[row]} (from 0)",
                expected="each track once per frame", hint="delete one of them there, and import again",
            )  # fmt: skip


def name_code(text: str, names: Sequence[str], nothing: str, where: str) -> int:
    """The place of ``text`` in ``names``, ``NULL`` for ``nothing`` and for no text.

    Raises:
        TrackFormatError: It is another name.
    """
    if text in ("", nothing):
        return -1
    if text not in names:
        raise TrackFormatError(where, got=repr(text), expected=f"one of {', '.join(names)}, {nothing}")
    return names.index(text)


def name_codes(column: pa.ChunkedArray, names: Sequence[str], nothing: str, where: str) -> NDArray[np.int8]:
    """``(N,)`` int8 :func:`name_code` of each text of ``column``.

    Raises:
        TrackFormatError: There is another name.
    """
    texts = column.fill_null("").to_pylist()
    known = {text: name_code(text, names, nothing, where) for text in set(texts)}
    return np.array([known[text] for text in texts], np.int8)


def untold(count: int) -> NDArray[np.int8]:
    """``(count,)`` codes of names that the file does not tell."""
    return np.full(count, UNKNOWN, np.int8)


def groups(values: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """The rows of each value, in order, the values ascending."""
    order = np.argsort(values, kind="stable")
    for start, stop in pairwise([0, *(np.flatnonzero(np.diff(values[order])) + 1).tolist(), len(order)]):
        if stop > start:
            yield order[start:stop]
