"""Which tracks there are: what operations name by id."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..columns import NULL, boxes_xyxy, codes, numbers
from ..files import TrackFile
from ..schema import PERSONS, SIDES
from .times import FrameTimes


@dataclass(frozen=True)
class TrackSpan:
    """One track, or, where it is asked for in one frame, its box there as well.

    Attributes:
        track_id: Its id.
        person: Whose it is; None for a bystander's.
        frames: Frames with a box.
        first_frame: Index of the first one.
        last_frame: Index of the last one.
        start: ``HH:MM:SS.mmm`` of the first one.
        end: ``HH:MM:SS.mmm`` of the last one.
        side: The side in the frame that is asked for.
        box: x1, y1, x2, y2 in pixels in that frame; None where no frame is asked for.
    """

    track_id: int
    person: str | None
    frames: int
    first_frame: int
    last_frame: int
    start: str
    end: str
    side: str | None = None
    box: tuple[float, ...] | None = None

    def words(self) -> str:
        """The track in one line."""
        span = f"{self.start} to {self.end}  frames {self.first_frame} to {self.last_frame}"
        seen = f"{self.frames} of {self.last_frame - self.first_frame + 1}"
        place = "" if self.box is None else "  box " + " ".join(f"{value:.1f}" for value in self.box)
        side = f" ({self.side})" if self.side else ""
        return f"track {self.track_id:4}  {self.person or 'bystander'}{side}  {span}, {seen} with a box{place}"

    def as_dict(self) -> dict[str, Any]:
        """The track as a JSON object."""
        return dict(vars(self))


def list_tracks(track_file: TrackFile, times: FrameTimes, frame: int | None = None) -> tuple[TrackSpan, ...]:
    """The tracks in order of their first frame; only those with a box in ``frame`` if one is given."""
    table = track_file.table
    frames: NDArray[np.int32] = numbers(table, "frame_index")
    tracks: NDArray[np.int32] = numbers(table, "track_id")
    person, side, boxes = codes(table, "person", PERSONS), codes(table, "side", SIDES), boxes_xyxy(table)
    order = np.argsort(tracks, kind="stable")
    starts = np.flatnonzero(np.diff(tracks[order])) + 1
    found = []
    for rows in np.split(order, starts) if len(order) else []:
        here = rows[frames[rows] == frame] if frame is not None else rows[:0]
        if frame is not None and len(here) == 0:
            continue
        code, first, last = int(person[rows].max(initial=NULL)), int(frames[rows[0]]), int(frames[rows[-1]])
        place = int(side[here[0]]) if len(here) else NULL
        found.append(
            TrackSpan(
                int(tracks[rows[0]]), PERSONS[code] if code >= 0 else None, len(rows), first, last,
                times.timecode_of(first), times.timecode_of(last), SIDES[place] if place >= 0 else None,
                tuple(boxes[here[0]].tolist()) if len(here) else None,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda track: (track.first_frame, track.track_id)))
