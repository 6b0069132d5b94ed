"""Face embeddings on the CPU, by ONNX Runtime."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ...configs.errors import ModelError
from ..embedders import load_embedder
from ..memory import failure
from ..protocols import Closing
from ..weights import ModelFile
from .chips import Chip, face_chips
from .image import YuvImage
from .session import RUNG, open_session

MAX_BATCH = 16  # more gain nothing on a CPU, and cost memory


class OnnxEmbedder(Closing):
    """Any embedder of :mod:`dft.engines.embedders`; implements :class:`dft.engines.protocols.Embedder`.

    Args:
        model: The weights.
        threads: Threads of the runtime.

    Raises:
        ModelError: The weights are damaged, or are no face embedder that is known.
    """

    def __init__(self, model: ModelFile, *, threads: int):
        graph = load_embedder(model)
        self.model, self.rung = model, RUNG
        self.dimension = graph.dimension
        self.same_person_distance = graph.layout.same_person_distance
        self._graph = graph
        self._session = _open_session(model, graph.content, threads)

    def close(self) -> None:
        """Nothing to release: the runtime frees its session with the object."""

    def prepare(self, image: YuvImage, landmarks: NDArray[np.float32]) -> list[Chip]:
        """See :meth:`dft.engines.protocols.Embedder.prepare`; a chip is ``(size, size, 3)`` uint8 RGB.

        Raises:
            EngineError: Landmarks that cannot be a face's.
        """
        return face_chips(image, landmarks, self._graph.layout)

    def embed(self, chips: Sequence[Chip]) -> NDArray[np.float32]:
        """See :meth:`dft.engines.protocols.Embedder.embed`.

        Raises:
            MemoryFullError: There is no memory for it.
            EngineError: The runtime fails.
        """
        vectors = np.zeros((len(chips), self.dimension), np.float32)
        step = self._graph.batch_size or MAX_BATCH
        for first in range(0, len(chips), step):
            part = np.stack(chips[first : first + step])
            vectors[first : first + step] = self._run(part)
        if self._graph.layout.unit_length:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return vectors

    def _run(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        num, size = len(chips), chips.shape[1]
        tensor = np.zeros((self._graph.batch_size or num, 3, size, size), np.float32)
        tensor[:num] = chips.transpose(0, 3, 1, 2)
        try:
            (output,) = self._session.run([self._graph.output_name], {self._graph.input_name: tensor})
        except Exception as error:  # the runtime's errors have no common base
            raise failure("face embedding failed", error) from error
        return np.asarray(output, np.float32)[:num]


def _open_session(model: ModelFile, graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    try:
        return open_session(graph, threads)
    except Exception as error:  # the runtime's errors have no common base
        raise ModelError(f"{model.path} is not understood by ONNX Runtime", got=str(error)) from error
