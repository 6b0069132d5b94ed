"""Filters of FFmpeg's libavfilter, for pictures of one size and format."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import av.filter

Step = tuple[str, dict[str, str]]  # name and options of a filter


class FilterChain:
    """Filters in a row. Time stamps that go through mean nothing.

    Args:
        like: A picture of the size and pixel format that the filters will be given.
        steps: The filters, first to last.
        threads: Threads of the filters, or 0 for one per core.
    """

    def __init__(self, like: Any, steps: Sequence[Step], threads: int = 0):
        self.geometry = geometry(like)
        self._graph = av.filter.Graph()
        self._graph.threads = threads
        source = self._graph.add_buffer(
            width=like.width, height=like.height, format=like.format, time_base=Fraction(1, 1000)
        )
        filters = [self._graph.add(name, **options) for name, options in steps]
        self._graph.link_nodes(source, *filters, self._graph.add("buffersink"))
        self._graph.configure()

    def push(self, picture: Any) -> None:
        """Give the next picture (PyAV's ``VideoFrame``), or None for the end."""
        self._graph.vpush(picture)

    def pull(self) -> Any:
        """The next picture that is ready.

        Raises:
            BlockingIOError: None is ready before another is given.
        """
        return self._graph.vpull()


def geometry(picture: Any) -> tuple[str, int, int]:
    """Pixel format, width and height: what must not change between the pictures of a chain."""
    return picture.format.name, picture.width, picture.height
