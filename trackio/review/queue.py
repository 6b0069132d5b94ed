"""The suspects in the order in which they are worth a look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..edits.exchanges import STAKE
from ..metadata import Suspect, TrackMetadata, VideoRecord
from ..timecode import format_timecode

_CLOSED = ("accepted", "fixed")


@dataclass(frozen=True)
class Queued:
    """A suspect and its place.

    Attributes:
        suspect: The suspect.
        rank: From 0 on; 0 is the first.
    """

    suspect: Suspect
    rank: int

    @property
    def key(self) -> str:
        """Kind and frames, which name it for good."""
        return key_of(self.suspect)

    @property
    def open(self) -> bool:
        """Whether nobody has accepted or fixed it."""
        return self.suspect.state not in _CLOSED

    def as_dict(self, video: VideoRecord) -> dict[str, Any]:
        """The suspect as a JSON object."""
        suspect = self.suspect
        return {
            "key": self.key, "kind": suspect.kind, "first_frame": suspect.first_frame,
            "last_frame": suspect.last_frame, "start": format_timecode(video.seconds(suspect.first_pts)),
            "probability": suspect.probability, "note": suspect.note, "evidence": suspect.evidence,
            "state": suspect.state, "rank": self.rank,
        }  # fmt: skip


def queue(metadata: TrackMetadata) -> tuple[Queued, ...]:
    """The suspects by probability times length, the largest first.

    The length is in seconds, that of the last frame included, or what is at stake where the suspect tells. Suspects of
    one kind in the same frames are one: they are marked together.
    """
    video, found = metadata.video, dict[str, Suspect]()
    for suspect in metadata.suspects:
        same = found.get(key_of(suspect))
        found[key_of(suspect)] = suspect if same is None else _joined(same, suspect)

    def weight(suspect: Suspect) -> float:
        length = float((suspect.last_pts - suspect.first_pts) * video.time_base + 1 / video.fps)
        return suspect.probability * max(length, suspect.evidence.get(STAKE, 0.0))

    ordered = sorted(found.values(), key=lambda each: (-weight(each), each.first_frame, each.last_frame, each.kind))
    return tuple(Queued(suspect, rank) for rank, suspect in enumerate(ordered))


def key_of(suspect: Suspect) -> str:
    """``gap:100:140``."""
    return f"{suspect.kind}:{suspect.first_frame}:{suspect.last_frame}"


def _joined(one: Suspect, other: Suspect) -> Suspect:
    likelier, less = (one, other) if one.probability >= other.probability else (other, one)
    return replace(likelier, note="; ".join(note for note in (likelier.note, less.note) if note))
