"""What a power cut can leave on a disk: a pure model of files, names and what was made durable.

``after_cut`` takes the operations up to the cut and a die, and returns one tree that the disk
could show afterwards. It is at least as hostile as POSIX allows:

- Of a file, only what came before its last good ``fsync`` is sure. Every later write may be lost
  or torn at a sector, in any order; the size may outlive the bytes, and where it does, the bytes
  are zeros or what the disk held before; the time may be any since then.
- What a failed ``fsync`` should have made durable stays in doubt for ever, whatever a later one
  says (the kernel marks the pages clean).
- Of a directory, only what came before its last ``fsync`` is sure. Of the names that were made,
  given, or taken away later, any may be there.
- Taken for granted, as ext4, XFS and Btrfs give it: a rename happens whole or not at all, also
  between two directories, and one of the two made durable is both.

The idea is that of ALICE (Pillai and others, OSDI 2014).
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol

SECTOR = 512
_JUNK = hashlib.shake_256(b"what the disk held before").digest(1 << 16)


@dataclasses.dataclass(frozen=True)
class MakeDirectory:
    path: str


@dataclasses.dataclass(frozen=True)
class Create:
    path: str
    inode: int
    time: int


@dataclasses.dataclass(frozen=True)
class Rename:
    source: str
    target: str
    inode: int


@dataclasses.dataclass(frozen=True)
class Remove:
    path: str
    inode: int


@dataclasses.dataclass(frozen=True)
class SyncDirectory:
    path: str


@dataclasses.dataclass(frozen=True)
class Reserve:
    inode: int
    size: int
    time: int


@dataclasses.dataclass(frozen=True)
class Truncate:
    inode: int
    time: int


@dataclasses.dataclass(frozen=True)
class Write:
    inode: int
    offset: int
    data: bytes = dataclasses.field(repr=False)
    time: int
    length: int


@dataclasses.dataclass(frozen=True)
class Rot:
    """A byte that changed on the disk itself, with the file's time: nothing of it is in doubt."""

    inode: int
    offset: int
    data: bytes
    time: int


@dataclasses.dataclass(frozen=True)
class SetTime:
    inode: int
    time: int


@dataclasses.dataclass(frozen=True)
class Sync:
    """An ``fsync``; ``good`` is whether it said so."""

    inode: int
    good: bool


@dataclasses.dataclass(frozen=True)
class Said:
    """Not an operation: what the product promised at this point, about an object."""

    what: str
    about: str
    time: int = 0


Naming = MakeDirectory | Create | Rename | Remove
Changing = Reserve | Truncate | Write | SetTime | Rot
Operation = Naming | Changing | SyncDirectory | Sync | Said


class Die(Protocol):
    """Decides what a cut leaves."""

    def below(self, count: int) -> int:
        """Return a number from 0 to ``count`` - 1."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file that is there after the cut; ``time`` in nanoseconds since the epoch."""

    inode: int
    content: bytes = dataclasses.field(repr=False)
    time: int
    size: int


@dataclasses.dataclass(frozen=True)
class Tree:
    """What the disk shows after the cut: directories, and files by their path."""

    directories: frozenset[str]
    files: tuple[tuple[str, File], ...]

    @property
    def key(self) -> bytes:
        """What tells this tree from another."""
        whole = hashlib.blake2b(digest_size=12)
        whole.update("\n".join(sorted(self.directories)).encode())
        for path, file in self.files:
            whole.update(f"\n{path} {file.inode} {file.time} {file.size}\n".encode())
            whole.update(file.content)
        return whole.digest()


def after_cut(operations: Sequence[Operation], die: Die) -> Tree:
    """Return a tree that a power cut after these operations could leave."""
    directories, names = _names(operations, die)
    changes = collections.defaultdict[int, list[Changing | Sync]](list)
    for operation in operations:
        if isinstance(operation, Changing | Sync):
            changes[operation.inode].append(operation)
        elif isinstance(operation, Create):
            changes[operation.inode].append(SetTime(operation.inode, operation.time))
    files = []
    for path, inode in sorted(names.items()):
        if all(parent in directories for parent in _parents(path)):
            files.append((path, _file(inode, changes[inode], die)))
    there = (path for path in directories if all(up in directories for up in _parents(path)))
    return Tree(frozenset(there), tuple(files))


