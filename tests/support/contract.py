"""What a rack's cache promises, as a model that is a page long: order, victims, bound.

The model decides from what was seen before a request what must be so afterwards. It knows three
numbers of the product: what an object is reckoned to take (``space.on_disk``), what lies beside
the objects (``beside``), and the bound.
"""

import collections
import dataclasses
import enum
import os
import pathlib

from boot_resources.store import blocks, space
from support import cloud as clouds


class Way(enum.StrEnum):
    """How a request must be answered."""

    HIT = "hit"
    FILL = "fill"
    PASS = "pass"


@dataclasses.dataclass
class Held:
    """One object in the cache.

    Attributes:
        space: bytes that it takes.
        whole: whether all of it is here.
        changed: whether its file is not the one that was proved, and can be seen not to be.
    """

    space: int
    whole: bool
    changed: bool = False


class Model:
    """The cache as it must be.

    Attributes:
        held: what is in it, the least recently used first.
        pins: what slow machines are being served, by sha256.
        limit: the bound that was set.
        bound: the bound in force.
        beside: bytes that are taken beside the objects.
    """

    _LOG_BYTES = 2 * 2 * 32
    """What the order's log may take for each object."""

    def __init__(self, limit: int) -> None:
        self.held: collections.OrderedDict[str, Held] = collections.OrderedDict()
        self.pins: collections.Counter[str] = collections.Counter()
        self.limit = limit
        self.bound = limit
        self.beside = 0

    @property
    def used(self) -> int:
        """Bytes that all of it takes."""
        return self.beside + sum(held.space for held in self.held.values())

    def touch(self, sha256: str) -> None:
        """Note that it was used now."""
        if sha256 in self.held:
            self.held.move_to_end(sha256)

    def forget(self, sha256: str) -> None:
        """Note that it is not there any more."""
        if self.held.pop(sha256, None) is not None:
            self.beside -= self._LOG_BYTES

    def requested(self, sha256: str, size: int) -> Way:
        """Decide what comes of a request for an object that is listed and that regions give."""
        held = self.held.get(sha256)
        if held is not None and held.whole:
            if not held.changed:
                self.touch(sha256)
                return Way.HIT
            self.forget(sha256)
        return self._brought(sha256, size)

    def _brought(self, sha256: str, size: int) -> Way:
        self.touch(sha256)
        there = self.held[sha256].space if sha256 in self.held else 0
        needed = max(0, space.on_disk(size) - there)
        in_use = {*self.pins, sha256} & set(self.held)
        if self.beside + sum(self.held[name].space for name in in_use) + needed > self.limit:
            return Way.PASS
        self._evict(self.used + needed - self.limit, {*self.pins, sha256})
        if sha256 not in self.held:
            self.beside += self._LOG_BYTES
        self.held[sha256] = Held(there + needed, whole=True)
        self.touch(sha256)
        return Way.FILL

    def trim(self) -> None:
        """Let go what is too much and not in use."""
        self._evict(self.used - self.limit, set(self.pins))

    def _evict(self, excess: int, pinned: set[str]) -> None:
        for sha256 in list(self.held):
            if excess <= 0:
                break
            if sha256 not in pinned:
                excess -= self.held[sha256].space
                self.forget(sha256)

    def seen(self, used: int) -> None:
        """Note what it takes now: while it shrinks, the bound in force falls with that."""
        self.bound = max(self.limit, min(self.bound, used))


def beside(cache: pathlib.Path, entries: int) -> int:
    """Return, from outside, what must count beside the objects of a cache directory."""
    taken = cache.stat().st_blocks * 512
    for entry in os.scandir(cache):
        if entry.name != "order.log" and not entry.name.startswith("."):
            size = entry.stat().st_blocks * 512
            # A file is written aside before it is replaced.
            taken += size if entry.is_dir() else 2 * size
    return taken + 2 * (2 * entries + 1024) * 32 + 8192


def space_on(cache: pathlib.Path, sha256: str) -> int:
    """Return, from outside, what an object takes, whole or in part."""
    places = [f"objects/{sha256}", f"facts/{sha256}"]
    places += [f"partial/{sha256}.data", f"partial/{sha256}.journal"]
    found = (cache / place for place in places)
    return sum(path.stat().st_blocks * 512 for path in found if path.exists())


def safe_blocks(cache: pathlib.Path, sha256: str, content: bytes) -> set[int]:
    """Return, from outside, the blocks of a half-filled object that are right and recorded."""
    data = cache / "partial" / f"{sha256}.data"
    journal = cache / "partial" / f"{sha256}.journal"
    if not (data.exists() and journal.exists()):
        return set()
    here, recorded = data.read_bytes(), journal.read_bytes()
    block_map = clouds.map_of(content)
    safe = set()
    for index in range(blocks.block_count(len(content))):
        part = slice(index * blocks.BLOCK_SIZE, (index + 1) * blocks.BLOCK_SIZE)
        record = index.to_bytes(4, "big") + block_map.expects(index)
        if here[part] == content[part] and record in recorded:
            safe.add(index)
    return safe


def all_blocks(content: bytes) -> set[int]:
    """Return the indexes of the blocks of an object."""
    return set(range(blocks.block_count(len(content))))
