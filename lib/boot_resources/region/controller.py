"""A region controller as one process: its ports, its threads, and what it tells the command."""

import asyncio
import contextlib
import datetime
import functools
import logging
import threading
import time
from typing import Any

import prometheus_client

import boot_resources
from boot_resources import notices
from boot_resources.catalog import database, failures
from boot_resources.plane import members, tls
from boot_resources.region import (
    adoption,
    aside,
    commands,
    condition,
    curation,
    figures,
    jobs,
    membership,
    migrating,
    migration_orders,
    serving,
    syncing,
)
from boot_resources.region import offer as offers
from boot_resources.service import control, doors, lifecycle, monitoring, ports, refusals
from boot_resources.settings import region as region_settings
from boot_resources.source import fetch, retrying
from boot_resources.store import audit, identity, storage
from boot_resources.sync import engine as engines

logger = logging.getLogger(__name__)


class RegionController:
    """Everything that one region runs. Built in the event loop's thread, and belongs to it."""

    def __init__(self, settings: region_settings.RegionSettings) -> None:
        """Put the parts together; nothing listens yet, and the store is not touched.

        Raises:
            errors.BootResourcesError: a certificate, the member list or the catalog's URL cannot
                be used.
        """
        self.settings = settings
        self.started = time.monotonic()
        self.board = notices.NoticeBoard(settings.name)
        me = tls.Identity(settings.plane.certificate, settings.plane.key, settings.plane.authority)
        tls.require_name(me, settings.name)
        self._tls = tls.server_context(me)
        self._member_file = members.MemberFile(settings.plane.members)
        self._stopping = threading.Event()
        self.catalog = database.open_catalog(settings.catalog.url)
        self.store = storage.Storage(
            settings.storage.path,
            settings.storage.reserve,
            settings.storage.removed_grace,
            lost=self._lost,
        )
        self._aside = aside.Aside()
        self.scrub = self.store.scrub(settings.storage.scrub_period)
        self.cluster = ""
        self.condition = condition.DiskCondition(self.store, self.board)
        self.offer = offers.Offer(settings.storage.path / "available.json", self.board)
        self.port = serving.PlanePort(self.board, self.store, self.offer, self._member_file)
        self._fetcher = fetch.Fetcher(
            settings.download.proxy,
            settings.download.no_proxy,
            authorities=settings.download.authorities,
            policy=retrying.Policy(sleep=self._sleep),
            cancelled=self._stopping.is_set,
        )
        self.syncing = self._build_syncing()
        self.migrating = migrating.Migrating(
            settings, self.catalog, self.store, self.syncing, self.board
        )

    def _sleep(self, seconds: float) -> None:
        """Wait, and no longer than until the region stops."""
        self._stopping.wait(seconds)

    def _take_store(self) -> None:
        """Find out which cluster this is, and take and audit the store.

        Raises:
            audit.Ended: the region stops.
            errors.BootResourcesError: the store is not this cluster's, or another controller has
                it, or the catalog cannot be used. A catalog that is down is no reason, once there
                is a store.
        """
        self.cluster = self._find_cluster()
        try:
            report = self.store.start(self.cluster, self._stopping.is_set)
        except identity.AnotherCluster as error:
            raise membership.about_owner(error, self.catalog) from error
        self.offer.keep_to(self.cluster)
        self.condition.found(report.findings)

    def _find_cluster(self) -> str:
        try:
            return membership.prepare(self.catalog)
        except (failures.CatalogUnavailable, failures.CatalogBusy) as error:
            recorded = identity.look_at_store(self.settings.storage.path).owner
            if recorded is None:
                raise
            logger.warning("starting without the catalog: %s", error)
            self.board.state(syncing.CATALOG, [membership.unreachable(error)])
            return recorded

    def _build_syncing(self) -> syncing.Syncing:
        settings = self.settings
        engine = engines.Engine(
            settings.name,
            self.catalog,
            self.store,
            self._fetcher,
            self.board,
            engines.Rules(
                settings.download.parallel,
                settings.storage.superseded_grace,
                datetime.timedelta(seconds=settings.download.stale_after),
            ),
            functools.partial(membership.declare, settings=settings),
            lambda: self.syncing.renew_offer(),
        )
        return syncing.Syncing(
            engine,
            self.catalog,
            self.offer,
            self.board,
            self.condition,
            self._join,
            settings.name,
            settings.download.sync_interval,
            self._stopping,
        )

    def _join(self) -> None:
        found = membership.prepare(self.catalog)
        if found != self.cluster:
            raise identity.ForeignDirectory(
                f"the store belongs to cluster {self.cluster}, the catalog to {found}",
                "point catalog.url to that cluster's catalog",
            )
        # First: an image that the store could offer at once may have to wait.
        self.migrating.declare()
        membership.join(self.catalog, self.store, self.settings)

    def _lost(self, finding: audit.Finding) -> None:
        self.condition.found([finding])
        # Not here: whoever found it serves, and the catalog may let it wait.
        self._aside.begin(lambda: self.syncing.lost([finding.sha256]))

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set.

        Raises:
            errors.BootResourcesError: a port or the control socket is taken, or the store or the
                catalog cannot be used.
        """
        relay = asyncio.create_task(self._relay(stop))
        try:
            await self._run(stop)
        except audit.Ended:
            logger.info("region %s was stopped before it served", self.settings.name)
        finally:
            relay.cancel()
            self._aside.close()
            self._fetcher.close()
            self.catalog.close()

    async def _relay(self, stop: asyncio.Event) -> None:
        """Let the threads know when the region is to stop."""
        await stop.wait()
        self._stopping.set()
        self.migrating.end_soon()
        self.syncing.end_soon()
        self.catalog.hurry()

    async def _run(self, stop: asyncio.Event) -> None:
        settings = self.settings
        plane, metrics = settings.plane, settings.metrics
        registry = prometheus_client.CollectorRegistry()
        registry.register(
            figures.Figures(
                self.store, self.scrub, self.offer, self.syncing, self.port, self.board
            )
        )
        async with contextlib.AsyncExitStack() as stack:
            control_socket = stack.enter_context(control.listen(settings.control.socket))
            plane_port = stack.enter_context(ports.listen(plane.listen, plane.port, "plane.port"))
            metrics_port = stack.enter_context(
                ports.listen(metrics.listen, metrics.port, "metrics.port")
            )
            # Only now: while another region runs with these settings, the store is that one's.
            await asyncio.to_thread(self._take_store)
            stack.callback(self.store.stop)
            door = doors.opened(
                self.port.application(),
                plane_port,
                self.port.refused,
                tls=lambda: self._tls,
                connections=plane.connections,
            )
            await stack.enter_async_context(door)
            for app, listening, what in (
                (monitoring.application(registry, self.health), metrics_port, "metrics port"),
                (self._commands().application(), control_socket, "control socket"),
            ):
                door = doors.opened(app, listening, refusals.Refusals(what), connections=doors.FEW)
                await stack.enter_async_context(door)
            self.syncing.start()
            self.migrating.start()
            self.scrub.start()
            stack.push_async_callback(asyncio.to_thread, self.scrub.stop)
            watching = asyncio.create_task(self.port.watch_members())
            logger.info("region %s serves on port %d", settings.name, settings.plane.port)
            lifecycle.ready()
            await stop.wait()
            lifecycle.stopping()
            logger.info("%s stops", settings.name)
            watching.cancel()
            self.offer.close()
            await asyncio.to_thread(self.migrating.stop)
            await asyncio.to_thread(self.syncing.stop)

    def _commands(self) -> commands.Commands:
        return commands.Commands(
            self.health,
            self.catalog,
            self.store,
            self.scrub,
            self.offer,
            self.board,
            self.port.served,
            self.port.refused,
            jobs.Jobs(self.store, self.syncing, self.board, self._stopping.is_set),
            curation.Curation(self.catalog, self.syncing, self._fetcher, self._aside),
            adoption.Adoption(
                self.catalog, self.store, self.syncing, self._aside, self._stopping.is_set
            ),
            migration_orders.MigrationOrders(self.migrating, self._aside),
            self._aside,
        )

    def health(self) -> dict[str, Any]:
        """Return whether this region can serve, for load balancers and probes."""
        return {
            "name": self.settings.name,
            "version": boot_resources.__version__,
            "cluster": self.cluster,
            "serving": self.offer.serves,
        }
