"""A disk that records what is done to it, and the ground on which a tree is laid out again.

Both share a pool: every file that is made gets a second name there, so that it can be laid out
later with its inode, its time and whatever bytes the cut left. What the product notes about a
file (size, time, inode) then fits, and no wrong byte hides behind a proof made anew.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from boot_resources.store import disk
from support import disks, power

Buffer = bytes | bytearray | memoryview


class Recording(disk.Disk):
    """A disk that records each call that it makes, and can be told to fail or to die.

    Attributes:
        base: below it, everything is recorded.
        log: what was done, in order.
        failed: the call that failed last, or nothing.
        is_dead: whether the process was killed.
    """

    def __init__(self, base: pathlib.Path, pool: pathlib.Path) -> None:
        """Record what happens below ``base``, a directory that is durable."""
        self.log: list[power.Operation] = []
        self.failed = ""
        self.is_dead = False
        self.base = base
        self._pool = pool
        self._numbers: dict[int, int] = {}
        self._open: set[int] = set()
        self._calls = 0
        self._failing = range(0)
        self._error = 0
        self._dies_at = -1
        self._is_spared = False
        self._fails_from: tuple[str, int] | None = None

    @property
    def calls(self) -> int:
        """How many calls were made so far."""
        return self._calls

    def fail(self, first: int, number: int, count: int = 1) -> None:
        """Let ``count`` calls fail, from the ``first`` of those that come; 0 is the next."""
        self._failing = range(self._calls + first, self._calls + first + count)
        self._error = number

    def fail_from(self, call: str, number: int) -> None:
        """Let every call fail from the next one of that name on."""
        self._fails_from = call, number

    def work_again(self) -> None:
        """Fail no more."""
        self._failing = range(0)
        self._fails_from = None

    def die(self, at: int) -> None:
        """Let the process be killed at that call; 0 is the next."""
        self._dies_at = self._calls + at

    def live_again(self) -> None:
        """Be the disk of the next process: what the last one had open is closed."""
        for fd in self._open:
            os.close(fd)
        self._open.clear()
        self.is_dead = False
        self._dies_at = -1

    def say(self, what: str, about: str) -> None:
        """Note what the product promised, and when by the clock of the file system."""
        clock = self._pool / "clock"
        clock.touch()
        self.log.append(power.Said(what, about, clock.stat().st_mtime_ns))

    @contextlib.contextmanager
    def spared(self) -> Iterator[None]:
        """Let what is done meanwhile not fail: somebody else does it."""
        self._is_spared = True
        yield
        self._is_spared = False

    def rot(self, path: pathlib.Path) -> None:
        """Flip a bit of a file's first byte: nothing that the product does."""
        with path.open("r+b") as file:
            byte = bytes([file.read(1)[0] ^ 1])
            file.seek(0)
            file.write(byte)
            file.flush()
            found = os.fstat(file.fileno())
        self.log.append(power.Rot(self._numbers[found.st_ino], 0, byte, found.st_mtime_ns))

    def open(self, path: pathlib.Path) -> int:
        self._strike("create", path)
        is_new = not path.exists()
        fd = super().open(path)
        self._open.add(fd)
        if is_new:
            number = self._numbers[os.fstat(fd).st_ino] = len(self._numbers)
            (self._pool / str(number)).hardlink_to(path)
            self.log.append(power.Create(self._name(path), number, _time(fd)))
        return fd

    def reserve(self, fd: int, size: int) -> None:
        self._strike("reserve", fd)
        super().reserve(fd, size)
        self.log.append(power.Reserve(self._number(fd), size, _time(fd)))

    def write(self, fd: int, data: Buffer, offset: int) -> None:
        try:
            self._strike("write", fd)
        except BaseException:
            if not self.is_dead or self._calls == self._dies_at + 1:
                # What fails in the middle of a write has written a part of it.
                self._write(fd, data[: len(data) // 2], offset)
            raise
        self._write(fd, data, offset)

    def _write(self, fd: int, data: Buffer, offset: int) -> None:
        super().write(fd, data, offset)
        self.log.append(power.Write(self._number(fd), offset, bytes(data), _time(fd), len(data)))

    def truncate(self, fd: int) -> None:
        self._strike("truncate", fd)
        super().truncate(fd)
        self.log.append(power.Truncate(self._number(fd), _time(fd)))

    def sync(self, fd: int) -> None:
        try:
            self._strike("sync", fd)
        except OSError:
            self.log.append(power.Sync(self._number(fd), good=False))
            path = pathlib.Path(f"/proc/self/fd/{fd}").readlink()
            if path.parent.name == "objects":
                # It is not trusted any more, and need not be kept.
                self.say("gone", path.name)
            raise
        super().sync(fd)
        self.log.append(power.Sync(self._number(fd), good=True))

    def sync_directory(self, path: pathlib.Path) -> None:
        self._strike("sync directory", path)
        if path.is_relative_to(self.base):
            self.log.append(power.SyncDirectory(self._name(path)))

    def mkdir(self, path: pathlib.Path) -> None:
        self._strike("make directory", path)
        super().mkdir(path)
        self.log.append(power.MakeDirectory(self._name(path)))

    def set_time(self, path: pathlib.Path) -> None:
        self._strike("touch", path)
        super().set_time(path)
        found = path.stat()
        self.log.append(power.SetTime(self._numbers[found.st_ino], found.st_mtime_ns))

    def replace(self, source: pathlib.Path, target: pathlib.Path) -> None:
        self._strike("rename", target)
        number = self._numbers[source.stat().st_ino]
        super().replace(source, target)
        self.log.append(power.Rename(self._name(source), self._name(target), number))

    def remove(self, path: pathlib.Path) -> None:
        self._strike("remove", path)
        if path.exists():
            number = self._numbers[path.stat().st_ino]
            super().remove(path)
            self.log.append(power.Remove(self._name(path), number))

    def close(self, fd: int) -> None:
        super().close(fd)
        self._open.discard(fd)
        self._strike("close", fd)

    def _strike(self, call: str, what: pathlib.Path | int) -> None:
        """Fail, or die, where it is due."""
        if self._is_spared:
            return
        number = self._calls
        self._calls += 1
        if self.is_dead or number == self._dies_at:
            self.is_dead = True
            raise disks.PowerCut(call, what)
        if self._fails_from is not None and self._fails_from[0] == call:
            self.fail(-1, self._fails_from[1], 10**6)
        if number in self._failing:
            self.failed = call
            raise OSError(self._error, os.strerror(self._error), str(what))

    def _number(self, fd: int) -> int:
        return self._numbers[os.fstat(fd).st_ino]

    def _name(self, path: pathlib.Path) -> str:
        name = path.relative_to(self.base).as_posix()
        return "" if name == "." else name


def _time(fd: int) -> int:
    return os.fstat(fd).st_mtime_ns


class Ground:
    """A place on a file system where histories are lived and trees are laid out.

    Attributes:
        lived: where the product works while it is recorded.
        laid: where the tree that a cut left is laid out.
        pool: the second names of all files.
    """

    def __init__(self, place: pathlib.Path) -> None:
        self.lived = place / "lived"
        self.laid = place / "laid"
        self.pool = place / "pool"

    def clear(self) -> None:
        """Make room for another history."""
        for directory in (self.lived, self.laid, self.pool):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)

    def lay(self, tree: power.Tree) -> None:
        """Lay a tree out, over what lay there before."""
        shutil.rmtree(self.laid)
        self.laid.mkdir()
        for path in sorted(tree.directories):
            (self.laid / path).mkdir()
        for path, file in tree.files:
            kept = self.pool / str(file.inode)
            kept.write_bytes(file.content)
            os.utime(kept, ns=(file.time, file.time))
            (self.laid / path).hardlink_to(kept)


Snapshot = dict[str, tuple[int, int, bytes]]


def snapshot(root: pathlib.Path) -> Snapshot:
    """Return inode, time and bytes of every file below ``root``, and its directories."""
    found = Snapshot()
    for directory, names, files in os.walk(root):
        for name in names:
            found[os.path.join(directory, name)] = (0, 0, b"")  # noqa: PTH118 - this is fast
        for name in files:
            path = pathlib.Path(directory, name)
            status = path.stat()
            found[str(path)] = (status.st_ino, status.st_mtime_ns, path.read_bytes())
    return found


def space(root: pathlib.Path) -> int:
    """Return the bytes on the disk that all files below ``root`` take."""
    total = 0
    for directory, _, files in os.walk(root):
        total += sum(pathlib.Path(directory, name).stat().st_blocks * 512 for name in files)
    return total
