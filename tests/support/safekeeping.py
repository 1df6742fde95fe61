"""What lies safe on the disk of a killed controller, and that none of it is fetched again.

A SIGKILL takes what a process had in memory. What it has written the kernel has, and it writes a
block and the block's record in the journal at once, so a kill costs of each transfer at most the
block under way and what the kernel had not handed over. That is held here without any allowance:
between two kills nothing is sent but what was not safe at the first of them.

Both books are kept from outside: the disk is read while nobody runs on it, against the source's
own files, and bytes are counted at the source.
"""

import collections
import contextlib
import hashlib
import pathlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from boot_resources.store import blocks
from support import cloud, towns, witnesses

_RECORD = struct.Struct(">I32sI")


def safe_bytes(root: pathlib.Path, contents: Mapping[str, bytes]) -> dict[str, int]:
    """Return how many bytes of each object lie safe below ``root``, a store's or a cache's.

    An object that the region removed, and keeps for its grace, is safe, too. Of a partial object a
    block is, if it has its record and the right bytes.
    """
    found = {}
    for sha256, content in contents.items():
        if any((root / place / sha256).is_file() for place in ("objects", "removed", "unknown")):
            found[sha256] = len(content)
        else:
            found[sha256] = _safe_of_partial(root / "partial", sha256, content)
    return found


def _safe_of_partial(partial: pathlib.Path, sha256: str, content: bytes) -> int:
    safe = 0
    with contextlib.suppress(FileNotFoundError):
        data = (partial / f"{sha256}.data").read_bytes()
        for index, digest in set(_records((partial / f"{sha256}.journal").read_bytes())):
            start = blocks.block_start(index)
            block = data[start : start + blocks.BLOCK_SIZE]
            right = content[start : start + blocks.BLOCK_SIZE]
            if block == right and hashlib.sha256(block).digest() == digest:
                safe += len(block)
    return safe


def _records(journal: bytes) -> Iterator[tuple[int, bytes]]:
    _, _, records = journal.partition(b"\n")
    whole = len(records) - len(records) % _RECORD.size
    for index, digest, _ in _RECORD.iter_unpack(records[:whole]):
        yield index, digest


class Upstream:
    """The books of a region's lives: what the source sent in each, and what was safe before.

    Attributes:
        lost: bytes that the source sent in a life and that were not safe after it; what the
            region gave up for a newer version is among them.
    """

    def __init__(self, town: towns.Town, payloads: witnesses.Payloads) -> None:
        self.lost = 0
        self._town = town
        self._payloads = payloads
        self._store = town.store
        self._safe: dict[str, int] = {}
        self._sent: collections.Counter[str] = collections.Counter()
        self._shown: dict[str, int] = {}

    def note(self, sync: Mapping[str, Any], version: str) -> None:
        """Remember what a region says is here of the ``version`` that it fetches."""
        for path, (here, _) in sync["fetching"].items():
            if version in path:
                self._shown[self._payloads.names[f"/{path}"]] = here

    def judge(self) -> None:
        """Hold a life that is over, or has come to rest, against what was safe when it began.

        Nothing came that was safe before, and what the region had shown as here is safe now.
        """
        sent = self._count()
        safe = safe_bytes(self._store, self._payloads.bytes)
        for sha256, content in self._payloads.bytes.items():
            came = sent[sha256] - self._sent[sha256]
            before = self._safe.get(sha256, 0)
            assert came <= len(content) - before, (
                f"{sha256}: {came} bytes came, {before} were here"
            )
            assert safe[sha256] >= self._shown.get(sha256, 0), f"{sha256}: less is here than shown"
            self.lost += max(0, before + came - safe[sha256])
        self._safe, self._sent, self._shown = safe, sent, {}

    def _count(self) -> collections.Counter[str]:
        sent: collections.Counter[str] = collections.Counter()
        for path, count in self._town.origin.bytes_by_path.items():
            if path in self._payloads.names:
                sent[self._payloads.names[path]] += count
        return sent


class Fills:
    """The books of a rack's lives, for a cache in which nothing needs to go."""

    def __init__(self, town: towns.Town, payloads: witnesses.Payloads) -> None:
        self._town = town
        self._payloads = payloads
        self._safe: dict[str, int] = {}
        self._dropped = False

    def drop(self) -> None:
        """Note that in this life things are dropped, which may be fetched once more."""
        self._dropped = True

    def close(self) -> None:
        """Read what is safe: the rack was killed."""
        self._safe = safe_bytes(self._town.cache, self._payloads.bytes)
        self._dropped = False

    def halves(self) -> set[str]:
        """Return the objects of which a part was safe when the rack was killed."""
        contents = self._payloads.bytes
        return {each for each, safe in self._safe.items() if 0 < safe < len(contents[each])}

    def judge(self) -> None:
        """Hold what came in this life against what it lacked, unless things were dropped in it.

        Nobody asks for anything now.
        """
        rack = self._town.site.rack
        # A machine has its last byte a moment before the object is whole.
        cloud.wait_until(lambda: not rack.get("/cache")["filling"])
        received = rack.get("/cache")["fill_bytes"]
        safe = safe_bytes(self._town.cache, self._payloads.bytes)
        lacked = sum(safe[sha256] - self._safe.get(sha256, 0) for sha256 in safe)
        assert received == lacked or self._dropped, (
            f"{received} bytes came, and {lacked} were not here"
        )
