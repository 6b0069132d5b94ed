"""Pass one from file to file: ``in.mp4`` -> ``in.tracks.parquet``."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..configs.analysis import AnalyzeSettings
from ..configs.errors import CorruptVideoError, NoFaceError
from ..configs.settings import as_values
from ..configs.version import VERSION
from ..engines.devices import DeviceChoice, choose_device, open_decoder, open_detector, open_embedder
from ..engines.protocols import Decoder, Detector, FrameIndex, VideoInfo
from ..engines.weights import ModelFile
from ..trackio.atomic import check_output
from ..trackio.files import default_tracks_path, write_tracks
from ..trackio.fingerprint import fingerprint
from ..trackio.metadata import DeviceRecord, Shot, Suspect, TrackMetadata, VideoRecord
from .chains import Chain, link_chains
from .chunks import Chunk, plan_chunks
from .detections import detected_frames
from .evidence import ChunkEvidence, EvidenceStore
from .gaps import fill_gaps
from .identity import OTHER, PERSONS, Identity, identify
from .observe import ChunkObserver
from .purity import pure
from .reid import FaceEmbedder
from .rows import Rows, to_table
from .shots import find_cuts, join_changes, shot_numbers
from .sides import a_is_left, sides_by_identity
from .suspects import SuspectFinder
from .tracklets import join_evidence

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
MIN_CHAIN_FRAMES = 3  # what is seen more briefly is taken for a false alarm of the detector


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


def analyze(
    video: str | Path,
    output: str | Path | None = None,
    *,
    settings: AnalyzeSettings | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> AnalysisReport:
    """Find the two people in every frame of ``video`` and decide who is left and right.

    Args:
        video: Any file that FFmpeg can open.
        output: Track file; beside the video, ``in.tracks.parquet``, if not given.
        settings: See ``docs/settings.md``.
        overwrite: Whether an existing track file may be replaced.
        progress: Called with the frames done and the frames in all.

    Raises:
        VideoError: The video cannot be read, is too damaged, or shows no face.
        OutputError: The track file cannot be written.
        EngineError: Device, library or model is not as needed.
    """
    started = time.perf_counter()
    video, settings = Path(video), settings or AnalyzeSettings()
    output = Path(output) if output is not None else default_tracks_path(video)
    device = choose_device(settings.runtime.device)
    with (
        open_decoder(video, device, settings.runtime.threads) as decoder,
        open_detector(
            settings.detection.detector, device, size=settings.detection.detect_size,
            min_score=settings.tracking.low_score, threads=settings.runtime.threads,
        ) as detector,
        closing(
            FaceEmbedder(lambda: open_embedder(settings.identity.embedder, device, settings.runtime.threads))
        ) as embedder,
    ):  # fmt: skip
        check_output(output, overwrite=overwrite, inputs=[video])
        source = Source(decoder.info, decoder.index, fingerprint(video), detector.model)
        chunks = plan_chunks(source.index, source.info.time_base, settings.chunks.chunk_seconds)
        store = EvidenceStore(output.with_name(f".{output.name}.chunks"), source.evidence_key(settings))
        resumed = observe(Eyes(decoder, detector, embedder), chunks, store, settings, progress or _silent)
    evidence = store.finished(chunks)
    faces, embedded = (sum(len(getattr(e, name)) for e in evidence) for name in ("scores", "embedded"))
    try:
        decision = decide(source, evidence, settings)
    except NoFaceError:
        store.remove()  # there is nothing to go on with
        raise
    notes = [*damage(source, evidence), *fallbacks(evidence)]
    metadata = describe(source, decision, settings, device, notes)
    write_tracks(output, decision.table, metadata, overwrite=overwrite)
    store.remove()
    seconds = time.perf_counter() - started
    return AnalysisReport(
        output, len(source.index), metadata.video.duration_seconds, metadata.persons, len(metadata.shots),
        len(metadata.suspects), faces, embedded, embedder.seconds, resumed, seconds,
        (len(source.index) - resumed) / seconds, device.kind, metadata.notes,
    )  # fmt: skip


@dataclass(frozen=True)
class Source:
    """The video under analysis, and what looks at it."""

    info: VideoInfo
    index: FrameIndex
    sha256: str
    model: ModelFile

    def times_seconds(self) -> NDArray[np.float64]:
        """``(N,)`` float64 seconds of every frame from the first."""
        return np.asarray(self.index.pts - self.index.pts[0], np.float64) * float(self.info.time_base)

    def evidence_key(self, settings: AnalyzeSettings) -> dict[str, Any]:
        """What the evidence of stage 1 depends on."""
        groups = (settings.detection, settings.tracking, settings.shots, settings.chunks)
        values = {f.name: getattr(group, f.name) for group in groups for f in fields(group)}
        values.update(reid=settings.identity.reid, embedder=settings.identity.embedder)
        return {"version": VERSION, "video": self.sha256, "model": self.model.sha256, **values}


@dataclass(frozen=True)
class Eyes:
    """What stage 1 looks with."""

    decoder: Decoder
    detector: Detector
    embedder: FaceEmbedder


def observe(
    eyes: Eyes,
    chunks: Sequence[Chunk],
    store: EvidenceStore,
    settings: AnalyzeSettings,
    progress: Progress,
) -> int:
    """Stage 1: decode -> scale -> detect -> tracklets -> embeddings; each finished chunk goes to disk.

    Returns:
        Frames of chunks that were finished before.

    Raises:
        CorruptVideoError: More frames are damaged than the settings allow.
    """
    decoder, total = eyes.decoder, len(eyes.decoder.index)
    finished = [(c.end - c.first, _num_missing(c, e)) for c in chunks if (e := store.load(c)) is not None]
    resumed = done = sum(size for size, _ in finished)
    missing = sum(lost for _, lost in finished)
    if resumed:
        log.info("going on from %d frames of an earlier analysis", resumed)
    for run in list(store.missing_runs(list(chunks))):
        ends = np.array([chunk.end for chunk in run])
        pending = {chunk.number: chunk for chunk in run}
        batch_size = settings.detection.batch_size
        with closing(detected_frames(decoder, eyes.detector, run[0].first, run[-1].end, batch_size)) as frames:
            for position, own in groupby(frames, key=lambda f: int(np.searchsorted(ends, f.frame_index, side="right"))):
                observer = ChunkObserver(decoder.info, settings, eyes.embedder)
                for frame in own:
                    observer.add(frame)
                    progress(done + frame.frame_index - run[0].first + 1, total)
                chunk, evidence = pending.pop(run[position].number), observer.evidence()
                missing += _num_missing(chunk, evidence)
                _check_damage(missing, total, settings, decoder, chunk)
                store.save(chunk, evidence)
        for chunk in pending.values():  # not one frame of it could be decoded
            missing += chunk.end - chunk.first
            _check_damage(missing, total, settings, decoder, chunk)
            store.save(chunk, ChunkObserver(decoder.info, settings, eyes.embedder).evidence())
        done += run[-1].end - run[0].first
    progress(total, total)
    return resumed


def _num_missing(chunk: Chunk, evidence: ChunkEvidence) -> int:
    return chunk.end - chunk.first - len(evidence.frame_index)


def _check_damage(missing: int, total: int, settings: AnalyzeSettings, decoder: Decoder, chunk: Chunk) -> None:
    if missing > settings.detection.max_corrupt * total:
        start = float((decoder.index.pts[chunk.first] - decoder.index.pts[0]) * decoder.info.time_base)
        raise CorruptVideoError(
            f"{decoder.info.path} is too damaged",
            got=f"{missing} of {total} frames that cannot be decoded, the last of them after {start:.1f} s",
            expected=f"at most {settings.detection.max_corrupt:.0%}",
            hint="repair the file, or raise --max-corrupt",
        )


@dataclass(frozen=True)
class Decision:
    """What stage 2 made of the evidence."""

    table: pa.Table
    persons: tuple[str, ...]
    shots: tuple[Shot, ...]
    suspects: tuple[Suspect, ...]


def decide(source: Source, evidence: Iterable[ChunkEvidence], settings: AnalyzeSettings) -> Decision:
    """Stage 2, over the whole video: shots -> pure tracklets -> chains -> persons -> gaps -> sides -> suspects.

    Raises:
        NoFaceError: Nobody is seen long enough.
    """
    times, pts = source.times_seconds(), source.index.pts
    shot_of_frame, chains, identity = find_persons(source, evidence, times, settings)
    num_persons = identity.num_persons
    if num_persons == 0:
        raise _no_face(source, evidence, settings)
    rows = Rows.of_chains(chains, identity.person)
    max_gap = settings.identity.max_gap_seconds
    filled = [fill_gaps(rows, p, times, shot_of_frame, max_gap) for p in range(num_persons)]
    rows = Rows.joined([rows, *filled])
    sides = assign_sides(rows, times, source.info.width, num_persons, settings)
    suspects = SuspectFinder(rows, pts, times, shot_of_frame).find(chains, identity)
    return Decision(
        to_table(rows, sides, pts, shot_of_frame), PERSONS[:num_persons], _shot_records(shot_of_frame, pts), suspects
    )


def find_persons(
    source: Source, evidence: Iterable[ChunkEvidence], times_seconds: NDArray[np.float64], settings: AnalyzeSettings
) -> tuple[NDArray[np.int32], list[Chain], Identity]:
    """Shots, who is seen in them, and which of those are the main persons.

    A small change of the picture is a cut only where nobody goes on, so it is decided once persons are known.

    Returns:
        ``(N,)`` int32 shot of every frame of the video, where a frame that was not decoded belongs to the shot before;
        the chains; and who they are.
    """
    decoded = np.concatenate([np.zeros(0, np.int32), *(e.frame_index for e in evidence)])
    changes, decoded_times = join_changes(evidence), times_seconds[decoded]
    cuts = find_cuts(decoded_times, changes, settings.shots, settings.shots.cut_level)
    doubtful = find_cuts(decoded_times, changes, settings.shots, settings.shots.doubtful_level)
    least_chain = min(MIN_CHAIN_FRAMES, len(times_seconds))
    least = min(len(times_seconds), round(settings.identity.min_presence_seconds * float(source.info.fps)))

    def persons_between(cuts: NDArray[np.intp]) -> tuple[NDArray[np.int32], list[Chain], Identity]:
        shot_of_frame = shot_numbers(len(times_seconds), decoded[cuts])
        tracklets = pure(join_evidence(evidence, times_seconds, shot_of_frame), decoded[doubtful])
        chains = link_chains(tracklets, settings.identity.max_join_seconds)
        identity = identify(
            chains, source.info.width, least, people=settings.identity.people,
            max_join_seconds=settings.identity.max_join_seconds,
        )  # fmt: skip
        kept = [i for i, c in enumerate(chains) if len(c) >= least_chain or identity.person[i] != OTHER]
        return shot_of_frame, [chains[i] for i in kept], identity.take(np.array(kept, np.intp))

    found = persons_between(cuts)
    rows = Rows.of_chains(found[1], found[2].person)
    parted = [c for c in np.setdiff1d(doubtful, cuts) if rows.nobody_goes_on(int(decoded[c - 1]), int(decoded[c]))]
    return persons_between(np.union1d(cuts, parted)) if parted else found


def assign_sides(
    rows: Rows, times_seconds: NDArray[np.float64], frame_width: int, num_persons: int, settings: AnalyzeSettings
) -> NDArray[np.int8]:
    """``(R,)`` int8 side of each row: 0 left, 1 right, -1 none."""
    main = rows.person != OTHER
    sides = np.full(len(rows), -1, np.int8)
    if settings.sides.assign == "identity":
        sides[main] = sides_by_identity(num_persons)[rows.person[main]]
        return sides
    x = np.full((len(PERSONS), len(times_seconds)), np.nan)
    x[rows.person[main], rows.frame_index[main]] = rows.boxes_xyxy[main][:, [0, 2]].mean(axis=1) / frame_width
    left = a_is_left(times_seconds, x[0], x[1], settings.sides)[rows.frame_index]
    sides[main] = (rows.person == 0)[main] != left[main]
    return sides


def describe(
    source: Source, decision: Decision, settings: AnalyzeSettings, device: DeviceChoice, notes: Sequence[str]
) -> TrackMetadata:
    """The metadata of the track file."""
    info, index = source.info, source.index
    duration = float((index.end_pts - int(index.pts[0])) * info.time_base)
    video = VideoRecord(
        source.sha256, info.width, info.height, info.rotation, len(index), info.time_base, info.fps,
        duration, int(index.pts[0]),
    )  # fmt: skip
    if len(decision.persons) == 1:
        notes = [*notes, "one person only in the whole video"]
    for note in notes:
        log.warning("%s", note)
    return TrackMetadata(
        video, decision.persons, {source.model.name: source.model.sha256}, as_values(settings),
        DeviceRecord(device.kind, device.why), VERSION, decision.shots, decision.suspects, tuple(notes),
    )  # fmt: skip


def damage(source: Source, evidence: Iterable[ChunkEvidence]) -> list[str]:
    """What is missing of the video, in words."""
    notes = [source.index.ended_early] if source.index.ended_early else []
    missing = len(source.index) - sum(len(e.frame_index) for e in evidence)
    if missing:
        notes.append(f"{missing} of {len(source.index)} frames could not be decoded")
    return notes


def fallbacks(evidence: Iterable[ChunkEvidence]) -> list[str]:
    """Where and why faces could not be embedded, in words."""
    failures = {str(e.embedder[3]): None for e in evidence}
    return [
        f"no face embeddings ({failure}): who is who is decided by place and motion alone"
        for failure in failures
        if failure
    ]


def _no_face(source: Source, evidence: Iterable[ChunkEvidence], settings: AnalyzeSettings) -> NoFaceError:
    faces = sum(len(e.scores) for e in evidence)
    return NoFaceError(
        f"no face to follow in {source.info.path}",
        got=f"{faces} detections in {len(source.index)} frames"
        if faces
        else f"no detection in {len(source.index)} frames",
        expected=f"somebody seen for {settings.identity.min_presence_seconds:g} s or more",
        hint="for small faces raise --detect-size, for unclear ones lower --birth-score and --high-score",
    )


def _shot_records(shot_of_frame: NDArray[np.int32], pts: NDArray[np.int64]) -> tuple[Shot, ...]:
    first = np.flatnonzero(np.diff(shot_of_frame, prepend=-1))
    last = np.append(first[1:], len(pts)) - 1
    return tuple(Shot(int(a), int(b), int(pts[a]), int(pts[b])) for a, b in zip(first, last, strict=True))


def _silent(done: int, total: int) -> None:
    """Report nothing."""
