"""The tree of objects: whole ones under their full sha256, their facts, and the partial ones.

::

    objects/<sha256>            the bytes
    facts/<sha256>              what the proof left behind; always there before the object is
    partial/<sha256>.data       bytes on their way in
    partial/<sha256>.journal    which of them count
    damaged/<sha256>            what was once proved and no longer is what it was

Always true: a file in ``objects/`` was proved before it got its name, and an object is opened only
if it still is, by size, time and inode, the file that was proved. What is no regular file is never
opened; it moves to ``damaged/`` where it is in the way of an object. Nothing in this module
decides what to keep.
"""

import contextlib
import dataclasses
import errno
import hashlib
import itertools
import logging
import os
import pathlib
from collections.abc import Callable, Iterator

from boot_resources import digests, errors, units
from boot_resources.store import blocks, facts, journal, partial, regular
from boot_resources.store import disk as disks

logger = logging.getLogger(__name__)


class ObjectMissing(errors.BootResourcesError):
    """There is no whole object of that name here."""


class ObjectChanged(errors.BootResourcesError):
    """The file under an object's name is not the one that was proved."""


@dataclasses.dataclass(frozen=True)
class Occupied:
    """A name in the tree and the space it takes.

    Attributes:
        sha256: the object.
        space: bytes on the disk (``st_blocks``), facts or journal included.
    """

    sha256: str
    space: int


