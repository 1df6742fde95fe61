"""What an independent review of the rack broke once, and what holds now."""

import asyncio
import errno
import os
import pathlib
import threading

import pytest

from boot_resources import notices, units
from boot_resources.plane import client as plane_client
from boot_resources.rack import cache as caches
from boot_resources.rack import condition, controller, passthrough, upkeep
from boot_resources.rack import regions as region_choice
from boot_resources.store import disk, objects
from support import caches as alone
from support import cloud as clouds

MIB = units.MIB
SQUASHFS = clouds.noise(30 * MIB)
IMAGE = clouds.Image({"squashfs": SQUASHFS})


def test_nothing_more_is_sent_of_a_fill_that_the_disk_spoilt(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = threading.Event()
    sync = disk.Disk.sync

    def fail(self: disk.Disk, fd: int) -> None:
        if pathlib.Path(f"/proc/self/fd/{fd}").readlink().suffix != ".data":
            sync(self, fd)
            return
        # After a failed write-back Linux may show what the disk has, not what was written.
        os.pwrite(fd, bytes(MIB), 25 * MIB)
        spoilt.set()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(disk.Disk, "sync", fail)
    rack = cloud.rack(cloud.region(IMAGE))
    slow = clouds.Machine(rack)
    slow.ask(IMAGE.path("squashfs"))
    came = slow.take(MIB)
    assert spoilt.wait(clouds.PATIENCE)
    clouds.wait_until(lambda: not rack.cache()["filling"])
    with pytest.raises(Exception, match=r"(?i)incomplete|reset|closed"):
        came += slow.rest().body
    assert came == SQUASHFS[: len(came)]
    slow.close()


def test_a_defect_in_a_fill_is_an_answer_and_not_a_hang(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    rack = cloud.rack(cloud.region(IMAGE))
    with monkeypatch.context() as broken:
        broken.setattr(region_choice.Regions, "read", lambda *_: [][0])
        assert clouds.get(rack, IMAGE.path("squashfs")).status == 503
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS


def test_a_region_that_trickles_is_left_for_another(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane_client.Timeouts, "__init__", _with_pieces_of(0.5))
    slow, good = cloud.region(IMAGE, name="region-0"), cloud.region(IMAGE, name="region-1")
    forever = threading.Event()

    def trickle(_: str, index: int, data: bytes) -> bytes:
        forever.wait()
        return data

    slow.script = trickle
    rack = cloud.rack(slow, good)
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS
    forever.set()


def _with_pieces_of(seconds: float):  # type: ignore[no-untyped-def]
    def init(self: plane_client.Timeouts) -> None:
        for name, value in {"connect": 5.0, "read": 600.0, "piece": seconds}.items():
            object.__setattr__(self, name, value)

    return init


def test_a_rack_stops_while_a_region_holds_a_block_back(cloud: clouds.Cloud) -> None:
    region = cloud.region(IMAGE)
    held = clouds.Gate()

    def hold_back(_: str, index: int, data: bytes) -> bytes:
        if index >= 2:
            held.wait()
        return data

    region.script = hold_back
    rack = cloud.rack(region)
    machine = clouds.Machine(rack)
    machine.ask(IMAGE.path("squashfs"))
    machine.take(MIB)
    held.wait_for_arrival()
    rack.stop()
    held.open()
    machine.close()


def test_the_list_of_names_counts_within_the_bound(cloud: clouds.Cloud) -> None:
    files = {f"file-{number}": clouds.noise(MIB, number) for number in range(7)}
    image = clouds.Image(files)
    region = cloud.region(image)
    rack = cloud.rack(region, size=8 * MIB)
    for filename in files:
        assert clouds.get(rack, image.path(filename)).status == 200
    limit = rack.cache()["limit"]
    many = [clouds.Image({"x" * 100: bytes([n % 251])}, release=f"r{n}") for n in range(3000)]
    region.offer(image, *many)
    rack.wait_for_epoch(region.images["epoch"])
    names = cloud.cache_of(rack) / "names.json"
    clouds.wait_until(lambda: names.stat().st_size > MIB)
    assert clouds.space_of(cloud.cache_of(rack)) <= limit
    # Until its reservation ends, the list counts twice.
    clouds.wait_until(lambda: rack.cache()["used"] <= limit)


@pytest.mark.parametrize(("cluster", "epoch"), [("another", 9), ("c", 1)])
def test_a_region_that_came_back_as_another_or_older_is_named(
    cloud: clouds.Cloud, cluster: str, epoch: int
) -> None:
    region = cloud.region()
    region.offer(IMAGE, epoch=5)
    rack = cloud.rack(region)
    assert clouds.get(rack, IMAGE.path("squashfs")).status == 200
    rack.stop()
    region.offer(clouds.Image({"squashfs": b"new"}), epoch=epoch, cluster=cluster)
    rack.start()
    clouds.wait_until(lambda: rack.status()["notices"])
    (notice,) = rack.status()["notices"]
    assert "names.json" in notice["cure"]
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS


def test_a_head_with_a_range_is_answered_as_without(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(IMAGE))
    path = IMAGE.path("squashfs")
    got = clouds.get(rack, path, method="HEAD", headers={"Range": "bytes=0-9"})
    assert (got.status, got.headers["Content-Length"]) == (200, str(len(SQUASHFS)))


def test_what_passes_through_is_fetched_once_even_with_a_small_pool(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passthrough, "POOL_BLOCKS", 4)
    region = cloud.region(IMAGE)
    rack = cloud.rack(region, size=8 * MIB)
    for _ in range(2):
        assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS
    assert region.sent.total() == 2 * len(SQUASHFS)


def test_bytes_that_a_machine_took_before_it_vanished_are_counted(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(IMAGE))
    assert clouds.get(rack, IMAGE.path("squashfs")).status == 200
    before = rack.cache()["served_bytes"]
    machine = clouds.Machine(rack)
    machine.ask(IMAGE.path("squashfs"))
    machine.take(20 * MIB)
    machine.vanish()
    clouds.wait_until(lambda: not rack.cache()["pinned"])
    assert rack.cache()["served_bytes"] - before >= 16 * MIB


def test_a_rack_without_descriptors_says_so_and_goes_on(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    rack = cloud.rack(cloud.region(IMAGE))
    assert clouds.get(rack, IMAGE.path("squashfs")).status == 200
    rack.wait_until_whole(SQUASHFS)

    def refuse(*_: object) -> objects.OpenObject:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(objects.ObjectTree, "open", refuse)
        assert clouds.get(rack, IMAGE.path("squashfs")).status == 503
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS


def test_what_is_about_to_go_is_not_opened(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        cache = caches.Cache(tmp_path, 3 * MIB)
        cache.start()
        first = clouds.noise(MIB, 1)
        await alone.keep(cache, first)
        opened: list[object] = []
        remove = objects.ObjectTree.remove

        def look_meanwhile(self: objects.ObjectTree, sha256: str) -> None:
            opened.append(cache.open(clouds.name_of(first)))
            remove(self, sha256)

        monkeypatch.setattr(objects.ObjectTree, "remove", look_meanwhile)
        await alone.keep(cache, clouds.noise(2 * MIB, 2))
        assert opened == [None]
        cache.stop()

    asyncio.run(story())


def test_upkeep_goes_on_after_a_defect(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_SECONDS", 0.05)
    turns: list[int] = []
    real = condition.of_the_bound

    def defect(usage: caches.Usage) -> list[notices.Notice]:
        turns.append(len(turns))
        if len(turns) == 2:
            raise KeyError("a defect, once")
        return list(real(usage))

    monkeypatch.setattr(condition, "of_the_bound", defect)
    cloud.rack(cloud.region(IMAGE))
    clouds.wait_until(lambda: len(turns) > 3)


def test_room_that_nobody_waited_for_is_given_back_when_it_comes(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "_ROOM_SECONDS", 0.01)
    held: list[int] = []
    reserve, give_back = caches.Cache.reserve, caches.Cache.give_back

    async def dawdle(self: caches.Cache, needed: int) -> bool:
        await asyncio.sleep(0.1)
        is_there = await reserve(self, needed)
        held.append(needed * is_there)
        return is_there

    def note(self: caches.Cache, reserved: int) -> None:
        held.append(-reserved)
        give_back(self, reserved)

    monkeypatch.setattr(caches.Cache, "reserve", dawdle)
    monkeypatch.setattr(caches.Cache, "give_back", note)
    cloud.rack(cloud.region(IMAGE))
    clouds.wait_until(lambda: any(held) and not sum(held))
