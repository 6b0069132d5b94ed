"""Many streams at once against their decoders alone: ``dft bench --streams``.

Every stream looks at the same video over and over, in stage 1's own way. Rates are those of the time in which all
streams are at work: opening libraries, GPUs and networks is left out, which long runs do once.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..configs.analysis import AnalyzeSettings
from ..configs.hardware import num_cores
from ..engines.devices import DeviceChoice, choose_device, environments, open_decoder, transferred_bytes, usage
from ..engines.probe import probe, scan
from ..engines.processes import Tell, Work
from ..engines.protocols import Decoder, FrameIndex
from ..engines.sharing import share_out_to_processes
from ..engines.workers import share_out
from .chunks import Chunk, plan_chunks
from .evidence import EvidenceStore
from .stage_one import Eyes, Step, look, open_eyes

Kind = Literal["decode", "analyze"]

SAMPLE_SECONDS = 0.05
WARM_FRAMES = 60  # of each stream, before it counts as at work;
WARM_SECONDS = 2.0  # so long at least: what is opened when it is first needed is open then


@dataclass(frozen=True)
class StreamsReport:
    """What ``num_streams`` streams do together.

    Attributes:
        num_streams: Videos at once.
        num_processes: Processes that they are spread over.
        decode_fps: Frames per second of their decoders alone, in as many processes.
        analyze_fps: Of stage 1.
        share: Of ``analyze_fps`` in ``decode_fps``.
        decode_ms: Median and 95th percentile of the time that a frame takes to come, decoders alone.
        copied_share: Bytes that crossed between host and GPU during stage 1, by bytes of the decoded frames; None on
            the CPU.
        batch_size: Mean number of pictures in a batch of inference, or None.
        inference_ms: Median and 95th percentile of the time from beginning a batch to its answer, or None.
        cores: Cores that stage 1 kept busy.
        memory_mb: GPU memory of each stream, its share of libraries and networks included, 10^6 bytes; None on the CPU.
        nvdec_percent: How busy the GPU's decoders were during stage 1, or None.
        rung: How the streams were decoded and looked at.
    """

    num_streams: int
    num_processes: int
    decode_fps: float
    analyze_fps: float
    share: float
    decode_ms: tuple[float, float]
    copied_share: float | None
    batch_size: float | None
    inference_ms: tuple[float, float] | None
    cores: float
    memory_mb: float | None
    nvdec_percent: float | None
    rung: tuple[str, str]

    def as_text(self) -> str:
        """A line for people, and one for the details."""
        details = [
            f"decode {self.decode_ms[0]:.2f} ms a frame, 95 % within {self.decode_ms[1]:.2f}",
            f"{self.cores:.1f} cores",
        ]
        if self.inference_ms is not None:
            details.append(f"batches of {self.batch_size:.1f}")
            details.append(f"inference {self.inference_ms[0]:.2f} ms a batch, 95 % within {self.inference_ms[1]:.2f}")
        if self.memory_mb is not None:
            details.append(f"{self.memory_mb:.0f} MB of GPU memory a stream")
        if self.nvdec_percent is not None:
            details.append(f"NVDEC {self.nvdec_percent:.0f} % busy")
        if self.copied_share is not None:
            details.append(f"{self.copied_share:.4%} of the frames' bytes copied between host and GPU")
        return (
            f"{self.num_streams:3} streams in {self.num_processes} processes: decode only {self.decode_fps:8.1f}, "
            f"analyze {self.analyze_fps:8.1f} frames/s, {self.share:.2f} of decode only\n    " + "; ".join(details)
        )


@dataclass(frozen=True)
class _Task:
    """What every process needs to know."""

    video: Path
    index: FrameIndex
    device: DeviceChoice
    settings: AnalyzeSettings
    finish: Path  # where it is, all streams stop


@dataclass(frozen=True)
class _Warm:
    """One more stream is at work."""


@dataclass(frozen=True)
class _Seen:
    """What the streams of one process did."""

    samples: tuple[NDArray[np.float64], ...]  # of each stream: (time, frames) pairs from WARM_FRAMES on
    frame_seconds: NDArray[np.float64]
    batches: NDArray[np.float64]  # pictures and seconds of each
    num_frames: int
    num_bytes: int | None
    cores: float
    rung: tuple[str, str]


def bench_streams(
    video: Path, settings: AnalyzeSettings, num_streams: int, num_processes: int | None, seconds: float
) -> StreamsReport:
    """Measure ``num_streams`` streams over ``video``.

    Args:
        video: What each of them looks at.
        settings: Of the analysis.
        num_streams: Videos at once.
        num_processes: Processes that they are spread over; half as many as cores if not given.
        seconds: How long all of them are measured together.

    Raises:
        DftError: The video cannot be decoded, or a backend fails.
    """
    device, index = choose_device(settings.runtime.device), scan(video)
    num_processes = min(num_streams, num_processes or max(1, num_cores() // 2))
    shares = [num_streams * (k + 1) // num_processes - num_streams * k // num_processes for k in range(num_processes)]

    before, during = usage(device), None

    def measured(kind: Kind) -> list[_Seen]:
        seen: list[_Seen] = []
        with TemporaryDirectory(prefix="dft-streams-") as folder:
            task, cold = _Task(video, index, device, settings, Path(folder) / "finish"), num_streams

            def heard(message: object) -> None:
                nonlocal cold
                if isinstance(message, _Seen):
                    seen.append(message)
                elif (cold := cold - 1) == 0:
                    threading.Timer(seconds, end).start()

            def end() -> None:
                nonlocal during
                during = usage(device)
                task.finish.touch()

            items = [(kind, num) for num in shares if num]
            share_out_to_processes(items, num_processes, _looking, task, heard, environments(device))
        return seen

    decoding, looking = measured("decode"), measured("analyze")
    decode_fps, analyze_fps = _fps(decoding), _fps(looking)
    info = probe(video)
    frame_bytes = info.width * info.height * 3 // 2
    batches = np.concatenate([seen.batches for seen in looking])
    num_frames, copied = sum(seen.num_frames for seen in looking), [seen.num_bytes for seen in looking]
    return StreamsReport(
        num_streams, len(looking), round(decode_fps, 1), round(analyze_fps, 1), round(analyze_fps / decode_fps, 3),
        _middle_and_most(np.concatenate([seen.frame_seconds for seen in decoding])),
        None if None in copied else sum(filter(None, copied)) / (num_frames * frame_bytes),
        float(batches[:, 0].mean()) if len(batches) else None,
        _middle_and_most(batches[:, 1]) if len(batches) else None,
        round(sum(seen.cores for seen in looking), 2),
        None if before is None or during is None else (during.memory_mb - before.memory_mb) / num_streams,
        None if during is None else during.decode_percent, looking[0].rung,
    )  # fmt: skip


def _middle_and_most(seconds: NDArray[np.float64]) -> tuple[float, float]:
    middle, most = np.percentile(seconds, [50, 95]) * 1000
    return round(float(middle), 3), round(float(most), 3)


def _fps(seen: Sequence[_Seen]) -> float:
    """Frames per second of all streams together, while all are at work."""
    streams = [samples for own in seen for samples in own.samples]
    begin, end = max(float(s[0, 0]) for s in streams), min(float(s[-1, 0]) for s in streams)
    frames = sum(float(np.interp(end, *s.T) - np.interp(begin, *s.T)) for s in streams)
    return frames / (end - begin)


@contextmanager
def _looking(task: _Task) -> Iterator[Work[tuple[Kind, int]]]:
    def work(item: tuple[Kind, int], tell: Tell) -> None:
        kind, num = item
        tell(_run(task, kind, num, lambda: tell(_Warm())))

    yield work


def _run(task: _Task, kind: Kind, num: int, warm: Callable[[], None]) -> _Seen:
    """Have ``num`` streams at work in this process."""
    with ExitStack() as opened, TemporaryDirectory(prefix="dft-streams-") as folder:
        decoders = [
            opened.enter_context(open_decoder(task.video, task.device, task.settings.runtime.threads, index=task.index))
            for _ in range(num)
        ]
        if kind == "decode":
            passes = [partial(_decode, decoder) for decoder in decoders]
            detector_rung, eyes = "", []
        else:
            eyes = [open_eyes(decoder, task.device, task.settings, opened) for decoder in decoders]
            chunks = plan_chunks(task.index, decoders[0].info.time_base, task.settings.chunks.chunk_seconds)
            stores = [EvidenceStore(Path(folder) / str(k), {}) for k in range(num)]
            passes = [
                partial(_look, own, chunks, store, task.settings) for own, store in zip(eyes, stores, strict=True)
            ]
            detector_rung = eyes[0].detector.rung
        counts = [_Count(task.finish, warm) for _ in range(num)]
        copied = transferred_bytes(task.device)
        works = [partial(_over_and_over, one, count) for one, count in zip(passes, counts, strict=True)]
        share_out(works, [_do] * num)
        after = transferred_bytes(task.device)
        batches = [batch for own in eyes[:1] for batch in getattr(own.detector, "recent_batches", ())]
        return _Seen(
            tuple(np.array(count.samples) for count in counts),
            np.concatenate([np.array(count.frame_seconds) for count in counts]),
            np.array(batches, np.float64).reshape(-1, 2),
            sum(count.frames for count in counts),
            None if after is None or copied is None else after - copied,
            float(np.mean([count.cores for count in counts])),
            (decoders[0].rung, detector_rung),
        )


class _Count:
    """The frames of one stream."""

    def __init__(self, finish: Path, warm: Callable[[], None]):
        self.frames, self.over = 0, False
        self.samples: list[tuple[float, float]] = []
        self.frame_seconds: list[float] = []
        self._finish, self._warm, self._latest = finish, warm, time.monotonic()
        self._core_seconds = 0.0
        self._begun = time.monotonic()

    def __call__(self) -> bool:
        """One more frame; whether to stop."""
        now = time.monotonic()
        self.frames += 1
        if not self.samples:
            if self.frames >= WARM_FRAMES and now - self._begun > WARM_SECONDS:
                self.samples.append((now, float(self.frames)))
                self._core_seconds = time.process_time()
                self._warm()
        else:
            self.frame_seconds.append(now - self._latest)
            if now - self.samples[-1][0] > SAMPLE_SECONDS:
                self.samples.append((now, float(self.frames)))
                self.over = self._finish.exists()
        self._latest = now
        return self.over

    @property
    def cores(self) -> float:
        """Cores that the process kept busy since this stream was warm."""
        return (time.process_time() - self._core_seconds) / (time.monotonic() - self.samples[0][0])


def _do(work: Callable[[], None], _stopped: Callable[[], bool]) -> None:
    work()


def _over_and_over(one: Callable[[_Count], None], count: _Count) -> None:
    while not count.over:
        one(count)


def _decode(decoder: Decoder, count: _Count) -> None:
    for _ in decoder.frames():
        if count():
            return


def _look(eyes: Eyes, chunks: Sequence[Chunk], store: EvidenceStore, settings: AnalyzeSettings, count: _Count) -> None:
    def counted(step: Step) -> None:
        for _ in range(step.done - step.missing):
            count()

    look(eyes, chunks, store, settings, counted, lambda: count.over)
