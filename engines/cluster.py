"""Workers on the nodes of a Ray cluster. Ray is imported when one is joined, and not before."""

import logging
import pickle
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from io import TextIOBase
from multiprocessing.connection import Pipe
from queue import SimpleQueue
from typing import Any, Generic, TextIO, TypeVar, cast

from ..configs.errors import BackendUnavailableError, EngineError, SettingError
from .processes import Died, Done, Failed, Logged, NodeLost, OpenWork, Ready, Told, forward_log, portable

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")

MAX_MESSAGE_BYTES = 100_000  # what Ray sends along with a call; larger things would go through its object store
REACH_SECONDS = 10.0
ANSWER_SECONDS = 120.0  # a node starts a process and loads its libraries first
FATE_SECONDS, POLL_SECONDS = 60.0, 0.5  # within which Ray notices that a node is lost: some 15 s as a rule
END_SECONDS = 10.0  # within which a worker that was killed is gone
MAX_WORDS = 300  # letters
EXTRA = "pip install 'dual-face-tracker[cluster]'"


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's name for it, in hex.
        name: For people: its address, or as it was named when Ray was started there.
        cpus: Cores that it offers.
        gpus: GPUs that it offers.
    """

    id: str
    name: str
    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.name} ({self.id[:8]})"


@dataclass(frozen=True)
class Share:
    """What one worker has of a node.

    Attributes:
        cpus: Cores.
        gpus: Part of a GPU; 0 for none.
    """

    cpus: float
    gpus: float = 0.0


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Be part of a Ray cluster.

    Args:
        address: ``HOST:PORT`` of its head. This machine must be one of its nodes.

    Raises:
        SettingError: That is no address.
        BackendUnavailableError: Ray is not installed.
        EngineError: There is no such cluster, or it runs other versions of Ray or Python.
    """
    try:
        import ray
    except ImportError as error:
        raise BackendUnavailableError("Ray cannot be imported", got=error, hint=EXTRA) from error
    _check_reachable(address)
    with redirect_stdout(cast(TextIO, _WithoutRay())):
        try:
            ray.init(address, log_to_driver=False, configure_logging=False)
        except Exception as error:  # Ray has no common base for what can go wrong here
            with suppress(Exception):
                ray.shutdown()
            raise EngineError(
                f"cannot join the Ray cluster at {address}", got=_line(error),
                expected="a cluster of which this machine is a node, of the same versions",
            ) from error  # fmt: skip
        try:
            yield
        finally:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise SettingError(f"{address!r} is no address", expected="HOST:PORT of a Ray cluster's head: 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EngineError(
            f"cannot reach a Ray cluster at {address}", got=error,
            hint="start it there (ray start --head), or name it: --address HOST:PORT",
        ) from error  # fmt: skip


class _WithoutRay(TextIOBase):
    """Standard output without what Ray says there of its own accord, which goes to the log."""

    def __init__(self) -> None:
        self._out, self._left_out = sys.stdout, False

    def write(self, text: str) -> int:
        """Write what is not Ray's; its words and the end of their line come apart."""
        self._left_out = "(raylet" in text or "(autoscaler" in text or (self._left_out and text == "\n")
        if not self._left_out:
            return self._out.write(text)
        if text.strip():
            log.debug("%s", text.strip())
        return len(text)

    def flush(self) -> None:
        """Pass it on."""
        self._out.flush()


