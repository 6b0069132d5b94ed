"""Which frame of the index a decoded picture is."""

import numpy as np

from .protocols import FrameIndex


class Numbering:
    """Numbers the pictures of one run of a decoder, in presentation order.

    Args:
        index: Every frame of the video.
    """

    def __init__(self, index: FrameIndex):
        self._stamps = index.stamps
        self._order = None if index.packet_pts is None else np.argsort(index.packet_pts, kind="stable")
        self._seekable = index.seekable
        self._num_frames = len(index)
        self._after = -1  # index of the picture numbered last

    def of(self, pts: int | None) -> int | None:
        """The ``frame_index`` of a picture, or None where it is no frame of the index.

        Such are pictures that an edit list cuts away, and those out of order in a damaged file.

        Args:
            pts: The picture's time stamp; not looked at where the index cannot be sought.
        """
        at = self._after + 1
        if self._seekable:
            if pts is None:
                return None
            if at >= self._num_frames or self._stamps.item(at) != pts:  # it is not the next one
                at = max(self._place(pts), at)
                if at >= self._num_frames or self._stamps.item(at) != pts:
                    return None
        elif at >= self._num_frames:
            return None
        self._after = at
        return at

    def _place(self, pts: int) -> int:
        """Index of the first frame with that stamp, if there is one."""
        place = int(self._stamps.searchsorted(pts, sorter=self._order))
        return place if self._order is None or place == self._num_frames else int(self._order[place])
