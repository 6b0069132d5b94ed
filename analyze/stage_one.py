"""Stage 1: decode -> scale -> detect -> tracklets -> embeddings, chunk by chunk; each finished chunk goes to disk."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from ..configs.analysis import AnalyzeSettings
from ..configs.errors import CorruptVideoError, MemoryFullError
from ..engines.devices import DeviceChoice, open_decoder, open_detector, open_embedder
from ..engines.memory import failure, free, is_full
from ..engines.protocols import Decoder, Detector, FrameIndex, VideoInfo
from ..engines.workers import share_out
from .chunks import Chunk
from .evidence import ChunkEvidence, EvidenceStore
from .patience import CountedOnce, Patience
from .tracking.closer import SecondDetector
from .tracking.detections import detected_frames
from .tracking.observe import ChunkObserver
from .tracking.reid import FaceEmbedder

log = logging.getLogger(__name__)

ON_CPU = DeviceChoice("cpu", "the GPU's memory is full")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Eyes:
    """What stage 1 looks with, and what gives way when memory is full."""

    decoder: Decoder
    detector: Detector
    second: SecondDetector
    embedder: FaceEmbedder
    patience: "Patience[Eyes]" = field(default_factory=Patience)

    def rungs(self) -> tuple[str, str, str]:
        """On which ways frames are decoded now, faces found and embedded, and why not on better ones."""
        why = f" ({self.decoder.why})" if self.decoder.why else ""
        return f"{self.decoder.rung}{why}", self.detector.rung, self.embedder.rung

    def recoveries(self, chunk: Chunk) -> NDArray[np.str_]:
        """``(K, 2)`` text: what went wrong with a chunk that is kept now, and what was done about it."""
        inside = [each for each in self.decoder.setbacks if chunk.first <= each.frame_index < chunk.end]
        found = [*(each.recovery for each in inside), *self.patience.take()]
        return np.array([(each.cause, each.answer) for each in found], np.str_).reshape(-1, 2)

    def make_room(self) -> None:
        """Let go of what can be opened again."""
        self.decoder.close()
        self.second.close()
        free()

    def close(self) -> None:
        """Let go of everything."""
        for each in (self.decoder, self.detector, self.second, self.embedder):
            each.close()
        free()


def open_eyes(decoder: Decoder, device: DeviceChoice, settings: AnalyzeSettings, opened: ExitStack) -> Eyes:
    """Open the models on ``device``, to be closed with ``opened``; what is rarely needed opens when it is.

    Where ``auto`` has chosen a GPU whose memory is full, they and the decoder are opened on the CPU.

    Raises:
        ModelError: The weights are not there or are not what they should be.
        BackendUnavailableError: The runtime is not installed.
        MemoryFullError: There is no memory for them.
    """
    threads, detection = settings.runtime.threads, settings.detection

    def detector_of(size: int) -> Detector:
        return open_detector(
            detection.detector, device, size=size, min_score=settings.tracking.low_score, threads=threads,
            frame_size=(decoder.info.width, decoder.info.height),
        )  # fmt: skip

    closer_size = detection.closer_size
    second = SecondDetector((lambda: detector_of(closer_size)) if closer_size > detection.detect_size else None)
    embedder = FaceEmbedder(lambda: open_embedder(settings.identity.embedder, device, threads))

    def on_cpu() -> Eyes:
        other = open_decoder(decoder.info.path, ON_CPU, threads, index=decoder.index)
        return open_eyes(opened.enter_context(other), ON_CPU, settings, opened)

    may_change = device.kind == "cuda" and settings.runtime.device == "auto"
    try:
        detector = opened.enter_context(detector_of(detection.detect_size))
    except MemoryFullError as error:
        if not may_change:
            raise
        decoder.close()
        eyes = on_cpu()
        eyes.patience.note(str(error), "looked on the CPU from the start")
        return eyes
    eyes = Eyes(decoder, detector, opened.enter_context(second), opened.enter_context(closing(embedder)))

    def instead() -> Eyes:
        eyes.close()
        return on_cpu()

    if may_change:
        eyes.patience.open_instead = instead
    return eyes


def observe(
    eyes: Sequence[Eyes],
    chunks: Sequence[Chunk],
    store: EvidenceStore,
    settings: AnalyzeSettings,
    progress: Progress,
) -> int:
    """Look at the whole video, in this process.

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
    tally = Tally(eyes[0].decoder.info, eyes[0].decoder.index, settings, progress)
    resumed = tally.resume(chunks, store)
    runs = [part for run in store.missing_runs(list(chunks)) for part in parts(run, len(eyes))]
    lock = threading.Lock()

    def count(step: Step) -> None:
        with lock:
            tally.count(step)

    def work(own: Eyes, run: list[Chunk], stopped: Callable[[], bool]) -> None:
        look(own, run, store, settings, count, stopped)

    share_out(runs, [partial(work, own) for own in eyes])
    tally.finish()
    return resumed


@dataclass(frozen=True)
class Step:
    """What was done since the last one.

    Attributes:
        done: Frames that were looked at, or cannot be decoded.
        missing: How many of them cannot be decoded.
        last: The chunk that ends with them, if one does.
    """

    done: int
    missing: int = 0
    last: Chunk | None = None


