"""Rot in a rack's cache is found, dropped, said, and brought again."""

import os
from pathlib import Path

import pytest

from boot_resources.store import scrub
from support import cloud, stores

CONTENT = cloud.noise(2 * 1024 * 1024 + 17)
OTHER = cloud.noise(300_000, seed=1)
IMAGE = cloud.Image({"squashfs": CONTENT, "boot-kernel": OTHER})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scrub of these tests pause only for a moment."""
    monkeypatch.setattr(scrub, "_LONGEST_PAUSE", 0.05)


def rot(path: Path) -> None:
    """Flip one bit as a disk does: size and times stay."""
    before = path.stat()
    stores.damage(path, before.st_size - 1)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def texts(rack: cloud.Rack) -> str:
    return str([each["text"] for each in rack.status()["notices"]])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", [rot, Path.touch, Path.unlink])
def test_an_object_that_the_disk_spoilt_is_brought_again_before_anybody_asks(
    tmp_path: Path, change: object
) -> None:
    assert callable(change)
    with cloud.Cloud(tmp_path) as around:
        region = around.region(IMAGE)
        rack = around.rack(region)
        assert cloud.get(rack, IMAGE.path("squashfs")).body == CONTENT
        rack.wait_until_whole(CONTENT)
        path = around.cache_of(rack) / "objects" / cloud.name_of(CONTENT)
        change(path)
        cloud.wait_until(lambda: region.sent[cloud.name_of(CONTENT)] == 2 * len(CONTENT))
        rack.wait_until_whole(CONTENT)
        assert path.read_bytes() == CONTENT
        assert cloud.get(rack, IMAGE.path("squashfs")).body == CONTENT


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_brought_again_is_said_until_it_is_here(tmp_path: Path) -> None:
    with cloud.Cloud(tmp_path) as around:
        region = around.region(IMAGE)
        rack = around.rack(region)
        assert cloud.get(rack, IMAGE.path("squashfs")).body == CONTENT
        rack.wait_until_whole(CONTENT)
        region.down = True
        rot(around.cache_of(rack) / "objects" / cloud.name_of(CONTENT))
        cloud.wait_until(lambda: cloud.name_of(CONTENT)[:12] in texts(rack))
        assert "damaged" in texts(rack)
        assert not rack.holds(CONTENT)
        region.down = False
        cloud.wait_until(lambda: cloud.get(rack, IMAGE.path("squashfs")).body == CONTENT)
        cloud.wait_until(lambda: "damaged" not in texts(rack))


@pytest.mark.usefixtures("quick")
def test_the_scrub_leaves_the_order_of_use_alone_and_the_bound_holds(tmp_path: Path) -> None:
    with cloud.Cloud(tmp_path) as around:
        rack = around.rack(around.region(IMAGE))
        for name in ("squashfs", "boot-kernel"):
            cloud.get(rack, IMAGE.path(name))
        rack.wait_until_whole(CONTENT)
        rack.wait_until_whole(OTHER)
        order = [each["sha256"] for each in rack.cache()["contents"]]
        kept = around.cache_of(rack) / scrub.FILE
        cloud.wait_until(kept.exists)
        first = scrub.remembered(kept).passed
        assert first is not None
        cloud.wait_until(lambda: (scrub.remembered(kept).passed or 0) > first)
        assert [each["sha256"] for each in rack.cache()["contents"]] == order
        assert rack.cache()["used"] <= rack.cache()["limit"]
