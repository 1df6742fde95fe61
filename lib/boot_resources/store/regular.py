"""Only regular files are opened, and no symbolic link is followed.

Whoever can write into a store's directory could put something else under the name of one of our
files: a link to a file elsewhere, which we would read or overwrite; a named pipe, which would hold
up for ever whoever opens it; a directory. All of these count as *not a file of ours* here.
"""

import errno
import os
import pathlib
import stat

_NOT_A_FILE = frozenset({errno.ELOOP, errno.ENXIO})
"""What open(2) says of a symbolic link that it may not follow, and of a socket."""


class NotAFile(OSError):
    """Something else than a regular file has the name."""


def open_to_read(path: pathlib.Path) -> int:
    """Return a descriptor of the regular file at ``path``; the caller closes it.

    Raises:
        NotAFile: it is something else.
        OSError: it is not there, or cannot be opened.
    """
    try:
        # Without O_NONBLOCK a pipe without a writer would keep us here.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_A_FILE:
            raise _refusal(path) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _refusal(path)
    return fd


def _refusal(path: pathlib.Path) -> NotAFile:
    return NotAFile(errno.EINVAL, "not a regular file", str(path))


def read(path: pathlib.Path) -> bytes:
    """Return the content of the regular file at ``path``.

    Raises:
        NotAFile: it is something else.
        OSError: it is not there, or cannot be read.
    """
    with os.fdopen(open_to_read(path), "rb") as stream:
        return stream.read()


def look(path: pathlib.Path) -> os.stat_result | None:
    """Return what the regular file at ``path`` is; None where there is none."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def is_something_else(path: pathlib.Path) -> bool:
    """Return whether something has the name ``path`` and is no regular file."""
    return os.path.lexists(path) and look(path) is None
