"""The cache: objects on the disk, never more than the bound, least recently used going first.

Always true: ``used`` is the space (``st_blocks``) of all whole and partial objects, their facts
and journals, the index and the directories, and of what is on its way out until it is gone; a new
object is admitted only after there is room for all of it below the bound. What is being served or
filled is pinned and never goes. What the disk no longer gives is not here any more, and is filled
anew. The set of whole objects is what lies in ``objects/``, so it survives anything; a smaller
bound at a restart makes room, it does not stop the start.

**The bound in force** is ``limit``, save for two cases in which it is ``used``, as it falls:

- the limit was lowered while the cache runs, and what is pinned takes more. All else has gone,
  nothing new is admitted (it passes through), and each object goes as its last pin does, the
  least recently used first, until the limit is kept;
- the limit is less than the index and the directories of an empty cache. Nothing is admitted.

All methods belong to the event loop's thread, except where they say otherwise.
"""

import asyncio
import collections
import dataclasses
import logging
import os
import pathlib
from collections.abc import Collection, Iterable, Sequence

from boot_resources.rack import departures, eviction, inventory, recency
from boot_resources.store import audit, blocks, identity, objects, partial, space
from boot_resources.store import disk as disks

logger = logging.getLogger(__name__)
NAMES = "names.json"
"""The list of available images, which lies beside the objects and counts with them."""
_ORDER_LOG = "order.log"
_ASIDE = (f".{NAMES}.new", f".{_ORDER_LOG}.new")
_AT_ONCE = 64
"""How many objects go before others who wait for room have their turn."""


@dataclasses.dataclass(frozen=True)
class Usage:
    """How full the cache is; sizes in bytes.

    Attributes:
        limit: the bound that was set.
        used: what it takes on the disk, all included.
        over: how much of that is above the limit; 0 but for the cases that the module names.
        beside: how much of ``used`` is not objects: the index and the directories.
        objects: number of whole objects.
        partials: number of objects that are not whole.
        pinned: number of objects that are being served or filled.
        stuck: number of objects that the disk neither gives nor removes; their space counts.
        evictions: objects that went to make room, since the start.
    """

    limit: int
    used: int
    over: int
    beside: int
    objects: int
    partials: int
    pinned: int
    stuck: int
    evictions: int


