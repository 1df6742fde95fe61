"""MAAS's images leave its database once they are proved here, and not before."""

import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from boot_resources import errors, units
from boot_resources.catalog import cluster, database, handovers, images, names
from boot_resources.demo import origin, signed_source
from boot_resources.migration import (
    clients,
    export,
    finish,
    handover,
    inventory,
    outcome,
    removal,
    schema,
)
from boot_resources.migration import database as maas_databases
from support import command, exporting, maas, plane_region, settled, stores, syncing

BODIES = [stores.noise(300_000 + number, number) for number in range(5)]
NOBLE = "ubuntu/amd64/ga-24.04/noble/stable/202405{:02}"


@pytest.fixture
def region(sqlite_catalog: database.Catalog, tmp_path: pathlib.Path) -> Iterator[syncing.Region]:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


@pytest.fixture
def cloud(tmp_path: pathlib.Path) -> Iterator[syncing.Cloud]:
    yield from syncing.small_cloud(tmp_path / "source", 4 * units.MIB)


def migrate(found: maas.MaasDatabase, region: syncing.Region, *lost: str) -> handover.Handover:
    return handover.migrate(
        maas_databases.Database(found.url()),
        region.catalog,
        region.name,
        region.store,
        handover.Orders(
            accept_lost=[names.ImageName.parse(each) for each in lost],
            by="somebody",
            rules=export.Rules(2, exporting.IMPATIENT),
        ),
        lambda _: None,
        threading.Event(),
    )


def ended(
    found: maas.MaasDatabase,
    region: syncing.Region,
    role: str = maas.MAAS,
    *,
    orphans: bool = False,
    tell: removal.Tell = lambda *_: None,
) -> finish.Finished:
    return finish.finish(
        maas_databases.Database(found.url(role)),
        region.catalog,
        region.name,
        region.store,
        tell,
        threading.Event(),
        orphans=orphans,
    )


def refused(
    found: maas.MaasDatabase, region: syncing.Region, kind: type[Exception], words: str
) -> None:
    before = found.checksum()
    with pytest.raises(kind, match=words):
        ended(found, region)
    assert found.checksum() == before


def counts(found: maas.MaasDatabase) -> tuple[int, int, int]:
    """Return how many files, large files and large objects there are."""
    (row,) = found.execute(
        "SELECT (SELECT count(*) FROM maasserver_bootresourcefile),"
        " (SELECT count(*) FROM maasserver_largefile),"
        " (SELECT count(*) FROM pg_largeobject_metadata)"
    )
    return row[0], row[1], row[2]


