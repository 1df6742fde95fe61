"""Full: the disk of the store, of the catalog or of the cache takes no more, by bytes or by files.

Nothing is begun that cannot be ended, where that can be known; where it cannot, the work stops,
the notice is seen, and serving goes on. Freeing space is enough to go on.
"""

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources import units
from boot_resources.catalog import database
from boot_resources.demo import origin
from boot_resources.region import syncing
from boot_resources.store import disk
from support import cloud, mounts, outposts, real_region, towns

Outpost = outposts.Outpost
ROOM = 16 * units.MIB
FILES = 400
"""Inodes: enough for two versions of everything, if nobody else takes them."""
pytestmark = pytest.mark.usefixtures("no_defects")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again after moments."""
    for name in ("_RETRY_SECONDS", "_CATALOG_RETRY_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(syncing, name, 0.1)
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Give a directory on a file system of 16 MiB."""
    with mounts.mounted(tmp_path / "small", ROOM) as place:
        yield place


@pytest.fixture
def on_small(tmp_path: Path) -> Iterator[Outpost]:
    """Give a region whose store is a small file system, and its rack."""
    with mounts.mounted(tmp_path / "storage", ROOM), outposts.begin(tmp_path) as outpost:
        yield outpost


def published(outpost: Outpost) -> int:
    """Let the source offer more; return the bytes of objects that it sent so far."""
    outpost.world.publish()
    return outpost.world.origin.payload_bytes


def test_what_does_not_fit_is_refused_before_the_first_byte(on_small: Outpost) -> None:
    sent = published(on_small)
    filler = mounts.ballast(on_small.region.store, 2 * units.MIB)
    on_small.region.sync()
    notice = on_small.wait_for_notice("sync")
    for word in ("needed", "free", "missing", str(on_small.region.store)):
        assert word in notice["text"]
    assert notice["severity"] == "critical"
    assert on_small.world.origin.payload_bytes == sent
    assert on_small.serves_all()
    filler.unlink()
    cloud.wait_until(on_small.has_all_of_the_source)
    on_small.wait_until_all_is_well()


def test_a_disk_that_others_fill_in_the_middle_stops_the_sync_and_not_for_good(
    on_small: Outpost,
) -> None:
    published(on_small)
    filler = on_small.region.store / "ballast"
    first = threading.Lock()

    def fill(request: origin.Request) -> None:
        if "/streams/" not in request.path and first.acquire(blocking=False):
            mounts.ballast(on_small.region.store)

    on_small.world.origin.on_request = fill
    on_small.region.sync()
    assert first.locked()
    cloud.wait_until(lambda: on_small.notices("sync") or on_small.notices("database"))
    assert on_small.serves_all()
    # Neither region nor rack starts worse than it went on.
    on_small.region.stop()
    on_small.region.start()
    on_small.rack.stop()
    on_small.rack.start()
    assert on_small.serves_all()
    on_small.world.origin.on_request = None
    filler.unlink()
    cloud.wait_until(on_small.has_all_of_the_source)
    on_small.wait_until_all_is_well()
    assert list((on_small.region.store / "partial").iterdir()) == []


def test_without_inodes_the_sync_says_so_before_the_first_byte(tmp_path: Path) -> None:
    with mounts.mounted(tmp_path / "storage", ROOM, FILES) as few:
        with outposts.begin(tmp_path) as outpost:
            others = mounts.take_all_inodes(few)
            sent = published(outpost)
            outpost.region.sync()
            assert "not enough inodes" in outpost.wait_for_notice("sync")["text"]
            assert outpost.world.origin.payload_bytes == sent
            assert outpost.serves_all()
            shutil.rmtree(others)
            cloud.wait_until(outpost.has_all_of_the_source)
            outpost.wait_until_all_is_well()


def test_a_quota_that_is_used_up_is_named_for_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = disk.Disk.create

    def refuse(self: disk.Disk, path: Path, size: int = 0) -> int:
        if size:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return real(self, path, size)

    with outposts.begin(tmp_path) as outpost:
        published(outpost)
        with monkeypatch.context() as full:
            full.setattr(disk.Disk, "create", refuse)
            outpost.region.sync()
            assert "quota" in outpost.wait_for_notice("sync")["cure"]
        cloud.wait_until(outpost.has_all_of_the_source)
        outpost.wait_until_all_is_well()


def test_a_catalog_on_a_full_disk_keeps_nobody_from_serving(small: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{small}/catalog.db"
    with outposts.begin(tmp_path, url) as outpost:
        published(outpost)
        outpost.region.stop()
        filler = mounts.ballast(small)
        outpost.region.start()
        assert outpost.serves_all()
        notice = outpost.wait_for_notice("database")
        assert str(small) in notice["text"]
        filler.unlink()
        cloud.wait_until(outpost.has_all_of_the_source)
        outpost.wait_until_all_is_well()


def test_a_catalog_on_a_disk_that_became_read_only_is_named(small: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{small}/catalog.db"
    with outposts.begin(tmp_path, url) as outpost:
        outpost.region.stop()
        mounts.remount(small, "ro")
        outpost.region.start()
        assert outpost.serves_all()
        assert "Read-only" in outpost.wait_for_notice("database")["text"]
        mounts.remount(small, "rw")
        outpost.wait_until_all_is_well()
        outpost.brings_a_new_version()


def test_a_rack_whose_disk_is_smaller_than_its_bound_serves_everything(tmp_path: Path) -> None:
    images = [
        cloud.Image({"squashfs": cloud.noise(3 * units.MIB, seed=number)}, release=f"r{number}")
        for number in range(4)
    ]
    with mounts.mounted(tmp_path / "rack-0-cache", 8 * units.MIB):
        with cloud.Cloud(tmp_path) as town:
            rack = town.rack(town.region(*images))
            for _ in range(2):
                for image in images:
                    got = cloud.get(rack, image.path("squashfs"))
                    assert got.body == image.files["squashfs"]
            # What could not be kept left nothing behind.
            cloud.wait_until(lambda: not rack.cache()["filling"])
            assert rack.cache()["partials"] == 0


def test_a_log_that_takes_no_more_ends_nobody(tmp_path: Path) -> None:
    with towns.Town(tmp_path, real_region.SIZE) as town:
        for each in ("region", "rack"):
            town.redirect_log(each, Path("/dev/full"))
            town.site.start(each)
        town.wait_for_images()
        town.site.wait_until_listed(town.site.region.get("/status")["images"])
        for truth in town.source.truth:
            name = (truth.os, truth.arch, truth.subarch, truth.release, truth.label)
            path = "/".join(("/images", *name, truth.version, truth.filename))
            assert cloud.name_of(cloud.get(town.rack_port, path).body) == truth.sha256
