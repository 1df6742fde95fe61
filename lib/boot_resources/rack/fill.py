"""One object on its way into the cache, however many machines ask for it.

Always true: a block is offered to machines only after it matched the block map and was written;
the fill goes at its own pace and never waits for a machine; a machine that goes away changes
nothing; an object counts as whole only after all its bytes were hashed once more.

Two workers fetch runs of blocks, from the first missing one on; each run is about a tenth of a
second long, so that the round trip of one hides behind the transfer of the other. Blocks that a
machine waits for and that are far ahead (a Range request) are fetched at once by a worker of
their own.
"""

import asyncio
import collections
import logging
import os
import time
from concurrent import futures

from boot_resources import errors
from boot_resources.rack import regions as region_choice
from boot_resources.store import blocks, partial

logger = logging.getLogger(__name__)
WORKERS = 2
_RUN_SECONDS = 0.1
_LONGEST_RUN = 16


class FillFailed(errors.BootResourcesError):
    """An object could not be brought in; a machine that asks again starts another attempt."""


class Plan:
    """Which blocks to fetch next. Belongs to the event loop."""

    def __init__(self, incoming: partial.Partial) -> None:
        self._incoming = incoming
        self._count = blocks.block_count(incoming.size)
        self._next = 0
        self._claimed: set[int] = set()
        self._demanded: collections.deque[int] = collections.deque()
        self._run_length = 1

    def demand(self, index: int) -> bool:
        """Put a block to the front; False where it is here, or comes soon without that."""
        if not self._is_free(index) or index in self._demanded:
            return False
        nearest = self._first_missing()
        if nearest is not None and nearest <= index < nearest + self._run_length:
            return False
        self._demanded.append(index)
        return True

    def put_first(self, index: int) -> None:
        """Have the next run begin at this block."""
        self._demanded.appendleft(index)

    def next_run(self, *, demanded_only: bool = False) -> range | None:
        """Return the blocks to fetch next, now this caller's; None where nothing is left."""
        start = self._first_demanded()
        if start is None and not demanded_only:
            start = self._first_missing()
        if start is None:
            return None
        stop = start + 1
        while stop < min(self._count, start + self._run_length) and self._is_free(stop):
            stop += 1
        self._claimed.update(range(start, stop))
        return range(start, stop)

    def done(self, run: range, seconds: float) -> None:
        """Give a run back, fetched or not, and learn from its time how long the next should be."""
        self._claimed.difference_update(run)
        self._next = min(self._next, run.start)
        fitting = int(len(run) * _RUN_SECONDS / max(seconds, 1e-6))
        self._run_length = max(1, min(_LONGEST_RUN, 2 * self._run_length, fitting))

    def _first_demanded(self) -> int | None:
        while self._demanded:
            index = self._demanded.popleft()
            if self._is_free(index):
                return index
        return None

    def _first_missing(self) -> int | None:
        while self._next < self._count and self._next in self._incoming:
            self._next += 1
        return next((i for i in range(self._next, self._count) if self._is_free(i)), None)

    def _is_free(self, index: int) -> bool:
        return index not in self._claimed and index not in self._incoming


class Fill:
    """Brings one partial object to its end. Belongs to the event loop."""

    def __init__(
        self,
        incoming: partial.Partial,
        regions: region_choice.Regions,
        pool: futures.Executor,
    ) -> None:
        self.incoming = incoming
        self._regions = regions
        self._pool = pool
        self._plan = Plan(incoming)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, list[asyncio.Future[None]]] = collections.defaultdict(list)
        self._workers: set[asyncio.Task[None]] = set()
        self._failure: FillFailed | None = None

    async def run(self, first: int) -> None:
        """Fetch all that is missing, beginning at the byte that the first machine asked for.

        Raises:
            FillFailed: no region gave it, or the disk refused; what came stays in the partial.
        """
        index = first // blocks.BLOCK_SIZE
        self._plan.put_first(index)
        # The first block has the link to itself; the second worker follows when it is here.
        self._start_worker(demanded_only=False)
        if not self.incoming.whole:
            await self._arrival(index)
            self._start_worker(demanded_only=False)
        while self._workers:
            await asyncio.wait(self._workers)
        if not self.incoming.whole:
            self.fail("it ended with blocks missing")
        if self._failure is not None:
            raise self._failure

    def fail(self, why: str, cure: str = "ask again") -> None:
        """Give up: nothing more of it is sent, workers end after their run, all are told."""
        if self._failure is None:
            what = f"object {self.incoming.sha256[:12]} could not be filled: {why}"
            self._failure = FillFailed(what, cure)
        for index in list(self._waiting):
            self._arrived(index)

    async def ready(self, position: int) -> int:
        """Wait for the byte at ``position``, and return up to where the bytes are here.

        Raises:
            FillFailed: it will not come, or what came cannot be trusted any more.
        """
        index = position // blocks.BLOCK_SIZE
        while self._failure is None and index not in self.incoming:
            if self._plan.demand(index):
                self._start_worker(demanded_only=True)
            await self._arrival(index)
        if self._failure is not None:
            raise self._failure
        stop = index + 1
        while stop < blocks.block_count(self.incoming.size) and stop in self.incoming:
            stop += 1
        return min(self.incoming.size, blocks.block_start(stop))

    async def _arrival(self, index: int) -> None:
        """Wait until a block arrives, or the fill fails."""
        if index not in self.incoming and self._failure is None:
            arrival = self._loop.create_future()
            self._waiting[index].append(arrival)
            await arrival

    def _start_worker(self, *, demanded_only: bool) -> None:
        worker = asyncio.create_task(self._work(demanded_only=demanded_only))
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _work(self, *, demanded_only: bool) -> None:
        """Fetch run after run; each takes a thread for its own time only, so fills take turns."""
        while self._failure is None:
            run = self._plan.next_run(demanded_only=demanded_only)
            if run is None:
                return
            started = time.monotonic()
            try:
                await self._loop.run_in_executor(self._pool, self._fetch, run)
            except (errors.BootResourcesError, OSError) as error:
                self.fail(str(error), getattr(error, "cure", "") or "check the disk of this rack")
            except Exception:
                # A defect must not leave machines waiting for ever.
                logger.exception("a fill failed in a way that it should not")
                self.fail("an internal error", "look at the rack's log")
            finally:
                self._plan.done(run, time.monotonic() - started)

    def _fetch(self, run: range) -> None:
        """Fetch one run, in a worker thread."""
        self._regions.read(self.incoming.sha256, self.incoming.size, run, self._take)

    def _take(self, index: int, data: bytes) -> None:
        self.incoming.write(index, data)
        self._loop.call_soon_threadsafe(self._arrived, index)

    def _arrived(self, index: int) -> None:
        for arrival in self._waiting.pop(index, ()):
            if not arrival.done():
                arrival.set_result(None)


class FillBody:
    """What one machine sees of a fill: a file that grows. Has a descriptor of its own."""

    def __init__(self, fill: Fill) -> None:
        self._fill = fill
        self.size = fill.incoming.size
        self.fd = os.dup(fill.incoming.fd)

    async def ready(self, position: int) -> int:
        """Wait for the byte at ``position``; return up to where the bytes are here."""
        return await self._fill.ready(position)

    def close(self) -> None:
        """Give the descriptor back; the fill goes on."""
        os.close(self.fd)
