"""A migration or its end is killed, or the server under it: each image is here, or whole there."""

import hashlib
import pathlib
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from boot_resources import errors
from boot_resources.catalog import cluster
from boot_resources.migration import database, removal
from support import databases, endurance, exporting, maas, mortals, postgres, stores, syncing

COUNT = 9
BODIES = [stores.noise(700_000 + number, number) for number in range(COUNT)]


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    """Give a server that may crash without harm to other tests."""
    with postgres.running_server() as server:
        yield server


@pytest.fixture(params=maas.KINDS)
def found(server: postgres.Server, request: pytest.FixtureRequest) -> Iterator[maas.MaasDatabase]:
    yield from maas.made(server, request.param)


class Site:
    """A MAAS database and a region, in whose work something is killed again and again."""

    def __init__(self, found: maas.MaasDatabase, directory: pathlib.Path) -> None:
        self.found = found
        self._directory = directory
        self.maas = database.Database(found.url())

    def begin_anew(self, number: int) -> None:
        """Have MAAS hold all of it, and a region that knows of nothing."""
        self.found.execute("TRUNCATE maasserver_bootresource, maasserver_largefile CASCADE")
        self.found.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
        exporting.scene(self.found, *BODIES)
        directory = self._directory / str(number)
        self.catalog = databases.migrated(f"sqlite:///{directory}.sqlite")
        with self.catalog.write() as conn:
            cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
        self.store = stores.storage_at(directory)

    def end(self) -> None:
        """Let go of the region."""
        self.catalog.close()
        stores.leave(self.store.root)

    def left(self) -> int:
        """Return how many images MAAS has, each of which must be whole; ours are, always."""
        rows = self.found.execute("SELECT sha256, content FROM maasserver_largefile")
        for sha256, oid in rows:
            ((data,),) = self.found.execute("SELECT lo_get(%s)", oid)
            assert hashlib.sha256(data).hexdigest() == sha256
        ((objects,),) = self.found.execute("SELECT count(*) FROM pg_largeobject_metadata")
        ((files,),) = self.found.execute(
            "SELECT count(largefile_id) FROM maasserver_bootresourcefile"
        )
        assert objects == files == len(rows), "a row, its file and its object go together"
        return len(rows)

    def require_all_here(self) -> None:
        """Fail unless every image is available, and its bytes are on the disk."""
        assert len(syncing.available(self.catalog)) == COUNT
        for body in BODIES:
            assert stores.read(self.store, stores.name_of(body)) == body


class Crashes:
    """A server that crashes at a random moment of whatever is done.

    Attributes:
        redone: how often something had to be done again.
    """

    def __init__(
        self, server: postgres.Server, found: maas.MaasDatabase, chance: random.Random
    ) -> None:
        self.redone = 0
        self._server = server
        self._found = found
        self._chance = chance
        # How long what was done last took by itself, in seconds.
        self._usual = 0.2

    def during(self, work: Callable[[], object]) -> None:
        """Do it while the server crashes once, and again where that broke it off."""
        error = self._attempt(work, self._chance.uniform(0.0, self._usual))
        if error is not None:
            assert isinstance(error, database.Unreachable), error
            self.redone += 1
            begun = time.monotonic()
            assert self._attempt(work, None) is None
            self._usual = time.monotonic() - begun

    def _attempt(
        self, work: Callable[[], object], seconds: float | None
    ) -> errors.BootResourcesError | None:
        self._found.leave()
        failed: list[errors.BootResourcesError] = []

        def attempt() -> None:
            try:
                work()
            except errors.BootResourcesError as error:
                failed.append(error)

        worker = threading.Thread(target=attempt)
        worker.start()
        worker.join(seconds)
        if worker.is_alive():
            self._server.crash()
            self._server.start()
            worker.join()
        return failed[0] if failed else None


def test_a_server_that_crashes_at_random_moments_loses_nothing(
    server: postgres.Server,
    found: maas.MaasDatabase,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(removal, "BATCH", 2)
    rounds, seed = endurance.kills(2), endurance.seed("migration server crashes")
    chance = random.Random(seed)
    site = Site(found, tmp_path)
    crashes = Crashes(server, found, chance)
    for number in range(rounds):
        site.begin_anew(number)
        before = found.checksum()
        crashes.during(lambda: exporting.migrated(site.maas, site.catalog, site.store))
        assert found.checksum() == before
        site.require_all_here()
        crashes.during(lambda: exporting.finished(site.maas, site.catalog, site.store))
        assert site.left() == 0
        site.require_all_here()
        site.end()
    endurance.tally("migration server crashes", seed=seed, rounds=rounds, redone=crashes.redone)


def test_an_end_that_is_killed_goes_on_where_it_stopped(
    found: maas.MaasDatabase, tmp_path: pathlib.Path, processes: mortals.Mortals
) -> None:
    kills, seed = endurance.kills(6), endurance.seed("migration finish kills")
    chance = random.Random(seed)
    site = Site(found, tmp_path)
    killed = number = half_way = 0
    aim = mortals.Aim(chance)
    while killed < kills:
        site.begin_anew(number)
        exporting.migrated(site.maas, site.catalog, site.store)
        place = tmp_path / str(number)
        stores.leave(place)
        while left := site.left():
            found.leave()
            words = ("finish", str(place), f"sqlite:///{place}.sqlite", found.url())
            life = processes.work(*words, seconds=aim.seconds())
            aim.learn(life)
            killed += life.said is None
            half_way += 0 < site.left() < left
        site.store = stores.storage_at(place)
        site.require_all_here()
        assert exporting.finished(site.maas, site.catalog, site.store).removed.objects == 0
        site.end()
        number += 1
    endurance.tally("migration finish kills", seed=seed, kills=killed, half_way=half_way)
