"""A second, larger look at frames in which main persons may be too small for the first one."""

from collections.abc import Callable

import numpy as np

from ...configs.analysis import AnalyzeSettings
from ...engines.protocols import Closing, Detections, Detector, Image
from ..boxes import heights, iou

SMALL_PIXELS = 24.0  # height of a face in the detector's picture under which it is found poorly, or not at all
CLEAR_SCORE = 0.6
CLOSE_UP = 0.25  # face height in frame heights from which nobody else is expected in the picture
CHECK_SECONDS = 0.5  # a main person who is not seen is looked for this often
SAME_FACE = 0.3  # IoU


class SecondDetector(Closing):
    """A detector for larger pictures that is opened when it is first needed.

    Args:
        open_detector: Opens the backend; None means there is none.

    Attributes:
        num_frames: Frames that were looked at.
    """

    def __init__(self, open_detector: Callable[[], Detector] | None):
        self._open = open_detector
        self._detector: Detector | None = None
        self.num_frames = 0

    @property
    def is_there(self) -> bool:
        """Whether frames can be looked at."""
        return self._open is not None

    def close(self) -> None:
        """Close the backend, if it was opened; it opens again when it is needed."""
        detector, self._detector = self._detector, None
        if detector is not None:
            detector.close()

    def faces(self, image: Image) -> Detections:
        """Faces of one frame."""
        if self._detector is None:
            if self._open is None:
                raise ValueError("there is no second detector")
            self._detector = self._open()
        self.num_frames += 1
        return self._detector.detect([self._detector.prepare(image)])[0]


class CloserLook:
    """Decides, frame by frame of one chunk, whether to look again.

    Where fewer clear, large faces are seen than there are main persons, small ones are looked for: at once where the
    first look has a trace of one or the picture changed, as long as the second look finds what the first does not, and
    now and then otherwise. In close-ups only traces count.

    Args:
        second: The detector of the second look.
        settings: Sizes, and how many main persons there are.
        frame_size: Displayed width and height in pixels.
    """

    def __init__(self, second: SecondDetector, settings: AnalyzeSettings, frame_size: tuple[int, int]):
        self._second, self._people, self._frame_height = second, settings.identity.people, frame_size[1]
        self._small = SMALL_PIXELS * max(1.0, max(frame_size) / settings.detection.detect_size)
        self._due = -np.inf  # time of the next check, seconds
        self._found_more = False

    def picture_changed(self) -> None:
        """Look again at the next frame, as after a cut."""
        self._due = -np.inf

    def faces(self, image: Image, time_seconds: float, found: Detections) -> Detections:
        """Faces of the next frame, where ``found`` is what the first look found."""
        if not self._second.is_there:
            return found
        tall = heights(found.boxes_xyxy)
        large = (found.scores >= CLEAR_SCORE) & (tall >= self._small)
        if np.count_nonzero(large) >= self._people:
            self._found_more = False
            return found
        trace = bool((tall < self._small).any())
        close_up = bool((tall[large] >= CLOSE_UP * self._frame_height).any())
        if not trace and not self._found_more and (close_up or time_seconds < self._due):
            return found
        closer = self._second.faces(image)
        self._due = time_seconds + CHECK_SECONDS
        clear = closer.scores >= CLEAR_SCORE
        known = iou(closer.boxes_xyxy[clear], found.boxes_xyxy[found.scores >= CLEAR_SCORE]) >= SAME_FACE
        self._found_more = bool((~known.any(axis=1)).any())
        return closer
