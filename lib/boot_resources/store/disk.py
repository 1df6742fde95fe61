"""The one small layer through which the store and the cache write to a disk.

Always true: a file that others may read under its final name is written aside, made durable,
renamed, and its directory made durable, in that order (``publish``). So a crash at any
instruction, or a power cut after any write, leaves the old state or the new. A failed ``fsync``
is never retried on the same data: after it the kernel may have dropped the pages and marked them
clean, so the caller must discard the file and fetch it again.

Tests replace a ``Disk`` by one that records, tears or fails its calls; nothing else in the store
or the cache calls the operating system to change a file.
"""

import os
import pathlib

READABLE_BY_OWNER = 0o640


class Disk:
    """The operating system's files, with the calls that change them in one place."""

    def create(self, path: pathlib.Path, size: int = 0) -> int:
        """Create or open ``path`` for reading and writing; return its descriptor.

        With a ``size`` the file gets exactly that size and its space is really reserved, so
        that writing it cannot end in a full disk.

        Raises:
            OSError: ``ENOSPC`` where the space is not there; the file is then removed again.
        """
        existed = path.exists()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, READABLE_BY_OWNER)
        try:
            if size:
                os.ftruncate(fd, size)
                os.posix_fallocate(fd, 0, size)
        except OSError:
            os.close(fd)
            if not existed:
                path.unlink()
            raise
        return fd

    def write(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        view = memoryview(data)
        while view:
            written = os.pwrite(fd, view, offset)
            view = view[written:]
            offset += written

    def truncate(self, fd: int) -> None:
        """Empty a file."""
        os.ftruncate(fd, 0)

    def sync(self, fd: int) -> None:
        """Make the file's bytes and size durable. A failure is final for these bytes."""
        os.fsync(fd)

    def sync_directory(self, path: pathlib.Path) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def make_directory(self, path: pathlib.Path) -> None:
        """Make a directory whose parent is there, and its name durable; it may be there."""
        if not path.is_dir():
            path.mkdir(exist_ok=True)
            self.sync_directory(path.parent)

    def touch(self, path: pathlib.Path) -> None:
        """Set a file's time to now."""
        os.utime(path)

    def rename(self, source: pathlib.Path, target: pathlib.Path) -> None:
        """Give a file another name in one step, and make both directories durable."""
        source.rename(target)
        self.sync_directory(target.parent)
        if source.parent != target.parent:
            self.sync_directory(source.parent)

    def remove(self, path: pathlib.Path) -> None:
        """Remove a file if it is there. Not made durable: a removal may be repeated."""
        path.unlink(missing_ok=True)

    def publish(self, path: pathlib.Path, data: bytes) -> None:
        """Put ``data`` under ``path``, whole or not at all, over what was there before."""
        aside = path.with_name(f".{path.name}.new")
        try:
            fd = self.create(aside)
            try:
                self.truncate(fd)
                self.write(fd, data, 0)
                self.sync(fd)
            finally:
                os.close(fd)
            self.rename(aside, path)
        except OSError:
            self.remove(aside)
            raise