def living_nodes() -> list[Node]:
    """The cluster's nodes, as far as is known now; one that is lost is known to be after some seconds."""
    import ray

    nodes = cast(Callable[[], list[dict[str, Any]]], ray.nodes)()
    return [
        Node(node["NodeID"], node["NodeName"], node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
        for node in nodes
        if node["Alive"]
    ]


def ask(nodes: Sequence[Node], question: Callable[[A], T], argument: A, gpus: float = 0.0) -> list[T]:
    """Have a function called on each node.

    Args:
        nodes: Where.
        question: A function at the top of a module.
        argument: For it.
        gpus: Part of a GPU that it sees where there is one.

    Raises:
        EngineError: One did not answer, in one line that names it.
    """
    import ray

    call, asked = ray.remote(_answer), packed((question, argument))
    answers = [
        call.options(
            num_cpus=0, num_gpus=gpus if node.gpus else 0, max_retries=0, scheduling_strategy=_only_on(node)
        ).remote(asked)
        for node in nodes
    ]  # fmt: skip
    deadline = time.monotonic() + ANSWER_SECONDS
    told: list[T] = []
    for node, answer in zip(nodes, answers, strict=True):
        try:
            told.append(pickle.loads(ray.get(answer, timeout=max(0.0, deadline - time.monotonic()))))
        except ray.exceptions.GetTimeoutError as error:
            ray.cancel(answer, force=True)
            expected = f"an answer in {ANSWER_SECONDS:g} s"
            raise EngineError(f"node {node} does not answer", expected=expected) from error
        except Exception as error:  # whatever the function raises there, or Ray here
            raise EngineError(
                f"dft does not work on node {node}", got=_line(error), hint="is the same dft installed there?"
            ) from error
    return told


def _answer(packed_question: bytes) -> bytes:
    question, argument = pickle.loads(packed_question)
    return packed(question(argument))


def packed(message: object) -> bytes:
    """A message as bytes.

    Raises:
        EngineError: It is larger than ``MAX_MESSAGE_BYTES``.
    """
    data = pickle.dumps(message)
    if len(data) > MAX_MESSAGE_BYTES:
        kind = type(message.message if isinstance(message, Told) else message).__name__
        raise EngineError(f"a {kind} is too large for the cluster", got=f"{len(data):,} bytes",
                          expected=f"at most {MAX_MESSAGE_BYTES:,}")  # fmt: skip
    return data


def _only_on(node: Node) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node.id, soft=False)


class ClusterWorker(Generic[A, T]):
    """A worker on some node, like :class:`dft.engines.processes.WorkerProcess`; it waits until there is room for it.

    Args:
        number: Of the worker, for the caller.
        open_work: Called there, with ``argument``; see :class:`dft.engines.processes.WorkerProcess`.
        argument: For ``open_work``.
        share: What it has of the node.
        node: Where; None for any node.

    Attributes:
        number: Of the worker.
        item: The number of the item that it was handed last.
        ready: Whether it has its place.
        node: As given.
        connection: Readable when there is something to :meth:`receive`.
    """

    def __init__(
        self, number: int, open_work: OpenWork[A, T], argument: A, share: Share, node: Node | None = None
    ) -> None:
        import ray

        self.number, self.item, self.ready, self.node = number, -1, False, node
        self.connection, self._heard = Pipe(duplex=False)
        self._items: SimpleQueue[bytes | None] = SimpleQueue()
        where = "SPREAD" if node is None else _only_on(node)
        self._actor: Any = (
            ray.remote(_Seat)
            .options(num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0, scheduling_strategy=where)
            .remote(log.getEffectiveLevel(), packed((open_work, argument)))
        )
        self._listener = threading.Thread(target=self._listen, name="dft-cluster", daemon=True)
        self._listener.start()

    def __enter__(self) -> "ClusterWorker[A, T]":
        return self

    def __exit__(self, *error: object) -> None:
        self.end(at_once=error[0] is not None)

    def begin(self, number: int, item: T) -> None:
        """Hand in an item."""
        self.item = number
        self._items.put(packed(item))

    def dismiss(self) -> None:
        """Let it end: its place is free for others."""
        self.kill()

    def kill(self) -> None:
        """End it here and now, whatever it is doing."""
        import ray

        with suppress(ray.exceptions.RayError):
            ray.kill(self._actor)
        self._items.put(None)

    def end(self, *, at_once: bool) -> None:  # noqa: ARG002 - as it has nothing to finish
        """Wait until it is gone, for ``END_SECONDS`` at most: its node may be out of reach."""
        self.kill()
        self._listener.join(END_SECONDS)
        self.connection.close()

    def receive(self) -> object:
        """What it has sent, or ``Died``; waits for it. Its log becomes ours."""
        try:
            message = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return Died("its worker was ended")
        if isinstance(message, Logged):
            message.repeat()
        elif isinstance(message, Ready):
            self.ready = True
        return message

    def _listen(self) -> None:
        """Hand items in, and on what comes back, until it is gone."""
        import ray

        try:
            self._heard.send_bytes(ray.get(self._actor.open.remote()))
            while (item := self._items.get()) is not None:
                for message in self._actor.work.remote(item):
                    self._heard.send_bytes(ray.get(message))
        except OSError:
            return  # nobody wants to know
        except Exception as error:  # Ray's own, and what keeps the worker from being made there
            with suppress(OSError):
                self._heard.send_bytes(pickle.dumps(self._death(self._fate(error))))

    def _fate(self, error: Exception) -> Exception:
        """What became of a worker that could not be reached: Ray knows it some seconds later."""
        import ray

        deadline = time.monotonic() + FATE_SECONDS
        while isinstance(error, ray.exceptions.ActorUnavailableError) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            try:
                ray.get(self._actor.__ray_ready__.remote(), timeout=FATE_SECONDS)
                break  # it lives, but what it told meanwhile is lost
            except Exception as later:
                error = later
        return error

    def _death(self, error: Exception) -> Died:
        import ray

        if isinstance(error, ray.exceptions.ActorUnschedulableError) or "node has died" in str(error):
            return NodeLost(f"node {self.node} is lost" if self.node else "its node is lost")
        return Died(f"on node {self.node}: {_line(error)}" if self.node else _line(error))


