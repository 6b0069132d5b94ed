"""Writing a whole video in one go: its pictures are encoded beside it, and joined with what is copied from a source."""

from pathlib import Path

import numpy as np

from ..configs.errors import EngineError
from .devices import choose_device, open_encoder
from .join import JoinOptions, Piece, check_container, facts, join
from .protocols import Closing, EncodeOptions, Image


class VideoWriter(Closing):
    """Writes a video of pictures that are made one by one.

    Args:
        path: The video, .mp4, .mov or .mkv.
        options: How the pictures are encoded.
        source: File whose sound, subtitles, attachments, chapters and metadata are copied, or None.
        audio: Which audio streams of ``source`` are copied: ``all``, ``first`` or ``none``.

    Attributes:
        notes: What could not be kept, in words; known after :meth:`finish`.

    Raises:
        SettingError: The suffix names no container that can be written.
        OutputError: The file cannot be created.
    """

    def __init__(self, path: Path, options: EncodeOptions, source: Path | None = None, audio: str = "all"):
        check_container(path, options.codec)
        self.notes: tuple[str, ...] = ()
        self._path, self._options, self._source, self._audio = path, options, source, audio
        self._pictures = path.with_name(f".{path.stem[:40]}.pictures.mp4")
        self._pts: list[int] = []
        self._encoder = open_encoder(self._pictures, options, choose_device("cpu"))

    def write(self, image: Image, pts: int) -> None:
        """Encode one picture; ``pts`` ascend, in ``options.time_base``.

        Raises:
            OutputError: The file cannot be written any further.
            EngineError: ``pts`` does not ascend.
        """
        self._encoder.write(image, pts)
        self._pts.append(pts)

    def finish(self, end_pts: int | None = None) -> None:
        """Complete the video, whose last picture ends at ``end_pts`` (None: it lasts as long as the average one).

        Raises:
            OutputError: The video cannot be completed.
            VideoError: The source cannot be read.
            EngineError: Nothing was written.
        """
        if not self._pts:
            raise EngineError(f"there is no picture for {self._path.name}")
        self._encoder.finish()
        options = JoinOptions(self._options.time_base, end_pts, self._options.fps, self._audio)
        piece = Piece(self._pictures, 0, facts(self._pictures)[0], np.array(self._pts, np.int64))
        self.notes = join([piece], self._path, options, self._source)
        self._pictures.unlink()

    def close(self) -> None:
        """Release everything. Without :meth:`finish` there is no video."""
        self._encoder.close()
        self._pictures.unlink(missing_ok=True)
