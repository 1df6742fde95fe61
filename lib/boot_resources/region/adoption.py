"""``store adopt DIRECTORY``: a running region takes wanted objects out of somebody else's files.

Always true: nothing else brings objects meanwhile, since two that write one partial object would
spoil it; the sync makes way, and goes on afterwards with what is still missing. Like every long
order this is done to its end whether or not somebody watches, unless the region stops.
"""

import asyncio
import logging
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from boot_resources import errors
from boot_resources.catalog import database, handovers, holdings
from boot_resources.region import aside, syncing
from boot_resources.service import control
from boot_resources.store import intake, storage

logger = logging.getLogger(__name__)
_TICK = 0.2
_LISTED = 1000
"""How many files of one outcome an answer names; it counts all of them."""


class Adoption:
    """Answers ``store adopt``. Its handler belongs to the event loop."""

    def __init__(
        self,
        catalog: database.Catalog,
        store: storage.Storage,
        sync: syncing.Syncing,
        beside: aside.Aside,
        stopping: Callable[[], bool],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._sync = sync
        self._aside = beside
        self._stopping = stopping
        self._running: asyncio.Task[list[intake.File]] | None = None

    def add_to(self, app: web.Application) -> None:
        """Add the handler to the control socket's application."""
        app.router.add_post("/store/adopt", self._adopt)

    async def _adopt(self, request: web.Request) -> web.StreamResponse:
        directory = pathlib.Path((await request.json())["directory"])
        wanted = await self._aside.ask(self._wanted)
        # From here to where it runs nothing is waited for: of two orders one is the first.
        if self._running is not None and not self._running.done():
            raise errors.BootResourcesError(
                "the region is taking objects from a directory already", "wait for its end"
            )
        taking = intake.Intake(self._store, directory, wanted, self._stopping)
        self._running = asyncio.create_task(asyncio.to_thread(self._take, taking))
        self._running.add_done_callback(_log_failure)
        return await control.stream(request, _follow(taking, self._running))

    def _wanted(self) -> dict[str, int]:
        with self._catalog.read() as conn:
            wanted = {each.sha256: each.size for each in holdings.wanted_objects(conn)}
            # What MAAS could not give, a directory may.
            return handovers.awaited(conn) | wanted

    def _take(self, taking: intake.Intake) -> list[intake.File]:
        with self._sync.held_up():
            return taking.run()


async def _follow(
    taking: intake.Intake, running: asyncio.Task[list[intake.File]]
) -> AsyncIterator[dict[str, Any]]:
    while not running.done():
        yield {"phase": taking.phase, "here": taking.done, "total": taking.total}
        await asyncio.wait([running], timeout=_TICK)
    yield {"done": True} | _describe(running.result())


def _describe(files: list[intake.File]) -> dict[str, Any]:
    by_outcome: dict[intake.Outcome, list[intake.File]] = {each: [] for each in intake.Outcome}
    for file in files:
        by_outcome[file.outcome].append(file)
    return {
        "bytes": sum(file.size for file in by_outcome[intake.Outcome.TAKEN]),
        "counts": {outcome.value: len(found) for outcome, found in by_outcome.items()},
        "files": [
            {
                "path": str(file.path),
                "outcome": outcome.value,
                "size": file.size,
                "sha256": file.sha256,
                "detail": file.detail,
            }
            for outcome, found in by_outcome.items()
            for file in found[:_LISTED]
        ],
    }


def _log_failure(running: asyncio.Task[list[intake.File]]) -> None:
    error = None if running.cancelled() else running.exception()
    if error is not None:
        logger.warning("the taking from a directory was not done: %s", error)
