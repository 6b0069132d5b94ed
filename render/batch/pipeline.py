"""Many videos at once: what is meant, what is to do, the steps of each in worker processes, and the report."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...analyze.pipeline import analyze
from ...configs.errors import SettingError, VideoError
from ...configs.hardware import num_cores
from ...engines.devices import choose_device
from ..pipeline import render
from .inputs import find_inputs, settings_by_name
from .leftovers import remove_leftovers
from .live import watched
from .local import Crew
from .page import page_of
from .plan import BatchOptions, Job, Values, check_space, make_folder, make_jobs, num_streams
from .report import BatchReport, Run, report_on, write_report
from .schedule import Schedule
from .sheet import read_stills
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
        DftError: The inputs or the output folder are not right, before any work; or the state cannot be written.
        KeyboardInterrupt: It was interrupted; the report is written all the same.
    """
    values, options = values or Values({}, {}), options or BatchOptions()
    given, output = [Path(path) for path in given], Path(output)
    inputs = find_inputs(given, output)
    if not inputs.entries:
        raise SettingError("no video is given", expected="files, folders or manifests")
    device = choose_device(values.analysis.get("device") or settings_by_name()["device"].default)
    streams = num_streams(options, device, len(inputs.entries))
    threads = max(1, num_cores() // streams)
    jobs = make_jobs(inputs.entries, output, values, threads if streams > 1 else None)
    make_folder(output)
    with locked(output / FOLDER):
        state = BatchState(output)
        remove_leftovers(jobs)
        check_space(_undone(jobs, state, options), output)
        begun, interrupted = time.perf_counter(), False
        with watched(quiet=quiet) as view:
            schedule = Schedule(jobs, state, options, view)
            try:
                with Crew(streams, Workplace(passes, state.folder, threads), schedule, options.stall_seconds) as crew:
                    crew.work()
            except KeyboardInterrupt:
                interrupted = True
        seconds = time.perf_counter() - begun
        run = Run(streams, device.kind, seconds, schedule.stopped, interrupted, inputs.ignored)
        report = report_on(schedule.records, options, run)
        stills = {job.name: read_stills(state.stills(job)) for job in jobs if "render" in options.steps}
        write_report(report, page_of(report, stills), output)
    if interrupted:
        raise KeyboardInterrupt
    return report


def _undone(jobs: Sequence[Job], state: BatchState, options: BatchOptions) -> list[Job]:
    """The jobs that are to be rendered; all are checked for what they would replace."""
    undone = []
    for job in jobs:
        for step in options.steps:
            with suppress(VideoError):  # told when its turn comes: the others go on
                if state.is_done(job, step, step_key(job, step)):
                    continue
            state.check_replaceable(job, step, overwrite=options.overwrite)
            if step == "render":
                undone.append(job)
    return undone
