"""What several videos use together: opened by the first of them, and closed by the last, or kept for the next."""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..protocols import Closing

T = TypeVar("T", bound=Closing)

_SHARED: "list[Shared[Any]]" = []
_keepers, _counting = 0, threading.Lock()


@contextmanager
def keeping_open() -> Iterator[None]:
    """Within it, what has no users any more stays open for the next ones, until others want its place.

    Networks take a GPU seconds to open: a process that works on one video after another opens them once.
    """
    _keep(1)
    try:
        yield
    finally:
        _keep(-1)
        if not _keepers:
            close_unused()


def _keep(more: int) -> None:
    global _keepers  # noqa: PLW0603 - it is about the process
    with _counting:
        _keepers += more


def close_unused() -> None:
    """Close what is only kept for later."""
    for shared in _SHARED:
        shared.close_unused()


@dataclass(eq=False)
class _Held(Generic[T]):
    thing: T
    num_users: int = 0


class Shared(Generic[T]):
    """Things by key, with counts of their users. All methods may be called in any thread."""

    def __init__(self) -> None:
        self._held: dict[Hashable, _Held[T]] = {}
        self._lock = threading.RLock()
        _SHARED.append(self)

    def acquire(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of ``key``, made if it is not there; to be given back by :meth:`release`."""
        with self._lock:
            if key not in self._held:
                self.close_unused()
                self._held[key] = _Held(make())
            held = self._held[key]
            held.num_users += 1
            return held.thing

    def release(self, key: Hashable) -> None:
        """Give back what was acquired; the last user's closes it, but for :func:`keeping_open`."""
        with self._lock:
            self._held[key].num_users -= 1
            if not _keepers:
                self.close_unused()

    def close_unused(self) -> None:
        """Close what nobody uses."""
        with self._lock:
            for key in [key for key, held in self._held.items() if held.num_users == 0]:
                self._held.pop(key).thing.close()
