"""One pass of a region's sync: refresh, space, fetch, hold, offer, tidy.

Always true: a pass works from what the catalog wants and what the disk holds, and remembers
nothing that it needs; it can stop anywhere and be run again. What earlier passes saw decides only
how long a dropped object is kept. Nothing is fetched before there is room for all that is missing,
nor while a handover from MAAS is open. What cannot be had is said in a notice, and the rest goes
on.
"""

import dataclasses
import datetime
import errno
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent import futures

import sqlalchemy as sa

from boot_resources import errors, notices, units
from boot_resources.catalog import availability, cluster, database, handovers, holdings, sources
from boot_resources.source import address, fetch, reading
from boot_resources.store import facts, space, storage
from boot_resources.sync import metering, needs, progress, refresh, upstream, wording

logger = logging.getLogger(__name__)

SOURCE = "source"
"""The scope of notices about the boot source."""
SYNC = "sync"
"""The scope of notices about what is missing, and why."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one pass did; sizes in bytes.

    Attributes:
        objects: objects that it brought.
        upstream_bytes: payload bytes that came from the boot source.
        restored: objects that were removed before and came back from where they are kept.
        failures: what could not be brought, and why.
        dropped: objects that no image needs any more.
        unread: whether a document of the source could not be had.
    """

    objects: int = 0
    upstream_bytes: int = 0
    restored: int = 0
    failures: tuple[str, ...] = ()
    dropped: int = 0
    unread: bool = False

    def since(self, earlier: "Outcome") -> "Outcome":
        """Return what was done after ``earlier``, where both are sums since the start."""
        return Outcome(
            objects=self.objects - earlier.objects,
            upstream_bytes=self.upstream_bytes - earlier.upstream_bytes,
            restored=self.restored - earlier.restored,
            failures=self.failures,
            dropped=self.dropped - earlier.dropped,
            unread=self.unread,
        )

    def then(self, later: "Outcome") -> "Outcome":
        """Return the sum of this and a later outcome; the failures are those of the later."""
        return Outcome(
            objects=self.objects + later.objects,
            upstream_bytes=self.upstream_bytes + later.upstream_bytes,
            restored=self.restored + later.restored,
            failures=later.failures,
            dropped=self.dropped + later.dropped,
            unread=later.unread,
        )


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a region syncs.

    Attributes:
        parallel: objects that are fetched at once.
        superseded_grace: seconds for which an older version stays beside its successor.
        stale_after: what of the source was published longer ago raises a notice.
    """

    parallel: int
    superseded_grace: float
    stale_after: datetime.timedelta = reading.DEFAULT_MAX_AGE


class Engine:
    """The sync of one region. ``run`` is called by one thread at a time.

    Attributes:
        progress: how far a pass is.
        wanted: the objects that the catalog wanted at the last pass; None before the first.
    """

    def __init__(
        self,
        region: str,
        catalog: database.Catalog,
        store: storage.Storage,
        fetcher: fetch.Fetcher,
        board: notices.NoticeBoard,
        rules: Rules,
        declare: refresh.Declare,
        offer_changed: Callable[[], None],
    ) -> None:
        """Put the parts together.

        Args:
            region: this region's name, a member of the cluster.
            catalog: what exists.
            store: this region's objects.
            fetcher: how the boot source is reached.
            board: this region's notices.
            rules: how to sync.
            declare: makes the catalog equal the settings file, where this region leads.
            offer_changed: called whenever what is available may have changed.
        """
        self._region = region
        self._catalog = catalog
        self._store = store
        self._fetcher = fetcher
        self._board = board
        self._rules = rules
        self._declare = declare
        self._offer_changed = offer_changed
        # What the source gave wrongly, or what came right and is disputed, and why.
        self._wrong: dict[str, errors.BootResourcesError] = {}
        self._needs = needs.Needs()
        self.wanted: frozenset[str] | None = None
        self._meter = metering.Meter(catalog, region)
        self.progress = progress.Progress()

    def run(self, *, read_source: bool, stop: threading.Event) -> Outcome:
        """Do one pass.

        Args:
            read_source: whether the boot source is due to be read.
            stop: set it to end the pass early; what came is kept.

        Raises:
            errors.BootResourcesError: the catalog is not to be had, or the pass was stopped.
        """
        unread = False
        try:
            # Before the settings or the source change what is needed.
            with self._catalog.read() as conn:
                self._see_needs(conn)
            if read_source:
                self.progress.enter("source")
                unread = self._read_source()
            return dataclasses.replace(self._bring(stop), unread=unread)
        except OSError as error:
            problem = wording.of_disk(self._store.root, error)
            self._board.state(SYNC, [problem])
            return Outcome(failures=(problem.text,), unread=unread)
        finally:
            self.progress.enter("idle")

    def forget_failures(self) -> None:
        """Try again what the source once gave wrongly; an operator asked for it."""
        self._wrong.clear()

    def _read_source(self) -> bool:
        """Let the catalog follow the source; return whether it should be read again soon."""
        try:
            refreshed = refresh.refresh(
                self._catalog,
                self._fetcher,
                self._region,
                self._declare,
                self._rules.stale_after,
            )
        except (errors.SettingsError, sources.NoSource) as error:
            self._board.state(SOURCE, [wording.of_error("settings", error)])
            return False
        if refreshed is None:
            # Another region leads and says what it finds.
            self._board.state(SOURCE, [])
            return False
        if refreshed.brought_news:
            self._wrong.clear()
        self._board.state(SOURCE, wording.of_source(refreshed))
        self._offer_changed()
        return refreshed.unreachable

    def _bring(self, stop: threading.Event) -> Outcome:
        with self._catalog.read() as conn:
            if handovers.is_open(conn):
                # What a migration exports belongs to no image yet, and comes from nowhere else.
                return Outcome()
            wanted = holdings.wanted_objects(conn)
            recorded = holdings.held(conn, self._region)
        self.wanted = frozenset(each.sha256 for each in wanted)
        self._agree(self._store.held(), recorded)
        held = self._store.held()
        missing = [each for each in wanted if each.sha256 not in held]
        restored = self._restore(missing)
        missing = [each for each in missing if each.sha256 not in restored]
        try:
            self._store.room_for({each.sha256: each.size for each in missing}).require()
        except space.NotEnoughSpace as error:
            problems = [wording.of_error("space", error, notices.Severity.CRITICAL)]
            outcome = Outcome(failures=(str(error),))
        else:
            outcome, problems = self._fetch_all(missing, stop)
        outcome = dataclasses.replace(outcome, restored=len(restored))
        self._board.state(SYNC, problems)
        self.progress.enter("tidying")
        return dataclasses.replace(outcome, dropped=self._tidy())

    def _agree(self, held: Mapping[str, facts.Proof], recorded: AbstractSet[str]) -> None:
        """Make the catalog say what the disk holds, where an earlier pass could not."""
        gone = recorded - held.keys()
        if gone:
            with self._catalog.write() as conn:
                holdings.drop(conn, self._region, gone)
                availability.refresh(conn)
            self._offer_changed()
        for sha256 in held.keys() - recorded:
            self._hold_or_give_up(sha256, held[sha256])

    def _restore(self, missing: Iterable[holdings.WantedObject]) -> set[str]:
        restored = set()
        for wanted in missing:
            proof = self._store.restore(wanted.sha256)
            if proof is not None and self._hold_or_give_up(wanted.sha256, proof):
                restored.add(wanted.sha256)
        return restored

    def _hold_or_give_up(self, sha256: str, proof: facts.Proof) -> bool:
        """Hold an object that came in an earlier life; where it is disputed it comes anew."""
        try:
            self._hold(sha256, proof)
        except holdings.MapDisagreement as error:
            self._store.give_up(sha256, str(error))
            return False
        return True

    def _fetch_all(
        self, missing: Collection[holdings.WantedObject], stop: threading.Event
    ) -> tuple[Outcome, list[notices.Notice]]:
        # An operator may clear it at any time.
        wrong = dict(self._wrong)
        problems = [
            wording.of_object(each, wrong[each.sha256]) for each in missing if each.sha256 in wrong
        ]
        due = [each for each in missing if each.sha256 not in wrong]
        self.progress.expect(len(due), sum(each.size for each in due))
        before = self._meter.total
        fetched = 0
        with futures.ThreadPoolExecutor(self._rules.parallel, "fetch") as pool:
            pending = {pool.submit(self._fetch, each, stop): each for each in due}
            for done in self._as_they_end(pending):
                wanted = pending[done]
                try:
                    done.result()
                    fetched += 1
                except errors.BootResourcesError as error:
                    problems.append(wording.of_object(wanted, error))
                except OSError as error:
                    problems.append(wording.of_disk(self._store.root, error))
                    if error.errno in (errno.ENOSPC, errno.EDQUOT):
                        # Not by shutting the pool down: nobody would say that they are done.
                        for each in pending:
                            each.cancel()
                except futures.CancelledError:
                    continue
        if stop.is_set():
            raise upstream.Stopped("the sync was stopped; it goes on at the next start")
        texts = tuple(sorted({problem.text for problem in problems}))
        came = self._meter.total - before
        return Outcome(fetched, came, failures=texts), wording.one_of_each(problems)

    def _as_they_end(
        self, pending: Iterable["futures.Future[None]"]
    ) -> Iterator["futures.Future[None]"]:
        """Yield transfers as they end; what comes meanwhile goes into the ledger."""
        left = set(pending)
        while left:
            ended, left = futures.wait(left, metering.WRITE_SECONDS, futures.FIRST_COMPLETED)
            yield from ended
            self._meter.write_when_due()
        self._meter.write()

    def _fetch(self, wanted: holdings.WantedObject, stop: threading.Event) -> None:
        """Bring one object and hold it."""
        if stop.is_set():
            raise upstream.Stopped("the sync was stopped; it goes on at the next start")
        if not wanted.origins:
            raise errors.BootResourcesError(
                f"object {wanted.sha256[:12]} is in no boot source and no region has it",
                "restore it to a region's storage, or remove the image that needs it",
            )
        origin = wanted.origins[0]
        url = address.locate(origin.source_url, signed=True).url(origin.path)
        name = origin.path

        def arrived(count: int) -> None:
            self._meter.count(count)
            self.progress.arrived(name, incoming.held_bytes, wanted.size, count)

        incoming = self._store.begin(wanted.sha256, wanted.size)
        self.progress.arrived(name, incoming.held_bytes, wanted.size, 0)
        proved = False
        try:
            proof = upstream.fetch_object(self._store, self._fetcher, url, incoming, arrived, stop)
            self._hold(wanted.sha256, proof)
            proved = True
        except upstream.UpstreamWrong as error:
            self._wrong[wanted.sha256] = error
            raise
        except holdings.MapDisagreement as error:
            self._wrong[wanted.sha256] = error
            self._store.give_up(wanted.sha256, str(error))
            raise
        finally:
            self.progress.ended(name, proved=proved)

    def _hold(self, sha256: str, proof: facts.Proof) -> None:
        with self._catalog.write() as conn:
            proofs = [holdings.Proof(sha256, proof.size, proof.map_digest)]
            holdings.record(conn, self._region, proofs)
            changes = availability.refresh(conn)
        for image in changes.available:
            logger.info("available: %s", image)
        if changes.available:
            self._offer_changed()

    def _see_needs(self, conn: sa.Connection) -> frozenset[str]:
        needed = holdings.referenced(conn)
        self._needs.look(cluster.identity(conn).epoch, needed)
        return needed

    def _tidy(self) -> int:
        with self._catalog.write() as conn:
            expired = availability.expire_superseded(conn, self._rules.superseded_grace)
            needed = self._see_needs(conn)
        dropped = self._store.tidy(needed, self._needs.had)
        if dropped:
            with self._catalog.write() as conn:
                holdings.drop(conn, self._region, dropped)
        if expired:
            logger.info("no longer served: %s", ", ".join(map(str, expired)))
            self._offer_changed()
        return len(dropped)


def format_outcome(outcome: Outcome) -> str:
    """Return what a pass did, in one line for the log."""
    size = units.format_size(outcome.upstream_bytes)
    return (
        f"{outcome.objects} objects, {size} from upstream, {outcome.restored} restored, "
        f"{outcome.dropped} dropped, {len(outcome.failures)} failures"
    )
