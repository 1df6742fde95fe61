"""The whole of a migration: look, export, judge, arrive.

Always true: MAAS's database is only read. Images reach the catalog all together, in one
transaction, and only when all of them are accounted for; until then nothing of them is offered,
and what was exported waits in the store. What it came to is recorded in that transaction, too. So
it can be run again at any time, and goes on.
"""

import dataclasses
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from boot_resources import digests, errors
from boot_resources.catalog import cluster, handovers, holdings, names
from boot_resources.catalog import database as catalogs
from boot_resources.migration import (
    arrival,
    clients,
    contents,
    database,
    export,
    inventory,
    naming,
    outcome,
    parting,
    progress,
    readers,
    turns,
)
from boot_resources.store import storage

logger = logging.getLogger(__name__)
ROUNDS = 5
"""How often an online export looks again before it gives up."""


class StillChanging(errors.BootResourcesError):
    """MAAS changed its images again and again while they were exported."""


class AlreadyFinished(errors.BootResourcesError):
    """The images left that database, after they had come here."""


@dataclasses.dataclass(frozen=True)
class Orders:
    """How to migrate.

    Attributes:
        online: go on while MAAS is connected, and look again until nothing changed.
        accept_lost: images whose loss an operator accepts, beside those accepted before.
        by: who accepts it.
        way: how to read large objects; None for the faster way that is open.
        rules: how to export.
        offered: returns the objects that the boot source lists, selected or not.
    """

    online: bool = False
    accept_lost: Collection[names.ImageName] = ()
    by: str = ""
    way: readers.Way | None = None
    rules: export.Rules = dataclasses.field(default_factory=export.Rules)
    offered: Callable[[sa.Connection], AbstractSet[str]] = lambda _: frozenset()


@dataclasses.dataclass(frozen=True)
class Handover:
    """What a migration did.

    Attributes:
        read: bytes that were read out of MAAS's database.
        outcome: what it came to.
        arrived: what the catalog got; None where something is open still.
        parted: images that came once and were removed here since; they stay away.
    """

    read: int
    outcome: outcome.Outcome
    arrived: arrival.Arrived | None
    parted: tuple[names.ImageName, ...] = ()


def migrate(
    maas: database.Database,
    catalog: catalogs.Catalog,
    region: str,
    store: storage.Storage,
    orders: Orders,
    report: progress.Report,
    stop: threading.Event,
) -> Handover:
    """Bring MAAS's images into the store and, when all are accounted for, into the catalog.

    Args:
        maas: the database.
        catalog: what exists here.
        region: whose store it is: a member.
        store: a store that was started, and that nobody tidies meanwhile: until the images have
            arrived, no image of the catalog needs their objects.
        orders: how to migrate.
        report: is told how far the export is.
        stop: set it to end early.

    Raises:
        errors.BootResourcesError: what stands in the way of all of it, with its cure.
    """
    with turns.turn(catalog, region, stop) as lease, maas.severed_by(stop):
        with catalog.write() as conn:
            handovers.begin(conn, region, maas.place)
            require_unfinished(conn, maas)
        found, read, failed = _export(maas, catalog, store, orders, report, stop)
        with catalog.write() as conn:
            turns.confirm(conn, lease)
            # What the catalog has is not to change between the judgement and the arrival.
            cluster.lock(conn)
            held = store.held()
            coming, parted = parting.divide(conn, arrival.candidates(conn, found), held.keys())
            judged = _judge(conn, coming, held.keys(), failed, orders)
            for each in judged.set_aside:
                logger.warning("set aside: %s", each)
            handovers.judged(
                conn,
                maas.place,
                map(_recorded, judged.set_aside),
                orders.by,
                {
                    str(image.name): image.files()
                    for image in (*judged.arriving, *(each.image for each in parted))
                },
                succeeded=judged.succeeded,
            )
            if not judged.succeeded:
                return Handover(read, judged, None)
            arrived = arrival.arrive(conn, region, judged.arriving, held)
    return Handover(read, judged, arrived, tuple(each.image.name for each in parted))


