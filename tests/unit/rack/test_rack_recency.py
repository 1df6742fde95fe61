"""The order of use, held against a model that never forgets; and a disk that refuses."""

import errno
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boot_resources.rack import recency
from boot_resources.store import disk as disks

OBJECTS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(6)]
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["touch", "forget", "restart", "sync"]), st.sampled_from(OBJECTS)),
    max_size=60,
)


def begin(path: Path, present: list[str]) -> recency.Recency:
    return recency.Recency(disks.Disk(), path, present)


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log be rewritten after few uses."""
    monkeypatch.setattr(recency, "_SLACK", 2)


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_the_order_is_that_of_the_last_uses_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("recency") / "order.log"
    model: list[str] = []
    tested = begin(path, [])
    for action, name in actions:
        if action == "touch":
            model = [*(each for each in model if each != name), name]
            tested.touch(name)
        elif action == "forget":
            model = [each for each in model if each != name]
            tested.forget(name)
        elif action == "sync":
            tested.sync()
        else:
            # As after SIGKILL: nothing is closed in order.
            tested = begin(path, model)
        assert list(tested.oldest_first()) == model
    tested.close()


@pytest.mark.usefixtures("small_log")
def test_the_log_stays_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "order.log"
    tested = begin(path, [])
    for number in range(500):
        tested.touch(OBJECTS[number % len(OBJECTS)])
        assert path.stat().st_blocks * 512 <= tested.space_at_most()
        assert path.stat().st_size <= 32 * (2 * len(OBJECTS) + 2)
    tested.close()


def test_what_the_log_does_not_name_counts_as_the_least_recently_used(tmp_path: Path) -> None:
    path = tmp_path / "order.log"
    tested = begin(path, [])
    tested.touch(OBJECTS[0])
    tested.close()
    assert list(begin(path, OBJECTS[:3]).oldest_first()) == [*sorted(OBJECTS[1:3]), OBJECTS[0]]


@pytest.mark.parametrize("torn", [1, 31, 33])
def test_a_torn_log_is_read_as_far_as_it_is_whole(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "order.log"
    path.write_bytes(bytes.fromhex(OBJECTS[1] + OBJECTS[0]) + bytes(torn))
    assert list(begin(path, OBJECTS[:2]).oldest_first()) == [OBJECTS[1], OBJECTS[0]]


class _Full(disks.Disk):
    full = False

    def write(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(fd, data, offset)


@pytest.mark.usefixtures("small_log")
def test_a_full_disk_costs_the_log_and_not_the_order(tmp_path: Path) -> None:
    path = tmp_path / "order.log"
    disk = _Full()
    tested = recency.Recency(disk, path, [])
    disk.full = True
    for name in (*OBJECTS, *OBJECTS[:3]):
        tested.touch(name)
    assert list(tested.oldest_first()) == [*OBJECTS[3:], *OBJECTS[:3]]
    disk.full = False
    for _ in range(20):
        for name in OBJECTS:
            tested.touch(name)
    tested.close()
    assert list(begin(path, OBJECTS).oldest_first()) == OBJECTS


@pytest.mark.usefixtures("small_log")
def test_a_log_that_cannot_be_rewritten_never_writes_into_another_file(tmp_path: Path) -> None:
    disk = _Full()
    tested = recency.Recency(disk, tmp_path / "order.log", [])
    other = tmp_path / "other"
    others = []
    for number in range(40):
        disk.full = number % 2 == 1
        tested.touch(OBJECTS[number % len(OBJECTS)])
        # Whoever opens a file now may be given a descriptor that was closed a moment ago.
        others.append(other.open("ab"))
    for file in others:
        file.close()
    tested.close()
    assert other.read_bytes() == b""


class _NoSync(disks.Disk):
    """A disk on which, for a while, nothing can be made durable."""

    failing = False

    def sync(self, fd: int) -> None:
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")
        super().sync(fd)


def test_after_a_failed_fsync_the_log_is_not_said_to_be_durable_until_it_is_written_anew(
    tmp_path: Path,
) -> None:
    path = tmp_path / "order.log"
    disk = _NoSync()
    tested = recency.Recency(disk, path, [])
    tested.begin()
    tested.touch(OBJECTS[0])
    before = path.stat().st_ino
    disk.failing = True
    with pytest.raises(OSError, match="Input/output error"):
        tested.sync()
    disk.failing = False
    with pytest.raises(OSError, match="waits to be written anew"):
        tested.sync()
    tested.touch(OBJECTS[0])
    tested.sync()
    assert path.stat().st_ino != before
    tested.close()
    assert list(begin(path, OBJECTS[:1]).oldest_first()) == OBJECTS[:1]
