"""The bound of the cache: changed as it runs, larger than the disk, and on a disk that refuses."""

import asyncio
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import pytest

from boot_resources import units
from boot_resources.rack import cache as caches
from boot_resources.rack import upkeep
from support import caches as alone
from support import cloud as clouds
from support import disks

MIB = units.MIB
RELEASES = ("focal", "jammy", "noble", "oracular", "plucky")
IMAGES = [
    clouds.Image({"squashfs": clouds.noise(2 * MIB, seed=number)}, release=release)
    for number, release in enumerate(RELEASES)
]
LARGE = clouds.Image({"squashfs": clouds.noise(20 * MIB)}, release="large")
"""More than the buffers of a connection take."""


@pytest.fixture(autouse=True)
def lively(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let racks look after themselves more often."""
    monkeypatch.setattr(upkeep, "_SECONDS", 0.2)


def squashfs(image: clouds.Image) -> bytes:
    return image.files["squashfs"]


def boot(rack: clouds.Rack, images: Iterable[clouds.Image]) -> None:
    """Fetch each image's file, and wait until the rack has put it away."""
    for image in images:
        assert clouds.get(rack, image.path("squashfs")).body == squashfs(image)
        rack.wait_until_whole(squashfs(image))


def resize(rack: clouds.Rack, size: int) -> None:
    """Write another size to the settings, and have them read again."""
    cache = rack.settings.cache.model_copy(update={"size": size})
    rack.settings = rack.settings.model_copy(update={"cache": cache})
    (change,) = rack.local.post("/reload")["changed"]
    assert (change["key"], change["asked"], change["live"]) == ("cache.size", size, True)


def held(rack: clouds.Rack) -> list[str]:
    """Return the releases in the cache, the most recently used first."""
    by_name = {clouds.name_of(squashfs(image)): image.release for image in (*IMAGES, LARGE)}
    return [by_name[each["sha256"]] for each in rack.cache()["contents"]]


def notices(rack: clouds.Rack) -> dict[str, str]:
    """Return what is wrong with the cache, by its key."""
    standing = rack.status()["notices"]
    return {each["key"]: each["text"] for each in standing if each["scope"] == "cache"}


def test_a_smaller_bound_works_live_and_the_least_recently_used_go(cloud: clouds.Cloud) -> None:
    region = cloud.region(*IMAGES)
    rack = cloud.rack(region)
    boot(rack, (*IMAGES, IMAGES[0]))
    resize(rack, 5 * MIB)
    assert held(rack) == ["focal", "plucky"]
    assert clouds.space_of(cloud.cache_of(rack)) <= rack.cache()["used"] <= 5 * MIB
    assert rack.cache()["over"] == 0
    boot(rack, IMAGES[1:2])
    assert held(rack) == ["jammy", "focal"]


def test_a_larger_bound_works_live(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(*IMAGES), size=MIB)
    clouds.get(rack, IMAGES[0].path("squashfs"))
    clouds.wait_until(lambda: "larger than the cache" in notices(rack).get("too-large", ""))
    resize(rack, 64 * MIB)
    # What passed through under the former bound is not held against this one.
    assert notices(rack) == {}
    boot(rack, IMAGES)
    assert len(held(rack)) == len(IMAGES)


def test_what_is_being_served_stays_until_its_transfer_ends(cloud: clouds.Cloud) -> None:
    region = cloud.region(LARGE, *IMAGES)
    rack = cloud.rack(region, size=28 * MIB)
    boot(rack, (IMAGES[0], LARGE, IMAGES[1]))
    slow = clouds.Machine(rack)
    slow.ask(LARGE.path("squashfs"))
    slow.take(1)
    resize(rack, 5 * MIB)
    # All that is not in use has gone, though that is not enough.
    assert held(rack) == ["large"]
    found = rack.cache()
    assert (found["limit"], found["over"]) == (5 * MIB, found["used"] - 5 * MIB)
    assert "until transfers end" in notices(rack)["shrinking"]
    # Nothing new comes in meanwhile, and machines are served all the same.
    for _ in range(2):
        assert clouds.get(rack, IMAGES[2].path("squashfs")).body == squashfs(IMAGES[2])
    assert held(rack) == ["large"]
    assert rack.cache()["used"] <= found["used"]
    assert slow.rest().body == squashfs(LARGE)[1:]
    slow.close()
    clouds.wait_until(lambda: rack.cache()["used"] <= 5 * MIB)
    assert held(rack) == []
    clouds.wait_until(lambda: "shrinking" not in notices(rack))
    boot(rack, IMAGES[:2])
    assert held(rack) == ["jammy", "focal"]


def test_what_is_being_filled_stays_until_it_is_whole(cloud: clouds.Cloud) -> None:
    region = cloud.region(LARGE)
    gate = clouds.Gate()

    def hold_back(_: str, index: int, data: bytes) -> bytes:
        if index == 10:
            gate.wait()
        return data

    region.script = hold_back
    rack = cloud.rack(region)
    machine = clouds.Machine(rack)
    machine.ask(LARGE.path("squashfs"))
    gate.wait_for_arrival()
    resize(rack, 5 * MIB)
    assert rack.cache()["over"] > 0
    gate.open()
    assert machine.rest().body == squashfs(LARGE)
    machine.close()
    clouds.wait_until(lambda: rack.cache()["used"] <= 5 * MIB)
    assert held(rack) == []
    assert region.sent.total() == 20 * MIB


def test_a_bound_that_the_disk_cannot_hold_is_named_with_figures(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(*IMAGES), size=1 << 50)
    clouds.wait_until(lambda: "disk" in notices(rack))
    assert "may take 1.0 PiB" in notices(rack)["disk"]
    (standing,) = (each for each in rack.status()["notices"] if each["key"] == "disk")
    assert standing["cure"].startswith("set cache.size to ")
    resize(rack, 16 * MIB)
    assert notices(rack) == {}
    resize(rack, 1 << 50)
    assert "disk" in notices(rack)


def test_a_bound_below_what_an_empty_cache_takes_is_named(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(*IMAGES))
    boot(rack, IMAGES[:2])
    resize(rack, 1000)
    assert held(rack) == []
    assert "an empty cache takes" in notices(rack)["too-small"]
    assert clouds.get(rack, IMAGES[0].path("squashfs")).body == squashfs(IMAGES[0])
    assert held(rack) == []


def test_what_a_crash_left_beside_the_objects_is_removed_at_the_next_start(
    cloud: clouds.Cloud,
) -> None:
    rack = cloud.rack(cloud.region(*IMAGES), size=5 * MIB)
    cloud.wait_until_names_are_kept(rack)
    rack.stop()
    left = [cloud.cache_of(rack) / f".{name}.new" for name in ("names.json", "order.log")]
    for path in left:
        path.write_bytes(bytes(3 * MIB))
    rack.start()
    boot(rack, IMAGES)
    assert not any(path.exists() and path.stat().st_size == 3 * MIB for path in left)
    assert clouds.space_of(cloud.cache_of(rack)) <= 5 * MIB


@dataclasses.dataclass(frozen=True)
class Story:
    """A cache alone, below one directory."""

    cache: caches.Cache
    disk: disks.Keeping

    async def keep(self, content: bytes) -> bool:
        """Put an object into the cache; return whether there was room."""
        return await alone.keep(self.cache, content)


def test_what_the_disk_does_not_remove_goes_on_counting(tmp_path: Path) -> None:
    async def tell() -> None:
        disk = disks.Keeping()
        story = Story(caches.Cache(tmp_path, 5 * MIB, disk), disk)
        story.cache.start()
        old, newer, newest = (clouds.noise(2 * MIB, seed) for seed in range(3))
        assert await story.keep(old)
        assert await story.keep(newer)
        disk.keeps = True
        assert not await story.keep(newest)
        assert clouds.space_of(tmp_path) <= story.cache.usage().used <= 5 * MIB
        # It is served, and it is still the first to go.
        names = [name for name, _ in story.cache.contents()]
        assert names == [clouds.name_of(newer), clouds.name_of(old)]
        opened = story.cache.open(clouds.name_of(old))
        assert opened is not None
        opened.close()
        story.cache.release(clouds.name_of(old))
        assert await story.cache.drop([clouds.name_of(old)]) == []
        disk.keeps = False
        assert await story.keep(newest)
        assert clouds.space_of(tmp_path) <= 5 * MIB
        story.cache.stop()

    asyncio.run(tell())


def test_what_is_reserved_is_not_given_to_an_object(tmp_path: Path) -> None:
    async def tell() -> None:
        story = Story(caches.Cache(tmp_path, 3 * MIB, disks.Keeping()), disks.Keeping())
        story.cache.start()
        assert await story.cache.reserve(2 * MIB)
        assert not await story.keep(clouds.noise(MIB))
        story.cache.give_back(2 * MIB)
        assert await story.keep(clouds.noise(MIB))
        # An object that is not in use makes way for a reservation.
        assert await story.cache.reserve(2 * MIB)
        assert story.cache.contents() == []
        assert not await story.cache.reserve(2 * MIB)
        story.cache.stop()

    asyncio.run(tell())
