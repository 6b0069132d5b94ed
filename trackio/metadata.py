"""What a track file says about its video, its persons, its shots and its doubtful moments.

One JSON object under the Parquet key ``dft_tracks``. Keys that this version does not know are kept in
``extra`` and written back.
"""

import json
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..configs.errors import TrackFormatError
from .records import Record
from .schema import VERSION

SUSPECT_KINDS = ("contact", "crossing", "gap", "jump", "low_margin", "duplicate", "cut")
REVIEW_STATES = ("accepted", "fixed", "unsure")
BOX_CONVENTION = "display xyxy, pixels, origin top left, x2 y2 exclusive"

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})")


@dataclass(frozen=True)
class VideoRecord(Record):
    """The video that the tracks belong to.

    Attributes:
        sha256: Fingerprint of the file, see ``fingerprint.py``.
        width: Displayed width in pixels, after rotation.
        height: Displayed height in pixels.
        rotation: Clockwise degrees from the coded to the displayed picture: 0, 90, 180 or 270.
        frame_count: Number of frames.
        time_base: Seconds per unit of pts.
        fps: Average frames per second.
        duration_seconds: From the first frame's start to the last frame's end.
        start_pts: pts of the first frame; times are counted from it.
    """

    sha256: str
    width: int
    height: int
    rotation: int
    frame_count: int
    time_base: Fraction
    fps: Fraction
    duration_seconds: float
    start_pts: int
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

    def seconds(self, pts: int) -> float:
        """Seconds from the start of the video to ``pts``."""
        return (pts - self.start_pts) * self.time_base.numerator / self.time_base.denominator

    def seconds_array(self, pts: NDArray[np.int64]) -> NDArray[np.float64]:
        """``(N,)`` float64 seconds from the start of the video to each of ``pts (N,)``."""
        return (pts - self.start_pts) * self.time_base.numerator / self.time_base.denominator


@dataclass(frozen=True)
class Shot(Record):
    """Frames between two cuts; first and last both belong to it.

    Attributes:
        first_frame: Index of its first frame.
        last_frame: Index of its last frame.
        first_pts: pts of its first frame.
        last_pts: pts of its last frame.
    """

    first_frame: int
    last_frame: int
    first_pts: int
    last_pts: int
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Suspect(Record):
    """A moment where an identity could be wrong; first and last frame both belong to it.

    Attributes:
        kind: One of :data:`SUSPECT_KINDS`; a newer minor version may know others.
        first_frame: Index of its first frame.
        last_frame: Index of its last frame.
        first_pts: pts of its first frame.
        last_pts: pts of its last frame.
        probability: That something is wrong, 0..1.
        note: One sentence for the reviewer.
        evidence: What the probability was taken from, by name: ``margin`` in log-odds; ``distance_kept`` and
            ``distance_swapped`` of the faces from the persons', in same-person distances of the embedder;
            ``stability``, the share of confident frames around; and what the kind measures.
        state: What a reviewer said of it, one of :data:`REVIEW_STATES`; None as long as nobody did.
    """

    kind: str
    first_frame: int
    last_frame: int
    first_pts: int
    last_pts: int
    probability: float
    note: str = ""
    evidence: dict[str, float] = field(default_factory=dict, hash=False)
    state: str | None = None
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class TrackRecord(Record):
    """What is known of one track as a whole.

    Attributes:
        track_id: The track.
        person: Its person, or None.
        margin: Log-odds by which it is that person rather than another main, or None where there was no choice.
        embedded: Faces that were embedded.
        stability: Share of the time in which the track was seen with confidence, at its worst, 0..1.
    """

    track_id: int
    person: str | None
    margin: float | None
    embedded: int
    stability: float
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class DeviceRecord(Record):
    """Where the analysis ran.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        why: How that was chosen.
        rungs: On which ways the frames were decoded (``decode``), faces found (``detect``) and embedded (``embed``),
            each with why not on a better one; several where one gave up midway.
    """

    kind: str
    why: str
    rungs: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class TrackMetadata(Record):
    """Everything in a track file beside its rows.

    Attributes:
        video: The video.
        persons: Names of the main persons, such as ``("A", "B")``.
        models: SHA-256 of each model file by its name.
        settings: Settings of the analysis by name.
        device: Where it ran.
        tool_version: Version of dft that wrote the file.
        shots: In order, without overlap.
        suspects: Moments to review.
        notes: What a reader should know, such as a fallback or damaged packets.
        tracks: How each track was decided; empty where the tool that wrote the file does not say.
        edits_sha256: Hash of the edit log that is worked into the rows, or None for raw tracks.
        box_convention: How the boxes are to be read.
        extra: Keys that this version does not know.
        version: Version of the profile that the file was written in.
    """

    video: VideoRecord
    persons: tuple[str, ...]
    models: dict[str, str]
    settings: dict[str, Any]
    device: DeviceRecord
    tool_version: str
    shots: tuple[Shot, ...]
    suspects: tuple[Suspect, ...]
    notes: tuple[str, ...] = ()
    tracks: tuple[TrackRecord, ...] = ()
    edits_sha256: str | None = None
    box_convention: str = BOX_CONVENTION
    extra: dict[str, Any] = field(default_factory=dict, hash=False)
    version: str = VERSION

    @property
    def from_newer_minor(self) -> bool:
        """Whether a newer minor version wrote the file, which may use names that this one does not know."""
        return _parse_version(self.version) > _parse_version(VERSION)

    def to_json(self) -> str:
        """The JSON object as ASCII text.

        Raises:
            TrackFormatError: Settings or unknown keys hold what JSON cannot.
        """
        try:
            return json.dumps(self.as_dict(), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TrackFormatError("track metadata cannot be written as JSON", got=error) from error

    @classmethod
    def from_json(cls, text: str) -> "TrackMetadata":
        """Read the JSON object.

        Raises:
            TrackFormatError: It is not JSON, has an unknown major version, lacks a key, or a value has a
                wrong type.
        """
        try:
            values = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise TrackFormatError("track metadata is not JSON", got=error) from error
        # The version comes first: another major version may have other keys altogether.
        version = values.get("version") if isinstance(values, dict) else None
        major, ours = _parse_version(version)[0], _parse_version(VERSION)[0]
        if major != ours:
            raise TrackFormatError(
                "the track file has an unknown version",
                got=version,
                expected=f"{ours}.x",
                hint="install a dft that knows it, or analyze the video again",
            )
        return cls.from_dict(values)


def _parse_version(version: object) -> tuple[int, int]:
    match = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if match is None:
        raise TrackFormatError("metadata key version", got=repr(version), expected=f"a version such as '{VERSION}'")
    return int(match[1]), int(match[2])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
