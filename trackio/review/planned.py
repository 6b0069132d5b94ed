"""The crops of a rendering for the tracks as they are now, planned in the background: it takes seconds for hours."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import DftError
from ..files import TrackFile
from .video import ReviewVideo

PATIENCE_SECONDS = 2.0  # that a request waits; the plan of an hour takes longer, and the page asks again
PLANNING = "the crops are being planned"

Crops = dict[str, NDArray[np.float64]]


class PlannedCrops:
    """Plans for one revision at a time, in a thread of its own.

    Args:
        video: Plans them.
    """

    def __init__(self, video: ReviewVideo):
        self._video = video
        self._changed = threading.Condition()
        self._wanted: tuple[int, TrackFile] | None = None
        self._planning = -1  # the revision under way
        self._made: tuple[int, Crops | str] | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="dft-plan", daemon=True)
        self._thread.start()

    def get(self, revision: int, track_file: TrackFile) -> Crops | str:
        """The crops of every frame by side; or why there are none, or none yet (:data:`PLANNING`)."""
        with self._changed:
            if not self._is_made(revision):
                if self._planning != revision:
                    self._wanted = (revision, track_file)
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._is_made(revision) or self._closing, PATIENCE_SECONDS)
            return self._made[1] if self._made is not None and self._made[0] == revision else PLANNING

    def close(self) -> None:
        """Stop the thread, after the plan that it may be making."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _is_made(self, revision: int) -> bool:
        return self._made is not None and self._made[0] == revision

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._closing)
                if self._closing or self._wanted is None:
                    return
                revision, track_file = self._wanted
                self._wanted, self._planning = None, revision
            made = self._plan(track_file)
            with self._changed:
                self._made, self._planning = (revision, made), -1
                self._changed.notify_all()

    def _plan(self, track_file: TrackFile) -> Crops | str:
        try:
            return self._video.crops(track_file)
        except DftError as error:
            return str(error)


def listed(crops: NDArray[np.float64], first: int, last: int) -> list[Any]:
    """x1, y1, x2, y2 of frames ``first`` to ``last``, to a tenth of a pixel; None where nothing is shown."""
    return [
        None if np.isnan(row[0]) else [round(value, 1) for value in row.tolist()] for row in crops[first : last + 1]
    ]
