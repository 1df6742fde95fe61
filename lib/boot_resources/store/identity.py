"""Whose directory this is: ``store.json`` names the cluster, ``cache.json`` marks a rack's cache.

Always true: a controller writes only below a directory that was empty when it first came, or that
carries its mark; and only while it holds the lock on that mark, which one process has at a time
and which ends with it. A store of another cluster, a directory that another controller uses, or
one with content and no mark (MAAS's own image-storage is one) is refused, and nothing in it is
touched.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import pathlib

from boot_resources import errors, units
from boot_resources.store import disk as disks

FORMAT = 1
_HARMLESS = frozenset({"lost+found"})


class ForeignDirectory(errors.BootResourcesError):
    """The directory is not this controller's to write to."""


class AnotherCluster(ForeignDirectory):
    """The store belongs to another cluster.

    Attributes:
        root: the store.
        owner: the cluster that it belongs to.
    """

    def __init__(self, root: pathlib.Path, owner: str, cluster: str) -> None:
        super().__init__(
            f"the store {root} belongs to cluster {owner}, the catalog to {cluster}",
            "point catalog.url to that cluster's catalog, or storage.path to an empty "
            "directory; nothing was touched",
        )
        self.root = root
        self.owner = owner


class InUse(ForeignDirectory):
    """Another controller that runs now uses the directory."""


@dataclasses.dataclass(frozen=True)
class Mark:
    """Who a directory belongs to.

    Attributes:
        kind: ``store`` or ``cache``; the mark lies in ``<kind>.json``.
        owner: the cluster's UUID for a store; empty for a cache, which any cluster may fill.
        option: the settings key that names the directory, for the messages.
    """

    kind: str
    owner: str
    option: str

    @property
    def file(self) -> str:
        """Name of the file that carries the mark."""
        return f"{self.kind}.json"


def store_of(cluster: str) -> Mark:
    """Return the mark of a region's image-storage."""
    return Mark("store", cluster, "storage.path")


CACHE = Mark("cache", "", "cache.path")


def recorded_owner(root: pathlib.Path) -> str | None:
    """Return the cluster whose store ``root`` says it is; None where it says nothing."""
    try:
        return str(json.loads((root / "store.json").read_text())["owner"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Hold:
    """A directory that is ours while this lasts: until ``release``, or the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Let another controller have the directory. May be called once."""
        os.close(self._fd)


def establish(root: pathlib.Path, mark: Mark, disk: disks.Disk) -> Hold:
    """Make sure that ``root`` carries ``mark``, and take it; an empty directory gets the mark.

    Raises:
        InUse: another controller has it.
        ForeignDirectory: it is something else; the message names what, and the cure.
    """
    path = root / mark.file
    try:
        missing = [place for place in (root, *root.parents) if not place.is_dir()]
        for place in reversed(missing):
            disk.make_directory(place)
        if not path.exists():
            _refuse_content(root, mark)
            _write(root, mark, disk)
        with contextlib.ExitStack() as opened:
            fd = _open(path)
            opened.callback(os.close, fd)
            _check(path, mark)
            _lock(fd, path, mark)
            opened.pop_all()
    except OSError as error:
        raise unusable(root, mark, error) from error
    return Hold(fd)


def _refuse_content(root: pathlib.Path, mark: Mark) -> None:
    aside = f".{mark.file}.new"
    content = sorted({entry.name for entry in root.iterdir()} - _HARMLESS - {aside})
    if content:
        listed = ", ".join(content[:3]) + (", ..." if len(content) > 3 else "")
        raise ForeignDirectory(
            f"{root} has content and no {mark.file}: boot-resources did not make it as a "
            f"{mark.kind} (found: {listed})",
            f"set {mark.option} to an empty directory; nothing here was touched",
        )


def _open(path: pathlib.Path) -> int:
    """Open the mark for a lock. On NFS that takes a file that is open for writing (flock(2))."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        # What a disk that takes no change holds can still be served.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _lock(fd: int, path: pathlib.Path, mark: Mark) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken = os.fstat(fd).st_ino != path.stat().st_ino
    except BlockingIOError:
        taken = True
    # The mark that we locked is no longer the one that is there: two came for the first time.
    if taken:
        raise InUse(
            f"another controller is running and uses the {mark.kind} {path.parent}",
            f"stop it, or set {mark.option} to a directory of its own; nothing was touched",
        )


def unusable(root: pathlib.Path, mark: Mark, error: OSError) -> ForeignDirectory:
    """Return the refusal of a directory that the operating system does not let us use."""
    return ForeignDirectory(
        f"{root} cannot be used as a {mark.kind}: {error.strerror}",
        f"check {mark.option}, its owner, its mount and its free space",
    )


def _write(root: pathlib.Path, mark: Mark, disk: disks.Disk) -> None:
    created = units.utc_now().isoformat(timespec="seconds")
    body = {"format": FORMAT, "owner": mark.owner, "created": created}
    disk.publish(root / mark.file, json.dumps(body, indent=2).encode() + b"\n")


def _check(path: pathlib.Path, mark: Mark) -> None:
    try:
        body = json.loads(path.read_text())
        owner, form = str(body["owner"]), int(body["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise ForeignDirectory(
            f"{path} cannot be read: {error}",
            "restore it from a backup; nothing was touched",
        ) from error
    if form != FORMAT:
        raise ForeignDirectory(
            f"the {mark.kind} {path.parent} has format {form}; this version reads {FORMAT}",
            "install the version of boot-resources that wrote it",
        )
    if owner != mark.owner:
        raise AnotherCluster(path.parent, owner, mark.owner)
