"""How large the videos' pictures are: asked in a process of its own, so that a file takes down no more than that."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path

from ...engines.probe import open_video
from ...engines.processes import Died, Done, Failed, OpenWork, Tell, Told, Work, WorkerProcess

log = logging.getLogger(__name__)

START_SECONDS = 120.0  # within which the process is there, however busy the machine
PATIENCE_SECONDS = 10.0  # for one file
MOST_SECONDS = 30.0  # for all; what is left then is not asked
MAX_LOST = 3  # processes; likewise

Size = tuple[int, int]


@contextmanager
def probing(_: None) -> Iterator[Work[Path | None]]:
    """Tell the size of one video after another, in a process of its own; nothing of none."""

    def work(video: Path | None, tell: Tell) -> None:
        if video is None:
            return
        with suppress(Exception):  # whatever is wrong with it is told when its turn comes
            container, stream = open_video(video)  # a quarter of the time that it takes to decode a picture, too
            with container:
                tell((stream.codec_context.width, stream.codec_context.height))

    yield work


def picture_sizes(videos: Sequence[Path], open_work: OpenWork[None, Path | None] = probing) -> Mapping[Path, Size]:
    """Coded width and height of each video; those that cannot be read, or not in time, are left out.

    Args:
        videos: The files.
        open_work: What asks them; see :func:`dft.engines.sharing.share_out_to_processes`.
    """
    sizes: dict[Path, Size] = {}
    left, lost, end = deque(videos), 0, time.monotonic() + MOST_SECONDS
    while left and lost < MAX_LOST and time.monotonic() < end:
        with WorkerProcess(0, open_work, None) as worker:
            _answered(worker, None, START_SECONDS, sizes)
            while left and time.monotonic() < end:
                video = left.popleft()
                if not _answered(worker, video, PATIENCE_SECONDS, sizes):
                    log.info("%s: its pictures are not known", video)
                    lost += 1
                    break
            worker.kill()
    return sizes


def _answered(
    worker: WorkerProcess[None, Path | None], video: Path | None, seconds: float, sizes: dict[Path, Size]
) -> bool:
    """Ask about one video; whether an answer came in time."""
    worker.begin(0, video)
    while wait([worker.connection], seconds):
        message = worker.receive()
        if isinstance(message, Told) and video is not None:
            sizes[video] = message.message
        elif isinstance(message, Done):
            return True
        elif isinstance(message, Died | Failed):
            return False
    return False
