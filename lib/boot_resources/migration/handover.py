"""The whole of a migration: look, export, judge, arrive.

Always true: MAAS's database is only read. Images reach the catalog all together, in one
transaction, and only when all of them are accounted for; until then nothing of them is offered,
and what was exported waits in the store. What it came to is recorded in that transaction, too. So
it can be run again at any time, and goes on.
"""

import dataclasses
import logging
import threading
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import database as catalogs
from boot_resources.catalog import handovers, holdings, names
from boot_resources.migration import (
    arrival,
    clients,
    contents,
    database,
    export,
    inventory,
    naming,
    outcome,
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
    """

    online: bool = False
    accept_lost: Collection[names.ImageName] = ()
    by: str = ""
    way: readers.Way | None = None
    rules: export.Rules = dataclasses.field(default_factory=export.Rules)


@dataclasses.dataclass(frozen=True)
class Handover:
    """What a migration did.

    Attributes:
        read: bytes that were read out of MAAS's database.
        outcome: what it came to.
        arrived: what the catalog got; None where something is open still.
    """

    read: int
    outcome: outcome.Outcome
    arrived: arrival.Arrived | None


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
    with turns.turn(catalog, region, stop) as lease:
        with catalog.write() as conn:
            handovers.begin(conn, region, maas.place)
            _require_unfinished(conn, maas)
        found, read, failed = _export(maas, store, orders, report, stop)
        with catalog.write() as conn:
            turns.confirm(conn, lease)
            held = store.held()
            judged = _judge(conn, found, held.keys(), failed, orders)
            for each in judged.set_aside:
                logger.warning("set aside: %s", each)
            set_aside = map(_recorded, judged.set_aside)
            handovers.judged(conn, maas.place, set_aside, orders.by, succeeded=judged.succeeded)
            if not judged.succeeded:
                return Handover(read, judged, None)
            arrived = arrival.arrive(conn, region, judged.arriving, held)
    return Handover(read, judged, arrived)


def _require_unfinished(conn: sa.Connection, maas: database.Database) -> None:
    known = handovers.find(conn)
    if known is not None and known.finished is not None and known.maas == maas.place:
        raise AlreadyFinished(
            f"the migration out of {maas.name} is finished: it holds these images no longer",
            "take [migration] out of the settings file",
        )


def _judge(
    conn: sa.Connection,
    found: inventory.Inventory,
    held: AbstractSet[str],
    failed: Mapping[str, str],
    orders: Orders,
) -> outcome.Outcome:
    earlier = handovers.find(conn)
    lost = {*orders.accept_lost, *(earlier.lost() if earlier else ())}
    listed = {each.sha256 for each in holdings.wanted_objects(conn) if each.origins}
    migrants = naming.migrants(found, contents.classify(found))
    judged = outcome.judge(migrants, held, failed, listed, lost)
    outcome.require_something_to_lose(judged, orders.accept_lost)
    return judged


def _recorded(each: outcome.SetAside) -> handovers.SetAside:
    return handovers.SetAside(
        str(each.image), each.filename, each.sha256, each.reason, each.resolution.value
    )


def _export(
    maas: database.Database,
    store: storage.Storage,
    orders: Orders,
    report: progress.Report,
    stop: threading.Event,
) -> tuple[inventory.Inventory, int, dict[str, str]]:
    """Export until a look finds what the one before it found; once is enough without MAAS."""
    failed: dict[str, str] = {}
    read = 0
    found = _look(maas, orders)
    for _ in range(ROUNDS):
        reader = readers.reader(found.access, orders.way)
        wanted = contents.classify(found).whole()
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


def _look(maas: database.Database, orders: Orders) -> inventory.Inventory:
    with maas.snapshot() as conn:
        found = inventory.read(conn)
        if not orders.online:
            clients.require_nobody(clients.connected(conn))
    return found
