"""Frames of the input that a rendering leaves out, and how many may be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..configs.analysis import DetectionSettings
from ..configs.errors import CorruptVideoError
from ..engines.join import Piece
from ..trackio.metadata import TrackMetadata


def allowed_share(metadata: TrackMetadata) -> float:
    """Share of the frames that may be left out: what the analysis was allowed."""
    return float(metadata.settings.get("max_corrupt", DetectionSettings().max_corrupt))


@dataclass(frozen=True)
class LostFrames:
    """How many frames of all have no picture of their own.

    Attributes:
        damaged: Their time is not in the video.
        shared: Another frame is shown at their time.
        there: All frames of the input.
    """

    damaged: int
    shared: int
    there: int

    @classmethod
    def of(cls, pieces: Sequence[Piece], pts: NDArray[np.int64]) -> "LostFrames":
        """From what was written, and the times of all frames."""
        written = np.concatenate([piece.pts for piece in pieces])
        shown = int(np.isin(pts, written).sum())
        return cls(len(pts) - shown, shown - len(written), len(pts))

    def check(self, video: Path, allowed: float) -> None:
        """Refuse what is left, if that is too little.

        Raises:
            CorruptVideoError: A greater share than ``allowed`` is left out.
        """
        if self.damaged + self.shared > allowed * self.there:
            besides = f", and {self.shared} at the time of another" if self.shared else ""
            raise CorruptVideoError(
                f"{video} is too damaged", got=f"{self.damaged} of {self.there} frames that cannot be decoded{besides}",
                expected=f"at most {allowed:.0%}", hint="repair the file, or analyze it with a greater --max-corrupt",
            )  # fmt: skip

    def notes(self) -> Iterator[str]:
        """In words."""
        if self.damaged:
            yield f"{self.damaged} of {self.there} frames are damaged and were left out"
        if self.shared:
            yield f"{self.shared} of {self.there} frames have the time of another and were left out"
