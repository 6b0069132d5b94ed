"""Many videos at once: what is meant, what is to do, the steps of each in worker processes, and the report."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from ...analyze.pipeline import analyze
from ...configs.errors import DftError, EngineError, OutputError, SettingError, TrackFileError, VideoError
from ...trackio.atomic import translate_os_error
from ..pipeline import render
from .crews.engine import Engine, LocalEngine
from .inputs import find_inputs
from .leftovers import remove_leftovers
from .manifest import settings_by_name
from .plan import BatchOptions, Job, Values, check_settings, check_space, make_folder, make_jobs, sharing_bitrate
from .reporting.live import watched
from .reporting.page import page_of
from .reporting.report import BatchReport, Run, check_report, report_on, write_report
from .reporting.sheet import read_stills
from .schedule import Schedule
from .state import FOLDER, BatchState, locked, step_key
from .work import Passes, Workplace

PASSES = Passes(analyze, render)


def batch(
    given: Sequence[Path],
    output: Path,
    *,
    values: Values | None = None,
    options: BatchOptions | None = None,
    quiet: bool = True,
    passes: Passes = PASSES,
) -> BatchReport:
    """Analyze and render many videos, several at once; what fails does not stop the others.

    What an earlier run into the same folder has finished is skipped, what it has begun goes on, and what failed is
    tried again. The report lies in the folder too, as ``batch.json`` and ``batch.html``.

    Args:
        given: Files, folders, and manifests (``.csv``).
        output: The folder of the results; made if it is not there.
        values: Settings of both passes.
        options: How it is run.
        quiet: Show nothing on stderr.
        passes: What does the work.

    Raises:
        DftError: The inputs or the output folder are not right, before any work.
        OutputError: The state cannot be written; the report is, if there is room for it.
        EngineError: No GPU, or no node of a cluster, is left; the report is written.
        KeyboardInterrupt: It was interrupted; the report is written all the same.
    """
    values, options = values or Values({}, {}), options or BatchOptions()
    given, output = [Path(path) for path in given], Path(output)
    if options.engine == "ray":  # other machines have other working folders
        given, output = [path.absolute() for path in given], output.absolute()
    inputs = find_inputs(given, output)
    if not inputs.entries:
        raise SettingError("no video is given", expected="files, folders or manifests")
    with _engine(values, options, [entry.video for entry in inputs.entries]) as engine:
        engine.admission.log()
        jobs = engine.prepared(make_jobs(inputs.entries, output, values, engine.job_threads))
        check_settings(jobs, options)
        if options.share_bitrate:
            jobs = sharing_bitrate(jobs, engine.admission.num_renderings)
        make_folder(output)
        if not options.overwrite:
            check_report(output)
        with locked(output / FOLDER):
            state = BatchState(output)
            state.compact()
            remove_leftovers(jobs, output)
            check_space(_undone(jobs, state, options), output)
            engine.check(jobs, state.folder)
            begun, halted = time.perf_counter(), None
            with watched(quiet=quiet) as view:
                schedule = Schedule(jobs, state, options, view, engine.admission.num_encoders)
                try:
                    with engine.crew(Workplace(passes, state.folder), schedule) as crew:
                        crew.work()
                except (KeyboardInterrupt, OutputError, EngineError) as error:
                    halted = error
            seconds = time.perf_counter() - begun
            run = Run(engine.admission, engine.kind, seconds, schedule.stopped, halted is not None, inputs.ignored)
            report = report_on(schedule.records, run)
            rendered = [record.job for record in schedule.records if "render" in record.notes]
            stills = {job.name: read_stills(state.stills(job)) for job in rendered}
            with suppress(OutputError) if halted is not None else nullcontext():
                write_report(report, page_of(report, stills), output)
    if halted is not None:
        raise halted
    return report


def _engine(values: Values, options: BatchOptions, videos: Sequence[Path]) -> AbstractContextManager[Engine]:
    device = values.analysis.get("device") or settings_by_name()["device"].default
    if options.engine == "ray":
        from .crews.cluster import on_cluster

        return on_cluster(device, options, len(videos))
    return nullcontext(LocalEngine.of(device, options, videos))


def _undone(jobs: Sequence[Job], state: BatchState, options: BatchOptions) -> list[Job]:
    """The jobs that are to be rendered; all are checked for what they would replace."""
    undone = []
    try:
        for job in jobs:
            for step in options.steps:
                with suppress(VideoError, TrackFileError):  # told when its turn comes: the others go on
                    if state.is_done(job, step, step_key(job, step)):
                        continue
                state.check_replaceable(job, step, overwrite=options.overwrite)
                if step == "render":
                    undone.append(job)
    except DftError:
        raise
    except OSError as error:  # of a folder that cannot be looked into
        raise translate_os_error(error, Path(error.filename or job.output)) from error
    return undone
