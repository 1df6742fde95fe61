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


@dataclasses.dataclass(frozen=True, slots=True)
class Stamp:
    """What a file was at the moment of its proof.

    Attributes:
        size: bytes.
        mtime_ns: modification time, nanoseconds.
        inode: the inode.
    """

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> "Stamp":
        """Return the stamp of a file as it is now."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """The little of a proof that is told to others.

    Attributes:
        size: bytes of the object.
        map_digest: sha256 of its block map.
    """

    size: int
    map_digest: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a proved object.

    Attributes:
        sha256: the object's name.
        block_map: its block map.
        stamp: what the file was when it was proved.
        proved: when that was.
    """

    sha256: str
    block_map: blocks.BlockMap
    stamp: Stamp
    proved: datetime.datetime

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self.block_map.size

    @property
    def proof(self) -> Proof:
        """What is told to others of this proof."""
        return Proof(self.size, self.block_map.digest)

    def to_bytes(self) -> bytes:
        """Return the file's content: one JSON line, then the block map."""
        body = self.block_map.to_bytes()
        head = {
            "format": _FORMAT,
            "sha256": self.sha256,
            "mtime_ns": self.stamp.mtime_ns,
            "inode": self.stamp.inode,
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
            block_map = blocks.BlockMap.from_bytes(body)
            return cls(
                sha256=head["sha256"],
                block_map=block_map,
                stamp=Stamp(block_map.size, head["mtime_ns"], head["inode"]),
                proved=datetime.datetime.fromisoformat(head["proved"]),
            )
        except (ValueError, KeyError, TypeError, blocks.BadBlockMap) as error:
            raise BadFacts(f"the facts about an object are damaged: {error}") from error
