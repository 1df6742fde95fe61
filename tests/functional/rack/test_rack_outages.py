"""Regions that lie, break off, die or change; a machine never gets a wrong byte."""

import http.client
import json
import logging

import pytest

from boot_resources import units
from boot_resources.store import disk as disks
from support import cloud as clouds
from support import plane_region

MIB = units.MIB
SQUASHFS = clouds.noise(6 * MIB + 5)
IMAGE = clouds.Image({"squashfs": SQUASHFS})
OTHER = clouds.Image({"squashfs": clouds.noise(3 * MIB)}, release="jammy")
CUT_OFF = (http.client.IncompleteRead, ConnectionError)


def falsify(_: str, index: int, data: bytes) -> bytes:
    """Give every block but the first another last byte."""
    return data if index == 0 else data[:-1] + bytes([data[-1] ^ 1])


def test_a_lying_region_is_passed_over_for_an_honest_one(cloud: clouds.Cloud) -> None:
    liar, honest = cloud.region(IMAGE, name="liar"), cloud.region(IMAGE, name="honest")
    liar.script = falsify
    rack = cloud.rack(liar, honest)
    came = clouds.storm(rack, [IMAGE.path("squashfs")] * 5)
    assert all(got.body == SQUASHFS for got in came)
    rack.wait_until_whole(SQUASHFS)
    assert liar.sent.total() > 0


def test_where_all_regions_lie_a_machine_gets_no_wrong_byte(
    cloud: clouds.Cloud, impatient: None
) -> None:
    liar = cloud.region(IMAGE)
    liar.script = falsify
    rack = cloud.rack(liar)
    machine = clouds.Machine(rack)
    machine.ask(IMAGE.path("squashfs"))
    assert machine.take(MIB) == SQUASHFS[:MIB]
    with pytest.raises(CUT_OFF):
        machine.rest()
    machine.close()
    assert not rack.holds(SQUASHFS)


def test_a_first_block_that_is_wrong_is_a_503_and_not_a_body(
    cloud: clouds.Cloud, impatient: None
) -> None:
    liar = cloud.region(IMAGE)
    liar.script = lambda _, index, data: falsify("", index + 1, data)
    rack = cloud.rack(liar)
    got = clouds.get(rack, IMAGE.path("squashfs"))
    assert (got.status, got.headers["Retry-After"]) == (503, "5")
    assert "is not what its map names" in got.text


def test_what_passes_through_is_checked_all_the_same(cloud: clouds.Cloud, impatient: None) -> None:
    liar = cloud.region(IMAGE)
    liar.script = falsify
    rack = cloud.rack(liar, size=MIB)
    machine = clouds.Machine(rack)
    machine.ask(IMAGE.path("squashfs"))
    assert machine.take(MIB) == SQUASHFS[:MIB]
    with pytest.raises(CUT_OFF):
        machine.rest()
    machine.close()


def test_a_false_block_map_is_refused(cloud: clouds.Cloud, impatient: None) -> None:
    region = cloud.region(IMAGE)
    name = clouds.name_of(SQUASHFS)
    region.maps[name] = clouds.map_of(SQUASHFS[:-1] + b"x").to_bytes()
    rack = cloud.rack(region)
    got = clouds.get(rack, IMAGE.path("squashfs"))
    assert got.status == 503
    assert "another block map" in got.text


def test_an_object_that_is_wrong_as_a_whole_is_not_kept(cloud: clouds.Cloud) -> None:
    # The regions agree on a block map, and yet the bytes are not those that the name says.
    false = SQUASHFS[:-1] + bytes([SQUASHFS[-1] ^ 1])
    image = clouds.Image({"squashfs": false})
    region = cloud.region(image)
    listed = region.images["images"][0]["items"][0]
    name = listed["sha256"] = clouds.name_of(SQUASHFS)
    region.objects[name], region.maps[name] = false, clouds.map_of(false).to_bytes()
    rack = cloud.rack(region)
    clouds.get(rack, image.path("squashfs"))
    clouds.wait_until(lambda: not rack.cache()["filling"])
    assert rack.cache()["contents"] == []


