"""The facts about a whole object, in a small file beside it.

They are what a proof leaves behind: the size, the block map, when it was proved, and what the
file was at that moment (modification time and inode), so that a start need not hash everything
again to see that nobody touched the object since. They need no database to be read.
"""

import dataclasses
import datetime
import hashlib
import json
import os

from boot_resources import errors
from boot_resources.store import blocks

_FORMAT = 1


class BadFacts(errors.BootResourcesError):
    """The facts file is damaged; the object must be proved again by hashing it."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a proved object.

    Attributes:
        sha256: the object's name.
        block_map: its block map, which also has the size.
        mtime_ns: the file's modification time when it was proved, nanoseconds.
        inode: the file's inode when it was proved.
        proved: when it was proved.
    """

    sha256: str
    block_map: blocks.BlockMap
    mtime_ns: int
    inode: int
    proved: datetime.datetime

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self.block_map.size

    def describe(self, found: os.stat_result) -> bool:
        """Return whether the file is, by size, time and inode, the one that was proved."""
        return (found.st_size, found.st_mtime_ns, found.st_ino) == (
            self.size,
            self.mtime_ns,
            self.inode,
        )

    def to_bytes(self) -> bytes:
        """Return the file's content: one JSON line, then the block map."""
        body = self.block_map.to_bytes()
        head = {
            "format": _FORMAT,
            "sha256": self.sha256,
            "mtime_ns": self.mtime_ns,
            "inode": self.inode,
            "proved": self.proved.isoformat(),
            "map": hashlib.sha256(body).hexdigest(),
        }
        return json.dumps(head).encode() + b"\n" + body

    @classmethod
    def from_bytes(cls, data: bytes) -> "Facts":
        """Return the facts that ``to_bytes`` wrote.

        Raises:
            BadFacts: where the bytes are not, or no longer, facts.
        """
        line, _, body = data.partition(b"\n")
        try:
            head = json.loads(line)
            if head["format"] != _FORMAT or head["map"] != hashlib.sha256(body).hexdigest():
                raise BadFacts("the facts about an object are damaged")
            return cls(
                sha256=head["sha256"],
                block_map=blocks.BlockMap.from_bytes(body),
                mtime_ns=head["mtime_ns"],
                inode=head["inode"],
                proved=datetime.datetime.fromisoformat(head["proved"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadFacts(f"the facts about an object are damaged: {error}") from error
