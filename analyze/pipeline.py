"""Pass one from file to file: ``in.mp4`` -> ``in.tracks.parquet``; and its second stage alone, from kept evidence."""

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..configs.analysis import STAGE_TWO, AnalyzeSettings
from ..configs.errors import EvidenceError, NoFaceError, SettingError
from ..configs.settings import all_settings, build
from ..engines.devices import choose_device, open_decoder
from ..engines.probe import check_times, probe, scan, time_notes
from ..engines.protocols import VideoInfo
from ..engines.weights import find_model
from ..trackio.atomic import check_output
from ..trackio.files import default_tracks_path, read_tracks, write_tracks
from ..trackio.fingerprint import fingerprint
from .chunks import Chunk, plan_chunks
from .evidence import EvidenceStore, FinishedChunks
from .parallel import Helpers, Looked, Task, num_helpers, num_processes, observe_in_processes
from .report import AnalysisReport, describe, notes_on
from .source import Source
from .stage_one import Progress, observe, open_eyes
from .stage_two import decide


def analyze(  # noqa: PLR0913 - the public call, with what plugs in
    video: str | Path,
    output: str | Path | None = None,
    *,
    settings: AnalyzeSettings | None = None,
    overwrite: bool = False,
    keep_evidence: bool = False,
    progress: Progress | None = None,
    helpers: Helpers | None = None,
) -> AnalysisReport:
    """Find the main people in every frame of ``video`` and decide who is left and right.

    Args:
        video: Any file that FFmpeg can open.
        output: Track file; beside the video, ``in.tracks.parquet``, if not given.
        settings: See ``docs/settings.md``.
        overwrite: Whether an existing track file may be replaced.
        keep_evidence: Keep what was seen beside the track file, in ``in.tracks.evidence``, for :func:`reidentify`.
        progress: Called with the frames done and the frames in all.
        helpers: Other machines that look at parts of it; what is seen is the same.

    Raises:
        VideoError: The video cannot be read, is too damaged, or shows no face.
        SettingError: A person was named where nobody is.
        OutputError: The track file cannot be written.
        EngineError: Device, library or model is not as needed. An embedder that fails is noted, and not raised.
    """
    started = time.perf_counter()
    video, settings = Path(video), settings or AnalyzeSettings()
    output = Path(output) if output is not None else default_tracks_path(video)
    device = choose_device(settings.runtime.device)
    info, index, detector = probe(video), scan(video), find_model(settings.detection.detector)
    check_output(output, overwrite=overwrite, inputs=[video])
    check_times(video, index, settings.detection.max_corrupt)
    source = Source.of(info, index, fingerprint(video), detector, device)
    chunks = plan_chunks(index, source.time_base, settings.chunks.chunk_seconds)
    store = EvidenceStore(output.with_name(f".{output.name}.chunks"), source.evidence_key(settings))
    task = Task(video, index, device, settings, store, tuple(chunk.first for chunk in chunks))
    num = num_processes(settings, device, index)
    look = _look_here if num == 1 else partial(observe_in_processes, num=num)
    if num_helpers(helpers, index, info):
        store.make()
        source.save(store.folder, chunks)
        look = partial(observe_in_processes, num=num, helpers=helpers)
    looked = look(task, info, chunks, progress=progress or _silent)
    evidence = store.finished(chunks)
    try:
        report = _finish(source, evidence, settings, output, overwrite)
    except NoFaceError:
        store.remove()  # there is nothing to go on with
        raise
    if keep_evidence:
        source.save(store.folder, chunks)
        _replace_folder(store.folder, evidence_folder(output))
    else:
        store.remove()
    report = replace(report, recovered=(*report.recovered, *looked.recovered))
    return report.timed(time.perf_counter() - started, looked.resumed, looked.embedding_seconds)


