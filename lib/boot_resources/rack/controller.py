"""A rack controller as one process: its ports, its threads, and what it tells the command."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Iterator
from concurrent import futures

import prometheus_client

from boot_resources import notices
from boot_resources.plane import client as plane_client
from boot_resources.plane import members, tls
from boot_resources.rack import cache as caches
from boot_resources.rack import commands, figures, reloading, scrub, serving, upkeep
from boot_resources.rack import names as name_tables
from boot_resources.rack import regions as region_choice
from boot_resources.rack import supply as supplies
from boot_resources.service import control, doors, lifecycle, monitoring, ports, refusals
from boot_resources.settings import rack as rack_settings

logger = logging.getLogger(__name__)
_FILL_THREADS = 64
_ROOM_SECONDS = 30.0


class RackController:
    """Everything that one rack runs. Built in the event loop's thread, and belongs to it.

    Attributes:
        settings: those in force; they can be read again while it runs.
    """

    def __init__(self, settings: rack_settings.RackSettings, reread: reloading.Reread) -> None:
        """Put the parts together; nothing listens yet, and the cache is not touched.

        Args:
            settings: what to begin with.
            reread: reads them again, for ``reload``.

        Raises:
            errors.BootResourcesError: a certificate cannot be used.
        """
        self._settings = settings
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
            settings.cache.path / caches.NAMES,
            self._board,
            self._room,
            self._regions.answered,
        )
        self._supply = supplies.Supply(self._cache, self._regions, self._pool)
        self._machines = serving.MachinePort(self._names, self._supply)
        self._refused = refusals.Refusals("machine port", (refusals.Reason.FULL,))
        self._scrub = scrub.CacheScrub(
            self._cache,
            self._supply,
            self._names,
            self._board,
            self._room,
            settings.cache.scrub_period,
        )
        self._upkeep = upkeep.Upkeep(
            self._cache, self._supply, self._names, self._scrub, self._refused, self._board
        )
        self.settings = reloading.Reloading(
            settings, reread, self._cache, self._supply, self._board, self._upkeep
        )
        self._commands = commands.Commands(
            settings.name,
            self._cache,
            self._regions,
            self._names,
            self._supply,
            self._machines,
            self._refused,
            self._board,
            self.settings,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set.

        Raises:
            errors.BootResourcesError: a port or the control socket is taken, or the cache
                directory cannot be used.
        """
        settings = self._settings
        registry = prometheus_client.CollectorRegistry()
        registry.register(
            figures.Figures(self._commands.cache_status, self._commands.responses, self._refused)
        )
        registry.register(self._scrub)
        http, metrics = settings.http, settings.metrics
        async with contextlib.AsyncExitStack() as stack:
            machine_port = stack.enter_context(ports.listen(http.listen, http.port, "http.port"))
            metrics_port = stack.enter_context(
                ports.listen(metrics.listen, metrics.port, "metrics.port")
            )
            control_socket = stack.enter_context(control.listen(settings.control.socket))
            # Only now: while another rack runs with these settings, the cache is that one's.
            self._cache.start()
            monitor = monitoring.application(registry, self._commands.health)
            for app, listening, refused, connections in (
                (self._machines.application(), machine_port, self._refused, http.connections),
                (monitor, metrics_port, refusals.Refusals("metrics port"), doors.FEW),
                (
                    self._commands.application(),
                    control_socket,
                    refusals.Refusals("control socket"),
                    doors.FEW,
                ),
            ):
                door = doors.opened(app, listening, refused, connections=connections)
                await stack.enter_async_context(door)
            self._names.start()
            self._scrub.start()
            stack.push_async_callback(self._scrub.stop)
            housekeeping = asyncio.create_task(self._upkeep.run())
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

    @contextlib.contextmanager
    def _room(self, needed: int) -> Iterator[bool]:
        """Hold room in the cache for the length of a block, from another thread."""
        reserving = asyncio.run_coroutine_threadsafe(self._cache.reserve(needed), self._loop)
        try:
            yield reserving.result(_ROOM_SECONDS)
        finally:
            # Now; or, where nobody waited for it so long, when it comes.
            reserving.add_done_callback(functools.partial(self._give_back, needed))

    def _give_back(self, held: int, reserved: futures.Future[bool]) -> None:
        """End a reservation of ``held`` bytes, if that was one; from any thread."""
        if not reserved.cancelled() and reserved.exception() is None and reserved.result():
            self._loop.call_soon_threadsafe(self._cache.give_back, held)
