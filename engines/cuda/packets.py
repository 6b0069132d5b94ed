"""Packets of a video from a keyframe on, in the form that NVDEC's parser takes."""

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from av.bitstream import BitStreamFilterContext

from ..foreign import UNREADABLE
from ..probe import open_video
from ..protocols import FrameIndex

# MP4 and Matroska store lengths before the units and keep parameter sets apart; NVDEC wants start codes and, since any
# keyframe may be the first that it sees, the parameter sets before each of them.
TO_ANNEX_B = {
    "h264": "h264_mp4toannexb,dump_extra=freq=keyframe",
    "hevc": "hevc_mp4toannexb,dump_extra=freq=keyframe",
}
START_CODES = (b"\0\0\1", b"\0\0\0\1")


def packets_for(path: Path, index: FrameIndex, first: int) -> Iterator[Any]:
    """PyAV's packets in decoding order from a keyframe at or before frame ``first``, to the end of the file.

    Containers seek by decoding time or coarsely, so the landing is looked at, and an earlier keyframe taken until the
    first packet lies at or before the wanted frame.
    """
    keys = np.flatnonzero(index.keyframe[: first + 1]) if index.seekable else np.zeros(1, int)
    for key in keys[::-1]:
        if key == 0:
            break
        with closing(_packets(path, int(index.pts[key]))) as packets:
            landed = next(packets, None)
            if landed is not None and landed.pts is not None and landed.pts <= index.pts[first]:
                yield landed
                yield from packets
                return
    yield from _packets(path, None)


def _packets(path: Path, pts: int | None) -> Generator[Any, None, None]:
    """Packets from the first keyframe after seeking ``pts``, or from the start of the file."""
    container, stream = open_video(path)
    with container:
        if pts is not None:
            container.seek(pts, stream=stream, backward=True, any_frame=False)
        started = pts is None
        filtered = _annex_b(stream)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, *UNREADABLE):
                return  # the end of what can be read: the index says where and why
            started = started or packet.is_keyframe
            if packet.size and started:
                yield from [packet] if filtered is None else _filter(filtered, packet)


def _annex_b(stream: Any) -> BitStreamFilterContext | None:
    extradata = stream.codec_context.extradata or b""
    name = TO_ANNEX_B.get(stream.codec_context.name)
    if name is None or not extradata or extradata.startswith(START_CODES):
        return None
    return BitStreamFilterContext(name, stream)


def _filter(filtered: BitStreamFilterContext, packet: Any) -> list[Any]:
    try:
        return filtered.filter(packet)
    except UNREADABLE:  # damaged: without it, its frame and those that depend on it are missed and counted
        filtered.flush()
        return []
