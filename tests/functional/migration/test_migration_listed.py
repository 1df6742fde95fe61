"""What MAAS has broken and the boot source lists: it comes again where somebody selects it."""

import pathlib
import threading
from collections.abc import Iterator

import pytest

from boot_resources import units
from boot_resources.catalog import cluster, database, sources
from boot_resources.migration import database as maas_databases
from boot_resources.migration import handover, outcome
from boot_resources.sync import listing
from support import maas, stores, syncing


@pytest.fixture
def cloud(tmp_path: pathlib.Path) -> Iterator[syncing.Cloud]:
    yield from syncing.small_cloud(tmp_path / "source", units.MIB)


@pytest.fixture
def region(
    sqlite_catalog: database.Catalog, cloud: syncing.Cloud, tmp_path: pathlib.Path
) -> Iterator[syncing.Region]:
    """Give a region that selects no Ubuntu."""
    centos = sources.Selection("centos", "*", ("*",), ("*",), ("*",))
    syncing.declare(sqlite_catalog, cloud, centos)
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        region.read_source()
        yield region


def half_written(found: maas.MaasDatabase, cloud: syncing.Cloud) -> str:
    """Have MAAS hold half of a file that the source lists; return the release's name."""
    each = next(t for t in cloud.source.truth if (t.os, t.filename) == ("ubuntu", "squashfs"))
    content = (cloud.source.directory / cloud.path(each.sha256)[1:]).read_bytes()
    stored = found.store(content[:5], says=content, written=5)
    resource = found.resource(f"{each.os}/{each.release}", f"{each.arch}/{each.subarch}")
    found.file(found.version(resource, each.version, each.label), each.filename, stored)
    return each.release


def migrate(found: maas.MaasDatabase, region: syncing.Region) -> outcome.Outcome:
    orders = handover.Orders(offered=listing.offered)
    stop = threading.Event()
    url = maas_databases.Database(found.url())
    return handover.migrate(
        url, region.catalog, region.name, region.store, orders, lambda _: None, stop
    ).outcome


def test_what_is_listed_and_not_selected_is_open_and_says_what_to_select(
    any_maas: maas.MaasDatabase, cloud: syncing.Cloud, region: syncing.Region
) -> None:
    release = half_written(any_maas, cloud)
    any_maas.seal()
    (one,) = migrate(any_maas, region).set_aside
    assert one.resolution is outcome.Resolution.OPEN
    assert "MAAS had written 5 of its" in one.reason
    assert f"boot-resources selections add ubuntu {release}'" in one.reason
    with region.catalog.write() as conn:
        everything = sources.Selection("ubuntu", release, ("*",), ("*",), ("*",))
        managed = sources.get_source(conn)
        assert managed is not None
        sources.declare(conn, managed.source, [everything])
    region.read_source()
    judged = migrate(any_maas, region)
    assert judged.succeeded
    (one,) = judged.set_aside
    assert one.resolution is outcome.Resolution.REDOWNLOAD
    region.sync()
    assert one.sha256 in region.store.held()


def test_what_nobody_lists_says_nothing_of_a_selection(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    stored = maas_3_5.store(stores.noise(500))
    of_set = maas_3_5.version(maas_3_5.resource("ubuntu/noble"), "20240501")
    maas_3_5.file(of_set, "squashfs", stored)
    maas_3_5.remove(stored)
    (one,) = migrate(maas_3_5, region).open
    assert "select" not in one.reason


def test_without_a_source_nothing_is_listed(sqlite_catalog: database.Catalog) -> None:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
        assert listing.offered(conn) == frozenset()
