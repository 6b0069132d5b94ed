"""Face detection on the GPU: from the decoder's pictures to boxes without a frame on the host.

:class:`~dft.engines.cuda.yunet.CudaYuNetDetector` does the work for whoever calls it; :class:`BatchedDetector` is what
a video opens: all of them share one such detector and one inference thread per GPU (see :mod:`.batcher`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..protocols import Closing, Detections
from ..weights import ModelFile
from .batcher import Batcher, BatchStream
from .image import CudaImage
from .infer import RUNGS
from .picture import CudaPicture
from .shared import Shared
from .yunet import BATCH_SIZES, CudaYuNetDetector


class _Inference(Closing):
    """The detector of a GPU with its threads."""

    def __init__(self, detector: CudaYuNetDetector):
        self.detector = detector
        self.batcher: Batcher[CudaPicture, Detections] = Batcher(detector.submit)

    def close(self) -> None:
        """End the threads, then free the network."""
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
        frame_size: Displayed width and height of the video, for which the network is made ready here and now; else its
            first pictures wait for that, and those of others with them.

    Attributes:
        rung: Where the network runs, and why not on a rung before.

    Raises:
        ModelError: The weights are no YuNet.
        BackendUnavailableError: No rung can be had.
    """

    usual_batch = BATCH_SIZES[0]

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
            lambda: _Inference(CudaYuNetDetector(model, size=size, min_score=min_score, rungs=rungs)),
        )
        self.model, self.rung = model, inference.detector.rung
        self._detector, self._batcher = inference.detector, inference.batcher
        self._stream: BatchStream[CudaPicture, Detections] = inference.batcher.stream()
        self._closed = False
        if frame_size is not None:
            try:
                self._detector.warm_up(*frame_size, num_videos=inference.batcher.num_streams)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Leave; the last one frees the network."""
        if not self._closed:
            self._closed = True
            self._stream.close()
            _INFERENCE.release(self._key)

    @property
    def recent_batches(self) -> list[tuple[int, float]]:
        """Pictures and seconds of the last batches, of all videos: see :class:`~dft.engines.cuda.batcher.Batcher`."""
        return list(self._batcher.recent)

    def prepare(self, image: CudaImage) -> CudaPicture:
        """See :meth:`~dft.engines.cuda.yunet.CudaYuNetDetector.prepare`."""
        return self._detector.prepare(image)

    def thumbnail(self, prepared: CudaPicture) -> NDArray[np.uint8]:
        """See :meth:`~dft.engines.cuda.yunet.CudaYuNetDetector.thumbnail`."""
        return self._detector.thumbnail(prepared)

    def detect(self, batch: Sequence[CudaPicture]) -> list[Detections]:
        """See :meth:`dft.engines.protocols.Detector.detect`.

        Raises:
            EngineError: The runtime fails, or the GPU's memory is full.
        """
        return self._stream.run(batch)
