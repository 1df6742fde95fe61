"""In which order the cached objects were used, kept in a log so that a restart remembers.

Every use appends the object's 32-byte digest. The order of last uses is thus exact after a stop or
a kill (the kernel has what was written), and at most as old as the last ``sync`` after a power
cut. The log is rewritten, whole or not at all, before it outgrows the objects it speaks of. Where
the disk refuses a write, the order goes on in memory: a full disk must not stop serving.
"""

import collections
import errno
import logging
import pathlib
import threading
from collections.abc import Iterable, Iterator

from boot_resources.store import disk as disks

logger = logging.getLogger(__name__)
_DIGEST = 32
_SLACK = 1024


class Recency:
    """Least recently used first. Used by one thread, save for ``sync``."""

    def __init__(self, disk: disks.Disk, path: pathlib.Path, present: Iterable[str]) -> None:
        """Read the log at ``path``; nothing is written before ``begin``.

        Args:
            disk: the file layer.
            path: the log; made if it is not there.
            present: the objects that are in the cache; one that the log does not name counts as
                the least recently used.
        """
        self._disk = disk
        self._path = path
        here = set(present)
        remembered = [name for name in _read(path) if name in here]
        self._order = collections.OrderedDict[str, None]()
        for name in (*sorted(here - set(remembered)), *remembered):
            self._put_last(name)
        self._unsynced = False
        # Whether the log lacks a use, or an fsync of it failed: then it must be written anew.
        self._is_behind = False
        # Held while the descriptor is replaced or used by another thread's sync.
        self._fd_lock = threading.Lock()
        self._fd = -1
        self._records = 0

    def begin(self) -> None:
        """Start the log anew with what is remembered; call it when there is room on the disk."""
        try:
            self._rewrite()
        except OSError as error:
            logger.warning("the order of use is kept in memory only: %s", error)

    def touch(self, sha256: str) -> None:
        """Note that the object was used now."""
        is_last = bool(self._order) and next(reversed(self._order)) == sha256
        if is_last and not self._is_behind:
            return
        self._put_last(sha256)
        try:
            self._note(sha256)
        except OSError as error:
            logger.warning("the order of use is kept in memory only: %s", error)

    def _note(self, sha256: str) -> None:
        too_long = self._records >= 2 * len(self._order) + _SLACK
        if self._fd < 0 or self._is_behind or too_long:
            self._rewrite()
            return
        try:
            self._disk.write(self._fd, bytes.fromhex(sha256), self._records * _DIGEST)
        except OSError:
            self._is_behind = True
            raise
        self._records += 1
        self._unsynced = True

    def _put_last(self, sha256: str) -> None:
        self._order[sha256] = None
        self._order.move_to_end(sha256)

    def forget(self, sha256: str) -> None:
        """Note that the object is no longer in the cache."""
        self._order.pop(sha256, None)

    def take_back(self, sha256: str) -> None:
        """Note that an object which should have gone is still here, the first to go."""
        self._order[sha256] = None
        self._order.move_to_end(sha256, last=False)

    def oldest_first(self) -> Iterator[str]:
        """Walk through the objects, the least recently used first."""
        return iter(self._order)

    def newest_first(self) -> Iterator[str]:
        """Walk through the objects, the most recently used first."""
        return reversed(self._order)

    def space_at_most(self) -> int:
        """Return the most bytes that the log takes, its rewriting included."""
        return 2 * (2 * len(self._order) + _SLACK) * _DIGEST + 8192

    def sync(self) -> None:
        """Make the order durable, if it changed. May be called by any thread.

        Raises:
            OSError: the disk refused, or did so before; the next use writes all of the log anew.
        """
        with self._fd_lock:
            if self._is_behind:
                raise OSError(errno.EIO, "it waits to be written anew", str(self._path))
            if self._unsynced:
                self._unsynced = False
                try:
                    self._disk.sync(self._fd)
                except OSError:
                    self._is_behind = True
                    raise

    def close(self) -> None:
        """Make the order durable and give the descriptor back."""
        try:
            if self._is_behind:
                self._rewrite()
            self.sync()
        except OSError as error:
            logger.warning("the order of use could not be made durable: %s", error)
        if self._fd >= 0:
            self._disk.release(self._fd)

    def _rewrite(self) -> None:
        with self._fd_lock:
            self._is_behind = True
            self._disk.publish(self._path, b"".join(bytes.fromhex(name) for name in self._order))
            # Only now, for a descriptor that was closed may soon be another file's.
            before, self._fd = self._fd, self._disk.create(self._path)
            if before >= 0:
                self._disk.release(before)
            self._records = len(self._order)
            self._is_behind = self._unsynced = False


def _read(path: pathlib.Path) -> list[str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % _DIGEST
    return [data[at : at + _DIGEST].hex() for at in range(0, whole, _DIGEST)]
