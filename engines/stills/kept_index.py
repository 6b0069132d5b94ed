"""The index of a video, kept in the user's cache: finding it means reading the whole file."""

import io
from pathlib import Path

import numpy as np

from ..cache import cached
from ..probe import scan
from ..protocols import FrameIndex


def kept_index(path: Path, key: str | None) -> FrameIndex:
    """Every frame of a video: as it was found last time, or else scanned.

    Args:
        path: The video.
        key: What tells the file's content; it is scanned if None.

    Raises:
        VideoError: The file cannot be read.
    """
    if key is None:
        return scan(path)
    content = cached(f"index-{key}-v2.npz", lambda: _packed(scan(path)))
    with np.load(io.BytesIO(content), allow_pickle=False) as held:
        end_pts, seekable, ended = int(held["end_pts"]), bool(held["seekable"]), str(held["ended_early"])
        carried = held["packet_pts"] if len(held["packet_pts"]) else None
        return FrameIndex(held["pts"], held["keyframe"], end_pts, seekable, ended or None, carried)


def _packed(index: FrameIndex) -> bytes:
    made = io.BytesIO()
    np.savez_compressed(
        made, pts=index.pts, keyframe=index.keyframe, end_pts=index.end_pts, seekable=index.seekable,
        ended_early=index.ended_early or "", packet_pts=() if index.packet_pts is None else index.packet_pts,
    )  # fmt: skip
    return made.getvalue()