def reidentify(
    tracks: str | Path,
    output: str | Path | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    evidence: str | Path | None = None,
    overwrite: bool = False,
) -> AnalysisReport:
    """Decide anew who is who, from the evidence that ``analyze(..., keep_evidence=True)`` kept: without decoding.

    Args:
        tracks: Track file of that analysis.
        output: New track file; ``tracks`` itself if not given, which needs ``overwrite``.
        changes: Settings that are to differ from those of ``tracks``, by name; of ``STAGE_TWO``.
        evidence: Folder of the evidence, if it does not lie beside ``tracks``.
        overwrite: Whether an existing track file may be replaced.

    Raises:
        TrackFileError: ``tracks`` cannot be used.
        EvidenceError: There is no evidence, or it is damaged or of another video.
        SettingError: A change needs decoding, or cannot be, or a person was named where nobody is.
        NoFaceError: Nobody is seen long enough.
        OutputError: The new track file cannot be written.
    """
    started = time.perf_counter()
    if seen := sorted(set(changes or {}) - set(STAGE_TWO)):
        raise SettingError(
            f"setting {seen[0]} was decided when the video was looked at", expected=f"one of {', '.join(STAGE_TWO)}",
            hint="run dft analyze again",
        )  # fmt: skip
    tracks = Path(tracks)
    output = Path(output) if output is not None else tracks
    metadata = read_tracks(tracks).metadata
    check_output(output, overwrite=overwrite)
    folder = Path(evidence) if evidence is not None else evidence_folder(tracks)
    source, chunks = Source.load(folder)
    if source.sha256 != metadata.video.sha256:
        raise EvidenceError(
            f"evidence in {folder} is of another video", got=source.path, expected=f"the video of {tracks}",
            hint="run dft analyze with --keep-evidence again",
        )  # fmt: skip
    known = all_settings(AnalyzeSettings)
    recorded = {name: value for name, value in metadata.settings.items() if name in known}
    settings = build(AnalyzeSettings, {**recorded, **(changes or {})})
    finished = FinishedChunks(EvidenceStore.opened(folder), tuple(chunks))
    report = _finish(source, finished.checked(), settings, output, overwrite)
    return report.timed(time.perf_counter() - started, len(source.index), 0.0)


def evidence_folder(tracks: Path) -> Path:
    """Where the evidence of track file ``tracks`` is kept: ``in.tracks.parquet`` -> ``in.tracks.evidence``."""
    return tracks.with_suffix(".evidence")


def _look_here(task: Task, info: VideoInfo, chunks: Sequence[Chunk], progress: Progress) -> Looked:
    """Stage 1 in this process; see :func:`dft.analyze.parallel.observe_in_processes`."""
    with ExitStack() as opened:
        decoder = opened.enter_context(
            open_decoder(info.path, task.device, task.settings.runtime.threads, index=task.index, seams=task.seams)
        )
        eyes = open_eyes(decoder, task.device, task.settings, opened)
        resumed = observe([eyes], chunks, task.store, task.settings, progress)
        return Looked(resumed, eyes.embedder.seconds)


def _finish(
    source: Source, evidence: FinishedChunks, settings: AnalyzeSettings, output: Path, overwrite: bool
) -> AnalysisReport:
    """Stage 2, and the track file."""
    decision = decide(source, evidence, settings)
    notes = [*time_notes(source.index), *notes_on(source, evidence)]
    metadata = describe(source, decision, settings, evidence, notes)
    write_tracks(output, decision.table, metadata, overwrite=overwrite)
    return AnalysisReport.of(output, metadata, evidence)


def _replace_folder(made: Path, final: Path) -> None:
    """Give ``made`` its final name, in place of an older one."""
    older = final.with_name(f".{final.name}.old")
    shutil.rmtree(older, ignore_errors=True)
    if final.exists():
        final.rename(older)
    made.rename(final)
    shutil.rmtree(older, ignore_errors=True)


def _silent(done: int, total: int) -> None:
    """Report nothing."""