def foresee(
    conn: sa.Connection,
    found: inventory.Inventory,
    sound: AbstractSet[str],
    orders: Orders,
) -> outcome.Outcome:
    """Return what it would come to with these objects on the disk."""
    coming, _ = parting.divide(conn, arrival.candidates(conn, found), sound)
    return _judge(conn, coming, sound, {}, orders)


def require_unfinished(conn: sa.Connection, maas: database.Database) -> None:
    """Do nothing where MAAS's images are still in that database, as far as we know.

    Raises:
        AlreadyFinished: we removed them.
    """
    known = handovers.find(conn)
    if known is not None and known.finished is not None and known.maas == maas.place:
        raise AlreadyFinished(
            f"the migration out of {maas.name} is finished: it holds these images no longer",
            "take [migration] out of the settings file",
        )


def _judge(
    conn: sa.Connection,
    migrants: Iterable[naming.Migrant],
    held: AbstractSet[str],
    failed: Mapping[str, str],
    orders: Orders,
) -> outcome.Outcome:
    earlier = handovers.find(conn)
    lost = {*orders.accept_lost, *(earlier.lost() if earlier else ())}
    listed = {each.sha256 for each in holdings.wanted_objects(conn) if each.origins}
    judged = outcome.judge(migrants, held, failed, listed, lost, orders.offered(conn))
    outcome.require_something_to_lose(judged, orders.accept_lost)
    return judged


def _recorded(each: outcome.SetAside) -> handovers.SetAside:
    return handovers.SetAside(
        str(each.image),
        each.filename,
        each.sha256,
        each.size,
        each.reason,
        each.resolution.value,
    )


def _export(
    maas: database.Database,
    catalog: catalogs.Catalog,
    store: storage.Storage,
    orders: Orders,
    report: progress.Report,
    stop: threading.Event,
) -> tuple[inventory.Inventory, int, dict[str, str]]:
    """Export until a look finds what the one before it found; once is enough without MAAS."""
    failed: dict[str, str] = {}
    read = 0
    found = _look(maas, orders)
    _require_known(found, orders.accept_lost)
    for _ in range(ROUNDS):
        needed = _needed(catalog, store, found)
        _bring_back(store, needed)
        reader = readers.reader(found.access, orders.way)
        wanted = [each for each in contents.classify(found).whole() if each.sha256 in needed]
        exported = export.export(maas, reader, wanted, store, orders.rules, report, stop)
        read += exported.read
        failed = dict(exported.set_aside)
        again = _look(maas, orders)
        if again.rows() == found.rows():
            return again, read, failed
        logger.info("MAAS's images changed meanwhile: looking again")
        found = again
    raise StillChanging(
        f"MAAS changed its images {ROUNDS} times while they were exported",
        "stop its imports and uploads, or its region controllers, and run it again",
    )


def _require_known(found: inventory.Inventory, lost: Collection[names.ImageName]) -> None:
    """Refuse the loss of what is no image of MAAS's before hours of export, not after them."""
    migrants = naming.migrants(found, contents.classify(found))
    unknown = set(lost) - {each.image.name for each in migrants}
    if unknown:
        raise outcome.NothingToLose(
            f"MAAS has no image {', '.join(map(str, sorted(unknown)))}",
            "accept the loss of what 'boot-resources migrate' names as open, in its words",
        )


def _needed(
    catalog: catalogs.Catalog, store: storage.Storage, found: inventory.Inventory
) -> AbstractSet[str]:
    """Return the objects of the images that are to come."""
    migrants = naming.migrants(found, contents.classify(found))
    with catalog.read() as conn:
        coming, _ = parting.divide(conn, migrants, store.held().keys())
    return {item.sha256 for each in coming for item in each.image.items}


def _bring_back(store: storage.Storage, needed: AbstractSet[str]) -> None:
    """Hold again what a sync tidied away since an earlier run: that is not read again."""
    for sha256 in needed - store.held().keys():
        if digests.is_sha256(sha256):
            store.restore(sha256)


def _look(maas: database.Database, orders: Orders) -> inventory.Inventory:
    with maas.snapshot() as conn:
        found = inventory.read(conn)
        if not orders.online:
            standby = clients.is_standby(conn)
            clients.require_no_maas(clients.connected(conn), standby=standby)
    return found
