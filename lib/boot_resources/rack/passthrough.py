"""An object that cannot fit into the cache: it passes through, checked, in bounded memory.

Always true: a block is sent only after it matched the block map; a block that several machines
want at the same time is fetched once. Memory is bounded by the pool's blocks plus one block for
each of the machines that are served at once; further ones wait for their turn.
"""

import asyncio
import collections
import hashlib
from concurrent import futures

from boot_resources.rack import regions as region_choice
from boot_resources.store import blocks, partial

POOL_BLOCKS = 64
MACHINES = 64


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