class Cache:
    """A bounded set of objects."""

    def __init__(self, root: pathlib.Path, limit: int, disk: disks.Disk | None = None) -> None:
        self.root = root
        self.limit = limit
        self._disk = disk or disks.Disk()
        self._tree = objects.ObjectTree(root, self._disk)
        self._hold: identity.Hold | None = None
        self._inventory = inventory.Inventory()
        self._pins: collections.Counter[str] = collections.Counter()
        self._departures = departures.Departures(self._tree, self._pins)
        self._admission = asyncio.Lock()
        self._trims: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._reserved = 0
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
            self._leave()
            raise identity.unusable(self.root, identity.CACHE, error) from error

    def _find_what_is_here(self) -> None:
        self._tree.prepare()
        for path in (self.root / name for name in _ASIDE):
            # A crash left it while a file was replaced; nothing would count its space. A disk that
            # takes no change refuses also to remove what is not there.
            if path.exists():
                self._disk.remove(path)
        for occupied in self._tree.partials():
            entry = inventory.Entry(occupied.space, whole=False)
            self._inventory.put(occupied.sha256, entry)
        for occupied in self._tree.whole():
            entry = inventory.Entry(occupied.space, whole=True)
            self._inventory.put(occupied.sha256, entry)
        self._recency = recency.Recency(self._disk, self.root / _ORDER_LOG, self._inventory)
        victims = self._choose(0).victims
        stayed = self._departures.take_off(victims)
        for sha256 in set(victims).difference(stayed):
            self._forget(sha256)
        # Only now: the log needs room, too.
        self._recency.begin()

    def stop(self) -> None:
        """Make the order of use durable, and let another rack have the directory."""
        for trim in self._trims:
            trim.cancel()
        self._recency.close()
        self._leave()

    def _leave(self) -> None:
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def sync(self) -> None:
        """Make the order of use durable, from any thread; call it every few seconds."""
        self._recency.sync()

    def usage(self) -> Usage:
        """Return how full the cache is."""
        beside = self._beside()
        used = self._inventory.space + self._departures.space + beside
        return Usage(
            limit=self.limit,
            used=used,
            over=max(0, used - self.limit),
            beside=beside,
            objects=self._inventory.whole,
            partials=len(self._inventory) - self._inventory.whole,
            pinned=len(self._pins),
            stuck=len(self._departures.stuck),
            evictions=self._evictions,
        )

    def contents(self) -> list[tuple[str, inventory.Entry]]:
        """Return what is here, the most recently used first."""
        return [(name, self._inventory[name]) for name in self._recency.newest_first()]

    def holds(self, sha256: str) -> bool:
        """Return whether an object is here, whole."""
        entry = self._inventory.get(sha256)
        return entry is not None and entry.whole

    def open(self, sha256: str) -> objects.OpenObject | None:
        """Open a whole object and pin it; ``release`` it afterwards. None where it is not here.

        An object that the disk does not give, or that is not any more the file that was proved, is
        removed, and not here. The latter is seen by its size, its time and its inode; bytes that
        changed under all three are for a scrub to find.

        Raises:
            OSError: this process or host is short of something; that says nothing of the object.
        """
        entry = self._inventory.get(sha256)
        if entry is None or not entry.whole:
            return None
        try:
            opened = self._tree.open(sha256, entry.stamp)
        except (objects.ObjectMissing, objects.ObjectChanged, OSError) as error:
            if isinstance(error, OSError) and error.errno in audit.OUR_OWN:
                raise
            logger.warning("object %s is dropped from the cache: %s", sha256[:12], error)
            self.lose(sha256)
            return None
        if entry.stamp is None:
            self._inventory.put(sha256, dataclasses.replace(entry, stamp=opened.stamp))
        self.pin(sha256)
        return opened

    def pin(self, sha256: str) -> None:
        """Keep an object from going, and note that it is used now."""
        self._pins[sha256] += 1
        if sha256 in self._inventory:
            self._recency.touch(sha256)

    def release(self, sha256: str) -> None:
        """Take one pin away."""
        self._pins[sha256] -= 1
        if self._pins[sha256] <= 0:
            del self._pins[sha256]
            self._departures.closed(sha256)
            if self._is_over:
                trim = asyncio.get_running_loop().create_task(self.trim())
                self._trims.add(trim)
                trim.add_done_callback(self._trims.discard)

    async def resize(self, limit: int) -> None:
        """Set another bound, of ``limit`` bytes; what is too much and not in use goes at once."""
        self.limit = limit
        await self.trim()

    async def trim(self) -> None:
        """Bring the cache below its bound, as far as what is in use allows.

        Some objects at a time: who waits for room meanwhile has a turn in between.
        """
        stayed: list[str] = []
        is_done = False
        while not is_done:
            async with self._admission:
                await self._departures.try_again()
                choice = self._choose(0, _AT_ONCE, stayed)
                self._is_over = choice.short > 0
                stayed += await self._evict(choice.victims)
                is_done = len(choice.victims) < _AT_ONCE

    async def admit(self, sha256: str, block_map: blocks.BlockMap) -> partial.Partial | None:
        """Make room for an object and open its partial; the caller has pinned it.

        Returns:
            None where there is no room: it is larger than the bound, what is here is in use, or
            the object itself is stuck on the disk.

        Raises:
            OSError: ``ENOSPC``: the disk is fuller than the bound foresaw.
        """
        async with self._admission:
            if sha256 in self._departures.stuck:
                return None
            there = self._inventory.space_of(sha256)
            needed = max(0, space.on_disk(block_map.size) - there)
            if not await self._make_room(needed):
                return None
            self._inventory.put(sha256, inventory.Entry(there + needed, whole=False))
            self._recency.touch(sha256)
        try:
            return await asyncio.to_thread(self._tree.begin, sha256, block_map.size, block_map)
        except BaseException:
            self.suspend(sha256)
            raise

    async def reserve(self, needed: int) -> bool:
        """Make room for ``needed`` bytes that somebody is about to write beside the objects.

        Where True, they count from now on, until ``give_back``; False where there is no room.
        """
        async with self._admission:
            if not await self._make_room(needed):
                return False
            self._reserved += needed
            return True

    def give_back(self, reserved: int) -> None:
        """End a reservation: what was written counts by itself now."""
        self._reserved -= reserved

    def fits(self, size: int) -> bool:
        """Return whether an object of ``size`` bytes would fit, were nothing else here."""
        return space.on_disk(size) + self._beside() <= self.limit

    async def _make_room(self, needed: int) -> bool:
        """Evict so that ``needed`` more bytes are below the bound; nothing goes in vain."""
        in_use = sum(self._inventory.space_of(name) for name in self._pins)
        if in_use + self._departures.space + needed + self._beside() > self.limit:
            return False
        return not await self._evict(self._choose(needed).victims)

    def _choose(
        self, needed: int, at_most: int | None = None, besides: Collection[str] = ()
    ) -> eviction.Choice:
        """Decide what goes, ``at_most`` so many, so that ``needed`` bytes are free.

        What is in use does not go, nor do those ``besides``.
        """
        oldest_first = (
            (name, self._inventory[name].space) for name in self._recency.oldest_first()
        )
        taken = self._inventory.space + self._departures.space + self._beside()
        staying = {*self._pins, *besides}
        return eviction.choose_victims(oldest_first, staying, taken + needed - self.limit, at_most)

    async def _evict(self, victims: Sequence[str]) -> list[str]:
        """Remove these objects to make room; return those that the disk kept."""
        stayed = await self._remove_all(victims)
        self._evictions += len(victims) - len(stayed)
        return stayed

    async def _remove_all(self, names: Sequence[str]) -> list[str]:
        """Remove objects; return those that the disk kept. The caller has the admission."""
        leaving = {name: self._inventory.space_of(name) for name in names}
        for name in names:
            # At once, so that nobody opens what is about to go.
            self._forget(name)
        stayed = await self._departures.let_go(leaving)
        for name in reversed(stayed):
            self._take_back(name)
        return stayed

    def _take_back(self, sha256: str) -> None:
        """Count an object again that should have gone; it is the first to be tried anew."""
        if sha256 in self._inventory:
            # Somebody asked for it meanwhile, and it was filled anew.
            return
        whole = self._tree.path(sha256).exists()
        self._inventory.put(sha256, inventory.Entry(self._tree.space_of(sha256), whole=whole))
        self._recency.take_back(sha256)

    async def publish(self, incoming: partial.Partial) -> None:
        """Prove an object that is all here, and keep it.

        Raises:
            partial.WrongObject: its bytes are not the object's; ``abandon`` it.
            OSError: the disk refused; ``abandon`` it.
        """
        known = await asyncio.to_thread(self._tree.publish, incoming)
        taken = self._tree.space_of(incoming.sha256)
        entry = inventory.Entry(taken, whole=True, stamp=known.stamp)
        self._inventory.put(incoming.sha256, entry)

    def suspend(self, sha256: str) -> None:
        """Keep what came of an object that could not be finished, for a later fill."""
        taken = self._tree.space_of(sha256)
        if taken:
            self._inventory.put(sha256, inventory.Entry(taken, whole=False))
        else:
            self._forget(sha256)

    def abandon(self, incoming: partial.Partial) -> None:
        """Drop what came of an object, because it cannot be trusted."""
        try:
            incoming.discard()
        except OSError as error:
            logger.warning("object %s could not be discarded: %s", incoming.sha256[:12], error)
        # What the disk did not let go still counts.
        self.suspend(incoming.sha256)

    async def drop(self, names: Iterable[str]) -> list[str]:
        """Remove objects on an operator's word; return those that went: not those in use."""
        async with self._admission:
            chosen = [name for name in names if name in self._inventory and name not in self._pins]
            stayed = await self._remove_all(chosen)
            return [name for name in chosen if name not in stayed]

    def lose(self, sha256: str) -> None:
        """Take a whole object out of service that the disk no longer gives, whatever else fails.

        Whoever reads it keeps its own view. One that is on its way in is left to its fill.
        """
        if self.holds(sha256):
            taken = self._inventory.space_of(sha256)
            self._forget(sha256)
            self._departures.lose(sha256, taken)

    def _beside(self) -> int:
        """Return the bytes that are taken beside the objects, or are about to be."""
        # A small file counts twice, because it is written aside before it is replaced.
        fixed = self.root.stat().st_blocks * 512
        with os.scandir(self.root) as entries:
            for entry in entries:
                if entry.name != _ORDER_LOG and not entry.name.startswith("."):
                    space_taken = entry.stat().st_blocks * 512
                    fixed += space_taken if entry.is_dir() else 2 * space_taken
        return fixed + self._recency.space_at_most() + self._reserved

    def _forget(self, sha256: str) -> None:
        self._inventory.remove(sha256)
        self._recency.forget(sha256)
