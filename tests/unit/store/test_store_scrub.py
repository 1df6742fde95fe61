"""The scrub reads everything in turn, at its pace, and goes on where it was."""

import contextlib
import errno
import os
import pathlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources import units
from boot_resources.store import objects, scrub
from support import stores

CONTENTS = [stores.noise(seed=seed) for seed in range(3)] + [b""]
NAMES = sorted(map(stores.name_of, CONTENTS))
WEEK = 7 * 86400.0


class Reading:
    """A scrub of a tree that is told off after so many looks.

    Attributes:
        read: ``(object, offset)`` of each block that was read.
        told: each object that was suspected, and why.
    """

    def __init__(self, tree: objects.ObjectTree, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tree = tree
        self.read: list[tuple[str, int]] = []
        self.told: list[tuple[str, str]] = []
        self._real = os.pread
        self._left = 0
        self._enough = threading.Event()
        monkeypatch.setattr(os, "pread", self._pread)

    def run(self, looks: int) -> scrub.Scrub:
        """Scrub until so many blocks were read, as one life of a controller."""
        self._left = looks
        self._enough.clear()
        scrubbing = scrub.Scrub(self.tree, self._holdings, self._suspect, 0.001)
        scrubbing.start()
        assert self._enough.wait(30)
        scrubbing.stop()
        return scrubbing

    def _holdings(self) -> dict[str, int]:
        return {occupied.sha256: occupied.space for occupied in self.tree.whole()}

    def _suspect(self, sha256: str, problem: str) -> bool:
        self.told.append((sha256, problem))
        return True

    def _pread(self, fd: int, count: int, offset: int) -> bytes:
        name = pathlib.Path(f"/proc/self/fd/{fd}").readlink().name
        if name in NAMES:
            self.read.append((name, offset))
            self._left -= 1
            if self._left <= 0:
                self._enough.set()
        return self._real(fd, count, offset)


@pytest.fixture
def reading(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    tree = stores.tree_at(tmp_path)
    for content in CONTENTS:
        stores.put(tree, content)
    return Reading(tree, monkeypatch)


def every_block() -> list[tuple[str, int]]:
    by_name = {stores.name_of(content): content for content in CONTENTS}
    return [
        (name, start)
        for name in NAMES
        for start in range(0, max(1, len(by_name[name])), units.MIB)
    ]


def test_every_block_is_read_in_turn_and_then_anew(reading: Reading) -> None:
    expected = every_block()
    done = reading.run(2 * len(expected))
    assert reading.read[: 2 * len(expected)] == 2 * expected
    assert reading.told == []
    assert done.findings == 0
    assert done.position.passed is not None


def test_a_service_that_may_not_lower_its_priority_reads_all_the_same(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "setpriority", refused)
    reading.run(3)
    assert len(reading.read) >= 3


def test_a_restart_goes_on_with_the_block_at_which_it_was(reading: Reading) -> None:
    expected = every_block()
    for stop_after in (1, 2, 5):
        reading.read.clear()
        (reading.tree.root / scrub.FILE).unlink(missing_ok=True)
        reading.run(stop_after)
        first = len(reading.read)
        assert reading.read == expected[:first]
        reading.run(1)
        # The block that was read last may be read again, and none is left out.
        assert reading.read[first] in expected[first - 1 : first + 1]


def test_a_block_that_rotted_is_told_with_its_object_and_the_rest_is_read(
    reading: Reading,
) -> None:
    victim = next(name for name, start in every_block() if start == units.MIB)
    path = reading.tree.path(victim)
    before = path.stat()
    stores.damage(path, units.MIB + 5)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = reading.run(len(every_block()))
    assert (victim, "block 1 is not what was proved") in reading.told
    assert {name for name, _ in reading.told} == {victim}
    assert done.findings == len(reading.told)
    assert {name for name, _ in reading.read} == set(NAMES)


def test_what_the_disk_does_not_give_is_told(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = os.pread

    def fail(fd: int, count: int, offset: int) -> bytes:
        data = counting(fd, count, offset)
        if offset == units.MIB:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data

    monkeypatch.setattr(os, "pread", fail)
    reading.run(len(every_block()))
    assert "block 1 cannot be read: Input/output error" in {why for _, why in reading.told}


def test_a_host_that_is_short_of_something_accuses_nobody(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = os.pread
    short = iter([True, True, False])

    def fail(fd: int, count: int, offset: int) -> bytes:
        data = counting(fd, count, offset)
        if next(short, False):
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return data

    monkeypatch.setattr(os, "pread", fail)
    reading.run(len(every_block()))
    assert reading.told == []


def test_an_object_at_which_it_fails_twice_is_passed_over_and_the_pass_is_not_whole(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counting = os.pread
    victim = NAMES[1]
    spared = [name for name, _ in every_block() if name != victim]
    told: list[str] = []

    def fail(fd: int, count: int, offset: int) -> bytes:
        data = counting(fd, count, offset)
        told.append(pathlib.Path(f"/proc/self/fd/{fd}").readlink().name)
        if told[-1] == victim:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return data

    monkeypatch.setattr(os, "pread", fail)
    # Two passes: of the victim, two attempts in each.
    done = reading.run(2 * (len(spared) + 2))
    assert [name for name in told if name != victim][: 2 * len(spared)] == 2 * spared
    assert told.count(victim) >= 4
    assert reading.told == []
    assert done.position.passed is None
    assert f"failed at object {victim}; it passes the object over" in caplog.text


def test_without_room_the_position_is_not_written(tmp_path: pathlib.Path) -> None:
    tree = stores.tree_at(tmp_path)
    asked: list[int] = []

    def no_room(needed: int) -> contextlib.AbstractContextManager[bool]:
        asked.append(needed)
        return contextlib.nullcontext(False)

    scrubbing = scrub.Scrub(tree, dict, lambda *_: True, 0.001, no_room)
    scrubbing.start()
    scrubbing.stop()
    assert asked
    assert not (tmp_path / scrub.FILE).exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 2, "sha256": "", "block": 0, "passed": null}',
        '{"format": 1, "sha256": "../..", "block": 0, "passed": null}',
        '{"format": 1, "sha256": "", "block": -1, "passed": null}',
        '{"format": 1, "sha256": "", "block": 0, "passed": "yesterday"}',
    ],
)
def test_a_position_that_is_not_usable_is_the_beginning(
    tmp_path: pathlib.Path, content: str
) -> None:
    path = tmp_path / scrub.FILE
    path.write_text(content)
    assert scrub.remembered(path) == scrub.Position()


def test_a_position_is_remembered(tmp_path: pathlib.Path) -> None:
    position = scrub.Position("a" * 64, 3, 1.5e9)
    (tmp_path / scrub.FILE).write_bytes(position.to_bytes())
    assert scrub.remembered(tmp_path / scrub.FILE) == position


@given(st.lists(st.integers(1, units.MIB), min_size=1), st.floats(1.0, WEEK))
def test_a_pass_takes_its_period_at_most_and_no_pause_is_longer_than_an_hour(
    lengths: list[int], period: float
) -> None:
    pauses = [scrub.pause(length, sum(lengths), period) for length in lengths]
    assert sum(pauses) <= period * 1.001
    assert max(pauses) <= 3600


def test_a_large_store_is_read_once_in_its_period() -> None:
    total = 4 * 1024**4
    assert scrub.pause(units.MIB, total, WEEK) * total / units.MIB == pytest.approx(WEEK)
