"""Workers on the nodes of a Ray cluster."""

import logging
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from ..configs.errors import EngineError
from .cluster import Node, in_a_line, only_on, packed
from .processes import Died, Done, Failed, Logged, NodeLost, OpenWork, Ready, Told, forward_log, portable

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")

FATE_SECONDS, POLL_SECONDS = 60.0, 0.5  # within which Ray notices that a node is lost: some 15 s as a rule
END_SECONDS = 10.0  # within which a worker that was killed is gone


@dataclass(frozen=True)
class Share:
    """What one worker has of a node.

    Attributes:
        cpus: Cores.
        gpus: Part of a GPU; 0 for none.
    """

    cpus: float
    gpus: float = 0.0


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
        where = "SPREAD" if node is None else only_on(node)
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
        return Died(f"on node {self.node}: {in_a_line(error)}" if self.node else in_a_line(error))


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
