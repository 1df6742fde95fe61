"""The migration out of a MAAS database, as a running region does it: at its start, and when asked.

Always true: one run at a time, in the order in which they were asked for, and no sync pass beside
it. While a handover is open nothing is brought from upstream and nothing is tidied away
(``sync.engine``); the boot source is read all the same, first, since what it lists need not be
lost. What is in the way is said in a notice until a run has succeeded; the next start, or the
command, tries again. What only has to be waited for at the start, which is the first pass or
another region's run, is waited for; whoever asks meanwhile is told.
"""

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from concurrent import futures
from typing import TypeVar

from boot_resources import errors, notices
from boot_resources.catalog import database as catalogs
from boot_resources.catalog import handovers
from boot_resources.migration import (
    database,
    export,
    finish,
    handover,
    inventory,
    outcome,
    preflight,
    progress,
    turns,
)
from boot_resources.region import migration_notices, syncing
from boot_resources.settings import region as region_settings
from boot_resources.store import storage
from boot_resources.sync import listing

logger = logging.getLogger(__name__)
_TICK = 0.2
_ANOTHER_SECONDS = 5.0
T = TypeVar("T")
Run = futures.Future["handover.Handover | None"]


class NotSynced(errors.BootResourcesError):
    """The region has not come to its first whole sync pass."""

    def __init__(self, error: str) -> None:
        super().__init__(
            f"the region could not begin: {error}",
            "`boot-resources status` says what to do about it; then it migrates by itself",
        )


class NotTold(errors.BootResourcesError):
    """The settings name no MAAS database."""

    def __init__(self, region: str) -> None:
        super().__init__(
            f"region {region} is told of no MAAS database",
            "name one in its settings file, as migration.url-file, and start it anew",
        )


def check(
    settings: region_settings.RegionSettings,
    held: set[str],
    judge: preflight.Judge | None = None,
    *,
    online: bool,
) -> preflight.Check:
    """Look at the MAAS database and the store that the settings name; change nothing.

    Args:
        settings: the region's; it may be stopped.
        held: the objects that its store holds.
        judge: says what it would come to; None while the region is stopped.
        online: whether MAAS may be connected.

    Raises:
        errors.BootResourcesError: there is nothing to look at, with its cure.
    """
    told = require_told(settings)
    maas = database.Database(told.database_url())
    return preflight.check(
        maas, settings.storage.path, settings.storage.reserve, held, judge, online=online
    )


def require_told(settings: region_settings.RegionSettings) -> region_settings.Migration:
    """Return which database the settings name.

    Raises:
        NotTold: none.
    """
    if settings.migration is None:
        raise NotTold(settings.name)
    return settings.migration


