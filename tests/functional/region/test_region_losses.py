"""What a region's disk loses is noticed, said, and fetched again; then all is well."""

import errno
import http.client
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support import cloud, real_region

World = real_region.World


def largest(world: World) -> tuple[str, bytes]:
    return max(world.objects.items(), key=lambda each: len(each[1]))


def notices(world: World, scope: str = "storage") -> list[dict[str, str]]:
    return [each for each in world.region.status()["notices"] if each["scope"] == scope]


def remove(path: Path) -> None:
    path.unlink()


def spoil(path: Path) -> None:
    path.write_bytes(b"rotten")


@pytest.mark.parametrize(
    ("place", "change", "question"),
    [
        ("objects", remove, ""),
        ("objects", spoil, ""),
        ("objects", os.utime, ""),
        ("facts", remove, ""),
        ("facts", remove, "/map"),
        ("facts", spoil, "/map"),
    ],
)
def test_a_loss_is_said_until_it_is_made_good(
    own_world: World, place: str, change: Callable[[Path], None], question: str
) -> None:
    world = own_world
    sha256, content = largest(world)
    world.origin.on_request = cloud.refuse
    change(world.region.store / place / sha256)
    with world.member() as member:
        assert member.get(f"/v1/objects/{sha256}{question}").status == 404
        (notice,) = notices(world)
        assert sha256[:12] in notice["text"]
        assert member.get(f"/v1/objects/{sha256}").status == 404
        world.origin.on_request = None
        world.region.sync()
        assert member.get(f"/v1/objects/{sha256}").body == content
        assert member.get(f"/v1/objects/{sha256}/map").status == 200
    assert world.region.status()["notices"] == []


def test_a_deleted_file_comes_again_without_an_order(own_world: World) -> None:
    sha256, content = largest(own_world)
    (own_world.region.store / "objects" / sha256).unlink()
    with own_world.member() as member:
        assert member.get(f"/v1/objects/{sha256}").status == 404
        cloud.wait_until(lambda: member.get(f"/v1/objects/{sha256}").status == 200)
        assert member.get(f"/v1/objects/{sha256}").body == content
    cloud.wait_until(lambda: not own_world.region.status()["notices"])


def test_what_the_disk_cannot_read_is_cut_off_and_looked_at(
    own_world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = own_world
    sha256, content = largest(world)
    real = os.pread

    def fail(fd: int, count: int, offset: int) -> bytes:
        if os.fstat(fd).st_size == len(content):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, count, offset)

    world.origin.on_request = cloud.refuse
    with monkeypatch.context() as rotten:
        rotten.setattr(os, "pread", fail)
        with world.member() as member, pytest.raises(http.client.IncompleteRead):
            member.get(f"/v1/objects/{sha256}")
        cloud.wait_until(lambda: notices(world))
    (notice,) = notices(world)
    assert "unreadable" in notice["text"]
    assert (world.region.store / "damaged" / sha256).exists()
    assert "Traceback" not in caplog.text
    world.origin.on_request = None
    world.region.sync()
    with world.member() as member:
        assert member.get(f"/v1/objects/{sha256}").body == content


def test_several_losses_and_strangers_are_said_side_by_side(own_world: World) -> None:
    world = own_world
    world.origin.on_request = cloud.refuse
    stranger = world.region.store / "objects" / "notes.txt"
    stranger.write_text("mine")
    with world.member() as member:
        for sha256 in sorted(world.objects)[:2]:
            (world.region.store / "objects" / sha256).unlink()
            assert member.get(f"/v1/objects/{sha256}").status == 404
    cloud.wait_until(lambda: len(notices(world)) == 3)
    stranger.unlink()
    world.origin.on_request = None
    world.region.sync()
    assert world.region.status()["notices"] == []


def test_a_member_list_that_cannot_be_read_is_said_and_the_last_one_stays(
    own_world: World,
) -> None:
    listed = own_world.cluster.list_path
    with own_world.member() as member:
        assert member.get("/v1/health").status == 200
        good = listed.read_bytes()
        listed.write_text("{")
        cloud.wait_until(lambda: notices(own_world, "members"))
        assert member.get("/v1/health").status == 200
    listed.write_bytes(good)
    cloud.wait_until(lambda: not notices(own_world, "members"))
