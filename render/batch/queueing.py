"""A batch's queue on many machines as a discrete-event simulation; knows no videos, only work.

A video is a chain of stages, a stage is one task or several at once, and a task is a row of legs: so many seconds of a
stream's time, and so many bytes of the shared storage meanwhile. Streams take tasks from one queue in the order of
:class:`dft.render.batch.schedule.Schedule`, from one scheduler that hands out one at a time. Storage is shared in
proportion to what each leg could use. The loop is this module's own: a library for discrete events, such as SimPy, has
no bandwidth that is shared, and its two clocks would have to be written all the same.
"""

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, inf

Legs = tuple["Leg", ...]


@dataclass(frozen=True, slots=True)
class Leg:
    """A piece of work.

    Attributes:
        seconds: Of a stream, if nothing has to wait for the storage.
        num_bytes: Read from and written to the shared storage meanwhile, evenly.
        kept_seconds: Of its work, so much at a time is finished for good: what a stream that is lost need not have done
            in vain.
    """

    seconds: float
    num_bytes: float = 0.0
    kept_seconds: float = inf


@dataclass(frozen=True)
class Stage:
    """Tasks that can be done at once.

    Attributes:
        tasks: The legs of each, in order.
        scheduler_seconds: The scheduler's time for each, to hand it out and to note its end.
    """

    tasks: tuple[Legs, ...]
    scheduler_seconds: float = 0.0


@dataclass(frozen=True)
class Work:
    """What is to be done with a video.

    Attributes:
        stages: One after another.
        rank: The highest comes first; the size of the file, in a batch.
        arrival_seconds: When the video is there.
    """

    stages: tuple[Stage, ...]
    rank: float = 0.0
    arrival_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Of streams, over all tasks."""
        return sum(leg.seconds for leg in self._legs())

    @property
    def num_bytes(self) -> float:
        """Of the shared storage."""
        return sum(leg.num_bytes for leg in self._legs())

    @property
    def scheduler_seconds(self) -> float:
        """Of the scheduler."""
        return sum(len(stage.tasks) * stage.scheduler_seconds for stage in self.stages)

    @property
    def shortest_seconds(self) -> float:
        """It cannot be done in less, with any number of streams."""
        return sum(max(sum(leg.seconds for leg in legs) for legs in stage.tasks) for stage in self.stages)

    def _legs(self) -> Iterator[Leg]:
        return (leg for stage in self.stages for legs in stage.tasks for leg in legs)


@dataclass(frozen=True)
class Cluster:
    """The machines.

    Attributes:
        gpus: Of all nodes.
        gpus_per_node: Of each node.
        streams_per_gpu: Worker processes, each with one task at a time.
        storage: Bytes per second that the shared storage gives to all.
        link: Bytes per second that one node can have of it.
        start_seconds: Until a new worker process takes its first task.
        losses_per_hour: How often a node is lost.
        repair_seconds: Until it is there again.
    """

    gpus: int
    gpus_per_node: int = 8
    streams_per_gpu: int = 8
    storage: float = inf
    link: float = inf
    start_seconds: float = 0.0
    losses_per_hour: float = 0.0
    repair_seconds: float = 600.0

    @property
    def nodes(self) -> int:
        """As many as are needed; the streams are spread over them evenly."""
        return ceil(self.gpus / self.gpus_per_node)

    @property
    def streams(self) -> int:
        """Of all nodes."""
        return self.gpus * self.streams_per_gpu


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        seconds: Until the last video was through.
        begun: Numbers of video and stage, whenever a task was begun, in order.
        ended: By video, how often its last stage was ended: once, if all is well.
        waits: By video, seconds from its arrival until its first task was begun.
        num_bytes: What went through the storage.
        losses: Nodes that were lost.
        again: Tasks that had to be begun again.
    """

    seconds: float = 0.0
    begun: list[tuple[int, int]] = field(default_factory=list)
    ended: dict[int, int] = field(default_factory=dict)
    waits: dict[int, float] = field(default_factory=dict)
    num_bytes: float = 0.0
    losses: int = 0
    again: int = 0


@dataclass(slots=True)
class _Task:
    """One that waits or runs: the legs that are left of it."""

    video: int
    stage: int
    legs: list[Leg]


@dataclass(slots=True)
class _Running:
    """What a stream does: when its leg began, and how long it takes, by its clock; bytes a second that it wants."""

    task: _Task
    begun: float = 0.0
    length: float = inf
    rate: float = 0.0


def simulate(works: Sequence[Work], cluster: Cluster, seed: int = 0) -> Outcome:
    """Let a cluster do all the work, and say how it went; the same seed gives the same outcome."""
    return _Simulation(works, cluster, seed).run()


