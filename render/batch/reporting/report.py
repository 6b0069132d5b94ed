"""What became of a batch: for programs, for people, and the page with stills."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ....configs.console import count
from ....configs.errors import OutputError, OutputExistsError
from ....trackio.atomic import atomic_output
from ..admission import Admission
from ..faults import Fault, is_degraded
from ..schedule import Record, Status
from ..work import Made
from .live import per_hour

PROFILE = "dft_batch 1.0"
REPORT_NAME, PAGE_NAME = "batch.json", "batch.html"

Outcome = Literal["done", "skipped", "failed", "left"]
Verdict = Literal["ok", "degraded", "stopped", "interrupted"]
OUTCOMES: dict[Status, Outcome] = {
    "waiting": "left", "running": "left", "done": "done", "skipped": "skipped", "failed": "failed",
}  # fmt: skip


@dataclass(frozen=True)
class VideoReport:
    """What became of one video.

    Attributes:
        video: The file.
        name: Of its results.
        outcome: ``done`` in this run, ``skipped`` as it was done before, ``failed``, or ``left`` for the next run.
        results: What was made, in this run or before, and is as it should be now.
        stages: By step: frames, how many of them were resumed, seconds, frames per second, tries.
        faults: What went wrong: stage, kind, cause, answer.
        notes: What a reader should know.
    """

    video: Path
    name: str
    outcome: Outcome
    results: tuple[Path, ...]
    stages: dict[str, dict[str, float]]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, record: Record) -> "VideoReport":
        """What a record says at the end."""
        job = record.job
        results = tuple(path for step in record.notes for path in job.results(step))
        stages: dict[str, dict[str, float]] = {
            step: _stage(made, record.tries[step]) for step, made in record.made.items()
        }
        notes = tuple(dict.fromkeys(note for notes in record.notes.values() for note in notes))
        return cls(job.video, job.name, OUTCOMES[record.status], results, stages, tuple(record.faults), notes)


def _stage(made: Made, tries: int) -> dict[str, float]:
    fps = round((made.frames - made.resumed) / made.seconds, 2)
    seconds = round(made.seconds, 3)
    return {"frames": made.frames, "resumed": made.resumed, "seconds": seconds, "fps": fps, "tries": tries}


@dataclass(frozen=True)
class BatchReport:
    """What became of a batch.

    Attributes:
        verdict: ``ok``; ``degraded``, above 5 % failures; ``stopped``, above 50 %; or ``interrupted``.
        streams: Videos at once.
        why: What decided their number, and what would have allowed more.
        device: Where they were worked on.
        seconds: Wall-clock time of the run.
        videos_per_hour: Done in this run per hour of it.
        failure_rate: Failed videos by those that were brought to an end, in this run or before, 0..1.
        recovery_rate: Videos that are done although something went wrong, by all with which something did; None if
            nothing went wrong.
        videos: In the order in which they were to be begun.
        ignored: Files in the input folders that are no videos by their names, or are dft's own renderings.
    """

    verdict: Verdict
    streams: int
    why: str
    device: str
    seconds: float
    videos_per_hour: float
    failure_rate: float
    recovery_rate: float | None
    videos: tuple[VideoReport, ...]
    ignored: tuple[Path, ...]

    def num(self, outcome: Outcome) -> int:
        """How many videos had this outcome."""
        return sum(video.outcome == outcome for video in self.videos)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        outcomes: tuple[Outcome, ...] = ("done", "skipped", "failed", "left")
        counts: dict[str, int] = {outcome: self.num(outcome) for outcome in outcomes}
        document: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return {"profile": PROFILE, **counts, **document}

    @property
    def rates(self) -> str:
        """How many failed, and how many came to a good end though something went wrong."""
        if self.recovery_rate is None:
            return "nothing went wrong"
        return f"failure rate {self.failure_rate:.0%}, recovery rate {self.recovery_rate:.0%}"

    def as_text(self) -> str:
        """A line for people, and one for each thing that went wrong, those of videos that failed first."""
        head = (
            f"{count(self.num('done'), 'video')} done, {self.num('skipped')} done before, {self.num('failed')} failed, "
            f"{self.num('left')} left, in {self.seconds:.1f} s ({self.videos_per_hour:.1f} videos/hour)"
        )
        verdict = {
            "ok": [],
            "degraded": [f"DEGRADED: {self.failure_rate:.0%} failed"],
            "stopped": [f"STOPPED: {self.failure_rate:.0%} failed; --keep-going goes on all the same"],
            "interrupted": ["interrupted: the same command goes on"],
        }[self.verdict]
        failed_first = sorted(self.videos, key=lambda video: video.outcome != "failed")
        faults = [f"{v.name}: {fault.words}" for v in failed_first for fault in v.faults]
        return "\n".join([head, *verdict, *([self.rates] if faults else []), *faults])


@dataclass(frozen=True)
class Run:
    """How a batch was run.

    Attributes:
        admission: How many videos were at once, and why.
        device: Where they were worked on.
        seconds: Wall-clock time.
        stopped: Whether it stopped by itself.
        interrupted: Whether it was interrupted.
        ignored: Files that are no videos.
    """

    admission: Admission
    device: str
    seconds: float
    stopped: bool
    interrupted: bool
    ignored: tuple[Path, ...]


def report_on(records: Sequence[Record], run: Run) -> BatchReport:
    """The report on a run."""
    videos = tuple(map(VideoReport.of, records))
    failed = sum(video.outcome == "failed" for video in videos)
    through = sum(video.outcome != "left" for video in videos)
    faulty = [video for video in videos if video.faults]
    recovered = sum(video.outcome == "done" for video in faulty)
    verdict: Verdict = "degraded" if is_degraded(failed, through) else "ok"
    if run.stopped or run.interrupted:
        verdict = "interrupted" if run.interrupted else "stopped"
    return BatchReport(
        verdict, run.admission.streams, run.admission.why, run.device,
        round(run.seconds, 3), round(per_hour(records, run.seconds), 2),
        round(failed / through, 4) if failed else 0.0,
        round(recovered / len(faulty), 4) if faulty else None, videos, run.ignored,
    )  # fmt: skip


def check_report(folder: Path) -> None:
    """Make sure that a report in the output folder is one of ours, which may be replaced.

    Raises:
        OutputExistsError: It is somebody else's.
        OutputError: It cannot be read.
    """
    report, page = folder / REPORT_NAME, folder / PAGE_NAME
    try:
        ours = report.exists() and str(json.loads(report.read_bytes())["profile"]).startswith(
            PROFILE.split(maxsplit=1)[0]
        )
    except OSError as error:
        raise OutputError(f"cannot read {report}", got=error.strerror, hint="check its rights, or remove it") from error
    except (ValueError, KeyError, TypeError):
        ours = False
    if not ours and (others := [path for path in (report, page) if path.exists()]):
        raise OutputExistsError(
            f"{others[0]} is no report of dft batch",
            hint="move it, choose another folder, or allow replacing it with --overwrite",
        )


def write_report(report: BatchReport, page: str, folder: Path) -> None:
    """Write the report and the page into the output folder, in place of those of an earlier run.

    Raises:
        OutputError: They cannot be written.
    """
    with atomic_output(folder / REPORT_NAME, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(report.as_dict(), indent=1), encoding="utf-8")
    with atomic_output(folder / PAGE_NAME, overwrite=True) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
