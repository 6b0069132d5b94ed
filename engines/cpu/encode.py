"""Encoding on the CPU with x264, through PyAV."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.codec.codec import UnknownCodecError

from ...configs.errors import BackendUnavailableError, DftError, EngineError, OutputError, SettingError
from ..protocols import Closing, Colour, EncodeOptions
from ..remux import SourceStreams
from .image import BT709, YuvImage, plane_view

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
FULL_RANGE, LIMITED_RANGE = 2, 1  # AVCOL_RANGE_JPEG, AVCOL_RANGE_MPEG
GREATEST_FRACTION = 1_001_000  # FFmpeg's rationals have 32 bits; broadcast rates need 1001 below the line

_SPACE = "free some space, or choose another folder"
_RIGHTS = "check the rights of the folder, or choose another"
_HINTS = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or choose another folder",
    errno.ENOENT: "create the folder, or choose another",
}


class LibX264Encoder(Closing):
    """Writes H.264 in 8-bit 4:2:0 to an MP4, MOV or Matroska file; implements ``protocols.Encoder``.

    Time stamps are those of :meth:`write`, in ``options.time_base``: frames are never counted, so a variable
    frame rate stays variable. MP4 and MOV keep them to the tick, Matroska rounds them to its milliseconds.

    Args:
        path: The file; its suffix names the container.
        options: What is asked for.
        source: File whose sound, subtitles, attachments, chapters and metadata are copied, or None.

    Attributes:
        notes: What could not be kept, in words.

    Raises:
        SettingError: The suffix names no container that can be written.
        OutputError: The file cannot be created.
        VideoError: ``source`` cannot be opened.
        BackendUnavailableError: This build of PyAV has no libx264.
    """

    def __init__(self, path: Path, options: EncodeOptions, source: Path | None = None):
        if path.suffix.lower() not in CONTAINERS:
            raise SettingError(
                f"cannot write a video named *{path.suffix}", expected="a name ending in .mp4, .mov or .mkv"
            )
        self._path, self._options = path, options
        self._held: tuple[Any, int] | None = None  # frame and pts; its duration is known when the next one comes
        self._durations: dict[int, int] = {}  # of frames inside the encoder, by pts
        self._end_pts = 0
        self._first: tuple[int, int] | None = None  # pts and dts of the first packet
        self._copied: SourceStreams | None = None
        self._container: Any = None
        with _writing(path):
            form = CONTAINERS[path.suffix.lower()]
            container_options = _muxer_options(form, options.time_base)
            self._container = av.open(str(path), "w", format=form, container_options=container_options)
        try:
            self._start(source)
        except BaseException:
            self.close()
            raise

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be kept, in words."""
        return tuple(self._copied.notes) if self._copied else ()

    def write(self, image: YuvImage, pts: int) -> None:
        """Encode one canvas of the size in ``options``; ``pts`` ascend.

        Raises:
            OutputError: The file cannot be written any further.
            EngineError: ``pts`` does not ascend.
        """
        if self._held is not None and pts <= self._held[1]:
            raise EngineError("a frame came out of order", got=f"pts {pts}", expected=f"more than {self._held[1]}")
        frame = _frame(image)
        frame.pts, frame.time_base = pts, self._options.time_base
        frame.pict_type = 0  # x264 decides
        with _writing(self._path):
            self._mux(self._encode_held(until=pts))
            self._held = (frame, pts)

    def finish(self, end_pts: int | None = None) -> None:
        """Write what is buffered and complete the file.

        Args:
            end_pts: pts at which the last frame ends, or None: it lasts one average frame.

        Raises:
            OutputError: The file cannot be completed.
        """
        with _writing(self._path):
            packets = [*self._encode_held(until=end_pts), *self._stream.encode(None)]
            self._mux(packets[:-1])
            for last in packets[-1:]:
                self._mux_last(last)
            if self._copied is not None:
                self._copied.finish()
            self._container.close()
            if self._copied is not None:
                self._copied.compare(self._path)

    def close(self) -> None:
        """Release everything. Without :meth:`finish` what lies under the name is no complete video."""
        self._held = None
        if self._copied is not None:
            self._copied.close()
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError, ValueError):  # a full disk, told before
                self._container.close()

    def _start(self, source: Path | None) -> None:
        options = self._options
        rate = options.fps.limit_denominator(GREATEST_FRACTION // max(1, int(options.fps)))
        with _writing(self._path):
            self._stream = self._container.add_stream("libx264", rate=rate, options=_x264_options(options))
            context = self._stream.codec_context
            context.width, context.height, context.pix_fmt = options.width, options.height, "yuv420p"
            context.sample_aspect_ratio = Fraction(1)
            context.time_base = options.time_base
            context.thread_count = options.threads or 0
            if options.bitrate is not None:
                context.bit_rate = options.bitrate
            _tag(context, options.colour)
        if source is not None:
            self._copied = SourceStreams(source, self._container, options.audio, picture=self._stream)
        with _writing(self._path):
            self._container.start_encoding()

    def _encode_held(self, until: int | None) -> list[Any]:
        if self._held is None:
            return []
        frame, pts = self._held
        if until is None or until <= pts:
            until = pts + max(1, round(1 / (self._options.fps * self._options.time_base)))
        self._durations[pts] = until - pts
        self._end_pts = until
        self._held = None
        packets: list[Any] = self._stream.encode(frame)
        return packets

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._mux_one(packet, self._durations.pop(packet.pts, 0))

    def _mux_last(self, packet: Any) -> None:
        """Write the packet that is last in decoding order, so that picture time ends with the last frame.

        MP4 adds up durations in decoding order, which leaves some out at a variable rate: the last packet makes
        up for that as far as its own picture time allows.
        """
        first_pts, first_dts = self._first or (packet.pts, packet.dts)
        missing = (self._end_pts - first_pts) - (packet.dts - first_dts)
        self._mux_one(packet, max(1, min(missing, self._end_pts - packet.pts)))

    def _mux_one(self, packet: Any, duration: int) -> None:
        if self._first is None:
            self._first = (packet.pts, packet.dts)
        packet.duration = duration
        if self._copied is not None:
            self._copied.advance(packet.dts * packet.time_base)
        self._container.mux_one(packet)


def _muxer_options(form: str, time_base: Fraction) -> dict[str, str]:
    if form == "matroska":
        return {}
    timescale = time_base.denominator
    while timescale < 10_000:  # as FFmpeg's MP4 muxer does for the track
        timescale *= 2
    # the usual 1000 would round the time at which the picture begins
    return {"movflags": "faststart", "movie_timescale": str(timescale)}


def _x264_options(options: EncodeOptions) -> dict[str, str]:
    chosen = {"preset": options.preset}
    if options.bitrate is None:
        chosen["crf"] = str(options.crf)
    return chosen


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
    frame = av.VideoFrame(image.width, image.height, "yuv420p")
    for plane, values in zip(frame.planes, (image.y, image.u, image.v), strict=True):
        np.copyto(plane_view(plane), values)
    return frame


def _lies_in(image: YuvImage, frame: Any) -> bool:
    """Whether ``frame`` is an encoder's frame that holds just this image."""
    if not isinstance(frame, av.VideoFrame) or frame.format.name != "yuv420p":
        return False
    if (frame.width, frame.height) != (image.width, image.height):
        return False
    planes = (image.y, image.u, image.v)
    return all(p.ctypes.data == own.buffer_ptr for p, own in zip(planes, frame.planes, strict=True))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what FFmpeg or the system says about the output into an error of ours."""
    try:
        yield
    except DftError:
        raise
    except UnknownCodecError as error:
        raise BackendUnavailableError(
            "this PyAV has no libx264",
            got=error,
            hint="install av from PyPI: pip install --force-reinstall av",
        ) from error
    except (av.error.ExternalError, av.error.ArgumentError, av.error.UnknownError, ValueError) as error:
        raise EngineError(f"x264 or the muxer refused to write {path.name}", got=error) from error
    except (av.error.FFmpegError, OSError) as error:
        number = error.errno or 0
        reason = os.strerror(number) if 0 < number < 4096 else (error.strerror or str(error))
        raise OutputError(
            f"cannot write in {path.parent}", got=reason.lower(), hint=_HINTS.get(number, _RIGHTS)
        ) from error
