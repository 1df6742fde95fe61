"""What the local socket answers: all that the ``boot-resources`` command asks of a rack."""

import dataclasses
import time
from typing import Any

from aiohttp import web

import boot_resources
from boot_resources import errors, notices
from boot_resources.rack import cache as caches
from boot_resources.rack import names as name_tables
from boot_resources.rack import regions as region_choice
from boot_resources.rack import reloading, serving
from boot_resources.rack import supply as supplies
from boot_resources.service import control, refusals


class Commands:
    """Answers the command. Its handlers belong to the event loop."""

    def __init__(
        self,
        name: str,
        cache: caches.Cache,
        regions: region_choice.Regions,
        names: name_tables.Names,
        supply: supplies.Supply,
        machines: serving.MachinePort,
        refused: refusals.Refusals,
        board: notices.NoticeBoard,
        settings: reloading.Reloading,
    ) -> None:
        self._name = name
        self._cache = cache
        self._regions = regions
        self._names = names
        self._supply = supply
        self._machines = machines
        self._refused = refused
        self._board = board
        self._settings = settings
        self._started = time.monotonic()

    def application(self) -> web.Application:
        """Return the application for the control socket."""
        app = web.Application(middlewares=[control.answer_refusals])
        app.router.add_get("/status", self._show_status)
        app.router.add_get("/images", self._show_images)
        app.router.add_get("/cache", self._show_cache)
        app.router.add_post("/cache/drop", self._drop)
        app.router.add_post("/reload", self._reload)
        return app

    def health(self) -> dict[str, Any]:
        """Return whether this rack can serve, for load balancers and probes."""
        return {"name": self._name, "version": boot_resources.__version__, "serving": True}

    def status(self) -> dict[str, Any]:
        """Return all that `boot-resources status` shows of a rack."""
        table = self._names.table
        age = time.monotonic() - self._names.updated if self._names.updated else None
        return self.health() | {
            "controller": "rack",
            "uptime": time.monotonic() - self._started,
            "cluster": table.listed.cluster,
            "epoch": table.listed.epoch,
            "images": len(table.listed.images),
            "names_age": age,
            "regions": [_describe(health) for health in self._regions.health()],
            "cache": self.cache_status(),
            "refused": self._refused.describe(),
            "notices": [notices.describe(standing) for standing in self._board.standing()],
        }

    def responses(self) -> dict[int, int]:
        """Return how many answers machines got, by HTTP status."""
        return dict(self._machines.requests)

    def cache_status(self) -> dict[str, Any]:
        """Return how full the cache is and what it did; sizes in bytes."""
        served, filled = self._machines.served, self._regions.received
        return dataclasses.asdict(self._cache.usage()) | {
            "path": str(self._cache.root),
            "served_bytes": served,
            "fill_bytes": filled,
            "hit_ratio": max(0.0, 1 - filled / served) if served else None,
            "requests": {way.value: self._supply.ways[way] for way in supplies.Way},
            "filling": {
                sha256: {"here": here, "size": size}
                for sha256, (here, size) in self._supply.filling().items()
            },
        }

    async def _show_status(self, _: web.Request) -> web.Response:
        return web.json_response(self.status())

    async def _show_images(self, _: web.Request) -> web.Response:
        return web.json_response(self._names.table.listed.model_dump(mode="json"))

    async def _show_cache(self, _: web.Request) -> web.Response:
        names = {item.sha256: "/".join(path) for path, item in self._names.table.files.items()}
        contents = [
            {
                "sha256": sha256,
                "space": entry.space,
                "whole": entry.whole,
                "name": names.get(sha256, ""),
            }
            for sha256, entry in self._cache.contents()
        ]
        return web.json_response(self.cache_status() | {"contents": contents})

    async def _drop(self, request: web.Request) -> web.Response:
        asked = await request.json()
        here = [sha256 for sha256, _ in self._cache.contents()]
        chosen = here if asked.get("all") else _matching(here, asked["objects"])
        dropped = await self._cache.drop(chosen)
        in_use = sorted(set(chosen) - set(dropped))
        return web.json_response({"dropped": dropped, "in_use": in_use})

    async def _reload(self, _: web.Request) -> web.Response:
        changed = await self._settings.reload()
        return web.json_response({"changed": [dataclasses.asdict(each) for each in changed]})


def _matching(here: list[str], asked: list[str]) -> list[str]:
    chosen = []
    for prefix in asked:
        found = [sha256 for sha256 in here if len(prefix) >= 7 and sha256.startswith(prefix)]
        if len(found) != 1:
            raise errors.BootResourcesError(
                f"{prefix!r} names {len(found) or 'no'} objects in the cache",
                "give at least 7 digits of the sha256, as `boot-resources cache status` shows it",
            )
        chosen += found
    return chosen


def _describe(health: region_choice.Health) -> dict[str, Any]:
    return {
        "address": health.address,
        "transfers": health.busy,
        "failures": health.failures,
        "problem": health.problem,
    }
