"""What several videos use together, opened by the first of them and closed by the last."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..protocols import Closing

T = TypeVar("T", bound=Closing)


@dataclass(eq=False)
class _Held(Generic[T]):
    thing: T
    num_users: int = 0


class Shared(Generic[T]):
    """Things by key, with counts of their users. All methods may be called in any thread."""

    def __init__(self) -> None:
        self._held: dict[Hashable, _Held[T]] = {}
        self._lock = threading.Lock()

    def acquire(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of ``key``, made if nobody has it; to be given back by :meth:`release`."""
        with self._lock:
            if key not in self._held:
                self._held[key] = _Held(make())
            held = self._held[key]
            held.num_users += 1
            return held.thing

    def release(self, key: Hashable) -> None:
        """Give back what was acquired; the last user's closes it."""
        with self._lock:
            held = self._held[key]
            held.num_users -= 1
            if held.num_users == 0:
                del self._held[key]
                held.thing.close()
