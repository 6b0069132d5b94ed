"""Deinterlacing on the CPU with FFmpeg's bwdif: one progressive picture for each interlaced one, at its time."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from .filters import FilterChain, geometry

# the order of the fields is taken from each picture
BWDIF = ("bwdif", {"mode": "send_frame", "parity": "auto", "deint": "all"})

Numbered = tuple[int, Any]  # frame_index and PyAV's VideoFrame


def deinterlaced(numbered: Iterable[Numbered], first: int, threads: int = 0) -> Iterator[Numbered]:
    """The same pictures from ``frame_index`` ``first`` on, with those flagged as interlaced deinterlaced.

    What a picture becomes depends on it and on its two neighbours alone. So it is the same wherever decoding began, if
    ``numbered`` begins before ``first`` and is read one picture further than wanted. A picture without any neighbour
    shows no motion, and stays as it is.

    Args:
        numbered: Pictures in presentation order.
        first: Pictures before are looked at, but not given.
        threads: Threads of the filter, or 0 for one per core.
    """
    bwdif = _Bwdif(threads)
    before: Any = None
    held: Numbered | None = None
    for following in chain(numbered, [None]):
        if held is not None:
            index, picture = held
            if index >= first and picture.interlaced_frame:
                yield index, bwdif.apply(before, picture, following[1] if following else None)
            elif index >= first:
                yield held
            before = picture
        held = following


class _Bwdif:
    """The filter, told its neighbours for each picture.

    FFmpeg's filter remembers what it was given, and treats the first picture after its start by itself. It is started
    again with the picture before wherever it was not given the wanted one last: after progressive pictures, which
    cost nothing so, and where the picture's size changes.
    """

    def __init__(self, threads: int):
        self._threads = threads
        self._chain: FilterChain | None = None
        self._latest: Any = None  # the picture that the filter was given last

    def apply(self, before: Any, picture: Any, following: Any) -> Any:
        """``picture`` made progressive; a neighbour is None at the start or end."""
        if self._chain is None or self._latest is not picture:
            self._chain = self._started(before, picture)
        if following is not None and geometry(following) != geometry(picture):
            following = None
        self._chain.push(following)
        self._latest = following
        return self._chain.pull()

    def _started(self, before: Any, picture: Any) -> FilterChain:
        made = FilterChain(picture, [BWDIF], self._threads)
        if before is not None and geometry(before) == geometry(picture):
            made.push(before)
            made.push(picture)
            made.pull()  # the one before, filtered by itself
        else:
            made.push(picture)
        return made
