"""Disks that watch what the store does to them, that refuse, and that lose their power.

Each is the product's own file layer over real files; only calls that change a file count.
"""

import errno
import os
import pathlib
from collections.abc import Callable

from boot_resources.store import disk

Watch = Callable[[str, pathlib.Path], None]
"""Called before each call with its name and its path (of a rename, the target)."""


class PowerCut(BaseException):
    """The process ends here: nothing that handles errors gets to see it."""


class WatchedDisk(disk.Disk):
    """A disk that tells of every call before it makes it."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def open(self, path: pathlib.Path) -> int:
        self._watch("create", path)
        return super().open(path)

    def reserve(self, fd: int, size: int) -> None:
        self._watch("reserve", _path_of(fd))
        super().reserve(fd, size)

    def write(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        try:
            self._watch("write", _path_of(fd))
        except BaseException:
            # What fails, or is cut off, in the middle of a write has written a part of it.
            super().write(fd, data[: len(data) // 2], offset)
            raise
        super().write(fd, data, offset)

    def truncate(self, fd: int) -> None:
        self._watch("truncate", _path_of(fd))
        super().truncate(fd)

    def sync(self, fd: int) -> None:
        self._watch("sync", _path_of(fd))
        super().sync(fd)

    def sync_directory(self, path: pathlib.Path) -> None:
        self._watch("sync directory", path)
        super().sync_directory(path)

    def mkdir(self, path: pathlib.Path) -> None:
        self._watch("make directory", path)
        super().mkdir(path)

    def set_time(self, path: pathlib.Path) -> None:
        self._watch("touch", path)
        super().set_time(path)

    def replace(self, source: pathlib.Path, target: pathlib.Path) -> None:
        self._watch("rename", target)
        super().replace(source, target)

    def remove(self, path: pathlib.Path) -> None:
        self._watch("remove", path)
        super().remove(path)

    def close(self, fd: int) -> None:
        path = _path_of(fd)
        # Linux closes a descriptor also where close(2) fails.
        super().close(fd)
        self._watch("close", path)


class Recorder(WatchedDisk):
    """A disk that keeps a list of what was done to it: ``(call, path)``."""

    def __init__(self) -> None:
        super().__init__(lambda call, path: self.calls.append((call, path)))
        self.calls: list[tuple[str, pathlib.Path]] = []


class Refusing(WatchedDisk):
    """A disk whose ``nth`` call fails, the first being number 0.

    Attributes:
        failed: whether it came to that.
        call: the call that failed.
    """

    def __init__(self, nth: int, number: int = errno.EIO) -> None:
        super().__init__(self._count)
        self.fail_at(nth)
        self._number = number
        self.failed = False
        self.call = ""

    def fail_at(self, nth: int) -> None:
        """Count anew from here."""
        self._left = nth

    def _count(self, call: str, path: pathlib.Path) -> None:
        self._left -= 1
        if self._left == -1:
            self.failed = True
            self.call = call
            raise OSError(self._number, os.strerror(self._number), str(path))


class Full(WatchedDisk):
    """A disk without space for another file.

    Attributes:
        full: whether it is; it can be changed at any time.
    """

    def __init__(self) -> None:
        super().__init__(self._refuse)
        self.full = False

    def _refuse(self, call: str, path: pathlib.Path) -> None:
        if self.full and call == "create":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


class Keeping(WatchedDisk):
    """A disk that removes nothing.

    Attributes:
        keeps: whether that is so; it can be changed at any time.
    """

    def __init__(self) -> None:
        super().__init__(self._refuse)
        self.keeps = False

    def _refuse(self, call: str, path: pathlib.Path) -> None:
        if self.keeps and call == "remove" and path.exists():
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


class ReadOnly(WatchedDisk):
    """A disk that takes no change, as one that the kernel mounted read-only after errors.

    What is there already may be opened, made durable and closed.
    """

    def __init__(self) -> None:
        super().__init__(self._refuse)

    def _refuse(self, call: str, path: pathlib.Path) -> None:
        harmless = call in ("sync", "sync directory", "remove", "close") or (
            call in ("create", "make directory") and path.exists()
        )
        if not harmless:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def remove(self, path: pathlib.Path) -> None:
        if path.exists():
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


class Dying(WatchedDisk):
    """A disk on which the process is killed at the ``nth`` call, the first being number 0.

    Attributes:
        dead: whether it came to that.
    """

    def __init__(self, nth: int) -> None:
        super().__init__(self._count)
        self.die_at(nth)
        self.dead = False

    def die_at(self, nth: int) -> None:
        """Count anew from here."""
        self._left = nth

    def _count(self, call: str, path: pathlib.Path) -> None:
        self._left -= 1
        if self._left < 0:
            self.dead = True
            raise PowerCut(call, path)


def _path_of(fd: int) -> pathlib.Path:
    return pathlib.Path(f"/proc/self/fd/{fd}").readlink()
