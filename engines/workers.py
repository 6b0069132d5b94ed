"""Sharing work out over threads."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Worker = Callable[[T, Callable[[], bool]], None]


def share_out(items: Sequence[T], workers: Sequence[Worker[T]]) -> None:
    """Have every item worked on by one of ``workers``: whoever is free takes the next.

    A worker is called in one thread only, with an item and with what tells whether to stop; one worker alone is called
    in the caller's thread. After an error, or an interrupt of the caller, nothing more is begun; it is raised once
    all have stopped.
    """
    waiting, stop = deque(items), threading.Event()
    errors: list[BaseException] = []

    def work(worker: Worker[T]) -> None:
        try:
            while not stop.is_set():
                try:
                    item = waiting.popleft()
                except IndexError:
                    return
                worker(item, stop.is_set)
        except BaseException as error:
            errors.append(error)
            stop.set()

    if len(workers) == 1:
        work(workers[0])
    else:
        threads = [threading.Thread(target=work, args=(worker,), name="dft-worker") for worker in workers]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            stop.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
    if errors:
        raise errors[0]
