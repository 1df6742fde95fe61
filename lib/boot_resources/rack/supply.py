"""From the name of an object to its body: out of the cache, from a fill, or passing through.

Always true: one fill an object, however many ask at the same time; an object is pinned from the
moment somebody asks for it until the last of its bodies is closed.
"""

import asyncio
import collections
import enum
import logging
from collections.abc import AsyncIterator
from concurrent import futures
from typing import Protocol

from boot_resources import errors
from boot_resources.plane import messages
from boot_resources.rack import cache as caches
from boot_resources.rack import fill as fills
from boot_resources.rack import passthrough
from boot_resources.rack import regions as region_choice
from boot_resources.service import sending
from boot_resources.store import blocks, objects, partial

logger = logging.getLogger(__name__)
_PIECE = 8 * blocks.BLOCK_SIZE


class Way(enum.StrEnum):
    """How a request was answered."""

    HIT = "hit"
    """From a whole object in the cache."""
    JOIN = "join"
    """From a fill that another request had begun."""
    FILL = "fill"
    """From a fill that this request began."""
    PASS = "pass"  # noqa: S105 - not a password
    """Through memory: the object does not fit."""


class Body(Protocol):
    """The bytes of an object, as far as they are here. Closed by whoever asked for it."""

    way: Way
    size: int

    async def ready(self, position: int) -> None:
        """Wait until the byte at ``position`` can be sent."""

    async def send(self, outlet: sending.Outlet, start: int, stop: int) -> None:
        """Send the bytes [start, stop), as they come, at the machine's pace."""

    def close(self) -> None:
        """Let the object go."""


class _CachedBody:
    way = Way.HIT

    def __init__(self, cache: caches.Cache, sha256: str, opened: objects.OpenObject) -> None:
        self._cache = cache
        self._sha256 = sha256
        self._opened = opened
        self.size = opened.size

    async def ready(self, position: int) -> None:
        """Return at once: all of it is here."""

    async def send(self, outlet: sending.Outlet, start: int, stop: int) -> None:
        await outlet.file(self._opened.fd, start, stop)

    def close(self) -> None:
        self._opened.close()
        self._cache.release(self._sha256)


class _FillingBody:
    def __init__(
        self, cache: caches.Cache, growing: fills.FillBody, sha256: str, way: Way
    ) -> None:
        self.way = way
        self.size = growing.size
        self._cache = cache
        self._sha256 = sha256
        self._growing = growing
        cache.pin(sha256)

    async def ready(self, position: int) -> None:
        await self._growing.ready(position)

    async def send(self, outlet: sending.Outlet, start: int, stop: int) -> None:
        while start < stop:
            # In pieces, so that a fill that turns out wrong is noticed before the next one.
            here = min(stop, start + _PIECE, await self._growing.ready(start))
            await outlet.file(self._growing.fd, start, here)
            start = here

    def close(self) -> None:
        self._growing.close()
        self._cache.release(self._sha256)


