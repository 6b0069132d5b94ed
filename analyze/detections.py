"""Stage 1 up to detection: decode -> scale -> detect in batches, with decoding running ahead of inference."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines.prefetch import prefetch
from ..engines.protocols import Decoder, Detections, Detector

BATCHES_AHEAD = 4


@dataclass(frozen=True)
class DetectedFrame:
    """One frame after detection.

    Attributes:
        frame_index: Ordinal in the video.
        pts: Time stamp.
        thumbnail: ``(18, 32)`` uint8 luma.
        faces: What was found.
    """

    frame_index: int
    pts: int
    thumbnail: NDArray[np.uint8]
    faces: Detections


def detected_frames(
    decoder: Decoder, detector: Detector, first: int, end: int, batch_size: int
) -> Generator[DetectedFrame, None, None]:
    """Frames ``first <= frame_index < end`` with their faces, in order.

    Close it before the decoder: another thread decodes ahead until then.
    """
    with prefetch(_prepared_batches(decoder, detector, first, end, batch_size), BATCHES_AHEAD) as batches:
        for batch in batches:
            found = detector.detect([prepared for _, _, prepared in batch])
            for (frame_index, pts, prepared), faces in zip(batch, found, strict=True):
                yield DetectedFrame(frame_index, pts, detector.thumbnail(prepared), faces)


def _prepared_batches(
    decoder: Decoder, detector: Detector, first: int, end: int, batch_size: int
) -> Iterator[list[tuple[int, int, Any]]]:
    # only the small prepared picture is kept: the decoder's frames are freed at once
    prepared = ((f.frame_index, f.pts, detector.prepare(f.image)) for f in decoder.frames(first, end))
    while batch := list(islice(prepared, batch_size)):
        yield batch