def _line(error: Exception) -> str:
    """What a long text of Ray's comes to."""
    cause = getattr(error, "cause", None)  # of a function that was called there
    if isinstance(cause, Exception):
        return f"{type(cause).__name__}: {cause}"
    text = " ".join(str(error).split())
    for before in ("Worker exit detail: ", "The actor is dead because ", "The actor died because "):
        _, found, after = text.partition(before)
        text = after if found else text
    return text.partition(" Some common causes")[0][:MAX_WORDS]


class _Seat:
    """A worker as its node sees it. All it takes and gives is packed, so that nothing large goes unseen."""

    def __init__(self, level: int, packed_work: bytes):
        self._level, self._packed_work = level, packed_work
        self._opened = ExitStack()
        self._messages: SimpleQueue[tuple[bytes, bool]] = SimpleQueue()  # and whether it is an item's last one

    def open(self) -> bytes:
        """Make ready."""
        try:
            open_work, argument = pickle.loads(self._packed_work)
            forward_log(self._level, self._send)
            self._work = self._opened.enter_context(open_work(argument))
        except BaseException as error:
            return _packed_failure(error)
        return packed(Ready())

    def work(self, packed_item: bytes) -> Iterator[bytes]:
        """Work on an item, and give what is to be told meanwhile."""
        threading.Thread(target=self._do, args=(pickle.loads(packed_item),), name="dft-work", daemon=True).start()
        ended = False
        while not ended:
            message, ended = self._messages.get()
            yield message

    def _do(self, item: Any) -> None:
        try:
            self._work(item, lambda message: self._send(Told(message)))
            self._messages.put((packed(Done()), True))
        except BaseException as error:
            self._messages.put((_packed_failure(error), True))

    def _send(self, message: object) -> None:
        self._messages.put((packed(message), False))


def _packed_failure(error: BaseException) -> bytes:
    try:
        return packed(Failed(portable(error)))
    except EngineError as too_large:
        return packed(Failed(too_large))
