"""MAAS's images arrive in the catalog: available at once, and the source's own from then on."""

import pathlib
import threading
from collections.abc import Iterator

import pytest

from boot_resources import units
from boot_resources.catalog import (
    availability,
    cluster,
    database,
    holdings,
    images,
    leases,
    names,
    sources,
)
from boot_resources.demo import signed_source
from boot_resources.migration import (
    clients,
    export,
    handover,
    outcome,
    turns,
)
from boot_resources.migration import database as maas_databases
from boot_resources.store import partial
from boot_resources.sync import engine
from support import catalogs, exporting, maas, stores, syncing

SIZE = 4 * units.MIB
OLD, NEW = "20250718", "20250801"
CUSTOM = "custom/amd64/generic/forge/uploaded/20240501"


@pytest.fixture
def cloud(tmp_path: pathlib.Path) -> Iterator[syncing.Cloud]:
    yield from syncing.small_cloud(tmp_path / "source", SIZE)


@pytest.fixture
def region(sqlite_catalog: database.Catalog, tmp_path: pathlib.Path) -> Iterator[syncing.Region]:
    """Give a region that knows of no source yet."""
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


def synced_from(found: maas.MaasDatabase, cloud: syncing.Cloud, version: str = OLD) -> set[str]:
    """Have MAAS hold what it would have synced from the cloud; return the images' names."""
    resources: dict[tuple[str, str], int] = {}
    sets: dict[int, int] = {}
    made = set()
    for each in cloud.source.truth:
        if each.version != version or each.filename.endswith(".manifest"):
            continue
        key = (f"{each.os}/{each.release}", f"{each.arch}/{each.subarch}")
        if key not in resources:
            kind = each.release if each.release in ("pxe", "uefi", "open-firmware") else None
            resources[key] = found.resource(*key, bootloader_type=kind)
            sets[resources[key]] = found.version(resources[key], version, each.label)
        content = (cloud.source.directory / cloud.path(each.sha256)[1:]).read_bytes()
        ftype = "archive.tar.xz" if each.filename.endswith(".tar.xz") else each.filename
        found.file(sets[resources[key]], each.filename, found.store(content), ftype)
        image = (each.os, each.arch, each.subarch, each.release, each.label, version)
        made.add("/".join(image))
    return made


def upload(found: maas.MaasDatabase, content: bytes = b"a whole disk" * 999) -> maas.Stored:
    """Have an operator upload an image to MAAS."""
    resource = found.resource("forge", rtype=maas.UPLOADED, base_image="ubuntu/jammy")
    stored = found.store(content)
    of_set = found.version(resource, "20240501", "uploaded")
    found.file(of_set, "root-tgz", stored)
    return stored


def migrate(
    found: maas.MaasDatabase, region: syncing.Region, *lost: str, online: bool = False
) -> handover.Handover:
    if not found.sealed:
        found.seal()
    return handover.migrate(
        maas_databases.Database(found.url()),
        region.catalog,
        region.name,
        region.store,
        handover.Orders(
            online,
            [names.ImageName.parse(each) for each in lost],
            rules=export.Rules(2, exporting.IMPATIENT),
        ),
        lambda _: None,
        threading.Event(),
    )


def listed(region: syncing.Region) -> dict[str, images.ListedImage]:
    with region.catalog.read() as conn:
        return {str(each.name): each for each in images.listing(conn)}


def test_images_are_available_at_once_and_the_sync_fetches_nothing_of_them(
    any_maas: maas.MaasDatabase, cloud: syncing.Cloud, region: syncing.Region
) -> None:
    synced = synced_from(any_maas, cloud)
    done = migrate(any_maas, region)
    assert done.outcome.succeeded
    assert syncing.available(region.catalog) == dict.fromkeys(synced, False)
    assert {each.source_url for each in listed(region).values()} == {None}

    syncing.declare(region.catalog, cloud)
    region.sync()
    assert cloud.server.payload_bytes == 0
    assert syncing.available(region.catalog) == dict.fromkeys(synced, False)
    assert {each.source_url for each in listed(region).values()} == {cloud.server.url}
    assert region.board.standing() == []
    for sha256 in region.store.held():
        assert stores.name_of(stores.read(region.store, sha256)) == sha256

    documents = cloud.server.document_bytes
    assert region.sync() == engine.Outcome()
    assert cloud.server.document_bytes == documents


