"""Blocks of an object, and its block map: the unit that is hashed, checked, sent and resumed.

An object of ``size`` bytes has ``ceil(size / 1 MiB)`` blocks; the last may be shorter, an empty
object has none. The block map is the list of their sha256. It is derived from an object that was
proved, and is as much worth as that proof: a map from elsewhere is provisional.
"""

import dataclasses
import functools
import hashlib
import struct
from collections.abc import Iterator

from boot_resources import errors

BLOCK_SIZE = 1024 * 1024
_DIGEST_SIZE = 32
_SIZE_PREFIX = struct.Struct(">Q")


class BadBlockMap(errors.BootResourcesError):
    """Bytes that claim to be a block map and are not one."""


def block_count(size: int) -> int:
    """Return how many blocks an object of ``size`` bytes has."""
    return -(-size // BLOCK_SIZE)


def block_start(index: int) -> int:
    """Return the offset of the first byte of block ``index``."""
    return index * BLOCK_SIZE


def block_length(index: int, size: int) -> int:
    """Return the number of bytes of block ``index`` of an object of ``size`` bytes."""
    return min(BLOCK_SIZE, size - index * BLOCK_SIZE)


def blocks_of_range(start: int, stop: int) -> range:
    """Return the indexes of the blocks that hold the bytes [start, stop)."""
    return range(start // BLOCK_SIZE, block_count(stop)) if stop > start else range(0)


def runs(indexes: Iterator[int] | range) -> Iterator[range]:
    """Join ascending block indexes into contiguous runs."""
    first = last = -1
    for index in indexes:
        if first < 0:
            first = index
        elif index != last + 1:
            yield range(first, last + 1)
            first = index
        last = index
    if first >= 0:
        yield range(first, last + 1)


@dataclasses.dataclass(frozen=True)
class BlockMap:
    """The sha256 of every block of one object.

    Attributes:
        size: bytes of the object.
        digests: 32 bytes for each block, in order, joined.
    """

    size: int
    digests: bytes

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.digests) != block_count(self.size) * _DIGEST_SIZE:
            raise BadBlockMap(
                f"a block map of {len(self.digests)} bytes does not fit an object of "
                f"{self.size} bytes"
            )

    def expects(self, index: int) -> bytes:
        """Return the sha256 that block ``index`` must have."""
        return self.digests[index * _DIGEST_SIZE : (index + 1) * _DIGEST_SIZE]

    def to_bytes(self) -> bytes:
        """Return the form in which a map lies on disk and crosses the wire."""
        return _SIZE_PREFIX.pack(self.size) + self.digests

    @classmethod
    def from_bytes(cls, data: bytes) -> "BlockMap":
        """Return the map that ``to_bytes`` wrote.

        Raises:
            BadBlockMap: where the bytes are not a map.
        """
        if len(data) < _SIZE_PREFIX.size:
            raise BadBlockMap(f"{len(data)} bytes are too few for a block map")
        (size,) = _SIZE_PREFIX.unpack_from(data)
        return cls(size, bytes(data[_SIZE_PREFIX.size :]))

    @functools.cached_property
    def digest(self) -> str:
        """The sha256 of the map itself: what the first prover records, and others must match."""
        return hashlib.sha256(self.to_bytes()).hexdigest()
