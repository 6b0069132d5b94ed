"""A Ray cluster: joining it, its nodes, and asking them. Ray is imported when one is joined, and not before."""

import logging
import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from io import TextIOBase
from typing import Any, TextIO, TypeVar, cast

from ..configs.errors import BackendUnavailableError, EngineError, SettingError
from .processes import Told

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")

MAX_MESSAGE_BYTES = 100_000  # what Ray sends along with a call; larger things would go through its object store
REACH_SECONDS = 10.0
ANSWER_SECONDS = 120.0  # a node starts a process and loads its libraries first
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
                f"cannot join the Ray cluster at {address}", got=in_a_line(error),
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
            num_cpus=0, num_gpus=gpus if node.gpus else 0, max_retries=0, scheduling_strategy=only_on(node)
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
                f"dft does not work on node {node}", got=in_a_line(error), hint="is the same dft installed there?"
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


def only_on(node: Node) -> Any:
    """Ray's word for a place on this node and no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node.id, soft=False)


def in_a_line(error: Exception) -> str:
    """What a long text of Ray's comes to."""
    cause = getattr(error, "cause", None)  # of a function that was called there
    if isinstance(cause, Exception):
        return f"{type(cause).__name__}: {cause}"
    text = " ".join(str(error).split())
    for before in ("Worker exit detail: ", "The actor is dead because ", "The actor died because "):
        _, found, after = text.partition(before)
        text = after if found else text
    return text.partition(" Some common causes")[0][:MAX_WORDS]
