"""Whose directory is this? What is not ours is refused, and nothing in it is touched."""

import contextlib
import errno
import fcntl
import json
import pathlib
import subprocess
import sys

import pytest

from boot_resources.store import disk, identity
from support import disks

OURS = identity.store_of("cluster-a")


def content(root: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): b"" if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


def refusal(root: pathlib.Path, mark: identity.Mark = OURS) -> identity.ForeignDirectory:
    before = content(root)
    with pytest.raises(identity.ForeignDirectory) as caught:
        identity.establish(root, mark, disk.Disk()).release()
    assert content(root) == before
    assert caught.value.cure
    return caught.value


def test_an_empty_directory_becomes_ours_and_stays_so(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "a" / "store"
    identity.establish(root, OURS, disk.Disk()).release()
    written = (root / "store.json").read_bytes()
    identity.establish(root, OURS, disk.Disk()).release()
    assert (root / "store.json").read_bytes() == written
    assert json.loads(written)["owner"] == "cluster-a"
    assert identity.look_at_store(root).owner == "cluster-a"


def test_the_top_of_a_file_system_is_as_good_as_empty(tmp_path: pathlib.Path) -> None:
    (tmp_path / "lost+found").mkdir()
    identity.establish(tmp_path, OURS, disk.Disk()).release()
    assert identity.look_at_store(tmp_path).owner == "cluster-a"
    assert (tmp_path / "lost+found").is_dir()


def test_a_store_of_another_cluster_is_refused(tmp_path: pathlib.Path) -> None:
    identity.establish(tmp_path, identity.store_of("cluster-b"), disk.Disk()).release()
    error = refusal(tmp_path)
    assert "belongs to cluster cluster-b, the catalog to cluster-a" in str(error)
    assert "catalog.url" in error.cure


def test_a_directory_with_content_and_no_mark_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"a cat")
    assert "has content and no store.json" in str(refusal(tmp_path))


def test_an_image_storage_of_maas_is_refused(tmp_path: pathlib.Path) -> None:
    for name in ("bootloaders", "custom", "0" * 64, "1" * 64):
        (tmp_path / name).mkdir()
    error = refusal(tmp_path)
    assert ", ..." in str(error)
    assert "storage.path" in error.cure


def test_a_store_is_no_cache_and_a_cache_no_store(tmp_path: pathlib.Path) -> None:
    identity.establish(tmp_path / "store", OURS, disk.Disk()).release()
    assert "cache.path" in refusal(tmp_path / "store", identity.CACHE).cure
    identity.establish(tmp_path / "cache", identity.CACHE, disk.Disk()).release()
    refusal(tmp_path / "cache")


@pytest.mark.parametrize("mark", ["", "{", "[]", "5", "{}", '{"format": 1}', "\xff"])
def test_a_mark_that_cannot_be_read_is_refused(tmp_path: pathlib.Path, mark: str) -> None:
    (tmp_path / "store.json").write_text(mark, encoding="latin-1")
    assert "cannot be read" in str(refusal(tmp_path))
    assert identity.look_at_store(tmp_path).owner is None


def test_a_store_of_a_later_format_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "store.json").write_text('{"format": 2, "owner": "cluster-a"}')
    error = refusal(tmp_path)
    assert "has format 2; this version reads 1" in str(error)
    assert "install the version" in error.cure


def test_a_file_in_its_place_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(identity.ForeignDirectory, match="cannot be used as a store: File exists"):
        identity.establish(tmp_path / "store", OURS, disk.Disk()).release()


def calls_of_a_first_start(tmp_path: pathlib.Path) -> list[str]:
    """Return the calls that change the disk, for a directory and its mark."""
    recorder = disks.Recorder()
    identity.establish(tmp_path / "recorded", OURS, recorder).release()
    return [call for call, _ in recorder.calls]


def test_whichever_call_fails_it_is_refused_and_can_be_tried_again(tmp_path: pathlib.Path) -> None:
    is_close = [call == "close" for call in calls_of_a_first_start(tmp_path)]
    for nth in range(len(is_close)):
        root = tmp_path / str(nth)
        refusing = disks.Refusing(nth, errno.ENOSPC)
        refused = pytest.raises(identity.ForeignDirectory, match="No space left on device")
        # What could only not be closed was durable by then.
        with contextlib.nullcontext() if is_close[nth] else refused:
            identity.establish(root, OURS, refusing).release()
        assert refusing.failed
        identity.establish(root, OURS, disk.Disk()).release()


def test_wherever_its_making_is_interrupted_it_can_be_begun_again(tmp_path: pathlib.Path) -> None:
    for nth in range(len(calls_of_a_first_start(tmp_path))):
        root = tmp_path / str(nth)
        with pytest.raises(disks.PowerCut):
            identity.establish(root, OURS, disks.Dying(nth)).release()
        identity.establish(root, OURS, disk.Disk()).release()
        assert identity.look_at_store(root).owner == "cluster-a"


def test_who_has_a_directory_has_it_alone_until_it_leaves(tmp_path: pathlib.Path) -> None:
    for root, mark in ((tmp_path / "store", OURS), (tmp_path / "cache", identity.CACHE)):
        hold = identity.establish(root, mark, disk.Disk())
        error = refusal(root, mark)
        assert isinstance(error, identity.InUse)
        assert "another controller is running" in str(error)
        assert mark.option in error.cure
        hold.release()
        identity.establish(root, mark, disk.Disk()).release()


def test_of_two_that_come_for_the_first_time_at_once_one_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def lock_late(fd: int, operation: int) -> None:
        """Lock a mark that another one has replaced since it was opened."""
        monkeypatch.setattr(fcntl, "flock", real)
        (tmp_path / "copy").write_bytes((tmp_path / "store.json").read_bytes())
        (tmp_path / "copy").rename(tmp_path / "store.json")
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with pytest.raises(identity.InUse):
        identity.establish(tmp_path, OURS, disk.Disk())


def test_the_lock_ends_with_the_process(tmp_path: pathlib.Path) -> None:
    killed = (
        "import os, pathlib, sys\n"
        "from boot_resources.store import disk, identity\n"
        "hold = identity.establish(pathlib.Path(sys.argv[1]), identity.CACHE, disk.Disk())\n"
        "os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False)
    assert done.returncode == 9
    identity.establish(tmp_path, identity.CACHE, disk.Disk()).release()


def test_a_parent_whose_names_nobody_can_make_durable_is_no_obstacle() -> None:
    # fsync(2) of a directory there fails with EINVAL, as on squashfs.
    with pytest.raises(OSError, match="Invalid argument"):
        disk.Disk().sync_directory(pathlib.Path("/proc"))
    disk.Disk().confirm(pathlib.Path("/proc"))
