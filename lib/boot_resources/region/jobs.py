"""The long orders of the command: a sync that is followed, a check of every byte.

Each answers with one JSON document a line, as it goes on. The work itself does not depend on who
watches: it is done to its end, and only a stop of the region ends it early.
"""

import asyncio
import dataclasses
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from boot_resources import notices
from boot_resources.region import syncing
from boot_resources.service import control
from boot_resources.store import audit, storage

logger = logging.getLogger(__name__)
_TICK = 0.2


class Jobs:
    """Answers `sync` and `verify`. Its handlers belong to the event loop."""

    def __init__(
        self,
        store: storage.Storage,
        sync: syncing.Syncing,
        board: notices.NoticeBoard,
        stopping: Callable[[], bool],
    ) -> None:
        self._store = store
        self._sync = sync
        self._board = board
        self._stopping = stopping

    def add_to(self, app: web.Application) -> None:
        """Add the handlers to the control socket's application."""
        app.router.add_post("/sync", self._run_sync)
        app.router.add_get("/sync", self._show_sync)
        app.router.add_post("/verify", self._verify)

    def describe_sync(self) -> dict[str, Any]:
        """Return how far the sync is, and how the last pass ended."""
        last = self._sync.last
        return self._sync.engine.progress.snapshot().describe() | {
            "passes": last.number,
            "last_ended": last.ended,
            "last_error": last.error,
            "last_outcome": dataclasses.asdict(last.outcome) if last.outcome else None,
        }

    async def _show_sync(self, _: web.Request) -> web.Response:
        return web.json_response(self.describe_sync())

    async def _run_sync(self, request: web.Request) -> web.StreamResponse:
        before = self._sync.total
        wanted = self._sync.ask()

        async def follow() -> AsyncIterator[dict[str, Any]]:
            while self._sync.last.number < wanted:
                sync = self.describe_sync()
                # Of a stream, `done` says whether this is the end of it, not how many bytes came.
                yield sync | {"here": sync["done"], "done": False}
                await asyncio.sleep(_TICK)
                if self._sync.stopped:
                    return
            yield self.describe_sync() | {
                "done": True,
                "brought": dataclasses.asdict(self._sync.total.since(before)),
                "notices": [notices.describe(each) for each in self._board.standing()],
            }

        return await control.stream(request, follow())

    async def _verify(self, request: web.Request) -> web.StreamResponse:
        held = self._store.held()
        total = sum(proof.size for proof in held.values())
        checked = 0
        lock = threading.Lock()

        def advance(count: int) -> None:
            nonlocal checked
            with lock:
                checked += count

        # All of it is done whether or not somebody still watches, but not past a stop.
        work = asyncio.to_thread(self._store.verify, advance, self._stopping)
        checking = asyncio.create_task(work)
        checking.add_done_callback(_log_failure)

        async def follow() -> AsyncIterator[dict[str, Any]]:
            while not checking.done():
                yield {"total": total, "checked": checked, "objects": len(held)}
                await asyncio.wait([checking], timeout=_TICK)
            report = checking.result()
            yield {
                "done": True,
                "total": total,
                "checked": checked,
                "objects": len(held),
                "sound": len(report.sound),
                "findings": [
                    {"sha256": f.sha256, "verdict": f.verdict.value, "detail": f.detail}
                    for f in report.findings
                ],
                "strangers": [str(path) for path in report.strangers],
            }

        return await control.stream(request, follow())


def _log_failure(checking: asyncio.Task[audit.Report]) -> None:
    error = None if checking.cancelled() else checking.exception()
    if error is not None:
        logger.warning("a check of the store was not done: %s", error)
