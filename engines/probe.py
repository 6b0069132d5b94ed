"""What a video file holds: the facts of its picture stream, and the time of every frame, read from its packets."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import Flags
from numpy.typing import NDArray

from ..configs.errors import CorruptVideoError, VideoUnreadableError
from .foreign import UNREADABLE, reading
from .hdr import read_hdr
from .protocols import Colour, FrameIndex, VideoInfo

FULL_RANGE = 2  # AVCOL_RANGE_JPEG
FIELD_ORDERS = (2, 3, 4, 5)  # AV_FIELD_TT, BB, TB, BT
NUM_FIRST_PICTURES = 5  # asked whether they are interlaced: broadcasts may begin with a progressive one
ORDER_ONLY = {"skip_loop_filter": "all", "skip_idct": "all"}  # half the time, where nobody looks at the pictures
MIN_CUT_OFF_SECONDS = 1.0  # container durations are rounded; shorter losses are told by the frame count alone


def open_video(path: Path, hwaccel: Any = None) -> tuple[Any, Any]:
    """Open ``path`` and pick its main picture stream (never a cover picture).

    Args:
        path: The file.
        hwaccel: PyAV's ``HWAccel`` if pictures are to be decoded by hardware.

    Returns:
        PyAV's container and stream. The caller closes the container.

    Raises:
        VideoNotFoundError: There is no such file.
        VideoUnreadableError: It is no media file, or has no picture stream.
    """
    with reading(path):
        if path.is_dir():
            raise IsADirectoryError(path)
        if path.exists() and not path.is_file():  # opening a pipe would wait for somebody who writes
            raise VideoUnreadableError(f"cannot read {path}", got="a pipe or device", expected="a video file")
        container = av.open(str(path), metadata_errors="ignore", hwaccel=hwaccel)
        stream = container.streams.best("video")
        if stream is None or stream.codec_context is None:
            held = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            container.close()
            raise VideoUnreadableError(f"{path} has no video stream", got=f"streams of type {held}")
        return container, stream


def probe(path: Path) -> VideoInfo:
    """Facts of the video's picture stream; decodes its first frames, which tell rotation, fields and HDR.

    Raises:
        VideoError: The file cannot be read or not one frame decodes.
    """
    container, stream = open_video(path)
    with container, reading(path):
        pictures = _first_pictures(container, stream, path)
        picture = pictures[0]
        context = stream.codec_context
        rotation = (-round(picture.rotation / 90) * 90) % 360
        width, height = picture.width, picture.height
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        if rotation in (90, 270):
            width, height, aspect = height, width, 1 / aspect
        full = int(picture.color_range) == FULL_RANGE or picture.format.name.startswith("yuvj")
        return VideoInfo(
            path=path, width=width, height=height, rotation=rotation, pixel_aspect=aspect,
            time_base=Fraction(stream.time_base),
            fps=Fraction(stream.average_rate or stream.guessed_rate or 25),
            colour=Colour(int(picture.colorspace), int(picture.color_primaries), int(picture.color_trc), full),
            codec=context.name, pixel_format=picture.format.name,
            depth=max(part.bits for part in picture.format.components),
            interlaced=_has_fields(context) or any(each.interlaced_frame for each in pictures),
            hdr=read_hdr(picture),
        )  # fmt: skip


def _has_fields(context: Any) -> bool:
    return getattr(context, "field_order", 0) in FIELD_ORDERS  # PyAV before 18 leaves it to the pictures


def _first_pictures(container: Any, stream: Any, path: Path) -> list[Any]:
    """The first one or more pictures."""
    found: list[Any] = []
    try:
        for packet in container.demux(stream):
            with suppress(av.error.InvalidDataError):
                found += packet.decode()
            if len(found) >= NUM_FIRST_PICTURES:
                break
    except UNREADABLE:
        if not found:
            raise
    if not found:
        raise VideoUnreadableError(f"{path} holds no picture that can be decoded", hint="check that the file plays")
    return found


def scan(path: Path) -> FrameIndex:
    """Time and keyframe flag of every frame, without decoding where the packets tell.

    Files whose packets carry no pts (raw H.264, some AVI) are decoded once to count their frames, and those whose pts
    FFmpeg makes up in the order of the file (H.264 with B-frames in AVI) to learn the order of their pictures.

    Raises:
        VideoError: The file cannot be read or holds no frame.
    """
    packets = _Packets()
    container, stream = open_video(path)
    with container, reading(path):
        base, is_mov = Fraction(stream.time_base), "mov" in container.format.name
        told = stream.frames if is_mov else 0  # AVI counts empty frames too
        # MP4's duration begins with the first picture; Matroska's, at zero
        told_seconds = ((container.duration or 0) + (container.start_time or 0 if is_mov else 0)) / 1e6
        packets.read(container, stream)
        delayed = bool(stream.codec_context.has_b_frames)
    if packets.unstamped:
        return _count_by_decoding(path)
    if not packets.pts:
        raise VideoUnreadableError(f"{path} holds no video packet", hint="check that the file plays")
    stamps = np.array(packets.pts, np.int64)
    order = np.argsort(stamps, kind="stable")
    pts = carried = stamps[order]
    if delayed and (np.diff(stamps) > 0).all() and not _holds_times(path):
        carried = decoding_order(path, pts)
        order = np.searchsorted(stamps, carried)
    ended = packets.stopped
    missing = told - packets.num_video
    if ended is None and (missing > 0 or told_seconds - packets.last_seconds > MIN_CUT_OFF_SECONDS):
        ended = "the file stops before its stated end"
    if ended is not None:
        ended = f"{ended}: video ends at {float((packets.end_pts) * base):.3f} s of stated {told_seconds:.3f} s"
    keyframe = np.array(packets.keyframe, bool)[order]
    return FrameIndex(pts, keyframe, packets.end_pts, True, ended, carried if (carried != pts).any() else None)


def _holds_times(path: Path) -> bool:
    """Whether the file itself says when its first picture is shown: FFmpeg makes up what is missing unless told not to.

    Raises:
        VideoError: The file cannot be read.
    """
    container, stream = open_video(path)
    with container, reading(path):
        container.flags &= ~Flags.gen_pts.value
        return next(container.demux(stream)).pts is not None


def decoding_order(path: Path, pts: NDArray[np.int64]) -> NDArray[np.int64]:
    """What the pictures carry, in the order in which the decoder gives them.

    Args:
        path: The video, which is decoded.
        pts: ``(N,)`` int64 of all packets, ascending.

    Returns:
        ``(N,)`` int64, the same in another order. Packets without a picture keep their places, so that a damaged one
        does not move the others.

    Raises:
        VideoError: The file cannot be read.
    """
    given: dict[int, None] = {}  # each once, in order
    with suppress(*UNREADABLE):  # the end of what can be read: the packets have told where
        given.update((picture.pts, None) for picture in _pictures(path, ORDER_ONLY) if picture.pts is not None)
    known = np.array(list(given), np.int64)
    known = known[np.isin(known, pts)]
    carried = pts.copy()
    carried[np.isin(pts, known)] = known
    return carried


def check_times(path: Path, index: FrameIndex, allowed: float) -> None:
    """Refuse a video of which too many frames have the time of another: they cannot be shown.

    Args:
        path: The video.
        index: Its frames.
        allowed: Share of them that may, 0..1.

    Raises:
        CorruptVideoError: There are more.
    """
    if index.num_shared > allowed * len(index):
        raise CorruptVideoError(
            f"{path} has no usable time stamps",
            got=f"{index.num_shared} of {len(index)} frames at the time of another",
            expected=f"at most {allowed:.0%}",
            hint="write the file anew with a time for every frame, or analyze it with a greater --max-corrupt",
        )


def time_notes(index: FrameIndex) -> list[str]:
    """What to know of where the frames' times come from, in words."""
    if index.packet_pts is None:
        return []
    return ["the file holds no times of presentation: its frames are in the order of the decoder"]


