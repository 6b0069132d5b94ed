"""The picture of one frame on the GPU: NV12 of 8 bits, or P016 that holds 10 bits.

Work on different CUDA streams is ordered by events, never by waiting on the host. Whoever reads an image does so inside
:meth:`CudaImage.reading`, which makes the reader's stream wait until the picture is there, and makes whoever fills the
same memory next wait until the reader is through.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..protocols import Colour

DeviceArray = Any  # cupy.ndarray
Event = Any  # cupy.cuda.Event
Stream = Any  # cupy.cuda.Stream


class Readers:
    """Events of the streams that read a piece of device memory; recorded in any thread."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def add(self, event: Event) -> None:
        """Note that the memory is read until ``event``."""
        self._events.append(event)

    def wait_on(self, stream: Stream) -> None:
        """Make ``stream`` wait for all of them, and forget them."""
        events, self._events = self._events, []
        for event in events:
            stream.wait_event(event)


@dataclass(frozen=True, eq=False)
class CudaImage:
    """One picture as a plane of luma and one of interleaved chroma, as coded: not rotated.

    Its memory goes back to where it came from when the image is dropped. Keep the image, not its planes.

    Attributes:
        y: ``(H, W)`` cupy luma: uint8 of 0..255, or uint16 whose ten high bits hold 0..1023 (P016); rows may be padded.
        uv: ``(ceil(H/2), ceil(W/2), 2)`` cupy blue and red difference, of the same type.
        colour: How the values are to be read.
        ready: Recorded on the stream that makes the picture, after the work that does so.
        rotation: Clockwise degrees from the coded to the displayed picture: 0, 90, 180 or 270.
        readers: Who reads it.
    """

    y: DeviceArray
    uv: DeviceArray
    colour: Colour
    ready: Event = field(repr=False)
    rotation: int = 0
    readers: Readers = field(default_factory=Readers, repr=False)

    @contextmanager
    def reading(self, stream: Stream) -> Iterator[None]:
        """What is enqueued on ``stream`` meanwhile may read the planes.

        Enqueue, do not wait: at the end an event is recorded, and the memory is not written again before it.
        """
        stream.wait_event(self.ready)
        try:
            yield
        finally:
            self.readers.add(stream.record())

    @property
    def depth(self) -> int:
        """Bits of a value: 8 or 10."""
        return 8 if self.y.dtype == np.uint8 else 10

    @property
    def width(self) -> int:
        """Coded width in pixels."""
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        """Coded height in pixels."""
        return int(self.y.shape[0])

    @property
    def display_width(self) -> int:
        """Width in pixels after rotation."""
        return self.height if self.rotation in (90, 270) else self.width

    @property
    def display_height(self) -> int:
        """Height in pixels after rotation."""
        return self.width if self.rotation in (90, 270) else self.height
