"""A small vocabulary for tests that export images out of MAAS databases."""

import dataclasses
import pathlib
import sys
import threading

from boot_resources.catalog import database as catalogs
from boot_resources.migration import (
    contents,
    database,
    export,
    handover,
    inventory,
    progress,
    readers,
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


def main() -> None:
    """Migrate once, as a process that can be killed: ``STORE CATALOG_URL MAAS_URL``."""
    catalog = catalogs.open_catalog(sys.argv[2])
    store = stores.storage_at(pathlib.Path(sys.argv[1]))
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    done = handover.migrate(
        database.Database(sys.argv[3]),
        catalog,
        syncing.REGION,
        store,
        handover.Orders(),
        lambda _: None,
        threading.Event(),
    )
    sys.stdout.write(f"{done.read}\n")


if __name__ == "__main__":
    main()
