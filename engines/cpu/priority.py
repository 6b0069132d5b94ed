"""Threads that claim more than their share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREADS = Path("/proc/self/task")


@contextmanager
def usual_priority() -> Iterator[None]:
    """Give back their usual priority to threads that are made real-time ones within, this one among them.

    SVT-AV1, run by root, makes its threads and the one that opens it real-time threads of the highest priority
    (SCHED_FIFO 99, seen with 4.1): they, and all processes and threads that come of them, then keep everything else on
    the machine waiting, what watches over them included.
    """
    before = set(_real_time_threads())
    try:
        yield
    finally:
        for thread in set(_real_time_threads()) - before:
            with suppress(OSError):  # it has ended
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _real_time_threads() -> Iterator[int]:
    for thread in THREADS.iterdir() if THREADS.exists() else ():
        with suppress(OSError):
            if os.sched_getscheduler(int(thread.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                yield int(thread.name)
