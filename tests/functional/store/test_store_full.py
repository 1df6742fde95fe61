"""A small file system that is full: nothing half-done, and freeing space is enough to go on."""

import errno
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from boot_resources import units
from boot_resources.store import disk, identity, objects, space, storage
from support import stores, tiers

SIZE = 8 * units.MIB
CONTENT = stores.noise(3 * units.MIB)
NAME = stores.name_of(CONTENT)


@pytest.fixture
def small(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a directory on a file system of 8 MiB."""
    if os.geteuid() != 0:
        tiers.missing("only root can mount a small file system")
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        tiers.missing("this machine lets nobody mount a file system (a container without rights)")
    yield place
    stores.leave(place / "store")
    # A test that failed may hold files open: the mount goes with the last of them.
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def ballast(place: pathlib.Path, left: int) -> pathlib.Path:
    """Fill the file system so that ``left`` bytes are free, in whole pages."""
    free = os.statvfs(place)
    path = place / "ballast"
    with path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, free.f_bavail * free.f_frsize - left)
    return path


def test_the_room_that_is_missing_is_named_before_the_first_byte(small: pathlib.Path) -> None:
    store = stores.storage_at(small / "store")
    filler = ballast(small, 2 * units.MIB)
    room = store.room_for({NAME: len(CONTENT)})
    assert room.free == 2 * units.MIB
    assert room.lacking == room.needed - room.free
    with pytest.raises(space.NotEnoughSpace, match=r"2\.0 MiB free, 1\.\d MiB missing"):
        room.require()
    filler.unlink()
    store.room_for({NAME: len(CONTENT)}).require()


def test_what_fits_by_the_estimate_fits(small: pathlib.Path) -> None:
    store = stores.storage_at(small / "store")
    ballast(small, space.on_disk(len(CONTENT)) + 4096)
    store.room_for({NAME: len(CONTENT)}).require()
    stores.put(store, CONTENT)
    assert stores.read(store, NAME) == CONTENT


def test_reserved_space_cannot_be_taken_by_another(small: pathlib.Path) -> None:
    store = stores.storage_at(small / "store")
    incoming = store.begin(NAME, len(CONTENT))
    ballast(small, 64 * units.KIB)
    stores.fill(incoming, CONTENT)
    store.publish(incoming)
    incoming.close()
    assert stores.read(store, NAME) == CONTENT


def test_an_object_that_does_not_fit_is_refused_whole(small: pathlib.Path) -> None:
    store = stores.storage_at(small / "store")
    filler = ballast(small, units.MIB)
    with pytest.raises(OSError, match="No space left") as caught:
        store.begin(NAME, len(CONTENT))
    assert caught.value.errno == errno.ENOSPC
    assert list((small / "store" / "partial").iterdir()) == []
    filler.unlink()
    stores.put(store, CONTENT)
    assert stores.read(store, NAME) == CONTENT


def test_with_no_room_for_the_facts_nothing_is_published(small: pathlib.Path) -> None:
    store = stores.storage_at(small / "store")
    incoming = store.begin(NAME, len(CONTENT))
    stores.fill(incoming, CONTENT)
    filler = ballast(small, 0)
    with pytest.raises(OSError, match="No space left"):
        store.publish(incoming)
    incoming.discard()
    assert store.held() == {}
    assert [path for path in (small / "store").rglob("*") if path.is_file()] == [
        small / "store" / "store.json"
    ]
    filler.unlink()
    stores.put(store, CONTENT)


def test_removed_objects_go_where_room_is_needed(small: pathlib.Path) -> None:
    store = stores.storage_at(small / "store")
    old = stores.put(store, stores.noise(5 * units.MIB, seed=1))
    store.tidy(set())
    assert store.restore(old) is not None
    store.tidy(set())
    store.room_for({NAME: 5 * units.MIB}).require()
    assert list((small / "store" / "removed").iterdir()) == []


def test_a_full_disk_is_no_place_for_a_new_store(small: pathlib.Path) -> None:
    (small / "store").mkdir()
    filler = ballast(small, 0)
    with pytest.raises(identity.ForeignDirectory, match="No space left on device"):
        storage.Storage(small / "store", 0, 0.0).start(stores.CLUSTER)
    filler.unlink()
    stores.storage_at(small / "store")


def test_on_a_file_system_that_became_read_only_what_is_sound_goes_on_being_served(
    small: pathlib.Path,
) -> None:
    root = small / "store"
    stores.put(stores.storage_at(root), CONTENT)
    other = stores.put(stores.storage_at(root), b"other")
    stores.damage(root / "objects" / other)
    stores.leave(root)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    frozen = stores.storage_at(root)
    assert stores.read(frozen, NAME) == CONTENT
    assert frozen.held().keys() == {NAME}
    with pytest.raises(OSError, match="Read-only file system"):
        objects.ObjectTree(root, disk.Disk()).begin("1" * 64, 5)
