"""Is there room, before the first byte.

Everything that is still missing is held against what is free now, less a reserve that is left to
the rest of the host (logs, databases). Partial objects have their space already: only what they do
not hold reserved yet counts.
"""

import dataclasses
import os
import pathlib

from boot_resources import errors, units

OVERHEAD = 16 * units.KIB
"""Bytes an object takes beside its own, for facts, journal and rounding."""
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
    """

    path: pathlib.Path
    needed: int
    free: int
    reserve: int

    @property
    def lacking(self) -> int:
        """Bytes that are missing; 0 where everything fits."""
        return max(0, self.needed + self.reserve - self.free) if self.needed else 0

    def require(self) -> None:
        """Do nothing where everything fits.

        Raises:
            NotEnoughSpace: naming the path and the bytes needed, free and missing.
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


def on_disk(size: int) -> int:
    """Return an upper bound of the bytes that an object of ``size`` bytes takes on a disk."""
    return size + size // _PER_OBJECT_BYTE + OVERHEAD


def room(path: pathlib.Path, needed: int, reserve: int) -> Room:
    """Return what is free at ``path`` beside what is needed there."""
    found = os.statvfs(path)
    return Room(path, needed, found.f_bavail * found.f_frsize, reserve)
