"""Decoding for the GPU: the first of several ways that can do a video, and what to do if it gives up midway."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ...configs.errors import BackendUnavailableError, EngineError
from ..cpu.decode import PyAvDecoder
from ..protocols import FOR_ANALYSIS, Closing, Decoder, Frame, FrameIndex, PictureOptions
from .available import why_no_cupy
from .hwaccel import HwAccelDecoder
from .nvdec import NvDecoder
from .refusal import RefusedError, coded_size
from .transfer import Uploader

log = logging.getLogger(__name__)

RUNGS = ("nvdec", "pyav-cuda", "cpu")
"""Ways to decode, best first: PyNvVideoCodec, PyAV with FFmpeg's CUDA support, the CPU and one copy per frame."""


class UploadDecoder(Closing):
    """The CPU's frames, copied to the GPU; implements :class:`dft.engines.protocols.Decoder`.

    Args:
        path: The video.
        threads: FFmpeg's threads, or None for one per core.
        picture: What is made of the pictures.
        index: Its frames, if they are known: else the file is scanned for them.

    Raises:
        VideoError: The file cannot be read.
        EngineError: Its colours cannot be tone-mapped.
    """

    rung = "cpu"
    why = ""

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        picture: PictureOptions = FOR_ANALYSIS,
        index: FrameIndex | None = None,
    ):
        self._decoder = PyAvDecoder(path, threads, picture, index)
        self.info, self.index = self._decoder.info, self._decoder.index
        self.num_corrupt = 0
        self._upload = Uploader(*coded_size(self.info), picture.depth)

    def close(self) -> None:
        """Release the file; images stay valid."""
        self._decoder.close()

    def frames(self, first: int = 0, end: int | None = None) -> Iterator[Frame]:
        """See :meth:`dft.engines.protocols.Decoder.frames`."""
        for frame in self._decoder.frames(first, end):
            self.num_corrupt = self._decoder.num_corrupt
            yield Frame(frame.frame_index, frame.pts, self._upload(frame.image))
        self.num_corrupt = self._decoder.num_corrupt


class CudaDecoder(Closing):
    """Frames of one video on the GPU; implements :class:`dft.engines.protocols.Decoder`.

    The first rung of ``rungs`` that takes the video decodes it. If it gives up midway, the next one that takes it goes
    on with the frame that is due.

    Args:
        path: The video.
        threads: CPU threads, where the CPU decodes; None for one per core.
        picture: What is made of the pictures.
        size: Width and height of the images, even: scaled while decoding on NVDEC; other rungs are then left out.
        rungs: Which ways to try, in this order; of ``RUNGS``.
        index: The video's frames, if they are known: else the file is scanned for them.

    Attributes:
        rung: The way that decodes now.
        why: Why not the ways before it, or an empty string.

    Raises:
        VideoError: The file cannot be read.
        BackendUnavailableError: cupy cannot be used.
        EngineError: No rung takes it; each tells why.
    """

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        picture: PictureOptions = FOR_ANALYSIS,
        *,
        size: tuple[int, int] | None = None,
        rungs: Sequence[str] = RUNGS,
        index: FrameIndex | None = None,
    ):
        if (reason := why_no_cupy()) is not None:
            raise BackendUnavailableError("frames cannot be held on the GPU", got=reason, hint="use --device cpu")
        ways: dict[str, Callable[[], Decoder]] = {
            "nvdec": lambda: NvDecoder(path, picture, size, index),
            "pyav-cuda": lambda: HwAccelDecoder(path, picture, index),
            "cpu": lambda: UploadDecoder(path, threads, picture, index),
        }
        self._left = [(rung, ways[rung]) for rung in rungs if size is None or rung == "nvdec"]
        self._path = path
        self.num_corrupt = 0
        self._corrupt_before = 0  # by rungs that gave up
        self.why = ""
        self.rung = ""
        self._decoder = self._descend(None)
        self.info, self.index = self._decoder.info, self._decoder.index

    def close(self) -> None:
        """Release the file and the decoder; images stay valid."""
        self._decoder.close()

    def frames(self, first: int = 0, end: int | None = None) -> Iterator[Frame]:
        """See :meth:`dft.engines.protocols.Decoder.frames`.

        Raises:
            EngineError: The last rung gave up.
        """
        due = first
        while True:
            try:
                for frame in self._decoder.frames(due, end):
                    due = frame.frame_index + 1
                    self._count()
                    yield frame
                self._count()
                return
            except RefusedError as error:
                self._count()
                self._corrupt_before = self.num_corrupt
                self._decoder.close()
                self._decoder = self._descend(f"{self.rung}: {error} at frame {due}")

    def _count(self) -> None:
        self.num_corrupt = self._corrupt_before + self._decoder.num_corrupt

    def _descend(self, reason: str | None) -> Decoder:
        """The next rung that takes the video."""
        if reason is not None:
            self._note(reason)
        while self._left:
            rung, way = self._left.pop(0)
            try:
                decoder = way()
            except RefusedError as error:
                self._note(f"{rung}: {error.got or error}")
                continue
            self.rung = rung
            if self.why:
                log.info("%s is decoded by rung %s: %s", self._path.name, rung, self.why)
            return decoder
        raise EngineError(f"{self._path.name} cannot be decoded for the GPU", got=self.why, hint="use --device cpu")

    def _note(self, reason: str) -> None:
        self.why = f"{self.why}; {reason}" if self.why else reason


def split_at_keyframes(index: FrameIndex, num_parts: int) -> list[tuple[int, int]]:
    """Cut a video into spans of about equal length, for as many decoders as NVDEC has engines.

    Args:
        index: Every frame of the video.
        num_parts: How many spans are wanted; fewer come where there are not enough keyframes.

    Returns:
        ``(first, end)`` of each span, in order; together they are the whole video, and each begins at a keyframe
        (but the first, which begins with the video).
    """
    keys = np.flatnonzero(index.keyframe) if index.seekable else np.zeros(0, int)
    cuts = {0}
    for part in range(1, num_parts):
        wanted = round(part * len(index) / num_parts)
        if len(keys):
            cuts.add(int(keys[np.abs(keys - wanted).argmin()]))
    firsts = sorted(cuts)
    return list(zip(firsts, [*firsts[1:], len(index)], strict=True))
