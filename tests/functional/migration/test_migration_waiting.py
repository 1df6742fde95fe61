"""What a region waits for at its start: its first pass, and another region's run."""

import pathlib
from collections.abc import Iterator

import pytest

from boot_resources import errors
from boot_resources.catalog import cluster, database, handovers, leases
from boot_resources.demo import origin, signed_source
from boot_resources.migration import turns
from boot_resources.region import migrating
from support import command, maas, on_thread, plane_region, settled

ANVIL = "custom/amd64/generic/anvil/uploaded/20240501"


@pytest.fixture
def house(tmp_path: pathlib.Path) -> Iterator[settled.House]:
    with signed_source.small_cloud(tmp_path / "source", 1024 * 1024) as source:
        with origin.Origin(source.directory) as served:
            cluster = plane_region.Cluster(tmp_path / "cluster")
            yield settled.House(tmp_path, source, served, cluster)


@pytest.fixture
def catalog(house: settled.House) -> Iterator[database.Catalog]:
    """Give the region's catalog, in which it has joined and brought its images."""
    with house.region(None) as region:
        region.wait_for_images(house.images)
    catalog = database.open_catalog(region.settings.catalog.url)
    yield catalog
    catalog.close()


def upload(found: maas.MaasDatabase, name: str) -> None:
    of_set = found.version(found.resource(name, rtype=maas.UPLOADED), "20240501", "uploaded")
    found.file(of_set, "root-tgz", found.store(name.encode() * 999))
    found.leave()


def test_who_asks_while_no_pass_succeeds_is_told_why(
    maas_3_5: maas.MaasDatabase, house: settled.House, catalog: database.Catalog
) -> None:
    upload(maas_3_5, "forge")
    with catalog.write() as conn:
        cluster.retire(conn, "region-0")
        cluster.join(conn, "region-9", "region-9.example.com:5290")
    with house.region(maas_3_5.url()) as region:
        asked = command.run_apart("migrate", "--settings", str(house.file))
        assert asked.status == errors.EXIT_FAILED
        assert "the region could not begin: region region-0 cannot join region-9" in asked.err
        assert "it migrates by itself" in asked.err
        with catalog.write() as conn:
            cluster.retire(conn, "region-9")
        region.sync()
        region.wait_for_images(house.images + 1)
        assert settled.about_migration(region.status()) == []


def test_another_regions_run_is_waited_for(
    maas_3_5: maas.MaasDatabase,
    house: settled.House,
    catalog: database.Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrating, "_ANOTHER_SECONDS", 0.05)
    upload(maas_3_5, "forge")
    with catalog.write() as conn:
        lease = leases.acquire(conn, turns.NAME, "region-9", turns.LEASE_SECONDS)
    assert lease is not None
    with house.region(maas_3_5.url()) as region:
        settled.wait_for_notice(region, "another")
        with catalog.write() as conn:
            leases.release(conn, lease)
        region.wait_for_images(house.images + 1)
        on_thread.wait_until(lambda: settled.about_migration(region.status()) == [])


def test_another_database_is_looked_at_at_the_next_start(
    maas_3_4: maas.MaasDatabase, maas_3_5: maas.MaasDatabase, house: settled.House
) -> None:
    upload(maas_3_4, "forge")
    upload(maas_3_5, "anvil")
    with house.region(maas_3_4.url()) as region:
        region.wait_for_images(house.images + 1)
    with house.region(maas_3_5.url()) as region:
        region.wait_for_images(house.images + 2)
        assert maas_3_5.name in region.status()["handover"]["maas"]
        # What was taken over is done: who asks again, and is refused, leaves no warning.
        with maas_3_5.session():
            refused = command.run("migrate", "--settings", house.file)
            assert (refused.status, "MAAS is connected" in refused.err) == (1, True)
            assert settled.about_migration(region.status()) == []
        maas_3_5.leave()
        command.run("images", "remove", ANVIL, "--settings", house.file)
        again = command.run("migrate", "--settings", house.file)
        assert (again.status, "1 removed here before stay away" in again.out) == (0, True)
        ended = command.run(
            "migrate", "--finish", "--yes-i-have-a-backup", "--settings", house.file
        )
        assert ended.status == errors.EXIT_OK
        assert "1 large object and 1 large file left MAAS's database" in ended.out
        for words in (("migrate",), ("migrate", "--check")):
            again = command.run(*words, "--settings", house.file)
            assert (again.status, "is finished" in again.err) == (errors.EXIT_FAILED, True)
        assert settled.about_migration(region.status()) == []


def test_a_region_that_is_retired_holds_nobody_up(postgresql_catalog: database.Catalog) -> None:
    with postgresql_catalog.write() as conn:
        for name in ("region-0", "region-1"):
            cluster.join(conn, name, f"{name}.example.com:5290")
        handovers.begin(conn, "region-0", "")
        assert handovers.withholds(conn)
        cluster.retire(conn, "region-1")
        assert handovers.is_open(conn), "it was told to another one"
        cluster.retire(conn, "region-0")
        assert not handovers.withholds(conn)
        assert not handovers.is_open(conn)
