"""The picture of one frame on the GPU: NV12 of 8 bits, or P016 that holds 10 bits.

Work on different CUDA streams is ordered by events, never by waiting on the host. Whoever reads an image does so inside
:meth:`CudaImage.reading`, which makes the reader's stream wait until the picture is there, and makes whoever fills the
same memory next wait until the reader is through.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from ..protocols import Colour
from ..sides import Sides

DeviceArray = Any  # cupy.ndarray
Event = Any  # cupy.cuda.Event
Stream = Any  # cupy.cuda.Stream


class Readers:
    """Who reads a piece of device memory, as events on their streams; told in any thread."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._spare: list[Event] = []  # waited for: a stream that waits for an event keeps what it stood for then

    def add(self, stream: Stream) -> None:
        """Note that what is enqueued on ``stream`` by now may read the memory."""
        try:
            event = self._spare.pop()
        except IndexError:
            event = _new_event()
        stream.record(event)
        self._events.append(event)

    def wait_on(self, stream: Stream) -> None:
        """Make ``stream`` wait for all of them, and forget them."""
        if self._events:
            events, self._events = self._events, []
            for event in events:
                stream.wait_event(event)
            self._spare += events


def _new_event() -> Event:
    import cupy

    return cupy.cuda.Event(disable_timing=True)


@dataclass(eq=False, slots=True)  # not frozen: that alone would cost each frame 2 us
class CudaImage(Sides):
    """One picture as a plane of luma and one of interleaved chroma, as coded: not rotated. Nothing of it is set again.

    Its memory goes back to where it came from when the image is dropped. Keep the image, not its planes.

    Attributes:
        y: ``(H, W)`` cupy luma: uint8 of 0..255, or uint16 whose ten high bits hold 0..1023 (P016); rows may be padded.
        uv: ``(ceil(H/2), ceil(W/2), 2)`` cupy blue and red difference, of the same type.
        colour: How the values are to be read.
        ready: Recorded on the stream that makes the picture, after the work that does so.
        rotation: Clockwise degrees from the coded to the displayed picture: 0, 90, 180 or 270.
        readers: Who reads it.
        lease: Kept as long as the image is, and gives its memory back when dropped.
    """

    y: DeviceArray
    uv: DeviceArray
    colour: Colour
    ready: Event = field(repr=False)
    rotation: int = 0
    readers: Readers = field(default_factory=Readers, repr=False)
    lease: object = field(default=None, repr=False)

    def reading(self, stream: Stream) -> AbstractContextManager[None]:
        """What is enqueued on ``stream`` meanwhile may read the planes.

        Enqueue, do not wait: at the end an event is recorded, and the memory is not written again before it.
        """
        return _Reading(self, stream)


class _Reading:
    """One ``with image.reading(stream)``; a class, since a generator would cost each frame twice as much."""

    __slots__ = ("_image", "_stream")

    def __init__(self, image: CudaImage, stream: Stream):
        self._image, self._stream = image, stream

    def __enter__(self) -> None:
        self._stream.wait_event(self._image.ready)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image.readers.add(self._stream)
