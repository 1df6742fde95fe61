"""In which order the cached objects were used, kept in a log so that a restart remembers.

Every use appends the object's 32-byte digest. The order of last uses is thus exact after a stop or
a kill (the kernel has what was written), and at most as old as the last ``sync`` after a power
cut. The log is rewritten, whole or not at all, before it outgrows the objects it speaks of. Where
the disk refuses a write, the order goes on in memory: a full disk must not stop serving.
"""

import logging
import os
import pathlib
import threading
from collections.abc import Iterable

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
        # A dict keeps its order: popping and setting a key moves it to the end.
        self._order: dict[str, None] = dict.fromkeys(sorted(here - set(remembered)))
        for name in remembered:
            self._order.pop(name, None)
            self._order[name] = None
        self._unsynced = False
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
        if self._order and next(reversed(self._order)) == sha256:
            return
        self._order.pop(sha256, None)
        self._order[sha256] = None
        try:
            self._note(sha256)
        except OSError as error:
            logger.warning("the order of use is kept in memory only: %s", error)

    def _note(self, sha256: str) -> None:
        if self._fd < 0 or self._records >= 2 * len(self._order) + _SLACK:
            self._rewrite()
            return
        self._disk.write(self._fd, bytes.fromhex(sha256), self._records * _DIGEST)
        self._records += 1
        self._unsynced = True

    def forget(self, sha256: str) -> None:
        """Note that the object is no longer in the cache."""
        self._order.pop(sha256, None)

    def oldest_first(self) -> list[str]:
        """Return the objects, the least recently used first."""
        return list(self._order)

    def space_at_most(self) -> int:
        """Return the most bytes that the log takes, its rewriting included."""
        return 2 * (2 * len(self._order) + _SLACK) * _DIGEST + 8192

    def sync(self) -> None:
        """Make the order durable, if it changed. May be called by any thread."""
        with self._fd_lock:
            if self._unsynced:
                self._unsynced = False
                self._disk.sync(self._fd)

    def close(self) -> None:
        """Make the order durable and give the descriptor back."""
        try:
            self.sync()
        except OSError as error:
            logger.warning("the order of use could not be made durable: %s", error)
        if self._fd >= 0:
            os.close(self._fd)

    def _rewrite(self) -> None:
        with self._fd_lock:
            self._disk.publish(self._path, b"".join(bytes.fromhex(name) for name in self._order))
            # Only now, for a descriptor that was closed may soon be another file's.
            before, self._fd = self._fd, self._disk.create(self._path)
            if before >= 0:
                os.close(before)
            self._records = len(self._order)


def _read(path: pathlib.Path) -> list[str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % _DIGEST
    return [data[at : at + _DIGEST].hex() for at in range(0, whole, _DIGEST)]
