"""The thread that runs the sync: every interval, when asked, and again soon after a failure.

The catalog may be down when the region starts: then the thread keeps trying to join, and what is
offered from disk goes on being served meanwhile. Between passes the thread looks after the catalog
every few seconds, so that what others made available is offered soon, and so that a database that
goes away is spoken of before anybody needs it. A source that cannot be read is asked again soon,
then less and less often, and at the latest after the interval.
"""

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from boot_resources import errors, notices
from boot_resources.catalog import (
    availability,
    cluster,
    database,
    failures,
    handovers,
    holdings,
    noticeboard,
)
from boot_resources.region import condition, membership
from boot_resources.region import offer as offers
from boot_resources.sync import engine as engines
from boot_resources.sync import upstream

logger = logging.getLogger(__name__)
_RETRY_SECONDS = 30.0
_CATALOG_RETRY_SECONDS = 2.0
_LOOK_SECONDS = 5.0
CATALOG = "database"
"""The scope of notices about reaching and using the catalog."""


@dataclasses.dataclass(frozen=True)
class LastPass:
    """How the last pass ended.

    Attributes:
        number: passes since the start; 0 before the first.
        ended: seconds since the epoch; None before the first.
        outcome: what it did; None where it failed.
        error: why it failed; empty where it did not.
    """

    number: int = 0
    ended: float | None = None
    outcome: engines.Outcome | None = None
    error: str = ""


