"""What limits a batch on 10, 100 or 1,000 GPUs: its queue, simulated from what was measured on one.

    python -m dft.render.batch.simulation --help

prints a table; docs/scaling.md has some, and says what they mean.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, inf
from typing import Literal, get_args

import click

from ...analyze.parallel import FRAMES_WORTH_A_PROCESS
from .plan import STEPS, Step
from .queueing import Cluster, Leg, Legs, Stage, Work, simulate
from .work import TELL_SECONDS

Reading = Literal["direct", "copied", "ahead"]
Parts = Literal["whole", "fair"] | float

FPS = 25.0
MEDIAN_MINUTES, SIGMA, MOST_MINUTES = 30.0, 0.6, 240.0  # of the videos' lengths, which are lognormal
FILM_MINUTES = 120.0
LEG_SECONDS, MOST_LEGS = 60.0, 8  # so often is a stream's share of its node's link looked at anew


@dataclass(frozen=True)
class Rates:
    """What was measured; where it says nothing else, on an H100 with 16 cores ("On an H100", docs/benchmarks.md).

    Attributes:
        look_fps: Stage one on a GPU, 1080p, frames per second of all its streams (8 in 8 processes: 4,840).
        lone_fps: The most that one stream does of it (1 in 1 process, batches of 8: 665).
        render_fps: Rendering by the cores of a GPU, all streams: x264 veryfast, 61.5 on 16 cores. No NVENC was there.
        scan_seconds: Of a frame: 216,000 packets in 1.32 to 1.66 s of one core, on the machine of the CPU's benchmarks.
        decide_seconds: Of a frame: stage two took 8.4 s for 224,700 (docs/benchmarks.md, the CPU's).
        open_seconds: Of a task, to open video and networks: 24,000 frames took one process 38.7 s, less 24,000 / 665.
        start_seconds: Of a worker: half of the 14.4 s that seven took for these frames, all started at once.
        check_seconds: Of the batch for each video, before any work: its job 1.1 ms, its fingerprint 3.0 ms.
        chunk_frames: What is kept at a time: of the analysis, 20 s.
        segment_frames: And of the rendering, 10 s.
        stream_bandwidth: The most bytes per second that one process reads of a file; assumed, not measured.
        rendered_reads: How often a rendering reads its input: 106.9 MB of a file of 25.9.
        evidence_bytes: Of a frame, written and read again: 0.37 MB for 2,000 frames of two people.
        rendered_bytes: Of a frame, what a rendering writes, and reads of that: 107.7 and 176.3 MB for 2,000.
        analyze_operations: On file names, of a frame: 21 for a chunk of 500 (strace, of two videos the difference).
        render_operations: 85 for 500 frames.
        task_seconds: The scheduler's ``take`` and ``told``, with the fingerprint of a file: 3.2 ms on that machine.
        part_seconds: The same for a part of a video, whose fingerprint is known: 0.13 ms.
        note_seconds: A change of the batch's note, with fsync, on that machine: 0.09 to 0.2 ms on average while its
            disk has nothing else to do, 1.9 ms while tests write to it as well.
        note_video_seconds: What is added to it for each video of the batch: nothing (100, 1,000 and 10,000 videos).
        message_seconds: The scheduler's time for one of the 5 messages a second of each stream: 7 us.
    """

    look_fps: float = 4840.0
    lone_fps: float = 665.0
    render_fps: float = 61.5
    scan_seconds: float = 7e-6
    decide_seconds: float = 37e-6
    open_seconds: float = 2.6
    start_seconds: float = 7.0
    check_seconds: float = 4.1e-3
    chunk_frames: float = 500.0
    segment_frames: float = 250.0
    stream_bandwidth: float = 1e9
    rendered_reads: float = 4.1
    evidence_bytes: float = 370.0
    rendered_bytes: float = 142e3
    analyze_operations: float = 21 / 500
    render_operations: float = 85 / 500
    task_seconds: float = 3.2e-3
    part_seconds: float = 0.13e-3
    note_seconds: float = 1.9e-3
    note_video_seconds: float = 0.0
    message_seconds: float = 7e-6


@dataclass(frozen=True)
class Way:
    """How a batch goes about it.

    Attributes:
        steps: What is done with every video.
        parts: Longer videos are looked at in parts of so many minutes, all at once; or ``fair``: of what a stream has
            to look at if all have the same, so that no video takes longer than the batch; or ``whole``, in no parts.
        split_rendering: Rendered in such parts as well, which dft does not do.
        reading: A task reads its video from the shared storage whenever it needs it; or copies it to its node's own
            disk first; or finds it there, copied while the stream was at the video before.
    """

    steps: tuple[Step, ...] = STEPS
    parts: Parts = "whole"
    split_rendering: bool = False
    reading: Reading = "direct"


@dataclass(frozen=True)
class Video:
    """A file: how many frames, how many bytes."""

    num_frames: int
    num_bytes: float


def sample_videos(num: int, film_share: float, megabits: float, seed: int) -> list[Video]:
    """So many videos of lognormal lengths, of which a share are films of two hours; the same ones for the same seed."""
    draw = random.Random(seed)
    films = round(num * film_share)
    lengths = [min(MEDIAN_MINUTES * draw.lognormvariate(0.0, SIGMA), MOST_MINUTES) for _ in range(num - films)]
    return [Video(round(m * 60 * FPS), m * 60 * megabits / 8 * 1e6) for m in [FILM_MINUTES] * films + lengths]


class Planner:
    """What is to be done with videos, by streams of which so many share a GPU and its cores."""

    def __init__(self, rates: Rates, way: Way, cluster: Cluster, videos: Sequence[Video]):
        self._rates, self._way = rates, way
        self._legs = 1 if cluster.link == inf else MOST_LEGS
        fair = max(FRAMES_WORTH_A_PROCESS, sum(video.num_frames for video in videos) / cluster.streams)
        parts = way.parts
        self._part_frames = fair if parts == "fair" else inf if parts == "whole" else parts * 60 * FPS
        self._look = min(rates.lone_fps, rates.look_fps / cluster.streams_per_gpu)
        self._render = rates.render_fps / cluster.streams_per_gpu
        busy = min(0.9, cluster.streams * rates.message_seconds / TELL_SECONDS)
        self._slow = 1 / (1 - busy)
        self._note = rates.note_seconds + rates.note_video_seconds * len(videos)

    def ideal_seconds(self, video: Video) -> float:
        """Of a stream, if only frames took time."""
        fps = {"analyze": self._look, "render": self._render}
        return sum(video.num_frames / fps[step] for step in self._way.steps)

    def work(self, video: Video) -> Work:
        """The stages of a video."""
        stages = [stage for step in self._way.steps for stage in self._step(video, step)]
        return Work(tuple(stages), rank=video.num_bytes)

    def _step(self, video: Video, step: Step) -> list[Stage]:
        tasks = self._analysis(video) if step == "analyze" else self._rendering(video)
        costs = [self._rates.task_seconds, *[self._rates.part_seconds] * (len(tasks) - 1)]
        costs[0] += self._note / len(tasks[0])  # noted when the first one begins
        costs[-1] += self._note / len(tasks[-1])
        return [Stage(each, cost * self._slow) for each, cost in zip(tasks, costs, strict=True)]

    def _analysis(self, video: Video) -> list[tuple[Legs, ...]]:
        rates, parts = self._rates, self._num_parts(video)
        frames, evidence = video.num_frames, video.num_frames * rates.evidence_bytes / 2
        scan = (*self._open(video), self._leg(frames * rates.scan_seconds, self._read(video, 1)))
        decide = (self._leg(frames * rates.decide_seconds, evidence),)
        look = self._leg(
            frames / parts / self._look, (self._read(video, 1) + self._ahead(video) + evidence) / parts,
            rates.chunk_frames / self._look,
        )  # fmt: skip
        if parts == 1:
            return [((*scan, *self._cut(look), *decide),)]
        return [(scan,), ((*self._open(video), *self._cut(look)),) * parts, (decide,)]

    def _rendering(self, video: Video) -> list[tuple[Legs, ...]]:
        rates, parts = self._rates, self._num_parts(video) if self._way.split_rendering else 1
        frames = video.num_frames
        num_bytes = self._read(video, rates.rendered_reads) + self._ahead(video)
        encode = self._leg(
            frames / parts / self._render, (num_bytes + frames * rates.rendered_bytes) / parts,
            rates.segment_frames / self._render,
        )  # fmt: skip
        return [((*self._open(video), *self._cut(encode)),) * parts]

    def _open(self, video: Video) -> Legs:
        copy = (self._leg(0.0, video.num_bytes),) if self._way.reading == "copied" else ()
        return (*copy, Leg(self._rates.open_seconds))

    def _read(self, video: Video, times: float) -> float:
        return times * video.num_bytes if self._way.reading == "direct" else 0.0

    def _ahead(self, video: Video) -> float:
        return video.num_bytes if self._way.reading == "ahead" else 0.0

    def _leg(self, seconds: float, num_bytes: float, kept_seconds: float = inf) -> Leg:
        return Leg(max(seconds, num_bytes / self._rates.stream_bandwidth), num_bytes, kept_seconds)

    def _num_parts(self, video: Video) -> int:
        return max(1, ceil(video.num_frames / self._part_frames))

    def _cut(self, leg: Leg) -> Legs:
        num = min(self._legs, ceil(leg.seconds / LEG_SECONDS))
        return (replace(leg, seconds=leg.seconds / num, num_bytes=leg.num_bytes / num),) * num


def bounds(works: Sequence[Work], cluster: Cluster) -> dict[str, float]:
    """Seconds below which the work cannot be done, by what is in the way."""
    num_bytes = sum(work.num_bytes for work in works)
    seconds = {
        "streams": sum(work.seconds for work in works) / cluster.streams,
        "storage": num_bytes / cluster.storage,
        "links": num_bytes / (cluster.link * cluster.nodes),
        "scheduler": sum(work.scheduler_seconds for work in works),
        "longest video": max(work.shortest_seconds for work in works),
    }
    return {name: cluster.start_seconds + each for name, each in seconds.items()}


COLUMNS = ("GPUs", "parts", "time", "videos/hour", "of the ideal", "what binds", "storage needed", "file operations")
LOST_COLUMNS = ("nodes lost", "tasks begun again")
TINY = 1e-3  # of a rate by which something is divided, and of a part's minutes
DIVISORS = ("_fps", "_frames", "_bandwidth")


def row(videos: Sequence[Video], cluster: Cluster, rates: Rates, way: Way, seed: int) -> str:
    """A line of the table.

    What binds is the greatest of the bounds, with its share of the time; the storage that is needed, what would go
    through it if it bound nothing.
    """
    planner = Planner(rates, way, cluster, videos)
    works = [planner.work(video) for video in videos]
    outcome = simulate(works, cluster, seed)
    ideal = sum(planner.ideal_seconds(video) for video in videos) / cluster.streams
    limits = bounds(works, cluster)
    binding = max(limits, key=lambda name: limits[name])
    free = max(seconds for name, seconds in limits.items() if name not in ("storage", "links"))
    by_step = {"analyze": rates.analyze_operations, "render": rates.render_operations}
    operations = sum(video.num_frames for video in videos) * sum(by_step[step] for step in way.steps)
    cells = (
        f"{cluster.gpus:,}", way.parts if isinstance(way.parts, str) else f"{way.parts:g} min", _time(outcome.seconds),
        f"{3600 * len(videos) / outcome.seconds:,.0f}", f"{ideal / outcome.seconds:.2f}",
        f"{binding} {limits[binding] / outcome.seconds:.0%}", _bandwidth(sum(w.num_bytes for w in works) / free),
        f"{operations / outcome.seconds:,.0f}/s",
        *((f"{outcome.losses}", f"{outcome.again}") if cluster.losses_per_hour else ()),
    )  # fmt: skip
    return _line(cells)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _bandwidth(rate: float) -> str:
    return f"{rate / 1e9:,.1f} GB/s"


def _changed(_: click.Context, option: click.Parameter, given: Sequence[str]) -> Rates:
    names, changes = {each.name for each in fields(Rates)}, {}
    for text in given:
        name, value = text.partition("=")[::2]
        if name not in names:
            raise click.BadParameter(f"{name!r} is none of {', '.join(sorted(names))}", param=option)
        changes[name] = _number(value, option, at_least=TINY if name.endswith(DIVISORS) else 0.0)
    return replace(Rates(), **changes)


def _parts(_: click.Context, option: click.Parameter, given: Sequence[str]) -> list[Parts]:
    named: dict[str, Parts] = {"whole": "whole", "fair": "fair"}
    return [named.get(text) or _number(text, option, at_least=TINY) for text in given]


def _number(text: str, option: click.Parameter, at_least: float) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no number", param=option) from error
    if not at_least <= number < inf:
        raise click.BadParameter(f"{text!r} is not {at_least:g} or more", param=option)
    return number


@click.command()
@click.option("--gpus", type=click.IntRange(1), multiple=True, default=(10, 100, 1000), show_default=True)
@click.option("--videos", "num", type=click.IntRange(1), default=10_000, show_default=True, help="All there at once.")
@click.option("--films", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="Share of two hours.")
@click.option("--megabits", type=click.FloatRange(0), default=8.0, show_default=True, help="Per second of video.")
@click.option("--only", type=click.Choice(STEPS), help="One pass.")
@click.option(
    "--parts", "ways", metavar="whole|fair|MINUTES", callback=_parts, multiple=True, default=("whole", "fair"),
    show_default=True, help="Into which long videos are split for the analysis.",
)  # fmt: skip
@click.option("--split-rendering", is_flag=True, help="Render in parts too.")
@click.option(
    "--reading", type=click.Choice(get_args(Reading)), default="direct", show_default=True,
    help="From the shared storage, or a copy on the node, made first or while the video before is worked on.",
)  # fmt: skip
@click.option("--streams", type=click.IntRange(1), default=8, show_default=True, help="Of a GPU.")
@click.option("--storage", type=click.FloatRange(0, min_open=True), default=inf, help="GB/s for all.  [no limit]")
@click.option("--link", type=click.FloatRange(0, min_open=True), default=inf, help="GB/s for a node of 8.  [no limit]")
@click.option("--losses", type=click.FloatRange(0), default=0.0, help="Of a node, in an hour.  [none]")
@click.option("--rate", "rates", multiple=True, callback=_changed, metavar="NAME=NUMBER", help="Instead of a default.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(  # noqa: PLR0913, PLR0917 - click hands every option over as an argument
    gpus: Sequence[int], num: int, films: float, megabits: float, only: Step | None, ways: Sequence[Parts],
    split_rendering: bool, reading: Reading, streams: int, storage: float, link: float, losses: float, rates: Rates,
    seed: int,
) -> None:  # fmt: skip
    """Simulate a batch on many GPUs, and say how long it takes and what binds, as a table."""
    videos = sample_videos(num, films, megabits, seed)
    steps = tuple(step for step in STEPS if only in (None, step))
    columns = (*COLUMNS, *LOST_COLUMNS) if losses else COLUMNS
    click.echo(_line(columns))
    click.echo(_line(["---"] * len(columns)))
    for each in gpus:
        cluster = Cluster(
            each, streams_per_gpu=streams, storage=storage * 1e9, link=link * 1e9,
            start_seconds=rates.start_seconds + num * rates.check_seconds, losses_per_hour=losses,
        )  # fmt: skip
        for parts in ways:
            way = Way(steps, parts, split_rendering, reading)
            click.echo(row(videos, cluster, rates, way, seed))


if __name__ == "__main__":
    main()
