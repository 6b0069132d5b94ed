"""Decode, compose and encode the segments that are missing, each stage in a thread of its own."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from ..configs.errors import BackendUnavailableError, EncoderBusyError, EngineError
from ..configs.recovery import Recovery
from ..engines.devices import DeviceChoice, open_encoder
from ..engines.foreign import writing
from ..engines.join import Facts, facts
from ..engines.prefetch import prefetch
from ..engines.protocols import Compositor, Decoder, EncodeOptions, Encoder, Frame
from ..trackio.atomic import flush
from .camera.plan import CameraPlan
from .segments import Encoded, Segment, SegmentStore
from .stopwatch import Stopwatch

log = logging.getLogger(__name__)

DECODED_AHEAD = 6  # frames; a few let the stages run evenly, and a 4K frame has 12 MB
COMPOSED_AHEAD = 4
WAIT_SECONDS, POLL_SECONDS = 600.0, 0.5  # for an encoder whose sessions are all at work, if one is to wait for it

NOTHING = Facts(0, 0, "", "")  # of a segment whose frames are all damaged


class RungLostError(EngineError):
    """An encoder refuses or fails, and another may do its work.

    Attributes:
        error: What it says.
    """

    def __init__(self, error: EngineError):
        super().__init__(error.what, got=error.got)
        self.error = error

    @property
    def is_fault(self) -> bool:
        """Whether something went wrong; what is not there, or cannot do what is asked, did not fail."""
        return isinstance(self.error, EncoderBusyError) or not isinstance(self.error, BackendUnavailableError)


class Progress(Protocol):
    """Is told how far the encoding of one output is."""

    def begin(self, reused: int) -> None:
        """The output begins, or begins again, with so many frames that need not be encoded."""

    def __call__(self) -> None:
        """One more frame is encoded."""

    def waiting(self) -> None:
        """Nothing can be encoded yet, and it goes on all the same."""


@dataclass(frozen=True)
class Chosen:
    """The encoder that has encoded a video.

    Attributes:
        rung: Its name, see :func:`dft.engines.devices.encoder_rungs`.
        why: Why those before it were not taken, one clause each.
        recovered: Faults on the way to it. That a card has no encoder is none.
    """

    rung: str
    why: tuple[str, ...]
    recovered: tuple[Recovery, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: nothing where the first encoder was taken at once."""
        chosen = [f"encoded on {self.rung}: {'; '.join(self.why)}"] if self.why else []
        told = " ".join(chosen)
        return *chosen, *(recovery.note for recovery in self.recovered if recovery.cause not in told)


