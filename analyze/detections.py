"""Stage 1 up to detection: decode -> scale -> detect in batches, with decoding running ahead of inference."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..engines.prefetch import prefetch
from ..engines.protocols import Closing, Decoder, Detections, Detector, Frame, Image, Prepared
from .boxes import heights

SMALL_PIXELS = 24.0  # height of a face in the detector's picture under which scores and landmarks get poor
CLEAR_SCORE = 0.6
BATCHES_AHEAD = 2  # 12 frames wait at most, with the batch under way


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


class CloserLook(Closing):
    """A second, larger look at frames that show small faces where the main persons should be.

    Whether a frame is looked at again depends on nothing but what was found in it.

    Args:
        open_detector: Opens the detector for larger pictures, when it is first needed; None never looks closer.
        people: How many main persons there are.
        detect_size: Longer side of the picture of the first look, pixels.
        frame_size: Displayed width and height in pixels.

    Attributes:
        num_frames: Frames that were looked at again.
    """

    def __init__(
        self, open_detector: Callable[[], Detector] | None, people: int, detect_size: int, frame_size: tuple[int, int]
    ):
        self._open, self._people = open_detector, people
        self._small = SMALL_PIXELS * max(1.0, max(frame_size) / detect_size)
        self._detector: Detector | None = None
        self.num_frames = 0

    def close(self) -> None:
        """Close the detector, if it was opened."""
        if self._detector is not None:
            self._detector.close()

    def faces(self, image: Image, found: Detections) -> Detections:
        """Faces of ``image``, where ``found`` is what the first look found."""
        small = heights(found.boxes_xyxy) < self._small
        clear = found.scores >= CLEAR_SCORE
        if self._open is None or not small.any() or np.count_nonzero(clear & ~small) >= self._people:
            return found
        if self._detector is None:
            self._detector = self._open()
        self.num_frames += 1
        return self._detector.detect([self._detector.prepare(image)])[0]


def detected_frames(
    decoder: Decoder, detector: Detector, closer: CloserLook, span: tuple[int, int], batch_size: int
) -> Generator[DetectedFrame, None, None]:
    """Frames ``span[0] <= frame_index < span[1]`` with their faces, in order.

    Close it before the decoder: another thread decodes ahead until then.
    """
    with prefetch(_prepared_batches(decoder, detector, span, batch_size), BATCHES_AHEAD) as batches:
        for batch in batches:
            found = detector.detect([prepared for _, prepared in batch])
            for (frame, prepared), first_look in zip(batch, found, strict=True):
                faces = closer.faces(frame.image, first_look)
                yield DetectedFrame(frame.frame_index, frame.pts, detector.thumbnail(prepared), faces, frame.image)


def _prepared_batches(
    decoder: Decoder, detector: Detector, span: tuple[int, int], batch_size: int
) -> Iterator[list[tuple[Frame, Prepared]]]:
    # the frames themselves wait too: faces are cut out of them once they are found
    prepared = ((frame, detector.prepare(frame.image)) for frame in decoder.frames(*span))
    while batch := list(islice(prepared, batch_size)):
        yield batch