def _names(operations: Sequence[Operation], die: Die) -> tuple[set[str], dict[str, int]]:
    """Return the directories and the inode of each name that are left."""
    directories = set[str]()
    names = dict[str, int]()
    for operation in _naming_that_lasts(operations, die):
        match operation:
            case MakeDirectory(path):
                directories.add(path)
            case Create(path, inode, _):
                names[path] = inode
            case Rename(source, target, inode):
                if names.get(source) == inode:
                    del names[source]
                names[target] = inode
            case Remove(path, inode):
                if names.get(path) == inode:
                    del names[path]
    return directories, names


def _naming_that_lasts(operations: Sequence[Operation], die: Die) -> list[Naming]:
    synced = set[str]()
    sure = list[tuple[Naming, bool]]()
    for operation in reversed(operations):
        if isinstance(operation, SyncDirectory):
            synced.add(operation.path)
        elif isinstance(operation, Naming):
            sure.append((operation, any(place in synced for place in _places(operation))))
    sure.reverse()
    in_doubt = sum(not is_sure for _, is_sure in sure)
    lots = iter(_draw(in_doubt, die))
    return [operation for operation, is_sure in sure if is_sure or next(lots)]


def _places(operation: Naming) -> list[str]:
    """Return the directories whose names it changes."""
    if isinstance(operation, Rename):
        return [_directory(operation.source), _directory(operation.target)]
    return [_directory(operation.path)]


def _draw(count: int, die: Die) -> list[bool]:
    """Draw which of ``count`` things that are in doubt last: all, none, the first ones, or any."""
    if not count:
        return []
    way = die.below(4)
    if way == 0:
        return [True] * count
    if way == 1:
        return [False] * count
    if way == 2:
        first = die.below(count + 1)
        return [number < first for number in range(count)]
    return [die.below(2) == 1 for _ in range(count)]


def _file(inode: int, changes: Sequence[Changing | Sync], die: Die) -> File:
    """Return what is left of a file's bytes and time."""
    sure = list[tuple[Changing, bool]]()
    is_sure = False
    for change in reversed(changes):
        if isinstance(change, Sync):
            # The first one after a change decides for ever.
            is_sure = change.good
        else:
            sure.append((change, is_sure or isinstance(change, Rot)))
    sure.reverse()
    in_doubt = sum(not is_sure for _, is_sure in sure)
    lots = iter(_draw(in_doubt, die))
    may_tear = in_doubt > 0 and die.below(2) == 1
    content = _Content()
    times = [0]
    for change, is_sure in sure:
        if is_sure:
            content.change(change)
            times = [change.time]
        elif next(lots):
            if may_tear:
                content.tear(change, die)
            else:
                content.change(change)
            times.insert(0, change.time)
    time = times[die.below(len(times))] if len(times) > 1 else times[0]
    return File(inode, bytes(content.bytes), time, len(content.bytes))


class _Content:
    """The bytes of a file, as operations reach the disk."""

    def __init__(self) -> None:
        self.bytes = bytearray()

    def change(self, operation: Changing) -> None:
        """Do all of it."""
        match operation:
            case Reserve():
                self._resize(operation.size)
            case Rot(_, offset, data, _):
                self.bytes[offset : offset + len(data)] = data
            case Truncate():
                self._resize(0)
            case Write():
                self._resize(max(len(self.bytes), operation.offset + operation.length))
                self.bytes[operation.offset : operation.offset + operation.length] = operation.data

    def tear(self, operation: Changing, die: Die) -> None:
        """Do a part of it."""
        old = len(self.bytes)
        if not isinstance(operation, Write):
            self.change(operation)
            if len(self.bytes) > old and die.below(2):
                self.bytes[old:] = _JUNK[old : len(self.bytes)]
            return
        end = operation.offset + operation.length
        self._resize(max(old, end))
        if end > old and die.below(2):
            self.bytes[old:end] = _JUNK[old:end]
        sectors = list(_sectors(operation.offset, end))
        for (start, stop), lasts in zip(sectors, _draw(len(sectors), die), strict=True):
            if lasts:
                part = operation.data[start - operation.offset : stop - operation.offset]
                self.bytes[start:stop] = part

    def _resize(self, size: int) -> None:
        del self.bytes[size:]
        self.bytes.extend(bytes(size - len(self.bytes)))


def _sectors(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield start, stop
        start = stop


def _directory(path: str) -> str:
    return path.rpartition("/")[0]


def _parents(path: str) -> Iterator[str]:
    while path := _directory(path):
        yield path
