"""Small files that must be whole: keys, certificates, the member list.

Always true: a file under its final name is the old one or the new one, complete and durable. A
crash leaves at most a file ``.NAME.<random>.new`` beside it, which nothing reads. A file gets its
final mode when it is created and before its first byte, so a key is at no moment readable by
others.
"""

import contextlib
import fcntl
import os
import pathlib
import secrets
from collections.abc import Iterator

from boot_resources import errors

PRIVATE = 0o600
PUBLIC = 0o644


class NotWritten(errors.BootResourcesError):
    """A file could not be written and made durable; it is the old one or the new one, whole."""


def write(path: pathlib.Path, content: bytes, *, mode: int) -> None:
    """Make ``content`` the whole of the file ``path``, over what was there before.

    Raises:
        NotWritten: where the file cannot be made, or made durable.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        try:
            _create(aside, content, mode)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise NotWritten(
            f"cannot write {path}: {error.strerror}",
            f"make sure that {path.parent} exists, has room and is yours to write",
        ) from error


def make_directory(path: pathlib.Path) -> None:
    """Make the directory ``path``, with mode 0700, if it is not there yet.

    Raises:
        NotWritten: it cannot be made, or something else has its name.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise NotWritten(
            f"cannot make the directory {path}: {error.strerror}",
            "run this as root, or choose another place",
        ) from error


def make_private(directory: pathlib.Path) -> None:
    """Close ``directory`` to everyone but its owner.

    Raises:
        NotWritten: it is another's.
    """
    try:
        directory.chmod(0o700)
    except OSError as error:
        raise NotWritten(
            f"cannot change the mode of {directory}: {error.strerror}",
            "run this as its owner, usually root",
        ) from error


@contextlib.contextmanager
def locked(directory: pathlib.Path) -> Iterator[None]:
    """Hold ``directory`` for one writer at a time, across processes; wait until it is free.

    Raises:
        NotWritten: where the directory cannot be opened.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotWritten(
            f"cannot open the directory {directory}: {error.strerror}",
            "name a directory that exists and that you may write",
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _create(path: pathlib.Path, content: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(content)
        file.flush()
        os.fsync(fd)


def _sync_directory(path: pathlib.Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
