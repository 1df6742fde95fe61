"""What a server may take from us: memory, time and patience. Pure, but for a clock given."""

import dataclasses
from collections.abc import Callable

from boot_resources import units


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server may take from us. Sizes in bytes, times in seconds.

    Attributes:
        document: the most that a document may have.
        document_seconds: the longest that one attempt at a document may take.
        connect: the longest wait for a connection.
        read: the longest wait for the head of an answer, and then for the next bytes.
        min_rate: bytes per second that must arrive, on average over ``window`` seconds.
    """

    document: int = 16 * units.MIB
    document_seconds: float = 300.0
    connect: float = 10.0
    read: float = 30.0
    min_rate: float = units.KIB
    window: float = 30.0


class Pace:
    """Whether bytes arrive fast enough, judged once in each window of ``limits.window`` seconds.

    A server that sends nothing at all is caught by the read timeout instead.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._since = clock()
        self._arrived = 0

    def keeps_up(self, count: int) -> bool:
        """Count bytes that have arrived; return False where the window that ends was too slow."""
        self._arrived += count
        elapsed = self._clock() - self._since
        if elapsed < self._limits.window:
            return True
        fast_enough = self._arrived >= self._limits.min_rate * elapsed
        self._since, self._arrived = self._clock(), 0
        return fast_enough
