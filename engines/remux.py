"""Copying the sound of the source into the output without re-encoding."""

import io
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.stream import Discard

from .foreign import UNREADABLE, reading
from .protocols import Closing


class SourceAudio(Closing):
    """Every audio stream of ``source`` that ``output`` can hold, packet by packet as it is.

    Streams must be added before the output's header is written, so make this first; then call :meth:`advance`
    ahead of each picture packet, and :meth:`finish` after the last.

    Args:
        source: The file whose sound is copied.
        output: Container being written, before its header.

    Attributes:
        dropped: FFmpeg's names of the codecs of streams that the container cannot hold.
        num_bad: Packets that were left out because they are damaged.
        stopped: Why and where reading stopped before the end, or None.

    Raises:
        VideoError: The source cannot be opened.
    """

    def __init__(self, source: Path, output: av.container.OutputContainer):
        self.dropped: list[str] = []
        self.num_bad = 0
        self.stopped: str | None = None
        self._output = output
        self._targets: dict[int, Any] = {}  # by the index of the source's stream
        self._last_dts: dict[int, Fraction] = {}
        self._heard: set[int] = set()  # streams past their priming
        with reading(source):
            self._container = av.open(str(source), metadata_errors="ignore")
            for stream in self._container.streams:
                if stream.type != "audio":
                    stream.discard = Discard.all  # spares reading the picture a second time
            for stream in self._container.streams.audio:
                self._add(stream)
        self._packets = self._demux()
        self._waiting: Any = next(self._packets, None)

    @property
    def notes(self) -> list[str]:
        """What of the sound is not in the output, in words."""
        notes = [f"audio in {name} was left out: the output format cannot hold it" for name in self.dropped]
        if self.num_bad:
            notes.append(f"{self.num_bad} damaged audio packets were left out")
        if self.stopped is not None:
            notes.append(f"audio ends early: {self.stopped}")
        return notes

    def advance(self, seconds: float | Fraction) -> None:
        """Write the packets that begin up to ``seconds``, so that sound and picture lie interleaved.

        Raises:
            FFmpegError: The output cannot be written.
        """
        while self._waiting is not None and _decoding_time(self._waiting) <= seconds:
            self._mux(self._waiting)
            self._waiting = next(self._packets, None)

    def finish(self) -> None:
        """Write all that is left.

        Raises:
            FFmpegError: The output cannot be written.
        """
        while self._waiting is not None:
            self._mux(self._waiting)
            self._waiting = next(self._packets, None)
        self.close()

    def close(self) -> None:
        """Release the source."""
        self._waiting = None
        self._packets.close()
        self._container.close()

    def _add(self, stream: Any) -> None:
        if not _can_hold(self._output.format.name, stream):
            self.dropped.append(stream.codec_context.name if stream.codec_context else "an unknown codec")
            return
        target = self._output.add_stream_from_template(stream)
        target.metadata.update(stream.metadata)
        target.disposition = stream.disposition
        self._targets[stream.index] = target

    def _demux(self) -> Generator[Any, None, None]:
        """Packets of the copied streams, to the end or to where the source cannot be read any further."""
        streams = [self._container.streams[index] for index in self._targets]
        if not streams:
            return
        packets = self._container.demux(*streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except UNREADABLE as error:
                last = float(max(self._last_dts.values(), default=Fraction(0)))
                reason = getattr(error, "strerror", None) or error
                self.stopped = f"the source cannot be read after {last:.3f} s ({reason})"
                return
            if packet.size > 0 and self._is_good(packet):
                yield packet

    def _is_good(self, packet: Any) -> bool:
        """Whether a muxer takes the packet: it has a time, and comes after the one before."""
        index = packet.stream.index
        if packet.dts is None and packet.pts is None:
            self.num_bad += 1
            return False
        before = self._last_dts.get(index)
        if packet.is_discard and index in self._heard:  # cut off by an edit list; before the start it is priming
            return False
        time = _decoding_time(packet)
        if before is not None and time <= before:
            self.num_bad += 1
            return False
        self._last_dts[index] = time
        if not packet.is_discard:
            self._heard.add(index)
        return True

    def _mux(self, packet: Any) -> None:
        packet.stream = self._targets[packet.stream.index]
        try:
            self._output.mux_one(packet)
        except (av.error.InvalidDataError, av.error.ArgumentError):
            self.num_bad += 1  # the packet's own fault: a broken header, or two that round to one time


def _decoding_time(packet: Any) -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return Fraction(stamp * packet.time_base)


def _can_hold(format_name: str, stream: Any) -> bool:
    """Whether a file of the format begins well with a copy of ``stream``; only trying tells for sure."""
    try:
        with av.open(io.BytesIO(), "w", format=format_name) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True