class _Simulation:
    """The events to come, in order of time.

    Legs that use the storage go by a clock of their own, which goes slower the more they want beyond what there is: so
    each of them gets the same share of what it wants, and none must be thought of again when another one begins.
    """

    def __init__(self, works: Sequence[Work], cluster: Cluster, seed: int):
        self._works, self._cluster, self._random = works, cluster, random.Random(seed)
        self._nodes = cluster.nodes
        self._now = self._clock = self._wanted = self._scheduler = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._reading: list[tuple[float, int, Callable[[], None]]] = []  # by the storage's clock
        self._number = 0
        self._waiting: list[tuple[bool, float, int, int, _Task]] = []
        self._idle: list[tuple[int, int]] = []
        self._running: dict[int, _Running] = {}
        self._lives = [0] * cluster.streams  # a stream's events of an earlier life are void
        self._wanted_of = [0.0] * cluster.nodes
        self._missing = [[len(stage.tasks) for stage in work.stages] for work in works]
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Until every video is through."""
        for stream in range(self._cluster.streams):
            self._at(self._cluster.start_seconds, partial(self._free, stream, 0))
        for video, work in enumerate(self._works):
            self._at(work.arrival_seconds, partial(self._queue, video, 0))
        for node in range(self._nodes):
            self._at(self._next_loss(), partial(self._lose, node))
        while len(self._outcome.ended) < len(self._works):
            self._step()
            while self._idle and self._waiting:
                self._hand_out()
        self._outcome.seconds = self._now
        return self._outcome

    def _step(self) -> None:
        slowness = max(1.0, self._wanted / self._cluster.storage)
        by_clock = self._now + (self._reading[0][0] - self._clock) * slowness if self._reading else inf
        reads = by_clock <= (self._events[0][0] if self._events else inf)
        then, _, act = heapq.heappop(self._reading if reads else self._events)
        now = max(by_clock if reads else then, self._now)
        self._clock = then if reads else self._clock + (now - self._now) / slowness
        self._now = now
        act()

    def _at(self, seconds: float, act: Callable[[], None], *, reading: bool = False) -> None:
        self._number += 1
        if seconds < inf:
            heapq.heappush(self._reading if reading else self._events, (seconds, self._number, act))

    def _queue(self, video: int, stage: int) -> None:
        for legs in self._works[video].stages[stage].tasks:
            self._put(_Task(video, stage, list(legs)), begun=stage > 0)

    def _put(self, task: _Task, *, begun: bool) -> None:
        self._number += 1
        heapq.heappush(self._waiting, (not begun, -self._works[task.video].rank, task.video, self._number, task))

    def _free(self, stream: int, life: int) -> None:
        if life == self._lives[stream]:
            heapq.heappush(self._idle, (stream, life))

    def _hand_out(self) -> None:
        stream, life = heapq.heappop(self._idle)
        if life != self._lives[stream]:
            return
        task = heapq.heappop(self._waiting)[-1]
        work = self._works[task.video]
        self._scheduler = max(self._scheduler, self._now) + work.stages[task.stage].scheduler_seconds
        self._outcome.begun.append((task.video, task.stage))
        self._outcome.waits.setdefault(task.video, self._now - work.arrival_seconds)
        self._running[stream] = _Running(task)
        self._at(self._scheduler, partial(self._begin, stream, life))

    def _begin(self, stream: int, life: int) -> None:
        if life != self._lives[stream]:
            return
        running, node = self._running[stream], stream % self._nodes
        leg = running.task.legs[0]
        wanted = leg.num_bytes / leg.seconds if leg.num_bytes else 0.0
        # of the node's link, a leg's share is what it is when it begins
        running.length = leg.seconds * max(1.0, (self._wanted_of[node] + wanted) / self._cluster.link)
        running.rate = leg.num_bytes / running.length if leg.num_bytes else 0.0
        running.begun = self._clock if running.rate else self._now
        self._want(node, running.rate)
        end = partial(self._end, stream, life)
        self._at(running.begun + running.length, end, reading=running.rate > 0)

    def _want(self, node: int, rate: float) -> None:
        self._wanted += rate
        self._wanted_of[node] += rate

    def _end(self, stream: int, life: int) -> None:
        if life != self._lives[stream]:
            return
        running = self._running[stream]
        self._want(stream % self._nodes, -running.rate)
        self._outcome.num_bytes += running.task.legs.pop(0).num_bytes
        if running.task.legs:
            self._begin(stream, life)
            return
        del self._running[stream]
        self._free(stream, life)
        video, stage = running.task.video, running.task.stage
        self._missing[video][stage] -= 1
        if not self._missing[video][stage]:
            if stage + 1 < len(self._missing[video]):
                self._queue(video, stage + 1)
            else:
                self._outcome.ended[video] = self._outcome.ended.get(video, 0) + 1

    def _next_loss(self) -> float:
        rate = self._cluster.losses_per_hour / 3600
        return self._now + self._random.expovariate(rate) if rate else inf

    def _lose(self, node: int) -> None:
        self._outcome.losses += 1
        for stream in range(node, self._cluster.streams, self._nodes):
            self._lives[stream] += 1
            running = self._running.pop(stream, None)
            if running is not None:
                self._want(node, -running.rate)
                self._put_back(running)
            there = self._now + self._cluster.repair_seconds + self._cluster.start_seconds
            self._at(there, partial(self._free, stream, self._lives[stream]))
        self._at(self._next_loss() + self._cluster.repair_seconds, partial(self._lose, node))

    def _put_back(self, running: _Running) -> None:
        task, leg = running.task, running.task.legs[0]
        share = ((self._clock if running.rate else self._now) - running.begun) / running.length
        kept = leg.kept_seconds * (share * leg.seconds // leg.kept_seconds) if leg.kept_seconds < leg.seconds else 0.0
        left = 1 - kept / leg.seconds
        task.legs[0] = replace(leg, seconds=leg.seconds * left, num_bytes=leg.num_bytes * left)
        self._outcome.num_bytes += leg.num_bytes * (1 - left)
        self._outcome.again += 1
        self._put(task, begun=True)