def test_a_region_that_dies_in_the_middle_is_not_noticed_by_machines(
    cloud: clouds.Cloud,
) -> None:
    dying, other = cloud.region(IMAGE, name="dying"), cloud.region(IMAGE, name="other")
    gate = clouds.Gate()

    def hold_back(_: str, index: int, data: bytes) -> bytes:
        if index >= 1:
            gate.wait()
        return data

    dying.script = other.script = hold_back
    rack = cloud.rack(dying, other)
    with clouds.later(lambda: clouds.get(rack, IMAGE.path("squashfs"))) as got:
        gate.wait_for_arrival()
        dying.kill()
        gate.open()
    assert got.result().body == SQUASHFS
    rack.wait_until_whole(SQUASHFS)


@pytest.mark.parametrize("after", [0, 1, MIB - 1, MIB + 1])
def test_a_transfer_that_is_cut_goes_on_where_it_was_cut(cloud: clouds.Cloud, after: int) -> None:
    region = cloud.region(IMAGE)
    cuts = iter(range(3))

    def cut(_: str, index: int, data: bytes) -> bytes:
        if index == after // MIB and next(cuts, None) is not None:
            raise clouds.Cut
        return data

    region.script = cut
    rack = cloud.rack(region)
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS
    assert region.sent.total() == len(SQUASHFS)


def test_with_all_regions_down_what_is_cached_goes_on_by_name(
    cloud: clouds.Cloud, impatient: None
) -> None:
    region = cloud.region(IMAGE, OTHER)
    rack = cloud.rack(region)
    clouds.get(rack, IMAGE.path("squashfs"))
    rack.wait_until_whole(SQUASHFS)
    region.kill()
    for _ in range(2):
        location = clouds.get(rack, IMAGE.path("squashfs", version=False)).headers["Location"]
        assert clouds.get(rack, location).body == SQUASHFS
        cold = clouds.get(rack, OTHER.path("squashfs"))
        assert (cold.status, cold.headers["Retry-After"]) == (503, "5")
        clouds.wait_until(lambda: rack.status()["notices"])
        (notice,) = rack.status()["notices"]
        assert "may be out of date" in notice["text"]
        rack.stop()
        rack.start()


def test_a_rack_that_lost_its_regions_finds_them_again(
    cloud: clouds.Cloud, impatient: None
) -> None:
    region = cloud.region(IMAGE)
    rack = cloud.rack(region)
    region.kill()
    assert clouds.get(rack, IMAGE.path("squashfs")).status == 503
    region.down = False
    clouds.wait_until(lambda: clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS)
    clouds.wait_until(lambda: not rack.status()["notices"])


def test_a_rack_does_not_wait_for_dead_regions_when_it_stops(cloud: clouds.Cloud) -> None:
    region = cloud.region(IMAGE)
    rack = cloud.rack(region)
    region.kill()
    with clouds.later(lambda: clouds.get(rack, IMAGE.path("squashfs"))) as got:
        clouds.wait_until(lambda: rack.status()["regions"][0]["failures"])
        rack.stop()
        assert (got.result().status, "is stopping" in got.result().text) == (503, True)
    rack.start()


