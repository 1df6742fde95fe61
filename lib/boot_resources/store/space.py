"""Is there room, before the first byte.

Everything that is still missing is held against what is free now, less a reserve that is left to
the rest of the host (logs, databases). Partial objects have their space already: only what they do
not hold reserved yet counts. A file system may also run out of files that it can hold (inodes)
while most of its bytes are free; where it has such a limit, that is looked at, too.
"""

import dataclasses
import os
import pathlib

from boot_resources import errors, units

OVERHEAD = 16 * units.KIB
"""Bytes an object takes beside its own, for facts, journal and rounding."""
FILES = 3
"""Files that an object takes at most: its bytes, its facts and, on the way, its journal."""
_PER_OBJECT_BYTE = 8192
"""Facts (32 bytes a MiB) and journal (40 bytes a MiB) take less than a byte for this many."""


class NotEnoughSpace(errors.BootResourcesError):
    """What is missing does not fit on the disk."""


@dataclasses.dataclass(frozen=True)
class Room:
    """What is needed somewhere, and what is there.

    Attributes:
        path: the directory.
        needed: bytes that the missing objects take.
        free: bytes that the file system has free for us.
        reserve: bytes of these that stay free.
        files_needed: files that the missing objects take.
        files_free: files that the file system can still hold; None where it has no such limit.
    """

    path: pathlib.Path
    needed: int
    free: int
    reserve: int
    files_needed: int = 0
    files_free: int | None = None

    @property
    def lacking(self) -> int:
        """Bytes that are missing; 0 where everything fits."""
        return max(0, self.needed + self.reserve - self.free) if self.needed else 0

    @property
    def files_lacking(self) -> int:
        """Files that are too many for the file system; 0 where all fit."""
        return 0 if self.files_free is None else max(0, self.files_needed - self.files_free)

    @property
    def is_enough(self) -> bool:
        """Whether everything fits."""
        return not self.lacking and not self.files_lacking

    def require(self) -> None:
        """Do nothing where everything fits.

        Raises:
            NotEnoughSpace: naming the path and the bytes, or files, needed, free and missing.
        """
        if self.lacking:
            raise NotEnoughSpace(
                f"not enough disk space in {self.path}: {units.format_size(self.needed)} needed "
                f"and {units.format_size(self.reserve)} to be left free, "
                f"{units.format_size(self.free)} free, "
                f"{units.format_size(self.lacking)} missing ({self.lacking} bytes)",
                "free that much there, select fewer images, or lower storage.reserve; "
                "the sync goes on by itself",
            )
        if self.files_lacking:
            raise NotEnoughSpace(
                f"not enough inodes in {self.path}: {self.files_needed} files needed, "
                f"{self.files_free} more can be made there, {self.files_lacking} missing",
                "remove files there, or make its file system anew with more inodes; the sync goes "
                "on by itself",
            )


def on_disk(size: int) -> int:
    """Return an upper bound of the bytes that an object of ``size`` bytes takes on a disk."""
    return size + size // _PER_OBJECT_BYTE + OVERHEAD


def room(path: pathlib.Path, needed: int, reserve: int, objects: int = 0) -> Room:
    """Return what is free at ``path`` beside what is needed there, by ``objects`` new objects."""
    found = os.statvfs(path)
    # A file system that makes inodes as it needs them says that it has none at all.
    files_free = found.f_favail if found.f_files else None
    free = found.f_bavail * found.f_frsize
    return Room(path, needed, free, reserve, FILES * objects, files_free)
