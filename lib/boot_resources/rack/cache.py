"""The cache: objects on the disk, never more than the bound, least recently used going first.

Always true: ``used`` is the space (``st_blocks``) of all whole and partial objects, their facts
and journals, the index and the directories; a new object is admitted only after there is room for
all of it below the bound. What is being served or filled is pinned and never goes. The set of
whole objects is what lies in ``objects/``, so it survives anything; a smaller bound at a restart
makes room, it does not stop the start.

All methods belong to the event loop's thread, except where they say otherwise.
"""

import asyncio
import collections
import dataclasses
import logging
import os
import pathlib
from collections.abc import Iterable

from boot_resources.rack import recency
from boot_resources.store import blocks, facts, identity, objects, partial, space
from boot_resources.store import disk as disks

logger = logging.getLogger(__name__)
_ORDER_LOG = "order.log"


@dataclasses.dataclass
class Entry:
    """One object that takes space: how many bytes, and whether it is whole."""

    space: int
    whole: bool
    stamp: facts.Stamp | None = None


@dataclasses.dataclass(frozen=True)
class Usage:
    """How full the cache is; sizes in bytes.

    Attributes:
        limit: the bound.
        used: what it takes on the disk, all included.
        objects: number of whole objects.
        partials: number of objects that are not whole.
        pinned: number of objects that are being served or filled.
        evictions: objects that went to make room, since the start.
    """

    limit: int
    used: int
    objects: int
    partials: int
    pinned: int
    evictions: int