class _PassingBody:
    way = Way.PASS
    _SLICE = 128 * 1024

    def __init__(
        self, pool: passthrough.BlockPool, sha256: str, block_map: blocks.BlockMap
    ) -> None:
        self._pool = pool
        self._sha256 = sha256
        self._map = block_map
        self._has_turn = False
        self._first: tuple[int, bytes] | None = None
        self.size = block_map.size

    async def ready(self, position: int) -> None:
        if not self._has_turn:
            await self._pool.enter()
            self._has_turn = True
        index = position // blocks.BLOCK_SIZE
        # Kept for `send`, because the pool may have let it go by then.
        self._first = index, await self._pool.block(self._sha256, self._map, index)

    async def send(self, outlet: sending.Outlet, start: int, stop: int) -> None:
        async for piece in self._pieces(start, stop):
            await outlet.data(piece)

    async def _block(self, index: int) -> bytes:
        first, self._first = self._first, None
        if first is not None and first[0] == index:
            return first[1]
        return await self._pool.block(self._sha256, self._map, index)

    async def _pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        for index in blocks.blocks_of_range(start, stop):
            block = await self._block(index)
            base = blocks.block_start(index)
            first, last = max(start - base, 0), min(stop - base, len(block))
            for at in range(first, last, self._SLICE):
                yield block[at : min(at + self._SLICE, last)]

    def close(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._pool.leave()


class Supply:
    """Bodies of objects. Belongs to the event loop."""

    def __init__(
        self, cache: caches.Cache, regions: region_choice.Regions, pool: futures.Executor
    ) -> None:
        self._cache = cache
        self._regions = regions
        self._pool = pool
        self._block_pool = passthrough.BlockPool(regions, pool)
        self._starting: dict[str, asyncio.Task[blocks.BlockMap | None]] = {}
        self._running: dict[str, tuple[fills.Fill, asyncio.Task[None]]] = {}
        self.ways: collections.Counter[Way] = collections.Counter()
        """How many requests were answered in which way, since the start."""
        self.passed = passthrough.Passed()
        """Objects that passed through when they were last asked for."""

    async def body(self, item: messages.AvailableItem, start: int) -> Body:
        """Return the body of an object that the regions list; a fill begins at byte ``start``.

        Raises:
            region_choice.NoRegion: it is not here, and no region gave its block map.
            fills.FillFailed: its fill ended before it could be joined.
        """
        body = await self._body(item, start)
        self.ways[body.way] += 1
        return body

    async def bring(self, item: messages.AvailableItem) -> None:
        """Begin to fill an object that nobody asks for now, unless it is here.

        Raises:
            region_choice.NoRegion: no region gave its block map.
            fills.FillFailed: its fill ended at once.
        """
        (await self._body(item, 0)).close()

    def cached(self, sha256: str) -> Body | None:
        """Return the body of an object that is whole in the cache, or None."""
        opened = self._cache.open(sha256)
        return _CachedBody(self._cache, sha256, opened) if opened is not None else None

    def lose(self, sha256: str) -> None:
        """Let go of a cached object that the disk no longer gives; it comes anew."""
        self._cache.lose(sha256)

    def filling(self) -> dict[str, tuple[int, int]]:
        """Return the bytes here and in all of each object that is on its way in."""
        return {
            sha256: (fill.incoming.held_bytes, fill.incoming.size)
            for sha256, (fill, _) in self._running.items()
        }

    async def stop(self) -> None:
        """End all fills; what came is kept for the next start."""
        self._regions.stop()
        for fill, _ in self._running.values():
            fill.fail("the rack is stopping")
        tasks = [*self._starting.values(), *(task for _, task in self._running.values())]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _body(self, item: messages.AvailableItem, start: int) -> Body:
        sha256 = item.sha256
        way = Way.JOIN
        for _ in range(2):
            body = self.cached(sha256)
            if body is not None:
                return body
            if sha256 in self._running:
                growing = fills.FillBody(self._running[sha256][0])
                return _FillingBody(self._cache, growing, sha256, way)
            if sha256 not in self._starting:
                way = Way.FILL
                self._starting[sha256] = asyncio.create_task(self._begin(item, start))
            # A machine that goes away must not take the beginning of the fill with it.
            unfit = await asyncio.shield(self._starting[sha256])
            if unfit is not None:
                return _PassingBody(self._block_pool, sha256, unfit)
        raise fills.FillFailed(f"object {sha256[:12]} could not be filled", "ask again")

    async def _begin(self, item: messages.AvailableItem, start: int) -> blocks.BlockMap | None:
        """Start a fill; or return the block map, where the object must pass through."""
        loop = asyncio.get_running_loop()
        self._cache.pin(item.sha256)
        try:
            block_map = await loop.run_in_executor(
                self._pool, self._regions.block_map, item.sha256, item.map_digest
            )
            if block_map.size != item.size:
                raise blocks.BadBlockMap(
                    f"object {item.sha256[:12]} is listed with {item.size} bytes, its block map "
                    f"has {block_map.size}"
                )
            incoming = await self._admit(item, block_map)
            if incoming is None:
                self._cache.release(item.sha256)
                return block_map
            fill = fills.Fill(incoming, self._regions, self._pool)
            self._running[item.sha256] = (fill, asyncio.create_task(self._carry_out(fill, start)))
            return None
        except BaseException:
            self._cache.release(item.sha256)
            raise
        finally:
            del self._starting[item.sha256]

    async def _admit(
        self, item: messages.AvailableItem, block_map: blocks.BlockMap
    ) -> partial.Partial | None:
        try:
            incoming = await self._cache.admit(item.sha256, block_map)
        except OSError as error:
            logger.warning("no space to cache object %s: %s", item.sha256[:12], error)
            incoming = None
        if incoming is None:
            self.passed.note(item.sha256, item.size)
        else:
            self.passed.forget(item.sha256)
        return incoming

    async def _carry_out(self, fill: fills.Fill, start: int) -> None:
        incoming = fill.incoming
        try:
            await fill.run(start)
            await self._cache.publish(incoming)
            incoming.close()
        except (partial.WrongObject, OSError) as error:
            logger.error("object %s was filled and thrown away: %s", incoming.sha256[:12], error)
            # Whoever is still being served from it gets no more.
            fill.fail(f"what came cannot be trusted: {error}")
            self._cache.abandon(incoming)
        except errors.BootResourcesError as error:
            logger.warning("%s", error)
            incoming.close()
            self._cache.suspend(incoming.sha256)
        except Exception:
            # A defect must not leave machines waiting, nor the object pinned.
            logger.exception("a fill ended in a way that it should not")
            fill.fail("an internal error", "look at the rack's log")
            incoming.close()
            self._cache.suspend(incoming.sha256)
        finally:
            del self._running[incoming.sha256]
            self._cache.release(incoming.sha256)
