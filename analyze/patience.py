"""What gives way when memory is full: pictures at once, and in the end the GPU; and frames that are counted once."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..configs.errors import MemoryFullError
from ..configs.recovery import Recovery

log = logging.getLogger(__name__)

E = TypeVar("E")

MAX_ANSWERS = 3  # of one video, in one process
SMALLER = 0.7  # of the pictures at once


@dataclass(eq=False)
class Patience(Generic[E]):
    """What was given up for one video, as memory was full; changed by the thread that looks at it.

    Attributes:
        open_instead: Opens what one looks with on the CPU, or None where that must not be.
        instead: What it has opened.
        batch_size: Pictures at once, if fewer than usual.
    """

    open_instead: Callable[[], E] | None = None
    instead: E | None = None
    batch_size: int | None = None
    _num_answers: int = 0
    _untold: list[Recovery] = field(default_factory=list)

    def answer(self, cause: str, batch_size: int, frame_index: int) -> None:
        """Memory was full: fewer pictures at once from now on, and after three times of that, the CPU.

        Args:
            cause: What said so.
            batch_size: Pictures at once, until now.
            frame_index: Where the video goes on.

        Raises:
            MemoryFullError: Nothing is left to give up.
        """
        if self._num_answers < MAX_ANSWERS:
            self._num_answers += 1
            self.batch_size = max(1, int(batch_size * SMALLER))
            return self.note(cause, f"went on from frame {frame_index}, batches of {self.batch_size} for {batch_size}")
        if self.instead is not None or self.open_instead is None:
            raise MemoryFullError(
                f"memory is full, and was so again after {self._num_answers} tries with smaller batches", got=cause,
                hint="run fewer videos at once, or on another device",
            )  # fmt: skip
        self.batch_size = None
        self.note(cause, f"went on from frame {frame_index} on the CPU")
        self.instead = self.open_instead()
        return None

    def note(self, cause: str, answer: str) -> None:
        """Have the next chunk that is kept tell of it."""
        self._untold.append(Recovery(cause, answer))
        log.warning("%s", self._untold[-1].note)

    def take(self) -> list[Recovery]:
        """What is to be told, once."""
        untold, self._untold = self._untold, []
        return untold


class CountedOnce:
    """Counts each frame once, though its chunk may be looked at again."""

    def __init__(self) -> None:
        self._open, self._owed = (0, 0), (0, 0)
        self._of_chunks: dict[int, tuple[int, int]] = {}

    def add(self, done: int, missing: int, ended: int | None) -> tuple[int, int]:
        """Take in what was looked at, and return how much of it is new.

        Args:
            done: Frames.
            missing: How many of them are missing.
            ended: The number of the chunk that ends with them, if one does.
        """
        self._open = self._open[0] + done, self._open[1] + missing
        paid = min(done, self._owed[0]), min(missing, self._owed[1])
        self._owed = self._owed[0] - paid[0], self._owed[1] - paid[1]
        if ended is not None:
            self._of_chunks[ended], self._open = self._open, (0, 0)
        return done - paid[0], missing - paid[1]

    def again(self, chunks: Iterable[int]) -> None:
        """These chunks, and the one that has not ended, are looked at again."""
        for done, missing in [self._open, *(self._of_chunks.pop(chunk, (0, 0)) for chunk in chunks)]:
            self._owed = self._owed[0] + done, self._owed[1] + missing
        self._open = (0, 0)
