"""Where a video is cut into chunks: at keyframes, by the file alone, never by the number of workers."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..engines.protocols import FrameIndex


@dataclass(frozen=True)
class Chunk:
    """Frames ``first <= frame_index < end``; decoding can start at ``first``.

    Attributes:
        number: 0-based position in the video.
        first: Index of the first frame.
        end: Index after the last frame.
    """

    number: int
    first: int
    end: int


def plan_chunks(index: FrameIndex, time_base: Fraction, chunk_seconds: float) -> list[Chunk]:
    """Cut at the first keyframe that lies ``chunk_seconds`` or more after the last cut."""
    cuts, least = [0], chunk_seconds / float(time_base)
    for key in np.flatnonzero(index.keyframe):
        if index.pts[key] - index.pts[cuts[-1]] >= least:
            cuts.append(int(key))
    ends = [*cuts[1:], len(index)]
    return [Chunk(number, first, end) for number, (first, end) in enumerate(zip(cuts, ends, strict=True))]