class Syncing:
    """Runs passes, one at a time. Its methods may be called by any thread.

    Attributes:
        last: how the last pass ended.
        total: what all passes did since the start, with the failures of the last.
    """

    def __init__(
        self,
        engine: engines.Engine,
        catalog: database.Catalog,
        offer: offers.Offer,
        board: notices.NoticeBoard,
        disk: condition.DiskCondition,
        join: Callable[[], None],
        region: str,
        interval: float,
        stop: threading.Event,
    ) -> None:
        self.engine = engine
        self.last = LastPass()
        self.total = engines.Outcome()
        self._catalog = catalog
        self._offer = offer
        self._board = board
        self._disk = disk
        self._join = join
        self._region = region
        self._interval = interval
        self._stop = stop
        # Ends the pass that is under way, for good or to make room for something else.
        self._interrupt = threading.Event()
        # Held by whoever brings objects: a pass, or what holds the passes up.
        self._turn = threading.Lock()
        self._wake = threading.Condition()
        self._asked = 0
        self._running = False
        self._nudged = False
        self._joined = False
        self._unread = 0
        self._thread = threading.Thread(target=self._loop, name="sync")

    def start(self) -> None:
        """Begin; the first pass starts at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the pass that is under way and wait for it; what came is kept."""
        self._stop.set()
        self.end_soon()
        with self._wake:
            self._wake.notify_all()
        self._thread.join()

    def end_soon(self) -> None:
        """Let the pass that is under way end early, without waiting for that."""
        self._interrupt.set()

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        """Keep passes away for the length of the block; for one caller at a time.

        A pass that is under way ends early, what came is kept, and it is run again afterwards.
        """
        self.end_soon()
        with self._turn:
            if not self._stop.is_set():
                self._interrupt.clear()
            try:
                yield
            finally:
                self.nudge()

    @property
    def withheld(self) -> bool:
        """Whether nothing is offered because a first migration has not succeeded yet."""
        return self._offer.withheld

    @property
    def stopped(self) -> bool:
        """Whether no further pass will come."""
        return self._stop.is_set()

    def ask(self) -> int:
        """Ask for a pass that reads the source; return the number that it will have at most."""
        self.engine.forget_failures()
        with self._wake:
            # A pass that is under way may have read the source before the question.
            self._asked = max(self._asked, self.last.number + (2 if self._running else 1))
            self._wake.notify_all()
            return self._asked

    def nudge(self) -> None:
        """Have a pass soon, without reading the source."""
        with self._wake:
            self._nudged = True
            self._wake.notify_all()

    def lost(self, gone: Iterable[str]) -> None:
        """Note that this region's disk no longer has these objects, and fetch them again.

        With the catalog down it learns so when this region joins anew.
        """
        if self._joined:
            try:
                with self._catalog.write() as conn:
                    holdings.drop(conn, self._region, gone)
                    availability.refresh(conn)
                self.renew_offer()
            except errors.BootResourcesError as error:
                logger.warning("the catalog does not know yet what was lost here: %s", error)
                self._joined = False
        self.nudge()

    def renew_offer(self) -> None:
        """Offer what the catalog says is available now."""
        self._offer.replace(self._available)

    def _available(self) -> availability.Availability:
        with self._catalog.read() as conn:
            found = availability.available(conn)
            if handovers.withholds(conn):
                return dataclasses.replace(found, images=(), withheld=True)
            return found

    def _loop(self) -> None:
        source_due = 0.0
        while not self._stop.is_set():
            with self._wake:
                self._running = True
                asked = self._asked > self.last.number
            read_source = asked or time.monotonic() >= source_due
            with self._turn:
                pause = self._pass(read_source=read_source)
            if read_source:
                source_due = time.monotonic() + self._until_next_reading(pause)
            self._rest(min(time.monotonic() + pause, source_due))
            with self._wake:
                self._nudged = False

    def _rest(self, until: float) -> None:
        """Wait until a pass is due, at ``until`` (monotonic) at the latest."""
        while (left := until - time.monotonic()) > 0:
            with self._wake:
                if self._wake.wait_for(self._is_due, min(left, _LOOK_SECONDS)):
                    return
            if self._joined and not self._look():
                # The next pass says what is wrong, and is repeated until nothing is.
                return

    def _look(self) -> bool:
        """Offer what others made available; return whether the catalog could be asked."""
        try:
            with self._catalog.read() as conn:
                found = cluster.identity(conn)
            if not self._offer.is_of(found.uuid, found.epoch):
                self.renew_offer()
        except errors.BootResourcesError:
            return False
        except Exception:
            logger.exception("the catalog could not be looked after, for no known reason")
        return True

    def _until_next_reading(self, pause: float) -> float:
        """Return the seconds after which the source is to be read again."""
        outcome = self.last.outcome
        if outcome is None:
            # It may not have come to a reading.
            return pause
        self._unread = self._unread + 1 if outcome.unread else 0
        return source_pause(self._unread, self._interval)

    def _is_due(self) -> bool:
        return self._stop.is_set() or self._nudged or self._asked > self.last.number

    def _pass(self, *, read_source: bool) -> float:
        """Do one pass; return the seconds after which another is due at the latest."""
        pause = self._interval
        outcome = None
        failure = ""
        try:
            if not self._joined:
                self._join()
                self._joined = True
            self.renew_offer()
            outcome = self.engine.run(read_source=read_source, stop=self._interrupt)
            if outcome.failures:
                pause = _RETRY_SECONDS
            self._board.state(membership.SCOPE, membership.state_of_catalog(self._catalog))
            self._board.state(CATALOG, [])
            self.renew_offer()
            logger.info("sync: %s", engines.format_outcome(outcome))
        except upstream.Stopped as error:
            if not self._stop.is_set():
                # It was held up: it counts when it is run again, whole.
                with self._wake:
                    self._running = False
                return 0.0
            failure = str(error)
        except (failures.CatalogUnavailable, failures.CatalogBusy) as error:
            failure = self._say(error, membership.unreachable(error))
            pause = _CATALOG_RETRY_SECONDS
        except errors.BootResourcesError as error:
            failure = self._say(error, membership.refused(error))
            pause = _RETRY_SECONDS
        except Exception:
            # A defect must not end the sync for good; it is logged whole, and tried again.
            logger.exception("the sync failed in a way that it should not")
            failure = "an internal error; the log has the details"
            pause = _RETRY_SECONDS
        if not self._offer.is_kept:
            pause = min(pause, _RETRY_SECONDS)
        self._say_how_it_is()
        with self._wake:
            if outcome is not None:
                self.total = self.total.then(outcome)
            self.last = LastPass(self.last.number + 1, time.time(), outcome, failure)
            self._running = False
        return pause

    def _say(self, error: errors.BootResourcesError, notice: notices.Notice) -> str:
        """Say why a pass failed, unless that is because it was stopped; return it in words.

        The board logs what is new: a database may be away for days.
        """
        if not self._stop.is_set():
            self._board.state(CATALOG, [notice])
        return str(error)

    def _say_how_it_is(self) -> None:
        """Say what is so of the disk, and show all that stands to the other units."""
        try:
            self._disk.state(self.engine.wanted)
            if not self._stop.is_set():
                self._mirror_notices()
        except Exception:
            # Nor must a defect in what is only said end the sync.
            logger.exception("the notices could not be shown, for no known reason")

    def _mirror_notices(self) -> None:
        try:
            with self._catalog.write() as conn:
                noticeboard.mirror(conn, self._region, self._board.standing())
        except errors.BootResourcesError as error:
            logger.debug("the notices stay on this unit: %s", error)


def source_pause(unread: int, interval: float) -> float:
    """Return the seconds between readings of the source, the last ``unread`` of which failed."""
    if not unread:
        return interval
    # A bounded power: a source may be away for months.
    return min(interval, _RETRY_SECONDS * 2.0 ** min(unread - 1, 30))
