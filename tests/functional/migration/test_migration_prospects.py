"""What the check says of the end: it says that a migration would work only where it would."""

import pathlib
import threading
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import pytest

from boot_resources import units
from boot_resources.catalog import cluster, database, names
from boot_resources.migration import database as maas_databases
from boot_resources.migration import export, handover, inventory, outcome, preflight
from boot_resources.store import space
from support import exporting, maas, stores, syncing

FORGE = "custom/amd64/generic/forge/uploaded/20240501"


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give the directory of a store that is not there yet."""
    return tmp_path / "image-storage"


@pytest.fixture
def region(sqlite_catalog: database.Catalog, tmp_path: pathlib.Path) -> Iterator[syncing.Region]:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


def check(
    found: maas.MaasDatabase, root: pathlib.Path, judge: preflight.Judge | None = None
) -> preflight.Check:
    return preflight.check(maas_databases.Database(found.url()), root, 0, set(), judge)


def scene(found: maas.MaasDatabase) -> maas.Stored:
    """Have MAAS hold a broken synced image, and an uploaded one, whose file is returned."""
    of_set = found.version(found.resource("ubuntu/noble"), "20240501")
    found.file(of_set, "squashfs", found.store(b"half", says=b"half of it", written=4))
    stored = found.store(b"a whole disk")
    of_set = found.version(found.resource("forge", rtype=maas.UPLOADED), "20240501", "uploaded")
    found.file(of_set, "root-tgz", stored)
    return stored


def test_what_nobody_could_bring_again_is_in_the_way(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    stored = scene(any_maas)
    assert check(any_maas, root).ready, "a boot source may list what is broken"
    any_maas.remove(stored)
    found = check(any_maas, root)
    (blocker,) = found.blockers
    assert blocker.text == f"1 file would stay open, of {FORGE}"
    assert "upload such images to MAAS anew" in blocker.cure
    assert "--accept-lost" in blocker.cure


def test_who_knows_the_catalog_knows_what_would_stay_open(
    any_maas: maas.MaasDatabase, root: pathlib.Path, region: syncing.Region
) -> None:
    any_maas.remove(scene(any_maas))

    def judge(found: inventory.Inventory, sound: AbstractSet[str]) -> outcome.Outcome:
        with region.catalog.read() as conn:
            return handover.foresee(conn, found, sound, handover.Orders())

    (blocker,) = check(any_maas, root, judge).blockers
    assert blocker.text.startswith("2 files would stay open"), "no source lists the other"
    # What was given up once is in nobody's way.
    lost = [names.ImageName.parse(FORGE)]
    orders = handover.Orders(accept_lost=lost, rules=export.Rules(2, exporting.IMPATIENT))
    url = maas_databases.Database(any_maas.url())
    handover.migrate(
        url, region.catalog, region.name, region.store, orders, lambda _: None, threading.Event()
    )
    (blocker,) = check(any_maas, root, judge).blockers
    assert blocker.text.startswith("1 file would stay open, of ubuntu/")


@pytest.mark.parametrize("file", ["notes.txt", "bootloaders/uefi/amd64/shim.efi"])
def test_a_directory_that_no_region_would_take_is_in_the_way(
    maas_3_5: maas.MaasDatabase, root: pathlib.Path, file: str
) -> None:
    scene(maas_3_5)
    (root / file).parent.mkdir(parents=True)
    (root / file).write_text("somebody's")
    (blocker,) = check(maas_3_5, root).blockers
    assert "has content and no store.json" in blocker.text
    assert (root / file).read_text() == "somebody's"


def test_a_store_of_a_region_is_in_nobodys_way(
    maas_3_5: maas.MaasDatabase, region: syncing.Region
) -> None:
    scene(maas_3_5)
    assert check(maas_3_5, region.root).ready


def test_the_files_that_the_objects_take_are_counted_too(
    maas_3_5: maas.MaasDatabase, root: pathlib.Path
) -> None:
    exporting.scene(maas_3_5, *(stores.noise(units.MIB, number) for number in range(3)))
    needed = check(maas_3_5, root).room
    assert needed.files_needed == 3 * space.FILES
    assert needed.files_free is None or needed.files_free > needed.files_needed


def test_images_that_left_the_database_are_nothing_to_migrate(
    maas_3_4: maas.MaasDatabase, root: pathlib.Path, region: syncing.Region
) -> None:
    exporting.scene(maas_3_4, *(stores.noise(500, number) for number in range(2)))
    url = maas_databases.Database(maas_3_4.url())
    exporting.migrated(url, region.catalog, region.store)
    exporting.finished(url, region.catalog, region.store)
    (blocker,) = check(maas_3_4, root).blockers
    assert "MAAS has 2 image versions and no file of any" in blocker.text
    with region.catalog.read() as conn, pytest.raises(handover.AlreadyFinished):
        handover.require_unfinished(conn, url)


def test_who_may_have_taken_the_images_out_is_said(
    maas_3_5: maas.MaasDatabase, root: pathlib.Path, region: syncing.Region
) -> None:
    exporting.scene(maas_3_5, stores.noise(500))
    url = maas_databases.Database(maas_3_5.url())
    exporting.migrated(url, region.catalog, region.store)
    exporting.finished(url, region.catalog, region.store)
    with pytest.raises(inventory.AlreadyExported, match="'migrate --finish' removed them"):
        check(maas_3_5, root)
