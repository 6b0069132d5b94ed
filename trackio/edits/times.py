"""Frames and times of a video, each from the other, for constant and variable frame rates."""

import re

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import EditError
from ..columns import numbers
from ..files import TrackFile
from ..metadata import Shot, Suspect
from ..timecode import format_timecode, parse_timecode

_FRAME = re.compile(r"(\d{1,9})f")
# Time codes have milliseconds: rounded, they may lie this much before the frame that they name.
_ROUNDED_SECONDS = 0.0005


class FrameTimes:
    """When each frame of a video is on screen.

    A frame with a row has its time from there, and so have the first and last frames of shots. Frames without rows lie
    evenly between those around them, which is exact at constant frame rates; with the time stamps of the video itself
    all are.

    Args:
        track_file: Tracks of the video.
        pts: ``(frame_count,)`` int64 time stamps of all frames, where they are known.

    Attributes:
        pts: ``(frame_count,)`` int64 time stamps.
        shot: ``(frame_count,)`` int32 shot of each frame; -1 where there is none.
    """

    def __init__(self, track_file: TrackFile, pts: NDArray[np.int64] | None = None):
        self.video, self.shots = track_file.metadata.video, track_file.metadata.shots
        self.pts: NDArray[np.int64] = _known_pts(track_file) if pts is None else pts
        self.shot: NDArray[np.int32] = np.full(self.video.frame_count, -1, np.int32)
        for place, shot in enumerate(self.shots):
            self.shot[shot.first_frame : shot.last_frame + 1] = place

    @property
    def last_frame(self) -> int:
        """Index of the last frame of the video."""
        return self.video.frame_count - 1

    def seconds_of(self, frame: int) -> float:
        """Seconds from the start of the video to ``frame``."""
        return self.video.seconds(int(self.pts[frame]))

    def timecode_of(self, frame: int) -> str:
        """``HH:MM:SS.mmm`` of ``frame``."""
        return format_timecode(self.seconds_of(frame))

    def frame_at(self, seconds: float) -> int:
        """The frame that is on screen at ``seconds``: the last that has begun, to half a millisecond.

        Raises:
            EditError: The video has ended by then.
        """
        if not seconds < max(self.video.duration_seconds, self.seconds_of(self.last_frame) + _ROUNDED_SECONDS):
            raise EditError(
                f"time {format_timecode(seconds)} is after the end",
                expected=f"before {self.timecode_of(self.last_frame)}",
            )
        units = (seconds + _ROUNDED_SECONDS) / self.video.time_base + self.video.start_pts
        return max(int(np.searchsorted(self.pts, units, side="right")) - 1, 0)

    def resolve(self, text: str) -> int:
        """The frame of a time code (``00:01:23.4``, ``83.4``, ``83.4s``) or of a frame index with an f (``2085f``).

        Raises:
            EditError: It reads otherwise, or is after the end.
        """
        frame = _FRAME.fullmatch(text.strip())
        if frame is not None:
            self.check(int(frame[1]))
            return int(frame[1])
        try:
            return self.frame_at(parse_timecode(text.strip().removesuffix("s")))
        except ValueError as error:
            if isinstance(error, EditError):
                raise
            raise EditError(
                "no time", got=repr(text), expected="00:01:23.4, 83.4s, or a frame such as 2085f"
            ) from error

    def check(self, frame: int) -> None:
        """Make sure that the video has ``frame``.

        Raises:
            EditError: It has not.
        """
        if not 0 <= frame <= self.last_frame:
            raise EditError("there is no such frame", got=frame, expected=f"0 to {self.last_frame}")

    def next_cut(self, frame: int) -> int:
        """The last frame before the next cut: that of the shot of ``frame``."""
        place = int(self.shot[frame])
        return self.shots[place].last_frame if place >= 0 else self.last_frame


def _known_pts(track_file: TrackFile) -> NDArray[np.int64]:
    video = track_file.metadata.video
    pts, known = np.zeros(video.frame_count, np.int64), np.zeros(video.frame_count, np.bool_)
    pts[:1], known[:1] = video.start_pts, True
    frames = numbers(track_file.table, "frame_index")
    pts[frames], known[frames] = numbers(track_file.table, "pts"), True
    moments: tuple[Shot | Suspect, ...] = (*track_file.metadata.shots, *track_file.metadata.suspects)
    for moment in moments:
        ends = [moment.first_frame, moment.last_frame]
        pts[ends], known[ends] = [moment.first_pts, moment.last_pts], True
    at, missing = np.flatnonzero(known), np.flatnonzero(~known)
    if len(missing):
        pts[missing] = np.rint(np.interp(missing, at, pts[at])).astype(np.int64)
        after = missing[missing > at[-1]]
        pts[after] = pts[at[-1]] + np.rint((after - at[-1]) / float(video.fps * video.time_base)).astype(np.int64)
    return pts
