"""The roles that hardware plays, and the data that passes between them.

A backend implements these protocols; the CPU backends (``engines/cpu``) define the behaviour. The contract tests in
``tests/contract`` run over every backend that is present.

An *image* is the picture of one frame in its backend's own form (``YuvImage`` on the CPU). Only backends of the
same device look inside; the passes hand images on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..configs.recovery import Recovery
from .weights import ModelFile

Image = Any
Prepared = Any
Chip = Any


@dataclass(frozen=True)
class Colour:
    """How YUV values are to be read, as the codes of ITU-T H.273 (2 means not stated)."""

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    full_range: bool = False


PQ, HLG = 16, 18  # H.273 transfer codes of high dynamic range


@dataclass(frozen=True)
class HdrMetadata:
    """Static metadata of HDR video: SMPTE ST 2086 mastering display and CTA-861.3 content light level.

    Attributes:
        primaries_xy: CIE 1931 x, y of the mastering display's red, green and blue, or None.
        white_xy: x, y of its white point, or None.
        luminance: Its least and greatest luminance in cd/m2, or None.
        max_cll: Greatest light of one pixel in cd/m2, or None.
        max_fall: Greatest average light of one frame in cd/m2, or None.
    """

    primaries_xy: tuple[tuple[float, float], ...] | None = None
    white_xy: tuple[float, float] | None = None
    luminance: tuple[float, float] | None = None
    max_cll: int | None = None
    max_fall: int | None = None


@dataclass(frozen=True)
class VideoInfo:
    """Facts of a video stream.

    Attributes:
        path: The file.
        width: Displayed width in pixels, after rotation, before pixel aspect.
        height: Displayed height in pixels.
        rotation: Clockwise degrees from the coded to the displayed picture: 0, 90, 180 or 270.
        pixel_aspect: Width to height of a displayed pixel.
        time_base: Seconds per unit of pts.
        fps: Average frames per second.
        colour: How the values are to be read.
        codec: FFmpeg's name of the codec.
        pixel_format: FFmpeg's name of the pixel format.
        depth: Bits of a value in the file.
        interlaced: Whether the stream or one of its first pictures says that it is made of two fields.
        hdr: Static HDR metadata, or None.
    """

    path: Path
    width: int
    height: int
    rotation: int
    pixel_aspect: Fraction
    time_base: Fraction
    fps: Fraction
    colour: Colour
    codec: str
    pixel_format: str
    depth: int = 8
    interlaced: bool = False
    hdr: HdrMetadata | None = None

    @property
    def is_hdr(self) -> bool:
        """Whether the values mean high dynamic range: PQ or HLG."""
        return self.colour.transfer in (PQ, HLG)


@dataclass(frozen=True)
class PictureOptions:
    """What a decoder makes of a picture before it hands it out. The default suits analysis: nothing that costs.

    Attributes:
        depth: Bits of the images' values, 8 or 10, whatever the file has.
        deinterlace: Pictures that are flagged as interlaced become progressive; the others stay as they are.
        tone_map: HDR becomes SDR in BT.709 of limited range; SDR stays as it is.
    """

    depth: int = 8
    deinterlace: bool = False
    tone_map: bool = False


FOR_ANALYSIS = PictureOptions()


@dataclass(frozen=True)
class FrameIndex:
    """Every frame of a video in presentation order, read from its packets.

    Attributes:
        pts: ``(N,)`` int64, not descending, in the stream's time base.
        keyframe: ``(N,)`` bool, whether decoding can start there.
        end_pts: pts at which the last frame ends.
        seekable: Whether the file's own time stamps can be sought. If not, frames are counted from the start.
        ended_early: Where and why reading stopped before the file's stated end, or None.
        packet_pts: ``(N,)`` int64, what the packet and the picture of each frame carry where the file holds no times of
            presentation: each the pts of some frame, in another order. None where they carry the frame's own ``pts``.
    """

    pts: NDArray[np.int64]
    keyframe: NDArray[np.bool_]
    end_pts: int
    seekable: bool = True
    ended_early: str | None = None
    packet_pts: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def stamps(self) -> NDArray[np.int64]:
        """``(N,)`` int64, by which packets and pictures are known, and packets sought."""
        return self.pts if self.packet_pts is None else self.packet_pts

    @property
    def num_shared(self) -> int:
        """How many frames have the time of the frame before."""
        return int(np.count_nonzero(np.diff(self.pts) == 0))


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        frame_index: 0-based in presentation order; an ordinal, never a time.
        pts: Time stamp in the stream's time base.
        image: The picture, not rotated.
    """

    frame_index: int
    pts: int
    image: Image


@dataclass(frozen=True)
class Setback:
    """A way of decoding that gave up midway, and was followed by another one.

    Attributes:
        frame_index: The frame that was due.
        recovery: Why it gave up, and what decodes now.
    """

    frame_index: int
    recovery: Recovery


