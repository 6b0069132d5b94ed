"""Stage 1 up to detection: decode -> scale -> detect in batches. Decoding runs ahead of that, and that of tracking."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ...engines.prefetch import prefetch
from ...engines.protocols import Decoder, Detections, Detector, Frame, Image, Prepared

BATCHES_AHEAD = 2  # of inference
FOUND_AHEAD = 1  # batches, of tracking: with those in between, five batches of frames wait at most


@dataclass(frozen=True)
class DetectedFrame:
    """One frame after detection.

    Attributes:
        frame_index: Ordinal in the video.
        pts: Time stamp.
        thumbnail: ``(18, 32)`` uint8 luma.
        faces: What was found.
        image: The picture; dropped with the frame.
    """

    frame_index: int
    pts: int
    thumbnail: NDArray[np.uint8]
    faces: Detections
    image: Image


def detected_frames(
    decoder: Decoder, detector: Detector, span: tuple[int, int], batch_size: int
) -> Generator[DetectedFrame, None, None]:
    """Frames ``span[0] <= frame_index < span[1]`` with their faces, in order.

    Close it before the decoder: another thread decodes ahead until then.
    """
    with (
        prefetch(_prepared_batches(decoder, detector, span, batch_size), BATCHES_AHEAD) as batches,
        prefetch(_found(detector, batches), FOUND_AHEAD) as found,
    ):
        for frames in found:
            yield from frames


def _found(detector: Detector, batches: Iterator[list[tuple[Frame, Prepared]]]) -> Iterator[list[DetectedFrame]]:
    for batch in batches:
        found = detector.detect([prepared for _, prepared in batch])
        yield [
            DetectedFrame(frame.frame_index, frame.pts, detector.thumbnail(prepared), faces, frame.image)
            for (frame, prepared), faces in zip(batch, found, strict=True)
        ]


def _prepared_batches(
    decoder: Decoder, detector: Detector, span: tuple[int, int], batch_size: int
) -> Iterator[list[tuple[Frame, Prepared]]]:
    # the frames themselves wait too: faces are cut out of them once they are found
    prepared = ((frame, detector.prepare(frame.image)) for frame in decoder.frames(*span))
    while batch := list(islice(prepared, batch_size)):
        yield batch
