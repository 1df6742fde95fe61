"""The cache on the disk: its bound, its order, what survives a stop, and what passes through."""

import json
from pathlib import Path

import pytest

from boot_resources import errors, units
from boot_resources.rack import passthrough
from boot_resources.service import local
from boot_resources.store import identity
from support import cloud as clouds

MIB = units.MIB
RELEASES = ("focal", "jammy", "noble", "oracular", "plucky", "questing")
IMAGES = [
    clouds.Image({"squashfs": clouds.noise(2 * MIB, seed=number)}, release=release)
    for number, release in enumerate(RELEASES)
]
ROOM_FOR_THREE = 6 * MIB + 512 * units.KIB


def squashfs(image: clouds.Image) -> bytes:
    return image.files["squashfs"]


def boot(rack: clouds.Rack, image: clouds.Image) -> None:
    """Fetch an image's file, and wait until the rack has put it away."""
    assert clouds.get(rack, image.path("squashfs")).body == squashfs(image)
    rack.wait_until_whole(squashfs(image))


def held(rack: clouds.Rack) -> list[str]:
    """Return the releases in the cache, the most recently used first."""
    by_name = {clouds.name_of(squashfs(image)): image.release for image in IMAGES}
    return [by_name[each["sha256"]] for each in rack.cache()["contents"]]


def test_the_least_recently_used_goes_first(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(*IMAGES), size=ROOM_FOR_THREE)
    for image in IMAGES[:3]:
        boot(rack, image)
    boot(rack, IMAGES[0])
    assert held(rack) == ["focal", "noble", "jammy"]
    boot(rack, IMAGES[3])
    assert held(rack) == ["oracular", "focal", "noble"]
    assert rack.cache()["evictions"] == 1


def test_the_bound_is_never_passed_seen_from_outside(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(*IMAGES), size=ROOM_FOR_THREE)
    with clouds.SpaceWatch(cloud.cache_of(rack)) as watch:
        for _ in range(2):
            paths = [image.path("squashfs") for image in IMAGES for _ in range(3)]
            came = clouds.storm(rack, paths)
            assert all(got.status == 200 for got in came)
        seen = watch.looks
        clouds.wait_until(lambda: watch.looks > seen + 1)
    assert 0 < watch.most <= ROOM_FOR_THREE
    # What the rack says of itself is no less than what is there.
    assert clouds.space_of(cloud.cache_of(rack)) <= rack.cache()["used"] <= ROOM_FOR_THREE


def test_what_is_being_served_is_not_evicted(cloud: clouds.Cloud) -> None:
    large = clouds.Image({"squashfs": clouds.noise(20 * MIB)}, release="large")
    rack = cloud.rack(cloud.region(large, *IMAGES), size=24 * MIB)
    boot(rack, large)
    reader = clouds.Machine(rack)
    reader.ask(large.path("squashfs"))
    reader.take(1)
    for image in IMAGES:
        assert clouds.get(rack, image.path("squashfs")).body == squashfs(image)
    assert rack.holds(squashfs(large))
    assert reader.rest().body == squashfs(large)[1:]
    reader.close()


def test_what_is_being_filled_is_not_evicted(cloud: clouds.Cloud) -> None:
    region = cloud.region(*IMAGES)
    gate = clouds.Gate()
    filling = clouds.name_of(squashfs(IMAGES[0]))

    def hold_back(sha256: str, index: int, data: bytes) -> bytes:
        if sha256 == filling and index == 1:
            gate.wait()
        return data

    region.script = hold_back
    rack = cloud.rack(region, size=ROOM_FOR_THREE)
    machine = clouds.Machine(rack)
    machine.ask(IMAGES[0].path("squashfs"))
    gate.wait_for_arrival()
    for image in IMAGES[1:]:
        boot(rack, image)
    assert rack.cache()["filling"] == {filling: {"here": MIB, "size": 2 * MIB}}
    gate.open()
    assert machine.rest().body == squashfs(IMAGES[0])
    machine.close()
    rack.wait_until_whole(squashfs(IMAGES[0]))
    assert region.sent[filling] == 2 * MIB


def test_what_cannot_fit_passes_through_and_is_fetched_once_for_all(
    cloud: clouds.Cloud,
) -> None:
    large = clouds.Image({"squashfs": clouds.noise(5 * MIB + 11)}, release="large")
    region = cloud.region(large, *IMAGES)
    rack = cloud.rack(region, size=3 * MIB)
    boot(rack, IMAGES[0])
    came = clouds.storm(rack, [large.path("squashfs")] * 8)
    assert all(got.body == squashfs(large) for got in came)
    assert region.sent[clouds.name_of(squashfs(large))] == len(squashfs(large))
    wanted = {"Range": f"bytes={MIB - 5}-{3 * MIB}"}
    part = clouds.get(rack, large.path("squashfs"), headers=wanted)
    assert (part.status, part.body) == (206, squashfs(large)[MIB - 5 : 3 * MIB + 1])
    assert rack.cache()["requests"]["pass"] == 9
    assert held(rack) == ["focal"]


