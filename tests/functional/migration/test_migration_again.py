"""What a later run finds takes nothing back: not the success, not what is offered, not a file."""

import dataclasses
import pathlib
import threading
from collections.abc import Iterator

import pytest

from boot_resources import errors, units
from boot_resources.catalog import cluster, database, handovers, holdings, images, names, wanting
from boot_resources.demo import origin, signed_source
from boot_resources.migration import arrival, export, finish, handover, mended
from boot_resources.migration import database as maas_databases
from support import command, exporting, maas, plane_region, settled, stores, syncing

FORGE = "custom/amd64/generic/forge/uploaded/20240501"
SLOW = "custom/amd64/generic/slow/uploaded/20240501"
WHOLE = stores.noise(700_000, 5)


@pytest.fixture
def house(tmp_path: pathlib.Path) -> Iterator[settled.House]:
    with signed_source.small_cloud(tmp_path / "source", 2 * units.MIB) as source:
        with origin.Origin(source.directory) as served:
            cluster = plane_region.Cluster(tmp_path / "cluster")
            yield settled.House(tmp_path, source, served, cluster)


@pytest.fixture
def region(sqlite_catalog: database.Catalog, tmp_path: pathlib.Path) -> Iterator[syncing.Region]:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


def upload(found: maas.MaasDatabase, name: str, stored: maas.Stored) -> None:
    """Have an operator upload an image to MAAS."""
    of_set = found.version(found.resource(name, rtype=maas.UPLOADED), "20240501", "uploaded")
    found.file(of_set, "root-tgz", stored)


def upload_anew(found: maas.MaasDatabase, content: bytes) -> maas.Stored:
    """Have an operator remove the image from MAAS, and upload another under its name."""
    found.execute("DELETE FROM maasserver_bootresourcefile")
    found.execute("DELETE FROM maasserver_bootresourceset")
    found.execute("DELETE FROM maasserver_bootresource")
    found.execute("SELECT lo_unlink(content) FROM maasserver_largefile")
    found.execute("DELETE FROM maasserver_largefile")
    stored = found.store(content)
    upload(found, "forge", stored)
    return stored


def migrate(found: maas.MaasDatabase, region: syncing.Region, *lost: str) -> handover.Handover:
    return handover.migrate(
        maas_databases.Database(found.url()),
        region.catalog,
        region.name,
        region.store,
        handover.Orders(
            accept_lost=[names.ImageName.parse(each) for each in lost],
            rules=export.Rules(2, exporting.IMPATIENT),
        ),
        lambda _: None,
        threading.Event(),
    )


def ended(found: maas.MaasDatabase, region: syncing.Region) -> finish.Finished:
    url = maas_databases.Database(found.url())
    return exporting.finished(url, region.catalog, region.store)


def recorded(region: syncing.Region) -> handovers.Handover:
    with region.catalog.read() as conn:
        known = handovers.find(conn)
    assert known is not None
    return known


def test_a_region_goes_on_serving_and_fetching_whatever_a_later_run_finds(
    maas_3_5: maas.MaasDatabase, house: settled.House
) -> None:
    upload(maas_3_5, "forge", maas_3_5.store(WHOLE))
    with house.region(maas_3_5.url()) as region:
        region.wait_for_images(house.images + 1)
        late = maas_3_5.store(b"it goes away")
        upload(maas_3_5, "slow", late)
        maas_3_5.remove(late)
        again = command.run("migrate", "--settings", house.file)
        assert (again.status, "slow" in again.out) == (errors.EXIT_FAILED, True)
        status = region.status()
        assert status["handover"]["succeeded"]
        assert not status["handover"]["withholds"]
        assert status["images"] == house.images + 1
        assert settled.says_that_it_serves(region, house) == {True}
        shown = command.run("status", "--settings", house.file)
        assert "1 file of a later run open" in shown.out
        before = house.served.payload_bytes
        signed_source.add_version(house.source, "20260101", 2 * units.MIB, 7)
        house.source.publish()
        region.sync()
        assert house.served.payload_bytes > before, "the newer version is fetched"
        # At a start it is tried again, so that nobody forgets it.
        region.stop()
        region.start()
        settled.wait_for_notice(region, "open")
        assert settled.says_that_it_serves(region, house) == {True}


