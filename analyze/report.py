"""What an analysis did: the report for the user, and the metadata of the track file."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..configs.analysis import AnalyzeSettings
from ..configs.recovery import Recovery
from ..configs.settings import as_values
from ..configs.version import VERSION
from ..trackio.metadata import DeviceRecord, TrackMetadata, VideoRecord
from .evidence import ChunkEvidence
from .source import Source
from .stage_two import Decision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnalysisReport:
    """What an analysis did.

    Attributes:
        output: The track file.
        frames: Frames of the video.
        duration_seconds: Length of the video.
        persons: Main persons found.
        shots: Number of shots.
        suspects: Number of moments to review.
        faces: Faces detected in all frames.
        embedded: Faces that were embedded, to tell who they are.
        reid_seconds: Time that embedding took, with loading the embedder; not of resumed frames.
        resumed_frames: Frames that were taken from an earlier, unfinished analysis.
        seconds: Time that the analysis took.
        fps: Frames analysed per second, without those resumed.
        device: What it ran on.
        notes: What a user should know: damage, fallbacks.
        recovered: What went wrong, and was answered: they are among the notes.
    """

    output: Path
    frames: int
    duration_seconds: float
    persons: tuple[str, ...]
    shots: int
    suspects: int
    faces: int
    embedded: int
    reid_seconds: float
    resumed_frames: int
    seconds: float
    fps: float
    device: str
    notes: tuple[str, ...]
    recovered: tuple[Recovery, ...]

    @classmethod
    def of(cls, output: Path, metadata: TrackMetadata, evidence: Iterable[ChunkEvidence]) -> "AnalysisReport":
        """What the track file and the evidence say; :meth:`timed` adds the time."""
        faces, embedded = (sum(len(getattr(e, name)) for e in evidence) for name in ("scores", "embedded"))
        return cls(
            output=output, frames=metadata.video.frame_count, duration_seconds=metadata.video.duration_seconds,
            persons=metadata.persons, shots=len(metadata.shots), suspects=len(metadata.suspects), faces=faces,
            embedded=embedded, reid_seconds=0.0, resumed_frames=0, seconds=0.0, fps=0.0, device=metadata.device.kind,
            notes=metadata.notes, recovered=tuple(recoveries_in(metadata.video.frame_count, evidence)),
        )  # fmt: skip

    def timed(self, seconds: float, resumed_frames: int, reid_seconds: float) -> "AnalysisReport":
        """The same with the time that it took."""
        fps = (self.frames - resumed_frames) / seconds
        return replace(self, seconds=seconds, fps=fps, resumed_frames=resumed_frames, reid_seconds=reid_seconds)


def describe(
    source: Source,
    decision: Decision,
    settings: AnalyzeSettings,
    evidence: Iterable[ChunkEvidence],
    notes: Sequence[str],
) -> TrackMetadata:
    """The metadata of the track file; its notes are logged too."""
    index = source.index
    duration = float((index.end_pts - int(index.pts[0])) * source.time_base)
    video = VideoRecord(
        source.sha256, source.width, source.height, source.rotation, len(index), source.time_base, source.fps,
        duration, int(index.pts[0]),
    )  # fmt: skip
    if len(decision.persons) == 1 and settings.identity.people > 1:
        notes = [*notes, "one person only in the whole video"]
    for note in notes:
        log.warning("%s", note)
    models = dict([source.detector, *((name, sha256) for name, sha256, *_ in _embedders(evidence) if name)])
    return TrackMetadata(
        video, decision.persons, models, _decisive(settings), _device(source, evidence), VERSION, decision.shots,
         decision.suspects, tuple(notes), decision.tracks,
    )  # fmt: skip


def _decisive(settings: AnalyzeSettings) -> dict[str, Any]:
    """The settings that decide the result: where the work ran changes nothing."""
    elsewhere = {item.name for item in fields(settings.runtime)}
    return {name: value for name, value in as_values(settings).items() if name not in elsewhere}


def _device(source: Source, evidence: Iterable[ChunkEvidence]) -> DeviceRecord:
    taken = [[str(rung) for rung in e.rungs] for e in evidence]
    rungs = {
        role: tuple(dict.fromkeys(filter(None, own)))
        for role, own in zip(("decode", "detect", "embed"), zip(*taken, strict=True), strict=True)
    } if taken else {}  # fmt: skip
    return DeviceRecord(source.device.kind, source.device.why, rungs)


def notes_on(source: Source, evidence: Iterable[ChunkEvidence]) -> list[str]:
    """What is missing of the video, and of what should have been seen in it, in words."""
    notes = [source.index.ended_early] if source.index.ended_early else []
    missing = len(source.index) - sum(len(e.frame_index) for e in evidence)
    if missing:
        notes.append(f"{missing} of {len(source.index)} frames could not be decoded")
    failures = _failures(evidence)
    if failures:
        embedded = sum(len(e.embedded) for e in evidence)
        where = "from some point on, " if embedded else ""
        notes += [f"{where}faces could not be told apart, only places and motion: {failure}" for failure in failures]
    return [*notes, *(recovery.note for recovery in _kept_recoveries(evidence))]


def recoveries_in(num_frames: int, evidence: Iterable[ChunkEvidence]) -> list[Recovery]:
    """What went wrong while the video, of so many frames, was looked at, and what was done about it."""
    missing = num_frames - sum(len(e.frame_index) for e in evidence)
    lost = [Recovery(f"{missing} of {num_frames} frames could not be decoded", "left out, and counted")]
    blind = [Recovery(failure, "told people apart by places and motion alone") for failure in _failures(evidence)]
    return [*(lost if missing else ()), *blind, *_kept_recoveries(evidence)]


def _kept_recoveries(evidence: Iterable[ChunkEvidence]) -> list[Recovery]:
    return list(dict.fromkeys(Recovery(str(cause), str(answer)) for e in evidence for cause, answer in e.recoveries))


def _failures(evidence: Iterable[ChunkEvidence]) -> list[str]:
    return list(dict.fromkeys(failure for *_, failure in _embedders(evidence) if failure))


def _embedders(evidence: Iterable[ChunkEvidence]) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(tuple(str(value) for value in e.embedder) for e in evidence))
