"""The one place with threads and queues: running a stage ahead of its consumer."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class _End:
    """Marks the end of the items, with the error that ended them."""

    def __init__(self, error: BaseException | None):
        self.error = error


@contextmanager
def prefetch(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Run ``items`` in a thread of its own, at most ``depth`` items ahead of the consumer.

    An error in ``items`` is raised where the consumer asks for the next item. When the context ends, whether all was
    consumed or not, the thread has stopped and ``items`` is closed.

    Args:
        items: Iterated in the worker thread only.
        depth: Items that may wait.

    Yields:
        The items, in order.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(item: T | _End) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    break
            put(_End(None))
        except BaseException as error:
            put(_End(error))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def consume() -> Iterator[T]:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    worker = threading.Thread(target=work, name="dft-prefetch", daemon=True)
    worker.start()
    try:
        yield consume()
    finally:
        stop.set()
        worker.join()
