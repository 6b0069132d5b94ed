"""A rendering in segments: encoded apart, kept while it runs, and taken again where nothing has changed.

A segment is told by its key, a digest of everything that decides its pictures: the input, the frames and their times,
what each tile shows in them, the encoder's options, and the versions of the libraries. Equal keys give equal pictures.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..configs.errors import DftError
from ..configs.version import VERSION
from ..engines.join import Facts, Piece, facts
from ..trackio.atomic import atomic_output, translate_os_error
from ..trackio.records import Record
from .camera.plan import CameraPlan

UNFINISHED = ".partial"
NOTES = "[!.]*.json"  # those that are whole: hidden ones were being written
SHORTEST = 0.25  # of a segment's length: a last one that is shorter belongs to the one before


@dataclass(frozen=True)
class Segment:
    """Frames that are encoded together.

    Attributes:
        first: Index of the first frame.
        end: Index after the last frame.
        key: Digest of everything that decides its pictures.
    """

    first: int
    end: int
    key: str


@dataclass(frozen=True)
class Encoded(Record):
    """A segment that was encoded; JSON in the folder of segments and in the QC report.

    Attributes:
        key: Of the segment.
        first: Index of its first frame.
        end: Index after its last frame.
        missing: Frames between them that have no picture of their own: damaged, or at the time of the one before.
        num_packets: Number of pictures.
        reorder: See :class:`dft.engines.join.Facts`.
        digest: See there.
        head: See there.
    """

    key: str
    first: int
    end: int
    missing: tuple[int, ...]
    num_packets: int
    reorder: int
    digest: str
    head: str
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def facts(self) -> Facts:
        """What is known of its packets."""
        return Facts(self.num_packets, self.reorder, self.digest, self.head)

    @property
    def frames(self) -> NDArray[np.int64]:
        """``(num_packets,)`` int64 indices of the frames that have a picture."""
        return np.setdiff1d(np.arange(self.first, self.end), np.array(self.missing, np.int64))


def divide(pts: NDArray[np.int64], time_base: Fraction, seconds: float) -> list[tuple[int, int]]:
    """Divide a video into segments of about ``seconds``.

    Where they begin depends on the frames' times alone, so edits of the tracks do not move them; frames at one time are
    never parted.

    Args:
        pts: ``(N,)`` int64, not descending.
        time_base: Unit of ``pts`` in seconds.
        seconds: Length of a segment.

    Returns:
        First frame and the frame after the last, for each segment.
    """
    length = max(1, round(Fraction(seconds) / time_base))
    number = (pts - pts[0]) // length
    if (pts[-1] - pts[0]) % length < SHORTEST * length:
        number = np.minimum(number, max(int(number[-1]) - 1, 0))
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    return [(int(first), int(end)) for first, end in zip(starts, [*starts[1:], len(pts)], strict=True)]


def segments_of(
    camera: CameraPlan, pts: NDArray[np.int64], spans: Iterable[tuple[int, int]], circumstances: Mapping[str, Any]
) -> list[Segment]:
    """The segments between the frames of ``spans``, with their keys.

    Args:
        camera: What every tile shows.
        pts: ``(N,)`` int64 times of all frames.
        spans: First frame and the frame after the last, for each.
        circumstances: What else decides the pictures, of all segments: anything that ``str`` tells apart.
    """
    canvas = f"{camera.canvas} {camera.dividers}"
    shared = json.dumps([VERSION, _libraries(), canvas, circumstances], sort_keys=True, default=str)
    return [Segment(first, end, _key(shared, camera, pts, slice(first, end))) for first, end in spans]


def _libraries() -> str:
    import av
    import cv2

    return f"{av.__version__} {av.library_versions} {cv2.__version__}"


def _key(shared: str, camera: CameraPlan, pts: NDArray[np.int64], frames: slice) -> str:
    digest = hashlib.sha256(shared.encode())
    digest.update(pts[frames].tobytes())
    for view in camera.views:
        shown = view.shown[frames]
        if shown.any():
            digest.update(str(view.area).encode())
            digest.update(np.where(shown[:, None], view.crops_xyxy[frames], 0.0).tobytes())
            digest.update(np.where(shown, view.blur[frames], 0.0).tobytes() + shown.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Place:
    """Where an encoded segment lies."""

    encoded: Encoded
    path: Path
    first_packet: int


class SegmentStore:
    """The segments of one output that are encoded: in a folder beside it, or in an earlier output of that name.

    Args:
        output: The video that they will be joined to.
    """

    def __init__(self, output: Path):
        self.folder = output.with_name(f".{output.name}.segments")
        self._output = output
        self._places: dict[str, _Place] = {}  # by key

    def look(self, segments: Iterable[Segment], earlier: Sequence[Encoded] = ()) -> None:
        """Find out which of ``segments`` are there.

        Args:
            segments: The wanted ones.
            earlier: Those that the earlier output was joined of, in order.
        """
        wanted = {segment.key for segment in segments}
        places = [*self._in_output(earlier), *self._in_folder(wanted)]
        self._places = {place.encoded.key: place for place in places if place.encoded.key in wanted}

    def has(self, segment: Segment) -> bool:
        """Whether the segment is encoded."""
        return segment.key in self._places

    def path(self, segment: Segment) -> Path:
        """Where a segment lies when it is whole."""
        return self.folder / f"{segment.first:08d}-{segment.key[:16]}.mp4"

    def unfinished_path(self, segment: Segment) -> Path:
        """Where a segment lies while it is written."""
        path = self.path(segment)
        return path.with_name(f"{path.stem}{UNFINISHED}{path.suffix}")

    def add(self, encoded: Encoded) -> None:
        """Note that a segment lies whole under its :meth:`path`.

        Raises:
            OutputError: The note cannot be written.
        """
        path = self.path(Segment(encoded.first, encoded.end, encoded.key))
        with atomic_output(path.with_suffix(".json"), overwrite=True) as unfinished:
            unfinished.write_text(json.dumps(encoded.as_dict()), encoding="utf-8")
        self._places[encoded.key] = _Place(encoded, path, 0)

    def encoded(self, segments: Iterable[Segment]) -> tuple[Encoded, ...]:
        """What is known of ``segments``, which are all there."""
        return tuple(self._places[segment.key].encoded for segment in segments)

    def pieces(self, segments: Iterable[Segment], pts: NDArray[np.int64]) -> list[Piece]:
        """What ``segments``, which are all there, are joined of.

        Args:
            segments: In order.
            pts: ``(N,)`` int64 times of all frames of the video.
        """
        places = (self._places[segment.key] for segment in segments)
        return [
            Piece(place.path, place.first_packet, place.encoded.facts, pts[place.encoded.frames])
            for place in places
            if place.encoded.num_packets
        ]

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder; after an error it goes, unless it holds what the next rendering can use.

        Raises:
            OutputError: The folder cannot be made.
        """
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise translate_os_error(error, self.folder) from error
        try:
            yield
        except BaseException:
            with suppress(OSError):
                for path in self.folder.glob(f"*{UNFINISHED}*"):
                    path.unlink(missing_ok=True)
                if not any(self.folder.glob(NOTES)):
                    shutil.rmtree(self.folder)
            raise

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _in_folder(self, wanted: set[str]) -> Iterator[_Place]:
        """What a rendering that was stopped has finished."""
        for note in sorted(self.folder.glob(NOTES)):
            with suppress(OSError, ValueError, DftError):
                encoded = Encoded.from_dict(json.loads(note.read_text(encoding="utf-8")))
                path = self.path(Segment(encoded.first, encoded.end, encoded.key))
                if encoded.key in wanted and (not encoded.num_packets or facts(path) == [encoded.facts]):
                    yield _Place(encoded, path, 0)

    def _in_output(self, earlier: Sequence[Encoded]) -> Iterator[_Place]:
        """What lies in the earlier output just as was noted when it was made."""
        with suppress(DftError):
            first_packet = 0
            found = facts(self._output, [encoded.num_packets for encoded in earlier]) if earlier else []
            for encoded, fact in zip(earlier, found, strict=True):
                if fact == encoded.facts:
                    yield _Place(encoded, self._output, first_packet)
                first_packet += encoded.num_packets
