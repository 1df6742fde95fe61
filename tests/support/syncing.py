"""One region's sync over a real signed source: its catalog, its store and its engine.

``main`` is the same in a process of its own, for tests that kill it.
"""

import dataclasses
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator

from boot_resources import notices
from boot_resources.catalog import availability, cluster, database, ledger, sources
from boot_resources.demo import origin, signed_source
from boot_resources.source import fetch, retrying
from boot_resources.store import disk as disks
from boot_resources.store import storage
from boot_resources.sync import engine as engines
from boot_resources.sync import metering, refresh
from support import stores

REGION = "region-0"
EVERYTHING = sources.Selection("*", "*", ("*",), ("*",), ("*",))
IMPATIENT = retrying.Policy(attempts=2, first=0.001)
"""Asks again at once, and not often."""


@dataclasses.dataclass
class Region:
    """A region that syncs when it is told to.

    Attributes:
        catalog: what exists.
        root: of its store.
        disk: what its store writes to.
        offers: how often it said that what is available may have changed.
        stop: ends the pass that is under way.
    """

    catalog: database.Catalog
    root: pathlib.Path
    parallel: int = 4
    superseded_grace: float = 3600.0
    disk: disks.Disk | None = None
    name: str = REGION

    def __post_init__(self) -> None:
        self.offers = 0
        self.stop = threading.Event()
        self.board = notices.NoticeBoard(self.name)
        self.store = storage.Storage(self.root, 0, 3600.0, self.disk)
        self.report = stores.start(self.store)
        self._fetcher = fetch.Fetcher(policy=IMPATIENT)
        rules = engines.Rules(self.parallel, self.superseded_grace)
        self.engine = engines.Engine(
            self.name,
            self.catalog,
            self.store,
            self._fetcher,
            self.board,
            rules,
            # The tests say in the catalog itself what is declared.
            lambda _: None,
            self._offer,
        )

    def close(self) -> None:
        """Close its connections and leave its store; the catalog stays open."""
        self._fetcher.close()
        self.store.stop()

    def __enter__(self) -> "Region":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sync(self, *, read_source: bool = True) -> engines.Outcome:
        """Do one pass."""
        return self.engine.run(read_source=read_source, stop=self.stop)

    def read_source(self) -> None:
        """Let the catalog follow the source, and fetch nothing."""
        refresh.refresh(self.catalog, self._fetcher, self.name, lambda _: None)

    def notices(self, scope: str) -> list[notices.Notice]:
        """Return what stands in a scope."""
        return [each.notice for each in self.board.standing() if each.scope == scope]

    def _offer(self) -> None:
        self.offers += 1


@dataclasses.dataclass(frozen=True)
class Cloud:
    """A signed source and its server.

    Attributes:
        source: signs and publishes.
        server: counts every byte.
    """

    source: signed_source.SignedSource
    server: origin.Origin

    def wanted(self, version: str = "") -> dict[str, int]:
        """Return the size of each object, by sha256; of one version, or of all."""
        truth = (t for t in self.source.truth if version in ("", t.version))
        return {t.sha256: t.size for t in truth}

    def path(self, sha256: str) -> str:
        """Return where the server has an object, with a slash before it."""
        for path in sorted(self.source.directory.rglob("*")):
            found = path.is_file() and "streams" not in path.parts
            if found and stores.name_of(path.read_bytes()) == sha256:
                return f"/{path.relative_to(self.source.directory)}"
        raise KeyError(sha256)

    def largest(self, version: str = "") -> str:
        """Return the largest object."""
        wanted = self.wanted(version)
        return max(wanted, key=lambda sha256: wanted[sha256])

    def misbehave(
        self, path: str, how: Callable[[origin.Request], origin.Reply | origin.Cut | None]
    ) -> None:
        """Have the server answer requests for one path in a way of the test's own."""
        self.server.on_request = lambda request: how(request) if request.path == path else None


def small_cloud(directory: pathlib.Path, size: int) -> Iterator[Cloud]:
    """Yield a cloud of about that many bytes, and take it away."""
    with signed_source.small_cloud(directory, size) as source:
        with origin.Origin(directory) as server:
            yield Cloud(source, server)


def declare(
    catalog: database.Catalog,
    cloud: Cloud,
    *selections: sources.Selection,
    allow_unsigned: bool = False,
) -> None:
    """Make the region a member, and the cloud its source; everything is selected by default."""
    keys = None if allow_unsigned else cloud.source.keyring.read_bytes()
    with catalog.write() as conn:
        cluster.join(conn, REGION, "region-0.example.com:5290")
        sources.declare(
            conn,
            sources.Source(cloud.server.url, keys, allow_unsigned),
            selections or [EVERYTHING],
        )


def available(catalog: database.Catalog) -> dict[str, bool]:
    """Return the images that are available, and whether each is superseded."""
    with catalog.read() as conn:
        found = availability.available(conn).images
    return {str(image.name): image.superseded is not None for image in found}


def upstream_bytes(catalog: database.Catalog) -> int:
    """Return what the ledger says that the region fetched from upstream."""
    with catalog.read() as conn:
        return ledger.totals(conn).get(REGION, {}).get(metering.UPSTREAM_BYTES, 0)


def main() -> None:
    """Sync once: ``STORE CATALOG_URL``."""
    catalog = database.open_catalog(sys.argv[2])
    with Region(catalog, pathlib.Path(sys.argv[1]), parallel=1) as region:
        region.sync()


if __name__ == "__main__":
    main()
