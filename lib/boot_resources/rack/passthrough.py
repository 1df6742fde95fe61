"""An object that cannot fit into the cache: it passes through, checked, in bounded memory.

Always true: a block is sent only after it matched the block map; a block that several machines
want at the same time is fetched once. Memory is bounded by the pool's blocks plus one block for
each of the machines that are served at once; further ones wait for their turn.
"""

import asyncio
import collections
import dataclasses
import hashlib
import time
from collections.abc import Callable, Container
from concurrent import futures

from boot_resources.rack import regions as region_choice
from boot_resources.store import blocks, partial

POOL_BLOCKS = 64
MACHINES = 64
LATELY = 600.0
"""Seconds for which it is remembered that an object passed through that could fit."""


class BlockPool:
    """The blocks that passed through last. Belongs to the event loop."""

    def __init__(self, regions: region_choice.Regions, pool: futures.Executor) -> None:
        self._regions = regions
        self._pool = pool
        self._blocks: collections.OrderedDict[tuple[str, int], asyncio.Future[bytes]]
        self._blocks = collections.OrderedDict()
        self._turns = asyncio.Semaphore(MACHINES)

    async def enter(self) -> None:
        """Wait until another machine may be served; ``leave`` lets the next one in."""
        await self._turns.acquire()

    def leave(self) -> None:
        """Let the next machine in."""
        self._turns.release()

    async def block(self, sha256: str, block_map: blocks.BlockMap, index: int) -> bytes:
        """Return a checked block.

        Raises:
            region_choice.NoRegion: no region gave it.
        """
        key = (sha256, index)
        if key not in self._blocks:
            loop = asyncio.get_running_loop()
            fetching = loop.run_in_executor(self._pool, self._fetch, sha256, block_map, index)
            self._blocks[key] = fetching
            fetching.add_done_callback(lambda done: self._drop_if_failed(key, done))
            while len(self._blocks) > POOL_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return await asyncio.shield(self._blocks[key])

    def _drop_if_failed(self, key: tuple[str, int], done: asyncio.Future[bytes]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._blocks.pop(key, None)

    def _fetch(self, sha256: str, block_map: blocks.BlockMap, index: int) -> bytes:
        taken: list[bytes] = []

        def take(at: int, data: bytes) -> None:
            if hashlib.sha256(data).digest() != block_map.expects(at):
                raise partial.WrongBlock(f"block {at} of {sha256[:12]} is not what its map names")
            taken.append(data)

        self._regions.read(sha256, block_map.size, range(index, index + 1), take)
        return taken[0]


@dataclasses.dataclass(frozen=True)
class Lately:
    """What passed through, for an operator; sizes in bytes.

    Attributes:
        too_large: the sizes of objects that could not fit even into an empty cache.
        others: how many others found no room when they were last asked for.
    """

    too_large: tuple[int, ...]
    others: int


class Passed:
    """Which objects passed through. Belongs to the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, sha256: str, size: int) -> None:
        """Note that an object of so many bytes passes through now."""
        self._seen[sha256] = size, self._clock()

    def forget(self, sha256: str) -> None:
        """Note that an object had room."""
        self._seen.pop(sha256, None)

    def clear(self) -> None:
        """Forget all: the bound is another one now."""
        self._seen.clear()

    def lately(self, listed: Container[str], fits: Callable[[int], bool]) -> Lately:
        """Return what passed through and is worth a word; what is not is forgotten.

        Args:
            listed: what can be asked for; the rest is past.
            fits: says of a size whether the cache could hold it, were nothing else there. What is
                too large stays so; what found no room once may find it now.
        """
        until = self._clock() - LATELY
        self._seen = {
            sha256: (size, when)
            for sha256, (size, when) in self._seen.items()
            if sha256 in listed and (when > until or not fits(size))
        }
        sizes = [size for size, _ in self._seen.values()]
        too_large = tuple(size for size in sizes if not fits(size))
        return Lately(too_large, len(sizes) - len(too_large))
