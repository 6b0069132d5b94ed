"""Keeping what was used last in memory, up to a number of bytes."""

from collections import OrderedDict
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """What was put in or asked for last; the rest is dropped. Not for several threads at once.

    Args:
        limit: Bytes of all items together; one item is kept however large it is.
    """

    def __init__(self, limit: int):
        self._limit, self._held = limit, 0
        self._items: OrderedDict[Any, tuple[T, int]] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: object) -> T | None:
        """The item, which is then the one used last; None if it is not there."""
        if key not in self._items:
            return None
        self._items.move_to_end(key)
        return self._items[key][0]

    def put(self, key: object, item: T, num_bytes: int) -> None:
        """Keep an item of ``num_bytes``, and drop those that were not used for longest."""
        before = self._items.pop(key, None)
        self._items[key] = (item, num_bytes)
        self._held += num_bytes - (before[1] if before else 0)
        while self._held > self._limit and len(self._items) > 1:
            _, (_, dropped) = self._items.popitem(last=False)
            self._held -= dropped
