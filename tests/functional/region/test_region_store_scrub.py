"""Rot in a region's store is found by the start or by the scrub, said, and made good."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import cloud, real_region, stores

World = real_region.World
PERIOD = "1s"
"""The time in which the scrub of these tests reads everything."""


@pytest.fixture
def scrubbed_world(tmp_path: Path) -> Iterator[World]:
    """Give a world whose region scrubs as fast as it may."""
    with real_region.begin(tmp_path, scrub_period=PERIOD) as world:
        yield world


def rot(path: Path) -> None:
    """Flip one bit as a disk does: size and times stay."""
    before = path.stat()
    stores.damage(path, before.st_size // 2)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rot_and_touch(path: Path) -> None:
    stores.damage(path, path.stat().st_size // 2)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def take_anothers_place(path: Path) -> None:
    """Get the file of the next object, as after a careless restore; that one gets ours."""
    names = sorted(path.parent.iterdir())
    other = names[(names.index(path) + 1) % len(names)]
    spare = path.parents[2] / "spare"
    path.rename(spare)
    other.rename(path)
    spare.rename(other)


def become_a_link(path: Path) -> None:
    elsewhere = path.parents[2] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "notes.txt").write_text("mine")


CHANGES: list[Callable[[Path], None]] = [
    take_anothers_place,
    rot_and_touch,
    truncate,
    grow,
    Path.unlink,
    become_a_link,
    become_a_pipe,
    become_a_directory,
]
"""All that a start sees; the scrub sees rot as well."""


def happens(world: World, changes: list[Callable[[Path], None]]) -> list[Path]:
    """Let each change happen to an object of its own; return the objects that are not right."""
    places = [world.region.store / "objects" / sha256 for sha256 in sorted(world.objects)]
    for change, path in zip(changes, places[::2], strict=False):
        change(path)
    return [path for path in places if not is_right(path, world.objects[path.name])]


def is_right(path: Path, content: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == content


def everything_is_right(world: World) -> bool:
    with world.member() as member:
        return all(
            member.get(f"/v1/objects/{sha256}").body == content
            for sha256, content in world.objects.items()
        )


def is_mended(world: World) -> bool:
    """Return whether every object lies in its place again, and nothing is wrong any more."""
    objects = world.region.store / "objects"
    return not world.region.status()["notices"] and all(
        is_right(objects / sha256, content) for sha256, content in world.objects.items()
    )


def spoken_of(world: World, damaged: list[Path]) -> bool:
    """Return whether the status speaks of all of them: of three by name, and of how many more."""
    text = str([each["text"] for each in world.region.status()["notices"]])
    named = sum(f"object {path.name[:12]} was" in text for path in damaged)
    return named == 3 and f"{len(damaged) - 3} more objects" in text


def test_what_became_of_objects_is_found_by_the_scrub_and_made_good(
    scrubbed_world: World,
) -> None:
    world = scrubbed_world
    region = world.region
    cloud.wait_until(lambda: not region.status()["notices"])
    world.origin.on_request = cloud.refuse
    damaged = happens(world, [*CHANGES, rot])
    # One took the place of another, and is two.
    assert len(damaged) == len(CHANGES) + 2
    with world.member() as member:
        # Nobody asked for them: the scrub found them, and now they are offered to nobody.
        cloud.wait_until(lambda: spoken_of(world, damaged))
        cloud.wait_until(lambda: region.status()["scrub"]["findings"] == len(damaged))
        for path in damaged:
            assert member.get(f"/v1/objects/{path.name}").status == 404
        world.origin.on_request = None
        region.sync()
        cloud.wait_until(lambda: is_mended(world))
    assert everything_is_right(world)
    assert region.status()["scrub"]["findings"] == len(damaged)


def test_what_became_of_objects_is_found_at_a_start_and_made_good(own_world: World) -> None:
    world = own_world
    world.region.stop()
    damaged = happens(world, CHANGES)
    assert len(damaged) == len(CHANGES) + 1
    world.origin.on_request = cloud.refuse
    world.region.start()
    with world.member() as member:
        for path in damaged:
            assert member.get(f"/v1/objects/{path.name}").status == 404
    world.origin.on_request = None
    world.region.sync()
    cloud.wait_until(lambda: is_mended(world))
    assert everything_is_right(world)


def test_rot_that_left_size_and_time_is_not_seen_by_a_start(own_world: World) -> None:
    own_world.region.stop()
    # The scrub reads a first block at once, and the next one hours later.
    rot(own_world.region.store / "objects" / max(own_world.objects))
    own_world.region.start()
    assert own_world.region.status()["notices"] == []


def test_what_is_in_an_objects_place_moves_aside_and_what_it_leads_to_is_not_touched(
    scrubbed_world: World,
) -> None:
    world = scrubbed_world
    linked, became_directory = happens(world, [become_a_link, become_a_directory])
    elsewhere = world.region.store.parent / "elsewhere"
    before = elsewhere.stat()
    cloud.wait_until(lambda: is_mended(world))
    assert elsewhere.read_bytes() == world.objects[linked.name]
    assert elsewhere.stat().st_mtime_ns == before.st_mtime_ns
    damaged = world.region.store / "damaged"
    assert (damaged / linked.name).is_symlink()
    assert (damaged / became_directory.name / "notes.txt").read_text() == "mine"


def test_the_scrub_says_when_it_had_read_everything_and_goes_on_after_a_restart(
    scrubbed_world: World,
) -> None:
    region = scrubbed_world.region
    cloud.wait_until(lambda: region.status()["scrub"]["last_pass"])
    region.stop()
    region.start()
    told = region.status()["scrub"]
    assert told["last_pass"] is not None
    cloud.wait_until(lambda: region.status()["scrub"]["last_pass"] > told["last_pass"])
    assert region.status()["scrub"]["findings"] == 0
    assert region.status()["notices"] == []
