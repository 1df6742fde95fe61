"""What members complain of: bytes of an object that came to them and are not the object's.

Always true: nothing is believed. The object is hashed here, and what the hash says counts. A
member that lies, or whose network spoils what it gets, has each object hashed once in ``PAUSE``
seconds at most, one object at a time.
"""

import asyncio
import logging
import time

from boot_resources.store import audit, storage

logger = logging.getLogger(__name__)
PAUSE = 60.0
"""Seconds after which an object that was looked at is looked at again."""


class Complaints:
    """Looks at what is complained of. Belongs to the event loop."""

    def __init__(self, store: storage.Storage) -> None:
        self._store = store
        self._looked: dict[str, float] = {}
        self._looking: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def note(self, sha256: str, who: str) -> None:
        """Have an object looked at soon, unless it was a moment ago."""
        now = time.monotonic()
        self._looked = {name: when for name, when in self._looked.items() if now - when < PAUSE}
        if sha256 in self._looked or sha256 not in self._store.held():
            return
        self._looked[sha256] = now
        logger.warning("%s was sent wrong bytes of object %s; it is hashed", who, sha256[:12])
        looking = asyncio.create_task(self._look(sha256))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    async def _look(self, sha256: str) -> None:
        try:
            async with self._turn:
                found = await asyncio.to_thread(self._store.recheck, sha256)
        except (OSError, audit.Ended) as error:
            logger.warning("object %s could not be checked: %s", sha256[:12], error)
        else:
            if found is None:
                logger.info("object %s is sound here", sha256[:12])
