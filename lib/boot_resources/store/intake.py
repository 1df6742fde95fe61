"""Taking wanted objects out of a directory that is somebody else's, as MAAS's image-storage is.

Always true: nothing in that directory is changed, and no symbolic link in it is followed. A file
is taken for what its bytes are, whatever its name: it is hashed whole before the store is touched,
and once more, by the proof, as it is copied. It is copied and not linked: whoever owns the
directory may still write into its files.

The order is: look, hash what may be wanted, check the space for all of it, copy. It may be ended
anywhere and run again: what was taken is held, and what was copied in part goes on.
"""

import dataclasses
import enum
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures

from boot_resources import errors
from boot_resources.store import audit, blocks, maas, partial, regular, storage


class NoDirectory(errors.BootResourcesError):
    """The directory cannot be taken from."""


class Outcome(enum.StrEnum):
    """What became of one file of the directory."""

    TAKEN = "taken"
    """It is a wanted object, and held now."""
    HELD = "held"
    """It is an object that was held already."""
    WRONG = "wrong"
    """It has the name of a wanted object, and not its bytes."""
    UNREADABLE = "unreadable"
    """It cannot be read."""
    UNKNOWN = "unknown"
    """Nothing that is wanted."""


@dataclasses.dataclass(frozen=True)
class File:
    """One file of the directory.

    Attributes:
        path: where it lies.
        size: bytes.
        outcome: what became of it.
        sha256: the object that it is, or that its name promises; empty where neither is known.
        detail: what there is to add.
    """

    path: pathlib.Path
    size: int
    outcome: Outcome
    sha256: str = ""
    detail: str = ""


def promised(name: str, known: Mapping[str, int]) -> str:
    """Return the object of ``known`` that a file's name promises; empty where it is not one."""
    if not maas.is_name(name):
        return ""
    found = [sha256 for sha256 in known if sha256.startswith(name)]
    return found[0] if len(found) == 1 else ""


