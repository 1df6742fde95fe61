"""A small vocabulary for tests that export images out of MAAS databases."""

import dataclasses
import pathlib
import threading

from boot_resources.migration import (
    contents,
    database,
    export,
    inventory,
    progress,
    readers,
    sessions,
)
from boot_resources.store import storage
from support import maas

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
