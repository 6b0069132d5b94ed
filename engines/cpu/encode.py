"""Encoding on the CPU with x264, x265 or SVT-AV1, through PyAV."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from ...configs.errors import EngineError, MemoryFullError
from ...configs.hardware import has_avx512
from ..foreign import writing
from ..hdr import svt_av1_params, x265_params
from ..memory import is_full
from ..protocols import Closing, Colour, EncodeOptions
from .image import BT709, PIXEL_FORMATS, YuvImage, plane_view
from .priority import usual_priority

Library = tuple[str, dict[str, str]]
LIBRARIES = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
# SVT-AV1 numbers its presets; beside x264's of like patience.
SVT_PRESETS = {
    "ultrafast": 12, "superfast": 11, "veryfast": 10, "faster": 9, "fast": 8, "medium": 7, "slow": 5, "slower": 4,
    "veryslow": 2,
}  # fmt: skip
FULL_RANGE, LIMITED_RANGE = 2, 1  # AVCOL_RANGE_JPEG, AVCOL_RANGE_MPEG
MAX_REORDER = 16  # H.264 and HEVC hold no more pictures back (sps_max_num_reorder_pics)
GREATEST_FRACTION = 1_001_000  # FFmpeg's rationals have 32 bits; broadcast rates need 1001 below the line


class PyAvEncoder(Closing):
    """Encodes pictures in 4:2:0 into an MP4 file that holds nothing else; implements ``protocols.Encoder``.

    The encoder is told the time of every picture, for its rate control. In the file the pictures have one average frame
    each: their order is what counts, the times are written when pieces are joined. The first is a keyframe, and none
    refers to a picture outside.

    Args:
        path: The file.
        options: What is asked for.
        library: FFmpeg's name of another encoder that takes these pictures, and its options; None for those of
            :data:`LIBRARIES` and :func:`library_options`.

    Raises:
        OutputError: The file cannot be created.
        EngineError: The encoder refuses the options.
        BackendUnavailableError: This build of PyAV lacks the encoder.
    """

    def __init__(self, path: Path, options: EncodeOptions, library: Library | None = None):
        self._path, self._options = path, options
        self._latest: int | None = None  # pts
        self._places: dict[int, int] = {}  # of pictures inside the encoder, in the order of time, by pts
        self._num_written = self._num_muxed = 0
        self._step = max(1, round(1 / (options.fps * options.time_base)))  # one average frame
        self._container: Any = None
        with writing(path):
            self._container = av.open(str(path), "w", format="mp4")
        try:
            with writing(path):
                self._stream = _add_stream(self._container, options, library)
            with _encoding(self._stream), usual_priority():
                self._stream.codec_context.open()
            with writing(path):
                self._container.start_encoding()
        except BaseException:
            self.close()
            raise

    def write(self, image: YuvImage, pts: int) -> None:
        """Encode one canvas of the size in ``options``; ``pts`` ascend.

        Raises:
            OutputError: The file cannot be written any further.
            EngineError: ``pts`` does not ascend, or the encoder fails.
        """
        if self._latest is not None and pts <= self._latest:
            raise EngineError("a frame came out of order", got=f"pts {pts}", expected=f"more than {self._latest}")
        frame = _frame(image)
        frame.pts, frame.time_base = pts, self._options.time_base
        frame.pict_type = 0  # the encoder decides
        self._latest, self._places[pts] = pts, self._num_written
        self._num_written += 1
        self._encode(frame)

    def finish(self) -> None:
        """Encode what is buffered and complete the file.

        Raises:
            OutputError: The file cannot be completed.
            EngineError: The encoder fails.
        """
        self._encode(None)
        with writing(self._path):
            self._container.close()

    def close(self) -> None:
        """Release everything. Without :meth:`finish` what lies under the name is no complete video."""
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError, ValueError):  # a full disk, told before
                self._container.close()

    def _encode(self, frame: Any) -> None:
        with _encoding(self._stream):
            packets = self._stream.encode(frame)
        with writing(self._path):
            for packet in packets:
                packet.pts = self._places.pop(packet.pts) * self._step
                packet.dts = (self._num_muxed - MAX_REORDER) * self._step  # x265 gives none for a single picture
                self._num_muxed += 1
                self._container.mux_one(packet)


@contextmanager
def _encoding(stream: Any) -> Iterator[None]:
    """Turn what FFmpeg says about an encoder into an ``EngineError``: what it lacks is never the file's fault."""
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        kind = MemoryFullError if is_full(error) else EngineError
        raise kind(f"the encoder {stream.codec_context.name} fails", got=reason) from error


def _add_stream(container: Any, options: EncodeOptions, library: Library | None) -> Any:
    name, chosen = library or (LIBRARIES[options.codec], library_options(options))
    rate = options.fps.limit_denominator(GREATEST_FRACTION // max(1, int(options.fps)))
    if options.codec == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; the library writes to stderr on its own
    stream = container.add_stream(name, rate=rate, options=chosen)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = options.width, options.height, PIXEL_FORMATS[options.depth]
    context.sample_aspect_ratio = Fraction(1)
    context.time_base = options.time_base
    context.thread_count = options.threads or 0
    if options.bitrate is not None:
        context.bit_rate = options.bitrate
    _tag(context, options.colour)
    return stream


def library_options(options: EncodeOptions) -> dict[str, str]:
    """The options of the encoding library that say what is asked for, but for the bit rate."""
    chosen = {"preset": options.preset}
    if options.bitrate is None:
        chosen["crf"] = str(options.crf)
    if options.codec == "h264" and options.width % 64 and has_avx512():
        # with AVX-512 x264 gives other bits from run to run where the width is no multiple of 64 (seen in build 165, in
        # PyAV 18.1): a rendering that goes on must give what an undisturbed one gives
        chosen["x264-params"] = "asm=avx2"
    if options.codec == "hevc":
        params = {"log-level": "error", "open-gop": "0", **(x265_params(options.hdr) if options.hdr else {})}
        chosen["x265-params"] = _joined(params)
    if options.codec == "av1":
        chosen["preset"] = str(SVT_PRESETS[options.preset])
        if options.hdr:
            chosen["svtav1-params"] = _joined(svt_av1_params(options.hdr))
    return chosen


def _joined(params: dict[str, str]) -> str:
    return ":".join(f"{name}={value}" for name, value in params.items())


def _tag(context: Any, colour: Colour) -> None:
    if colour.matrix == 0:  # RGB became BT.709 on its way into the canvas
        colour = Colour(BT709, colour.primaries, colour.transfer, full_range=False)
    context.colorspace = colour.matrix
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    context.color_range = FULL_RANGE if colour.full_range else LIMITED_RANGE


def _frame(image: YuvImage) -> Any:
    """The canvas as a frame; a compositor's already lies in one, and is not copied."""
    if _lies_in(image, image.owner):
        return image.owner
    frame = av.VideoFrame(image.width, image.height, PIXEL_FORMATS[image.depth])
    for plane, values in zip(frame.planes, (image.y, image.u, image.v), strict=True):
        np.copyto(plane_view(plane, image.depth), values)
    return frame


def _lies_in(image: YuvImage, frame: Any) -> bool:
    """Whether ``frame`` is an encoder's frame that holds just this image."""
    if not isinstance(frame, av.VideoFrame) or frame.format.name != PIXEL_FORMATS[image.depth]:
        return False
    if (frame.width, frame.height) != (image.width, image.height):
        return False
    planes = (image.y, image.u, image.v)
    return all(p.ctypes.data == own.buffer_ptr for p, own in zip(planes, frame.planes, strict=True))
