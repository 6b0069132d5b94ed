"""Stage 1 shared out over processes: each decodes, detects and tracks parts of the video, and keeps what it sees.

One process is bound by Python's lock long before a GPU's decoders are busy. What is seen in a chunk is the same whoever
looks at it, so the number of processes changes nothing but the time.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..configs.analysis import AnalyzeSettings
from ..configs.hardware import num_cores
from ..engines.devices import DeviceChoice, num_decoders, open_decoder
from ..engines.processes import Tell, Work, share_out_to_processes
from ..engines.protocols import FrameIndex, VideoInfo
from .chunks import Chunk
from .evidence import EvidenceStore
from .stage_one import Progress, Step, Tally, look, open_eyes, parts

FRAMES_WORTH_A_PROCESS = 5_000  # opening a GPU, its libraries and networks takes as long as looking at so many
PARTS_PER_PROCESS = 16  # so that none waits long for the last one
TELL_SECONDS = 0.2


@dataclass(frozen=True)
class Task:
    """What every process needs to know.

    Attributes:
        video: The file.
        index: Its frames.
        device: Where to decode and infer.
        settings: All of them.
        store: Where finished chunks are kept.
    """

    video: Path
    index: FrameIndex
    device: DeviceChoice
    settings: AnalyzeSettings
    store: EvidenceStore


@dataclass(frozen=True)
class _Spent:
    """Seconds that embedding took."""

    seconds: float


def num_processes(settings: AnalyzeSettings, device: DeviceChoice, index: FrameIndex) -> int:
    """How many processes look at a video.

    Args:
        settings: ``workers`` says it, if it is set.
        device: A GPU takes as many as it has decoders and the machine cores for, if the video is long enough.
        index: The video's frames.
    """
    if settings.runtime.workers is not None:
        return settings.runtime.workers
    return max(1, min(num_decoders(device), num_cores() // 2, len(index) // FRAMES_WORTH_A_PROCESS))


def observe_in_processes(
    task: Task, info: VideoInfo, chunks: Sequence[Chunk], num: int, progress: Progress
) -> tuple[int, float]:
    """Look at the whole video, in ``num`` processes; see :func:`dft.analyze.stage_one.observe`.

    Returns:
        Frames of chunks that were finished before, and the seconds that embedding took, over all processes.

    Raises:
        CorruptVideoError: More frames are damaged than the settings allow.
        EngineError: A process died, and so did the one that tried its part again; or a backend fails.
        OutputError: The evidence cannot be written.
    """
    tally = Tally(info, task.index, task.settings, progress)
    resumed, embedding = tally.resume(chunks, task.store), 0.0
    missing = list(task.store.missing_runs(list(chunks)))
    length = max(1, sum(map(len, missing)) // (num * PARTS_PER_PROCESS))
    runs = [part for run in missing for part in parts(run, -(-len(run) // length))]

    def heard(message: object) -> None:
        nonlocal embedding
        if isinstance(message, Step):
            tally.count(message)
        elif isinstance(message, _Spent):
            embedding += message.seconds

    task.store.make()
    threads = task.settings.runtime.threads or max(1, num_cores() // num)
    runtime = replace(task.settings.runtime, threads=threads)
    share_out_to_processes(runs, num, _looking, replace(task, settings=replace(task.settings, runtime=runtime)), heard)
    tally.finish()
    return resumed, embedding


@contextmanager
def _looking(task: Task) -> Iterator[Work[list[Chunk]]]:
    """Open the video and the models in a process of its own."""
    with ExitStack() as opened:
        decoder = opened.enter_context(
            open_decoder(task.video, task.device, task.settings.runtime.threads, index=task.index)
        )
        eyes = open_eyes(decoder, task.device, task.settings, opened)

        def work(run: list[Chunk], tell: Tell) -> None:
            steps, spent = _Steps(tell), eyes.embedder.seconds
            look(eyes, run, task.store, task.settings, steps.add, lambda: False)
            steps.send()
            tell(_Spent(eyes.embedder.seconds - spent))

        yield work


class _Steps:
    """Steps on their way to the caller, several at a time."""

    def __init__(self, tell: Tell):
        self._tell, self._done, self._told = tell, 0, time.monotonic()

    def add(self, step: Step) -> None:
        """Take a step in; one that ends a chunk, or misses frames, is told at once."""
        self._done += step.done
        if step.last is not None or time.monotonic() - self._told > TELL_SECONDS:
            self._send(step)

    def send(self) -> None:
        """Tell what is left."""
        self._send(Step(0))

    def _send(self, step: Step) -> None:
        self._tell(replace(step, done=self._done))
        self._done, self._told = 0, time.monotonic()