class OpenObject:
    """A whole object, open for reading; closed by the caller (a context manager)."""

    def __init__(self, fd: int, stamp: facts.Stamp) -> None:
        self.fd = fd
        self.stamp = stamp

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self.stamp.size

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)

    def __enter__(self) -> "OpenObject":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ObjectTree:
    """The objects below one directory.

    Attributes:
        root: the directory.
        disk: the file layer.
        damaged: the directory below it of what was set aside.
    """

    def __init__(self, root: pathlib.Path, disk: disks.Disk | None = None) -> None:
        self.root = root
        self.disk = disk or disks.Disk()
        self._objects = root / "objects"
        self._facts = root / "facts"
        self._partial = root / "partial"
        self.damaged = root / "damaged"
        # Facts that the disk did not take, of objects that were proved all the same.
        self._unwritten: dict[str, facts.Facts] = {}

    def prepare(self) -> None:
        """Make the directories that are not there yet, and sweep up what a crash left behind.

        Raises:
            OSError: the disk refused, or one of the directories is a symbolic link.
        """
        for directory in (self._objects, self._facts, self._partial, self.damaged):
            prepare_directory(self.disk, directory)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what a crash left that nothing else would count, or use.

        That is facts of no object, a partial object that lacks its journal or its data, and one
        that is here whole, too: its removal, or its old name's, had not reached the disk.
        """
        whole = _file_names(self._objects)
        for name in _file_names(self._facts) - whole:
            sha256 = name.removeprefix(".").removesuffix(".new")
            if digests.is_sha256(sha256):
                self.disk.remove(self._facts / name)
        partial_files = _file_names(self._partial)
        for name in partial_files:
            sha256, _, kind = name.partition(".")
            other = {"data": "journal", "journal": "data"}.get(kind, "")
            is_useless = sha256 in whole or f"{sha256}.{other}" not in partial_files
            if other and is_useless and digests.is_sha256(sha256):
                self.disk.remove(self._partial / name)

    def path(self, sha256: str) -> pathlib.Path:
        """Return where the whole object lies or would lie."""
        return self._objects / digests.check_sha256(sha256)

    def whole(self) -> Iterator[Occupied]:
        """Return every whole object and the space that it and its facts take."""
        beside = {entry.name: _space(entry) for entry in os.scandir(self._facts)}
        for entry in os.scandir(self._objects):
            if digests.is_sha256(entry.name) and entry.is_file(follow_symlinks=False):
                yield Occupied(entry.name, _space(entry) + beside.get(entry.name, 0))

    def strangers(self) -> Iterator[pathlib.Path]:
        """Return what lies among the objects and is not one by its name or kind."""
        for entry in os.scandir(self._objects):
            if not (digests.is_sha256(entry.name) and entry.is_file(follow_symlinks=False)):
                yield pathlib.Path(entry.path)

    def partials(self) -> Iterator[Occupied]:
        """Return every partial object and the space that it takes."""
        for entry in os.scandir(self._partial):
            name, _, kind = entry.name.partition(".")
            is_file = entry.is_file(follow_symlinks=False)
            if kind == "data" and is_file and digests.is_sha256(name):
                beside = self._partial / f"{name}.journal"
                space = _space(entry)
                with contextlib.suppress(FileNotFoundError):
                    space += beside.stat().st_blocks * 512
                yield Occupied(name, space)

    def space_of(self, sha256: str) -> int:
        """Return the bytes on the disk that a whole or partial object takes now."""
        places = (
            self._objects / sha256,
            self._facts / sha256,
            self._partial / f"{sha256}.data",
            self._partial / f"{sha256}.journal",
        )
        space = 0
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                space += place.stat().st_blocks * 512
        return space

    def facts_of(self, sha256: str) -> facts.Facts:
        """Return what is known of a whole object.

        Raises:
            ObjectMissing: there are no facts about it.
            facts.BadFacts: they are damaged.
        """
        if sha256 in self._unwritten:
            return self._unwritten[sha256]
        try:
            known = facts.Facts.from_bytes(regular.read(self._facts / sha256))
        except FileNotFoundError:
            raise ObjectMissing(f"object {sha256[:12]} is not here") from None
        except regular.NotAFile as error:
            raise facts.BadFacts(f"the facts about object {sha256[:12]} are no file") from error
        if known.sha256 != sha256:
            raise facts.BadFacts(f"the facts about object {sha256[:12]} are those of another")
        return known

    def open(self, sha256: str, stamp: facts.Stamp | None = None) -> OpenObject:
        """Open a whole object for reading, if it still is the file that was proved.

        Args:
            sha256: the object.
            stamp: what the file was when it was proved, from an earlier call; without it the
                facts are read.

        Raises:
            ObjectMissing: it is not here.
            ObjectChanged: size, time or inode differ from what was proved, its facts are gone, or
                something else than a file has its name.
        """
        try:
            fd = regular.open_to_read(self.path(sha256))
        except FileNotFoundError:
            raise ObjectMissing(f"object {sha256[:12]} is not here") from None
        except regular.NotAFile:
            raise ObjectChanged(f"object {sha256[:12]} is no longer a file") from None
        try:
            stamp = stamp or self._proved_stamp(sha256)
            if stamp != facts.Stamp.of(os.fstat(fd)):
                raise ObjectChanged(
                    f"object {sha256[:12]} in {self._objects} was changed since it was proved"
                )
        except BaseException:
            os.close(fd)
            raise
        return OpenObject(fd, stamp)

    def _proved_stamp(self, sha256: str) -> facts.Stamp:
        try:
            return self.facts_of(sha256).stamp
        except (ObjectMissing, facts.BadFacts) as error:
            raise ObjectChanged(f"object {sha256[:12]} has no usable facts: {error}") from error

    def begin(
        self, sha256: str, size: int, block_map: blocks.BlockMap | None = None
    ) -> partial.Partial:
        """Open the partial object of that name, or start it; its whole space is reserved.

        A partial of another size is removed first: sizes come from a signed document. So is one
        whose journal does not say what it is. What is no file and has one of the object's names
        moves aside now, and not when all bytes have come and cannot get their name.

        Raises:
            OSError: ``ENOSPC`` where there is no space for the whole object.
        """
        digests.check_sha256(sha256)
        paths = partial.Paths(
            data=self._partial / f"{sha256}.data", journal=self._partial / f"{sha256}.journal"
        )
        for place in (self._objects / sha256, self._facts / sha256, paths.data, paths.journal):
            self._make_way(place)
        header = journal.Header(sha256, size)
        if journal.read_header(paths.journal) != header:
            self.disk.remove(paths.journal)
            self.disk.remove(paths.data)
        return partial.Partial(self.disk, paths, header, block_map)

    def publish(self, incoming: partial.Partial) -> facts.Facts:
        """Prove a partial object and give it its name; the caller closes it afterwards.

        Raises:
            partial.WrongObject: its bytes are not the object's; nothing was published.
            OSError: the disk refused; the bytes cannot be trusted, ``discard`` them.
        """
        block_map = incoming.prove()
        found = incoming.settle()
        try:
            known = _facts(incoming.sha256, block_map, found)
            self._record(known)
            incoming.move_to(self._objects / incoming.sha256)
        except OSError:
            # Whether it has its name by now is not known; it must not count, nor take space.
            with contextlib.suppress(OSError):
                self.remove(incoming.sha256)
            raise
        return known

    def _record(self, known: facts.Facts) -> None:
        self._unwritten.pop(known.sha256, None)
        self.disk.publish(self._facts / known.sha256, known.to_bytes())

    def prove_again(self, sha256: str, go_on: Callable[[], None] = lambda: None) -> facts.Facts:
        """Hash a whole object that has no usable facts, and write them anew.

        Where the disk does not take them they are kept in memory: a full disk must not take an
        object out of service that was proved a moment ago. The next start proves it again.

        Args:
            sha256: the object.
            go_on: called between two reads; what it raises ends the hashing.

        Raises:
            ObjectChanged: its bytes are not what its name says.
            OSError: it is not there, or cannot be read.
        """
        whole = hashlib.sha256()
        block_digests = []
        try:
            fd = regular.open_to_read(self.path(sha256))
        except regular.NotAFile as error:
            raise ObjectChanged(f"object {sha256[:12]} is not a regular file") from error
        with os.fdopen(fd, "rb", buffering=0) as stream:
            before = os.fstat(stream.fileno())
            while block := stream.read(blocks.BLOCK_SIZE):
                go_on()
                whole.update(block)
                block_digests.append(hashlib.sha256(block).digest())
            # The facts are durable; what they speak of must be so before them.
            self.disk.sync(stream.fileno())
            after = os.fstat(stream.fileno())
        unchanged = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        if whole.hexdigest() != sha256 or not unchanged:
            raise ObjectChanged(f"object {sha256[:12]} has other bytes than its name says")
        known = _facts(sha256, blocks.BlockMap(after.st_size, b"".join(block_digests)), after)
        try:
            self._record(known)
        except OSError as error:
            logger.warning("the facts about object %s stay in memory: %s", sha256[:12], error)
            self._unwritten[sha256] = known
        return known

    def set_aside(self, sha256: str) -> None:
        """Take an object that is not what it was out of service, and keep its bytes to look at.

        They get the time now, from which their keeping counts, and replace what was kept before.
        """
        self.move_out(sha256, self._aside(self._objects / sha256))

    def _make_way(self, path: pathlib.Path) -> None:
        """Move what is no file of ours, and has the name of one, to the damaged."""
        if regular.is_something_else(path):
            self.disk.rename(path, self._aside(path))

    def _aside(self, path: pathlib.Path) -> pathlib.Path:
        """Return where among the damaged something goes; only a file replaces a file."""
        is_file = regular.look(path) is not None
        target = self.damaged / path.name
        for number in itertools.count(1):
            if not os.path.lexists(target) or (is_file and regular.look(target)):
                break
            target = self.damaged / f"{path.name}.{number}"
        return target

    def move_out(self, sha256: str, target: pathlib.Path) -> None:
        """Take a whole object out of the tree to ``target``, with the time now; its facts go."""
        self._make_way(target)
        with contextlib.suppress(FileNotFoundError):
            self.disk.touch(self._objects / sha256)
            self.disk.rename(self._objects / sha256, target)
        self._remove_facts(sha256)

    def remove(self, sha256: str) -> None:
        """Remove a whole object and its facts, the object first."""
        self.disk.remove(self._objects / sha256)
        self._remove_facts(sha256)

    def _remove_facts(self, sha256: str) -> None:
        self._unwritten.pop(sha256, None)
        self.disk.remove(self._facts / sha256)

    def remove_partial(self, sha256: str) -> None:
        """Remove what came of an object that is not whole."""
        self.disk.remove(self._partial / f"{sha256}.journal")
        self.disk.remove(self._partial / f"{sha256}.data")


def prepare_directory(disk: disks.Disk, path: pathlib.Path) -> None:
    """Make a directory of ours if it is not there.

    Raises:
        OSError: the disk refused; ``ENOTDIR`` where it is a symbolic link, which may lead to what
            is not ours, and to another file system, onto which nothing can be renamed.
    """
    if path.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "is a symbolic link", str(path))
    disk.make_directory(path)


def _facts(sha256: str, block_map: blocks.BlockMap, found: os.stat_result) -> facts.Facts:
    return facts.Facts(
        sha256=sha256, block_map=block_map, stamp=facts.Stamp.of(found), proved=units.utc_now()
    )


def _file_names(directory: pathlib.Path) -> set[str]:
    with os.scandir(directory) as entries:
        return {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}


def _space(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        # It was removed, or got another name, since the directory was read.
        return 0
