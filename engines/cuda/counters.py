"""Bytes that cross between host and GPU, counted by purpose wherever the CUDA backends copy.

They show that frames stay on the GPU: weigh :func:`transfers` against the bytes of the frames that were decoded.
"""

import threading
from dataclasses import dataclass

_lock = threading.Lock()
_to_device: dict[str, int] = {}
_to_host: dict[str, int] = {}


@dataclass(frozen=True)
class Transfers:
    """Bytes copied so far in this process.

    Attributes:
        to_device: Host to device, by purpose.
        to_host: Device to host, by purpose.
    """

    to_device: dict[str, int]
    to_host: dict[str, int]

    @property
    def num_bytes(self) -> int:
        """Bytes of both directions together."""
        return sum(self.to_device.values()) + sum(self.to_host.values())


def count_to_device(purpose: str, num_bytes: int) -> None:
    """Note a copy from host to device; ``purpose`` names what is copied, such as ``frames``."""
    _add(_to_device, purpose, num_bytes)


def count_to_host(purpose: str, num_bytes: int) -> None:
    """Note a copy from device to host."""
    _add(_to_host, purpose, num_bytes)


def transfers() -> Transfers:
    """What was counted since the start of the process or since :func:`reset`."""
    with _lock:
        return Transfers(dict(_to_device), dict(_to_host))


def reset() -> None:
    """Count from zero again."""
    with _lock:
        _to_device.clear()
        _to_host.clear()


def _add(counts: dict[str, int], purpose: str, num_bytes: int) -> None:
    with _lock:
        counts[purpose] = counts.get(purpose, 0) + num_bytes
