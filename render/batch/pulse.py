"""That a process is at work, told while it has no frames to tell of: it reads and writes.

A video of two hours is scanned before its first frame is looked at, and joined and checked after the last one is
encoded, which takes minutes on slow storage. What hangs neither reads nor writes.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BEAT_SECONDS = 1.0
LEAST_BYTES = 2**20  # between two beats: more than what they, and the log, write themselves
COUNTS = Path("/proc/self/io")


def num_bytes() -> int | None:
    """Bytes that this process has read and written so far, whatever of it came from memory; None if nobody tells."""
    try:
        lines = dict(line.split(": ") for line in COUNTS.read_text(encoding="ascii").splitlines())
        return int(lines["rchar"]) + int(lines["wchar"])
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Call ``beat``, from a thread of its own, each time that another ``LEAST_BYTES`` were read and written."""
    before, over = num_bytes(), threading.Event()

    def watch(told: int) -> None:
        while not over.wait(BEAT_SECONDS):
            now = num_bytes() or told
            if now - told >= LEAST_BYTES:
                told = now
                with suppress(OSError):  # whoever it is for has gone
                    beat()

    if before is None:
        yield
        return
    watcher = threading.Thread(target=watch, args=(before,), name="dft-pulse", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
