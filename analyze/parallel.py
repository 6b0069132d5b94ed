"""Stage 1 shared out over processes: each decodes, detects and tracks parts of the video, and keeps what it sees.

One process is bound by Python's lock long before a GPU's decoders are busy. What is seen in a chunk is the same whoever
looks at it, so the number of processes changes nothing but the time.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..configs.analysis import AnalyzeSettings
from ..configs.errors import EvidenceError
from ..configs.hardware import num_cores
from ..configs.recovery import Recovery
from ..engines.devices import DeviceChoice, environments, gpus, open_decoder
from ..engines.processes import OpenWork, Tell, Work, Worker, WorkerProcess
from ..engines.protocols import FrameIndex, VideoInfo
from ..engines.sharing import HelperLost, share_out
from .chunks import Chunk
from .evidence import EvidenceStore
from .source import Source
from .stage_one import Progress, Step, Tally, look, open_eyes, parts

log = logging.getLogger(__name__)

FRAMES_WORTH_A_PROCESS = 5_000  # opening a GPU, its libraries and networks takes as long as looking at so many
PARTS_PER_PROCESS = 16  # so that none waits long for the last one
MAX_PART = 500  # chunks, so that a part is told in a few kilobytes
TELL_SECONDS = 0.2
SEEN_SECONDS, POLL_SECONDS = 90.0, 1.0  # NFS may take a minute (acdirmax) to see what other machines have written


@dataclass(frozen=True)
class Task:
    """What every process needs to know.

    Attributes:
        video: The file.
        index: Its frames.
        device: Where to decode and infer.
        settings: All of them.
        store: Where finished chunks are kept.
        seams: Where chunks begin.
    """

    video: Path
    index: FrameIndex
    device: DeviceChoice
    settings: AnalyzeSettings
    store: EvidenceStore
    seams: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Looked:
    """What came of looking at a video, besides its evidence.

    Attributes:
        resumed: Frames of chunks that were finished before.
        embedding_seconds: That embedding took, over all processes.
        recovered: What went wrong, and was answered.
    """

    resumed: int
    embedding_seconds: float
    recovered: tuple[Recovery, ...] = ()


class Helpers(Protocol):
    """Workers on other machines, which see the same files; they may be long in coming, and may be lost."""

    def num(self, seconds: float) -> int:
        """How many are worth it for a video of so many seconds."""

    def hire(self, number: int, open_work: OpenWork[Any, Any], argument: Any) -> Worker[Any]:
        """A worker; see :class:`dft.engines.processes.WorkerProcess` for the arguments, which are to be small."""


@dataclass(frozen=True)
class _Spent:
    """Seconds that embedding took."""

    seconds: float


def num_processes(settings: AnalyzeSettings, device: DeviceChoice, index: FrameIndex) -> int:
    """How many processes look at a video.

    Args:
        settings: ``workers`` says it, if it is set.
        device: GPUs take as many as keep their decoders busy and the machine has cores for, if the video is long
            enough.
        index: The video's frames.
    """
    if settings.runtime.workers is not None:
        return settings.runtime.workers
    most = min(num_cores() // 2, len(index) // FRAMES_WORTH_A_PROCESS)
    if most <= 1 or device.kind == "cpu":
        return 1
    return max(1, min(most, sum(gpu.num_processes for gpu in gpus(device))))


def num_helpers(helpers: Helpers | None, index: FrameIndex, info: VideoInfo) -> int:
    """How many helpers look at a video."""
    return 0 if helpers is None else max(0, helpers.num(float((index.end_pts - int(index.pts[0])) * info.time_base)))


def observe_in_processes(
    task: Task, info: VideoInfo, chunks: Sequence[Chunk], num: int, progress: Progress, helpers: Helpers | None = None
) -> Looked:
    """Look at the whole video, in ``num`` processes; see :func:`dft.analyze.stage_one.observe`.

    Args:
        task: What every process needs to know.
        info: On the video.
        chunks: Of the video, in order.
        num: Processes on this machine.
        progress: Called with the frames done and the frames in all.
        helpers: On others; they need the video's source in the folder of the evidence, see :class:`Source`.

    Raises:
        CorruptVideoError: More frames are damaged than the settings allow.
        EngineError: A process died, and so did the one that tried its part again; or a backend fails.
        OutputError: The evidence cannot be written.
        EvidenceError: What helpers have written is not seen here.
    """
    tally = Tally(info, task.index, task.settings, progress)
    resumed, embedding = tally.resume(chunks, task.store), 0.0
    recovered: list[Recovery] = []
    missing = list(task.store.missing_runs(list(chunks)))
    afar = num_helpers(helpers, task.index, info)
    length = min(MAX_PART, max(1, sum(map(len, missing)) // ((num + afar) * PARTS_PER_PROCESS)))
    runs = [part for run in missing for part in parts(run, -(-len(run) // length))]

    def heard(message: object) -> None:
        nonlocal embedding
        if isinstance(message, Step):
            tally.count(message)
        elif isinstance(message, _Spent):
            embedding += message.seconds
        elif isinstance(message, HelperLost):
            recovered.append(Recovery(f"a helper is lost: {message.how}", "others have done its part"))

    task.store.make()
    threads = task.settings.runtime.threads or max(1, num_cores() // num)
    own = replace(task, settings=replace(task.settings, runtime=replace(task.settings.runtime, threads=threads)))
    places = environments(task.device)

    def hire(number: int) -> Worker[list[Chunk]]:
        if helpers is None or number < num:
            return WorkerProcess(number, _looking, own, places[number % len(places)])
        return helpers.hire(number, _looking_afar, _Errand(own.video, own.settings, own.store))

    helped = share_out(runs, hire, num, afar, heard)
    if afar:
        log.info("helpers looked at %d of %d parts", helped, len(runs))
        _wait_for(chunks, task.store)
    tally.finish()
    return Looked(resumed, embedding, tuple(recovered))


def _wait_for(chunks: Sequence[Chunk], store: EvidenceStore) -> None:
    """Wait until all chunks are seen here; listing their folder has a network file system look for them again."""
    deadline = time.monotonic() + SEEN_SECONDS
    while missing := list(store.missing_runs(list(chunks))):
        if time.monotonic() > deadline:
            raise EvidenceError(
                f"chunk {missing[0][0].number} in {store.folder} is finished, and not to be seen",
                expected="a folder that all machines share",
            )
        time.sleep(POLL_SECONDS)
        list(store.folder.iterdir())


@dataclass(frozen=True)
class _Errand:
    """What a helper needs to know: all that is large lies beside the evidence.

    Attributes:
        video: The file.
        settings: All of them.
        store: Where finished chunks are kept.
    """

    video: Path
    settings: AnalyzeSettings
    store: EvidenceStore


@contextmanager
def _looking_afar(errand: _Errand) -> Iterator[Work[list[Chunk]]]:
    """Open the video and the models on another machine."""
    source, chunks = Source.load(errand.store.folder)
    seams = tuple(chunk.first for chunk in chunks)
    with _looking(Task(errand.video, source.index, source.device, errand.settings, errand.store, seams)) as work:
        yield work


@contextmanager
def _looking(task: Task) -> Iterator[Work[list[Chunk]]]:
    """Open the video and the models in a process of its own."""
    with ExitStack() as opened:
        decoder = opened.enter_context(
            open_decoder(task.video, task.device, task.settings.runtime.threads, index=task.index, seams=task.seams)
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
