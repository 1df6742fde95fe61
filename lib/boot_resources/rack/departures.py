"""What left the cache and still takes space on its disk.

Always true: what the cache has forgotten counts here until the disk has let it go, and that is
when its file has no name and nobody has it open any more. So the bound holds also while somebody
reads what was removed, and on a disk that removes nothing.

A *stuck* object is one that the disk neither gives nor removes. It is not served, and not filled
anew under the name that it still has.
"""

import asyncio
import collections
import logging
from collections.abc import Container, Iterable, Mapping

from boot_resources.store import objects

logger = logging.getLogger(__name__)


class Departures:
    """Removes objects from a tree. Belongs to the event loop."""

    def __init__(self, tree: objects.ObjectTree, in_use: Container[str]) -> None:
        """Begin with nothing on its way out.

        Args:
            tree: the objects.
            in_use: says at any time whether somebody has an object open.
        """
        self._tree = tree
        self._in_use = in_use
        self._going = 0
        self._open = collections.Counter[str]()
        self._stuck: dict[str, int] = {}

    @property
    def space(self) -> int:
        """Bytes that what has left still takes."""
        return self._going + self._open.total() + sum(self._stuck.values())

    @property
    def stuck(self) -> Mapping[str, int]:
        """The stuck objects, and the bytes that each takes."""
        return self._stuck

    async def let_go(self, leaving: Mapping[str, int]) -> list[str]:
        """Remove objects that nobody has open, given with the bytes that each takes.

        Returns:
            Those that the disk kept; they do not count here any more.
        """
        self._going = sum(leaving.values())
        stayed = await asyncio.to_thread(self.take_off, leaving)
        self._going = 0
        return stayed

    def take_off(self, names: Iterable[str], level: int = logging.WARNING) -> list[str]:
        """Take objects off the disk, from any thread: a large one takes the file system a while.

        Args:
            names: the objects.
            level: at which level of the log the disk's refusals stand.

        Returns:
            Those that the disk kept.
        """
        stayed = []
        for name in names:
            try:
                self._tree.remove(name)
                self._tree.remove_partial(name)
            except OSError as error:
                logger.log(level, "object %s could not be removed: %s", name[:12], error)
                stayed.append(name)
        return stayed

    def lose(self, sha256: str, space: int) -> None:
        """Remove an object that the disk no longer gives; whoever reads it keeps its own view."""
        if self.take_off([sha256]):
            self._stuck[sha256] = space
        else:
            self._left(sha256, space)

    async def try_again(self) -> None:
        """Remove what is stuck, if the disk lets it go by now."""
        tried = list(self._stuck)
        if not tried:
            return
        # A warning each was said when they became stuck; a notice stands.
        stayed = await asyncio.to_thread(self.take_off, tried, logging.DEBUG)
        for sha256 in set(tried).difference(stayed):
            self._left(sha256, self._stuck.pop(sha256))

    def closed(self, sha256: str) -> None:
        """Note that nobody has an object open any more."""
        del self._open[sha256]

    def _left(self, sha256: str, space: int) -> None:
        if sha256 in self._in_use:
            self._open[sha256] += space
