"""Which frame of the index a decoded picture is."""

import numpy as np

from .protocols import FrameIndex


class Numbering:
    """Numbers the pictures of one run of a decoder, in presentation order.

    Args:
        index: Every frame of the video.
    """

    def __init__(self, index: FrameIndex):
        self._index = index
        self._after = -1  # index of the picture numbered last

    def of(self, pts: int | None) -> int | None:
        """The ``frame_index`` of a picture, or None where it is no frame of the index.

        Such are pictures that an edit list cuts away, and those out of order in a damaged file.

        Args:
            pts: The picture's time stamp; not looked at where the index cannot be sought.
        """
        stamps = self._index.pts
        if self._index.seekable:
            at = len(stamps) if pts is None else max(int(np.searchsorted(stamps, pts)), self._after + 1)
            if at >= len(stamps) or stamps[at] != pts:
                return None
        else:
            at = self._after + 1
            if at >= len(stamps):
                return None
        self._after = at
        return at
