"""What the catalog needed, so that what it drops on purpose can be told from what it never knew.

An object that the catalog needed a moment ago, and needs no more, was dropped on purpose: its
image was removed, or replaced by a newer one. One that it never needed while we looked may be the
object of a newer catalog than this one, which was restored from a backup.
"""

from collections.abc import Set as AbstractSet


class Needs:
    """What one catalog was seen to need, since the start or since it was set back."""

    def __init__(self) -> None:
        self._epoch = 0
        self._seen: set[str] = set()

    def look(self, epoch: int, needed: AbstractSet[str]) -> None:
        """Note which objects the images of the catalog need at this epoch of it.

        An epoch only grows: where it is smaller than it was, the catalog was set back, and what it
        needed before that it need not have dropped.
        """
        if epoch < self._epoch:
            self._seen.clear()
        self._epoch = epoch
        self._seen |= needed

    def had(self, sha256: str) -> bool:
        """Return whether the catalog was seen to need this object."""
        return sha256 in self._seen