def test_what_passes_through_takes_bounded_memory(
    cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passthrough, "POOL_BLOCKS", 2)
    large = clouds.Image({"squashfs": clouds.noise(6 * MIB)}, release="large")
    region = cloud.region(large)
    rack = cloud.rack(region, size=MIB)
    assert clouds.get(rack, large.path("squashfs")).body == squashfs(large)
    last = {"Range": f"bytes={5 * MIB}-"}
    assert (
        clouds.get(rack, large.path("squashfs"), headers=last).body == squashfs(large)[5 * MIB :]
    )
    assert region.sent.total() == 6 * MIB
    # The first block is no longer kept: the pool holds the last two.
    first = {"Range": "bytes=0-9"}
    assert clouds.get(rack, large.path("squashfs"), headers=first).body == squashfs(large)[:10]
    assert region.sent.total() == 7 * MIB


def test_a_restart_keeps_whole_objects_and_their_order(cloud: clouds.Cloud) -> None:
    region = cloud.region(*IMAGES)
    rack = cloud.rack(region, size=ROOM_FOR_THREE)
    for image in (*IMAGES[:3], IMAGES[1], IMAGES[0]):
        boot(rack, image)
    assert held(rack) == ["focal", "jammy", "noble"]
    rack.stop()
    rack.start()
    assert held(rack) == ["focal", "jammy", "noble"]
    sent = region.sent.total()
    boot(rack, IMAGES[2])
    assert region.sent.total() == sent
    boot(rack, IMAGES[3])
    assert held(rack) == ["oracular", "noble", "focal"]


def test_a_half_filled_object_goes_on_after_a_restart(
    cloud: clouds.Cloud, impatient: None
) -> None:
    content = clouds.noise(6 * MIB)
    image = clouds.Image({"squashfs": content})
    region = cloud.region(image)

    def breaks_off(_: str, index: int, data: bytes) -> bytes:
        if index >= 3:
            raise clouds.Cut
        return data

    region.script = breaks_off
    rack = cloud.rack(region)
    machine = clouds.Machine(rack)
    machine.ask(image.path("squashfs"))
    assert machine.take(3 * MIB) == content[: 3 * MIB]
    clouds.wait_until(lambda: not rack.cache()["filling"])
    machine.close()
    rack.stop()
    assert region.sent.total() == 3 * MIB
    region.script = None
    rack.start()
    assert clouds.get(rack, image.path("squashfs")).body == content
    rack.wait_until_whole(content)
    assert region.sent.total() == 6 * MIB


def test_a_damaged_half_filled_object_is_fetched_again_where_it_is_damaged(
    cloud: clouds.Cloud, impatient: None
) -> None:
    content = clouds.noise(4 * MIB)
    image = clouds.Image({"squashfs": content})
    region = cloud.region(image)

    def breaks_off(_: str, index: int, data: bytes) -> bytes:
        if index >= 3:
            raise clouds.Cut
        return data

    region.script = breaks_off
    rack = cloud.rack(region)
    machine = clouds.Machine(rack)
    machine.ask(image.path("squashfs"))
    machine.take(3 * MIB)
    clouds.wait_until(lambda: not rack.cache()["filling"])
    machine.close()
    rack.stop()
    flip(cloud.cache_of(rack) / "partial" / f"{clouds.name_of(content)}.data", MIB + 5)
    region.script = None
    region.sent.clear()
    rack.start()
    assert clouds.get(rack, image.path("squashfs")).body == content
    rack.wait_until_whole(content)
    assert region.sent.total() == 2 * MIB


def test_a_whole_object_that_somebody_touched_is_fetched_again(cloud: clouds.Cloud) -> None:
    region = cloud.region(*IMAGES)
    rack = cloud.rack(region)
    boot(rack, IMAGES[0])
    flip(cloud.cache_of(rack) / "objects" / clouds.name_of(squashfs(IMAGES[0])), 77)
    boot(rack, IMAGES[0])
    assert region.sent.total() == 4 * MIB


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def test_a_smaller_bound_at_a_restart_makes_room(cloud: clouds.Cloud) -> None:
    region = cloud.region(*IMAGES)
    before = cloud.rack(region)
    for image in IMAGES:
        boot(before, image)
    before.stop()
    after = cloud.rack(region, size=ROOM_FOR_THREE)
    assert held(after) == ["questing", "plucky", "oracular"]
    assert clouds.space_of(cloud.cache_of(after)) <= ROOM_FOR_THREE


