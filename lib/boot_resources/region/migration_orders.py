"""Orders about the migration: would it fit and work, do it, finish it.

A run is done to its end whether or not somebody watches, unless the region stops; whoever asks
again without further orders watches the run that is under way.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from concurrent import futures
from typing import Any

from aiohttp import web

from boot_resources import errors
from boot_resources.catalog import handovers, names
from boot_resources.migration import finish, handover, preflight, progress
from boot_resources.region import aside, migrating
from boot_resources.service import control

_TICK = 0.2


class NoBackup(errors.BootResourcesError):
    """The order to finish does not say that there is a backup."""

    def __init__(self) -> None:
        super().__init__(
            "what leaves MAAS's database does not come back",
            "back it up, and say so: boot-resources migrate --finish --yes-i-have-a-backup",
        )


class MigrationOrders:
    """Answers ``migrate``. Its handlers belong to the event loop."""

    def __init__(
        self,
        migration: migrating.Migrating,
        beside: aside.Aside,
    ) -> None:
        self._migration = migration
        self._aside = beside

    def add_to(self, app: web.Application) -> None:
        """Add the handlers to the control socket's application."""
        app.router.add_post("/migrate", self._migrate)
        app.router.add_post("/migrate/check", self._check)
        app.router.add_post("/migrate/finish", self._finish)

    def describe(self) -> dict[str, Any]:
        """Return whether the region is told to migrate, and how far a run is."""
        return {
            "told": self._migration.told,
            "under_way": self._migration.under_way,
            "progress": _describe_progress(self._migration.progress),
        }

    async def _check(self, request: web.Request) -> web.Response:
        order = await request.json()
        online = bool(order.get("online"))
        found = await self._aside.ask(lambda: self._migration.check(online=online))
        return web.json_response(describe_check(found))

    async def _migrate(self, request: web.Request) -> web.StreamResponse:
        order = await request.json()
        orders = handover.Orders(
            online=bool(order.get("online")),
            accept_lost=[names.ImageName.parse(each) for each in order.get("accept_lost", ())],
            by=str(order.get("by", "")),
        )
        running = self._migration.migrate(orders)
        return await control.stream(request, self._follow(running))

    async def _finish(self, request: web.Request) -> web.StreamResponse:
        order = await request.json()
        if order.get("backup") is not True:
            raise NoBackup
        running = self._migration.empty_maas(orphans=bool(order.get("orphans")))
        return await control.stream(request, self._follow_the_end(running))

    async def _follow_the_end(
        self, running: futures.Future[finish.Finished]
    ) -> AsyncIterator[dict[str, Any]]:
        while not running.done():
            what, here, total = self._migration.finishing or ("looking", 0, 0)
            yield {"phase": what, "here": here, "total": total}
            await asyncio.sleep(_TICK)
        yield {"done": True} | dataclasses.asdict(running.result())

    async def _follow(self, running: migrating.Run) -> AsyncIterator[dict[str, Any]]:
        while not running.done():
            yield _describe_progress(self._migration.progress) or {"here": 0, "total": 0}
            await asyncio.sleep(_TICK)
        yield {"done": True} | _describe_handover(running.result())


def _describe_progress(reached: progress.Progress | None) -> dict[str, Any] | None:
    if reached is None:
        return None
    return {
        "here": reached.size,
        "total": reached.of_size,
        "objects": reached.objects,
        "of_objects": reached.of_objects,
        "rate": reached.rate,
        "seconds_left": reached.seconds_left,
    }


def describe_check(found: preflight.Check) -> dict[str, Any]:
    """Return what is known before an export, as plain values."""
    return {
        "ready": found.ready,
        "maas": found.generation.value,
        "counts": dataclasses.asdict(found.counts),
        "broken": [{"image": image} | dataclasses.asdict(flaw) for image, flaw in found.broken],
        "to_read": found.to_read,
        "needed": found.room.needed,
        "free": found.room.free,
        "reserve": found.room.reserve,
        "seconds": found.seconds,
        "clients": [dataclasses.asdict(each) for each in found.clients],
        "query": found.query,
        "reader": found.way.value if found.way else None,
        "grant": found.grant,
        "blockers": [dataclasses.asdict(each) for each in found.blockers],
    }


def describe_handover(found: handovers.Handover | None) -> dict[str, Any] | None:
    """Return how the handover stands, as plain values."""
    if found is None:
        return None
    return {
        "region": found.region,
        "maas": found.maas,
        "withholds": found.withholds,
        "succeeded": found.succeeded.isoformat(timespec="seconds") if found.succeeded else None,
        "finished": found.finished.isoformat(timespec="seconds") if found.finished else None,
        "set_aside": [dataclasses.asdict(each) for each in found.set_aside],
    }


def _describe_handover(done: handover.Handover | None) -> dict[str, Any]:
    """Return what a run came to; one at the start that found nothing to do came to nothing."""
    arrived = done.arrived if done else None
    return {
        "succeeded": done is None or done.outcome.succeeded,
        "read": done.read if done else 0,
        "added": [str(each) for each in arrived.added] if arrived else [],
        "available": [str(each) for each in arrived.available] if arrived else [],
        "parted": [str(each) for each in done.parted] if done else [],
        "set_aside": [
            {
                "image": str(each.image),
                "filename": each.filename,
                "sha256": each.sha256,
                "size": each.size,
                "reason": each.reason,
                "resolution": each.resolution.value,
            }
            for each in (done.outcome.set_aside if done else ())
        ],
    }
