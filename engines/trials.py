"""What only trying tells: whether and how a container holds a stream."""

import io
from fractions import Fraction
from typing import Any

import av
import av.error

from .foreign import UNREADABLE


def decoding_time(packet: Any) -> Fraction:
    """Seconds at which a packet is decoded; at which it is shown, if that is all it says."""
    stamp = packet.dts if packet.dts is not None else packet.pts
    return Fraction(stamp * packet.time_base)


def can_hold(format_name: str, stream: Any) -> bool:
    """Whether a file of the format begins well with a copy of ``stream``; only trying tells for sure."""
    try:
        with av.open(io.BytesIO(), "w", format=format_name) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def tried_shift(first: Any, format_name: str) -> Fraction:
    """Seconds by which a file of the format holds the packet ``first`` later than it is.

    It depends on what the stream says of its priming, so only trying tells.
    """
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=format_name) as trial:
            packet = av.Packet(bytes(first))
            packet.stream = trial.add_stream_from_template(first.stream)
            packet.pts, packet.dts, packet.time_base = first.pts, first.dts, first.time_base
            trial.mux_one(packet)
        file.seek(0)
        with av.open(file, "r") as read_back:
            written = next((packet for packet in read_back.demux() if packet.size), None)
            return decoding_time(written) - decoding_time(first) if written is not None else Fraction(0)
    except (ValueError, av.error.FFmpegError):
        return Fraction(0)  # a damaged packet, which will be left out


def only_packet(path: str, index: int) -> Any:
    """The packet of a stream that is one still picture, or None."""
    try:
        with av.open(path, metadata_errors="ignore") as container:
            return next((packet for packet in container.demux(container.streams[index]) if packet.size), None)
    except UNREADABLE:
        return None
