"""One video of pieces that were encoded apart, with what is copied from the source. Nothing is encoded again."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from ..configs.errors import EngineError, SettingError, VideoUnreadableError
from .foreign import reading, writing
from .protocols import Closing
from .remux import SourceStreams

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
HEVC_TAG = "hvc1"  # FFmpeg's own choice in MP4, hev1, is not played by Apple's players


@dataclass(frozen=True)
class Facts:
    """What is known of a piece from its packets.

    Attributes:
        num_packets: One per picture.
        reorder: By how many places a packet is decoded ahead of its turn to be shown, at most.
        digest: SHA-256 of the packets, in hex.
        head: SHA-256 of what the decoder must know before them, in hex.
    """

    num_packets: int
    reorder: int
    digest: str
    head: str


@dataclass(frozen=True)
class Piece:
    """Pictures that can be decoded without any others.

    Attributes:
        path: The file that holds them.
        first_packet: Where they begin among the packets of its picture stream.
        facts: Of these packets.
        pts: ``(N,)`` int64 times of the pictures, ascending.
    """

    path: Path
    first_packet: int
    facts: Facts
    pts: NDArray[np.int64]


def facts(path: Path, counts: Sequence[int] | None = None) -> list[Facts]:
    """What is known of the pieces that lie in one file, one after the other.

    Args:
        path: The file.
        counts: How many packets each piece has; None for one piece that is the whole file.

    Raises:
        VideoError: The file cannot be read, or has too few packets.
    """
    with _Packets(path) as file:
        wanted: Sequence[int | None] = [None] if counts is None else counts
        return [_facts(file.take(file.position, count), file.head) for count in wanted]


def _facts(packets: Sequence[Any], head: str) -> Facts:
    digest = hashlib.sha256()
    for packet in packets:
        digest.update(bytes(packet))
    reorder = int((np.arange(len(packets)) - _turns(packets)).max(initial=0))
    return Facts(len(packets), reorder, digest.hexdigest(), head)


def _turns(packets: Sequence[Any]) -> NDArray[np.intp]:
    """Of each packet, which picture it is in the order of time."""
    order = np.argsort(np.array([packet.pts for packet in packets], np.int64), kind="stable")
    turns = np.empty_like(order)
    turns[order] = np.arange(len(order))
    return turns


class _Packets(Closing):
    """The packets of the picture in a file, in decoding order.

    Attributes:
        stream: The picture's stream.
        head: SHA-256 of what the decoder must know before the packets, in hex.
        position: Number of the packet that comes next.
    """

    def __init__(self, path: Path):
        self.path, self.position = path, 0
        with reading(path):
            self._container: Any = av.open(str(path), metadata_errors="ignore")
            self.stream = self._container.streams.video[0]
        self.head = hashlib.sha256(self.stream.codec_context.extradata or b"").hexdigest()
        self._rest = (packet for packet in self._container.demux(self.stream) if packet.size)

    def take(self, first: int, count: int | None) -> list[Any]:
        """``count`` packets (None: all) from number ``first``, which is not before ``position``.

        Raises:
            VideoError: There are not so many.
        """
        end = None if count is None else first + count - self.position
        with reading(self.path):
            packets = list(islice(self._rest, first - self.position, end))
        if count is not None and len(packets) < count:
            raise VideoUnreadableError(f"{self.path} lacks pictures", got=len(packets), expected=count)
        self.position = first + len(packets)
        return packets

    def close(self) -> None:
        self._container.close()


@dataclass(frozen=True)
class JoinOptions:
    """How the video is written.

    Attributes:
        time_base: Unit of the pictures' pts.
        end_pts: pts at which the last picture ends, or None: it lasts as long as the average one.
        fps: Average frame rate: how long a last picture without a stated end is shown.
        audio: Which audio streams of the source are copied: ``all``, ``first`` or ``none``.
    """

    time_base: Fraction
    end_pts: int | None
    fps: Fraction
    audio: str = "all"


def check_container(path: Path, codec: str) -> None:
    """Make sure that ``path`` names a container that is written here, and that holds ``codec``.

    Raises:
        SettingError: It does not.
    """
    form = CONTAINERS.get(path.suffix.lower())
    if form is None:
        raise SettingError(f"cannot write a video named *{path.suffix}", expected="a name ending in .mp4, .mov or .mkv")
    if codec == "av1" and form == "mov":
        raise SettingError("MOV cannot hold AV1", got=path.name, hint="name the output .mp4 or .mkv")


def join(pieces: Sequence[Piece], path: Path, options: JoinOptions, source: Path | None = None) -> tuple[str, ...]:
    """Write ``pieces`` one after the other as one video.

    Times are those of the pieces, in ``options.time_base``: MP4 and MOV keep them to the tick, Matroska rounds them
    to its milliseconds.

    Args:
        pieces: In order of time; all encoded with the same options.
        path: The video; its suffix names the container.
        options: How it is written.
        source: File whose sound, subtitles, attachments, chapters and metadata are copied, or None.

    Returns:
        What could not be kept, in words.

    Raises:
        SettingError: The suffix names no container that can be written.
        OutputError: The file cannot be written.
        VideoError: A piece or ``source`` cannot be read.
        EngineError: The pieces were not encoded with the same options.
    """
    check_container(path, "")
    for piece in pieces:
        if piece.facts.head != pieces[0].facts.head:
            raise EngineError(
                "parts of the video were encoded with different options", got=piece.path,
                hint="remove the folder of segments, and render again",
            )  # fmt: skip
    with _Writer(pieces, path, options, source) as writer:
        return writer.write()


class _Writer(Closing):
    """The output while it is written."""

    def __init__(self, pieces: Sequence[Piece], path: Path, options: JoinOptions, source: Path | None):
        self._pieces, self._path, self._options = pieces, path, options
        self._copied: SourceStreams | None = None
        self._open = _Packets(pieces[0].path)
        form = CONTAINERS[path.suffix.lower()]
        with writing(path):
            self._container: Any = av.open(str(path), "w", format=form, container_options=_muxer_options(form, options))
        try:
            self._start(source)
        except BaseException:
            self.close()
            raise

    def write(self) -> tuple[str, ...]:
        """Write everything."""
        times = np.concatenate([piece.pts for piece in self._pieces])
        decoding = _decoding_times(times, max(piece.facts.reorder for piece in self._pieces))
        ends = np.append(times[1:], self._end(times))
        last = len(times) - 1
        for number, (packet, shown) in enumerate(self._shown()):
            packet.stream, packet.time_base = self._stream, self._options.time_base
            packet.pts, packet.dts = int(times[shown]), int(decoding[number])
            packet.duration = int(ends[shown] - times[shown])
            if number == last:
                packet.duration = _last_duration(packet, int(times[0] - decoding[0]), int(ends[-1]))
            if self._copied is not None:
                self._copied.advance(packet.dts * packet.time_base)
            with writing(self._path):
                self._container.mux_one(packet)
        with writing(self._path):
            if self._copied is not None:
                self._copied.finish()
            self._container.close()
        if self._copied is None:
            return ()
        self._copied.compare(self._path)
        return tuple(self._copied.notes)

    def close(self) -> None:
        """Release everything."""
        self._open.close()
        if self._copied is not None:
            self._copied.close()
        with suppress(av.error.FFmpegError, OSError, ValueError):  # a full disk, told before
            self._container.close()

    def _start(self, source: Path | None) -> None:
        template = self._open.stream
        with writing(self._path):
            self._stream = self._container.add_stream_from_template(template, opaque=True)
            self._stream.time_base = self._options.time_base
            if template.codec_context.codec.canonical_name == "hevc" and self._container.format.name != "matroska":
                self._stream.codec_context.codec_tag = HEVC_TAG
        if source is not None:
            self._copied = SourceStreams(source, self._container, self._options.audio, picture=self._stream)
        with writing(self._path):
            self._container.start_encoding()

    def _shown(self) -> Iterator[tuple[Any, int]]:
        """Every packet in decoding order, and which picture of all it is in the order of time."""
        before = 0
        for piece in self._pieces:
            if piece.path != self._open.path or piece.first_packet < self._open.position:
                self._open.close()
                self._open = _Packets(piece.path)
            packets = self._open.take(piece.first_packet, piece.facts.num_packets)
            yield from zip(packets, (_turns(packets) + before).tolist(), strict=True)
            before += len(packets)

    def _end(self, times: NDArray[np.int64]) -> int:
        end = self._options.end_pts
        if end is not None and end > times[-1]:
            return end
        return int(times[-1]) + max(1, round(1 / (self._options.fps * self._options.time_base)))


def _decoding_times(times: NDArray[np.int64], reorder: int) -> NDArray[np.int64]:
    """When each packet is decoded: the times of the pictures, ``reorder`` places late, and begun that much earlier.

    x264 does the same within one encoding; over all pieces, the times ascend across their seams at any frame rate.
    """
    reorder = min(reorder, len(times) - 1)
    lead = times[:reorder] - (times[reorder] - times[0])
    return np.concatenate([lead, times[: len(times) - reorder]])


def _last_duration(packet: Any, lead: int, end: int) -> int:
    """Duration of the packet that is last in decoding order, so that picture time ends with the last picture.

    MP4 adds up durations in decoding order, which leaves out the ``lead`` of decoding before the first picture: the
    last packet makes up for that as far as its own picture's time allows.
    """
    return max(1, min(end - int(packet.dts) - lead, end - int(packet.pts)))


def _muxer_options(form: str, options: JoinOptions) -> dict[str, str]:
    if form == "matroska":
        return {}
    timescale = options.time_base.denominator
    while timescale < 10_000:  # as FFmpeg's MP4 muxer does for the track
        timescale *= 2
    # the usual 1000 would round the time at which the picture begins
    return {"movflags": "faststart", "movie_timescale": str(timescale)}
