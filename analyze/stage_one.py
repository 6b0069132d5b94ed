"""Stage 1: decode -> scale -> detect -> tracklets -> embeddings, chunk by chunk; each finished chunk goes to disk."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ..configs.analysis import AnalyzeSettings
from ..configs.errors import CorruptVideoError
from ..engines.devices import DeviceChoice, open_detector, open_embedder
from ..engines.protocols import Decoder, Detector
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
    eyes: Eyes,
    chunks: Sequence[Chunk],
    store: EvidenceStore,
    settings: AnalyzeSettings,
    progress: Progress,
) -> int:
    """Look at the whole video.

    Returns:
        Frames of chunks that were finished before.

    Raises:
        CorruptVideoError: More frames are damaged than the settings allow.
    """
    decoder, total = eyes.decoder, len(eyes.decoder.index)
    finished = [(c.end - c.first, _num_missing(c, e)) for c in chunks if (e := store.load(c)) is not None]
    resumed = done = sum(size for size, _ in finished)
    missing = sum(lost for _, lost in finished)
    if resumed:
        log.info("going on from %d frames of an earlier analysis", resumed)
    for run in list(store.missing_runs(list(chunks))):
        ends = np.array([chunk.end for chunk in run])
        pending = {chunk.number: chunk for chunk in run}
        span, batch_size = (run[0].first, run[-1].end), settings.detection.batch_size
        with closing(detected_frames(decoder, eyes.detector, span, batch_size)) as frames:
            for position, own in groupby(frames, key=lambda f: int(np.searchsorted(ends, f.frame_index, side="right"))):
                observer = ChunkObserver(decoder.info, settings, eyes.embedder, eyes.second)
                for frame in own:
                    observer.add(frame)
                    progress(done + frame.frame_index - run[0].first + 1, total)
                chunk, evidence = pending.pop(run[position].number), observer.evidence()
                missing += _num_missing(chunk, evidence)
                _check_damage(missing, total, settings, decoder, chunk)
                store.save(chunk, evidence)
        for chunk in pending.values():  # not one frame of it could be decoded
            missing += chunk.end - chunk.first
            _check_damage(missing, total, settings, decoder, chunk)
            store.save(chunk, ChunkObserver(decoder.info, settings, eyes.embedder, eyes.second).evidence())
        done += run[-1].end - run[0].first
    progress(total, total)
    return resumed


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