class SegmentEncoder:
    """Encodes segments into a store.

    Args:
        decoder: Of the input.
        compositor: Onto the plan's canvas.
        camera: What every tile shows.
        options: For the encoder.
        device: Where it encodes.
        store: Where finished segments go.
        wait_seconds: How long to wait for an encoder whose sessions are all at work.
        watch: Gets the seconds of ``decode``, ``compose``, ``open`` (of encoders), ``encode``, ``finish`` (of segments,
            while the next one is encoded) and ``wait`` (of the encoder for the others).
    """

    def __init__(  # noqa: PLR0913, PLR0917 - everything that a frame passes through
        self, decoder: Decoder, compositor: Compositor, camera: CameraPlan, options: EncodeOptions,
        device: DeviceChoice, store: SegmentStore, watch: Stopwatch, wait_seconds: float = 0.0,
    ):  # fmt: skip
        self._decoder, self._compositor, self._camera = decoder, compositor, camera
        self._options, self._device, self._store, self._watch = options, device, store, watch
        self._wait_seconds, self._waited = wait_seconds, 0.0
        self._pending: Future[None] | None = None  # the segment that is being finished
        self._again: list[Recovery] = []

    def encode_missing(self, ways: Mapping[str, Sequence[Segment]], progress: Progress) -> Chosen:
        """Encode what the store lacks, all on one rung: pieces of different encoders cannot be joined.

        The rung with the most frames in the store comes first, then the best. Where one fails midway, what it lacks is
        tried again as long as that finishes any segment; then the next rung encodes everything.

        Args:
            ways: The video's segments in order, by the rung that encodes them, the best first. Their keys differ.
            progress: Is told of each frame.

        Raises:
            OutputError: A segment cannot be written.
            VideoError: The input cannot be read.
            EngineError: The last rung fails.
        """
        order = sorted(ways, key=lambda rung: -self._num_reused(ways[rung]))
        *others, last = order[: order.index(list(ways)[-1]) + 1]  # nothing comes after the one that is always there
        gave_up: dict[str, RungLostError] = {}
        for rung in others:
            try:
                self._encode_patiently(ways[rung], rung, progress)
                return self._chosen(rung, gave_up)
            except RungLostError as lost:
                gave_up[rung] = lost
                log.info("not %s: %s", rung, lost)
        try:
            self._encode(ways[last], last, progress)
        except RungLostError as lost:
            raise lost.error from lost
        return self._chosen(last, gave_up)

    def _chosen(self, rung: str, gave_up: Mapping[str, RungLostError]) -> Chosen:
        faults = [Recovery(str(lost), f"encoded on {rung}") for lost in gave_up.values() if lost.is_fault]
        if self._waited:
            waited = f"waited {self._waited:.1f} s for one"
            faults.append(Recovery("all sessions of the GPU's encoder were at work", waited))
        why = tuple(f"not {other}: {lost}" for other, lost in gave_up.items())
        return Chosen(rung, why, tuple(dict.fromkeys([*self._again, *faults])))

    def _encode_patiently(self, segments: Sequence[Segment], rung: str, progress: Progress) -> None:
        while True:
            before = self._num_reused(segments)
            try:
                return self._encode(segments, rung, progress)
            except RungLostError as lost:
                if self._num_reused(segments) == before:
                    raise
                log.warning("%s failed and is tried once more: %s", rung, lost)
                self._again.append(Recovery(str(lost), f"tried {rung} once more after the last finished segment"))

    def _num_reused(self, segments: Sequence[Segment]) -> int:
        return sum(segment.end - segment.first for segment in segments if self._store.has(segment))

    def _encode(self, segments: Sequence[Segment], rung: str, progress: Progress) -> None:
        progress.begin(self._num_reused(segments))
        missing = [segment for segment in segments if not self._store.has(segment)]
        self._pending = None
        # the encoder's last frames come out while the next segment is being encoded
        with ThreadPoolExecutor(1, "dft-finish") as finisher:
            for written in self._written(missing, rung, progress):
                with written:
                    if self._pending is not None:
                        self._pending.result()
                self._pending = finisher.submit(written.finish)
            if self._pending is not None:
                self._pending.result()

    def _written(self, segments: Sequence[Segment], rung: str, progress: Progress) -> Iterator["_Open"]:
        """Each segment when all its frames have been given to its encoder."""
        for run in _runs(segments):
            with closing(self._watch.each("wait", self._canvases(run[0].first, run[-1].end))) as canvases:
                canvas: Frame | None = None
                for segment in run:
                    with self._opened(segment, rung, progress) as opened:
                        canvas = canvas or next(canvases, None)  # decoding begins when there is an encoder
                        while canvas is not None and canvas.frame_index < segment.end:
                            opened.write(canvas)
                            progress()
                            canvas = next(canvases, None)
                    yield opened

    def _opened(self, segment: Segment, rung: str, progress: Progress) -> "_Open":
        unfinished = self._store.unfinished_path(segment)
        with self._watch.measure("open"), _giving_up():
            encoder = self._free_encoder(unfinished, rung, progress)
        return _Open(segment, unfinished, encoder, self._store, self._watch)

    def _free_encoder(self, path: Path, rung: str, progress: Progress) -> Encoder:
        """An encoder; where all are at work, our own one is waited for, and others if that is wanted."""
        deadline = time.monotonic() + self._wait_seconds
        while True:
            try:
                return open_encoder(path, self._options, self._device, rung)
            except EncoderBusyError:
                if self._pending is not None and not self._pending.done():
                    wait([self._pending])
                    continue
                if time.monotonic() + POLL_SECONDS > deadline:
                    raise
            progress.waiting()
            time.sleep(POLL_SECONDS)
            self._waited += POLL_SECONDS

    def _canvases(self, first: int, end: int) -> Iterator[Frame]:
        """Composed frames in order; decoding and composing run ahead."""

        def composed(frames: Iterator[Frame]) -> Iterator[Frame]:
            for frame in rising(frames):
                with self._watch.measure("compose"):
                    canvas = self._compositor.compose(frame.image, self._camera.tiles(frame.frame_index))
                yield Frame(frame.frame_index, frame.pts, canvas)

        decoded = self._watch.each("decode", self._decoder.frames(first, end))
        with prefetch(decoded, DECODED_AHEAD) as frames, prefetch(composed(frames), COMPOSED_AHEAD) as canvases:
            yield from canvases


@contextmanager
def _giving_up() -> Iterator[None]:
    """What an encoder says is a reason to try another one."""
    try:
        yield
    except EngineError as error:
        raise RungLostError(error) from error


class _Open:
    """A segment that is being encoded; as a context it closes its encoder after an error."""

    def __init__(self, segment: Segment, unfinished: Path, encoder: Encoder, store: SegmentStore, watch: Stopwatch):
        self._segment, self._unfinished, self._encoder = segment, unfinished, encoder
        self._store, self._watch = store, watch
        self._frames: list[int] = []

    def __enter__(self) -> "_Open":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._encoder.close()

    def write(self, canvas: Frame) -> None:
        """Encode one frame.

        Raises:
            RungLostError: The encoder fails.
            OutputError: The file cannot be written any further.
        """
        with self._watch.measure("encode"), _giving_up():
            self._encoder.write(canvas.image, canvas.pts)
        self._frames.append(canvas.frame_index)

    def finish(self) -> None:
        """Complete the file, and note it in the store.

        Raises:
            RungLostError: The encoder fails.
            OutputError: The file cannot be completed.
        """
        segment = self._segment
        with self._watch.measure("finish"):
            with self._encoder, _giving_up():  # which closes it: a card has few
                self._encoder.finish()
            known = facts(self._unfinished)[0] if self._frames else NOTHING
            missing = sorted({*range(segment.first, segment.end)} - set(self._frames))
            with writing(self._unfinished):
                flush(self._unfinished)  # before its note, which the next rendering believes
            self._unfinished.replace(self._store.path(segment))
            self._store.add(Encoded(segment.key, segment.first, segment.end, tuple(missing), **asdict(known)))


def rising(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The frames whose time is later than that of the one before: two pictures at one time cannot both be shown."""
    latest: int | None = None
    for frame in frames:
        if latest is None or frame.pts > latest:
            latest = frame.pts
            yield frame


def _runs(segments: Sequence[Segment]) -> Iterator[Sequence[Segment]]:
    """The segments in groups without a gap, so that each is decoded in one go."""
    seams = [number for number, (one, two) in enumerate(pairwise(segments), 1) if one.end != two.first]
    for start, stop in pairwise([0, *seams, len(segments)]):
        if start < stop:
            yield segments[start:stop]
