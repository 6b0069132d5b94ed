"""Fakes of every role, for tests: no codec, no model, no file.

A :class:`FakeImage` says itself who is to be seen in it, so a :class:`FakeDecoder` and a :class:`FakeDetector` drive
pass one, and with a :class:`FakeCompositor` and a :class:`FakeEncoder` pass two, in milliseconds and with known truth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..configs.errors import EngineError
from .protocols import Bar, Closing, Colour, Detections, Frame, FrameIndex, Setback, Tile, VideoInfo
from .weights import ModelFile

# Places of YuNet's five points in a face box, as shares of its width and height.
LANDMARKS = np.array([[0.3, 0.38], [0.7, 0.38], [0.5, 0.58], [0.35, 0.78], [0.65, 0.78]], np.float32)
THUMBNAIL_SHAPE = (18, 32)


@dataclass(frozen=True)
class FakeFace:
    """A face to be seen in a fake image.

    Attributes:
        box_xyxy: Displayed pixels.
        score: What a detector gives it.
        identity: Who it is, for the embedder.
    """

    box_xyxy: tuple[float, float, float, float]
    score: float = 0.9
    identity: int = 0

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """``(10,)`` float32 displayed pixels."""
        x1, y1, x2, y2 = self.box_xyxy
        return (LANDMARKS * (x2 - x1, y2 - y1) + (x1, y1)).astype(np.float32).ravel()


@dataclass(frozen=True)
class FakeImage:
    """A picture by what it shows.

    Attributes:
        faces: The faces in it.
        luma: Grey level of the whole picture; a cut is where it changes.
        tiles: What a compositor made it of.
    """

    faces: tuple[FakeFace, ...] = ()
    luma: int = 128
    tiles: tuple[Tile | Bar, ...] = ()


class FakeDecoder(Closing):
    """Hands out given images; implements :class:`dft.engines.protocols.Decoder`.

    Args:
        images: One per frame.
        pts: Of each frame; at 25 frames per second of 1/1000 s if not given.
        keyframes: Where decoding can start, besides 0.
        damaged: Frames that cannot be decoded.
        info: Facts of the video, if they matter.

    Attributes:
        decoded: Indices of all frames that were handed out, in order.
        num_closed: How often it was closed.
    """

    rung = "fake"
    why = ""
    setbacks: Sequence[Setback] = ()

    def __init__(
        self,
        images: Sequence[FakeImage],
        *,
        pts: Sequence[int] | None = None,
        keyframes: Sequence[int] = (),
        damaged: Sequence[int] = (),
        info: VideoInfo | None = None,
    ):
        stamps = np.array(range(0, 40 * len(images), 40) if pts is None else pts, np.int64)
        keyframe = np.isin(np.arange(len(images)), [0, *keyframes])
        end_pts = int(2 * stamps[-1] - stamps[-2]) if len(stamps) > 1 else 40
        self.info = info or fake_info()
        self.index = FrameIndex(stamps, keyframe, end_pts)
        self.num_corrupt = 0
        self.decoded: list[int] = []
        self.num_closed = 0
        self._images, self._damaged = images, frozenset(damaged)

    def close(self) -> None:
        """Count the call."""
        self.num_closed += 1

    def frames(self, first: int = 0, end: int | None = None) -> Iterator[Frame]:
        """See :meth:`dft.engines.protocols.Decoder.frames`."""
        for frame_index in range(first, len(self.index) if end is None else min(end, len(self.index))):
            if frame_index in self._damaged:
                self.num_corrupt += 1
                continue
            self.decoded.append(frame_index)
            yield Frame(frame_index, int(self.index.pts[frame_index]), self._images[frame_index])


class FakeDetector(Closing):
    """Finds the faces that an image says it shows; implements :class:`dft.engines.protocols.Detector`.

    Args:
        min_score: Faces below are left out.

    Attributes:
        batches: Size of every batch that was asked for.
    """

    rung = "fake"
    usual_batch = 4

    def __init__(self, min_score: float = 0.0):
        self.model = ModelFile("fake", Path("fake.onnx"), "0" * 64)
        self.batches: list[int] = []
        self._min_score = min_score

    def close(self) -> None:
        """Nothing to release."""

    def prepare(self, image: FakeImage) -> FakeImage:
        """See :meth:`dft.engines.protocols.Detector.prepare`."""
        return image

    def thumbnail(self, prepared: FakeImage) -> NDArray[np.uint8]:
        """See :meth:`dft.engines.protocols.Detector.thumbnail`."""
        return np.full(THUMBNAIL_SHAPE, prepared.luma, np.uint8)

    def detect(self, batch: Sequence[FakeImage]) -> list[Detections]:
        """See :meth:`dft.engines.protocols.Detector.detect`."""
        self.batches.append(len(batch))
        return [self._seen(image) for image in batch]

    def _seen(self, image: FakeImage) -> Detections:
        faces = sorted((f for f in image.faces if f.score >= self._min_score), key=lambda f: -f.score)
        if not faces:
            return Detections.none()
        return Detections(
            np.array([f.box_xyxy for f in faces], np.float32),
            np.array([f.score for f in faces], np.float32),
            np.stack([f.landmarks for f in faces]),
        )


class FakeEmbedder(Closing):
    """Tells identities apart without fail; implements :class:`dft.engines.protocols.Embedder`.

    Attributes:
        batches: Size of every batch that was asked for.
    """

    dimension = 8
    same_person_distance = 1.0
    rung = "fake"

    def __init__(self) -> None:
        self.model = ModelFile("fake", Path("fake.onnx"), "0" * 64)
        self.batches: list[int] = []

    def close(self) -> None:
        """Nothing to release."""

    def prepare(self, image: FakeImage, landmarks: NDArray[np.float32]) -> list[FakeFace]:
        """The image's face nearest to each row of ``landmarks``."""
        return [min(image.faces, key=lambda face: float(np.abs(face.landmarks - points).sum())) for points in landmarks]

    def embed(self, chips: Sequence[FakeFace]) -> NDArray[np.float32]:
        """A unit vector per identity."""
        self.batches.append(len(chips))
        axes = np.array([face.identity % self.dimension for face in chips], np.intp)
        return np.eye(self.dimension, dtype=np.float32)[axes]


