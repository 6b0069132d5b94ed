"""Packets of a video from a keyframe on, in the form that NVDEC's parser takes."""

from collections.abc import Generator
from itertools import dropwhile
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


def entries(index: FrameIndex, first: int) -> list[int]:
    """Where decoding can begin for the sake of frame ``first``, in the order in which to try.

    The last keyframe at or before it, the second last, the fourth last and so on, and the first frame of the file. The
    way back doubles each time, so that all tries together decode at most about twice what the last one does.
    """
    keys = np.flatnonzero(index.keyframe[: first + 1]).tolist() if index.seekable else []
    found, back = [], 1
    while back <= len(keys) and keys[-back] > 0:
        found.append(keys[-back])
        back *= 2
    return [*found, 0]


def packets_from(path: Path, index: FrameIndex, key: int, first: int) -> Generator[Any, None, None]:
    """PyAV's packets in decoding order from keyframe ``key`` to the end of the file.

    Containers seek by decoding time or coarsely: there may be earlier packets before those of the keyframe, and where
    the first one lies after frame ``first``, none come. The leading pictures of the packet that is entered are left
    out: they refer to what was not decoded, and NVDEC, given those of a CRA picture of HEVC, gives the CRA picture the
    time stamp of one of them (seen on an H100).
    """
    packets = _packets(path, int(index.pts[key]) if key > 0 else None)
    head = next(packets, None)
    if head is None or (key > 0 and (head.pts is None or head.pts > index.pts[first])):
        return
    yield head
    if key > 0:
        yield from dropwhile(lambda packet: packet.pts is not None and packet.pts < head.pts, packets)
    else:
        yield from packets


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
            except MemoryError:
                raise
            except (StopIteration, *UNREADABLE):
                return  # the end of what can be read: the index says where and why
            started = started or packet.is_keyframe
            if packet.size and started:
                if filtered is None:
                    yield packet
                else:
                    yield from _filter(filtered, packet)


def _annex_b(stream: Any) -> BitStreamFilterContext | None:
    extradata = stream.codec_context.extradata or b""
    name = TO_ANNEX_B.get(stream.codec_context.name)
    if name is None or not extradata or extradata.startswith(START_CODES):
        return None
    return BitStreamFilterContext(name, stream)


def _filter(filtered: BitStreamFilterContext, packet: Any) -> list[Any]:
    try:
        return filtered.filter(packet)
    except MemoryError:
        raise
    except UNREADABLE:  # damaged: without it, its frame and those that depend on it are missed and counted
        filtered.flush()
        return []
