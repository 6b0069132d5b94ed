"""Workers: processes for work that holds the interpreter, and for work that may take its process down."""

import ctypes
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from types import MappingProxyType
from typing import Any, Generic, Protocol, Self, TypeVar

from ..configs.errors import EngineError

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
Tell = Callable[[Any], None]
Work = Callable[[T, Tell], None]
OpenWork = Callable[[A], AbstractContextManager[Work[T]]]

STDERR = 2
WATCH_SECONDS = 1.0
SAME: Mapping[str, str] = MappingProxyType({})  # environment as the caller's
END_SECONDS = 10.0  # within which a worker that has nothing left to do ends
# glibc gives threads arenas of their own, up to 8 for each core, and each keeps what was freed at its top: memory rises
# for hours until every one has had the largest frames
FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}


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
class Ready:
    """A worker that had to wait for its place can begin."""


@dataclass(frozen=True)
class Logged:
    """A line for the log."""

    name: str
    level: int
    line: str

    def repeat(self) -> None:
        """Log it here."""
        logging.getLogger(self.name).log(self.level, "%s", self.line)


@dataclass(frozen=True)
class Died:
    """A process ended without a word."""

    how: str


@dataclass(frozen=True)
class NodeLost(Died):
    """It ended with its machine."""


class Worker(Protocol[T_contra]):
    """One worker, seen from the caller; as a context, it is gone at its end.

    Attributes:
        number: Of the worker.
        item: The number of the item that it was handed last, or -1.
        ready: Whether it can begin; else it says ``Ready`` when it can.
        connection: Readable when there is something to :meth:`receive`.
    """

    number: int
    item: int
    ready: bool
    connection: Connection

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def begin(self, number: int, item: T_contra) -> None:
        """Hand in an item."""

    def dismiss(self) -> None:
        """Let it end."""

    def kill(self) -> None:
        """End it here and now, whatever it is doing."""

    def end(self, *, at_once: bool) -> None:
        """Wait until it is gone; ``at_once`` tells it to stop what it does."""

    def receive(self) -> object:
        """What it has sent (``Ready``, ``Told``, ``Done`` or ``Failed``), or ``Died``; waits for it."""


class WorkerProcess(Generic[A, T]):
    """One worker, seen from the caller.

    Not of :mod:`multiprocessing`: that runs the caller's main module once more in each process, which a script without
    a guard does not survive; and CUDA does not survive a fork.

    Args:
        number: Of the worker, for the caller.
        open_work: Called in the process, with ``argument``: a function at the top of a module. What it opens is
            called with one item after another, and with what tells the caller something, from any thread.
        argument: For ``open_work``.
        environment: Variables that it has besides, or instead of, the caller's. Libraries see them from the start,
            unlike those that a process sets for itself.

    Attributes:
        number: Of the worker.
        item: The number of the item that it was handed last.
        connection: Readable when there is something to :meth:`receive`.
    """

    def __init__(
        self, number: int, open_work: OpenWork[A, T], argument: A, environment: Mapping[str, str] = SAME
    ) -> None:
        self.number, self.item, self.ready = number, -1, True
        self.connection, others = Pipe()
        end = others.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve({end})"],
            env={**FEW_ARENAS, **os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=[end],
            stdout=STDERR,  # what libraries print is no result
            start_new_session=True,  # Ctrl-C is the caller's, which ends this process
        )
        others.close()  # so that the end of the process is the end of the connection
        with suppress(OSError):
            self.connection.send((log.getEffectiveLevel(), open_work, argument))

    @property
    def pid(self) -> int:
        """The system's number of it."""
        return self._process.pid

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
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # killed, but held by the system: storage that does not answer
            log.warning("process %d waits for the system, and cannot be ended; it is left alone", self.pid)
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
            try:
                code = self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                return Died("it says nothing any more, and does not end")
            return Died(f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")
        if isinstance(message, Logged):
            message.repeat()
        return message


def ask_aside(question: Callable[[], T], seconds: float) -> T:
    """What ``question`` returns in a process of its own, which then ends, so that nothing stays of what it opens.

    Raises:
        EngineError: The process died, gave up, or has not answered within ``seconds``.
    """
    with WorkerProcess[Callable[[], T], None](0, _asking, question) as worker:
        worker.begin(0, None)
        deadline = time.monotonic() + seconds
        while worker.connection.poll(max(0.0, deadline - time.monotonic())):
            message = worker.receive()
            if isinstance(message, Told):
                worker.dismiss()
                answer: T = message.message
                return answer
            if isinstance(message, Died | Failed):
                how = message.how if isinstance(message, Died) else message.error
                raise EngineError("a process that was asked has not answered", got=how)
        worker.kill()
        raise EngineError("a process that was asked has not answered", got=f"nothing within {seconds:g} s")


@contextmanager
def _asking(question: Callable[[], Any]) -> Iterator[Work[None]]:
    yield lambda _, tell: tell(question())


class _Forwarding(logging.Handler):
    """Sends the process's log to the caller."""

    def __init__(self, send: Tell):
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._send(Logged(record.name, record.levelno, record.getMessage()))


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
        forward_log(level, send)
        with open_work(argument) as work:
            while (given := connection.recv()) is not None:
                work(given[0], lambda message: send(Told(message)))
                _trim()
                send(Done())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the caller is gone
    except BaseException as error:
        with suppress(OSError):
            send(Failed(portable(error)))


def forward_log(level: int, send: Tell) -> None:
    """Send what this process logs from now on, as ``Logged``, and nowhere else."""
    root = logging.getLogger(__package__.partition(".")[0])
    root.addHandler(_Forwarding(send))
    root.setLevel(level)
    root.propagate = False


def _trim() -> None:
    """Give memory that was freed back to the system, where the C library can: glibc keeps what lies between blocks."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def _end_with(caller: int) -> None:
    """End this process once ``caller`` is gone, whatever it is doing: it may have nothing to tell for long."""
    while os.getppid() == caller:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def portable(error: BaseException) -> BaseException:
    """The error if it survives the way to another process, or one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its own way of being made again raises
        return EngineError("a process failed", got=repr(error))
    return error