def test_what_a_later_run_leaves_open_keeps_all_of_it_in_maas(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(any_maas, "forge", any_maas.store(WHOLE))
    migrate(any_maas, region)
    late = any_maas.store(b"it goes away")
    upload(any_maas, "slow", late)
    any_maas.remove(late)
    assert migrate(any_maas, region).arrived is None
    assert [each.image for each in recorded(region).open()] == [SLOW]
    any_maas.seal()
    with pytest.raises(
        finish.NotSucceeded, match="left something open: custom/amd64/generic/slow"
    ):
        ended(any_maas, region)
    any_maas.sealed = ""
    migrate(any_maas, region, SLOW)
    assert ended(any_maas, region).removed.objects == 1


def test_what_a_sync_tidied_away_between_two_runs_is_not_read_again(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(maas_3_5, "forge", maas_3_5.store(WHOLE))
    migrate(maas_3_5, region)
    late = maas_3_5.store(b"it goes away")
    upload(maas_3_5, "slow", late)
    maas_3_5.remove(late)
    other = stores.noise(300_000, 6)
    upload(maas_3_5, "other", maas_3_5.store(other))
    assert migrate(maas_3_5, region).read == len(other)
    region.sync(read_source=False)
    assert stores.name_of(other) not in region.store.held(), "no image needs it yet"
    done = migrate(maas_3_5, region, SLOW)
    assert done.read == 0
    assert stores.read(region.store, stores.name_of(other)) == other


# An image of the same name, with other files


def test_an_image_that_the_catalog_has_with_other_files_is_open(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(any_maas, "forge", any_maas.store(WHOLE))
    migrate(any_maas, region)
    newer = upload_anew(any_maas, WHOLE[::-1])
    done = migrate(any_maas, region)
    (still,) = done.outcome.open
    assert (str(still.image), done.arrived) == (FORGE, None)
    assert "images remove" in still.reason
    # The sync would drop what no image needs, and remember that it was proved here once.
    region.sync(read_source=False)
    assert newer.sha256 not in region.store.held()
    any_maas.seal()
    with pytest.raises(finish.NotSucceeded):
        ended(any_maas, region)
    any_maas.sealed = ""
    # As its cure says.
    with region.catalog.write() as conn:
        images.remove(conn, names.ImageName.parse(FORGE))
    migrate(any_maas, region)
    region.sync(read_source=False)
    assert stores.read(region.store, newer.sha256) == WHOLE[::-1]
    assert ended(any_maas, region).removed.objects == 1
    assert newer.sha256 in region.store.held()


def test_such_an_image_can_be_given_up_by_its_name(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(maas_3_5, "forge", maas_3_5.store(WHOLE))
    migrate(maas_3_5, region)
    upload_anew(maas_3_5, WHOLE[::-1])
    migrate(maas_3_5, region, FORGE)
    assert FORGE not in recorded(region).taken_over
    assert ended(maas_3_5, region).removed.objects == 1
    assert stores.read(region.store, stores.name_of(WHOLE)) == WHOLE


def test_a_holding_is_recorded_only_of_what_an_image_needs(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(maas_3_5, "forge", maas_3_5.store(WHOLE))
    migrate(maas_3_5, region)
    other = stores.put(region.store, WHOLE[::-1])
    with region.catalog.write() as conn:
        image = wanting.read_images(conn)[names.ImageName.parse(FORGE)].image
        items = [dataclasses.replace(each, sha256=other) for each in image.items]
        differing = dataclasses.replace(image, items=tuple(items))
        arrival.arrive(conn, region.name, [differing], region.store.held())
    with region.catalog.read() as conn:
        assert holdings.held(conn, region.name) == {stores.name_of(WHOLE)}
        assert holdings.let_go(conn) == set()


# What was given up, and mended in MAAS since


def slow(found: maas.MaasDatabase) -> maas.Stored:
    """Have MAAS write the first half of an image."""
    half = found.store(WHOLE[:400_000], says=WHOLE, written=400_000)
    upload(found, "slow", half)
    return half


def test_what_was_given_up_and_is_mended_since_is_not_removed_unseen(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(any_maas, stores.noise(5000))
    half = slow(any_maas)
    migrate(any_maas, region, SLOW)
    any_maas.execute("SELECT lo_put(%s, 0, %s)", half.oid, WHOLE)
    any_maas.execute("UPDATE maasserver_largefile SET size = total_size WHERE id = %s", half.id)
    any_maas.seal()
    with pytest.raises(mended.Mended, match=SLOW) as caught:
        ended(any_maas, region)
    assert "boot-resources migrate" in caught.value.cure
    any_maas.sealed = ""
    # As its cure says.
    assert migrate(any_maas, region).outcome.succeeded
    assert SLOW in syncing.available(region.catalog)
    assert ended(any_maas, region).removed.objects == 2
    assert stores.read(region.store, half.sha256) == WHOLE


def test_bytes_that_were_wrong_and_are_mended_in_their_place_are_seen(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    wrong = maas_3_5.store(WHOLE[:-1] + b"?", says=WHOLE)
    upload(maas_3_5, "slow", wrong)
    migrate(maas_3_5, region, SLOW)
    maas_3_5.execute("SELECT lo_put(%s, 0, %s)", wrong.oid, WHOLE)
    with pytest.raises(mended.Mended, match=SLOW):
        ended(maas_3_5, region)


@pytest.mark.parametrize("mended_half", [False, True])
def test_what_is_as_wrong_as_it_was_goes(
    maas_3_5: maas.MaasDatabase, region: syncing.Region, mended_half: bool
) -> None:
    wrong = maas_3_5.store(WHOLE[:-1] + b"?", says=WHOLE)
    other = maas_3_5.store(stores.noise(9000)[:-1] + b"?", says=stores.noise(9000))
    of_set = maas_3_5.version(
        maas_3_5.resource("slow", rtype=maas.UPLOADED), "20240501", "uploaded"
    )
    maas_3_5.file(of_set, "root-dd", wrong)
    maas_3_5.file(of_set, "second", other, "root-dd")
    migrate(maas_3_5, region, SLOW)
    if mended_half:
        # Of two files one is still wrong, so the image cannot come along.
        maas_3_5.execute("SELECT lo_put(%s, 0, %s)", wrong.oid, WHOLE)
    assert ended(maas_3_5, region).removed.objects == 2


def test_an_image_with_two_files_of_one_name_is_open_until_it_is_given_up(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    exporting.scene(any_maas, stores.noise(5000))
    of_set = any_maas.version(
        any_maas.resource("forge", rtype=maas.UPLOADED), "20240501", "uploaded"
    )
    for number, filename in enumerate(("a b.tgz", "a-b.tgz")):
        any_maas.file(of_set, filename, any_maas.store(stores.noise(900, number)), "root-tgz")
    done = migrate(any_maas, region)
    assert ["have one name here: a-b.tgz" in each.reason for each in done.outcome.open] == [True]
    assert migrate(any_maas, region, FORGE).arrived is not None
    assert ended(any_maas, region).removed.objects == 3
