"""Decode, compose and encode the segments that are missing, each stage in a thread of its own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise

from ..engines.devices import DeviceChoice, open_encoder
from ..engines.join import Facts, facts
from ..engines.prefetch import prefetch
from ..engines.protocols import Compositor, Decoder, EncodeOptions, Frame
from .camera.plan import CameraPlan
from .segments import Encoded, Segment, SegmentStore
from .stopwatch import Stopwatch

DECODED_AHEAD = 6  # frames; a few let the stages run evenly, and a 4K frame has 12 MB
COMPOSED_AHEAD = 4

NOTHING = Facts(0, 0, "", "")  # of a segment whose frames are all damaged


class SegmentEncoder:
    """Encodes segments into a store.

    Args:
        decoder: Of the input.
        compositor: Onto the plan's canvas.
        camera: What every tile shows.
        options: For the encoder.
        device: Where it encodes.
        store: Where finished segments go.
        watch: Gets the seconds of ``decode``, ``compose``, ``encode``, ``finish`` (of segments, while the next one is
            encoded) and ``wait`` (of the encoder for the others).
    """

    def __init__(  # noqa: PLR0913, PLR0917 - everything that a frame passes through
        self, decoder: Decoder, compositor: Compositor, camera: CameraPlan, options: EncodeOptions,
        device: DeviceChoice, store: SegmentStore, watch: Stopwatch,
    ):  # fmt: skip
        self._decoder, self._compositor, self._camera = decoder, compositor, camera
        self._options, self._device, self._store, self._watch = options, device, store, watch

    def encode(self, segments: Sequence[Segment], count: Callable[[], None]) -> None:
        """Encode ``segments``, ascending, into the store; ``count`` is called after each frame.

        Raises:
            OutputError: A segment cannot be written.
            VideoError: The input cannot be read.
        """
        pending: Future[None] | None = None
        # the encoder's last frames come out while the next segment is being encoded
        with ThreadPoolExecutor(1, "dft-finish") as finisher:
            for written in self._written(segments, count):
                if pending is not None:
                    pending.result()
                pending = finisher.submit(written.finish)
            if pending is not None:
                pending.result()

    def _written(self, segments: Sequence[Segment], count: Callable[[], None]) -> Iterator["_Open"]:
        """Each segment when all its frames have been given to its encoder."""
        for run in _runs(segments):
            with self._canvases(run[0].first, run[-1].end) as canvases:
                waited = self._watch.each("wait", canvases)
                canvas = next(waited, None)
                for segment in run:
                    with _Open(segment, self._options, self._device, self._store, self._watch) as opened:
                        while canvas is not None and canvas.frame_index < segment.end:
                            opened.write(canvas)
                            count()
                            canvas = next(waited, None)
                    yield opened

    @contextmanager
    def _canvases(self, first: int, end: int) -> Iterator[Iterator[Frame]]:
        """Composed frames in order; decoding and composing run ahead."""

        def composed(frames: Iterator[Frame]) -> Iterator[Frame]:
            for frame in rising(frames):
                with self._watch.measure("compose"):
                    canvas = self._compositor.compose(frame.image, self._camera.tiles(frame.frame_index))
                yield Frame(frame.frame_index, frame.pts, canvas)

        decoded = self._watch.each("decode", self._decoder.frames(first, end))
        with (
            prefetch(decoded, DECODED_AHEAD) as frames,
            prefetch(composed(frames), COMPOSED_AHEAD) as canvases,
        ):
            yield canvases


class _Open:
    """A segment that is being encoded; as a context it closes its encoder after an error."""

    def __init__(
        self, segment: Segment, options: EncodeOptions, device: DeviceChoice, store: SegmentStore, watch: Stopwatch
    ):
        self._segment, self._store, self._watch = segment, store, watch
        self._unfinished = store.unfinished_path(segment)
        self._frames: list[int] = []
        self._encoder = open_encoder(self._unfinished, options, device)

    def __enter__(self) -> "_Open":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._encoder.close()

    def write(self, canvas: Frame) -> None:
        """Encode one frame."""
        with self._watch.measure("encode"):
            self._encoder.write(canvas.image, canvas.pts)
        self._frames.append(canvas.frame_index)

    def finish(self) -> None:
        """Complete the file, and note it in the store."""
        segment = self._segment
        with self, self._watch.measure("finish"):
            self._encoder.finish()
            known = facts(self._unfinished)[0] if self._frames else NOTHING
            missing = sorted({*range(segment.first, segment.end)} - set(self._frames))
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
