"""Files, links and directories that are whole, durable and changed only if they are different.

Always true: a file or a link under its final name is the old one or the new one, with its final
mode and owner; whoever reads it while it is replaced reads one of the two. Every verb returns
whether it changed anything. A crash leaves at most something named ``.NAME.tmp`` beside it, which
nothing reads and the next writing replaces.
"""

import dataclasses
import os
import pathlib
import shutil
import stat
from typing import NamedTuple

PROGRAM = 0o755
PUBLIC = 0o644
SHARED = 0o640
SECRET = 0o600


@dataclasses.dataclass(frozen=True)
class File:
    """A file beside the settings.

    Attributes:
        content: all of it.
        is_secret: whether only the unit's user may read it (mode 0600). Otherwise it is root's
            and the unit's group may read it (mode 0640).
    """

    content: bytes
    is_secret: bool = False


class Owner(NamedTuple):
    """A user and a group, by number."""

    uid: int
    gid: int


def ensure(path: pathlib.Path, content: bytes, mode: int, owner: Owner) -> bool:
    """Have ``content`` be the whole of the file ``path``."""
    if _is_as_wanted(path, content, mode, owner):
        return False
    aside = _aside(path)
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET)
    with os.fdopen(descriptor, "wb") as file:
        os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    aside.replace(path)
    sync_directory(path.parent)
    return True


def ensure_link(path: pathlib.Path, target: pathlib.Path) -> bool:
    """Have ``path`` be a symbolic link to ``target``, in place of whatever file has its name."""
    if path.is_symlink() and path.readlink() == target:
        return False
    aside = _aside(path)
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.replace(path)
    sync_directory(path.parent)
    return True


def ensure_absent(path: pathlib.Path) -> bool:
    """Have no file and no link under that name."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_directory(path.parent)
    return True


def ensure_directory(path: pathlib.Path, mode: int, owner: Owner) -> bool:
    """Have a directory with that mode and owner; those above it are made for all to pass."""
    changed = False
    if not path.is_dir():
        ensure_parents(path)
        path.mkdir(mode=mode & 0o700)
        sync_directory(path.parent)
        changed = True
    found = path.stat()
    if (found.st_uid, found.st_gid) != owner:
        os.chown(path, *owner)
        changed = True
    if stat.S_IMODE(found.st_mode) != mode:
        path.chmod(mode)
        changed = True
    return changed


def ensure_parents(path: pathlib.Path) -> bool:
    """Have the directories above ``path``; those that are made are for all to pass."""
    missing = [each for each in path.parents if not each.is_dir()]
    for directory in reversed(missing):
        directory.mkdir()
        # Not by mkdir: the hook's umask would have a word in it.
        directory.chmod(PROGRAM)
        sync_directory(directory.parent)
    return bool(missing)


def ensure_owned(path: pathlib.Path, owner: Owner) -> bool:
    """Have a directory and all that is in it be ``owner``'s; what fsck(8) found stays root's.

    The directory itself comes last, and is what is looked at: a machine with many objects in its
    storage is not searched each time, and one that was interrupted is.
    """
    found = path.stat()
    if (found.st_uid, found.st_gid) == owner:
        return False
    for directory, directories, names in os.walk(path):
        if "lost+found" in directories:
            directories.remove("lost+found")
        for name in (*directories, *names):
            os.chown(pathlib.Path(directory, name), *owner, follow_symlinks=False)
    os.chown(path, *owner)
    return True


def remove_tree(path: pathlib.Path) -> bool:
    """Remove a directory with all that is in it; it loses its name first, and at once."""
    aside = _aside(path)
    if aside.exists():
        shutil.rmtree(aside)
    if not path.is_dir():
        return False
    path.rename(aside)
    sync_directory(path.parent)
    shutil.rmtree(aside)
    return True


def remove_if_empty(path: pathlib.Path) -> bool:
    """Remove a directory that units share, after the last of them."""
    if not path.is_dir() or any(path.iterdir()):
        return False
    path.rmdir()
    return True


def sync_directory(path: pathlib.Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_as_wanted(path: pathlib.Path, content: bytes, mode: int, owner: Owner) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISREG(found.st_mode)
        and stat.S_IMODE(found.st_mode) == mode
        and (found.st_uid, found.st_gid) == owner
        and path.read_bytes() == content
    )


def _aside(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f".{path.name}.tmp")