class _Packets:
    """What is learnt from the packets of a file."""

    def __init__(self) -> None:
        self.pts: list[int] = []
        self.keyframe: list[bool] = []
        self.end_pts = 0
        self.num_video = 0
        self._ends: dict[int, int] = {}  # of each stream, in its own ticks
        self._bases: dict[int, Fraction] = {}
        self.unstamped = False
        self.stopped: str | None = None

    def read(self, container: Any, stream: Any) -> None:
        """Read every packet of ``container``, to its end or to where it cannot be read any further."""
        self._bases = {each.index: Fraction(each.time_base) for each in container.streams if each.time_base}
        try:
            for packet in container.demux():
                if packet.size == 0:
                    continue
                number, pts = packet.stream_index, packet.pts
                if pts is not None and (end := pts + (packet.duration or 0)) > self._ends.get(number, 0):
                    self._ends[number] = end
                if number == stream.index:
                    self._add(packet)
        except MemoryError:
            raise
        except UNREADABLE as error:
            self.stopped = f"reading stopped ({getattr(error, 'strerror', None) or error})"

    @property
    def last_seconds(self) -> float:
        """When the last packet of any stream ends."""
        return max((float(end * self._bases[n]) for n, end in self._ends.items() if n in self._bases), default=0.0)

    def _add(self, packet: Any) -> None:
        self.num_video += 1
        if packet.is_discard:  # cut away by an edit list
            return
        if packet.pts is None:
            self.unstamped = True
            return
        self.pts.append(packet.pts)
        self.keyframe.append(packet.is_keyframe)
        self.end_pts = max(self.end_pts, packet.pts + (packet.duration or 0))


def _count_by_decoding(path: Path) -> FrameIndex:
    """Index of a file without time stamps: frames are counted, and last one average frame each."""
    container, stream = open_video(path)
    with container:
        step = 1 / (Fraction(stream.average_rate or stream.guessed_rate or 25) * Fraction(stream.time_base))
    with reading(path):
        num_frames = sum(1 for _ in _pictures(path))
    if num_frames == 0:
        raise VideoUnreadableError(f"{path} holds no picture that can be decoded")
    pts = np.array([round(i * step) for i in range(num_frames + 1)], np.int64)
    keyframe = np.zeros(num_frames, bool)
    keyframe[0] = True
    return FrameIndex(pts[:-1], keyframe, int(pts[-1]), seekable=False)


def _pictures(path: Path, options: Mapping[str, str] | None = None) -> Iterator[Any]:
    """All pictures in the order of a decoder with FFmpeg's ``options``; damaged packets are passed over.

    FFmpeg's errors come as they are.
    """
    container, stream = open_video(path)
    with container:
        stream.codec_context.options = dict(options or {})
        for packet in container.demux(stream):
            with suppress(av.error.InvalidDataError):
                yield from packet.decode()
