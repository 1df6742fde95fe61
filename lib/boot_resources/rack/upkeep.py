"""What a rack does for itself every few seconds: keep its promises, and say what is wrong.

Always true: whatever fails here is logged and tried again at the next turn; serving goes on.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from boot_resources import notices
from boot_resources.rack import cache as caches
from boot_resources.rack import condition
from boot_resources.rack import names as name_tables
from boot_resources.rack import scrub as scrubs
from boot_resources.rack import supply as supplies
from boot_resources.service import refusals

logger = logging.getLogger(__name__)
_SECONDS = 5.0


class Upkeep:
    """Belongs to the event loop."""

    def __init__(
        self,
        cache: caches.Cache,
        supply: supplies.Supply,
        names: name_tables.Names,
        scrub: scrubs.CacheScrub,
        refused: refusals.Refusals,
        board: notices.NoticeBoard,
    ) -> None:
        self._cache = cache
        self._supply = supply
        self._names = names
        self._scrub = scrub
        self._refused = refused
        self._board = board

    async def run(self) -> None:
        """Keep house until this is cancelled."""
        while True:
            await _attempt(self._keep_order, "the order of use could not be made durable")
            await _attempt(self._look_after, "the cache could not be looked after")
            await asyncio.sleep(_SECONDS)

    async def _keep_order(self) -> None:
        await asyncio.to_thread(self._cache.sync)

    async def _look_after(self) -> None:
        # What was written beside the objects may have grown, and a disk may let go of more.
        await self._cache.trim()
        self.state()

    def state(self) -> None:
        """Say what is so now.

        Raises:
            OSError: the cache's directory cannot be looked at.
        """
        usage = self._cache.usage()
        disk = os.statvfs(self._cache.root)
        passed = self._supply.passed.lately(self._names.table.objects, self._cache.fits)
        found = [
            *condition.of_the_bound(usage),
            *condition.of_the_disk(usage, str(self._cache.root), disk.f_bavail * disk.f_frsize),
            *condition.of_what_passed(passed, usage.limit),
        ]
        self._board.state(condition.SCOPE, found)
        self._scrub.state()
        self._board.state(refusals.SCOPE, self._refused.notices())


async def _attempt(task: Callable[[], Awaitable[None]], failure: str) -> None:
    """Do something whose failure ends nothing; it is logged."""
    try:
        await task()
    except OSError as error:
        logger.warning("%s: %s", failure, error)
    except Exception:
        # A defect must not end the upkeep for good.
        logger.exception("%s, in a way that it should not", failure)
