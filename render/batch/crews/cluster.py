"""The batch on a Ray cluster: a worker for each video, on nodes that come and go.

The driver decides on which node a worker is, since only nodes that see the same files and run the same dft are of
use. It hires as many as there are videos left to begin, and lets go of those for whom nothing is left: what the batch
leaves free, long videos use, whose parts are then looked at by several nodes at once.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ....analyze.parallel import Helpers
from ....configs.analysis import AnalyzeSettings
from ....configs.errors import DeviceLostError, DftError, EngineError
from ....configs.rendering import RenderSettings
from ....configs.settings import as_values, build
from ....engines.cluster import Node, ask, joined, living_nodes
from ....engines.cluster_worker import ClusterWorker, Share
from ....engines.devices import DeviceChoice, why_lost
from ....engines.processes import Died, Failed, NodeLost, OpenWork, Ready, Told, Worker
from ..admission import Admission
from ..plan import BatchOptions, Job
from ..schedule import Schedule
from ..state import FILES
from ..work import Made, Passes, Task, Workplace, working
from .local import Crew
from .nodes import A_LOOK, Room, check_same, check_sight, facts_here, places, survey, versions_here

log = logging.getLogger(__name__)

S = TypeVar("S", AnalyzeSettings, RenderSettings)

LOOK_SECONDS = 2.0  # between looks at which nodes there are
MAX_REFUSED = 5  # workers in a row that cannot begin, before the batch gives up
WAIT_SECONDS = 60.0  # without any node, before the batch gives up; or without room in it, before that is said


@dataclass(frozen=True)
class ClusterHelpers(Helpers):
    """Workers on any nodes that have room, for the parts of a long video.

    Attributes:
        share: What each has of a node.
        most: No more of them than this.
        split_seconds: One more is worth it for each so many seconds of a video.
    """

    share: Share
    most: int
    split_seconds: float

    def num(self, seconds: float) -> int:
        """How many are worth it for a video of so many seconds, besides the worker that has it."""
        return min(self.most, max(0, int(seconds / self.split_seconds) - 1))

    def hire(self, number: int, open_work: OpenWork[Any, Any], argument: Any) -> Worker[Any]:
        """One that begins when there is room for it."""
        return ClusterWorker(number, open_work, argument, self.share)


class Nodes:
    """The nodes that can be used now: those of the start that live, and new ones that do the same work.

    Args:
        room: As it was at the start.
        check: Raises a ``DftError`` if a new node is of no use.
    """

    def __init__(self, room: Room, check: Callable[[Node], None]):
        self._share, self._check = room.share, check
        self._known: dict[str, bool] = {node.id: True for node in room.nodes}  # whether they are of use
        self._living: list[Node] = list(room.nodes)
        self._looked = time.monotonic()

    def now(self) -> list[Node]:
        """Those that can be used."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._living, self._looked = living_nodes(), time.monotonic()
            for node in self._living:
                if node.id not in self._known:
                    self._known[node.id] = False
                    if places(node, self._share):
                        threading.Thread(target=self._admit, args=(node,), name="dft-node", daemon=True).start()
        return [node for node in self._living if self._known.get(node.id)]

    def lose(self, node: Node) -> None:
        """It is gone, whatever Ray still says."""
        self._known[node.id] = False

    def _admit(self, node: Node) -> None:
        try:
            self._check(node)
        except DftError as error:
            log.warning("%s: it is not used", error)
        else:
            log.info("node %s is new, and used", node)
            self._known[node.id] = True


class ClusterCrew(Crew):
    """The workers of a batch on a cluster.

    Args:
        room: What there is.
        nodes: Where it is now.
        place: What the workers need to know.
        schedule: What they are to do.
        stall_seconds: One that says nothing for so long is killed.
    """

    def __init__(self, room: Room, nodes: Nodes, place: Workplace, schedule: Schedule, stall_seconds: float):
        super().__init__((), place, schedule, stall_seconds)
        self._share, self._most, self._nodes = room.share, room.admission.streams, nodes
        self._places: dict[int, Node] = {}
        self._ending: set[Worker[Task]] = set()  # whose step is made: they are free at once
        self._roomy = time.monotonic()  # when there was a worker last
        self._warned = False
        self._refused = 0

    def _free_seat(self) -> int | None:
        """A worker that is there and has nothing to do, on the node where the fewest are at work."""
        self._hire_and_dismiss()
        load = Counter(self._places[worker.number].id for worker in self._at_work)
        free = [worker for worker in self._workers.values() if worker.ready and worker not in self._at_work]
        seats = [worker.number for worker in free]
        return min(seats, key=lambda seat: (load[self._places[seat].id], seat), default=None)

    def _hire_and_dismiss(self) -> None:
        spare = sorted(
            (worker for worker in self._workers.values() if worker not in self._at_work), key=lambda w: not w.ready
        )
        wanted = max(0, self._schedule.num_waiting - len(self._ending))
        for worker in spare[wanted:]:
            self._drop(worker)
        nodes = self._nodes.now()
        for _ in range(min(wanted - len(spare), self._most - len(self._workers))):
            taken = Counter(node.id for seat, node in self._places.items() if seat in self._workers)
            left = {node: places(node, self._share) - taken[node.id] for node in nodes}
            node = max(nodes, key=lambda node: left[node], default=None)
            if node is None or left[node] <= 0:
                break
            self._hire_on(node)
        self._check_room(bool(nodes))

    def _hire_on(self, node: Node) -> None:
        seat = len(self._places)
        self._places[seat] = node
        self._workers[seat] = ClusterWorker[Workplace, Task](seat, working, self._place, self._share, node)

    def _check_room(self, any_node: bool) -> None:
        now = time.monotonic()
        if any(worker.ready for worker in self._workers.values()) or not self._schedule.num_waiting:
            self._roomy = now
        elif now - self._roomy > WAIT_SECONDS:
            if not any_node:
                raise EngineError(
                    "no node of the cluster is left", hint="start nodes; the same command goes on with what was begun"
                )
            if not self._warned:
                self._warned = True
                log.warning("waiting for room in the cluster: others use it, or its nodes do not answer")

    def _hear(self, worker: Worker[Task], message: object) -> None:
        if worker in self._at_work and isinstance(message, Told) and isinstance(message.message, Made):
            _, task, _ = self._at_work[worker]
            look_again(task.job.results(task.step))
            self._ending.add(worker)
        else:
            self._ending.discard(worker)
        if isinstance(message, Ready):
            self._refused = 0
        elif isinstance(message, NodeLost):
            self._nodes.lose(self._places[worker.number])
        elif isinstance(message, Failed) and isinstance(message.error, DeviceLostError) and not worker.ready:
            self._close(worker.number, str(message.error))
        elif isinstance(message, Died | Failed) and not worker.ready:
            self._refuse(message.how if isinstance(message, Died) else str(message.error))
        super()._hear(worker, message)

    def _close(self, lost: int, how: str) -> None:
        """No more workers begin on a node of which a GPU is lost, for Ray would give them that one."""
        log.warning("%s: no more is given to node %s", how, self._places[lost])
        self._nodes.lose(self._places[lost])

    def _refuse(self, how: str) -> None:
        self._refused += 1
        log.warning("a worker cannot begin: %s", how)
        if self._refused >= MAX_REFUSED:
            raise EngineError("workers cannot begin on the cluster", got=how)

    def _where(self, seat: int) -> str:
        return f" on node {self._places[seat]}"


