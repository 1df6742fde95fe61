"""A server that stands still keeps nobody from stopping."""

import pathlib
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import pytest

from boot_resources import errors, units
from boot_resources.catalog import cluster, database
from boot_resources.migration import database as maas_databases
from boot_resources.migration import export, finish, handover, inventory, removal
from boot_resources.store import partial
from support import exporting, maas, on_thread, postgres, stores, syncing


@pytest.fixture
def region(sqlite_catalog: database.Catalog, tmp_path: pathlib.Path) -> Iterator[syncing.Region]:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


def stopped_while_it_hangs(
    server: postgres.Server,
    work: Callable[[threading.Event], object],
    reached: threading.Event,
    go_on: threading.Event,
) -> None:
    """Let the server stand still where the work has reached it, and stop the work."""
    stop = threading.Event()
    with futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(work, stop)
        assert reached.wait(on_thread.PATIENCE)
        with server.hanging():
            go_on.set()
            stop.set()
            with pytest.raises(errors.BootResourcesError):
                running.result(on_thread.PATIENCE)


def test_an_export_from_a_server_that_stands_still_can_be_stopped(
    maas_3_5: maas.MaasDatabase,
    postgresql_server: postgres.Server,
    region: syncing.Region,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporting.scene(maas_3_5, stores.noise(12 * units.MIB))
    maas_3_5.seal()
    maas_3_5.leave()
    reached, go_on = threading.Event(), threading.Event()
    write = partial.Partial.write

    def wait_first(incoming: partial.Partial, index: int, data: partial.Buffer) -> None:
        reached.set()
        go_on.wait()
        write(incoming, index, data)

    monkeypatch.setattr(partial.Partial, "write", wait_first)
    url = maas_databases.Database(maas_3_5.url())
    orders = handover.Orders(rules=export.Rules(1, exporting.IMPATIENT))

    def work(stop: threading.Event) -> object:
        return handover.migrate(
            url, region.catalog, region.name, region.store, orders, lambda _: None, stop
        )

    stopped_while_it_hangs(postgresql_server, work, reached, go_on)
    # It goes on from there, over connections of its own.
    assert exporting.migrated(url, region.catalog, region.store).outcome.succeeded


def test_so_can_a_removal_and_what_it_had_begun_is_undone(
    any_maas: maas.MaasDatabase,
    postgresql_server: postgres.Server,
    region: syncing.Region,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporting.scene(any_maas, *(stores.noise(5000, number) for number in range(3)))
    url = maas_databases.Database(any_maas.url())
    exporting.migrated(url, region.catalog, region.store)
    any_maas.leave()
    before = any_maas.checksum()
    any_maas.leave()
    reached, go_on = threading.Event(), threading.Event()

    take_off = removal._take_off

    def wait_first(
        conn: maas_databases.Connection, plan: removal.Plan, rows: list[inventory.LargeFile]
    ) -> None:
        reached.set()
        go_on.wait()
        take_off(conn, plan, rows)

    def work(stop: threading.Event) -> object:
        return finish.finish(
            url, region.catalog, region.name, region.store, lambda *_: None, stop, orphans=False
        )

    with monkeypatch.context() as patched:
        patched.setattr(removal, "_take_off", wait_first)
        stopped_while_it_hangs(postgresql_server, work, reached, go_on)
    assert any_maas.checksum() == before
    any_maas.leave()
    assert exporting.finished(url, region.catalog, region.store).removed.objects == 3
