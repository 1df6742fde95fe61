"""Small file systems in memory, which only root can mount."""

import contextlib
import errno
import itertools
import os
import pathlib
import subprocess
from collections.abc import Iterator

from support import tiers


@contextlib.contextmanager
def mounted(place: pathlib.Path, size: int, files: int = 0) -> Iterator[pathlib.Path]:
    """Give ``place`` on a file system of its own, of so many bytes; 0 files is no limit.

    A test that failed may hold files open: then the mount goes with the last of them.
    """
    if os.geteuid() != 0:
        tiers.missing("only root can mount a small file system")
    place.mkdir()
    options = f"size={size}" + (f",nr_inodes={files}" if files else "")
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        tiers.missing("this machine lets nobody mount a file system (a container without rights)")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place: pathlib.Path, option: str) -> None:
    """Change an option of a mounted file system: ``ro``, ``rw``, ``size=BYTES``."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(place)], check=True)


def ballast(place: pathlib.Path, left: int = 0) -> pathlib.Path:
    """Fill a file system as another program does, so that ``left`` bytes are free, in pages."""
    path = place / "ballast"
    with path.open("wb") as stream:
        while True:
            free = os.statvfs(place)
            try:
                os.posix_fallocate(stream.fileno(), 0, free.f_bavail * free.f_frsize - left)
            except OSError as error:
                # Others took a page in between, and the file system gave nothing.
                if error.errno != errno.ENOSPC:
                    raise
            else:
                return path


def take_all_inodes(place: pathlib.Path) -> pathlib.Path:
    """Make empty files, as another program does, until there can be no more; return where."""
    others = place / "others"
    others.mkdir()
    for number in itertools.count():
        try:
            (others / str(number)).touch()
        except OSError:
            break
    return others