class Tally:
    """The frames of one video that are done, and those that are missing, over all who look."""

    def __init__(self, info: VideoInfo, index: FrameIndex, settings: AnalyzeSettings, progress: Progress):
        self._info, self._index, self._progress = info, index, progress
        self._allowed = settings.detection.max_corrupt
        self._done, self._missing = 0, 0

    def resume(self, chunks: Sequence[Chunk], store: EvidenceStore) -> int:
        """Take in what was finished before, and return its number of frames.

        Raises:
            CorruptVideoError: See :meth:`count`.
        """
        for chunk in chunks:
            if (evidence := store.load(chunk)) is not None:
                self._done += chunk.end - chunk.first
                self._missing += num_missing(chunk, evidence)
                self._check(chunk)
        if self._done:
            log.info("going on from %d frames of an earlier analysis", self._done)
        return self._done

    def count(self, step: Step) -> None:
        """Take in what was done, and tell ``progress``.

        Raises:
            CorruptVideoError: More frames are damaged than the settings allow.
        """
        self._done += step.done
        self._missing += step.missing
        if step.done:
            self._progress(self._done, len(self._index))
        if step.last is not None:
            self._check(step.last)

    def finish(self) -> None:
        """Tell that all is done."""
        self._progress(len(self._index), len(self._index))

    def _check(self, chunk: Chunk) -> None:
        if self._missing > self._allowed * len(self._index):
            start = float((self._index.pts[chunk.first] - self._index.pts[0]) * self._info.time_base)
            raise CorruptVideoError(
                f"{self._info.path} is too damaged",
                got=f"{self._missing} of {len(self._index)} frames that cannot be decoded, "
                f"the last of them after {start:.1f} s",
                expected=f"at most {self._allowed:.0%}",
                hint="repair the file, or raise --max-corrupt",
            )


def parts(run: list[Chunk], num: int) -> list[list[Chunk]]:
    """A run of neighbouring chunks in at most ``num`` shorter ones of about one length."""
    ends = [round(len(run) * part / num) for part in range(num + 1)]
    return [run[first:end] for first, end in pairwise(ends) if end > first]


def look(
    eyes: Eyes, run: Sequence[Chunk], store: EvidenceStore, settings: AnalyzeSettings,
    count: Callable[[Step], None], stopped: Callable[[], bool],
) -> None:  # fmt: skip
    """Look at a run of neighbouring chunks, decoded in one go, and keep what is seen.

    Where memory is full, it goes on after the last chunk that was kept, with smaller batches, and in the end on the
    CPU, if the eyes may: see :class:`~dft.analyze.patience.Patience`. What is seen is the same.

    Args:
        eyes: What looks.
        run: The chunks, in order.
        store: Where each goes when it is finished.
        settings: All of them.
        count: Told of every frame, once; what it raises ends the looking, before the chunk is kept.
        stopped: Whether to stop.

    Raises:
        MemoryFullError: Memory is full, and nothing is left to give up.
    """
    patience, counted, left = eyes.patience, CountedOnce(), [list(run)]

    def count_once(step: Step) -> None:
        new = counted.add(step.done, step.missing, None if step.last is None else step.last.number)
        count(Step(*new, step.last))

    while left and not stopped():
        own = eyes if patience.instead is None else replace(patience.instead, patience=patience)
        batch_size = patience.batch_size or settings.detection.batch_size or own.detector.usual_batch
        try:
            _look_at(own, left.pop(0), store, _in_batches(settings, batch_size), count_once, stopped)
            continue
        except Exception as error:  # whatever library it comes from
            if not is_full(error):
                raise
            cause = failure("no memory", error).reason
        # here the error is gone, and with it the pictures that its traceback held
        left = list(store.missing_runs(list(run)))
        counted.again(chunk.number for part in left for chunk in part)
        own.make_room()
        if left:
            patience.answer(cause, batch_size, left[0][0].first)
    if patience.instead is not None:
        eyes.embedder.seconds += patience.instead.embedder.seconds
        patience.instead.embedder.seconds = 0.0


def _in_batches(settings: AnalyzeSettings, batch_size: int) -> AnalyzeSettings:
    return replace(settings, detection=replace(settings.detection, batch_size=batch_size))


def _look_at(
    eyes: Eyes, run: Sequence[Chunk], store: EvidenceStore, settings: AnalyzeSettings,
    count: Callable[[Step], None], stopped: Callable[[], bool],
) -> None:  # fmt: skip
    """See :func:`look`."""
    decoder = eyes.decoder
    saved: Future[None] | None = None
    ends = np.array([chunk.end for chunk in run])
    pending = {chunk.number: chunk for chunk in run}
    span, batch_size = (run[0].first, run[-1].end), settings.detection.batch_size or eyes.detector.usual_batch

    def keep(chunk: Chunk, observer: ChunkObserver) -> None:
        seen = observer.evidence(eyes.rungs())
        store.save(chunk, replace(seen, recoveries=eyes.recoveries(chunk)))

    # the last faces of a chunk are embedded, and it is saved, while the next one is looked at
    with (
        ThreadPoolExecutor(1, "dft-keep") as keeper,
        closing(detected_frames(decoder, eyes.detector, span, batch_size)) as frames,
    ):

        def finish(chunk: Chunk, observer: ChunkObserver) -> None:
            nonlocal saved
            lost = chunk.end - chunk.first - observer.num_frames
            count(Step(lost, lost, chunk))
            if saved is not None:
                saved.result()
            saved = keeper.submit(keep, chunk, observer)

        for position, own in groupby(frames, key=lambda f: int(np.searchsorted(ends, f.frame_index, side="right"))):
            observer = ChunkObserver(decoder.info, settings, eyes.embedder, eyes.second)
            for frame in own:
                if stopped():
                    return
                observer.add(frame)
                count(Step(1))
            finish(pending.pop(run[position].number), observer)
        for chunk in pending.values():  # not one frame of it could be decoded
            finish(chunk, ChunkObserver(decoder.info, settings, eyes.embedder, eyes.second))
        if saved is not None:
            saved.result()


def num_missing(chunk: Chunk, evidence: ChunkEvidence) -> int:
    """Frames of a chunk that were not decoded."""
    return chunk.end - chunk.first - len(evidence.frame_index)
