"""What leaves MAAS's database: rows as they were found, or none; and the space comes back last."""

import pathlib
import threading
from collections.abc import Callable, Iterator

import pytest

from boot_resources import errors
from boot_resources.catalog import cluster, database, handovers
from boot_resources.demo import origin, signed_source
from boot_resources.migration import database as maas_databases
from boot_resources.migration import inventory, reclaim, removal
from support import command, exporting, maas, plane_region, settled, stores, syncing

BODIES = [stores.noise(70_000 + number, number) for number in range(3)]
Change = Callable[[maas.MaasDatabase, maas.Stored], None]


def another_file(found: maas.MaasDatabase, stored: maas.Stored) -> None:
    of_set = found.version(found.resource("forge", rtype=maas.UPLOADED), "1", "uploaded")
    found.file(of_set, "root-dd", stored)


def another_name(found: maas.MaasDatabase, stored: maas.Stored) -> None:
    found.execute(
        "UPDATE maasserver_bootresourcefile SET filename = 'x' WHERE largefile_id = %s", stored.id
    )


def other_bytes(found: maas.MaasDatabase, stored: maas.Stored) -> None:
    oid = found.large_object(b"other")
    found.execute("UPDATE maasserver_largefile SET content = %s WHERE id = %s", oid, stored.id)


def no_file(found: maas.MaasDatabase, stored: maas.Stored) -> None:
    found.execute("DELETE FROM maasserver_bootresourcefile WHERE largefile_id = %s", stored.id)


def planned(found: maas.MaasDatabase, *, orphans: bool = False) -> removal.Plan:
    with maas_databases.Database(found.url()).snapshot() as conn:
        return removal.plan(inventory.read(conn), orphans=orphans)


def remove(
    found: maas.MaasDatabase, plan: removal.Plan, confirm: Callable[[], None]
) -> removal.Removed:
    maas_url = maas_databases.Database(found.url())
    return removal.remove(maas_url, plan, confirm, lambda *_: None, threading.Event())


@pytest.mark.parametrize("change", [another_file, another_name, other_bytes, no_file])
def test_what_changed_at_the_last_moment_stays_with_all_of_its_batch(
    any_maas: maas.MaasDatabase, change: Change
) -> None:
    stored = exporting.scene(any_maas, *BODIES)

    def confirm() -> None:
        change(any_maas, stored[1])
        any_maas.seal()

    with pytest.raises(removal.Changed, match="changed while they were removed"):
        remove(any_maas, planned(any_maas), confirm)
    any_maas.assert_unchanged()
    any_maas.sealed = ""
    assert remove(any_maas, planned(any_maas), lambda: None).objects >= 2


def test_an_orphan_that_gets_a_row_at_the_last_moment_stays(any_maas: maas.MaasDatabase) -> None:
    exporting.scene(any_maas, *BODIES)
    orphan = any_maas.large_object(b"nothing names it")

    def confirm() -> None:
        any_maas.execute(
            "INSERT INTO maasserver_largefile"
            " (created, updated, sha256, total_size, size, content)"
            " VALUES (now(), now(), 'of a moment ago', 1, 1, %s)",
            orphan,
        )
        any_maas.seal()

    with pytest.raises(removal.Changed):
        remove(any_maas, planned(any_maas, orphans=True), confirm)
    any_maas.assert_unchanged()


# The space


@pytest.fixture
def region(sqlite_catalog: database.Catalog, tmp_path: pathlib.Path) -> Iterator[syncing.Region]:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


def impatient(found: maas.MaasDatabase) -> str:
    """Return a URL whose sessions wait only a moment for a lock."""
    return f"{found.url()}&options=-c%20lock_timeout%3D200ms"


def test_who_keeps_the_space_from_coming_back_does_not_undo_the_end(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(any_maas, *BODIES)
    url = maas_databases.Database(impatient(any_maas))
    exporting.migrated(url, region.catalog, region.store)
    # By its name it counts as one of our own.
    with any_maas.session(maas.READER, "boot-resources tests") as busy:
        busy.autocommit = False
        busy.execute("SELECT count(*) FROM pg_largeobject")
        done = exporting.finished(url, region.catalog, region.store)
        busy.rollback()
    assert done.removed == removal.Removed(3, 3)
    assert done.space.given_back == 0
    assert done.space.vacuum == reclaim.VACUUM
    assert "lock timeout" in done.space.problem
    with region.catalog.read() as conn:
        known = handovers.find(conn)
    assert known is not None
    assert known.finished
    # As it says.
    again = reclaim.give_back(url, reclaim.size(url))
    assert again.given_back > sum(map(len, BODIES)) // 2
    assert (again.vacuum, again.problem) == ("", "")


def test_who_does_not_own_the_database_is_told_who_may(maas_3_5: maas.MaasDatabase) -> None:
    url = maas_databases.Database(maas_3_5.url(maas.READER))
    space = reclaim.give_back(url, reclaim.size(url))
    assert (space.vacuum, "does not own" in space.problem) == (reclaim.VACUUM, True)


def test_the_command_warns_of_space_that_did_not_come_back(
    maas_3_5: maas.MaasDatabase, tmp_path: pathlib.Path
) -> None:
    exporting.scene(maas_3_5, *BODIES)
    with signed_source.small_cloud(tmp_path / "source", 2_000_000) as source:
        with origin.Origin(source.directory) as served:
            of_house = plane_region.Cluster(tmp_path / "cluster")
            house = settled.House(tmp_path, source, served, of_house)
            with house.region(impatient(maas_3_5)) as region:
                region.wait_for_images(house.images)
                with maas_3_5.session(maas.READER, "boot-resources tests") as busy:
                    busy.autocommit = False
                    busy.execute("SELECT count(*) FROM pg_largeobject")
                    words = ("--finish", "--yes-i-have-a-backup", "--settings", house.file)
                    done = command.run("migrate", *words)
                    busy.rollback()
                assert done.status == errors.EXIT_OK
                assert "3 large objects and 3 large files left MAAS's database" in done.out
                assert reclaim.VACUUM in done.err
                shown = command.run("status", "--settings", house.file)
                assert "MAAS's database is free of it" in shown.out
