"""What the review page needs of a video: frames, sound, and what a rendering would show of it.

``trackio`` decodes nothing itself; whoever starts the page hands over what does.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..files import TrackFile

Box = tuple[float, float, float, float]


class ReviewVideo(Protocol):
    """A video that any number of threads may ask at once.

    Attributes:
        name: Name of the file.
        display_size: Width and height in square pixels of the upright picture.
        has_sound: Whether there is an audio track.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def display_size(self) -> tuple[int, int]:
        """See above."""

    @property
    def has_sound(self) -> bool:
        """See above."""

    def pts(self, patience_seconds: float) -> NDArray[np.int64] | None:
        """``(N,)`` int64 time stamps of all frames; None if they are not known after ``patience_seconds``."""

    def frame(self, frame: int, width: int = 0, asker: str | None = None, serial: int = 0) -> bytes | None:
        """A frame as JPEG, ``width`` pixels wide or in its own size.

        Of the wishes of one ``asker`` that wait only the one of the highest ``serial`` counts; the others get None.
        Raises IndexError where there is no such frame.
        """

    def face(self, frame: int, box_xyxy: Box, size: int) -> bytes:
        """Head and shoulders around a face of a frame as JPEG, ``size`` pixels wide and high."""

    def expect(self, frames: Sequence[tuple[int, tuple[Box, ...]]]) -> None:
        """Frames, and faces in them, that will be asked for soon."""

    def crops(self, track_file: TrackFile) -> dict[str, NDArray[np.float64]]:
        """``(N, 4)`` x1, y1, x2, y2 in displayed pixels that a rendering shows of each frame, by side.

        NaN where nothing is shown. May take seconds. Raises DftError where nothing can be planned.
        """

    def sound(self, start_seconds: float, seconds: float) -> bytes | None:
        """WAV of the first audio track from ``start_seconds`` after the first frame; None without sound."""

    def close(self) -> None:
        """Release everything."""