@dataclass(frozen=True)
class Detections:
    """Faces of one frame.

    Attributes:
        boxes_xyxy: ``(N, 4)`` float32, displayed pixels, origin top left, x2 y2 exclusive.
        scores: ``(N,)`` float32 in 0..1.
        landmarks: ``(N, 10)`` float32, x,y of the subject's right eye, left eye, nose tip, right and left mouth corner.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> "Detections":
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 10), np.float32))


RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Bar:
    """A rectangle of one colour on the canvas, such as a line between two tiles; pixels, and even."""

    x: int
    y: int
    width: int
    height: int
    colour: RGB


@dataclass(frozen=True)
class Canvas:
    """What the tiles are laid on.

    Attributes:
        width: In pixels, even.
        height: In pixels, even.
        background: Where no tile lies, as 8-bit sRGB.
    """

    width: int
    height: int
    background: RGB = (0, 0, 0)


@dataclass(frozen=True)
class Tile:
    """One crop of a frame and its place on the canvas; of tiles that overlap, the later one is seen.

    Attributes:
        crop_xyxy: Source rectangle in displayed pixels, fractions allowed; inside the frame.
        x: Left of the tile on the canvas, in pixels, even.
        y: Top of the tile on the canvas, in pixels, even.
        width: Width of the tile, in pixels, even.
        height: Height of the tile, in pixels, even.
        blur: Standard deviation of a Gaussian blur in heights of the tile, or 0 for none.
    """

    crop_xyxy: tuple[float, float, float, float]
    x: int
    y: int
    width: int
    height: int
    blur: float = 0.0


@dataclass(frozen=True)
class EncodeOptions:
    """What an encoder is asked for.

    Attributes:
        width: Canvas width in pixels, even.
        height: Canvas height in pixels, even.
        time_base: Unit of the pts that are written.
        fps: Average frame rate, a hint for rate control.
        colour: Tags to write.
        codec: ``h264``, ``hevc`` or ``av1``.
        depth: Bits per sample, 8 or 10.
        preset: Speed against size, x264's names.
        crf: Constant rate factor, on the codec's own scale.
        bitrate: Average bits per second instead of ``crf``, or None.
        threads: CPU threads, or None for all.
        hdr: Static HDR metadata to write, or None.
    """

    width: int
    height: int
    time_base: Fraction
    fps: Fraction
    colour: Colour
    codec: str = "h264"
    depth: int = 8
    preset: str = "medium"
    crf: int = 18
    bitrate: int | None = None
    threads: int | None = None
    hdr: HdrMetadata | None = None


class Closing(Protocol):
    """What is opened with ``with`` and closed at its end."""

    def close(self) -> None:
        """Release everything; calling it again does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@runtime_checkable
class Decoder(Closing, Protocol):
    """Reads the frames of one video in presentation order.

    Attributes:
        info: Facts of the video; ``colour`` and ``hdr`` are those of the images that it gives.
        index: Every frame.
        num_corrupt: Packets or frames that could not be decoded so far.
        rung: The way that decodes now.
        why: Why not a better one, or an empty text.
        setbacks: Where a way gave up midway, in order.
    """

    info: VideoInfo
    index: FrameIndex
    num_corrupt: int
    rung: str
    why: str
    setbacks: Sequence["Setback"]

    def frames(self, first: int = 0, end: int | None = None) -> Iterator[Frame]:
        """Frames with ``first <= frame_index < end``, in order; damaged ones are left out and counted.

        An image is valid until it is dropped. Only one iteration runs at a time.
        """


@runtime_checkable
class Detector(Closing, Protocol):
    """Finds faces.

    Attributes:
        model: The weights.
        rung: Where the network runs, and why not on a better place.
        usual_batch: Pictures that one video hands in together, for speed.
    """

    model: ModelFile
    rung: str
    usual_batch: int

    def prepare(self, image: Image) -> Prepared:
        """The small upright picture that the network will see; keeps nothing of ``image`` alive."""

    def thumbnail(self, prepared: Prepared) -> NDArray[np.uint8]:
        """``(18, 32)`` uint8 luma thumbnail of the prepared picture."""

    def detect(self, batch: Sequence[Prepared]) -> list[Detections]:
        """Faces of each prepared picture, best score first."""


@runtime_checkable
class Embedder(Closing, Protocol):
    """Describes faces by vectors that lie near each other for one person.

    Attributes:
        model: The weights.
        dimension: Length of a vector.
        same_person_distance: Euclidean distance below which the model's authors call two faces one person: a scale
            for comparisons, which depends on the model.
        rung: Where the network runs, and why not on a better place.
    """

    model: ModelFile
    rung: str
    dimension: int
    same_person_distance: float

    def prepare(self, image: Image, landmarks: NDArray[np.float32]) -> list[Chip]:
        """A chip, the small aligned picture that the network will see, for each face at ``landmarks (N, 10)``.

        Chips keep nothing of ``image`` alive, so they can wait until a batch of them is embedded.
        """

    def embed(self, chips: Sequence[Chip]) -> NDArray[np.float32]:
        """``(N, dimension)`` float32 for chips of any frames, in their order."""


@runtime_checkable
class Compositor(Closing, Protocol):
    """Crops, scales and tiles."""

    def compose(self, image: Image, tiles: Sequence[Tile | Bar]) -> Image:
        """A new canvas with each tile's crop and each bar, on the background of the ``Canvas``; later ones lie on top.

        Crops are sampled at sub-pixel position, so a slow pan does not step.
        """


@runtime_checkable
class Encoder(Closing, Protocol):
    """Encodes pictures into a file that holds nothing else, and that can be decoded without any other.

    ``engines/join.py`` makes one video of such files, and adds what is copied from the source.
    """

    def write(self, image: Image, pts: int) -> None:
        """Encode one canvas; ``pts`` ascend."""

    def finish(self) -> None:
        """Encode what is buffered and complete the file; without it the file is not complete."""
