"""The scrub of a rack's cache: what the disk spoilt is dropped, and brought again.

Always true: an object that the scrub suspects is pinned and hashed whole before it is dropped, so
that what was evicted or filled anew meanwhile is never taken for what was read.
"""

import asyncio
import dataclasses
import hashlib
import logging
import os
import threading
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from prometheus_client import core

from boot_resources import errors, notices
from boot_resources.rack import cache as caches
from boot_resources.rack import condition
from boot_resources.rack import names as name_tables
from boot_resources.rack import supply as supplies
from boot_resources.store import audit, blocks, objects
from boot_resources.store import scrub as scrubs

logger = logging.getLogger(__name__)
SCOPE = "scrub"
"""The scope of notices about what the scrub found."""
_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class _Suspect:
    """A suspicious object: open and pinned, or, where ``opened`` is None, here no longer."""

    was_here: bool
    opened: objects.OpenObject | None


class CacheScrub:
    """Reads a cache round and round, and counts it. Built in the event loop's thread."""

    def __init__(
        self,
        cache: caches.Cache,
        supply: supplies.Supply,
        names: name_tables.Names,
        board: notices.NoticeBoard,
        room: scrubs.Room,
        period: float,
    ) -> None:
        """Put the parts together; nothing is read yet.

        Args:
            cache: what is read; started before this is.
            supply: brings again what was dropped.
            names: what the regions list: nothing else is brought.
            board: this rack's notices.
            room: holds room in the cache for the length of a block.
            period: seconds that reading all of it should take.
        """
        self._cache = cache
        self._supply = supply
        self._names = names
        self._board = board
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._dropped: dict[str, str] = {}
        self._scrub = scrubs.Scrub(
            objects.ObjectTree(cache.root),
            lambda: self._on_loop(self._holdings()),
            self._suspect,
            period,
            room,
        )

    def start(self) -> None:
        """Begin where the last one ended."""
        self._scrub.start()

    async def stop(self) -> None:
        """End it, and keep where it is."""
        await asyncio.to_thread(self._scrub.stop)

    def collect(self) -> Iterable[core.Metric]:
        """Yield the scrub's metrics, for Prometheus."""
        yield core.GaugeMetricFamily(
            "boot_resources_scrub_last_pass_timestamp_seconds",
            "When the scrub had last read everything, seconds since the epoch; 0 before that.",
            value=self._scrub.position.passed or 0,
        )
        yield core.CounterMetricFamily(
            "boot_resources_scrub_bytes", "Bytes read by the scrub.", value=self._scrub.read_bytes
        )
        yield core.CounterMetricFamily(
            "boot_resources_scrub_findings",
            "Objects found damaged by the scrub.",
            value=self._scrub.findings,
        )

    def state(self) -> None:
        """Say which objects were spoilt and are not here again. For the event loop's thread."""
        with self._lock:
            for sha256 in [name for name in self._dropped if self._is_settled(name)]:
                del self._dropped[sha256]
            found = list(condition.of_what_was_spoilt(self._dropped))
        self._board.state(SCOPE, found)

    def _is_settled(self, sha256: str) -> bool:
        """Return whether an object that was dropped is here again, or nobody offers it."""
        return sha256 not in self._names.table.objects or self._cache.holds(sha256)

    def _suspect(self, sha256: str, problem: str) -> bool:
        """Look again at what the scrub suspects, in its thread; return whether it was dropped."""
        suspect = self._on_loop(self._hold(sha256))
        if suspect.opened is None and not suspect.was_here:
            return False
        if suspect.opened is not None and self._is_sound(sha256, suspect.opened):
            self._on_loop(self._let_go(sha256, suspect.opened))
            return False
        with self._lock:
            self._dropped[sha256] = problem
        logger.warning("object %s in the cache is damaged and dropped: %s", sha256, problem)
        self._on_loop(self._drop(sha256, suspect.opened))
        return True

    async def _holdings(self) -> dict[str, int]:
        return {sha256: entry.space for sha256, entry in self._cache.contents() if entry.whole}

    def _on_loop(self, what: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _hold(self, sha256: str) -> _Suspect:
        was_here = self._cache.holds(sha256)
        # What is not any more the file that was proved, the cache drops by itself.
        return _Suspect(was_here, self._cache.open(sha256))

    async def _let_go(self, sha256: str, opened: objects.OpenObject) -> None:
        opened.close()
        self._cache.release(sha256)

    async def _drop(self, sha256: str, opened: objects.OpenObject | None) -> None:
        if opened is not None:
            self._cache.lose(sha256)
            await self._let_go(sha256, opened)
        self.state()
        item = self._names.table.objects.get(sha256)
        if item is None:
            return
        try:
            await self._supply.bring(item)
        except errors.BootResourcesError as error:
            logger.warning("object %s comes when it is asked for: %s", sha256[:12], error)

    def _is_sound(self, sha256: str, opened: objects.OpenObject) -> bool:
        whole = hashlib.sha256()
        offset = 0
        try:
            while data := os.pread(opened.fd, blocks.BLOCK_SIZE, offset):
                if self._scrub.stopping:
                    # Nothing is decided; the next start looks at it again.
                    return True
                whole.update(data)
                offset += len(data)
        except OSError as error:
            # A host that is short of something says nothing of the object.
            return error.errno in audit.OUR_OWN
        return whole.hexdigest() == sha256