def test_images_that_the_source_told_of_before_are_not_fetched_either(
    maas_3_5: maas.MaasDatabase, cloud: syncing.Cloud, region: syncing.Region
) -> None:
    synced = synced_from(maas_3_5, cloud)
    syncing.declare(region.catalog, cloud)
    region.read_source()
    assert syncing.available(region.catalog) == {}
    done = migrate(maas_3_5, region)
    assert done.arrived is not None
    assert done.arrived.added == ()
    assert syncing.available(region.catalog) == dict.fromkeys(synced, False)
    region.sync()
    assert cloud.server.payload_bytes == 0
    assert region.board.standing() == []


def test_a_migrated_version_serves_until_the_newer_one_is_available(
    maas_3_4: maas.MaasDatabase, cloud: syncing.Cloud, region: syncing.Region
) -> None:
    synced = synced_from(maas_3_4, cloud)
    signed_source.add_version(cloud.source, NEW, SIZE, 1)
    cloud.source.publish()
    migrate(maas_3_4, region)
    syncing.declare(region.catalog, cloud)
    region.read_source()
    assert syncing.available(region.catalog) == dict.fromkeys(synced, False)
    region.sync()
    newer = {name.replace(OLD, NEW) for name in synced}
    expected = dict.fromkeys(synced, True) | dict.fromkeys(newer, False)
    assert syncing.available(region.catalog) == expected


def test_no_selection_is_needed_to_keep_what_was_migrated(
    maas_3_5: maas.MaasDatabase, cloud: syncing.Cloud, region: syncing.Region
) -> None:
    synced = synced_from(maas_3_5, cloud)
    upload(maas_3_5)
    migrate(maas_3_5, region)
    centos = sources.Selection("centos", "8", ("*",), ("*",), ("*",))
    syncing.declare(region.catalog, cloud, centos)
    region.sync()
    assert syncing.available(region.catalog) == dict.fromkeys({*synced, CUSTOM}, False)
    assert cloud.server.payload_bytes == 0


def test_an_uploaded_image_arrives_and_no_sync_touches_it(
    any_maas: maas.MaasDatabase, cloud: syncing.Cloud, region: syncing.Region
) -> None:
    stored = upload(any_maas)
    migrate(any_maas, region)
    syncing.declare(region.catalog, cloud)
    region.sync()
    with region.catalog.read() as conn:
        (image,) = (i for i in availability.available(conn).images if str(i.name) == CUSTOM)
    assert [(item.filename, item.ftype, item.sha256) for item in image.items] == [
        ("root.tgz", "root-tgz", stored.sha256)
    ]
    assert image.extra == {"base_image": "ubuntu/jammy"}
    assert region.board.standing() == []


