"""Where MAAS's own export leaves an operator alone: no room, and images half in the database."""

import pathlib
import shutil
from collections.abc import Iterator

import pytest

from boot_resources import errors, units
from boot_resources.demo import origin, signed_source
from support import command, maas, plane_region, settled, stores, vast

SIZE = 2 * units.MIB
TOO_LARGE = 3 * 1024 * units.GIB
"""Bytes of a large object with one page, which is near the longest that there can be."""
CUSTOM = "custom/amd64/generic/forge/uploaded/20240501"
BODY = stores.noise(200_000)


@pytest.fixture
def house(tmp_path: pathlib.Path) -> Iterator[settled.House]:
    """Give a source, and what a region beside it needs."""
    with signed_source.small_cloud(tmp_path / "source", SIZE) as source:
        with origin.Origin(source.directory) as served:
            cluster = plane_region.Cluster(tmp_path / "cluster")
            yield settled.House(tmp_path, source, served, cluster)


def version_of_forge(found: maas.MaasDatabase) -> int:
    resource = found.resource("forge", rtype=maas.UPLOADED)
    return found.version(resource, "20240501", "uploaded")


def too_much(found: maas.MaasDatabase, free: int) -> None:
    """Give MAAS files that are larger than so many bytes."""
    of_set = found.version(found.resource("ubuntu/noble"), "20240501")
    last = TOO_LARGE // vast.PAGE - 1
    for number in range(free // TOO_LARGE + 1):
        stored = found.store(b"", says=b"%d" % number)
        vast.add_pages(found, stored.oid, TOO_LARGE, range(last, last + 1))
        found.execute(
            "UPDATE maasserver_largefile SET size = %s, total_size = %s WHERE id = %s",
            *(TOO_LARGE, TOO_LARGE, stored.id),
        )
        found.file(of_set, f"squashfs-{number}", stored, "squashfs")


def test_without_room_it_says_how_much_is_missing_and_fetches_nothing_instead(
    any_maas: maas.MaasDatabase, house: settled.House
) -> None:
    any_maas.file(version_of_forge(any_maas), "root-tgz", any_maas.store(BODY))
    too_much(any_maas, shutil.disk_usage(house.directory).free)
    any_maas.seal()
    with house.region(any_maas.url()) as region:
        settled.wait_for_notice(region, "failed")
        region.sync()
        (notice,) = settled.about_migration(region.status())
        assert "TiB missing" in notice["text"]
        assert "lower storage.reserve" in notice["cure"]
        assert settled.says_that_it_serves(region, house) == {False}
        assert house.served.payload_bytes == 0
        assert region.store_names() == set()
        # An operator makes room, here by removing the image in MAAS.
        any_maas.execute("DELETE FROM maasserver_bootresourcefile WHERE filetype = 'squashfs'")
        any_maas.seal()
        any_maas.leave()
        assert command.run("migrate", "--settings", house.file).status == errors.EXIT_OK
        region.wait_for_images(house.images + 1)
        assert region.status()["notices"] == []


def test_what_maas_moved_to_disk_comes_from_its_directory(
    maas_3_5: maas.MaasDatabase, house: settled.House
) -> None:
    name, size = stores.name_of(BODY), len(BODY)
    of_forge = version_of_forge(maas_3_5)
    moved = maas_3_5.file(of_forge, "root.tgz", None, "root-tgz", sha256=name, size=size)
    of_set = maas_3_5.version(maas_3_5.resource("ubuntu/noble"), "20240501")
    maas_3_5.file(of_set, "squashfs", maas_3_5.store(b"still in the database"))
    maas_3_5.region("region-a", moved)
    maas_3_5.seal()
    image_storage = house.directory / "of-maas" / "image-storage"
    image_storage.mkdir(parents=True)
    (image_storage / name[:7]).write_bytes(BODY)
    (image_storage / "something-else").write_bytes(BODY[::-1])
    with house.region(maas_3_5.url()) as region:
        settled.wait_for_notice(region, "open")
        (notice,) = settled.about_migration(region.status())
        assert CUSTOM in notice["text"]
        assert "store adopt DIRECTORY" in notice["cure"]
        (waiting,) = region.status()["handover"]["set_aside"]
        assert waiting["reason"] == "MAAS moved it to the disk of region-a"
        taken = command.run(
            "store", "adopt", image_storage, "--settings", house.file, "--json"
        ).document
        assert (taken["counts"]["taken"], taken["counts"]["unknown"]) == (1, 1)
        assert command.run("migrate", "--settings", house.file).status == errors.EXIT_OK
        region.wait_for_images(house.images + 2)
        assert region.status()["notices"] == []
        listed = command.run("images", "list", "--settings", house.file, "--json").document
        assert CUSTOM in {each["name"] for each in listed["images"]}
