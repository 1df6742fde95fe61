"""A rack controller as one process: its ports, its threads, and what it tells the command."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterable
from concurrent import futures
from typing import Any

import prometheus_client
from aiohttp import web

import boot_resources
from boot_resources import errors, notices, units
from boot_resources.plane import client as plane_client
from boot_resources.plane import members, tls
from boot_resources.rack import cache as caches
from boot_resources.rack import figures, serving
from boot_resources.rack import names as name_tables
from boot_resources.rack import regions as region_choice
from boot_resources.rack import supply as supplies
from boot_resources.service import control, lifecycle, monitoring, ports
from boot_resources.settings import rack as rack_settings

logger = logging.getLogger(__name__)
_FILL_THREADS = 64
_HOUSEKEEPING_SECONDS = 5.0
_ROOM_SECONDS = 30.0


class RackController:
    """Everything that one rack runs. Built in the event loop's thread, and belongs to it."""

    def __init__(self, settings: rack_settings.RackSettings) -> None:
        """Put the parts together; nothing listens yet, and the cache is not touched.

        Raises:
            errors.BootResourcesError: a certificate cannot be used.
        """
        self._settings = settings
        self._started = time.monotonic()
        self._board = notices.NoticeBoard(settings.name)
        identity = tls.Identity(
            settings.plane.certificate, settings.plane.key, settings.plane.authority
        )
        tls.require_name(identity, settings.name)
        member_file = members.MemberFile(settings.plane.members)

        def clients(
            timeouts: plane_client.Timeouts | None = None,
        ) -> list[plane_client.RegionClient]:
            return [
                plane_client.RegionClient(address, identity, member_file, timeouts)
                for address in settings.regions
            ]

        self._cache = caches.Cache(settings.cache.path, settings.cache.size)
        self._pool = futures.ThreadPoolExecutor(_FILL_THREADS, "fill")
        self._regions = region_choice.Regions(clients())
        self._loop = asyncio.get_running_loop()
        self._names = name_tables.Names(
            clients(name_tables.TIMEOUTS),
            settings.cache.path / "names.json",
            self._board,
            self._make_room,
            self._regions.answered,
        )
        self._supply = supplies.Supply(self._cache, self._regions, self._pool)
        self._machines = serving.MachinePort(self._names, self._supply)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set.

        Raises:
            errors.BootResourcesError: a port or the control socket is taken, or the cache
                directory cannot be used.
        """
        settings = self._settings
        registry = prometheus_client.CollectorRegistry()
        registry.register(figures.Figures(self.cache_status, self.responses))
        http, metrics = settings.http, settings.metrics
        async with contextlib.AsyncExitStack() as stack:
            machine_port = stack.enter_context(ports.listen(http.listen, http.port, "http.port"))
            metrics_port = stack.enter_context(
                ports.listen(metrics.listen, metrics.port, "metrics.port")
            )
            control_socket = stack.enter_context(control.listen(settings.control.socket))
            # Only now: while another rack runs with these settings, the cache is that one's.
            self._cache.start()
            for app, listening in (
                (self._machines.application(), machine_port),
                (monitoring.application(registry, self.health), metrics_port),
                (self._control(), control_socket),
            ):
                runner = await lifecycle.runner_for(app)
                site = lifecycle.site_on(runner, listening)
                await stack.enter_async_context(lifecycle.serving(runner, site))
            self._names.start()
            housekeeping = asyncio.create_task(self._keep_house())
            logger.info("rack %s serves on port %d", settings.name, settings.http.port)
            lifecycle.ready()
            await stop.wait()
            lifecycle.stopping()
            logger.info("%s stops", settings.name)
            housekeeping.cancel()
            await asyncio.to_thread(self._names.stop)
            await self._supply.stop()
        self._cache.stop()
        self._regions.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            try:
                await asyncio.to_thread(self._cache.sync)
            except OSError as error:
                logger.warning("the order of use could not be made durable: %s", error)
            # What was written beside the objects may have grown.
            await self._cache.make_room(0)
            self._board.state("cache", self._cache_notices())

    def _cache_notices(self) -> Iterable[notices.Notice]:
        listed = self._names.table.objects
        passed = {name: size for name, size in self._supply.passed.items() if name in listed}
        limit = self._settings.cache.size
        if passed and max(passed.values()) >= limit:
            yield notices.Notice(
                key="too-large",
                severity=notices.Severity.WARNING,
                text=f"an object of {units.format_size(max(passed.values()))} is larger than the "
                f"cache of {units.format_size(limit)}; it passes through whenever it is asked for",
                cure="raise cache.size",
            )
        elif passed:
            yield notices.Notice(
                key="no-room",
                severity=notices.Severity.WARNING,
                text=f"{len(passed)} objects passed through, because the cache was in use or its "
                "disk full when they were asked for",
                cure="raise cache.size, or free space on its disk",
            )

    def _make_room(self, needed: int) -> bool:
        """Make room in the cache, from another thread."""
        made = asyncio.run_coroutine_threadsafe(self._cache.make_room(needed), self._loop)
        return made.result(_ROOM_SECONDS)

    def health(self) -> dict[str, Any]:
        """Return whether this rack can serve, for load balancers and probes."""
        return {
            "name": self._settings.name,
            "version": boot_resources.__version__,
            "serving": True,
        }

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
            "hit_ratio": 1 - filled / served if served else None,
            "requests": {way.value: self._supply.ways[way] for way in supplies.Way},
            "filling": {
                sha256: {"here": here, "size": size}
                for sha256, (here, size) in self._supply.filling().items()
            },
        }

    def _control(self) -> web.Application:
        app = web.Application(middlewares=[control.answer_refusals])
        app.router.add_get("/status", self._show_status)
        app.router.add_get("/images", self._show_images)
        app.router.add_get("/cache", self._show_cache)
        app.router.add_post("/cache/drop", self._drop)
        return app

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
