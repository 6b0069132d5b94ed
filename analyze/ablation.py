"""What each part of identity is worth: one video with known truth, tracked with less and less of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from ..configs.analysis import AnalyzeSettings
from ..configs.settings import build
from ..trackio.files import TrackFile, read_tracks
from ..trackio.score import score
from ..trackio.truth import Truth, read_truth
from .evidence import EvidenceStore, FinishedChunks
from .pipeline import analyze, evidence_folder
from .source import Source

# ByteTrack as published: whole video, no cuts, nothing split, nobody told apart by the face
TRACKER_ONLY = {
    "reid": "off", "split_margin": 0.0, "cut_level": 255.0, "doubtful_level": 255.0, "chunk_seconds": 3600.0,
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "ByteTrack only": TRACKER_ONLY,
    "stage 2, no embeddings": {"reid": "off"},
    "always-on ReID": {"reid": "always"},
    "conditional ReID": {"reid": "conditional"},
}


@dataclass(frozen=True)
class AblationRow:
    """One way to track the video.

    Attributes:
        method: What was used.
        coverage: Share of true faces with a box of the right name.
        wrong: Share with a wrong name.
        switches: How often a name changes.
        embeddings_per_minute: Faces embedded per minute of video.
        seconds: Time of the whole analysis.
    """

    method: str
    coverage: float
    wrong: float
    switches: int
    embeddings_per_minute: float
    seconds: float


def ablation(video: Path, truth: Path) -> list[AblationRow]:
    """Track ``video`` in each way and score it by ``truth``.

    Raises:
        DftError: The video cannot be analysed, or the truth not be read.
    """
    known = read_truth(truth)
    with TemporaryDirectory(prefix="dft-ablation-") as folder:
        return [_row(method, changes, video, known, Path(folder)) for method, changes in METHODS.items()]


def as_text(rows: Sequence[AblationRow]) -> str:
    """A table for people."""
    lines = [f"{'':24} coverage   wrong  switches  embeddings/min  seconds"]
    for r in rows:
        shares = f"{r.coverage:8.3f} {r.wrong:7.3f}"
        lines.append(f"{r.method:24} {shares} {r.switches:9} {r.embeddings_per_minute:15.0f} {r.seconds:8.2f}")
    return "\n".join(lines)


def _row(method: str, changes: dict[str, Any], video: Path, truth: Truth, folder: Path) -> AblationRow:
    output = folder / f"{method.replace(' ', '-')}.tracks.parquet"
    report = analyze(video, output, settings=build(AnalyzeSettings, changes), keep_evidence=True)
    tracks = read_tracks(output)
    if changes is TRACKER_ONLY:
        tracks = _as_tracked(tracks, evidence_folder(output))
    scored = score(tracks, truth)
    return AblationRow(
        method, round(float(scored.coverage), 4), round(float(scored.wrong), 4), scored.switches,
        round(60 * report.embedded / report.duration_seconds, 1), round(report.seconds, 3),
    )  # fmt: skip


def _as_tracked(tracks: TrackFile, folder: Path) -> TrackFile:
    """Every tracklet of the tracker under its own name, as if its numbers were the persons."""
    source, chunks = Source.load(folder)
    parts = []
    for number, chunk in enumerate(FinishedChunks(EvidenceStore.opened(folder), tuple(chunks))):
        own = chunk.tracklet >= 0
        names = [f"{number}-{tracklet}" for tracklet in chunk.tracklet[own]]
        frames, boxes = chunk.detection_frame[own], chunk.boxes_xyxy[own]
        columns: dict[str, Any] = {"frame_index": frames, "pts": source.index.pts[frames], "person": pa.array(names)}
        columns |= {name: np.ascontiguousarray(boxes[:, i]) for i, name in enumerate(("x1", "y1", "x2", "y2"))}
        parts.append(pa.table(columns))
    return TrackFile(tracks.path, pa.concat_tables(parts), tracks.metadata)