def test_no_source_takes_an_uploaded_image_over_even_in_the_same_words(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(maas_3_5)
    migrate(maas_3_5, region)
    theirs = catalogs.image(CUSTOM, {"root.tgz": "something else"})
    newer = catalogs.image(f"{CUSTOM}.1", {"root.tgz": "something newer"})
    with region.catalog.write() as conn:
        plan = catalogs.offer(conn, theirs)
        assert "came from elsewhere" in plan.refused[0].reason
        plan = catalogs.offer(conn, newer)
        assert plan.outgoing == plan.removed == ()


def test_a_migrated_image_can_be_removed_by_its_name(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(maas_3_5)
    migrate(maas_3_5, region)
    with region.catalog.write() as conn:
        images.remove(conn, names.ImageName.parse(CUSTOM))
    region.sync(read_source=False)
    assert syncing.available(region.catalog) == {}
    assert region.store.held() == {}


def test_a_wrong_object_that_the_source_lists_is_fetched_by_the_sync_alone(
    maas_3_5: maas.MaasDatabase, cloud: syncing.Cloud, region: syncing.Region
) -> None:
    synced = synced_from(maas_3_5, cloud)
    victim = cloud.largest()
    oid = maas_3_5.execute("SELECT content FROM maasserver_largefile WHERE sha256 = %s", victim)
    maas_3_5.execute("SELECT lo_put(%s, 5, 'damage')", oid[0][0])
    syncing.declare(region.catalog, cloud)
    region.read_source()
    done = migrate(maas_3_5, region)
    assert done.outcome.succeeded
    assert {each.sha256 for each in done.outcome.set_aside} == {victim}
    assert {each.resolution for each in done.outcome.set_aside} == {outcome.Resolution.REDOWNLOAD}
    short = {str(each.image) for each in done.outcome.set_aside}
    assert syncing.available(region.catalog).keys() == synced - short
    region.sync()
    assert syncing.available(region.catalog) == dict.fromkeys(synced, False)
    manifests = {t.sha256: t.size for t in cloud.source.truth if t.filename.endswith(".manifest")}
    assert cloud.server.payload_bytes <= cloud.wanted()[victim] + sum(manifests.values())


def test_nothing_arrives_while_something_is_open(
    any_maas: maas.MaasDatabase, cloud: syncing.Cloud, region: syncing.Region
) -> None:
    synced = synced_from(any_maas, cloud)
    any_maas.remove(upload(any_maas))
    done = migrate(any_maas, region)
    assert done.arrived is None
    (open_one,) = done.outcome.open
    assert (str(open_one.image), open_one.filename) == (CUSTOM, "root.tgz")
    assert "is not in the database" in open_one.reason
    assert syncing.available(region.catalog) == {}

    done = migrate(any_maas, region, CUSTOM)
    assert done.read == 0, "what was exported waited in the store"
    assert done.outcome.succeeded
    assert syncing.available(region.catalog) == dict.fromkeys(synced, False)


def test_a_loss_of_what_is_whole_cannot_be_accepted(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(maas_3_5)
    with pytest.raises(outcome.NothingToLose, match=CUSTOM):
        migrate(maas_3_5, region, CUSTOM)
    assert syncing.available(region.catalog) == {}


def test_older_versions_can_be_had_for_a_while(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    resource = any_maas.resource("ubuntu/noble", "amd64/ga-24.04")
    for version in ("20240501", "20240501.9", "20240501.10"):
        stored = any_maas.store(version.encode())
        any_maas.file(any_maas.version(resource, version), "squashfs", stored)
    migrate(any_maas, region)
    name = "ubuntu/amd64/ga-24.04/noble/stable/20240501"
    expected = {name: True, f"{name}.9": True, f"{name}.10": False}
    assert syncing.available(region.catalog) == expected


def test_migrating_twice_changes_nothing(
    any_maas: maas.MaasDatabase, cloud: syncing.Cloud, region: syncing.Region
) -> None:
    synced_from(any_maas, cloud)
    upload(any_maas)
    migrate(any_maas, region)
    before = syncing.available(region.catalog), listed(region)
    again = migrate(any_maas, region)
    assert again.read == 0
    assert again.arrived is not None
    assert again.arrived.added == again.arrived.available == ()
    assert (syncing.available(region.catalog), listed(region)) == before


def test_with_several_regions_the_others_have_to_get_the_images_first(
    maas_3_5: maas.MaasDatabase, postgresql_catalog: database.Catalog, tmp_path: pathlib.Path
) -> None:
    stored = upload(maas_3_5)
    with postgresql_catalog.write() as conn:
        for number in (0, 1):
            cluster.join(conn, f"region-{number}", f"region-{number}.example.com:5290")
    with syncing.Region(postgresql_catalog, tmp_path / "store") as region:
        migrate(maas_3_5, region)
        assert syncing.available(postgresql_catalog) == {}
        with postgresql_catalog.write() as conn:
            (wanted,) = holdings.wanted_objects(conn)
            assert (wanted.sha256, wanted.origins) == (stored.sha256, ())
            proof = region.store.held()[stored.sha256]
            holdings.record(
                conn, "region-1", [holdings.Proof(stored.sha256, proof.size, proof.map_digest)]
            )
            availability.refresh(conn)
        assert syncing.available(postgresql_catalog) == {CUSTOM: False}


def test_one_region_migrates_at_a_time(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(maas_3_5)
    with turns.turn(region.catalog, "region-9", threading.Event()):
        with pytest.raises(turns.AnotherMigrates, match="region-9 migrates now"):
            migrate(maas_3_5, region)
    assert migrate(maas_3_5, region).outcome.succeeded


@pytest.mark.parametrize("lasting", [3600.0, 0.0], ids=["another works", "another has worked"])
def test_a_region_that_loses_its_turn_stops(region: syncing.Region, lasting: float) -> None:
    stop = threading.Event()
    with turns.turn(region.catalog, "region-0", stop, seconds=0.3) as lease:
        with region.catalog.write() as conn:
            leases.release(conn, lease)
            assert leases.acquire(conn, turns.NAME, "region-9", lasting)
        assert stop.wait(30)
        with region.catalog.write() as conn, pytest.raises(turns.AnotherMigrates):
            turns.confirm(conn, lease)


# MAAS is there


def test_maas_on_its_database_is_refused_and_named(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(any_maas)
    with any_maas.session() as conn:
        conn.execute("SELECT 1")
        with pytest.raises(
            clients.MaasConnected, match=r"maas maas-regiond since .*\(1\)"
        ) as caught:
            migrate(any_maas, region)
        assert "--online" in caught.value.cure
        assert region.store.held() == {}
        assert migrate(any_maas, region, online=True).outcome.succeeded


def test_what_maas_changes_meanwhile_is_exported_too(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(any_maas)
    late = stores.noise(5000)
    write = partial.Partial.write
    changed: list[int] = []

    def change_once(incoming: partial.Partial, index: int, data: partial.Buffer) -> None:
        write(incoming, index, data)
        if not changed:
            changed.append(index)
            resource = any_maas.resource("late", rtype=maas.UPLOADED)
            of_set = any_maas.version(resource, "20240502", "uploaded")
            any_maas.file(of_set, "root-dd", any_maas.store(late))
            any_maas.seal()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(partial.Partial, "write", change_once)
        migrate(any_maas, region, online=True)
    assert syncing.available(region.catalog).keys() == {
        CUSTOM,
        "custom/amd64/generic/late/uploaded/20240502",
    }
    assert stores.read(region.store, stores.name_of(late)) == late


def test_a_maas_that_goes_on_changing_ends_the_export(
    maas_3_5: maas.MaasDatabase, region: syncing.Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(maas_3_5)
    monkeypatch.setattr(handover, "ROUNDS", 2)
    write = partial.Partial.write

    def change_always(incoming: partial.Partial, index: int, data: partial.Buffer) -> None:
        write(incoming, index, data)
        number = stores.name_of(bytes(data))[:8]
        resource = maas_3_5.resource(f"more-{number}", rtype=maas.UPLOADED)
        stored = maas_3_5.store(f"more {number}".encode())
        maas_3_5.file(maas_3_5.version(resource, "1", "uploaded"), "root-dd", stored)
        maas_3_5.seal()

    monkeypatch.setattr(partial.Partial, "write", change_always)
    with pytest.raises(handover.StillChanging, match="changed its images 2 times"):
        migrate(maas_3_5, region, online=True)
    assert syncing.available(region.catalog) == {}