def look_again(paths: Iterable[Path]) -> None:
    """Have a network file system notice files that others have made: it may remember that they were not there."""
    for folder in {path.parent for path in paths}:
        with suppress(OSError):  # whoever needs what lies there will tell
            list(folder.iterdir())


@dataclass(frozen=True)
class ClusterEngine:
    """A Ray cluster; implements :class:`dft.render.batch.crews.engine.Engine`.

    Attributes:
        room: What there is.
        options: How the batch is run.
        device: The setting.
        needed: What all nodes have to see; known once it was checked.
    """

    room: Room
    options: BatchOptions
    device: str
    needed: list[tuple[Path, int | None]] = field(default_factory=list)

    @property
    def admission(self) -> Admission:
        """See :class:`dft.render.batch.crews.engine.Engine`."""
        return self.room.admission

    @property
    def kind(self) -> str:
        """See :class:`dft.render.batch.crews.engine.Engine`."""
        return self.room.device

    @property
    def job_threads(self) -> int | None:
        """See :class:`dft.render.batch.crews.engine.Engine`."""
        return self.room.threads

    def prepared(self, jobs: Sequence[Job]) -> list[Job]:
        """Those whose settings name files name them as other machines do."""
        return [
            replace(job, analysis=_with_absolute(job.analysis), rendering=_with_absolute(job.rendering)) for job in jobs
        ]

    def check(self, jobs: Sequence[Job], folder: Path) -> None:
        """Make sure that all nodes see the same files.

        Raises:
            EngineError: One does not.
        """
        named = {
            path for job in jobs for settings in (job.analysis, job.rendering) for path in _files(settings).values()
        }
        self.needed.extend((job.video, None if job.growing else job.size) for job in jobs)
        self.needed.extend((path, None) for path in sorted(named))
        check_sight(self.room.nodes, folder, self.needed)

    def crew(self, place: Workplace, schedule: Schedule) -> Crew:
        """See :class:`dft.render.batch.crews.engine.Engine`."""

        def check(node: Node) -> None:
            (facts,) = ask([node], facts_here, self.device, A_LOOK)
            check_same(node, facts, versions_here(), self.room.device)
            check_sight([node], place.folder, self.needed)

        room = self.room
        most = sum(places(node, room.share) for node in room.nodes) - 1
        helpers = ClusterHelpers(room.share, most, self.options.split_seconds)
        passes = Passes(partial(place.passes.analyze, helpers=helpers), place.passes.render)
        device = DeviceChoice(room.device, "the nodes have it")
        place = replace(place, passes=passes, why_lost=partial(why_lost, device))
        return ClusterCrew(room, Nodes(room, check), place, schedule, self.options.stall_seconds)


@contextmanager
def on_cluster(device: str, options: BatchOptions, num_videos: int) -> Iterator[ClusterEngine]:
    """Join the cluster, and see what there is.

    Args:
        device: The setting.
        options: How the batch is run.
        num_videos: How many are to be worked on.

    Raises:
        DftError: Ray or the cluster is not there, or a node is not as needed.
    """
    with joined(options.address):
        yield ClusterEngine(survey(living_nodes(), device, options.streams, num_videos), options, device)


def _files(settings: AnalyzeSettings | RenderSettings) -> dict[str, Path]:
    """Files that settings name."""
    values = as_values(settings)
    named = {name: Path(values[name]) for name in FILES if isinstance(values.get(name), str)}
    return {name: path.absolute() for name, path in named.items() if path.is_file()}


def _with_absolute(settings: S) -> S:
    files = _files(settings)
    if not files:
        return settings
    return build(type(settings), {**as_values(settings), **{name: str(path) for name, path in files.items()}})
