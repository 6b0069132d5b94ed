"""When the packets of a file's sound are played."""

from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Discard
from numpy.typing import NDArray

from .foreign import UNREADABLE, reading


def sound_times(path: Path) -> list[NDArray[np.float64]]:
    """Times of all packets, priming included, ascending, in seconds, for each audio stream: ``(N,)`` each.

    A damaged file gives what can be read.

    Raises:
        VideoError: The file cannot be opened.
    """
    with reading(path):
        container: Any = av.open(str(path), metadata_errors="ignore")
    with container:
        sound = container.streams.audio
        times: dict[int, list[float]] = {stream.index: [] for stream in sound}
        for stream in container.streams:
            if stream.index not in times:
                stream.discard = Discard.all
        if sound:
            try:
                for packet in container.demux(*sound):
                    if packet.size and packet.pts is not None:
                        times[packet.stream.index].append(float(packet.pts * packet.time_base))
            except UNREADABLE:
                pass  # as far as it goes
        return [np.sort(np.array(found)) for found in times.values()]
