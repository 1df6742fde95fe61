"""What a region keeps for a while although nobody needs it now.

::

    damaged/<sha256>    what turned out not to be what was proved: to be looked at
    removed/<sha256>    what the catalog needed once and dropped: a mistake can be undone
    unknown/<sha256>    what was held and the catalog never needed, as far as we know

Always true: all of it goes once its grace time is over. Where space is needed the damaged go
sooner, and then the removed, each the oldest first, no more than is needed, and none where all of
them together would not be enough. What is unknown never goes sooner: the catalog may be an older
one, restored from a backup, and learn of it again. Only what has an object's name and is a file
counts as ours; what a stranger put there stays.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable

from boot_resources import digests
from boot_resources.store import objects, regular, space


@dataclasses.dataclass(frozen=True, order=True)
class _Kept:
    """One kept object.

    Attributes:
        since: when it came here, seconds since the epoch.
        path: where it lies.
        space: bytes that it takes on the disk.
    """

    since: float
    path: pathlib.Path
    space: int


class Keeping:
    """The kept objects beside one tree. Its methods wait for the disk."""

    def __init__(self, tree: objects.ObjectTree, grace: float) -> None:
        """Put the parts together.

        Args:
            tree: the objects.
            grace: seconds for which each thing is kept.
        """
        self._tree = tree
        self._grace = grace
        self._removed = tree.root / "removed"
        self._unknown = tree.root / "unknown"

    def prepare(self) -> None:
        """Make the directories that are not there yet; the tree has made its own.

        Raises:
            OSError: the disk refused, or one of them is a symbolic link.
        """
        for directory in (self._removed, self._unknown):
            objects.prepare_directory(self._tree.disk, directory)

    def put(self, sha256: str, *, was_needed: bool) -> None:
        """Take an object out of the tree; its grace counts from now.

        Args:
            sha256: the object.
            was_needed: whether the catalog needed it once.
        """
        # The file's own time is of no further use.
        self._tree.move_out(sha256, (self._removed if was_needed else self._unknown) / sha256)

    def find(self, sha256: str) -> pathlib.Path | None:
        """Return where an object is kept that may be as good as it was; None where it is not."""
        places = (self._removed / sha256, self._unknown / sha256)
        return next((path for path in places if regular.look(path) is not None), None)

    def expire(self) -> None:
        """Delete what was kept for its grace time."""
        past = time.time() - self._grace
        for directory in (self._tree.damaged, self._removed, self._unknown):
            for kept in _kept_in(directory):
                if kept.since < past:
                    self._tree.disk.remove(kept.path)

    def make_room(self, measure: Callable[[], space.Room]) -> space.Room:
        """Delete what may go before its time, where that gives all the room that is lacking.

        Args:
            measure: says what is needed and free now.

        Returns:
            what it says in the end.
        """
        room = measure()
        if room.is_enough:
            return room
        may_go = [*_kept_in(self._tree.damaged), *_kept_in(self._removed)]
        if sum(kept.space for kept in may_go) < room.lacking or len(may_go) < room.files_lacking:
            return room
        for kept in may_go:
            self._tree.disk.remove(kept.path)
            room = measure()
            if room.is_enough:
                break
        return room


def _kept_in(directory: pathlib.Path) -> list[_Kept]:
    """Return the files in ``directory`` that this cluster put there, the oldest first."""
    kept = []
    for path in directory.iterdir():
        found = regular.look(path)
        if found is not None and digests.is_sha256(path.name):
            # The time was set when it came here.
            kept.append(_Kept(found.st_mtime, path, found.st_blocks * 512))
    return sorted(kept)
