"""Frames as the detector's network will see them, and what a thread prepares them with."""

import threading
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..yunet import input_size
from .faces import THUMBNAIL_SHAPE, answer_scale
from .image import CudaImage, DeviceArray, Event, Stream
from .prepare import PicturePlan

THUMBNAIL_BYTES = THUMBNAIL_SHAPE[0] * THUMBNAIL_SHAPE[1]
# Of a thread that prepares. An event that is recorded again stands for later work on the same stream, which is safe to
# wait for, and merely longer; a video has a dozen pictures waiting.
NUM_EVENTS = 64

Size = tuple[int, int]  # height, width


@dataclass(eq=False, slots=True)
class CudaPicture:
    """A frame as the network will see it, in memory of its own.

    Attributes:
        memory: ``cupy.cuda.MemoryPointer``: ``(3, height, width)`` uint8 planes B, G, R, upright, with zeros right and
            bottom; then ``(18, 32)`` uint8 luma, as coded (not rotated).
        height: Multiple of 32.
        width: Likewise.
        stream: Where both were made.
        ready: Recorded there afterwards.
        scale: See :func:`~dft.engines.cuda.faces.answer_scale`.
        thumbnail: The luma on the host, once it has come with the faces.
    """

    memory: Any
    height: int
    width: int
    stream: Stream = field(repr=False)
    ready: Event = field(repr=False)
    scale: NDArray[np.float32] = field(repr=False)
    thumbnail: NDArray[np.uint8] | None = None

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.height, self.width

    @property
    def addresses(self) -> tuple[int, int]:
        """Of the planes and of the luma."""
        first = int(self.memory.ptr)
        return first, first + 3 * self.height * self.width


class Preparing(threading.local):
    """What a thread prepares pictures with: a stream of its own, so that videos do not wait for each other.

    Args:
        size: Longer side of the picture that the network sees, in pixels.
    """

    def __init__(self, size: int) -> None:
        import cupy

        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.events = cycle([cupy.cuda.Event(disable_timing=True) for _ in range(NUM_EVENTS)])
        self._size = size
        self._way: Way | None = None

    def way(self, image: CudaImage) -> "Way":
        """How ``image`` is prepared; a thread's pictures are mostly alike."""
        if self._way is None or not self._way.plan.suits(image):
            with self.stream:
                self._way = Way(image, self._size)
        return self._way


class Way:
    """How pictures of one kind are prepared in one thread.

    Attributes:
        plan: What makes them.
        height: Of what the network sees.
        width: Likewise.
        num_bytes: Memory of a picture and its thumbnail.
        luma: Memory for the small picture's luma, used over and over in the stream's order.
        scale: See :func:`~dft.engines.cuda.faces.answer_scale`.
    """

    def __init__(self, image: CudaImage, size: int):
        import cupy

        width, height, self.width, self.height = input_size(image.display_width, image.display_height, size)
        self.plan = PicturePlan(image, (width, height), (self.width, self.height))
        self.num_bytes = 3 * self.height * self.width + THUMBNAIL_BYTES
        self.luma: DeviceArray = cupy.empty(self.plan.luma_shape, cupy.uint8)
        self.scale = answer_scale(image.display_width / width, image.display_height / height)
