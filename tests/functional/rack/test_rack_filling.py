"""One fill an object, however many machines ask, whatever they do meanwhile."""

import threading

from boot_resources import units
from boot_resources.store import blocks
from support import cloud as clouds

MIB = units.MIB
SQUASHFS = clouds.noise(9 * MIB + 123)
IMAGE = clouds.Image({"squashfs": SQUASHFS, "boot-kernel": clouds.noise(MIB // 2)})


class Dam:
    """A script that lets nothing through from some block on, until it is opened."""

    def __init__(self, first: int) -> None:
        self.gate = clouds.Gate()
        self._first = first

    def __call__(self, _: str, index: int, data: bytes) -> bytes:
        if index >= self._first:
            self.gate.wait()
        return data


def test_a_cold_storm_takes_each_byte_from_the_region_once(cloud: clouds.Cloud) -> None:
    region = cloud.region(IMAGE)
    rack = cloud.rack(region)
    came = clouds.storm(rack, [IMAGE.path("squashfs")] * 20)
    assert [(got.status, got.body == SQUASHFS) for got in came] == [(200, True)] * 20
    assert region.sent == {clouds.name_of(SQUASHFS): len(SQUASHFS)}
    rack.wait_until_whole(SQUASHFS)
    status = rack.cache()
    assert status["fill_bytes"] == len(SQUASHFS)
    assert status["served_bytes"] == 20 * len(SQUASHFS)
    assert status["requests"]["fill"] == 1
    assert sum(status["requests"].values()) == 20


def test_files_with_the_same_bytes_are_one_object(cloud: clouds.Cloud) -> None:
    other = clouds.Image({"squashfs": SQUASHFS}, release="jammy")
    region = cloud.region(IMAGE, other)
    rack = cloud.rack(region)
    came = clouds.storm(rack, [IMAGE.path("squashfs"), other.path("squashfs")] * 3)
    assert all(got.body == SQUASHFS for got in came)
    assert region.sent.total() == len(SQUASHFS)


def test_a_machine_that_joins_gets_bytes_before_the_fill_has_ended(cloud: clouds.Cloud) -> None:
    region = cloud.region(IMAGE)
    region.script = dam = Dam(first=4)
    rack = cloud.rack(region)
    first, joiner = clouds.Machine(rack), clouds.Machine(rack)
    first.ask(IMAGE.path("squashfs"))
    assert first.take(MIB) == SQUASHFS[:MIB]
    dam.gate.wait_for_arrival()
    assert joiner.ask(IMAGE.path("squashfs")).status == 200
    assert joiner.take(4 * MIB) == SQUASHFS[: 4 * MIB]
    assert not rack.holds(SQUASHFS)
    dam.gate.open()
    assert joiner.rest().body == SQUASHFS[4 * MIB :]
    assert first.rest().body == SQUASHFS[MIB:]
    assert region.sent.total() == len(SQUASHFS)
    first.close()
    joiner.close()


def test_a_machine_that_vanishes_changes_nothing(cloud: clouds.Cloud) -> None:
    region = cloud.region(IMAGE)
    region.script = dam = Dam(first=2)
    rack = cloud.rack(region)
    first = clouds.Machine(rack)
    first.ask(IMAGE.path("squashfs"))
    assert first.take(MIB) == SQUASHFS[:MIB]
    dam.gate.wait_for_arrival()
    first.vanish()
    dam.gate.open()
    rack.wait_until_whole(SQUASHFS)
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS
    assert region.sent.total() == len(SQUASHFS)


def test_a_machine_that_vanishes_before_the_first_byte_changes_nothing(
    cloud: clouds.Cloud,
) -> None:
    region = cloud.region(IMAGE)
    region.script = dam = Dam(first=0)
    rack = cloud.rack(region)
    request = f"GET {IMAGE.path('squashfs')} HTTP/1.1\r\nHost: rack\r\n\r\n"
    machine = clouds.raw_connection(rack)
    machine.sendall(request.encode())
    dam.gate.wait_for_arrival()
    machine.close()
    dam.gate.open()
    rack.wait_until_whole(SQUASHFS)
    assert region.sent.total() == len(SQUASHFS)


def test_a_machine_that_does_not_read_holds_up_nobody(cloud: clouds.Cloud) -> None:
    large = clouds.Image({"squashfs": clouds.noise(24 * MIB)})
    content = large.files["squashfs"]
    rack = cloud.rack(cloud.region(large))
    idle = clouds.Machine(rack)
    idle.ask(large.path("squashfs"))
    # The idle machine has taken nothing of its body, and the fill has ended all the same.
    assert clouds.get(rack, large.path("squashfs")).body == content
    rack.wait_until_whole(content)
    assert idle.rest().body == content
    idle.close()


def test_a_cold_range_far_ahead_comes_before_what_lies_between(cloud: clouds.Cloud) -> None:
    region = cloud.region(IMAGE)
    far = range(7, 9)
    gate = clouds.Gate()

    def only_far(_: str, index: int, data: bytes) -> bytes:
        if index not in far:
            gate.wait()
        return data

    region.script = only_far
    rack = cloud.rack(region)
    first, last = blocks.block_start(7) + 100, blocks.block_start(8) + 99
    got = clouds.get(rack, IMAGE.path("squashfs"), headers={"Range": f"bytes={first}-{last}"})
    assert got.status == 206
    assert got.body == SQUASHFS[first : last + 1]
    assert got.headers["Content-Range"] == f"bytes {first}-{last}/{len(SQUASHFS)}"
    gate.open()
    rack.wait_until_whole(SQUASHFS)
    assert region.sent.total() == len(SQUASHFS)


def test_ranges_all_over_a_cold_object_are_right_and_fetched_once(cloud: clouds.Cloud) -> None:
    region = cloud.region(IMAGE)
    rack = cloud.rack(region)
    wrong: list[int] = []

    def ask(start: int) -> None:
        stop = min(start + MIB + 7, len(SQUASHFS))
        wanted = {"Range": f"bytes={start}-{stop - 1}"}
        if clouds.get(rack, IMAGE.path("squashfs"), headers=wanted).body != SQUASHFS[start:stop]:
            wrong.append(start)

    starts = range(0, len(SQUASHFS), 700_001)
    machines = [threading.Thread(target=ask, args=(start,)) for start in reversed(starts)]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join()
    assert wrong == []
    rack.wait_until_whole(SQUASHFS)
    assert region.sent.total() == len(SQUASHFS)


def test_a_hit_takes_nothing_from_the_region(cloud: clouds.Cloud) -> None:
    region = cloud.region(IMAGE)
    rack = cloud.rack(region)
    clouds.get(rack, IMAGE.path("squashfs"))
    rack.wait_until_whole(SQUASHFS)
    asked = list(region.asked)
    assert clouds.get(rack, IMAGE.path("squashfs")).body == SQUASHFS
    assert region.asked == asked
    assert rack.cache()["requests"]["hit"] == 1
