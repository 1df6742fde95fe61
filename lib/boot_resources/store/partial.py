"""A partial object: really reserved space, the blocks that are here, and their journal.

Always true: a block counts only after its bytes are in the file and, where a block map is known,
after they matched it. The sha256 over all bytes, in order, is kept up as blocks arrive (those that
came ahead are read back, normally from the page cache); only when it equals the object's name is
the object *proved*. A crash leaves the file and its journal; ``open`` rehashes what the journal
claims, writes it once more and goes on from there.

Several threads may write blocks at once (the same block only where a block map makes sure that
they write the same bytes); everything else is for the one owner of the object.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import threading
from collections.abc import Iterator, Mapping

from boot_resources import errors
from boot_resources.store import blocks, journal
from boot_resources.store import disk as disks

Buffer = bytes | bytearray | memoryview


class WrongBlock(errors.BootResourcesError):
    """The bytes offered for a block are not those that its block map names."""


class WrongObject(errors.BootResourcesError):
    """All bytes are here and their sha256 is not the object's name."""


@dataclasses.dataclass(frozen=True)
class Paths:
    """Where a partial object lies."""

    data: pathlib.Path
    journal: pathlib.Path


class Partial:
    """One object on its way in.

    Attributes:
        sha256: its name, which all its bytes must have as their hash.
        size: bytes of the whole object.
        fd: descriptor of the data file, open for reading; valid until ``close``.
    """

    def __init__(
        self,
        disk: disks.Disk,
        paths: Paths,
        header: journal.Header,
        block_map: blocks.BlockMap | None = None,
    ) -> None:
        """Open what is here of the object, or reserve the space for all of it.

        Args:
            disk: the file layer.
            paths: the data file and the journal; both are made if they are not there.
            header: the object's name and size.
            block_map: where it is known, every block is held against it.

        Raises:
            OSError: ``ENOSPC`` where there is no space for the whole object.
        """
        self.sha256 = header.sha256
        self.size = header.size
        self._disk = disk
        self._paths = paths
        self._map = block_map
        self._lock = threading.Lock()
        self._proof_lock = threading.Lock()
        self._digests: list[bytes | None] = [None] * blocks.block_count(header.size)
        self._held = 0
        self._whole = hashlib.sha256()
        self._hashed = 0
        with contextlib.ExitStack() as opened:
            self.fd = disk.create(paths.data, header.size)
            opened.callback(disk.release, self.fd)
            self._journal = journal.Journal(disk, paths.journal, header)
            opened.callback(self._journal.close)
            self._take_up(self._journal.claims)
            self._descriptors = opened.pop_all()

    def _take_up(self, claims: dict[int, bytes]) -> None:
        """Count the blocks that the journal claims and the file has.

        They are written once more: where an fsync failed before, and the bytes could not be
        discarded, they lie in memory as if they were on the disk, and no later fsync would write
        them.
        """
        for index, digest in sorted(claims.items()):
            if index >= len(self._digests):
                continue
            try:
                data = self.read(index)
                found = hashlib.sha256(data).digest()
                if found == digest and (self._map is None or found == self._map.expects(index)):
                    self._disk.write(self.fd, data, blocks.block_start(index))
                    self._digests[index] = digest
                    self._held += 1
            except OSError:
                # The disk cannot read or take it: it is not here, and comes again.
                continue

    def __contains__(self, index: int) -> bool:
        """Return whether block ``index`` is here, checked."""
        return self._digests[index] is not None

    @property
    def whole(self) -> bool:
        """Whether every block is here."""
        return self._held == len(self._digests)

    @property
    def held_bytes(self) -> int:
        """Bytes of the blocks that are here."""
        if not self._digests:
            return 0
        last = len(self._digests) - 1
        short = blocks.BLOCK_SIZE - blocks.block_length(last, self.size)
        return self._held * blocks.BLOCK_SIZE - (short if last in self else 0)

    def missing(self) -> Iterator[range]:
        """Return the contiguous runs of blocks that are not here."""
        return blocks.runs(i for i, digest in enumerate(self._digests) if digest is None)

    def read(self, index: int) -> bytes:
        """Return the bytes that the file has in the place of block ``index``."""
        length = blocks.block_length(index, self.size)
        return os.pread(self.fd, length, blocks.block_start(index))

    def write(self, index: int, data: Buffer) -> None:
        """Check, write and record block ``index``. A block that is here may be written again.

        Raises:
            WrongBlock: the bytes are not those of the block map, or not as many.
            OSError: the disk refused; nothing of the block counts.
        """
        if len(data) != blocks.block_length(index, self.size):
            raise WrongBlock(f"block {index} of {self.sha256[:12]} came with {len(data)} bytes")
        digest = hashlib.sha256(data).digest()
        if self._map is not None and digest != self._map.expects(index):
            raise WrongBlock(f"block {index} of {self.sha256[:12]} is not what its map names")
        before = self._digests[index]
        if before == digest:
            return
        if before is not None:
            self._forget(index)
        self._disk.write(self.fd, data, blocks.block_start(index))
        with self._lock:
            if self._digests[index] is None:
                self._journal.append(index, digest)
                self._held += 1
            self._digests[index] = digest
        # One thread at a time carries the hash on; the others need not wait for it, because
        # `prove` carries it to the end.
        if self._proof_lock.acquire(blocking=False):
            try:
                self._hash_on({index: data})
            finally:
                self._proof_lock.release()

    def _forget(self, index: int) -> None:
        """Take back a block that is here and is about to get other bytes."""
        with self._proof_lock, self._lock:
            self._digests[index] = None
            self._held -= 1
            if index < self._hashed:
                # What was hashed so far is no longer what lies in the file.
                self._whole = hashlib.sha256()
                self._hashed = 0

    def _hash_on(self, at_hand: Mapping[int, Buffer]) -> None:
        """Hash in order as far as there is no gap; blocks that came ahead are read back."""
        while self._hashed < len(self._digests) and self._hashed in self:
            index = self._hashed
            self._whole.update(at_hand[index] if index in at_hand else self.read(index))
            self._hashed += 1

    def prove(self) -> blocks.BlockMap:
        """Hash all bytes in order, and return the block map of the proved object.

        Raises:
            WrongObject: a block is missing, or the bytes are not the object's; nothing is removed.
        """
        with self._proof_lock:
            self._hash_on({})
            if self._hashed < len(self._digests):
                raise WrongObject(f"object {self.sha256[:12]} lacks block {self._hashed}")
            found = self._whole.hexdigest()
        if found != self.sha256:
            raise WrongObject(
                f"the {self.size} bytes that came for object {self.sha256[:12]} have the sha256 "
                f"{found[:12]}",
                "nothing of it is served; it is fetched again",
            )
        return blocks.BlockMap(self.size, b"".join(digest for digest in self._digests if digest))

    def settle(self) -> os.stat_result:
        """Make the bytes durable and return what the file is; call before giving it its name.

        Raises:
            OSError: the bytes cannot be trusted any more; ``discard`` them and fetch again.
        """
        self._disk.sync(self.fd)
        return os.fstat(self.fd)

    def move_to(self, target: pathlib.Path) -> None:
        """Give the data file its final name, and drop the journal."""
        self._disk.rename(self._paths.data, target)
        self._disk.remove(self._paths.journal)

    def close(self) -> None:
        """Give the descriptors back; the blocks that are here stay for a later ``open``."""
        self._descriptors.close()

    def discard(self) -> None:
        """Remove all that came, and give the descriptors back."""
        try:
            self._disk.remove(self._paths.journal)
            self._disk.remove(self._paths.data)
        finally:
            self.close()