def test_all_of_it_goes_and_the_space_comes_back(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(any_maas, *BODIES)
    orphan = any_maas.large_object(b"nobody's")
    unused = any_maas.store(b"a large file without a file")
    migrate(any_maas, region)
    done = ended(any_maas, region)
    assert (done.objects, done.hashed) == (5, sum(map(len, BODIES)))
    assert (done.removed.largefiles, done.removed.objects) == (5, 5)
    assert done.space.given_back > sum(map(len, BODIES)) // 2
    assert done.space.vacuum == ""
    kept = 0 if any_maas.kind == maas.V3_4 else 5
    assert counts(any_maas) == (kept, 1, 2)
    left = {int(oid) for (oid,) in any_maas.execute("SELECT oid FROM pg_largeobject_metadata")}
    assert left == {orphan, unused.oid}
    # Once more, with what nothing names; and once more with nothing at all.
    again = ended(any_maas, region, orphans=True)
    assert (again.removed.largefiles, again.removed.objects) == (1, 2)
    assert counts(any_maas) == (kept, 0, 0)
    assert ended(any_maas, region, orphans=True).removed.objects == 0
    with region.catalog.read() as conn:
        known = handovers.find(conn)
    assert known is not None
    assert known.finished is not None
    with pytest.raises(handover.AlreadyFinished):
        migrate(any_maas, region)
    assert len(syncing.available(region.catalog)) == 5


def test_a_row_whose_large_object_is_missing_goes_like_the_others(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    stored = exporting.scene(any_maas, *BODIES)
    migrate(any_maas, region)
    any_maas.remove(stored[0])
    assert ended(any_maas, region).removed.objects == 4
    assert counts(any_maas)[1:] == (0, 0)


def test_what_was_given_up_goes_too(maas_3_5: maas.MaasDatabase, region: syncing.Region) -> None:
    stored = exporting.scene(maas_3_5, *BODIES)
    maas_3_5.remove(stored[0])
    assert migrate(maas_3_5, region).arrived is None
    refused(maas_3_5, region, finish.NotSucceeded, "has not succeeded")
    migrate(maas_3_5, region, NOBLE.format(0))
    ended(maas_3_5, region)
    assert counts(maas_3_5)[1:] == (0, 0)


def test_an_image_that_this_cluster_let_go_does_not_keep_it(
    maas_3_4: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(maas_3_4, *BODIES)
    migrate(maas_3_4, region)
    with region.catalog.write() as conn:
        images.remove(conn, names.ImageName.parse(NOBLE.format(0)), force=True)
    gone = stores.name_of(BODIES[0])
    region.store.tidy(region.store.held().keys() - {gone})
    assert ended(maas_3_4, region).objects == 4
    assert counts(maas_3_4) == (0, 0, 0)


def test_nothing_goes_before_the_migration_has_succeeded(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(any_maas, *BODIES)
    refused(any_maas, region, finish.NotSucceeded, "has not succeeded")


def test_nothing_goes_while_one_object_is_not_what_it_should_be(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(any_maas, *BODIES)
    migrate(any_maas, region)
    rotten = region.store.root / "objects" / stores.name_of(BODIES[2])
    stores.damage(rotten)
    refused(any_maas, region, finish.Unproved, "1 files that MAAS has are not proved")
    # As its cure says: MAAS still has it.
    migrate(any_maas, region)
    assert ended(any_maas, region).objects == 5


def test_nothing_goes_that_came_to_maas_since(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(any_maas, *BODIES)
    migrate(any_maas, region)
    of_set = any_maas.version(any_maas.resource("forge", rtype=maas.UPLOADED), "1", "uploaded")
    any_maas.file(of_set, "root-tgz", any_maas.store(b"uploaded since"))
    refused(any_maas, region, finish.NotTakenOver, "forge")


def test_nothing_goes_that_came_to_maas_since_even_of_bytes_that_are_proved(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    stored = exporting.scene(any_maas, *BODIES)
    migrate(any_maas, region)
    of_set = any_maas.version(any_maas.resource("forge", rtype=maas.UPLOADED), "1", "uploaded")
    any_maas.file(of_set, "root-dd", stored[0])
    refused(any_maas, region, finish.NotTakenOver, "1 images .*: custom/amd64/generic/forge")
    # As its cure says.
    migrate(any_maas, region)
    ended(any_maas, region)
    assert counts(any_maas)[1:] == (0, 0)
    assert "custom/amd64/generic/forge/uploaded/1" in syncing.available(region.catalog)


def test_nothing_goes_that_came_to_maas_while_it_was_hashed(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    stored = exporting.scene(any_maas, *BODIES)
    migrate(any_maas, region)
    resource = any_maas.resource("forge", rtype=maas.UPLOADED)

    def tell(what: str, here: int, total: int) -> None:
        if (what, here) == ("hashing", total):
            of_set = any_maas.version(resource, "1", "uploaded")
            any_maas.file(of_set, "root-dd", stored[0])

    with pytest.raises(finish.NotTakenOver, match="forge"):
        ended(any_maas, region, tell=tell)
    assert counts(any_maas) == (6, 5, 5)


def test_what_the_source_is_to_bring_has_to_have_come(
    any_maas: maas.MaasDatabase, region: syncing.Region, cloud: syncing.Cloud
) -> None:
    victim = cloud.largest()
    body = (cloud.source.directory / cloud.path(victim)[1:]).read_bytes()
    exporting.scene(any_maas, *BODIES, body)
    any_maas.execute(
        "SELECT lo_put(content, 5, 'damage') FROM maasserver_largefile WHERE sha256 = %s", victim
    )
    syncing.declare(region.catalog, cloud)
    region.read_source()
    done = migrate(any_maas, region)
    assert [each.sha256 for each in done.outcome.set_aside] == [victim]
    refused(any_maas, region, finish.Unproved, "1 files that MAAS has are not proved")
    region.sync()
    ended(any_maas, region)
    assert counts(any_maas)[1:] == (0, 0)


def test_nothing_goes_while_maas_is_connected(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(maas_3_5, *BODIES)
    migrate(maas_3_5, region)
    with maas_3_5.session():
        refused(maas_3_5, region, clients.SomebodyConnected, r"maas maas-regiond since .* \(1\)")
    ended(maas_3_5, region)


def test_maas_that_comes_back_half_way_ends_it_and_the_next_run_goes_on(
    any_maas: maas.MaasDatabase, region: syncing.Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "BATCH", 2)
    exporting.scene(any_maas, *BODIES)
    migrate(any_maas, region)
    connected: list[psycopg.Connection[Any]] = []

    def tell(what: str, here: int, total: int) -> None:
        if what == "removing" and not connected:
            connected.append(any_maas.session())

    with pytest.raises(clients.SomebodyConnected):
        ended(any_maas, region, tell=tell)
    assert counts(any_maas)[1:] == (3, 3)
    connected[0].close()
    assert ended(any_maas, region).removed.objects == 3
    assert counts(any_maas)[1:] == (0, 0)


def test_whoever_may_only_read_is_told_so_first(
    maas_3_4: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(maas_3_4, *BODIES)
    migrate(maas_3_4, region)
    maas_3_4.seal()
    with pytest.raises(removal.NotOwner, match=maas.READER) as caught:
        ended(maas_3_4, region, maas.READER)
    assert repr(maas.MAAS) in caught.value.cure


def test_other_regions_have_to_be_asked(
    shared_region: syncing.Region, maas_3_5: maas.MaasDatabase
) -> None:
    exporting.scene(maas_3_5, *BODIES)
    migrate(maas_3_5, shared_region)
    with shared_region.catalog.write() as conn:
        cluster.join(conn, "region-1", "region-1.example.com:5290")
    refused(maas_3_5, shared_region, finish.NotAlone, "region-1")


@pytest.fixture
def shared_region(
    postgresql_catalog: database.Catalog, tmp_path: pathlib.Path
) -> Iterator[syncing.Region]:
    with postgresql_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(postgresql_catalog, tmp_path / "store") as region:
        yield region


def test_which_rows_go_is_told_by_the_schema() -> None:
    old = removal.Plan(schema.Generation.V3_4, (), (), frozenset(), {})
    new = removal.Plan(schema.Generation.V3_5, (), (), frozenset(), {})
    assert "bootresourcefile and maasserver_largefile go" in old.rows()
    assert "bootresourcefile stay" in new.rows()


def test_a_large_object_that_another_row_names_stays(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    (stored,) = exporting.scene(maas_3_5, BODIES[0])
    maas_3_5.store(b"a large file without a file")
    maas_3_5.execute("UPDATE maasserver_largefile SET content = %s", stored.oid)
    with maas_databases.Database(maas_3_5.url()).snapshot() as conn:
        found = inventory.read(conn)
    assert removal.plan(found, orphans=False).oids == []
    assert set(removal.plan(found, orphans=True).oids) >= {stored.oid}


def test_the_command_finishes_what_a_region_migrated(
    any_maas: maas.MaasDatabase, tmp_path: pathlib.Path
) -> None:
    exporting.scene(any_maas, *BODIES)
    with signed_source.small_cloud(tmp_path / "source", 2_000_000) as source:
        with origin.Origin(source.directory) as served:
            house = settled.House(
                tmp_path, source, served, plane_region.Cluster(tmp_path / "cluster")
            )
            with house.region(any_maas.url()) as region:
                region.wait_for_images(house.images)
                options = ("--finish", "--settings", house.file)
                unsure = command.run("migrate", *options)
                assert (unsure.status, "--yes-i-have-a-backup" in unsure.err) == (2, True)
                assert counts(any_maas)[1:] == (5, 5)
                done = command.run("migrate", *options, "--yes-i-have-a-backup")
                assert done.status == errors.EXIT_OK
                assert "5 large objects and 5 large files left MAAS's database" in done.out
                assert counts(any_maas)[1:] == (0, 0)
                shown = command.run("status", "--settings", house.file)
                assert "MAAS's database is free of it" in shown.out
                again = command.run("migrate", *options, "--yes-i-have-a-backup", "--json")
                assert again.document["removed"]["objects"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--check", "--finish"],
        ["--check", "--accept-lost", "a/b/c/d/e/f"],
        ["--finish", "--online"],
        ["--orphans"],
        ["--yes-i-have-a-backup"],
    ],
)
def test_orders_that_do_not_go_together_are_refused(words: list[str]) -> None:
    assert command.run("migrate", *words, "--settings", "/nowhere").status == errors.EXIT_USAGE


def test_the_resolutions_of_the_record_are_those_of_the_judgement() -> None:
    assert outcome.Resolution.LOST.value == handovers.LOST
    assert outcome.Resolution.OPEN.value == handovers.OPEN