def test_what_is_no_longer_listed_is_still_served_by_its_hash_while_cached(
    cloud: clouds.Cloud,
) -> None:
    region = cloud.region(IMAGE)
    rack = cloud.rack(region)
    clouds.get(rack, IMAGE.path("squashfs"))
    rack.wait_until_whole(SQUASHFS)
    region.offer(OTHER)
    rack.wait_for_epoch(region.images["epoch"])
    assert clouds.get(rack, IMAGE.path("squashfs")).status == 404
    by_hash = f"/images/{clouds.name_of(SQUASHFS)}/ubuntu/squashfs"
    assert clouds.get(rack, by_hash).body == SQUASHFS
    head = clouds.get(rack, by_hash, method="HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(SQUASHFS)))


def test_an_older_list_of_another_region_is_not_taken(cloud: clouds.Cloud) -> None:
    newer, older = cloud.region(name="newer"), cloud.region(name="older")
    newer.offer(IMAGE, OTHER, epoch=9)
    older.offer(OTHER, epoch=8)
    honest = older.misbehave
    assert honest is not None

    def insists_once(handler: plane_region.Handler) -> bool:
        if len(older.requests) > 1:
            return honest(handler)
        handler.reply(200, json.dumps(older.images).encode())
        return True

    older.misbehave = insists_once
    rack = cloud.rack(newer, older)
    newer.kill()
    # Who asks a second time has taken in the first answer.
    clouds.wait_until(lambda: len(older.requests) >= 2)
    assert clouds.get(rack, IMAGE.path("squashfs", version=False)).status == 307
    assert rack.status()["epoch"] == 9


def test_regions_of_another_cluster_are_not_followed(cloud: clouds.Cloud) -> None:
    region = cloud.region(IMAGE)
    rack = cloud.rack(region)
    region.offer(OTHER, cluster="another", epoch=99)
    clouds.wait_until(lambda: rack.status()["notices"])
    (notice,) = rack.status()["notices"]
    assert "now of cluster another" in notice["text"]
    assert "names.json" in notice["cure"]
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS


def test_a_damaged_list_on_disk_is_asked_for_anew(
    cloud: clouds.Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    rack = cloud.rack(cloud.region(IMAGE))
    cloud.wait_until_names_are_kept(rack)
    rack.stop()
    (cloud.cache_of(rack) / "names.json").write_text('{"cluster": ')
    with caplog.at_level(logging.WARNING):
        rack.start()
    assert "damaged" in caplog.text
    rack.wait_for_epoch(1)
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS


class _FullDisk(disks.Disk):
    """A disk that is full while somebody says so; what is written over is not hurt."""

    full = False

    def publish(self, path: object, data: bytes) -> None:
        if _FullDisk.full:
            raise OSError(28, "No space left on device")
        super().publish(path, data)  # type: ignore[arg-type]

    def write(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        if _FullDisk.full:
            raise OSError(28, "No space left on device")
        super().write(fd, data, offset)

    def create(self, path: object, size: int = 0) -> int:
        if _FullDisk.full:
            raise OSError(28, "No space left on device")
        return super().create(path, size)  # type: ignore[arg-type]


def test_with_a_full_disk_serving_goes_on_and_names_are_followed(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "Disk", _FullDisk)
    region = cloud.region(IMAGE, OTHER)
    rack = cloud.rack(region)
    for image in (IMAGE, OTHER):
        clouds.get(rack, image.path("squashfs"))
        rack.wait_until_whole(image.files["squashfs"])
    monkeypatch.setattr(_FullDisk, "full", True)
    # Hits need no disk, and a cold file passes through.
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS
    cold = clouds.Image({"squashfs": clouds.noise(2 * MIB)}, release="focal")
    region.offer(IMAGE, OTHER, cold)
    rack.wait_for_epoch(region.images["epoch"])
    assert clouds.get(rack, cold.path("squashfs")).body == cold.files["squashfs"]
    clouds.wait_until(lambda: rack.status()["notices"])
    assert "could not be written" in rack.status()["notices"][0]["text"]
    monkeypatch.setattr(_FullDisk, "full", False)
    region.offer(cold)
    rack.wait_for_epoch(region.images["epoch"])
    assert clouds.get(rack, cold.path("squashfs")).body == cold.files["squashfs"]
    rack.wait_until_whole(cold.files["squashfs"])
    clouds.wait_until(lambda: not rack.status()["notices"])


def test_a_cache_on_a_full_disk_loses_nothing_of_its_bound(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "Disk", _FullDisk)
    rack = cloud.rack(cloud.region(IMAGE, OTHER))
    cloud.wait_until_names_are_kept(rack)
    before = rack.cache()
    monkeypatch.setattr(_FullDisk, "full", True)
    assert clouds.get(rack, OTHER.path("squashfs")).body == OTHER.files["squashfs"]
    after = rack.cache()
    monkeypatch.setattr(_FullDisk, "full", False)
    assert (after["partials"], after["pinned"]) == (0, 0)
    assert after["used"] <= before["used"]


def test_a_rack_that_left_the_member_list_gets_nothing_new(
    cloud: clouds.Cloud, impatient: None
) -> None:
    region = cloud.region(IMAGE, OTHER)
    region.member_file = cloud.members.member_file()
    rack = cloud.rack(region)
    clouds.get(rack, IMAGE.path("squashfs"))
    rack.wait_until_whole(SQUASHFS)
    cloud.members.authority.expel("rack-0")
    assert clouds.get(rack, OTHER.path("squashfs")).status == 503
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS
    assert "refused this controller" in rack.status()["regions"][0]["problem"]
