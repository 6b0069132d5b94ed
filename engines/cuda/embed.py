"""Face embeddings on the GPU: chips are cut there, and only vectors come back."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..embedders import EmbedderGraph, load_embedder
from ..memory import failure
from ..protocols import Closing
from ..weights import ModelFile
from .counters import count_to_host
from .faces import GATHER_BLOCKS, GATHER_THREADS, gathering, launch, put_pictures
from .image import CudaImage, DeviceArray, Event, Stream
from .infer import LAUNCHING, RUNGS, NetworkSource, open_network
from .prepare import enqueue_chips
from .shared import Shared
from .trt import Profile

BATCH_SIZE = 8  # to which batches are filled up: one size alone, since faces are embedded rarely, and few at a time


@dataclass(frozen=True, eq=False)
class CudaChip:
    """An aligned face.

    Attributes:
        pixels: ``(3, size, size)`` uint8 planes R, G, B.
        ready: Recorded when it is enqueued.
    """

    pixels: DeviceArray
    ready: Event = field(repr=False)


class _Network(Closing):
    """An embedder's network on a GPU, used by one thread at a time."""

    def __init__(self, model: ModelFile, rungs: Sequence[str]):
        import cupy

        self.graph = load_embedder(model)
        self._stream: Stream = cupy.cuda.Stream(non_blocking=True)
        self._network = open_network(embedder_source(self.graph), self._stream, rungs=rungs)
        self.rung = self._network.rung
        self._lock = threading.Lock()

    def close(self) -> None:
        """Free the network."""
        self._network.close()

    def embed(self, chips: Sequence[CudaChip]) -> NDArray[np.float32]:
        """``(n, dimension)`` for at most ``max_chips`` chips."""
        size, num = self.graph.layout.size, len(chips)
        filled = num if self._network.is_exact and not self.graph.batch_size else self.max_chips
        with self._lock:
            bound = self._network.bound((filled, 3, size, size))
            with LAUNCHING, self._stream:
                for chip in chips:
                    self._stream.wait_event(chip.ready)
                made = gathering(int(bound.input.data.ptr), 0, (size, size))
                put_pictures(made, [(int(chip.pixels.data.ptr), 0, size, size) for chip in chips])
                launch("gather", (GATHER_BLOCKS, 3 * num), GATHER_THREADS, made)
                bound.enqueue()
            try:
                vectors = bound.outputs[self.graph.output_name][:num].get(stream=self._stream)
                self._stream.synchronize()
            except Exception as error:  # the driver's errors have no common base with anything
                raise failure("face embedding failed on the GPU", error) from error
        count_to_host("embeddings", vectors.nbytes)
        return np.asarray(vectors, np.float32)

    @property
    def max_chips(self) -> int:
        """Chips of one batch."""
        return self.graph.batch_size or BATCH_SIZE


_NETWORKS: Shared[_Network] = Shared()


class CudaEmbedder(Closing):
    """Any embedder of :mod:`dft.engines.embedders` on a GPU; implements :class:`dft.engines.protocols.Embedder`.

    All that are opened alike in this process share one network.

    Args:
        model: The weights.
        rungs: Where the network may run, in order of preference.

    Attributes:
        rung: Where the network runs, and why not on a rung before.

    Raises:
        ModelError: The weights are damaged, or are no face embedder that is known.
        BackendUnavailableError: No rung can be had.
    """

    def __init__(self, model: ModelFile, *, rungs: Sequence[str] = RUNGS):
        import cupy

        self._key = (model.sha256, tuple(rungs))
        self._network = _NETWORKS.acquire(self._key, lambda: _Network(model, rungs))
        graph = self._network.graph
        self.model, self.rung = model, self._network.rung
        self.dimension = graph.dimension
        self.same_person_distance = graph.layout.same_person_distance
        self._layout = graph.layout
        self._cutting: Stream = cupy.cuda.Stream(non_blocking=True)
        self._closed = False

    def close(self) -> None:
        """Leave; the last one frees the network."""
        if not self._closed:
            self._closed = True
            self._cutting.synchronize()
            _NETWORKS.release(self._key)

    def prepare(self, image: CudaImage, landmarks: NDArray[np.float32]) -> list[CudaChip]:
        """See :meth:`dft.engines.protocols.Embedder.prepare`; only enqueues.

        Raises:
            MemoryFullError: The GPU's memory is full.
            EngineError: Landmarks that cannot be a face's, or the kernels cannot be run.
        """
        import cupy

        if len(landmarks) == 0:
            return []
        size = self._layout.size
        try:
            with self._cutting:
                pixels = cupy.empty((len(landmarks), 3, size, size), cupy.uint8)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise failure("no memory for faces on the GPU", error) from error
        with self._cutting, image.reading(self._cutting):
            enqueue_chips(image, landmarks, self._layout, pixels)
        ready = self._cutting.record(cupy.cuda.Event(disable_timing=True))
        return [CudaChip(chip, ready) for chip in pixels]

    def embed(self, chips: Sequence[CudaChip]) -> NDArray[np.float32]:
        """See :meth:`dft.engines.protocols.Embedder.embed`.

        Raises:
            MemoryFullError: The GPU's memory is full.
            EngineError: The runtime fails.
        """
        vectors = np.zeros((len(chips), self.dimension), np.float32)
        step = self._network.max_chips
        for first in range(0, len(chips), step):
            vectors[first : first + step] = self._network.embed(chips[first : first + step])
        if self._layout.unit_length:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return vectors


def embedder_source(graph: EmbedderGraph) -> NetworkSource:
    """An embedder as a network to be opened."""
    least, usual, most = (graph.batch_size or num for num in (1, BATCH_SIZE, BATCH_SIZE))
    side = graph.layout.size
    profile = Profile(graph.input_name, *((num, 3, side, side) for num in (least, usual, most)))
    return NetworkSource(
        graph.content, profile, lambda shape: {graph.output_name: (shape[0], graph.dimension)}
    )  # fmt: skip
