"""What is in the cache and what each object takes, with the sums kept up as it changes.

Always true: ``space`` and ``whole`` are the sums over all entries, so that no question about them
has to walk through a hundred thousand.
"""

import dataclasses
from collections.abc import Iterator

from boot_resources.store import facts


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One object that takes space.

    Attributes:
        space: bytes on the disk; of one that is on its way in, all that it may come to take.
        whole: whether all of it is here, proved.
        stamp: what its file was when it was proved, once that was asked for.
    """

    space: int
    whole: bool
    stamp: facts.Stamp | None = None


class Inventory:
    """The entries by the objects' sha256.

    Attributes:
        space: bytes of all of them.
        whole: how many of them are whole.
    """

    def __init__(self) -> None:
        self.space = 0
        self.whole = 0
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._entries

    def __getitem__(self, sha256: str) -> Entry:
        return self._entries[sha256]

    def get(self, sha256: str) -> Entry | None:
        """Return an object's entry, or None where it is not here."""
        return self._entries.get(sha256)

    def space_of(self, sha256: str) -> int:
        """Return the bytes that an object takes; 0 where it is not here."""
        entry = self._entries.get(sha256)
        return entry.space if entry is not None else 0

    def put(self, sha256: str, entry: Entry) -> None:
        """Note an object, in the place of what was noted of it before."""
        self.remove(sha256)
        self._entries[sha256] = entry
        self.space += entry.space
        self.whole += entry.whole

    def remove(self, sha256: str) -> None:
        """Forget an object, if it is here."""
        entry = self._entries.pop(sha256, None)
        if entry is not None:
            self.space -= entry.space
            self.whole -= entry.whole