def test_a_bound_too_small_for_anything_still_serves(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(*IMAGES), size=1)
    assert clouds.get(rack, IMAGES[0].path("squashfs")).body == squashfs(IMAGES[0])
    assert held(rack) == []


def test_what_a_crash_left_over_is_swept_up(cloud: clouds.Cloud) -> None:
    region = cloud.region(*IMAGES)
    rack = cloud.rack(region, size=ROOM_FOR_THREE)
    boot(rack, IMAGES[0])
    rack.stop()
    cache = cloud.cache_of(rack)
    for number in range(20):
        orphan = clouds.name_of(b"%d" % number)
        (cache / "facts" / orphan).write_bytes(clouds.noise(64 * units.KIB))
        (cache / "facts" / f".{orphan}.new").write_bytes(clouds.noise(64 * units.KIB))
        (cache / "partial" / f"{orphan}.journal").write_bytes(clouds.noise(64 * units.KIB))
    rack.start()
    for image in IMAGES:
        boot(rack, image)
    assert clouds.space_of(cache) <= ROOM_FOR_THREE


def test_a_directory_with_foreign_content_is_refused_and_left_alone(
    cloud: clouds.Cloud,
) -> None:
    rack = cloud.idle_rack(cloud.region(*IMAGES))
    cache = cloud.cache_of(rack)
    cache.mkdir()
    (cache / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(identity.ForeignDirectory, match=r"thesis\.txt") as refused:
        rack.start()
    assert "cache.path" in refused.value.cure
    assert [path.name for path in cache.iterdir()] == ["thesis.txt"]


def test_a_second_rack_on_the_same_port_touches_nothing(cloud: clouds.Cloud) -> None:
    region = cloud.region(*IMAGES)
    rack = cloud.rack(region)
    for image in IMAGES[:3]:
        boot(rack, image)
    with pytest.raises(errors.BootResourcesError, match="taken by"):
        clouds.Rack(rack.settings).run()
    boot(rack, IMAGES[0])
    rack.stop()
    rack.start()
    assert held(rack) == ["focal", "noble", "jammy"]


def test_dropped_objects_are_gone_and_come_again(cloud: clouds.Cloud) -> None:
    region = cloud.region(*IMAGES)
    rack = cloud.rack(region)
    for image in IMAGES[:3]:
        boot(rack, image)
    name = clouds.name_of(squashfs(IMAGES[1]))
    done = rack.local.post("/cache/drop", objects=[name[:7]], all=False)
    assert done == {"dropped": [name], "in_use": []}
    assert held(rack) == ["noble", "focal"]
    boot(rack, IMAGES[1])
    assert region.sent[name] == 4 * MIB
    rack.local.post("/cache/drop", objects=[], all=True)
    assert held(rack) == []


def test_what_is_in_use_is_not_dropped(cloud: clouds.Cloud) -> None:
    large = clouds.Image({"squashfs": clouds.noise(20 * MIB)})
    rack = cloud.rack(cloud.region(large))
    clouds.get(rack, large.path("squashfs"))
    rack.wait_until_whole(squashfs(large))
    reader = clouds.Machine(rack)
    reader.ask(large.path("squashfs"))
    done = rack.local.post("/cache/drop", objects=[], all=True)
    assert done == {"dropped": [], "in_use": [clouds.name_of(squashfs(large))]}
    assert reader.rest().body == squashfs(large)
    reader.close()


@pytest.mark.parametrize("prefix", ["", "abc", "0" * 64, "zzzzzzzz"])
def test_an_object_that_is_not_there_cannot_be_dropped(cloud: clouds.Cloud, prefix: str) -> None:
    rack = cloud.rack(cloud.region(*IMAGES))
    with pytest.raises(local.Refused, match="no objects in the cache"):
        rack.local.post("/cache/drop", objects=[prefix], all=False)


def test_the_mark_of_a_cache_says_what_it_is(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(*IMAGES))
    mark = json.loads((cloud.cache_of(rack) / "cache.json").read_text())
    assert mark["format"] == identity.FORMAT


def test_space_counts_the_object_its_facts_and_all_else(cloud: clouds.Cloud) -> None:
    rack = cloud.rack(cloud.region(*IMAGES))
    boot(rack, IMAGES[0])
    found = rack.cache()
    (entry,) = found["contents"]
    cache, name = cloud.cache_of(rack), clouds.name_of(squashfs(IMAGES[0]))
    places = (cache / "objects" / name, cache / "facts" / name)
    assert entry["space"] == sum(place.stat().st_blocks * 512 for place in places)
    assert entry["space"] > 2 * MIB
    assert found["used"] == entry["space"] + found["beside"]