class Migrating:
    """Migrates, one run at a time. Its methods may be called by any thread.

    Attributes:
        progress: how far the run is; None where none is under way, or before it read anything.
        finishing: what the end is at, how much of that is done and how much there is, or None.
    """

    def __init__(
        self,
        settings: region_settings.RegionSettings,
        catalog: catalogs.Catalog,
        store: storage.Storage,
        sync: syncing.Syncing,
        board: notices.NoticeBoard,
    ) -> None:
        self.progress: progress.Progress | None = None
        self.finishing: tuple[str, int, int] | None = None
        self._settings = settings
        self._catalog = catalog
        self._store = store
        self._sync = sync
        self._notices = migration_notices.MigrationNotices(board, lambda: sync.withheld)
        self._threads = futures.ThreadPoolExecutor(1, "migration")
        # Protects the two below.
        self._lock = threading.Lock()
        self._running: Run | None = None
        self._end: futures.Future[finish.Finished] | None = None
        self._halt = threading.Event()
        self._stopping = threading.Event()

    @property
    def told(self) -> bool:
        """Whether the settings name a MAAS database."""
        return self._settings.migration is not None

    @property
    def under_way(self) -> bool:
        """Whether a run is under way."""
        return any(each is not None and not each.done() for each in (self._running, self._end))

    def declare(self) -> None:
        """Make the catalog say whether this region is told to migrate; before it joins.

        Raises:
            errors.BootResourcesError: the catalog is not to be had.
        """
        with self._catalog.write() as conn:
            if self.told:
                handovers.begin(conn, self._settings.name, self._place() or "")
            elif handovers.call_off(conn, self._settings.name):
                logger.warning("the migration is called off: the settings name no MAAS database")

    def start(self) -> None:
        """Begin to migrate where the settings say so, once the first sync pass has ended."""
        if self.told:
            self._begin(after=0)

    def stop(self) -> None:
        """End the run that is under way and wait for it; what it exported is kept."""
        self.end_soon()
        self._threads.shutdown(wait=True)

    def end_soon(self) -> None:
        """Let the run that is under way end early, without waiting for that."""
        with self._lock:
            self._stopping.set()
        self._halt.set()

    def check(self, *, online: bool) -> preflight.Check:
        """Look at the MAAS database, the store and the catalog; change nothing.

        Raises:
            errors.BootResourcesError: there is nothing to look at, with its cure.
        """
        told = require_told(self._settings)
        with self._catalog.read() as conn:
            handover.require_unfinished(conn, database.Database(told.database_url()))
        # Before the first pass nobody knows what the source lists.
        judge = self._foresee if self._sync.last.outcome is not None else None
        return check(self._settings, set(self._store.held()), judge, online=online)

    def _foresee(self, found: inventory.Inventory, sound: AbstractSet[str]) -> outcome.Outcome:
        with self._catalog.read() as conn:
            return handover.foresee(conn, found, sound, handover.Orders(offered=listing.offered))

    def migrate(self, orders: handover.Orders) -> Run:
        """Begin to migrate, after what is under way.

        Without further orders, what a run that is under way comes to is the answer.

        Raises:
            NotTold: the settings name no database.
            NotSynced: the last pass failed; another comes soon.
        """
        require_told(self._settings)
        if (last := self._sync.last).number and last.outcome is None:
            self._sync.nudge()
            raise NotSynced(last.error)
        with self._lock:
            before = self._running
            if before is None or before.done() or orders.online or orders.accept_lost:
                return self._submit(lambda: self._migrate(orders))
            # One that began at the start may find that there was nothing to do.
            return self._submit(lambda: before.result() or self._migrate(orders))

    def empty_maas(self, *, orphans: bool) -> futures.Future[finish.Finished]:
        """Begin to remove MAAS's images from its database, after what is under way; irreversible.

        Raises:
            NotTold: the settings name no database.
        """
        require_told(self._settings)
        with self._lock:
            self._end = self._threads.submit(self._empty_maas, orphans)
            return self._end

    def _empty_maas(self, orphans: bool) -> finish.Finished:
        def work(halt: threading.Event) -> finish.Finished:
            return finish.finish(
                database.Database(require_told(self._settings).database_url()),
                self._catalog,
                self._settings.name,
                self._store,
                self._tell,
                halt,
                orphans=orphans,
            )

        done = self._alone(work)
        self._notices.nothing()
        logger.warning("MAAS's database no longer holds its images: %s", done)
        return done

    def _tell(self, what: str, here: int, total: int) -> None:
        self.finishing = what, here, total

    def _submit(self, run: Callable[[], handover.Handover | None]) -> Run:
        self._running = self._threads.submit(run)
        return self._running

    def _begin(self, after: int, pause: float = 0.0) -> None:
        """Migrate as at the start: when a pass has been whole, of those after this number."""
        with self._lock:
            if self._stopping.is_set():
                return
            running = self._submit(lambda: self._at_start(after, pause))
        running.add_done_callback(_log_failure)

    def _at_start(self, after: int, pause: float) -> handover.Handover | None:
        """Migrate, unless that was done before and nothing is open.

        Raises:
            NotSynced: a pass failed; this is begun again, to wait for the next one.
            turns.AnotherMigrates: as above, until that one has ended.
        """
        self._stopping.wait(pause)
        while (last := self._sync.last).outcome is None:
            if last.number > after:
                self._begin(last.number)
                raise NotSynced(last.error)
            if self._stopping.wait(_TICK):
                return None
        if migration_notices.is_done(self._find(), self._place()):
            self._notices.nothing()
            return None
        try:
            return self._migrate(handover.Orders())
        except turns.AnotherMigrates as error:
            self._notices.another(error)
            self._begin(after, _ANOTHER_SECONDS)
            raise

    def _find(self) -> handovers.Handover | None:
        with self._catalog.read() as conn:
            return handovers.find(conn)

    def _place(self) -> str | None:
        """Return which database this region is told of; None where that cannot be read now."""
        try:
            return database.Database(require_told(self._settings).database_url()).place
        except errors.SettingsError:
            return None

    def _migrate(self, orders: handover.Orders) -> handover.Handover:
        told = require_told(self._settings)
        rules = export.Rules(parallel=told.parallel)
        orders = dataclasses.replace(orders, rules=rules, offered=listing.offered)

        def work(halt: threading.Event) -> handover.Handover:
            return handover.migrate(
                database.Database(told.database_url()),
                self._catalog,
                self._settings.name,
                self._store,
                orders,
                self._report,
                halt,
            )

        self._notices.working()
        try:
            done = self._alone(work)
        except errors.BootResourcesError as error:
            if not self._stopping.is_set():
                self._say_why_not(error)
            raise
        except Exception:
            self._notices.broken()
            raise
        self._notices.came_to(done.outcome)
        if done.arrived is not None:
            logger.info("the migration has succeeded: %d images", len(done.arrived.added))
        self._sync.renew_offer()
        return done

    def _alone(self, work: Callable[[threading.Event], T]) -> T:
        """Do it with the sync held up; it is given what ends it early."""
        self._halt = halt = threading.Event()
        if self._stopping.is_set():
            raise export.Stopped
        try:
            with self._sync.held_up():
                return work(halt)
        finally:
            self.progress = self.finishing = None

    def _say_why_not(self, error: errors.BootResourcesError) -> None:
        known = None
        # The catalog may be what is in the way.
        with contextlib.suppress(errors.BootResourcesError):
            known = self._find()
        self._notices.refused(error, known, self._place())

    def _report(self, reached: progress.Progress) -> None:
        self.progress = reached


def _log_failure(running: Run) -> None:
    error = None if running.cancelled() else running.exception()
    if isinstance(error, (NotSynced, turns.AnotherMigrates)):
        # Stands as a notice, which is logged once, and is begun again.
        return
    if isinstance(error, errors.BootResourcesError):
        logger.warning("the migration was not done: %s", error)
    elif error is not None:
        logger.error("the migration failed in a way that it should not", exc_info=error)
