"""A migration is killed, its server crashes, its disk fills up: nothing is lost or half."""

import pathlib
import random
import shutil
import threading
from collections.abc import Iterator
from concurrent import futures

import pytest

from boot_resources import units
from boot_resources.catalog import cluster, database
from boot_resources.migration import export, sessions
from boot_resources.store import partial, space
from support import (
    databases,
    endurance,
    exporting,
    maas,
    mortals,
    mounts,
    postgres,
    stores,
    syncing,
)

COUNT = 12
BODIES = [stores.noise(units.MIB * (1 + number % 4) + number, number) for number in range(COUNT)]
"""About 30 MB: an export of all takes longer than the longest wait before a kill."""
PATIENCE = 120.0


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    """Give a server that may crash without harm to other tests."""
    with postgres.running_server() as server:
        yield server


@pytest.fixture
def found(postgresql_server: postgres.Server) -> Iterator[maas.MaasDatabase]:
    yield from maas.made(postgresql_server, maas.V3_5)


class Attempts:
    """Migrates one database again and again, in a process that is killed.

    Attributes:
        finished: how often it came to its end before it was killed.
    """

    def __init__(
        self, found: maas.MaasDatabase, directory: pathlib.Path, processes: mortals.Mortals
    ) -> None:
        self.finished = 0
        self._found = found
        self._processes = processes
        self._directory = directory
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget the store and the catalog."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir()
        catalog = databases.migrated(self._url)
        with catalog.write() as conn:
            cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
        catalog.close()

    @property
    def store(self) -> pathlib.Path:
        return self._directory / "store"

    @property
    def _url(self) -> str:
        return f"sqlite:///{self._directory}/catalog.sqlite"

    def attempt(self, role: str, aim: mortals.Aim | None = None) -> int | None:
        """Migrate, and kill it where that is aimed at; return the bytes it read, if it ended."""
        words = ("migrate", str(self.store), self._url, self._found.url(role))
        life = self._processes.work(*words, seconds=aim.seconds() if aim else None)
        if aim:
            aim.learn(life)
        if life.said is None:
            return None
        self.finished += 1
        return int(life.said)

    def available(self) -> set[str]:
        catalog = database.open_catalog(self._url)
        names = set(syncing.available(catalog))
        catalog.close()
        return names

    def judge(self) -> bool:
        """Hold everything that is there against what it has to be; return whether it arrived."""
        available = len(self.available())
        assert available in (0, COUNT), "all of them at once, or none"
        store = stores.storage_at(self.store)
        for sha256 in store.held():
            assert stores.name_of(stores.read(store, sha256)) == sha256
        if available:
            assert store.held().keys() == set(map(stores.name_of, BODIES))
        stores.leave(self.store)
        return available > 0


def test_kills_at_random_moments_lose_nothing_and_leave_nothing_half(
    found: maas.MaasDatabase, tmp_path: pathlib.Path, processes: mortals.Mortals
) -> None:
    kills, seed = endurance.kills(10), endurance.seed("migration kills")
    chance = random.Random(seed)
    exporting.scene(found, *BODIES)
    found.seal()
    attempts = Attempts(found, tmp_path / "region", processes)
    aim = mortals.Aim(chance)
    killed = 0
    while killed < kills:
        role = chance.choice((maas.MAAS, maas.READER))
        done = attempts.attempt(role, aim) is not None
        killed += not done
        # One that is killed in its last moment may have arrived already.
        arrived = attempts.judge()
        assert arrived or not done
        if arrived:
            attempts.begin_anew()
    before = sum(path.stat().st_size for path in (attempts.store / "objects").glob("*"))
    read = attempts.attempt(maas.MAAS)
    assert read is not None
    assert read <= sum(map(len, BODIES)) - before, "what is done is not read again"
    assert attempts.judge()
    endurance.tally("migration kills", seed=seed, kills=kills, finished=attempts.finished)


@pytest.fixture
def found_on_a_server_of_its_own(server: postgres.Server) -> Iterator[maas.MaasDatabase]:
    yield from maas.made(server, maas.V3_5)


def test_a_server_that_crashes_is_waited_for(
    server: postgres.Server,
    found_on_a_server_of_its_own: maas.MaasDatabase,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = found_on_a_server_of_its_own
    exporting.scene(found, *BODIES)
    store = stores.storage_at(tmp_path / "store")
    patient = sessions.Patience(attempts=12, pause=0.05)
    exporter = exporting.Exporter(found, store, patience=patient)
    looked = exporter.look()
    found.leave()
    write = partial.Partial.write
    half_way, crashed = threading.Event(), threading.Event()

    def wait_for_the_crash(incoming: partial.Partial, index: int, data: partial.Buffer) -> None:
        write(incoming, index, data)
        if index == 1:
            half_way.set()
            crashed.wait(PATIENCE)

    monkeypatch.setattr(partial.Partial, "write", wait_for_the_crash)
    with futures.ThreadPoolExecutor(1) as pool:
        exported = pool.submit(exporter.export, looked)
        assert half_way.wait(PATIENCE)
        server.crash()
        crashed.set()
        server.start()
    assert exported.result().set_aside == {}
    for body in BODIES:
        assert stores.read(store, stores.name_of(body)) == body
    stores.leave(tmp_path / "store")


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(
    found: maas.MaasDatabase, tmp_path: pathlib.Path
) -> None:
    exporting.scene(found, *BODIES)
    with mounts.mounted(tmp_path / "small", 16 * units.MIB) as small:
        exporter = exporting.Exporter(found, stores.storage_at(small / "store"))
        with pytest.raises(space.NotEnoughSpace, match="missing"):
            exporter.export()
        assert exporting.holding(small / "store") == set()
        stores.leave(small / "store")


def test_a_disk_that_fills_up_meanwhile_ends_the_export_and_the_next_goes_on(
    found: maas.MaasDatabase, tmp_path: pathlib.Path
) -> None:
    exporting.scene(found, *BODIES)
    with mounts.mounted(tmp_path / "small", 48 * units.MIB) as small:
        exporter = exporting.Exporter(found, stores.storage_at(small / "store"))
        write = partial.Partial.write
        ballast: list[pathlib.Path] = []
        lock = threading.Lock()

        def fill_up_once(incoming: partial.Partial, index: int, data: partial.Buffer) -> None:
            write(incoming, index, data)
            with lock:
                if not ballast:
                    ballast.append(mounts.ballast(small))

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(partial.Partial, "write", fill_up_once)
            with pytest.raises(export.DiskFailed, match="No space left") as caught:
                exporter.export()
        assert caught.value.cure.startswith("free space there")
        for sha256 in exporting.holding(small / "store"):
            assert stores.name_of(stores.read(exporter.store, sha256)) == sha256
        ballast[0].unlink()
        exported = exporter.export()
        assert exported.done == set(map(stores.name_of, BODIES))
        stores.leave(small / "store")
