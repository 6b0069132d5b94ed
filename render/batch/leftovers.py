"""What processes that were killed have left beside the results."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..qc import report_path
from .plan import STEPS, Job
from .reporting.report import PAGE_NAME, REPORT_NAME
from .state import FOLDER, NAME

# see dft.trackio.atomic.atomic_output
_UNFINISHED = re.compile(r"\.(?P<stem>.+)\.partial-\d+-\d+\.\w+")
_STEM_LENGTH = 40


def remove_leftovers(jobs: Iterable[Job], output: Path) -> None:
    """Remove unfinished files of the jobs' results, and of the batch's own; nobody may be at work on them.

    Finished chunks and segments stay: the passes go on from them.
    """
    stems = {output: {Path(REPORT_NAME).stem, Path(PAGE_NAME).stem}, output / FOLDER: {Path(NAME).stem}}
    for job in jobs:
        for step in STEPS:
            for result in job.results(step):
                names = result.stem, report_path(result).stem
                stems.setdefault(result.parent, set()).update(name[:_STEM_LENGTH] for name in names)
    for folder, known in stems.items():
        for path in folder.glob(".*.partial-*"):
            match = _UNFINISHED.fullmatch(path.name)
            if match is not None and match["stem"] in known:
                with suppress(OSError):
                    path.unlink()
