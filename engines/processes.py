"""Sharing work out over processes: for work that holds the interpreter, and for work that may take its process down."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Generic, TypeVar

from ..configs.errors import EngineError

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")
Tell = Callable[[Any], None]
Work = Callable[[T, Tell], None]
OpenWork = Callable[[A], AbstractContextManager[Work[T]]]

MAX_TRIES = 2  # of an item whose worker died
WATCH_SECONDS = 1.0
END_SECONDS = 10.0  # within which a worker that has nothing left to do ends


def share_out_to_processes(
    items: Sequence[T], num: int, open_work: OpenWork[A, T], argument: A, heard: Callable[[Any], None]
) -> None:
    """Have every item worked on by one of ``num`` new processes.

    Each begins with a stretch of neighbouring items of its own, and takes half of the longest that is left when it is
    through: neighbours are cheap to work on one after another. A process that dies is replaced. After an error, or an
    interrupt of the caller, all are ended.

    Args:
        items: What is to be done; like ``argument``, it can be pickled.
        num: Processes; no more than items are started.
        open_work: Called in each process, with ``argument``: a function at the top of a module. What it opens is
            called with one item after another, and with what tells the caller something, from any thread.
        argument: For ``open_work``.
        heard: Called in the caller's thread with what was told.

    Raises:
        EngineError: An item's process died, as did the one that tried it again.
        BaseException: Whatever a worker raises.
    """
    stretches, tries = _Stretches(len(items), min(num, len(items))), dict.fromkeys(range(len(items)), 0)
    with ExitStack() as started:

        def start(number: int) -> WorkerProcess[A, T]:
            return started.enter_context(WorkerProcess(number, open_work, argument))

        def begin(worker: WorkerProcess[A, T]) -> bool:
            item = stretches.take(worker.number)
            if item is not None:
                tries[item] += 1
                worker.begin(item, items[item])
            return item is not None

        at_work = [worker for worker in map(start, range(stretches.num)) if begin(worker)]
        while at_work:
            ready = wait([worker.connection for worker in at_work])
            for worker in [worker for worker in at_work if worker.connection in ready]:
                message = worker.receive()
                if isinstance(message, Died):
                    at_work.remove(worker)
                    if tries[worker.item] >= MAX_TRIES:
                        raise EngineError(
                            f"a process died, and so did the next at the same work: {message.how}",
                            hint="is there enough memory? run it with --workers 1 to see more",
                        )
                    log.warning("a process died (%s): its work is begun again in a new one", message.how)
                    stretches.put_back(worker.number, worker.item)
                    replacement = start(worker.number)
                    begin(replacement)
                    at_work.append(replacement)
                elif isinstance(message, Failed):
                    raise message.error
                elif isinstance(message, Done):
                    if not begin(worker):
                        at_work.remove(worker)
                        worker.dismiss()
                elif isinstance(message, Told):
                    heard(message.message)


@dataclass(frozen=True)
class Told:
    """What a worker has to say."""

    message: Any


@dataclass(frozen=True)
class Done:
    """An item is finished."""


@dataclass(frozen=True)
class Failed:
    """A worker gives up."""

    error: BaseException


@dataclass(frozen=True)
class _Logged:
    """A line for the log."""

    name: str
    level: int
    line: str


@dataclass(frozen=True)
class Died:
    """A process ended without a word."""

    how: str


class _Stretches:
    """Which items are left to each worker.

    Args:
        num_items: All items, in order.
        num: Workers.
    """

    def __init__(self, num_items: int, num: int):
        self.num = num
        self._left = [(num_items * k // num, num_items * (k + 1) // num) for k in range(num)]

    def take(self, worker: int) -> int | None:
        """The next item for a worker; None if nothing is left for anybody."""
        if not self._size(worker):
            longest = max(range(self.num), key=self._size)
            first, end = self._left[longest]
            middle = (first + end) // 2
            self._left[longest], self._left[worker] = (first, middle), (middle, end)
        if not self._size(worker):
            return None
        first, end = self._left[worker]
        self._left[worker] = first + 1, end
        return first

    def put_back(self, worker: int, item: int) -> None:
        """The item that the worker took last is still to be done."""
        self._left[worker] = item, self._left[worker][1]

    def _size(self, worker: int) -> int:
        first, end = self._left[worker]
        return end - first


class WorkerProcess(Generic[A, T]):
    """One worker, seen from the caller.

    Not of :mod:`multiprocessing`: that runs the caller's main module once more in each process, which a script without
    a guard does not survive; and CUDA does not survive a fork.

    Args:
        number: Of the worker, for the caller.
        open_work: See :func:`share_out_to_processes`.
        argument: For ``open_work``.

    Attributes:
        number: Of the worker.
        item: The number of the item that it was handed last.
        connection: Readable when there is something to :meth:`receive`.
    """

    def __init__(self, number: int, open_work: OpenWork[A, T], argument: A):
        self.number, self.item = number, -1
        self.connection, others = Pipe()
        end = others.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve({end})"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=[end],
            start_new_session=True,  # Ctrl-C is the caller's, which ends this process
        )
        others.close()  # so that the end of the process is the end of the connection
        with suppress(OSError):
            self.connection.send((log.getEffectiveLevel(), open_work, argument))

    def __enter__(self) -> "WorkerProcess[A, T]":
        return self

    def __exit__(self, *error: object) -> None:
        self.end(at_once=error[0] is not None)

    def end(self, *, at_once: bool) -> None:
        """Wait until it is gone, for ``END_SECONDS`` before it is killed; ``at_once`` tells it to stop what it does."""
        if at_once:
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self.kill()
        self._process.wait()
        self.connection.close()

    def kill(self) -> None:
        """End it here and now, whatever it is doing."""
        self._process.kill()

    def begin(self, number: int, item: T) -> None:
        """Hand in an item."""
        self.item = number
        with suppress(OSError):  # it died: the caller hears of that next
            self.connection.send((item,))

    def dismiss(self) -> None:
        """Let it end."""
        with suppress(OSError):
            self.connection.send(None)

    def receive(self) -> object:
        """What it has sent (``Told``, ``Done`` or ``Failed``), or ``Died``; waits for it. Its log becomes ours."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            code = self._process.wait()
            return Died(f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")
        if isinstance(message, _Logged):
            logging.getLogger(message.name).log(message.level, "%s", message.line)
        return message


class _Forwarding(logging.Handler):
    """Sends the process's log to the caller."""

    def __init__(self, send: Tell):
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._send(_Logged(record.name, record.levelno, record.getMessage()))


def serve(descriptor: int) -> None:
    """What a process does: items, one after another, until there are no more, or nobody who wants them.

    Args:
        descriptor: Of its end of the connection.
    """
    threading.Thread(target=_end_with, args=(os.getppid(),), name="dft-watch", daemon=True).start()
    connection, sending = Connection(descriptor), threading.Lock()

    def send(message: object) -> None:
        with sending:
            connection.send(message)

    try:
        level, open_work, argument = connection.recv()
        root = logging.getLogger(__package__.partition(".")[0])
        root.addHandler(_Forwarding(send))
        root.setLevel(level)
        root.propagate = False
        with open_work(argument) as work:
            while (given := connection.recv()) is not None:
                work(given[0], lambda message: send(Told(message)))
                send(Done())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the caller is gone
    except BaseException as error:
        with suppress(OSError):
            send(Failed(_portable(error)))


def _end_with(caller: int) -> None:
    """End this process once ``caller`` is gone, whatever it is doing: it may have nothing to tell for long."""
    while os.getppid() == caller:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """The error if it survives the way to another process, or one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its own way of being made again raises
        return EngineError("a process failed", got=repr(error))
    return error
