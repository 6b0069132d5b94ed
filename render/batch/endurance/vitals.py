"""How a process is: its memory, open files and threads; and whether any of them grows.

Growth is the slope of memory over the videos that a process has seen to, after warm-up: the median of the slopes
between all pairs of samples, with its 95 % interval (Theil and Sen, as in :func:`scipy.stats.theilslopes`). One reading
that is off, or a single step, hardly moves it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....configs.errors import BackendUnavailableError

PROC = Path("/proc")
CONFIDENCE = 0.95
WARM_UP_SHARE = 0.2  # of the samples: allocators, caches and pools grow to their size meanwhile
LEAST_SAMPLES = 10
TOLERATED = 4096.0  # bytes a video, one page: a thousand videos for 4 MB


@dataclass(frozen=True)
class Vitals:
    """A process at rest.

    Attributes:
        memory: Resident bytes.
        descriptors: Open files, pipes and the like.
        threads: Threads.
    """

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> "Vitals":
        """Of a process of ours that is there.

        Raises:
            BackendUnavailableError: The system does not tell.
        """
        own = PROC / str(pid)
        try:
            # exact: the sums in status and statm may lag behind by some hundred pages
            lines = (own / "smaps_rollup").read_text(encoding="ascii").splitlines()
            memory = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))
            return cls(memory, sum(1 for _ in (own / "fd").iterdir()), sum(1 for _ in (own / "task").iterdir()))
        except OSError as error:
            raise BackendUnavailableError(
                "this system does not tell how a process is", got=error, expected="Linux with /proc"
            ) from error


@dataclass(frozen=True)
class Trend:
    """How a process has gone on, after warm-up.

    Attributes:
        process: ``caller``, or ``worker 0`` and so on.
        samples: How often it was looked at.
        first_mb: Resident memory at first, in MB (10^6 bytes).
        last_mb: At last.
        growth: Of its memory, in bytes for each video that it has seen to.
        growth_low: Lower end of the 95 % interval.
        growth_high: Upper end.
        descriptors: Fewest and most.
        threads: Fewest and most.
        steady: Whether memory may grow by no more than a page a video, and neither descriptors nor threads become more.
    """

    process: str
    samples: int
    first_mb: float
    last_mb: float
    growth: float
    growth_low: float
    growth_high: float
    descriptors: tuple[int, int]
    threads: tuple[int, int]
    steady: bool

    @classmethod
    def of(cls, process: str, samples: NDArray[np.int64]) -> "Trend":
        """From samples.

        Args:
            process: Its name.
            samples: ``(N, 4)`` int64, N >= ``LEAST_SAMPLES``, with those of the warm-up: videos that it has seen to,
                ascending, and then its vitals.
        """
        from scipy.stats import theilslopes

        samples = samples[round(WARM_UP_SHARE * len(samples)) :]
        videos, memory, descriptors, threads = samples.T
        slope, _, low, high = (float(value) for value in theilslopes(memory, videos, CONFIDENCE))
        steady = low <= TOLERATED and not _creeps(descriptors) and not _creeps(threads)
        return cls(
            process, len(samples), round(memory[0] / 1e6, 2), round(memory[-1] / 1e6, 2), round(slope, 1),
            round(low, 1), round(high, 1), _ends(descriptors), _ends(threads), steady,
        )  # fmt: skip

    def as_text(self) -> str:
        """One line."""
        return (
            f"{self.process}: {self.first_mb:.1f} to {self.last_mb:.1f} MB, {self.growth:+,.0f} bytes a video "
            f"(95 % interval {self.growth_low:+,.0f} to {self.growth_high:+,.0f}), {_span(self.descriptors)} "
            f"descriptors, {_span(self.threads)} threads, {self.samples} samples: "
            f"{'steady' if self.steady else 'GROWS'}"
        )


def _creeps(counts: NDArray[np.int64]) -> bool:
    """Whether there are always more in the second half than ever in the first."""
    half = len(counts) // 2
    return bool(counts[half:].min() > counts[:half].max())


def _ends(counts: NDArray[np.int64]) -> tuple[int, int]:
    return int(counts.min()), int(counts.max())


def _span(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
