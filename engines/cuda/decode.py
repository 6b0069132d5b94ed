"""Decoding for the GPU: the first of several ways that can do a video, and what to do if it gives up midway."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ...configs.errors import BackendUnavailableError, EngineError
from ...configs.recovery import Recovery
from ..cpu.decode import PyAvDecoder
from ..protocols import FOR_ANALYSIS, Closing, Decoder, Frame, FrameIndex, PictureOptions, Setback
from .available import why_no_cupy
from .hwaccel import HwAccelDecoder
from .nvdec import NvDecoder
from .refusal import RefusedError, coded_size
from .transfer import Uploader

log = logging.getLogger(__name__)

RUNGS = ("nvdec", "pyav-cuda", "cpu")
"""Ways to decode, best first: PyNvVideoCodec, PyAV with FFmpeg's CUDA support, the CPU and one copy per frame."""
MAX_SETBACKS = 3  # of one video, after which nothing better is tried again
STRETCH_SECONDS = 20.0  # after a rung gave up, until it is tried again: as long as a chunk of an analysis usually is


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
    setbacks: Sequence[Setback] = ()

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
    on with the frame that is due, to the end of the stretch: then the first one is tried again, but for
    :data:`MAX_SETBACKS` times at most.

    Args:
        path: The video.
        threads: CPU threads, where the CPU decodes; None for one per core.
        picture: What is made of the pictures.
        size: Width and height of the images, even: scaled while decoding on NVDEC; other rungs are then left out.
        rungs: Which ways to try, in this order; of ``RUNGS``.
        index: The video's frames, if they are known: else the file is scanned for them.
        seams: Frames at which stretches begin, ascending; if not given, one ends with the keyframe that comes
            :data:`STRETCH_SECONDS` or more after a rung gave up.

    Attributes:
        rung: The way that decodes now.
        why: Why not the ways before it, and where they gave up; or an empty string.
        setbacks: Where a way gave up midway, in order.

    Raises:
        VideoError: The file cannot be read.
        BackendUnavailableError: cupy cannot be used.
        EngineError: No rung takes it; each tells why.
        MemoryFullError: The GPU has no memory for pictures. NVDEC's own lack of it is a reason for the next rung.
    """

    def __init__(  # noqa: PLR0913 - what decides which way is taken, and when
        self,
        path: Path,
        threads: int | None = None,
        picture: PictureOptions = FOR_ANALYSIS,
        *,
        size: tuple[int, int] | None = None,
        rungs: Sequence[str] = RUNGS,
        index: FrameIndex | None = None,
        seams: Sequence[int] | None = None,
    ):
        if (reason := why_no_cupy()) is not None:
            raise BackendUnavailableError("frames cannot be held on the GPU", got=reason, hint="use --device cpu")
        ways: dict[str, Callable[[], Decoder]] = {
            "nvdec": lambda: NvDecoder(path, picture, size, index),
            "pyav-cuda": lambda: HwAccelDecoder(path, picture, index),
            "cpu": lambda: UploadDecoder(path, threads, picture, index),
        }
        self._ways = [(rung, ways[rung]) for rung in rungs if size is None or rung == "nvdec"]
        self._place = -1  # of the way that decodes now, among them
        self._seams = seams
        self._seam: int | None = None  # at which the first way is tried again
        self._path = path
        self.num_corrupt = 0
        self._corrupt_before = 0  # by rungs that gave up
        self.why = ""
        self.rung = ""
        self.setbacks: tuple[Setback, ...] = ()
        self._decoder = self._descend()
        self._first = self._place
        self.info, self.index = self._decoder.info, self._decoder.index

    def close(self) -> None:
        """Release the file and the decoder; images stay valid."""
        self._decoder.close()

    def frames(self, first: int = 0, end: int | None = None) -> Iterator[Frame]:
        """See :meth:`dft.engines.protocols.Decoder.frames`.

        Raises:
            EngineError: The last rung gave up.
        """
        due, end = first, len(self.index) if end is None else min(end, len(self.index))
        while due < end:
            if self._seam is not None and due >= self._seam:
                self._try_again()
            stop = end if self._seam is None else min(end, self._seam)
            try:
                for frame in self._decoder.frames(due, stop):
                    due = frame.frame_index + 1
                    self._count()
                    yield frame
                self._count()
                due = stop
            except RefusedError as error:
                self._give_up(error, due)

    def _count(self) -> None:
        self.num_corrupt = self._corrupt_before + self._decoder.num_corrupt

    def _give_up(self, error: RefusedError, due: int) -> None:
        """Go on with the next rung that takes the video."""
        lost = self.rung
        self._leave()
        self._note(f"{lost}: {error} at frame {due}")
        self._decoder = self._descend()
        self._seam = self._next_seam(due) if len(self.setbacks) + 1 < MAX_SETBACKS else None
        until = "from there on" if self._seam is None else f"up to frame {self._seam}"
        answer = f"decoded by rung {self.rung} {until}"
        self.setbacks += (Setback(due, Recovery(f"{lost} gave up at frame {due}: {error}", answer)),)

    def _try_again(self) -> None:
        """Go back to the first rung that took the video, if it takes it still."""
        self._leave()
        self._seam, self._place = None, self._first - 1
        self._decoder = self._descend()

    def _leave(self) -> None:
        self._count()
        self._corrupt_before = self.num_corrupt
        self._decoder.close()

    def _next_seam(self, due: int) -> int | None:
        """Where the stretch of frame ``due`` ends; None where it is the last."""
        if self._seams is not None:
            later = [seam for seam in self._seams if seam > due]
        else:
            index = self.index
            wanted = index.pts[due] + STRETCH_SECONDS / float(self.info.time_base)
            later = np.flatnonzero(index.keyframe & (index.pts >= wanted)).tolist() if index.seekable else []
        return int(later[0]) if later else None

    def _descend(self) -> Decoder:
        """The next rung that takes the video."""
        while self._place + 1 < len(self._ways):
            self._place += 1
            rung, way = self._ways[self._place]
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
        if reason not in self.why:  # it may be told once more each time that a rung is tried again
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
