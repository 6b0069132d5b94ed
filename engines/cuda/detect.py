"""Face detection on the GPU: from the decoder's pictures to boxes without a frame on the host.

:class:`CudaYuNetDetector` does the work for whoever calls it; :class:`BatchedDetector` is what a video opens: all of
them share one such detector and one inference thread per GPU (see :mod:`.batcher`).
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import EngineError
from ..protocols import Closing, Detections
from ..weights import ModelFile
from ..yunet import ALIGNMENT, STRIDES, dynamic_graph, input_size
from .batcher import Batcher, BatchStream
from .counters import count_to_host
from .faces import (
    ANSWER_BYTES,
    ANSWER_NUMBERS,
    FIND_THREADS,
    GATHER_BLOCKS,
    GATHER_THREADS,
    MAX_BATCH,
    THUMBNAIL_SHAPE,
    gathering,
    heads,
    launch,
    num_cells,
    read_answer,
)
from .image import CudaImage, DeviceArray, Event, Stream
from .infer import BATCH_SIZES, LAUNCHING, RUNGS, NetworkSource, open_network
from .prepare import enqueue_picture, enqueue_thumbnail
from .shared import Shared
from .trt import Profile, Shape

log = logging.getLogger(__name__)

HEAD_NUMBERS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
USUAL_ASPECT = 16 / 9  # of the pictures for which engines are made fastest
THUMBNAIL_BYTES = THUMBNAIL_SHAPE[0] * THUMBNAIL_SHAPE[1]


@dataclass(eq=False)
class CudaPicture:
    """A frame as the network will see it, in memory of its own.

    Attributes:
        pixels: ``(3, H, W)`` uint8 planes B, G, R, upright; sides are multiples of 32, with zeros right and bottom.
        small: ``(18, 32)`` uint8 luma, as coded (not rotated).
        ready: Recorded when both are enqueued.
        scale_xy: Displayed pixels per pixel of the picture.
        thumbnail: ``small`` on the host, once it has come with the faces.
    """

    pixels: DeviceArray
    small: DeviceArray
    ready: Event = field(repr=False)
    scale_xy: tuple[float, float]
    thumbnail: NDArray[np.uint8] | None = None


class DetectionTicket:
    """Detection under way: of :meth:`CudaYuNetDetector.submit`."""

    def __init__(self, batch: Sequence[CudaPicture], answers: NDArray[np.float32], done: Event, free: "deque[Any]"):
        self._batch, self._answers, self._done, self._free = batch, answers, done, free
        self._found: list[Detections] | None = None

    @property
    def is_done(self) -> bool:
        """Whether the GPU has finished."""
        return bool(self._done.done)

    def result(self) -> list[Detections]:
        """Wait for the faces of each picture, best score first.

        Raises:
            EngineError: The GPU failed.
        """
        if self._found is None:
            try:
                self._done.synchronize()
            except Exception as error:  # the driver's errors have no common base with anything
                raise EngineError("face detection failed on the GPU", got=error) from error
            self._found = []
            for picture, answer in zip(self._batch, self._answers, strict=False):
                faces, picture.thumbnail = read_answer(answer, picture.scale_xy)
                self._found.append(faces)
            self._free.append(self._answers)
        return self._found


class _Preparing(threading.local):
    """A stream for each thread that prepares, so that videos do not wait for each other."""

    def __init__(self) -> None:
        import cupy

        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.lumas: dict[tuple[int, int], DeviceArray] = {}

    def luma(self, shape: tuple[int, int]) -> DeviceArray:
        """Memory for the small picture's luma, used over and over in the stream's order."""
        import cupy

        if shape not in self.lumas:
            self.lumas[shape] = cupy.empty(shape, cupy.uint8)
        return self.lumas[shape]


class CudaYuNetDetector(Closing):
    """YuNet on a GPU; implements :class:`dft.engines.protocols.Detector`. Usable from any thread.

    Args:
        model: The weights.
        size: Longer side of the picture that the network sees, in pixels.
        min_score: Faces below are left out.
        rungs: Where the network may run, in order of preference.

    Attributes:
        rung: Where it runs, and why not on a rung before.

    Raises:
        ModelError: The weights are no YuNet.
        BackendUnavailableError: No rung can be had.
    """

    def __init__(self, model: ModelFile, *, size: int, min_score: float, rungs: Sequence[str] = RUNGS):
        import cupy

        self.model = model
        self._size, self._min_score = size, min_score
        self._stream: Stream = cupy.cuda.Stream(non_blocking=True)
        self._network = open_network(yunet_source(model, size), self._stream, rungs=rungs)
        self.rung = self._network.rung
        self._preparing = _Preparing()
        with self._stream:
            self._answers = cupy.zeros((MAX_BATCH, ANSWER_NUMBERS), cupy.float32)
        self._workspaces: dict[Shape, tuple[DeviceArray, DeviceArray]] = {}
        self._pinned: deque[NDArray[np.float32]] = deque()
        self._under_way: deque[DetectionTicket] = deque()  # keeps pictures alive until they have been read
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Finish what is under way, and free the network and its memory."""
        if not self._closed:
            self._closed = True
            self._network.close()
            self._under_way.clear()
            self._workspaces.clear()

    def warm_up(self, display_width: int, display_height: int) -> None:
        """Make the first batches of pictures of that size as fast as the later ones.

        To be called in the thread that is going to call :meth:`submit`, before other threads use the GPU.
        """
        _, _, width, height = input_size(display_width, display_height, self._size)
        for num in BATCH_SIZES:
            self._network.capture((num, 3, height, width))

    def prepare(self, image: CudaImage) -> CudaPicture:
        """See :meth:`dft.engines.protocols.Detector.prepare`; only enqueues.

        Raises:
            EngineError: The GPU's memory is full, or the kernels cannot be run.
        """
        import cupy

        width, height, padded_width, padded_height = input_size(image.display_width, image.display_height, self._size)
        coded = (width, height) if image.rotation in (90, 270) else (height, width)
        own, num_pixels = self._preparing, 3 * padded_height * padded_width
        try:
            with own.stream:
                memory = cupy.empty(num_pixels + THUMBNAIL_BYTES, cupy.uint8)
                luma = own.luma(coded)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise EngineError("no memory for a picture on the GPU", got=error, hint="run fewer videos") from error
        pixels = memory[:num_pixels].reshape(3, padded_height, padded_width)
        small = memory[num_pixels:].reshape(THUMBNAIL_SHAPE)
        with own.stream, image.reading(own.stream):
            enqueue_picture(image, pixels, (width, height), luma=luma)
            enqueue_thumbnail(luma, small)
        ready = own.stream.record(cupy.cuda.Event(disable_timing=True))
        return CudaPicture(pixels, small, ready, (image.display_width / width, image.display_height / height))

    def thumbnail(self, prepared: CudaPicture) -> NDArray[np.uint8]:
        """See :meth:`dft.engines.protocols.Detector.thumbnail`; it comes with the faces, and is fetched before."""
        if prepared.thumbnail is None:
            stream = self._preparing.stream
            stream.wait_event(prepared.ready)
            prepared.thumbnail = np.asarray(prepared.small.get(stream=stream), np.uint8)
            count_to_host("thumbnails", prepared.thumbnail.nbytes)
        return prepared.thumbnail

    def submit(self, batch: Sequence[CudaPicture]) -> DetectionTicket:
        """Begin detection, without waiting for it.

        Args:
            batch: 1 to 32 pictures; smaller ones are padded to the size of the largest.

        Raises:
            EngineError: The runtime fails, the GPU's memory is full, or the detector is closed.
        """
        if not 1 <= len(batch) <= MAX_BATCH:
            raise EngineError("a batch of another size", got=len(batch), expected=f"1 to {MAX_BATCH} pictures")
        with self._lock:
            if self._closed:
                raise EngineError("the detector is closed")
            while self._under_way and self._under_way[0].is_done:
                self._under_way.popleft()
            ticket = self._enqueue(batch)
            self._under_way.append(ticket)
            return ticket

    def detect(self, batch: Sequence[CudaPicture]) -> list[Detections]:
        """See :meth:`dft.engines.protocols.Detector.detect`.

        Raises:
            EngineError: The runtime fails, or the GPU's memory is full.
        """
        parts = [batch[first : first + MAX_BATCH] for first in range(0, len(batch), MAX_BATCH)]
        tickets = [self.submit(part) for part in parts]
        return [faces for ticket in tickets for faces in ticket.result()]

    def _enqueue(self, batch: Sequence[CudaPicture]) -> DetectionTicket:
        import cupy

        runtime, num = cupy.cuda.runtime, len(batch)
        height, width = (max(sides) for sides in zip(*(picture.pixels.shape[1:] for picture in batch), strict=True))
        size = (int(height), int(width))
        pinned = self._pinned_answers()
        answers = int(self._answers.data.ptr)
        with LAUNCHING, self._stream:
            bound = self._network.bound((next(n for n in BATCH_SIZES if n >= num), 3, *size))
            workspace = self._workspace(size)
            for picture in batch:
                self._stream.wait_event(picture.ready)
            pictures = [(int(p.pixels.data.ptr), int(p.small.data.ptr), *p.pixels.shape[1:]) for p in batch]
            gathered = gathering(int(bound.input.data.ptr), answers, size, pictures)
            launch("gather", (GATHER_BLOCKS, 3 * num), GATHER_THREADS, gathered)
            bound.enqueue()
            outputs = {name: int(array.data.ptr) for name, array in bound.outputs.items()}
            found = heads(outputs, workspace, answers, size, self._min_score)
            launch("find_faces", (num, 1), FIND_THREADS, found)
            num_bytes = num * ANSWER_BYTES
            runtime.memcpyAsync(
                pinned.ctypes.data, answers, num_bytes, runtime.memcpyDeviceToHost, self._stream.ptr
            )  # fmt: skip
            done = self._stream.record(cupy.cuda.Event(block=True, disable_timing=True))
        count_to_host("faces", num_bytes)
        return DetectionTicket(tuple(batch), pinned, done, self._pinned)

    def _pinned_answers(self) -> NDArray[np.float32]:
        import cupyx

        try:
            return self._pinned.popleft()
        except IndexError:
            made: NDArray[np.float32] = cupyx.empty_pinned((MAX_BATCH, ANSWER_NUMBERS), np.float32)
            return made

    def _workspace(self, size: tuple[int, int]) -> tuple[int, int]:
        """Addresses of the candidates' scores and cells, of any batch of that size."""
        import cupy

        if size not in self._workspaces:
            shape = (MAX_BATCH, num_cells(*size))
            self._workspaces[size] = cupy.empty(shape, cupy.float32), cupy.empty(shape, cupy.int32)
        scores, cells = self._workspaces[size]
        return int(scores.data.ptr), int(cells.data.ptr)


