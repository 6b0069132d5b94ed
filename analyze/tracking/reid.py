"""Conditional ReID: faces are embedded only where that can decide who is who.

Those moments are: births and ends of tracklets (so also both sides of a cut), both sides of a contact, a gap, a jump,
a sudden change of size and a fall of confidence, and a few good frames of each tracklet, further and further apart.
Around each, the clearest faces are taken: what is half hidden says little.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import DftError, EngineError, MemoryFullError
from ...engines.protocols import Chip, Detections, Embedder, Image
from .box import Box, boxes_of, meeting
from .quality import face_quality

log = logging.getLogger(__name__)

GOOD = 0.5  # quality of a face that is worth a sample
USABLE = 0.1  # quality under which an embedding says nothing
PATIENCE_SECONDS = 0.5  # a wanted sample waits so long for a good face, then it takes what is usable
SPACING_SECONDS = 0.2  # samples of one moment are at least this far apart: neighbouring frames say the same
REMEMBER_SECONDS = 1.0  # the last clear face is remembered about this often, for when its tracklet ends or is touched
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 8.0  # between regular samples; it doubles
CONTACT_EXPAND = 0.15  # boxes this much larger touch before the faces hide each other
GAP_SECONDS = 0.1  # unseen for longer is a gap
JUMP_HEIGHTS = 0.5  # face heights from one frame to the next
SIZE_RATIO = 1.3  # of heights since the last sample
STABLE_SECONDS = 1.0  # the record of stability looks back about this long
UNSTABLE = 0.5  # share of confident frames under which a tracklet's identity is in doubt
MAX_PENDING = 32  # chips that wait for a batch


class FaceEmbedder:
    """An embedder that is opened when it is first needed, and whose failure stops nothing; for several threads.

    Only a full memory is raised: whoever looks has an answer to that.

    Args:
        open_embedder: Opens the backend.

    Attributes:
        failure: Why faces are embedded no longer, or an empty text.
        seconds: Time that cutting and embedding faces has taken, with loading.
        num_embedded: Faces that were embedded.
    """

    def __init__(self, open_embedder: Callable[[], Embedder]):
        self._open = open_embedder
        self._embedder: Embedder | None = None
        self.failure = ""
        self.seconds = 0.0
        self.num_embedded = 0
        self._lock = threading.Lock()

    @property
    def record(self) -> tuple[str, str, str, str]:
        """Name and SHA-256 of the weights, their same-person distance, and the failure; empty where not needed."""
        if self._embedder is None:
            return "", "", "", self.failure
        model = self._embedder.model
        return model.name, model.sha256, repr(self._embedder.same_person_distance), self.failure

    @property
    def rung(self) -> str:
        """On which way faces are embedded, and why not on a better one; empty where not needed."""
        return "" if self._embedder is None else self._embedder.rung

    def chip(self, image: Image, landmarks: NDArray[np.float32]) -> Chip | None:
        """The face at ``landmarks (10,)`` cut out, or None where that cannot be."""
        started = time.perf_counter()
        try:
            opened = self._opened()
            return opened.prepare(image, landmarks[None])[0] if opened else None
        except MemoryFullError:
            raise
        except EngineError:  # landmarks that no face has; other faces may be well
            return None
        finally:
            self._spent(time.perf_counter() - started)

    def embed(self, chips: Sequence[Chip]) -> NDArray[np.float32] | None:
        """``(N, dimension)`` float32, or None where the embedder fails or has failed."""
        started = time.perf_counter()
        try:
            opened = self._opened()
            if opened is None:
                return None
            vectors = opened.embed(chips)
            with self._lock:
                self.num_embedded += len(vectors)
            return vectors
        except MemoryFullError:
            raise
        except DftError as error:
            self._give_up(error)
            return None
        finally:
            self._spent(time.perf_counter() - started)

    def close(self) -> None:
        """Close the backend, if it was opened."""
        if self._embedder is not None:
            self._embedder.close()

    def _opened(self) -> Embedder | None:
        with self._lock:
            if self.failure:
                return None
            if self._embedder is None:
                try:
                    self._embedder = self._open()
                except MemoryFullError:
                    raise
                except DftError as error:
                    self._give_up(error)
            return self._embedder

    def _spent(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds

    def _give_up(self, error: DftError) -> None:
        self.failure = str(error)
        log.warning("no more faces are embedded: %s", error)


@dataclass(frozen=True)
class Samples:
    """What a sampler has of a chunk of D detections.

    Attributes:
        rows: ``(E,)`` int32 positions of the embedded among all detections, ascending.
        vectors: ``(E, dimension)`` float32 embeddings.
        quality: ``(E,)`` float32, 0..1.
        stability: ``(D,)`` float32 share of the tracklet's last second in which it was seen with confidence.
    """

    rows: NDArray[np.int32]
    vectors: NDArray[np.float32]
    quality: NDArray[np.float32]
    stability: NDArray[np.float32]


@dataclass(slots=True)
class _Track:
    """What the sampler remembers of a tracklet."""

    seen: float  # time of the last frame, seconds
    box: Box
    wanted: float  # since when a sample is wanted, seconds
    due: int = 2  # samples that are wanted as soon as may be, besides the regular ones
    sampled: float = -np.inf  # time of the last sample
    sampled_height: float = 0.0
    wait: float = FIRST_WAIT_SECONDS
    touched: bool = False
    stability: float = 1.0
    remembered: tuple[int, float, Chip] | None = None  # row, quality and chip of the last clear face
    remembered_at: float = -np.inf

    def want(self, now: float) -> None:
        """A sample is wanted as soon as may be."""
        if not self.due:
            self.due, self.wanted = 1, now


class FaceSampler:
    """Chooses and embeds faces of one chunk.

    Args:
        embedder: May fail at any time.
        mode: Which faces are embedded: ``conditional``, ``always`` or ``off``.
        frame_size: Displayed width and height in pixels.
        high_score: Detections from this score on are confident.
    """

    def __init__(self, embedder: FaceEmbedder, mode: str, frame_size: tuple[int, int], high_score: float):
        self._embedder, self._mode = embedder, mode
        self._frame_size, self._high_score = frame_size, high_score
        self._tracks: dict[int, _Track] = {}
        self._pending: list[tuple[int, float, Chip]] = []
        self._rows: list[int] = []
        self._qualities: list[float] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._stability: list[float] = []

    def add(self, image: Image, time_seconds: float, faces: Detections, ids: NDArray[np.int32]) -> None:
        """Take the next frame.

        Args:
            image: Its picture.
            time_seconds: Its time.
            faces: What is seen in it.
            ids: ``(N,)`` int32 tracklet of each face, or -1.
        """
        first_row = len(self._stability)
        boxes, scores = boxes_of(faces.boxes_xyxy), faces.scores.tolist()
        touching = meeting([box.expanded(CONTACT_EXPAND) for box in boxes])
        for i, number in enumerate(ids.tolist()):
            if number < 0:
                self._stability.append(1.0)
                continue
            seen = _Seen(first_row + i, i, boxes, scores[i], i in touching, image, faces.landmarks[i])
            self._stability.append(self._follow(number, time_seconds, seen).stability)
        if len(self._pending) >= MAX_PENDING:
            self._embed()

    def doubt_all(self, time_seconds: float) -> None:
        """From now on anybody may be somebody else: faces before and after are wanted."""
        for track in self._tracks.values():
            self._sample_remembered(track)
            track.want(time_seconds)

    def end_tracks(self) -> None:
        """All tracklets end here, as at a cut."""
        for track in self._tracks.values():
            self._sample_remembered(track)
        self._tracks.clear()

    def finish(self) -> "Samples":
        """Everything of the chunk."""
        self.end_tracks()
        self._embed()
        rows = np.array(self._rows, np.int32)
        order = np.argsort(rows, kind="stable")
        vectors = np.concatenate(self._vectors) if self._vectors else np.zeros((0, 0), np.float32)
        quality = np.array(self._qualities, np.float32)
        return Samples(rows[order], vectors[order], quality[order], np.array(self._stability, np.float32))

    def _follow(self, number: int, now: float, seen: "_Seen") -> _Track:
        track = self._tracks.get(number)
        if track is None:
            track = self._tracks[number] = _Track(now, seen.box, now)
            self._drop_ended(now)
        elif self._is_doubtful(track, now, seen):
            self._sample_remembered(track)
            track.want(now)
        track.seen, track.box, track.touched = now, seen.box, seen.touching
        if self._mode == "always":
            self._sample(track, now, seen, self._quality(seen))
        elif self._mode == "conditional":
            self._sample_if_wanted(track, now, seen)
        return track

    def _sample_if_wanted(self, track: _Track, now: float, seen: "_Seen") -> None:
        wanted = now - track.sampled >= (SPACING_SECONDS if track.due else track.wait)
        if not wanted and now - max(track.remembered_at, track.sampled) < REMEMBER_SECONDS:
            return
        quality = self._quality(seen)
        good = quality >= GOOD and not seen.touching
        if wanted and (good or now - track.wanted >= PATIENCE_SECONDS):
            self._sample(track, now, seen, quality)
        elif good and not wanted:
            chip = self._embedder.chip(seen.image, seen.landmarks)
            track.remembered = None if chip is None else (seen.row, quality, chip)
            track.remembered_at = now

    def _quality(self, seen: "_Seen") -> float:
        quality = face_quality(seen.which, seen.boxes, seen.score, seen.landmarks.tolist(), self._frame_size)
        return float(np.float32(quality))  # what is decided by it can be told from the samples

    def _is_doubtful(self, track: _Track, now: float, seen: "_Seen") -> bool:
        """Whether this frame is one after which somebody else might be followed."""
        gap, box, before = now - track.seen, seen.box, track.box
        moved = max(abs(box.x1 + box.x2 - before.x1 - before.x2), abs(box.y1 + box.y2 - before.y1 - before.y2)) / 2
        if gap > GAP_SECONDS:  # unseen is not seen with confidence
            track.stability *= math.exp(-gap / STABLE_SECONDS)
        share = 1 - math.exp(-min(gap, GAP_SECONDS) / STABLE_SECONDS)
        was_stable = track.stability >= UNSTABLE
        track.stability += share * ((seen.score >= self._high_score) - track.stability)
        ratio = box.height / track.sampled_height if track.sampled_height else 1.0
        return (
            gap > GAP_SECONDS
            or seen.touching != track.touched
            or moved > JUMP_HEIGHTS * min(box.height, before.height)
            or max(ratio, 1 / max(ratio, 1e-6)) > SIZE_RATIO
            or was_stable != (track.stability >= UNSTABLE)
        )

    def _sample(self, track: _Track, now: float, seen: "_Seen", quality: float) -> None:
        if quality < USABLE:
            return
        chip = self._embedder.chip(seen.image, seen.landmarks)
        if chip is None:
            return
        if quality < GOOD:  # patience has run out: the clear face before it still counts
            self._sample_remembered(track)
        self._pending.append((seen.row, quality, chip))
        track.wait = FIRST_WAIT_SECONDS if track.due else min(2 * track.wait, LONGEST_WAIT_SECONDS)
        track.due = max(track.due - 1, 0)
        track.sampled, track.sampled_height = now, track.box.height
        track.wanted = now + (SPACING_SECONDS if track.due else track.wait)
        track.remembered = None

    def _sample_remembered(self, track: _Track) -> None:
        if track.remembered is not None:
            self._pending.append(track.remembered)
            track.remembered = None

    def _drop_ended(self, now: float) -> None:
        """Sample the last clear face of what is no longer seen."""
        for number in [n for n, t in self._tracks.items() if now - t.seen > LONGEST_WAIT_SECONDS]:
            self._sample_remembered(self._tracks.pop(number))

    def _embed(self) -> None:
        pending, self._pending = self._pending, []
        vectors = self._embedder.embed([chip for _, _, chip in pending]) if pending else None
        if vectors is not None:
            self._rows += [row for row, _, _ in pending]
            self._qualities += [quality for _, quality, _ in pending]
            self._vectors.append(vectors)


@dataclass(slots=True)
class _Seen:
    """One face in one frame: its row among the chunk's detections, what is known of it, and where to cut it."""

    row: int
    which: int  # position among the frame's faces
    boxes: list[Box]  # of all of them
    score: float
    touching: bool
    image: Image
    landmarks: NDArray[np.float32]

    @property
    def box(self) -> Box:
        return self.boxes[self.which]
