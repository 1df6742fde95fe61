"""How far a pass of the sync is. Written by its threads, read by whoever waits."""

import dataclasses
import threading
import time
from typing import Any


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A pass of the sync at one moment; sizes in bytes.

    Attributes:
        phase: what it is doing, in one word.
        total: bytes that the pass has to bring.
        done: bytes of them that are here.
        objects_total: objects that the pass has to bring.
        objects_done: objects of them that are proved.
        fetching: what is under way: name to bytes here and in all.
        rate: bytes a second since the pass began to fetch.
    """

    phase: str = "idle"
    total: int = 0
    done: int = 0
    objects_total: int = 0
    objects_done: int = 0
    fetching: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    rate: float = 0.0

    def describe(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)


class Progress:
    """The snapshot of the pass under way. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = Snapshot()
        self._began = time.monotonic()
        self._came = 0

    def snapshot(self) -> Snapshot:
        """Return how far the pass is now."""
        with self._lock:
            return dataclasses.replace(self._now, fetching=dict(self._now.fetching))

    def enter(self, phase: str) -> None:
        """Note what the pass does now; going to ``idle`` or ``source`` begins anew."""
        with self._lock:
            if phase in ("idle", "source"):
                self._now = Snapshot(phase)
            else:
                self._now = dataclasses.replace(self._now, phase=phase)

    def expect(self, objects: int, size: int) -> None:
        """Note what the pass has to bring."""
        with self._lock:
            self._began = time.monotonic()
            self._came = 0
            self._now = Snapshot("fetching", total=size, objects_total=objects)

    def arrived(self, name: str, here: int, size: int, more: int) -> None:
        """Note that ``more`` bytes of an object came; now ``here`` of ``size`` are here.

        What was here before the pass counts as done, and not for the rate.
        """
        with self._lock:
            now = self._now
            before, _ = now.fetching.get(name, (0, size))
            now.fetching[name] = (here, size)
            self._came += more
            seconds = max(time.monotonic() - self._began, 1e-3)
            done = now.done + here - before
            self._now = dataclasses.replace(now, done=done, rate=self._came / seconds)

    def ended(self, name: str, *, proved: bool) -> None:
        """Note that an object is no longer under way; only what is proved is done."""
        with self._lock:
            now = self._now
            here, size = now.fetching.pop(name, (0, 0))
            done = now.done - here + (size if proved else 0)
            count = now.objects_done + proved
            self._now = dataclasses.replace(now, done=done, objects_done=count)
