"""Reads fail: what a rack's disk no longer gives comes from the regions again, and is said.

A file is spoilt by its inode and time, as a disk spoils it: what is filled anew is another file.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from boot_resources import units
from boot_resources.rack import upkeep
from boot_resources.store import facts, regular, scrub
from support import cloud, mounts

CONTENT = cloud.noise(2 * units.MIB + 17)
OTHER = cloud.noise(300_000, seed=1)
IMAGE = cloud.Image({"squashfs": CONTENT, "boot-kernel": OTHER})
ROOM = 16 * units.MIB
Spoil = Callable[[Path, pytest.MonkeyPatch], None]
"""Makes a file unreadable from now on."""


def spoil_open(path: Path, monkeypatch: pytest.MonkeyPatch, number: int = errno.EIO) -> None:
    """Have open(2) of a file fail."""
    spoilt, real = facts.Stamp.of(path.stat()), regular.open_to_read

    def fail(asked: Path) -> int:
        if asked == path and path.exists() and facts.Stamp.of(path.stat()) == spoilt:
            raise OSError(number, os.strerror(number), str(path))
        return real(asked)

    monkeypatch.setattr(regular, "open_to_read", fail)


def spoil_access(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have open(2) of a file be refused."""
    spoil_open(path, monkeypatch, errno.EACCES)


def spoil_bytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what reads a file fail, for machines and for the scrub."""
    spoilt, sendfile, pread = facts.Stamp.of(path.stat()), os.sendfile, os.pread

    def look(fd: int) -> None:
        if facts.Stamp.of(os.fstat(fd)) == spoilt:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fail_to_send(out: int, fd: int, offset: int, count: int) -> int:
        look(fd)
        return sendfile(out, fd, offset, count)

    def fail_to_read(fd: int, count: int, offset: int) -> bytes:
        look(fd)
        return pread(fd, count, offset)

    monkeypatch.setattr(os, "sendfile", fail_to_send)
    monkeypatch.setattr(os, "pread", fail_to_read)


@pytest.fixture(autouse=True)
def lively(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let racks look after themselves more often."""
    monkeypatch.setattr(upkeep, "_SECONDS", 0.2)


def begin(town: cloud.Cloud) -> tuple[cloud.Region, cloud.Rack, Path]:
    """Give a region, its rack with all of the image, and where the squashfs lies."""
    region = town.region(IMAGE)
    rack = town.rack(region)
    for filename, content in IMAGE.files.items():
        assert cloud.get(rack, IMAGE.path(filename)).body == content
        rack.wait_until_whole(content)
    return region, rack, town.cache_of(rack) / "objects" / cloud.name_of(CONTENT)


def ask(rack: cloud.Rack) -> bytes:
    """Return what comes of the squashfs, be it cut off."""
    machine = cloud.Machine(rack)
    try:
        assert machine.ask(IMAGE.path("squashfs")).status == 200
        return machine.rest_as_it_comes()
    finally:
        machine.close()


def keys(rack: cloud.Rack) -> set[str]:
    return {each["key"] for each in rack.status()["notices"]}


@pytest.mark.parametrize("spoil", [spoil_open, spoil_access, spoil_bytes])
def test_what_the_disk_does_not_give_is_filled_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil
) -> None:
    with cloud.Cloud(tmp_path) as town:
        region, rack, path = begin(town)
        spoil(path, monkeypatch)
        first = ask(rack)
        # Only what is found under way is cut off, and what came of it is right.
        assert first == CONTENT if spoil is not spoil_bytes else CONTENT.startswith(first)
        assert ask(rack) == CONTENT
        rack.wait_until_whole(CONTENT)
        assert ask(rack) == CONTENT
        assert region.sent[cloud.name_of(CONTENT)] == 2 * len(CONTENT)


@pytest.mark.parametrize("spoil", [spoil_open, spoil_bytes])
def test_on_a_disk_that_became_read_only_it_passes_through_until_it_can_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil
) -> None:
    with mounts.mounted(tmp_path / "rack-0-cache", ROOM) as disk, cloud.Cloud(tmp_path) as town:
        _, rack, path = begin(town)
        rack.stop()
        mounts.remount(disk, "ro")
        rack.start()
        used = rack.cache()["used"]
        spoil(path, monkeypatch)
        assert CONTENT.startswith(ask(rack))
        for _ in range(3):
            assert ask(rack) == CONTENT
        cloud.wait_until(lambda: "stuck" in keys(rack))
        assert not rack.holds(CONTENT)
        assert rack.cache()["stuck"] == 1
        # What cannot be removed still takes its space.
        assert rack.cache()["used"] >= used - units.MIB
        # The rest is served from the cache.
        assert cloud.get(rack, IMAGE.path("boot-kernel")).body == OTHER
        mounts.remount(disk, "rw")
        cloud.wait_until(lambda: "stuck" not in keys(rack))
        assert ask(rack) == CONTENT
        rack.wait_until_whole(CONTENT)


def test_a_smaller_bound_does_not_stop_a_start_on_a_disk_that_became_read_only(
    tmp_path: Path,
) -> None:
    with mounts.mounted(tmp_path / "rack-0-cache", ROOM) as disk, cloud.Cloud(tmp_path) as town:
        region, rack, _ = begin(town)
        rack.stop()
        mounts.remount(disk, "ro")
        smaller = town.rack(region, size=units.MIB)
        cloud.wait_until(lambda: "stuck" in keys(smaller))
        assert ask(smaller) == CONTENT
        mounts.remount(disk, "rw")
        cloud.wait_until(lambda: smaller.cache()["over"] == 0)
        assert cloud.space_of(disk) <= units.MIB
        assert ask(smaller) == CONTENT


@pytest.mark.parametrize("spoil", [spoil_open, spoil_access, spoil_bytes])
def test_the_scrub_brings_again_what_cannot_be_read_and_reads_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil
) -> None:
    monkeypatch.setattr(scrub, "_LONGEST_PAUSE", 0.05)
    with cloud.Cloud(tmp_path) as town:
        region, rack, path = begin(town)
        spoil(path, monkeypatch)
        cloud.wait_until(lambda: region.sent[cloud.name_of(CONTENT)] == 2 * len(CONTENT))
        rack.wait_until_whole(CONTENT)
        kept = town.cache_of(rack) / scrub.FILE
        cloud.wait_until(kept.exists)
        before = scrub.remembered(kept).passed
        cloud.wait_until(lambda: scrub.remembered(kept).passed != before)
        assert ask(rack) == CONTENT
