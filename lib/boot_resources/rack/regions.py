"""The regions of a rack, and whom to ask next. Used by worker threads.

A region that fails is left alone for a while, longer each time; the others go on. A transfer that
breaks off continues at the next block, from whichever region is the best choice then: a machine
that waits notices nothing but a pause.
"""

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from boot_resources import errors
from boot_resources.plane import client as plane_client
from boot_resources.store import blocks, partial

logger = logging.getLogger(__name__)
PATIENCE = 15.0
"""Seconds without a single good block after which a transfer is given up; with the last pause
before a region is asked again, machines wait 20 seconds at most."""
_FIRST_PENALTY = 0.25
_LONGEST_PENALTY = 4.0
_PAUSE = 0.1

Take = Callable[[int, bytes], None]
"""Called with a block's index and its bytes, as they come; it raises ``partial.WrongBlock`` to
refuse them."""


class NoRegion(errors.BootResourcesError):
    """No region gave what was asked for."""


class _TryAnother(Exception):
    """A region failed in a way that another may not."""


@dataclasses.dataclass
class Health:
    """What we know of one region.

    Attributes:
        address: ``HOST:PORT``.
        busy: transfers under way.
        failures: in a row.
        retry_at: monotonic time before which it is asked only if no other is left.
        problem: what went wrong last; empty while it answers.
    """

    address: str
    busy: int = 0
    failures: int = 0
    retry_at: float = 0.0
    problem: str = ""


def choose(candidates: Sequence[Health], now: float) -> Health:
    """Decide whom to ask: the least busy region that answers; else the first to be retried."""
    return min(candidates, key=lambda health: (max(0.0, health.retry_at - now), health.busy))


class Regions:
    """All regions that this rack knows."""

    def __init__(self, clients: Sequence[plane_client.RegionClient]) -> None:
        self._clients = {client.address: client for client in clients}
        self._health = [Health(client.address) for client in clients]
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._received = 0

    @property
    def received(self) -> int:
        """Bytes of objects that came from regions since the start, good or not."""
        return self._received

    def health(self) -> list[Health]:
        """Return what is known of each region now."""
        with self._lock:
            return [dataclasses.replace(health) for health in self._health]

    def stop(self) -> None:
        """End what is under way and ask nobody again: the rack stops."""
        self._stopping.set()
        for client in self._clients.values():
            client.hang_up()

    def answered(self, address: str) -> None:
        """Note that a region answered, to whatever question."""
        with self._lock:
            for health in self._health:
                if health.address == address:
                    self._note_success(health)

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()

    def block_map(self, sha256: str, map_digest: str) -> blocks.BlockMap:
        """Return the block map with this digest of an object, from whichever region has it.

        Raises:
            NoRegion: none gave it.
        """
        patience = _Patience(f"the block map of object {sha256[:12]}", self._stopping)
        while True:
            try:
                with self._best() as client:
                    block_map = blocks.BlockMap.from_bytes(client.block_map(sha256))
                    if block_map.digest != map_digest:
                        raise blocks.BadBlockMap(
                            f"region {client.address} has another block map of {sha256[:12]} "
                            "than the cluster recorded"
                        )
                    return block_map
            except _TryAnother as error:
                patience.pause(error)

    def read(self, sha256: str, size: int, run: range, take: Take) -> None:
        """Fetch the blocks of ``run`` of an object of ``size`` bytes, in order.

        Raises:
            NoRegion: no region gave the next block in time; those before it were taken.
            OSError: ``take`` could not keep a block.
        """
        index = run.start
        patience = _Patience(f"a block of object {sha256[:12]}", self._stopping)
        while index < run.stop:
            try:
                with self._best() as client:
                    stop = min(size, blocks.block_start(run.stop))
                    pieces = client.read(sha256, blocks.block_start(index), stop)
                    with contextlib.closing(pieces):
                        for data in pieces:
                            self._count(len(data))
                            _hand_over(client, sha256, index, data, take)
                            index += 1
                            patience.renew()
            except _TryAnother as error:
                patience.pause(error)

    @contextlib.contextmanager
    def _best(self) -> Iterator[plane_client.RegionClient]:
        with self._lock:
            health = choose(self._health, time.monotonic())
            health.busy += 1
            pause = health.retry_at - time.monotonic()
        # Nobody else is left: the one that failed is given its time.
        self._stopping.wait(max(0.0, pause))
        try:
            yield self._clients[health.address]
        except errors.BootResourcesError as error:
            self._note_failure(health, error)
            raise _TryAnother(str(error)) from error
        else:
            with self._lock:
                self._note_success(health)
        finally:
            with self._lock:
                health.busy -= 1

    def _note_success(self, health: Health) -> None:
        if health.failures:
            logger.info("region %s answers again", health.address)
        health.failures, health.retry_at, health.problem = 0, 0.0, ""

    def _note_failure(self, health: Health, error: errors.BootResourcesError) -> None:
        with self._lock:
            penalty = min(_LONGEST_PENALTY, _FIRST_PENALTY * 2**health.failures)
            health.failures += 1
            health.retry_at = time.monotonic() + penalty
            health.problem = str(error)
            level = logging.WARNING if health.failures == 1 else logging.DEBUG
        logger.log(level, "%s; asked again after %.1f s", error, penalty)

    def _count(self, size: int) -> None:
        with self._lock:
            self._received += size


def _hand_over(
    client: plane_client.RegionClient, sha256: str, index: int, data: bytes, take: Take
) -> None:
    """Give a block to who takes it; where it is refused, the region hears of it."""
    try:
        take(index, data)
    except partial.WrongBlock:
        # It may not know yet that its disk lost these bytes; it hashes them, and mends them.
        with contextlib.suppress(plane_client.RegionError):
            client.complain(sha256)
        raise


class _Patience:
    """How long to go on asking without getting anything."""

    def __init__(self, what: str, stopping: threading.Event) -> None:
        self._what = what
        self._stopping = stopping
        self.renew()

    def renew(self) -> None:
        self._deadline = time.monotonic() + PATIENCE

    def pause(self, error: Exception) -> None:
        if time.monotonic() > self._deadline:
            raise NoRegion(
                f"no region gave {self._what} within {PATIENCE:.0f} s: {error}",
                "look at `boot-resources status` on this rack and on the regions",
            ) from error
        if self._stopping.wait(_PAUSE):
            raise NoRegion("the rack is stopping", "ask again") from error
