"""How far an export is, at what rate, and when it should end."""

import dataclasses
import threading
import time
from collections.abc import Callable

from boot_resources import units

INTERVAL = 0.5
"""Seconds between two reports."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far an export is.

    Attributes:
        objects: how many are done, those set aside included.
        of_objects: how many there are.
        size: bytes that are here.
        of_size: bytes of all.
        rate: bytes a second that this run read, on average.
    """

    objects: int
    of_objects: int
    size: int
    of_size: int
    rate: float

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end at this rate; None while nothing tells."""
        return (self.of_size - self.size) / self.rate if self.rate > 0 else None

    def __str__(self) -> str:
        left = self.seconds_left
        return (
            f"{self.objects} of {self.of_objects} objects,"
            f" {units.format_size(self.size)} of {units.format_size(self.of_size)},"
            f" {units.format_size(self.rate)}/s"
            + (f", {units.format_duration(left)} left" if left is not None else "")
        )


Report = Callable[[Progress], None]
"""Called now and then, from any thread, one call at a time."""


class Meter:
    """Counts what comes, and reports it. Safe to use from several threads."""

    def __init__(
        self,
        of_objects: int,
        of_size: int,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count.

        Args:
            of_objects: how many there are.
            of_size: bytes of all.
            report: is told.
            clock: seconds that only rise.
        """
        self._of_objects = of_objects
        self._of_size = of_size
        self._report = report
        self._clock = clock
        self._begun = self._told = clock()
        # Protects the counts, and lets one report at a time.
        self._lock = threading.Lock()
        self._objects = 0
        self._here = 0
        self._read = 0

    def resumed(self, size: int) -> None:
        """Count bytes that an earlier run brought."""
        with self._lock:
            self._here += size

    def read(self, size: int) -> None:
        """Count bytes that came, or that must come again where they are fewer than none."""
        with self._lock:
            self._here += size
            self._read += max(0, size)
            if self._clock() - self._told >= INTERVAL:
                self._tell()

    def ended(self) -> None:
        """Count an object that is done, in whatever way."""
        with self._lock:
            self._objects += 1
            if self._objects == self._of_objects or self._clock() - self._told >= INTERVAL:
                self._tell()

    def _tell(self) -> None:
        now = self._clock()
        rate = self._read / (now - self._begun) if now > self._begun else 0.0
        self._told = now
        self._report(Progress(self._objects, self._of_objects, self._here, self._of_size, rate))
