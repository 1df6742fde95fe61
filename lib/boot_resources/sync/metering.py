"""Bytes from upstream on their way into the ledger.

Always true: each byte that is counted here is added to the ledger once (or twice, where the
database went away in the very commit). What cannot be written now waits in memory for the next
time; a process that is killed loses at most what came in the last few seconds. A catalog that is
down never gets in the way of what is being fetched.
"""

import threading
import time

from boot_resources.catalog import database, failures, ledger

UPSTREAM_BYTES = "upstream_bytes"
"""The ledger's counter of payload bytes that came from the boot source."""
WRITE_SECONDS = 5.0
"""How long bytes wait at most before they are written."""


class Meter:
    """Counts what one region fetches. Safe to use from several threads."""

    def __init__(self, catalog: database.Catalog, region: str) -> None:
        self._catalog = catalog
        self._region = region
        self._lock = threading.Lock()
        self._written = time.monotonic()
        self._waiting = 0
        self._total = 0

    @property
    def total(self) -> int:
        """Bytes that came since the start."""
        with self._lock:
            return self._total

    def count(self, more: int) -> None:
        """Note that ``more`` bytes came."""
        with self._lock:
            self._total += more
            self._waiting += more

    def write_when_due(self) -> None:
        """Write what waits, if the last time is long enough ago."""
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what waits; where the catalog cannot be had it goes on waiting."""
        self._written = time.monotonic()
        with self._lock:
            taken, self._waiting = self._waiting, 0
        if not taken:
            return
        try:
            with self._catalog.write() as conn:
                ledger.add(conn, self._region, {UPSTREAM_BYTES: taken})
        except (failures.CatalogUnavailable, failures.CatalogBusy):
            with self._lock:
                self._waiting += taken
