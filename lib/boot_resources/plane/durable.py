"""Small files that must be whole: keys, certificates, the member list.

Always true: a file under its final name is the old one or the new one, complete and durable. A
crash leaves at most a file ``.NAME.<random>.new`` beside it, which nothing reads, and which a
later writing removes. A file gets its final mode when it is created and before its first byte, so
a key is at no moment readable by others.
"""

import contextlib
import fcntl
import glob
import os
import pathlib
import secrets
import time
from collections.abc import Iterator

from boot_resources import errors

PRIVATE = 0o600
PUBLIC = 0o644
_LEFT_SECONDS = 3600.0
"""Nobody takes so long to write such a file: what lies beside it was left by a crash."""


class NotWritten(errors.BootResourcesError):
    """A file could not be written and made durable; it is the old one or the new one, whole."""


def write(path: pathlib.Path, content: bytes, *, mode: int) -> None:
    """Make ``content`` the whole of the file ``path``, over what was there before.

    Raises:
        NotWritten: where the file cannot be made, or made durable.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        _sweep(path)
        try:
            _create(aside, content, mode)
            # Not a method of the path: tests record what this module asks of `os`.
            os.replace(aside, path)  # noqa: PTH105
        except OSError:
            aside.unlink(missing_ok=True)
            raise
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
        for place in reversed((path, *path.parents)):
            if place == path or not place.is_dir():
                place.mkdir(mode=0o700 if place == path else 0o777, exist_ok=True)
                _sync_directory(place.parent)
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
    try:
        os.fchmod(fd, mode)
        left = memoryview(content)
        while left:
            left = left[os.write(fd, left) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _sweep(path: pathlib.Path) -> None:
    """Remove what crashes left beside a file. Several may write it at once; none is disturbed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                left.unlink()


def _sync_directory(path: pathlib.Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