class Intake:
    """One taking from one directory. ``run`` once; the attributes may be read by any thread.

    Attributes:
        phase: ``looking``, ``hashing`` or ``copying``.
        done: bytes of this phase that are done.
        total: bytes of this phase.
    """

    def __init__(
        self,
        store: storage.Storage,
        directory: pathlib.Path,
        wanted: Mapping[str, int],
        cancelled: audit.Cancelled,
    ) -> None:
        """Put the parts together; nothing is read yet.

        Args:
            store: what takes; nobody else may bring objects into it meanwhile.
            directory: an absolute path.
            wanted: the bytes of each object that should be held, by its sha256.
            cancelled: whether to end.
        """
        self.phase = "looking"
        self.done = 0
        self.total = 0
        self._store = store
        self._directory = directory
        self._wanted = wanted
        self._sizes = frozenset(wanted.values())
        self._cancelled = cancelled
        # Directories that the operating system does not let us look into.
        self._closed: list[File] = []

    def run(self) -> list[File]:
        """Take all that is wanted and right; return what became of each file, by its path.

        A directory below that cannot be read counts as one unreadable file.

        Raises:
            NoDirectory: it is not one, cannot be read, or is the store's own.
            space.NotEnoughSpace: there is no room for all that would be taken.
            audit.Ended: ``cancelled`` said so.
            OSError: the store's disk refused.
        """
        found = [self._look(path) for path in sorted(self._files())]
        candidates = [file for file in found if file.outcome is Outcome.TAKEN]
        self._enter("hashing", sum(file.size for file in candidates))
        with futures.ThreadPoolExecutor(os.cpu_count() or 1, "intake") as pool:
            hashed = list(pool.map(self._hash, candidates))
        right = {file.sha256: file for file in hashed if file.outcome is Outcome.TAKEN}
        self._store.room_for({sha256: self._wanted[sha256] for sha256 in right}).require()
        self._enter("copying", sum(file.size for file in right.values()))
        judged = {file.path: file for file in (*found, *self._closed, *hashed)}
        for file in hashed:
            if file.outcome is Outcome.TAKEN:
                judged[file.path] = self._take(file)
        return list(judged.values())

    def _enter(self, phase: str, total: int) -> None:
        self.phase, self.done, self.total = phase, 0, total

    def _files(self) -> Iterator[pathlib.Path]:
        own = self._store.root.resolve()
        top = self._directory.resolve()
        if own == top or own in top.parents:
            raise NoDirectory(
                f"{self._directory} is this region's own storage, or a part of it",
                "to take over a store of another cluster, stop the region and run "
                "`boot-resources store adopt` without a directory",
            )

        def closed(directory: pathlib.Path, error: OSError) -> None:
            if directory == top:
                raise NoDirectory(
                    f"{top} cannot be read: {error.strerror}",
                    "name a directory that the region's user can read; nothing was taken",
                ) from error
            self._closed.append(_unreadable(File(directory, 0, Outcome.UNREADABLE), error))

        yield from _walk(top, own, closed)

    def _look(self, path: pathlib.Path) -> File:
        """Judge a file by its name and size; TAKEN stands for: its bytes decide."""
        if self._cancelled():
            raise audit.Ended
        try:
            there = regular.look(path)
        except OSError as error:
            return _unreadable(File(path, 0, Outcome.UNREADABLE), error)
        if there is None:
            return File(path, 0, Outcome.UNREADABLE, detail="it is gone")
        size = there.st_size
        sha256 = promised(path.name, self._wanted)
        if sha256 in self._store.held() and size == self._wanted[sha256]:
            return File(path, size, Outcome.HELD, sha256)
        if size in self._sizes:
            return File(path, size, Outcome.TAKEN, sha256)
        if not sha256:
            return File(path, size, Outcome.UNKNOWN)
        detail = f"it has {size} bytes, the object of its name {self._wanted[sha256]}"
        return File(path, size, Outcome.WRONG, sha256, detail)

    def _hash(self, file: File) -> File:
        whole = hashlib.sha256()
        try:
            with os.fdopen(regular.open_to_read(file.path), "rb", buffering=0) as stream:
                while data := stream.read(blocks.BLOCK_SIZE):
                    if self._cancelled():
                        raise audit.Ended
                    whole.update(data)
                    # Threads may lose one another's sums: this is for the eye.
                    self.done += len(data)
        except OSError as error:
            return _unreadable(file, error)
        sha256 = whole.hexdigest()
        if sha256 in self._store.held():
            return dataclasses.replace(file, outcome=Outcome.HELD, sha256=sha256)
        if sha256 in self._wanted:
            return dataclasses.replace(file, sha256=sha256)
        if file.sha256:
            detail = f"its bytes have the sha256 {sha256[:12]}..."
            return dataclasses.replace(file, outcome=Outcome.WRONG, detail=detail)
        return dataclasses.replace(file, outcome=Outcome.UNKNOWN)

    def _take(self, file: File) -> File:
        if file.sha256 in self._store.held():
            # Another file had the same bytes.
            return dataclasses.replace(file, outcome=Outcome.HELD)
        try:
            fd = regular.open_to_read(file.path)
        except OSError as error:
            return _unreadable(file, error)
        try:
            return self._copy(fd, file)
        finally:
            os.close(fd)

    def _copy(self, fd: int, file: File) -> File:
        incoming = self._store.begin(file.sha256, self._wanted[file.sha256])
        try:
            for run in list(incoming.missing()):
                for index in run:
                    if self._cancelled():
                        raise audit.Ended
                    data = _read(fd, index, incoming.size)
                    incoming.write(index, data)
                    self.done += len(data)
            self._store.publish(incoming)
        except (_Unreadable, partial.WrongBlock, partial.WrongObject) as error:
            incoming.discard()
            detail = f"it changed since it was hashed: {error}"
            return dataclasses.replace(file, outcome=Outcome.WRONG, detail=detail)
        except OSError:
            # What a failing disk took cannot be trusted (see store.disk).
            incoming.discard()
            raise
        except BaseException:
            incoming.close()
            raise
        incoming.close()
        return file


class _Unreadable(Exception):
    """The file could be read before, and cannot now."""


def _read(fd: int, index: int, size: int) -> bytes:
    try:
        return os.pread(fd, blocks.block_length(index, size), blocks.block_start(index))
    except OSError as error:
        raise _Unreadable(error.strerror) from error


def _unreadable(file: File, error: OSError) -> File:
    return dataclasses.replace(
        file, outcome=Outcome.UNREADABLE, detail=error.strerror or str(error)
    )


def _walk(
    directory: pathlib.Path,
    leave_out: pathlib.Path,
    closed: Callable[[pathlib.Path, OSError], None],
) -> Iterator[pathlib.Path]:
    """Yield the regular files below ``directory``; no link is followed.

    Args:
        directory: where to begin.
        leave_out: a directory that is not looked into.
        closed: is told of each directory that cannot be read, and why.
    """
    try:
        with os.scandir(directory) as found:
            entries = list(found)
    except OSError as error:
        closed(directory, error)
        return
    for entry in entries:
        path = pathlib.Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if path != leave_out:
                yield from _walk(path, leave_out, closed)
        elif entry.is_file(follow_symlinks=False):
            yield path
