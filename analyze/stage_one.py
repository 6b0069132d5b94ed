"""Stage 1: decode -> scale -> detect -> tracklets -> embeddings, chunk by chunk; each finished chunk goes to disk."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise

import numpy as np

from ..configs.analysis import AnalyzeSettings
from ..configs.errors import CorruptVideoError
from ..engines.devices import DeviceChoice, open_detector, open_embedder
from ..engines.protocols import Decoder, Detector
from ..engines.workers import share_out
from .chunks import Chunk
from .evidence import ChunkEvidence, EvidenceStore
from .tracking.closer import SecondDetector
from .tracking.detections import detected_frames
from .tracking.observe import ChunkObserver
from .tracking.reid import FaceEmbedder

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Eyes:
    """What stage 1 looks with."""

    decoder: Decoder
    detector: Detector
    second: SecondDetector
    embedder: FaceEmbedder


def open_eyes(decoder: Decoder, device: DeviceChoice, settings: AnalyzeSettings, opened: ExitStack) -> Eyes:
    """Open the models on ``device``, to be closed with ``opened``; what is rarely needed opens when it is."""
    threads, detection = settings.runtime.threads, settings.detection

    def detector_of(size: int) -> Detector:
        return open_detector(
            detection.detector, device, size=size, min_score=settings.tracking.low_score, threads=threads
        )

    closer_size = detection.closer_size
    second = SecondDetector((lambda: detector_of(closer_size)) if closer_size > detection.detect_size else None)
    embedder = FaceEmbedder(lambda: open_embedder(settings.identity.embedder, device, threads))
    return Eyes(
        decoder, opened.enter_context(detector_of(detection.detect_size)), opened.enter_context(second),
        opened.enter_context(closing(embedder)),
    )  # fmt: skip


def observe(
    eyes: Sequence[Eyes],
    chunks: Sequence[Chunk],
    store: EvidenceStore,
    settings: AnalyzeSettings,
    progress: Progress,
) -> int:
    """Look at the whole video.

    Args:
        eyes: One, or several that look at parts of the video at once, each in a thread of its own. What is seen in a
            chunk is the same whoever looks at it.
        chunks: Of the video, in order.
        store: Where finished chunks are kept.
        settings: All of them.
        progress: Called with the frames done and the frames in all.

    Returns:
        Frames of chunks that were finished before.

    Raises:
        CorruptVideoError: More frames are damaged than the settings allow.
    """
    finished = [(c.end - c.first, _num_missing(c, e)) for c in chunks if (e := store.load(c)) is not None]
    resumed = sum(size for size, _ in finished)
    if resumed:
        log.info("going on from %d frames of an earlier analysis", resumed)
    looking = _Looking(store, settings, progress, len(eyes[0].decoder.index))
    looking.done, looking.missing = resumed, sum(lost for _, lost in finished)
    runs = [part for run in store.missing_runs(list(chunks)) for part in _parts(run, len(eyes))]
    share_out(runs, [partial(looking.look, own) for own in eyes])
    progress(looking.total, looking.total)
    return resumed


def _parts(run: list[Chunk], num: int) -> list[list[Chunk]]:
    """A run of neighbouring chunks in at most ``num`` shorter ones of about one length."""
    ends = [round(len(run) * part / num) for part in range(num + 1)]
    return [run[first:end] for first, end in pairwise(ends) if end > first]


class _Looking:
    """Looking at one video, with what is counted over all who look."""

    def __init__(self, store: EvidenceStore, settings: AnalyzeSettings, progress: Progress, total: int):
        self._store, self._settings, self._progress = store, settings, progress
        self.total, self.done, self.missing = total, 0, 0
        self._counting, self._saving = threading.Lock(), threading.Lock()

    def look(self, eyes: Eyes, run: list[Chunk], stopped: Callable[[], bool]) -> None:
        """Look at a run of neighbouring chunks: decoded in one go."""
        decoder, settings = eyes.decoder, self._settings
        ends = np.array([chunk.end for chunk in run])
        pending = {chunk.number: chunk for chunk in run}
        span, batch_size = (run[0].first, run[-1].end), settings.detection.batch_size
        with closing(detected_frames(decoder, eyes.detector, span, batch_size)) as frames:
            for position, own in groupby(frames, key=lambda f: int(np.searchsorted(ends, f.frame_index, side="right"))):
                observer = ChunkObserver(decoder.info, settings, eyes.embedder, eyes.second)
                for frame in own:
                    if stopped():
                        return
                    observer.add(frame)
                    self._count(done=1)
                self._finish(eyes, pending.pop(run[position].number), observer.evidence())
        for chunk in pending.values():  # not one frame of it could be decoded
            evidence = ChunkObserver(decoder.info, settings, eyes.embedder, eyes.second).evidence()
            self._finish(eyes, chunk, evidence)

    def _finish(self, eyes: Eyes, chunk: Chunk, evidence: ChunkEvidence) -> None:
        lost = _num_missing(chunk, evidence)
        self._count(done=lost, missing=lost)
        _check_damage(self.missing, self.total, self._settings, eyes.decoder, chunk)
        with self._saving:
            self._store.save(chunk, evidence)

    def _count(self, *, done: int, missing: int = 0) -> None:
        with self._counting:
            self.done += done
            self.missing += missing
            if done:
                self._progress(self.done, self.total)


def _num_missing(chunk: Chunk, evidence: ChunkEvidence) -> int:
    return chunk.end - chunk.first - len(evidence.frame_index)


def _check_damage(missing: int, total: int, settings: AnalyzeSettings, decoder: Decoder, chunk: Chunk) -> None:
    if missing > settings.detection.max_corrupt * total:
        start = float((decoder.index.pts[chunk.first] - decoder.index.pts[0]) * decoder.info.time_base)
        raise CorruptVideoError(
            f"{decoder.info.path} is too damaged",
            got=f"{missing} of {total} frames that cannot be decoded, the last of them after {start:.1f} s",
            expected=f"at most {settings.detection.max_corrupt:.0%}",
            hint="repair the file, or raise --max-corrupt",
        )
