"""When the server has nobody left to serve."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

IDLE_SECONDS = 30.0  # without any request; a page asks for changes every 20 s
GOODBYE_SECONDS = 4.0  # after a page was closed: as long as loading it again may take


class Lifetime:
    """Watches the requests; for one thread.

    Args:
        keep_open: Whether the server goes on without any page.
        idle_seconds: Silence after which it ends.
        goodbye_seconds: The same after a page has said that it is closed.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        keep_open: bool = False,
        idle_seconds: float = IDLE_SECONDS,
        goodbye_seconds: float = GOODBYE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.keep_open = keep_open
        self._idle, self._goodbye, self._clock = idle_seconds, goodbye_seconds, clock
        self._busy = 0
        self._ends: float | None = None  # not before a page has been there: the address may be opened by hand

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request of a page, for as long as it is being answered."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._ends = self._clock() + self._idle

    def goodbye(self) -> None:
        """A page has been closed; to be called after its request has been counted."""
        self._ends = self._clock() + self._goodbye

    @property
    def over(self) -> bool:
        """Whether the server should end."""
        return not self.keep_open and self._busy == 0 and self._ends is not None and self._clock() >= self._ends
