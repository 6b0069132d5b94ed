"""Rewriting text subtitles for a container that cannot hold them as they are."""

import io
from typing import Any

import av
import av.error

TEXT_CODECS = {"srt", "subrip", "ass", "ssa", "mov_text", "webvtt", "text"}
TEXT_OF = {"mp4": "mov_text", "mov": "mov_text", "matroska": "srt"}


class TextConverter:
    """Turns packets of one text subtitle stream into the text codec of the output's container.

    The words and their times stay; of the styling, what the other codec has.

    Args:
        stream: The source's stream; see :func:`can_convert`.
        output: Container being written, before its header.

    Attributes:
        codec: FFmpeg's name of the codec that is written.
        target: The output's stream.
    """

    def __init__(self, stream: Any, output: Any):
        self.codec = TEXT_OF[output.format.name]
        self._decoder = stream.codec_context
        self.target = _add(stream, output)

    def convert(self, packet: Any) -> Any:
        """The packet for the output, or None where the source's says nothing.

        Raises:
            FFmpegError: The packet is damaged.
        """
        said = self._decoder.decode2(packet)
        if not said:
            return None
        written = self.target.codec_context.encode_subtitle(said)
        written.stream, written.time_base = self.target, packet.time_base
        written.pts = written.dts = packet.pts if packet.pts is not None else packet.dts
        written.duration = packet.duration or round(said.end_display_time / 1000 / packet.time_base)
        return written


def can_convert(stream: Any, format_name: str) -> bool:
    """Whether ``stream`` holds text that a file of the format can hold in its own codec."""
    if stream.codec_context is None or stream.codec_context.name not in TEXT_CODECS:
        return False
    try:
        if not stream.codec_context.is_open:
            stream.codec_context.open()  # tells the styles
        with av.open(io.BytesIO(), "w", format=format_name) as trial:
            _add(stream, trial)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def _add(stream: Any, output: Any) -> Any:
    target = output.add_stream(TEXT_OF[output.format.name])
    target.codec_context.subtitle_header = stream.codec_context.subtitle_header
    target.time_base = target.codec_context.time_base = stream.time_base
    return target
