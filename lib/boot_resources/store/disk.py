"""The one small layer through which the store and the cache write to a disk.

Always true: a file that others may read under its final name is written aside, made durable,
renamed, and its directory made durable, in that order (``publish``). So a crash at any
instruction, or a power cut after any write, leaves the old state or the new. A failed ``fsync``
is never retried on the same data: after it the kernel may have dropped the pages and marked them
clean, so the caller must discard the file and fetch it again.

What this takes for granted is what ext4, XFS and Btrfs give: a rename happens or does not, also
from one directory to another; ``fsync`` of a file makes its bytes, size and time durable and not
its name; ``fsync`` of a directory makes its names durable.

``Calls`` is the operating system: one method a call that changes a file. Tests replace them to
record, tear or fail them; nothing else in the store or the cache changes a file. ``Disk`` is what
the store and the cache say to it.
"""

import errno
import logging
import os
import pathlib

from boot_resources.store import regular

logger = logging.getLogger(__name__)
READABLE_BY_OWNER = 0o640
_CANNOT_CONFIRM = frozenset({errno.EROFS, errno.EACCES, errno.EINVAL, errno.ENOTSUP})
"""What fsync(2) and open(2) say of a directory whose names are not ours to make durable."""


class Calls:
    """The operating system's calls that change a file, one each."""

    def open(self, path: pathlib.Path) -> int:
        """Open a file for reading and writing; it is made if it is not there.

        Raises:
            OSError: ``ELOOP`` where ``path`` is a symbolic link: it is not followed.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, READABLE_BY_OWNER)

    def reserve(self, fd: int, size: int) -> None:
        """Give a file exactly ``size`` bytes (above 0), and really their space."""
        os.ftruncate(fd, size)
        os.posix_fallocate(fd, 0, size)

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
        """Make the file's bytes, size and time durable. A failure is final for these bytes."""
        os.fsync(fd)

    def sync_directory(self, path: pathlib.Path) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def mkdir(self, path: pathlib.Path) -> None:
        """Make a directory; it may be there."""
        path.mkdir(exist_ok=True)

    def set_time(self, path: pathlib.Path) -> None:
        """Set a file's time to now; of a symbolic link, its own."""
        os.utime(path, follow_symlinks=False)

    def replace(self, source: pathlib.Path, target: pathlib.Path) -> None:
        """Give a file another name, in the place of what had that name."""
        source.replace(target)

    def remove(self, path: pathlib.Path) -> None:
        """Remove a file if it is there. Not made durable: a removal may be repeated."""
        path.unlink(missing_ok=True)

    def close(self, fd: int) -> None:
        """Close a descriptor; on Linux it is closed even where this fails (close(2))."""
        os.close(fd)


class Disk(Calls):
    """The operating system's files, with all that changes them in one place."""

    def create(self, path: pathlib.Path, size: int = 0) -> int:
        """Create or open ``path`` for reading and writing; return its descriptor.

        With a ``size`` the file gets exactly that size and its space is really reserved, so
        that writing it cannot end in a full disk.

        Raises:
            OSError: ``ENOSPC`` where the space is not there; the file is then removed again.
        """
        existed = path.exists()
        fd = self.open(path)
        try:
            if size:
                self.reserve(fd, size)
        except OSError:
            self.release(fd)
            if not existed:
                self.remove(path)
            raise
        return fd

    def release(self, fd: int) -> None:
        """Give a descriptor back.

        What must be durable was synced before this, and nothing was promised of the rest; so a
        failure has nothing to add, and is logged.
        """
        try:
            self.close(fd)
        except OSError as error:
            logger.warning("closing a file failed, after all of it was done: %s", error)

    def make_directory(self, path: pathlib.Path) -> None:
        """Make a directory whose parent is there, and its name durable; it may be there."""
        if path.is_dir():
            self.confirm(path.parent)
        else:
            self.mkdir(path)
            self.sync_directory(path.parent)

    def confirm(self, path: pathlib.Path) -> None:
        """Make names in a directory durable that we found there, before anything rests on them.

        Whoever made them may have been killed before that. Where we cannot, because the disk takes
        no change, its file system knows no such thing (autofs, squashfs) or the directory is not
        ours, nothing of ours will rest on them.
        """
        try:
            self.sync_directory(path)
        except OSError as error:
            if error.errno not in _CANNOT_CONFIRM:
                raise

    def touch(self, path: pathlib.Path) -> None:
        """Set a file's time to now, durably; of what is no regular file, not durably."""
        self.set_time(path)
        if regular.look(path) is not None:
            fd = regular.open_to_read(path)
            try:
                self.sync(fd)
            finally:
                self.release(fd)

    def rename(self, source: pathlib.Path, target: pathlib.Path) -> None:
        """Give a file another name in one step, and make both directories durable."""
        self.replace(source, target)
        self.sync_directory(target.parent)
        if source.parent != target.parent:
            self.sync_directory(source.parent)

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
                self.release(fd)
            self.rename(aside, path)
        except OSError:
            self.remove(aside)
            raise
