"""What is reviewed: a video, its tracks with their edits, and the queue of suspects."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...configs.errors import EditError, StaleEditError
from ...configs.version import VERSION
from ..edits.log import EditLog, author_name
from ..edits.operations import operation_from_dict
from ..edits.session import Edits, Outcome
from ..edits.times import FrameTimes
from ..files import TrackFile
from .cards import Card, card
from .columns import Columns
from .history import history, in_words, spans
from .lanes import lanes
from .planned import PlannedCrops, listed
from .queue import Queued, queue
from .video import ReviewVideo

INDEX_SECONDS = 1.0  # that the exact times are waited for, where the file is being scanned
NUM_EXPECTED = 3  # suspects whose frames are read before they are asked for

Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class State:
    """The tracks at one revision; never changed.

    Attributes:
        revision: Number of records of the log.
        log: The log.
        track_file: The tracks with its edits.
        times: Frames and times of the video.
    """

    revision: int
    log: EditLog
    track_file: TrackFile
    times: FrameTimes

    @cached_property
    def columns(self) -> Columns:
        """The rows."""
        return Columns.of(self.track_file.table)

    @cached_property
    def queue(self) -> tuple[Queued, ...]:
        """The suspects, the first to look at first."""
        return queue(self.track_file.metadata)

    def card(self, queued: Queued) -> Card:
        """The decision card of a suspect."""
        return card(queued.suspect, self.columns, self.track_file.metadata, self.times)


class Review:
    """A review that any number of threads may take part in; all answers are JSON objects.

    Args:
        edits: The tracks, which nobody else in this process edits.
        video: Their video; closed by :meth:`close`.
        author: Who edits; ``DFT_AUTHOR`` or the user of the system if None.

    Raises:
        EditLogError: The log cannot be done to the tracks.
    """

    def __init__(self, edits: Edits, video: ReviewVideo, author: str | None = None):
        self.video, self.author = video, author or author_name()
        self._edits, self._lock = edits, threading.RLock()
        self._state: State | None = None
        self._crops = PlannedCrops(video)
        self.expect(None)

    def close(self) -> None:
        """Stop all threads and release the video."""
        self._crops.close()
        self.video.close()

    def state(self) -> State:
        """The tracks as they are now."""
        with self._lock:
            if self._state is None:
                edits = self._edits
                self._state = State(edits.revision, edits.log, edits.current(), edits.times)
            return self._state

    def refresh(self) -> int:
        """Read the log again, as another process may have written to it; the revision by now."""
        with self._lock:
            if self._edits.refresh():
                self._state = None
            return self._edits.revision

    def session(self) -> Json:
        """What the page starts with."""
        state, base = self.state(), self._edits.base
        metadata, video = state.track_file.metadata, base.metadata.video
        width, height = self.video.display_size
        return {
            "video": {
                "name": self.video.name, "width": video.width, "height": video.height, "display_width": width,
                "display_height": height, "frame_count": video.frame_count, "fps": float(video.fps),
                "duration_seconds": video.duration_seconds, "has_audio": self.video.has_sound,
            },
            "tracks": base.path.name, "persons": list(metadata.persons),
            "shots": [[shot.first_frame, shot.last_frame] for shot in metadata.shots],
            "open_suspects": sum(each.open for each in state.queue),
            "author": self.author, "version": VERSION, **_stack(state),
        }  # fmt: skip

    def times(self) -> bytes:
        """Seconds of every frame, float64, little-endian; estimated without rows until the file is scanned."""
        video = self._edits.base.metadata.video
        pts = self.video.pts(INDEX_SECONDS)
        if pts is None or len(pts) != video.frame_count:
            pts = self._edits.times.pts
        return video.seconds_array(pts).astype("<f8").tobytes()

    def suspects(self) -> Json:
        """The queue."""
        state, video = self.state(), self._edits.base.metadata.video
        return {"revision": state.revision, "suspects": [each.as_dict(video) for each in state.queue]}

    def card(self, key: str) -> Json | None:
        """The decision card of a suspect, None if there is none; the frames of those that follow are read meanwhile."""
        state = self.state()
        queued = next((each for each in state.queue if each.key == key), None)
        if queued is None:
            return None
        self.expect(queued)
        return {"revision": state.revision, **state.card(queued).as_dict()}

    def expect(self, shown: Queued | None) -> None:
        """Have the frames read that will be looked at while ``shown`` is decided: its own, and those of the next."""
        state = self.state()
        rank = -1 if shown is None else shown.rank
        ahead = sorted((each for each in state.queue if each.open and each is not shown), key=lambda q: q.rank <= rank)
        coming = ([shown] if shown is not None else []) + ahead[:NUM_EXPECTED]
        self.video.expect([look for each in coming for look in state.card(each).looks()])

    def lanes(self, first: int, last: int, buckets: int) -> Json:
        """The timeline of a range in steps."""
        state = self.state()
        made = lanes(state.columns, state.track_file.metadata, spans(state.log), (first, last), buckets)
        return {"revision": state.revision, **made}

    def boxes(self, first: int, last: int) -> Json:
        """The rows of a range."""
        state = self.state()
        frames = state.columns.by_frame(first, last)
        return {"first": first, "last": last, "revision": state.revision, "frames": frames}

    def crops(self, first: int, last: int) -> Json:
        """What a rendering would show in a range."""
        state = self.state()
        found = self._crops.get(state.revision, state.track_file)
        about = {"first": first, "last": last, "revision": state.revision}
        if isinstance(found, str):
            return {**about, "unavailable": found}
        return {**about, **{side: listed(crops, first, last) for side, crops in found.items()}}

    def edit(self, revision: int, operation: object, *, dry_run: bool = False) -> Json:
        """Do an operation, or say what it would do.

        Raises:
            StaleEditError: The tracks have another revision by now.
            EditError: The tracks do not allow it.
            OutputError: It cannot be saved.
        """
        wish = operation_from_dict(operation)
        with self._lock:
            self._check(revision)
            if dry_run:
                return self._said(self._edits.attempt(wish))
            return self._said(self._edits.do(wish, revision=revision, author=self.author))

    def undo(self, revision: int) -> Json:
        """Take the last operation back; raises as :meth:`edit`."""
        with self._lock:
            self._check(revision)
            return self._said(self._edits.undo(revision=revision, author=self.author))

    def redo(self, revision: int) -> Json:
        """Do again what was undone; raises as :meth:`edit`."""
        with self._lock:
            self._check(revision)
            return self._said(self._edits.redo(revision=revision, author=self.author))

    def propose(self, track_id: int, first: int, last: int) -> Json:
        """The boxes that interpolating a track would add.

        Raises:
            EditError: There is no such track, or the range cannot be.
        """
        with self._lock:
            made = self._edits.propose(track_id, first, last)
        boxes = np.round(made.boxes_xyxy.astype(np.float64), 2).tolist()
        rows = [[frame, *box] for frame, box in zip(made.frame_index.tolist(), boxes, strict=True)]
        return {"rows": rows, "refused": list(made.refused)}

    def log(self) -> Json:
        """What has been done."""
        state = self.state()
        return {"revision": state.revision, "entries": history(state.log)}

    def _check(self, revision: int) -> None:
        """Make sure that an edit was made on the tracks as they are now; those of other processes are read."""
        now = self.refresh()
        if revision != now:
            raise StaleEditError(
                "the tracks have been edited in the meantime", revision=now, expected=revision,
                hint="look at them as they are now, and edit again",
            )  # fmt: skip

    def _said(self, outcome: Outcome) -> Json:
        self._state = None
        frames = None if outcome.first_frame is None else [outcome.first_frame, outcome.last_frame]
        return {
            "words": in_words(outcome.operation), "rows": outcome.rows, "frames": frames,
            "warnings": list(outcome.warnings), **_stack(self.state()),
        }  # fmt: skip


def _stack(state: State) -> Json:
    """The revision, and what of it can be taken back."""
    return {"revision": state.revision, "can_undo": len(state.log.done), "can_redo": len(state.log.undone)}


def check_range(first: int, last: int, frame_count: int, most: int) -> None:
    """Make sure that a range lies in the video and is not too long for one answer.

    Raises:
        EditError: It does not, or is.
    """
    if not 0 <= first <= last < frame_count or last - first >= most:
        raise EditError("frames", got=f"{first} to {last}", expected=f"at most {most} of 0 to {frame_count - 1}")
