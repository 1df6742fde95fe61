"""A rack that gets wrong bytes complains; the region hashes the object, and mends what rotted."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources import units
from support import cloud, outposts, stores


@pytest.fixture
def outpost(tmp_path: Path) -> Iterator[outposts.Outpost]:
    """Give a region and a rack that has cached nothing, and has room for all."""
    with outposts.begin(tmp_path, cache=64 * units.MIB) as outpost:
        yield outpost


def largest(outpost: outposts.Outpost) -> Path:
    objects = outpost.world.objects
    sha256 = max(objects, key=lambda each: len(objects[each]))
    return outpost.region.store / "objects" / sha256


def test_what_rotted_in_a_region_is_mended_when_the_first_machine_asks_for_it(
    outpost: outposts.Outpost,
) -> None:
    path = largest(outpost)
    before = path.stat()
    stores.damage(path, before.st_size // 2)
    # As a disk does it: neither a start nor a read can see it.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert outpost.serves_all()
    assert (outpost.region.store / "damaged" / path.name).exists()
    outpost.wait_until_all_is_well()


def test_a_complaint_without_cause_changes_nothing_and_costs_one_hashing(
    outpost: outposts.Outpost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = largest(outpost)
    with outpost.world.member() as member:
        for _ in range(3):
            asked = member.get(f"/v1/objects/{path.name}/complaint", method="POST")
            assert asked.status == 202
        cloud.wait_until(lambda: "is sound here" in caplog.text)
        assert member.get(f"/v1/objects/{path.name}").status == 200
        assert member.get("/v1/objects/no-object/complaint", method="POST").status == 404
    assert caplog.text.count("was sent wrong bytes") == 1
    assert not outpost.region.status()["notices"]