class Cache:
    """A bounded set of objects."""

    def __init__(self, root: pathlib.Path, limit: int, disk: disks.Disk | None = None) -> None:
        self.root = root
        self.limit = limit
        self._disk = disk or disks.Disk()
        self._tree = objects.ObjectTree(root, self._disk)
        self._entries: dict[str, Entry] = {}
        self._pins: collections.Counter[str] = collections.Counter()
        self._admission = asyncio.Lock()
        self._evictions = 0

    def start(self) -> None:
        """Find what is here, and bring it below the bound.

        Raises:
            identity.ForeignDirectory: the directory is not a cache; nothing was touched.
        """
        self._hold = identity.establish(self.root, identity.CACHE, self._disk)
        try:
            self._find_what_is_here()
        except OSError as error:
            raise identity.unusable(self.root, identity.CACHE, error) from error

    def _find_what_is_here(self) -> None:
        self._tree.prepare()
        for occupied in self._tree.partials():
            self._entries[occupied.sha256] = Entry(occupied.space, whole=False)
        for occupied in self._tree.whole():
            self._entries[occupied.sha256] = Entry(occupied.space, whole=True)
        log = self.root / _ORDER_LOG
        self._recency = recency.Recency(self._disk, log, self._entries)
        victims = self._victims(0)
        for sha256 in list(self._entries) if victims is None else victims:
            self._remove(sha256)
        # Only now: the log needs room, too.
        self._recency.begin()

    def stop(self) -> None:
        """Make the order of use durable, and let another rack have the directory."""
        self._recency.close()
        self._hold.release()

    def sync(self) -> None:
        """Make the order of use durable, from any thread; call it every few seconds."""
        self._recency.sync()

    def usage(self) -> Usage:
        """Return how full the cache is."""
        whole = sum(entry.whole for entry in self._entries.values())
        return Usage(
            limit=self.limit,
            used=self._used(),
            objects=whole,
            partials=len(self._entries) - whole,
            pinned=len(self._pins),
            evictions=self._evictions,
        )

    def contents(self) -> list[tuple[str, Entry]]:
        """Return what is here, the most recently used first."""
        return [(name, self._entries[name]) for name in reversed(self._recency.oldest_first())]

    def open(self, sha256: str) -> objects.OpenObject | None:
        """Open a whole object and pin it; ``release`` it afterwards. None where it is not here.

        An object that is not any more the file that was proved is removed, and not here.
        """
        entry = self._entries.get(sha256)
        if entry is None or not entry.whole:
            return None
        try:
            opened = self._tree.open(sha256, entry.stamp)
        except (objects.ObjectMissing, objects.ObjectChanged) as error:
            logger.warning("dropped from the cache: %s", error)
            self._remove(sha256)
            return None
        entry.stamp = opened.stamp
        self.pin(sha256)
        return opened

    def pin(self, sha256: str) -> None:
        """Keep an object from going, and note that it is used now."""
        self._pins[sha256] += 1
        if sha256 in self._entries:
            self._recency.touch(sha256)

    def release(self, sha256: str) -> None:
        """Take one pin away."""
        self._pins[sha256] -= 1
        if self._pins[sha256] <= 0:
            del self._pins[sha256]

    async def admit(self, sha256: str, block_map: blocks.BlockMap) -> partial.Partial | None:
        """Make room for an object and open its partial; the caller has pinned it.

        Returns:
            None where there is no room: it is larger than the bound, or what is here is in use.

        Raises:
            OSError: ``ENOSPC``: the disk is fuller than the bound foresaw.
        """
        async with self._admission:
            there = self._entries.get(sha256, Entry(0, whole=False)).space
            needed = max(0, space.on_disk(block_map.size) - there)
            if not await self._evict_for(needed):
                return None
            self._entries[sha256] = Entry(there + needed, whole=False)
            self._recency.touch(sha256)
        try:
            return await asyncio.to_thread(self._tree.begin, sha256, block_map.size, block_map)
        except BaseException:
            self.suspend(sha256)
            raise

    async def make_room(self, needed: int) -> bool:
        """Make room for ``needed`` bytes beside the objects; False where there is none."""
        async with self._admission:
            return await self._evict_for(needed)

    async def _evict_for(self, needed: int) -> bool:
        victims = self._victims(needed)
        if victims is None:
            return False
        for victim in victims:
            # At once, so that nobody opens what is about to go.
            self._forget(victim)
        await asyncio.to_thread(self._unlink, victims)
        self._evictions += len(victims)
        return True

    def _unlink(self, names: Iterable[str]) -> None:
        """Remove objects from the disk, in a thread: a large one takes the file system a while."""
        for name in names:
            self._tree.remove(name)
            self._tree.remove_partial(name)

    async def publish(self, incoming: partial.Partial) -> None:
        """Prove an object that is all here, and keep it.

        Raises:
            partial.WrongObject: its bytes are not the object's; ``abandon`` it.
            OSError: the disk refused; ``abandon`` it.
        """
        known = await asyncio.to_thread(self._tree.publish, incoming)
        taken = self._tree.space_of(incoming.sha256)
        self._entries[incoming.sha256] = Entry(taken, whole=True, stamp=known.stamp)

    def suspend(self, sha256: str) -> None:
        """Keep what came of an object that could not be finished, for a later fill."""
        taken = self._tree.space_of(sha256)
        if taken:
            self._entries[sha256] = Entry(taken, whole=False)
        else:
            self._forget(sha256)

    def abandon(self, incoming: partial.Partial) -> None:
        """Drop what came of an object, because it cannot be trusted."""
        incoming.discard()
        self._forget(incoming.sha256)

    async def drop(self, names: Iterable[str]) -> list[str]:
        """Remove objects on an operator's word; return those that went: not those in use."""
        async with self._admission:
            chosen = [name for name in names if name in self._entries and name not in self._pins]
            for name in chosen:
                self._forget(name)
            await asyncio.to_thread(self._unlink, chosen)
            return chosen

    def lose(self, sha256: str) -> None:
        """Remove an object that the disk no longer gives; whoever reads it keeps its own view."""
        self._remove(sha256)

    def _victims(self, needed: int) -> list[str] | None:
        sizes = {name: entry.space for name, entry in self._entries.items()}
        order = self._recency.oldest_first()
        return choose_victims(order, sizes, self._pins, self.limit - self._overhead(), needed)

    def _used(self) -> int:
        return sum(entry.space for entry in self._entries.values()) + self._overhead()

    def _overhead(self) -> int:
        # A small file counts twice, because it is written aside before it is replaced.
        fixed = self.root.stat().st_blocks * 512
        with os.scandir(self.root) as entries:
            for entry in entries:
                if entry.name != _ORDER_LOG and not entry.name.startswith("."):
                    space_taken = entry.stat().st_blocks * 512
                    fixed += space_taken if entry.is_dir() else 2 * space_taken
        return fixed + self._recency.space_at_most()

    def _remove(self, sha256: str) -> None:
        self._tree.remove(sha256)
        self._tree.remove_partial(sha256)
        self._forget(sha256)

    def _forget(self, sha256: str) -> None:
        self._entries.pop(sha256, None)
        self._recency.forget(sha256)


def choose_victims(
    oldest_first: list[str],
    sizes: dict[str, int],
    pinned: collections.Counter[str],
    limit: int,
    needed: int,
) -> list[str] | None:
    """Decide what goes so that ``needed`` more bytes fit below ``limit``; None where they cannot.

    Nothing goes in vain: where not everything needed fits, nothing is chosen.
    """
    excess = sum(sizes.values()) + needed - limit
    victims = []
    for name in oldest_first:
        if excess <= 0:
            break
        if name not in pinned:
            victims.append(name)
            excess -= sizes[name]
    return victims if excess <= 0 else None
