"""One pass of a region's sync: refresh, space, fetch, hold, offer, tidy.

Always true: a pass works from what the catalog wants and what the disk holds, and remembers
nothing that it needs; it can stop anywhere and be run again. Nothing is fetched before there is
room for all that is missing. What cannot be had is said in a notice, and the rest goes on.
"""

import dataclasses
import errno
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from concurrent import futures

from boot_resources import errors, notices, units
from boot_resources.catalog import availability, database, holdings, ledger, sources
from boot_resources.source import address, fetch
from boot_resources.store import facts, space, storage
from boot_resources.sync import progress, refresh, upstream

logger = logging.getLogger(__name__)

SOURCE = "source"
"""The scope of notices about the boot source."""
SYNC = "sync"
"""The scope of notices about what is missing, and why."""
UPSTREAM_BYTES = "upstream_bytes"
"""The ledger's counter of payload bytes that came from the boot source."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one pass did; sizes in bytes.

    Attributes:
        objects: objects that it brought.
        upstream_bytes: payload bytes that came from the boot source.
        restored: objects that were removed before and came back from ``removed/``.
        failures: what could not be brought, and why.
        dropped: objects that no image needs any more.
    """

    objects: int = 0
    upstream_bytes: int = 0
    restored: int = 0
    failures: tuple[str, ...] = ()
    dropped: int = 0

    def since(self, earlier: "Outcome") -> "Outcome":
        """Return what was done after ``earlier``, where both are sums since the start."""
        return Outcome(
            objects=self.objects - earlier.objects,
            upstream_bytes=self.upstream_bytes - earlier.upstream_bytes,
            restored=self.restored - earlier.restored,
            failures=self.failures,
            dropped=self.dropped - earlier.dropped,
        )

    def then(self, later: "Outcome") -> "Outcome":
        """Return the sum of this and a later outcome; the failures are those of the later."""
        return Outcome(
            objects=self.objects + later.objects,
            upstream_bytes=self.upstream_bytes + later.upstream_bytes,
            restored=self.restored + later.restored,
            failures=later.failures,
            dropped=self.dropped + later.dropped,
        )


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a region syncs.

    Attributes:
        parallel: objects that are fetched at once.
        superseded_grace: seconds for which an older version stays beside its successor.
    """

    parallel: int
    superseded_grace: float


class Engine:
    """The sync of one region. ``run`` is called by one thread at a time."""

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
        self._wrong: dict[str, str] = {}
        self.progress = progress.Progress()

    def run(self, *, read_source: bool, stop: threading.Event) -> Outcome:
        """Do one pass.

        Args:
            read_source: whether the boot source is due to be read.
            stop: set it to end the pass early; what came is kept.

        Raises:
            errors.BootResourcesError: the catalog is not to be had, or the pass was stopped.
        """
        try:
            if read_source:
                self.progress.enter("source")
                self._read_source()
            return self._bring(stop)
        except OSError as error:
            problem = self._about_disk(error)
            self._board.state(SYNC, [problem])
            return Outcome(failures=(problem.text,))
        finally:
            self.progress.enter("idle")

    def forget_failures(self) -> None:
        """Try again what the source once gave wrongly; an operator asked for it."""
        self._wrong.clear()

    def _read_source(self) -> None:
        try:
            refreshed = refresh.refresh(self._catalog, self._fetcher, self._region, self._declare)
        except (errors.SettingsError, sources.NoSource) as error:
            self._board.state(SOURCE, [_notice("settings", error)])
            return
        if refreshed is None:
            # Another region leads and says what it finds.
            self._board.state(SOURCE, [])
            return
        if refreshed.brought_news:
            self._wrong.clear()
        self._board.state(SOURCE, _about_source(refreshed))
        self._offer_changed()

    def _bring(self, stop: threading.Event) -> Outcome:
        with self._catalog.read() as conn:
            wanted = holdings.wanted_objects(conn)
            recorded = holdings.held(conn, self._region)
        held = self._store.held()
        disagreements = self._agree(held, recorded)
        missing = [each for each in wanted if each.sha256 not in held]
        restored = self._restore(missing)
        missing = [each for each in missing if each.sha256 not in restored]
        try:
            self._store.room_for({each.sha256: each.size for each in missing}).require()
        except space.NotEnoughSpace as error:
            problems = [_notice("space", error, notices.Severity.CRITICAL)]
            outcome = Outcome(failures=(str(error),))
        else:
            outcome, problems = self._fetch_all(missing, stop)
        outcome = dataclasses.replace(outcome, restored=len(restored))
        self._board.state(SYNC, disagreements + problems)
        self.progress.enter("tidying")
        return dataclasses.replace(outcome, dropped=self._tidy())

    def _agree(
        self, held: Mapping[str, facts.Proof], recorded: AbstractSet[str]
    ) -> list[notices.Notice]:
        """Make the catalog say what the disk holds, where an earlier pass could not.

        Returns:
            a notice for each object of which another prover found something else.
        """
        gone = recorded - held.keys()
        if gone:
            with self._catalog.write() as conn:
                holdings.drop(conn, self._region, gone)
                availability.refresh(conn)
            self._offer_changed()
        problems = []
        for sha256 in held.keys() - recorded:
            try:
                self._hold(sha256, held[sha256])
            except holdings.MapDisagreement as error:
                problems.append(_notice(sha256[:12], error, notices.Severity.CRITICAL))
        return problems

    def _restore(self, missing: Iterable[holdings.WantedObject]) -> set[str]:
        restored = set()
        for wanted in missing:
            proof = self._store.restore(wanted.sha256)
            if proof is not None:
                self._hold(wanted.sha256, proof)
                restored.add(wanted.sha256)
        return restored

    def _fetch_all(
        self, missing: Collection[holdings.WantedObject], stop: threading.Event
    ) -> tuple[Outcome, list[notices.Notice]]:
        self.progress.expect(len(missing), sum(each.size for each in missing))
        fetched = 0
        came = 0
        problems: list[notices.Notice] = []
        with futures.ThreadPoolExecutor(self._rules.parallel, "fetch") as pool:
            pending = {pool.submit(self._fetch, each, stop): each for each in missing}
            for done in futures.as_completed(pending):
                wanted = pending[done]
                try:
                    came += done.result()
                    fetched += 1
                except errors.BootResourcesError as error:
                    problems.append(_about_object(wanted, error))
                except OSError as error:
                    problems.append(self._about_disk(error))
                    if error.errno in (errno.ENOSPC, errno.EDQUOT):
                        # Not by shutting the pool down: nobody would say that they are done.
                        for each in pending:
                            each.cancel()
                except futures.CancelledError:
                    continue
        if stop.is_set():
            raise upstream.Stopped("the sync was stopped; it goes on at the next start")
        texts = tuple(sorted({problem.text for problem in problems}))
        return Outcome(fetched, came, failures=texts), _one_of_each(problems)

    def _fetch(self, wanted: holdings.WantedObject, stop: threading.Event) -> int:
        """Bring one object and hold it; return the bytes that came from upstream for it."""
        if stop.is_set():
            raise upstream.Stopped("the sync was stopped; it goes on at the next start")
        if wanted.sha256 in self._wrong:
            raise upstream.UpstreamWrong(
                self._wrong[wanted.sha256], "it is tried again when the source's documents change"
            )
        if not wanted.origins:
            raise errors.BootResourcesError(
                f"object {wanted.sha256[:12]} is in no boot source and no region has it",
                "restore it to a region's storage, or remove the image that needs it",
            )
        origin = wanted.origins[0]
        url = address.locate(origin.source_url, signed=True).url(origin.path)
        name = origin.path
        came = 0

        def arrived(count: int) -> None:
            nonlocal came
            came += count
            self.progress.arrived(name, incoming.held_bytes, wanted.size, count)

        incoming = self._store.begin(wanted.sha256, wanted.size)
        self.progress.arrived(name, incoming.held_bytes, wanted.size, 0)
        proved = False
        try:
            proof = upstream.fetch_object(self._store, self._fetcher, url, incoming, arrived, stop)
            self._hold(wanted.sha256, proof)
            proved = True
        except upstream.UpstreamWrong as error:
            self._wrong[wanted.sha256] = str(error)
            raise
        finally:
            self.progress.ended(name, proved=proved)
            self._count(came)
        return came

    def _hold(self, sha256: str, proof: facts.Proof) -> None:
        with self._catalog.write() as conn:
            proofs = [holdings.Proof(sha256, proof.size, proof.map_digest)]
            holdings.record(conn, self._region, proofs)
            changes = availability.refresh(conn)
        for image in changes.available:
            logger.info("available: %s", image)
        if changes.available:
            self._offer_changed()

    def _count(self, came: int) -> None:
        with self._catalog.write() as conn:
            ledger.add(conn, self._region, {UPSTREAM_BYTES: came})

    def _tidy(self) -> int:
        with self._catalog.write() as conn:
            expired = availability.expire_superseded(conn, self._rules.superseded_grace)
            referenced = holdings.referenced(conn)
        dropped = self._store.tidy(referenced)
        if dropped:
            with self._catalog.write() as conn:
                holdings.drop(conn, self._region, dropped)
        if expired:
            logger.info("no longer served: %s", ", ".join(map(str, expired)))
            self._offer_changed()
        return len(dropped)

    def _about_disk(self, error: OSError) -> notices.Notice:
        return notices.Notice(
            key="disk",
            severity=notices.Severity.CRITICAL,
            text=f"the disk of {self._store.root} refused a write: {error.strerror}",
            cure="free space there, or look at the disk; the sync goes on by itself",
        )


def _notice(
    key: str,
    error: errors.BootResourcesError,
    severity: notices.Severity = notices.Severity.WARNING,
) -> notices.Notice:
    return notices.Notice(key, severity, str(error), error.cure)


def _about_object(
    wanted: holdings.WantedObject, error: errors.BootResourcesError
) -> notices.Notice:
    needed_by = str(wanted.images[0]) if wanted.images else wanted.sha256[:12]
    severity = (
        notices.Severity.CRITICAL
        if isinstance(error, holdings.MapDisagreement)
        else notices.Severity.WARNING
    )
    return notices.Notice(wanted.sha256[:12], severity, f"{needed_by}: {error}", error.cure)


def _one_of_each(problems: Iterable[notices.Notice]) -> list[notices.Notice]:
    return list({problem.key: problem for problem in problems}.values())


def _about_source(refreshed: refresh.Refreshed) -> Iterable[notices.Notice]:
    if refreshed.reading is None:
        yield notices.Notice(
            key="none",
            severity=notices.Severity.WARNING,
            text="there is no boot source, so no image is fetched",
            cure="set one: boot-resources sources set URL --keyring FILE",
        )
        return
    for document in refreshed.reading.documents:
        if document.error is not None:
            text = f"{document.path}: {document.error}"
            yield notices.Notice(
                document.path, notices.Severity.WARNING, text, document.error.cure
            )
    if refreshed.problems:
        first = refreshed.problems[0]
        yield notices.Notice(
            key="left-out",
            severity=notices.Severity.INFO,
            text=f"{len(refreshed.problems)} things of the source are not used, the first: "
            f"{first.where}: {first.text}",
            cure="`boot-resources sources check` lists them all",
        )
    if refreshed.plan is not None:
        for refused in refreshed.plan.refused:
            yield notices.Notice(
                str(refused.name),
                notices.Severity.WARNING,
                f"{refused.name} is refused: {refused.reason}",
                "tell whoever runs the source; the version that is there stays",
            )


def format_outcome(outcome: Outcome) -> str:
    """Return what a pass did, in one line for the log."""
    size = units.format_size(outcome.upstream_bytes)
    return (
        f"{outcome.objects} objects, {size} from upstream, {outcome.restored} restored, "
        f"{outcome.dropped} dropped, {len(outcome.failures)} failures"
    )
