"""The end of a migration: MAAS's images leave its database, once all of them are proved here.

Always true: nothing goes before every object was hashed from this region's disk, all of it in
this very run, and found to be what MAAS recorded; or was set aside with a resolution that is on
record; or was proved here once and let go by this cluster since, as an older version is. MAAS is
not connected, our role owns what goes, and no other region has to be asked: all of that is said
before the first byte is hashed.
"""

import dataclasses
import threading
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import cluster, handovers, holdings
from boot_resources.catalog import database as catalogs
from boot_resources.migration import (
    clients,
    contents,
    database,
    inventory,
    naming,
    outcome,
    removal,
    turns,
)
from boot_resources.store import storage


class NotSucceeded(errors.BootResourcesError):
    """The migration out of that database has not succeeded."""


class NotAlone(errors.BootResourcesError):
    """Other regions keep images too, and nobody can ask them to hash theirs."""


class Unproved(errors.BootResourcesError):
    """Something of MAAS's is not proved here, and has no resolution."""


@dataclasses.dataclass(frozen=True)
class Finished:
    """What the end came to.

    Attributes:
        hashed: bytes that were hashed on this region's disk.
        objects: objects that they are.
        removed: what went out of MAAS's database.
        rows: which of its rows, for people.
    """

    hashed: int
    objects: int
    removed: removal.Removed
    rows: str


def finish(
    maas: database.Database,
    catalog: catalogs.Catalog,
    region: str,
    store: storage.Storage,
    tell: removal.Tell,
    stop: threading.Event,
    *,
    orphans: bool,
) -> Finished:
    """Remove MAAS's images from its database; irreversible.

    Args:
        maas: the database.
        catalog: what exists here.
        region: whose store it is: the only member.
        store: its store.
        tell: is told what is done, and how far it is.
        stop: set it to end early; the next run goes on.
        orphans: whether what nothing names goes, too.

    Raises:
        errors.BootResourcesError: what stands in the way; nothing was removed, or the database
            broke off half-way, and the next run goes on.
    """
    with turns.turn(catalog, region, stop) as lease:
        with maas.snapshot() as session:
            found = inventory.read(session, emptied=True)
            clients.require_nobody(clients.connected(session))
            planned = removal.plan(found, orphans=orphans)
            removal.require_rights(session, planned)
        held = store.held()
        with catalog.read() as conn:
            _require_alone(conn, region)
            _require_proved(conn, maas, found, held.keys())
        sizes = {sha256: proof.size for sha256, proof in held.items()}
        hashed = _hash(store, sum(sizes.values()), tell, stop)
        with catalog.read() as conn:
            _require_proved(conn, maas, found, hashed)

        def confirm() -> None:
            with catalog.write() as conn:
                turns.confirm(conn, lease)

        removed = removal.remove(maas, planned, confirm, tell, stop)
        with catalog.write() as conn:
            turns.confirm(conn, lease)
            handovers.finished(conn)
    return Finished(
        sum(sizes.get(sha256, 0) for sha256 in hashed), len(hashed), removed, planned.rows()
    )


def _hash(
    store: storage.Storage, total: int, tell: removal.Tell, stop: threading.Event
) -> AbstractSet[str]:
    """Hash all that is held, from the disk; return what is sound."""
    lock = threading.Lock()
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        with lock:
            done += size
            tell("hashing", done, total)

    return store.verify(advance, stop.is_set).sound.keys()


def _require_alone(conn: sa.Connection, region: str) -> None:
    others = [each.name for each in cluster.members(conn) if each.name != region]
    if others:
        raise NotAlone(
            f"{', '.join(others)} keep images, too, and cannot be asked yet to hash theirs",
            "nothing needs to be removed: MAAS's database does no harm where it is",
        )


def _require_proved(
    conn: sa.Connection,
    maas: database.Database,
    found: inventory.Inventory,
    proved: AbstractSet[str],
) -> None:
    """Do nothing where everything that the database holds of images is accounted for."""
    known = handovers.find(conn)
    if known is None or known.succeeded is None or known.maas != maas.place:
        raise NotSucceeded(
            f"the migration out of {maas.name} has not succeeded", "boot-resources migrate"
        )
    fetched_again = {
        each.sha256
        for each in known.set_aside
        if each.resolution == outcome.Resolution.REDOWNLOAD.value
    }
    migrants = naming.migrants(found, contents.classify(found))
    accounted = proved | holdings.let_go(conn)
    judged = outcome.judge(migrants, accounted, {}, fetched_again, known.lost())
    if not judged.succeeded:
        some = "; ".join(f"{each.image} {each.filename}".rstrip() for each in judged.open[:3])
        raise Unproved(
            f"{len(judged.open)} files that MAAS has are not proved on this region's disk: {some}",
            "run `boot-resources migrate` again; nothing was removed",
        )
