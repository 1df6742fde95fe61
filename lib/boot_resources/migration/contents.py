"""What of a MAAS database's images is whole, and what is wrong with the rest.

A content is what the store calls an object: bytes under their sha256, however many files share
them. Everything here is decided from an ``inventory.Inventory``, without a database. What is not
whole is named with the reason and never stops the rest.
"""

import collections
import dataclasses
import enum
from collections.abc import Iterable, Mapping

from boot_resources import digests
from boot_resources.migration import inventory

SHORT_NAME = 7
"""Digits of a sha256 by which MAAS calls a file on its disks, since 2024."""
_OLD_BOOTLOADER = "bootloader"
"""A file type of 3.4 that 3.5 no longer knows (0309); its rows survive and nobody serves them."""


class State(enum.Enum):
    """How a content stands in the database."""

    WHOLE = "whole"
    """By its size; its hash is proved when it is exported."""
    PARTIAL = "partial"
    """MAAS itself had not written all of it."""
    MISSING = "missing"
    """There is no large object of its number."""
    SHORT = "short"
    """The large object has fewer bytes than MAAS wrote."""
    LONG = "long"
    """The large object has more."""
    ELSEWHERE = "elsewhere"
    """MAAS moved it to disk."""
    NAMELESS = "nameless"
    """Its row has no sha256, so nothing could prove it."""


@dataclasses.dataclass(frozen=True)
class Content:
    """Bytes under their sha256.

    Attributes:
        sha256: as MAAS has it; in ``State.NAMELESS`` it is none.
        size: bytes that it is to have.
        oid: its large object; None where MAAS names none.
        state: how it stands.
        reason: what is wrong, for people; empty where it is whole.
    """

    sha256: str
    size: int
    oid: int | None
    state: State
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Contents:
    """What an inventory comes to.

    Attributes:
        of_file: the content of each file that counts, by the file's row number.
        leftovers: files that nobody serves; they are not exported.
        unused: large files that no file names.
        orphans: bytes of each large object that no large file names, by its oid; None unknown.
        twins: distinct contents whose short names are one, by that name.
    """

    of_file: Mapping[int, Content]
    leftovers: tuple[inventory.File, ...]
    unused: tuple[inventory.LargeFile, ...]
    orphans: Mapping[int, int | None]
    twins: Mapping[str, tuple[str, ...]]

    def distinct(self) -> dict[str, Content]:
        """Return each content once, by sha256."""
        return {each.sha256: each for each in self.of_file.values()}

    def whole(self) -> tuple[Content, ...]:
        """Return the contents to export, the largest first so that no worker waits at the end."""
        found = (each for each in self.distinct().values() if each.state is State.WHOLE)
        return tuple(sorted(found, key=_largest_first))

    def shared(self) -> int:
        """Return how many contents several files share."""
        counts = collections.Counter(each.sha256 for each in self.of_file.values())
        return sum(count > 1 for count in counts.values())


def classify(found: inventory.Inventory) -> Contents:
    """Return what the inventory comes to."""
    largefiles = {each.id: each for each in found.largefiles}
    leftovers = tuple(file for file in found.files if file.filetype == _OLD_BOOTLOADER)
    passed_over = {file.id for file in leftovers}
    of_file = {
        file.id: _content(file, largefiles.get(file.largefile_id or 0), found)
        for file in found.files
        if file.id not in passed_over
    }
    # MAAS may have moved one file to disk and not yet another with the same bytes.
    whole = {each.sha256: each for each in of_file.values() if each.state is State.WHOLE}
    of_file = {number: whole.get(each.sha256, each) for number, each in of_file.items()}
    named = {each.oid for each in found.largefiles}
    used = {file.largefile_id for file in found.files}
    return Contents(
        of_file=of_file,
        leftovers=leftovers,
        unused=tuple(each for each in found.largefiles if each.id not in used),
        orphans={oid: each.size for oid, each in found.objects.items() if oid not in named},
        twins=_twins(each.sha256 for each in of_file.values()),
    )


def _content(
    file: inventory.File, large: inventory.LargeFile | None, found: inventory.Inventory
) -> Content:
    sha256 = large.sha256 if large else file.sha256
    size = large.total_size if large else file.size
    oid = large.oid if large else None
    state, reason = _state(sha256, large, found)
    return Content(sha256, size, oid, state, reason)


def _state(
    sha256: str, large: inventory.LargeFile | None, found: inventory.Inventory
) -> tuple[State, str]:
    if not digests.is_sha256(sha256):
        return State.NAMELESS, "MAAS recorded no sha256 of it"
    if large is None:
        where = " or ".join(found.holders) or "its regions"
        return State.ELSEWHERE, f"MAAS moved it to the disk of {where}"
    if large.size != large.total_size:
        return (
            State.PARTIAL,
            f"MAAS had written {large.size} of its {large.total_size} bytes",
        )
    there = found.objects.get(large.oid)
    if there is None:
        return State.MISSING, f"its large object {large.oid} is not in the database"
    if there.size is None or there.size == large.total_size:
        return State.WHOLE, ""
    reason = f"its large object {large.oid} has {there.size} bytes, not {large.total_size}"
    return (State.SHORT if there.size < large.total_size else State.LONG), reason


def _twins(named: Iterable[str]) -> dict[str, tuple[str, ...]]:
    by_short: dict[str, set[str]] = {}
    for sha256 in named:
        if digests.is_sha256(sha256):
            by_short.setdefault(sha256[:SHORT_NAME], set()).add(sha256)
    return {short: tuple(sorted(full)) for short, full in by_short.items() if len(full) > 1}


def _largest_first(content: Content) -> tuple[int, str]:
    return -content.size, content.sha256