def yunet_source(model: ModelFile, size: int) -> NetworkSource:
    """YuNet as a network to be opened.

    Args:
        model: The weights.
        size: Longer side of the pictures, in pixels.

    Raises:
        ModelError: The weights are no YuNet.
    """
    side = max(ALIGNMENT, size // ALIGNMENT * ALIGNMENT)
    _, _, width, height = input_size(side * 16, round(side * 16 / USUAL_ASPECT), size)
    profile = Profile(
        "input", (1, 3, ALIGNMENT, ALIGNMENT), (8, 3, height, width), (MAX_BATCH, 3, side, side)
    )  # fmt: skip
    return NetworkSource(dynamic_graph(model.path), profile, yunet_outputs)


def yunet_outputs(shape: Shape) -> dict[str, Shape]:
    """Shapes of YuNet's outputs for an input of ``shape``."""
    num, _, height, width = shape
    return {
        f"{head}_{stride}": (num, (height // stride) * (width // stride), numbers)
        for head, numbers in HEAD_NUMBERS.items()
        for stride in STRIDES
    }


class _Inference(Closing):
    """The detector of a GPU with its thread."""

    def __init__(self, detector: CudaYuNetDetector, frame_size: tuple[int, int] | None):
        self.detector = detector
        first = None if frame_size is None else lambda: detector.warm_up(*frame_size)
        self.batcher: Batcher[CudaPicture, Detections] = Batcher(detector.submit, first=first)

    def close(self) -> None:
        """End the thread, then free the network."""
        self.batcher.close()
        self.detector.close()


_INFERENCE: Shared[_Inference] = Shared()


class BatchedDetector(Closing):
    """A video's own way to the GPU's detector; implements :class:`dft.engines.protocols.Detector`.

    All that are opened alike in this process share one network, and one thread that batches their pictures.

    Args:
        model: The weights.
        size: Longer side of the picture that the network sees, in pixels.
        min_score: Faces below are left out.
        rungs: Where the network may run, in order of preference.
        frame_size: Displayed width and height of the video, for which CUDA graphs are made if this is the first one
            and nothing else uses the GPU yet; None for none.

    Attributes:
        rung: Where the network runs, and why not on a rung before.

    Raises:
        ModelError: The weights are no YuNet.
        BackendUnavailableError: No rung can be had.
    """

    def __init__(
        self,
        model: ModelFile,
        *,
        size: int,
        min_score: float,
        rungs: Sequence[str] = RUNGS,
        frame_size: tuple[int, int] | None = None,
    ):
        self._key = (model.sha256, size, min_score, tuple(rungs))
        inference = _INFERENCE.acquire(
            self._key,
            lambda: _Inference(CudaYuNetDetector(model, size=size, min_score=min_score, rungs=rungs), frame_size),
        )
        self.model, self.rung = model, inference.detector.rung
        self._detector = inference.detector
        self._stream: BatchStream[CudaPicture, Detections] = inference.batcher.stream()
        self._closed = False

    def close(self) -> None:
        """Leave; the last one frees the network."""
        if not self._closed:
            self._closed = True
            self._stream.close()
            _INFERENCE.release(self._key)

    def prepare(self, image: CudaImage) -> CudaPicture:
        """See :meth:`CudaYuNetDetector.prepare`."""
        return self._detector.prepare(image)

    def thumbnail(self, prepared: CudaPicture) -> NDArray[np.uint8]:
        """See :meth:`CudaYuNetDetector.thumbnail`."""
        return self._detector.thumbnail(prepared)

    def detect(self, batch: Sequence[CudaPicture]) -> list[Detections]:
        """See :meth:`dft.engines.protocols.Detector.detect`.

        Raises:
            EngineError: The runtime fails, or the GPU's memory is full.
        """
        return self._stream.run(batch)
