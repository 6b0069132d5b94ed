"""A video as the review page looks at it: its frames, its sound, and what a rendering would show of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..configs.rendering import RenderSettings
from ..engines.protocols import Closing
from ..engines.sound import has_sound, wav
from ..engines.stills.jpeg import Box, display_size
from ..engines.stills.reader import Expected, Stills
from ..trackio.files import TrackFile


class ReviewedVideo(Closing):
    """Implements :class:`dft.trackio.review.video.ReviewVideo`.

    Args:
        path: The video.
        fingerprint: Its fingerprint, under which its index is kept.
        settings: Those of the rendering whose crops are shown.

    Raises:
        VideoError: The file cannot be read.
    """

    def __init__(self, path: Path, fingerprint: str, settings: RenderSettings | None = None):
        self.name = path.name
        self.has_sound = has_sound(path)
        self._path, self._settings = path, settings or RenderSettings()
        self._stills = Stills(path, key=fingerprint, threads=self._settings.encode.threads)
        self.display_size = display_size(self._stills.info)

    def close(self) -> None:
        """Stop decoding and release the file."""
        self._stills.close()

    def pts(self, patience_seconds: float) -> NDArray[np.int64] | None:
        """See :meth:`dft.trackio.review.video.ReviewVideo.pts`."""
        index = self._stills.index(patience_seconds)
        return None if index is None else index.pts

    def frame(self, frame: int, width: int = 0, asker: str | None = None, serial: int = 0) -> bytes | None:
        """See :meth:`dft.engines.stills.reader.Stills.frame`."""
        return self._stills.frame(frame, width, asker, serial)

    def face(self, frame: int, box_xyxy: Box, size: int) -> bytes:
        """See :meth:`dft.engines.stills.reader.Stills.face`."""
        return self._stills.face(frame, box_xyxy, size)

    def expect(self, frames: Sequence[tuple[int, tuple[Box, ...]]]) -> None:
        """See :meth:`dft.engines.stills.reader.Stills.expect`."""
        self._stills.expect([Expected(frame, faces) for frame, faces in frames])

    def crops(self, track_file: TrackFile) -> dict[str, NDArray[np.float64]]:
        """The crops of every tile that follows a side, ``(N, 4)``; NaN where it is not drawn."""
        from .camera.plan import plan  # brings half of scipy, and the page can be seen without

        index, metadata = self._stills.index(), track_file.metadata
        aspect = self._stills.info.pixel_aspect
        camera = plan(track_file.table, metadata, self._settings, index.pts, pixel_aspect=aspect)
        views = [view for view in camera.views if view.face is not None]
        made = {view.area.side: np.full_like(view.crops_xyxy, np.nan) for view in views}
        for view in views:
            made[view.area.side][view.shown] = view.crops_xyxy[view.shown]
        return made

    def sound(self, start_seconds: float, seconds: float) -> bytes | None:
        """See :meth:`dft.trackio.review.video.ReviewVideo.sound`."""
        if not self.has_sound:
            return None
        first = float(int(self._stills.index().pts[0]) * self._stills.info.time_base)
        return wav(self._path, first + start_seconds, seconds)
