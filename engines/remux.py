"""Copying what the source holds beside its picture into the output, without re-encoding."""

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.stream import Discard

from .foreign import UNREADABLE, reading
from .keepsakes import OF_THE_PICTURE, Wanted, carry, label_of, losses, meaningful, sound_chapters
from .protocols import Closing
from .subtitles import TextConverter, can_convert
from .trials import can_hold, decoding_time, only_packet, tried_shift

ATTACHED_PICTURE = 1024  # AV_DISPOSITION_ATTACHED_PIC
MIME_SUFFIXES = {"mjpeg": ("image/jpeg", "jpg"), "png": ("image/png", "png")}


class SourceStreams(Closing):
    """Sound, subtitles, attachments, chapters and metadata of ``source``, as far as ``output`` can hold them.

    Audio and subtitles are copied packet by packet as they are; only text subtitles are rewritten where the container
    has another codec for them. All must be added before the output's header is
    written, so make this first, after the picture's stream; then call :meth:`advance` ahead of each picture packet,
    :meth:`finish` after the last, and :meth:`compare` when the file is complete.

    Args:
        source: The file that is copied from.
        output: Container being written, before its header.
        audio: ``all`` audio streams, the ``first``, or ``none``.
        picture: The output's picture, which takes over what the source's says of itself; None for none.

    Attributes:
        dropped: Streams that are not in the output as they were, and why, in words.
        num_bad: Packets that were left out because they are damaged.
        stopped: Why and where reading stopped before the end, or None.
        lost: What else the output does not say, in words; known after :meth:`compare`.

    Raises:
        VideoError: The source cannot be opened.
    """

    def __init__(self, source: Path, output: av.container.OutputContainer, audio: str = "all", *, picture: Any = None):
        self.dropped: list[str] = []
        self.num_bad = 0
        self.stopped: str | None = None
        self.lost: list[str] = []
        self._output, self._format = output, output.format.name
        self._targets: dict[int, Any] = {}  # by the index of the source's stream
        self._converters: dict[int, TextConverter] = {}
        self._wanted: dict[int, Wanted] = {}
        self._last_dts: dict[int, Fraction] = {}
        self._spacing: dict[int, Fraction] = {}  # seconds between the latest two packets of a stream
        self._heard: set[int] = set()  # streams past their priming
        self._timecode: str | None = None
        self._cover: Any = None  # a packet that is written first
        with reading(source):
            self._container = av.open(str(source), metadata_errors="ignore")
            hidden = [stream.index for stream in self._container.streams if stream.discard == Discard.all]
            for stream in self._container.streams:
                if stream.type not in ("audio", "subtitle"):
                    stream.discard = Discard.all  # spares reading the picture a second time
            if picture is not None:
                self._describe(picture)
            self._add_all(audio, hidden)
        self._metadata = meaningful(self._container.metadata)
        self._metadata.pop("timecode", None)
        output.metadata.update(self._metadata)
        self._packets = self._demux()
        self._waiting: Any = next(self._packets, None)
        self._chapters = sound_chapters(self._container.chapters(), self._shift())
        output.set_chapters(self._chapters)

    @property
    def notes(self) -> list[str]:
        """What of the source is not in the output, in words."""
        notes = [*self.dropped, *self.lost]
        if self.num_bad:
            notes.append(f"{self.num_bad} damaged audio or subtitle packets were left out")
        if self.stopped is not None:
            notes.append(f"audio ends early: {self.stopped}")
        return notes

    def advance(self, seconds: float | Fraction) -> None:
        """Write the packets that begin up to ``seconds``, so that sound and picture lie interleaved.

        Raises:
            FFmpegError: The output cannot be written.
        """
        self._write_cover()
        while self._waiting is not None and decoding_time(self._waiting) <= seconds:
            self._mux(self._waiting)
            self._waiting = next(self._packets, None)

    def finish(self) -> None:
        """Write all that is left.

        Raises:
            FFmpegError: The output cannot be written.
        """
        self._write_cover()
        while self._waiting is not None:
            self._mux(self._waiting)
            self._waiting = next(self._packets, None)
        self.close()

    def compare(self, path: Path) -> None:
        """Look at the finished file, and note what it does not say of itself."""
        empty = set(self._targets) - set(self._last_dts) if self._format != "matroska" else set()
        self.lost = [f"{self._wanted[index].label} was left out: it is empty" for index in sorted(empty)]
        wanted = [one for index, one in self._wanted.items() if index not in empty]  # MP4 has no empty tracks
        self.lost += losses(path, self._metadata, wanted, len(self._chapters))

    def close(self) -> None:
        """Release the source."""
        self._waiting = None
        self._packets.close()
        self._container.close()

    def _describe(self, picture: Any) -> None:
        """Say of the output's picture what still holds of the source's."""
        source = next(iter(self._container.streams.video), None)
        if source is None:
            return
        said = {key: value for key, value in self._said_by(source).items() if key in OF_THE_PICTURE}
        if timecode := said.get("timecode") or meaningful(self._container.metadata).get("timecode"):
            said["timecode"] = self._timecode = timecode
        disposition = int(source.disposition) & ~ATTACHED_PICTURE
        carry(picture, said, disposition, self._format)
        self._wanted[source.index] = Wanted("the picture", "video", said, disposition)

    def _add_all(self, audio: str, hidden: list[int]) -> None:
        """Add the streams of the source, attachments last as readers list them.

        Args:
            audio: Which audio streams.
            hidden: Streams that the demuxer itself passes over, such as the text of chapters.
        """
        streams: Any = self._container.streams
        chosen = {"all": streams.audio, "first": streams.audio[:1], "none": ()}[audio]
        for stream in chosen:
            self._add(stream)
        for stream in streams.subtitles:
            self._add(stream)
        for stream in streams:
            if stream.disposition & ATTACHED_PICTURE:
                self._add_cover(stream)
            elif stream.type == "attachment":
                self._add_attachment(stream)
            elif stream.type == "video" and stream is not streams.video[0]:
                self._drop(stream, "the output has one picture")
            elif not (stream.type in ("audio", "video", "subtitle") or stream.index in hidden or self._counts(stream)):
                self._drop(stream)

    def _counts(self, stream: Any) -> bool:
        """Whether the stream holds the timecode that the picture takes over."""
        return self._timecode is not None and meaningful(stream.metadata).get("timecode") == self._timecode

    def _drop(self, stream: Any, why: str = "the output format cannot hold it") -> None:
        self.dropped.append(f"{label_of(stream)} was left out: {why}")

    def _add(self, stream: Any) -> None:
        if can_hold(self._format, stream):
            target = self._output.add_stream_from_template(stream)
        elif can_convert(stream, self._format):
            converter = self._converters[stream.index] = TextConverter(stream, self._output)
            self.dropped.append(f"{label_of(stream)} was rewritten as {converter.codec}: styling may be lost")
            target = converter.target
        else:
            self._drop(stream)
            return
        said = self._said_by(stream)
        carry(target, said, int(stream.disposition), self._format)
        self._targets[stream.index] = target
        self._wanted[stream.index] = Wanted(label_of(stream), stream.type, said, int(stream.disposition))

    def _said_by(self, stream: Any) -> dict[str, str]:
        """The stream's metadata, less the time of creation that MP4 repeats for each."""
        said = meaningful(stream.metadata)
        if said.get("creation_time") == meaningful(self._container.metadata).get("creation_time"):
            said.pop("creation_time", None)
        return said

    def _add_attachment(self, stream: Any) -> None:
        if self._format != "matroska" or not can_hold(self._format, stream):
            self._drop(stream)
            return
        self._output.add_stream_from_template(stream)
        self._wanted[stream.index] = Wanted(label_of(stream), "attachment")

    def _add_cover(self, stream: Any) -> None:
        """The picture of the cover: an attachment in Matroska, a stream of one packet in MP4, nothing in MOV."""
        mime, suffix = MIME_SUFFIXES.get(stream.codec_context.name if stream.codec_context else "", ("", ""))
        packet = only_packet(self._container.name, stream.index) if mime and self._format != "mov" else None
        if packet is None or self._cover is not None:
            self._drop(stream)
        elif self._format == "matroska":
            self._output.add_attachment(f"cover.{suffix}", mime, bytes(packet))
        else:
            target = self._output.add_stream_from_template(stream, opaque=True)
            target.disposition = ATTACHED_PICTURE
            packet.pts = packet.dts = 0
            packet.stream = target
            self._cover = packet

    def _write_cover(self) -> None:
        if self._cover is not None:
            packet, self._cover = self._cover, None
            self._output.mux_one(packet)

    def _shift(self) -> Fraction:
        """Seconds by which the muxer makes all times later: Matroska has none before 0."""
        first = self._waiting
        if first is None or self._format != "matroska" or decoding_time(first) >= 0:
            return Fraction(0)
        return tried_shift(first, self._format)

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
        time = decoding_time(packet)
        subtitle = packet.stream.type == "subtitle"  # several may begin at one time
        if before is not None and (time < before if subtitle else time <= before):
            self.num_bad += 1
            return False
        if before is not None:
            self._spacing[index] = time - before
        self._last_dts[index] = time
        if not packet.is_discard:
            self._heard.add(index)
        return True

    def _mux(self, packet: Any) -> None:
        index = packet.stream.index
        try:
            if index in self._converters:
                packet = self._converters[index].convert(packet)
            else:
                if not packet.duration and packet.stream.type == "audio":  # MP4 would not play the last one
                    packet.duration = round(self._spacing.get(index, Fraction(0)) / packet.time_base)
                packet.stream = self._targets[index]
            if packet is not None:
                self._output.mux_one(packet)
        except (av.error.InvalidDataError, av.error.ArgumentError):
            self.num_bad += 1  # the packet's own fault: a broken header, or two that round to one time
