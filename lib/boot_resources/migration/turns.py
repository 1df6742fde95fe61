"""One region exports at a time, under a lease of the catalog that it renews while it works.

A region that cannot renew it in time ends its work by its own clock: another may have begun. What
it exported until then is in its store and does no harm.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import database, leases

logger = logging.getLogger(__name__)

NAME = "migration"
LEASE_SECONDS = 60.0


class AnotherMigrates(errors.BootResourcesError):
    """Another region has the lease."""


@contextlib.contextmanager
def turn(
    catalog: database.Catalog,
    region: str,
    stop: threading.Event,
    seconds: float = LEASE_SECONDS,
) -> Iterator[leases.Lease]:
    """Hold the lease within; ``confirm`` it before anything is made known.

    Args:
        catalog: whose lease.
        region: who we are.
        stop: is set where the lease is lost, and ends the work.
        seconds: how long the lease lasts without being renewed.

    Raises:
        AnotherMigrates: another region exports now.
        failures.CatalogUnavailable: the catalog is not to be had.
    """
    with catalog.write() as conn:
        lease = leases.acquire(conn, NAME, region, seconds)
        if lease is None:
            raise _another(conn)
    over = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(catalog, lease, seconds, over, stop), name="migration-lease"
    )
    keeper.start()
    try:
        yield lease
    finally:
        over.set()
        keeper.join()
        with contextlib.suppress(errors.BootResourcesError), catalog.write() as conn:
            leases.release(conn, lease)


def confirm(conn: sa.Connection, lease: leases.Lease, seconds: float = LEASE_SECONDS) -> None:
    """Hold the lease until this transaction ends, at least.

    Raises:
        AnotherMigrates: it was lost meanwhile.
    """
    if not _renewed(conn, lease, seconds):
        raise _another(conn)


def _renewed(conn: sa.Connection, lease: leases.Lease, seconds: float) -> bool:
    """Return whether the lease is still the one that was taken: another epoch is another's."""
    found = leases.acquire(conn, lease.name, lease.holder, seconds)
    return found is not None and found.epoch == lease.epoch


def _another(conn: sa.Connection) -> AnotherMigrates:
    other = leases.holder(conn, NAME)
    return AnotherMigrates(
        f"region {other.holder if other else '?'} migrates now",
        "let it end; its images come to the other regions by their sync",
    )


def _keep(
    catalog: database.Catalog,
    lease: leases.Lease,
    seconds: float,
    over: threading.Event,
    stop: threading.Event,
) -> None:
    deadline = time.monotonic() + seconds
    while not over.wait(seconds / 3):
        asked = time.monotonic()
        try:
            with catalog.write() as conn:
                kept = _renewed(conn, lease, seconds)
        except errors.BootResourcesError as error:
            logger.warning("the migration's lease was not renewed: %s", error)
            kept = asked < deadline
        else:
            deadline = asked + seconds if kept else deadline
        if not kept:
            logger.error("the migration's lease is lost; another region may have begun")
            stop.set()
            return
