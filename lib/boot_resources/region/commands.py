"""What the local socket answers: all that the ``boot-resources`` command asks of a region.

The command never opens a running region's database; the region does it for the command, in a
worker thread, so that serving never waits for it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from boot_resources import errors, notices, units
from boot_resources.catalog import cluster, database, handovers, ledger, noticeboard, sources
from boot_resources.plane import members
from boot_resources.region import adoption, aside, curation, jobs, migration_orders
from boot_resources.region import offer as offers
from boot_resources.service import control, refusals
from boot_resources.store import scrub as scrubs
from boot_resources.store import space, storage

logger = logging.getLogger(__name__)
_LARGEST_ORDER = 16 * units.MIB
"""Bytes; an order may carry a keyring."""
_CATALOG_SECONDS = 3.0
"""How long a status waits for what the catalog knows."""


class Commands:
    """Answers the command. Its handlers belong to the event loop."""

    def __init__(
        self,
        health: Callable[[], dict[str, Any]],
        catalog: database.Catalog,
        store: storage.Storage,
        scrub: scrubs.Scrub,
        offer: offers.Offer,
        board: notices.NoticeBoard,
        served: Mapping[members.Role, int],
        refused: refusals.Refusals,
        long_orders: jobs.Jobs,
        curator: curation.Curation,
        adopter: adoption.Adoption,
        migrator: migration_orders.MigrationOrders,
        beside: aside.Aside,
    ) -> None:
        self._health = health
        self._catalog = catalog
        self._store = store
        self._scrub = scrub
        self._offer = offer
        self._board = board
        self._served = served
        self._refused = refused
        self._jobs = long_orders
        self._curator = curator
        self._adopter = adopter
        self._migrator = migrator
        self._aside = beside
        self._started = time.monotonic()

    def application(self) -> web.Application:
        """Return the application for the control socket."""
        app = web.Application(
            middlewares=[control.answer_refusals], client_max_size=_LARGEST_ORDER
        )
        app.router.add_get("/status", self._status)
        self._jobs.add_to(app)
        self._curator.add_to(app)
        self._adopter.add_to(app)
        self._migrator.add_to(app)
        return app

    async def _status(self, _: web.Request) -> web.Response:
        offered = self._offer.current
        room = await asyncio.to_thread(self._room)
        held = self._store.held()
        status = self._health() | {
            "controller": "region",
            "uptime": time.monotonic() - self._started,
            "epoch": offered.epoch if offered else None,
            "images": len(offered.images) if offered else 0,
            "storage": {
                "path": str(self._store.root),
                "objects": len(held),
                "bytes": sum(proof.size for proof in held.values()),
                "free": room.free if room else 0,
                "reserve": self._store.reserve,
            },
            "scrub": self._scrub.describe(),
            "served": {role.value: size for role, size in self._served.items()},
            "refused": self._refused.describe(),
            "sync": self._jobs.describe_sync(),
            "migration": self._migrator.describe(),
            "notices": [notices.describe(each) for each in self._board.standing()],
        }
        try:
            async with asyncio.timeout(_CATALOG_SECONDS):
                status |= await self._aside.ask(self._catalog_status)
        except (errors.BootResourcesError, TimeoutError) as error:
            # The rest of the status is of more use than a refusal.
            late = f"the catalog at {self._catalog.name} does not answer"
            status |= {
                "catalog": f"{error}" or late,
                "catalog_answers": False,
                "source": None,
                "ledger": {},
                "handover": None,
            }
        return web.json_response(status)

    def _room(self) -> space.Room | None:
        try:
            return self._store.room_for({})
        except OSError as error:
            # The rest of the status is of more use than a refusal.
            logger.warning("the space in %s is not known: %s", self._store.root, error)
            return None

    def _catalog_status(self) -> dict[str, Any]:
        with self._catalog.read() as conn:
            managed = sources.get_source(conn)
            others = {member.name for member in cluster.members(conn)} - {self._health()["name"]}
            noted = [
                notices.describe(each)
                for each in noticeboard.standing(conn)
                if each.unit in others
            ]
            totals = ledger.totals(conn)
            handover = handovers.find(conn)
        return {
            "catalog": self._catalog.name,
            "catalog_answers": True,
            "source": curation.describe_source(managed),
            "ledger": totals,
            "handover": migration_orders.describe_handover(handover),
            "other_notices": noted,
        }
