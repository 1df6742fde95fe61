"""What the field leaves in a MAAS database: names cut short, old bootloaders, who may come in."""

import itertools
import pathlib
from collections.abc import Iterator

import pytest

from boot_resources.catalog import cluster
from boot_resources.catalog import database as catalogs
from boot_resources.migration import contents, database
from boot_resources.store import storage
from support import exporting, maas, postgres, stores, syncing

PASSWORD = "hunter2"


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[storage.Storage]:
    yield stores.storage_at(tmp_path / "store")
    stores.leave(tmp_path / "store")


@pytest.fixture
def guarded() -> Iterator[postgres.Server]:
    """Give a server that lets MAAS's role in with a password only."""
    with postgres.running_server(loopback=True) as server:
        yield server


def twins() -> tuple[bytes, bytes]:
    """Return different bytes that MAAS calls the same on its disks."""
    known: dict[str, bytes] = {}
    for number in itertools.count():
        body = b"%d" % number
        short = stores.name_of(body)[: contents.SHORT_NAME]
        if short in known:
            return known[short], body
        known[short] = body
    raise AssertionError("endless")


def test_bytes_that_maas_calls_the_same_on_disk_are_not_mixed(
    any_maas: maas.MaasDatabase, store: storage.Storage
) -> None:
    bodies = twins()
    exporting.scene(any_maas, *bodies)
    assert exporting.Exporter(any_maas, store).export().set_aside == {}
    assert [stores.read(store, stores.name_of(body)) for body in bodies] == list(bodies)


def test_old_bootloaders_that_nobody_serves_stay_behind_and_go_with_the_others(
    any_maas: maas.MaasDatabase, sqlite_catalog: catalogs.Catalog, tmp_path: pathlib.Path
) -> None:
    exporting.scene(any_maas, b"a squashfs")
    loader = any_maas.version(any_maas.resource("grub-efi/uefi", bootloader_type="uefi"), "1")
    leftover = any_maas.store(b"an old bootloader")
    any_maas.file(loader, "bootx64.efi", leftover, "bootloader")
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    found = database.Database(any_maas.url())
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        done = exporting.migrated(found, sqlite_catalog, region.store)
        assert done.outcome.set_aside == ()
        assert region.store.held().keys() == {stores.name_of(b"a squashfs")}
        any_maas.leave()
        assert exporting.finished(found, sqlite_catalog, region.store).removed.objects == 2
    assert any_maas.execute("SELECT oid FROM pg_largeobject_metadata") == []


def test_a_wrong_password_is_told_from_a_server_that_is_down(guarded: postgres.Server) -> None:
    for found in maas.made(guarded, maas.V3_5):
        guarded.execute(f"ALTER ROLE {maas.MAAS} PASSWORD '{PASSWORD}'")
        rules = guarded.directory / "data" / "pg_hba.conf"
        rules.write_text(f"host all {maas.MAAS} 127.0.0.1/32 scram-sha-256\nlocal all all trust\n")
        found.leave()
        guarded.stop()
        guarded.start()
        place = f"127.0.0.1:{guarded.port}/{found.name}"
        with database.Database(f"postgresql://{maas.MAAS}:{PASSWORD}@{place}").snapshot():
            pass
        for password in ("wrong", ""):
            with pytest.raises(database.Unreachable) as caught:
                database.Database(f"postgresql://{maas.MAAS}:{password}@{place}").connect()
            assert "check the user, the password" in caught.value.cure
        with pytest.raises(database.Unreachable) as caught:
            database.Database(f"postgresql://postgres@{place}").connect()
        assert "pg_hba.conf" in caught.value.cure
