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
from collections.abc import Iterator

from boot_resources import errors, units
from boot_resources.store import disk as disks
from boot_resources.store import maas

FORMAT = 1
_HARMLESS = frozenset({"lost+found"})


ADOPT = "or make it this cluster's with `boot-resources store adopt`"


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
            f"directory; {ADOPT}; nothing was touched",
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


@dataclasses.dataclass(frozen=True)
class Found:
    """What the mark of a store says.

    Attributes:
        owner: the cluster; None where it names none.
        problem: why not, in words; empty where it does.
    """

    owner: str | None
    problem: str = ""


def look_at_store(root: pathlib.Path) -> Found:
    """Return whose store ``root`` says it is.

    Raises:
        ForeignDirectory: it has a format that this version does not read.
    """
    path = root / "store.json"
    try:
        owner, form = _parse(path)
    except FileNotFoundError:
        return Found(None, "its store.json is missing")
    except (OSError, ValueError, KeyError, TypeError):
        return Found(None, "its store.json cannot be read")
    _check_format(path, form, "store")
    return Found(owner)


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
        if path.exists():
            disk.confirm(root)
        else:
            _keep_out_of_maas(root, mark)
            for place in reversed((root, *root.parents)):
                disk.make_directory(place)
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


def require_takeable(root: pathlib.Path, mark: Mark) -> None:
    """Do nothing where ``establish`` would find a mark or no content; changes nothing.

    Raises:
        ForeignDirectory: it is something else; the message names what, and the cure.
    """
    if not (root / mark.file).exists():
        _keep_out_of_maas(root, mark)
        if root.is_dir():
            _refuse_content(root, mark)


def _refuse_content(root: pathlib.Path, mark: Mark) -> None:
    aside = f".{mark.file}.new"
    content = sorted({entry.name for entry in root.iterdir()} - _HARMLESS - {aside})
    if content:
        listed = ", ".join(content[:3]) + (", ..." if len(content) > 3 else "")
        raise ForeignDirectory(
            f"{root} has content and no {mark.file}: boot-resources did not make it as a "
            f"{mark.kind} (found: {listed})",
            _cure_of_content(root, mark),
        )


def _keep_out_of_maas(root: pathlib.Path, mark: Mark) -> None:
    owner = next(filter(maas.is_storage, root.parents), None)
    if owner is not None:
        raise ForeignDirectory(
            f"{root} lies within {owner}, which looks like an image-storage of MAAS: MAAS removes "
            "what it does not know there",
            f"set {mark.option} to a directory outside of it; nothing was touched",
        )


def _cure_of_content(root: pathlib.Path, mark: Mark) -> str:
    if mark.kind == "store" and (root / "objects").is_dir():
        return f"restore its {mark.file} from a backup, {ADOPT}; nothing here was touched"
    if mark.kind == "store" and maas.is_storage(root):
        return (
            "it looks like an image-storage of MAAS: set storage.path to an empty directory, and "
            f"take over the images with `boot-resources store adopt {root}`; nothing here was "
            "touched"
        )
    return f"set {mark.option} to an empty directory; nothing here was touched"


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


def _place(root: pathlib.Path, error: OSError) -> str:
    """Return what an error is about, where it is within the directory; else the directory."""
    named = error.filename
    return named if isinstance(named, str) and str(root) in named else str(root)


def unusable(root: pathlib.Path, mark: Mark, error: OSError) -> ForeignDirectory:
    """Return the refusal of a directory that the operating system does not let us use."""
    return ForeignDirectory(
        f"{_place(root, error)} cannot be used as a {mark.kind}: {error.strerror}",
        f"check {mark.option}, its owner, its mount and its free space",
    )


def claim(root: pathlib.Path, mark: Mark, disk: disks.Disk) -> None:
    """Give a directory this mark, whatever it had before; that is kept as ``<kind>.json.before``.

    The caller has proved anew all that is in it, or there is nothing.

    Raises:
        OSError: the disk refused; the old mark stands.
    """
    path = root / mark.file
    with contextlib.suppress(FileNotFoundError):
        disk.publish(path.with_name(f"{path.name}.before"), path.read_bytes())
    _write(root, mark, disk)


@contextlib.contextmanager
def alone(root: pathlib.Path, mark: Mark) -> Iterator[None]:
    """Keep controllers away from a directory for the length of the block, whatever its mark says.

    Where it has none, no controller starts on it anyway.

    Raises:
        InUse: a controller has it.
    """
    with contextlib.ExitStack() as opened:
        with contextlib.suppress(FileNotFoundError):
            fd = _open(root / mark.file)
            opened.callback(os.close, fd)
            _lock(fd, root / mark.file, mark)
        yield


def _write(root: pathlib.Path, mark: Mark, disk: disks.Disk) -> None:
    created = units.utc_now().isoformat(timespec="seconds")
    body = {"format": FORMAT, "owner": mark.owner, "created": created}
    disk.publish(root / mark.file, json.dumps(body, indent=2).encode() + b"\n")


def _parse(path: pathlib.Path) -> tuple[str, int]:
    """Return owner and format of a mark."""
    body = json.loads(path.read_text())
    return str(body["owner"]), int(body["format"])


def _check(path: pathlib.Path, mark: Mark) -> None:
    try:
        owner, form = _parse(path)
    except (ValueError, KeyError, TypeError) as error:
        other = ADOPT if mark.kind == "store" else "or empty the directory: all of it comes again"
        raise ForeignDirectory(
            f"{path} cannot be read: {error}",
            f"restore it from a backup, {other}; nothing was touched",
        ) from error
    _check_format(path, form, mark.kind)
    if owner != mark.owner:
        raise AnotherCluster(path.parent, owner, mark.owner)


def _check_format(path: pathlib.Path, form: int, kind: str) -> None:
    if form != FORMAT:
        raise ForeignDirectory(
            f"the {kind} {path.parent} has format {form}; this version reads {FORMAT}",
            "install the version of boot-resources that wrote it",
        )
