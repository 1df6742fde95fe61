"""What this cluster parted with after it came does not come back; what never came does."""

import pathlib
import threading
from collections.abc import Iterator

import pytest

from boot_resources.catalog import cluster, database, handovers, images, names
from boot_resources.migration import database as maas_databases
from boot_resources.migration import export, handover, outcome
from support import exporting, maas, stores, syncing

FORGE = "custom/amd64/generic/forge/uploaded/20240501"
OTHER = "custom/amd64/generic/other/uploaded/20240501"


@pytest.fixture
def region(sqlite_catalog: database.Catalog, tmp_path: pathlib.Path) -> Iterator[syncing.Region]:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


def upload(found: maas.MaasDatabase, name: str, content: bytes) -> maas.Stored:
    stored = found.store(content)
    of_set = found.version(found.resource(name, rtype=maas.UPLOADED), "20240501", "uploaded")
    found.file(of_set, "root-tgz", stored)
    return stored


def migrate(found: maas.MaasDatabase, region: syncing.Region, *lost: str) -> handover.Handover:
    url = maas_databases.Database(found.url())
    orders = handover.Orders(
        accept_lost=[names.ImageName.parse(each) for each in lost],
        rules=export.Rules(2, exporting.IMPATIENT),
    )
    stop = threading.Event()
    return handover.migrate(
        url, region.catalog, region.name, region.store, orders, lambda _: None, stop
    )


def remove(region: syncing.Region, name: str) -> None:
    """Have an operator remove an image here, and the sync its objects."""
    with region.catalog.write() as conn:
        images.remove(conn, names.ImageName.parse(name))
    region.sync(read_source=False)


def test_an_image_that_was_removed_here_stays_away(
    any_maas: maas.MaasDatabase, region: syncing.Region
) -> None:
    forge = upload(any_maas, "forge", stores.noise(300_000, 1))
    other = upload(any_maas, "other", stores.noise(300_000, 2))
    migrate(any_maas, region)
    remove(region, FORGE)
    # Twice: that it came once is not forgotten by a run that did not bring it.
    for _ in range(2):
        again = migrate(any_maas, region)
        assert again.outcome.succeeded
        assert again.read == 0
        assert again.parted == (names.ImageName.parse(FORGE),)
        assert syncing.available(region.catalog) == {OTHER: False}
        assert region.store.held().keys() == {other.sha256}
    with region.catalog.read() as conn:
        known = handovers.find(conn)
    assert known is not None
    assert known.taken_over[FORGE] == {"root.tgz": forge.sha256}
    # MAAS may part with it, too: all of it was proved here.
    url = maas_databases.Database(any_maas.url())
    assert exporting.finished(url, region.catalog, region.store).removed.objects == 2


def test_a_new_image_under_the_old_name_comes(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(maas_3_5, "forge", b"the first")
    migrate(maas_3_5, region)
    remove(region, FORGE)
    newer = maas_3_5.store(b"the second")
    maas_3_5.execute(
        "UPDATE maasserver_bootresourcefile SET largefile_id = %s, sha256 = %s",
        *(newer.id, newer.sha256),
    )
    again = migrate(maas_3_5, region)
    assert again.parted == ()
    assert syncing.available(region.catalog) == {FORGE: False}
    assert newer.sha256 in region.store.held()


def test_the_loss_of_what_maas_has_not_is_refused_before_anything_is_exported(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    upload(maas_3_5, "forge", b"a disk")
    with pytest.raises(outcome.NothingToLose, match="MAAS has no image custom/"):
        migrate(maas_3_5, region, FORGE.replace("forge", "forgery"))
    assert region.store.held() == {}