class FakeCompositor(Closing):
    """Remembers the tiles; implements :class:`dft.engines.protocols.Compositor`."""

    def close(self) -> None:
        """Nothing to release."""

    def compose(self, image: FakeImage, tiles: Sequence[Tile | Bar]) -> FakeImage:
        """An image that says what it was made of."""
        return FakeImage(image.faces, image.luma, tuple(tiles))


@dataclass
class FakeEncoder(Closing):
    """Remembers what it was given; implements :class:`dft.engines.protocols.Encoder`.

    Attributes:
        written: Every image with its pts.
        finished: Whether the file would be complete.
        num_closed: How often it was closed.
    """

    written: list[tuple[FakeImage, int]] = field(default_factory=list)
    finished: bool = False
    num_closed: int = 0

    def write(self, image: FakeImage, pts: int) -> None:
        """See :meth:`dft.engines.protocols.Encoder.write`."""
        if self.finished or (self.written and pts <= self.written[-1][1]):
            raise EngineError("pts must ascend, and nothing follows the end", got=pts)
        self.written.append((image, pts))

    def finish(self) -> None:
        """See :meth:`dft.engines.protocols.Encoder.finish`."""
        self.finished = True

    def close(self) -> None:
        """Count the call."""
        self.num_closed += 1


def fake_info(
    width: int = 640, height: int = 360, *, fps: Fraction = Fraction(25), time_base: Fraction = Fraction(1, 1000)
) -> VideoInfo:
    """Facts of a video that is not there."""
    return VideoInfo(Path("fake.mp4"), width, height, 0, Fraction(1), time_base, fps, Colour(), "fake", "yuv420p")
