"""A small vocabulary for tests that export images out of MAAS databases."""

import dataclasses
import pathlib
import threading

from boot_resources.catalog import database as catalogs
from boot_resources.migration import (
    contents,
    database,
    export,
    finish,
    handover,
    inventory,
    progress,
    readers,
    removal,
    sessions,
)
from boot_resources.store import storage
from support import maas, stores, syncing

IMPATIENT = sessions.Patience(attempts=3, pause=0.01)


@dataclasses.dataclass
class Exporter:
    """Exports one database into one store, in one way.

    Attributes:
        role: who reads.
        way: how; the faster one that is open to the role unless given.
        reports: what it said of its progress.
    """

    found: maas.MaasDatabase
    store: storage.Storage
    role: str = maas.MAAS
    way: readers.Way | None = None
    parallel: int = 2
    patience: sessions.Patience = IMPATIENT

    def __post_init__(self) -> None:
        self.reports: list[progress.Progress] = []
        self.stop = threading.Event()

    def look(self) -> inventory.Inventory:
        """Return what is there; from the first look on nothing of it may change."""
        if not self.found.sealed:
            self.found.seal()
        with database.Database(self.found.url(self.role)).snapshot() as conn:
            return inventory.read(conn)

    def export(self, looked: inventory.Inventory | None = None) -> export.Exported:
        """Export what is whole, of what was looked at before, or by looking now."""
        looked = looked or self.look()
        return export.export(
            database.Database(self.found.url(self.role)),
            readers.reader(looked.access, self.way),
            contents.classify(looked).whole(),
            self.store,
            export.Rules(self.parallel, self.patience),
            self.reports.append,
            self.stop,
        )


def scene(found: maas.MaasDatabase, *bodies: bytes) -> list[maas.Stored]:
    """Put each of these bytes into a synced image's set of its own."""
    resource = found.resource("ubuntu/noble", "amd64/ga-24.04")
    stored = [found.store(body) for body in bodies]
    for number, each in enumerate(stored):
        found.file(found.version(resource, f"202405{number:02}"), "squashfs", each)
    return stored


def holding(root: pathlib.Path) -> set[str]:
    """Return the names of what lies in a store as whole objects."""
    return {path.name for path in (root / "objects").iterdir()}


def weighed(root: str, maas_url: str) -> str:
    """Export all there is, in a process of its own; return its peak memory in bytes."""
    found = database.Database(maas_url)
    with found.snapshot() as conn:
        looked = inventory.read(conn)
    exported = export.export(
        found,
        readers.reader(looked.access),
        contents.classify(looked).whole(),
        stores.storage_at(pathlib.Path(root)),
        export.Rules(2, IMPATIENT),
        lambda _: None,
        threading.Event(),
    )
    assert not exported.set_aside
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return str(int(peak.split()[1]) * 1024)


def work(order: str, root: str, catalog_url: str, maas_url: str) -> str:
    """Do it in a process that may be killed: ``migrate`` or ``finish``.

    A finish is done in small batches, so that there are moments between them.

    Returns:
        the bytes that were read, or the large objects that went.
    """
    catalog = catalogs.open_catalog(catalog_url)
    store = stores.storage_at(pathlib.Path(root))
    found = database.Database(maas_url)
    if order == "migrate":
        return str(migrated(found, catalog, store).read)
    removal.BATCH = 2
    return str(finished(found, catalog, store).removed.objects)


def migrated(
    found: database.Database, catalog: catalogs.Catalog, store: storage.Storage
) -> handover.Handover:
    """Migrate once."""
    orders = handover.Orders(rules=export.Rules(2, IMPATIENT))
    return handover.migrate(
        found, catalog, syncing.REGION, store, orders, lambda _: None, threading.Event()
    )


def finished(
    found: database.Database, catalog: catalogs.Catalog, store: storage.Storage
) -> finish.Finished:
    """Let the images leave MAAS's database."""
    stop = threading.Event()
    return finish.finish(
        found, catalog, syncing.REGION, store, lambda *_: None, stop, orphans=False
    )
