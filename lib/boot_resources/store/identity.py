"""Whose directory this is: ``store.json`` names the cluster, ``cache.json`` marks a rack's cache.

Always true: a controller writes only below a directory that was empty when it first came, or that
carries its mark. A store of another cluster, an old store beside a new empty catalog, or a
directory with content and no mark (MAAS's own image-storage is one) is refused, and nothing in it
is touched.
"""

import dataclasses
import json
import pathlib

from boot_resources import errors, units
from boot_resources.store import disk as disks

FORMAT = 1
_HARMLESS = frozenset({"lost+found"})


class ForeignDirectory(errors.BootResourcesError):
    """The directory is not this controller's to write to."""


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


def establish(root: pathlib.Path, mark: Mark, disk: disks.Disk) -> None:
    """Make sure that ``root`` carries ``mark``; an empty directory gets it.

    Raises:
        ForeignDirectory: it is something else; the message names what, and the cure.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        if (root / mark.file).exists():
            _check(root / mark.file, mark)
            return
        aside = f".{mark.file}.new"
        content = sorted({entry.name for entry in root.iterdir()} - _HARMLESS - {aside})
        if not content:
            _write(root, mark, disk)
            return
    except OSError as error:
        raise unusable(root, mark, error) from error
    listed = ", ".join(content[:3]) + (", ..." if len(content) > 3 else "")
    raise ForeignDirectory(
        f"{root} has content and no {mark.file}: boot-resources did not make it as a "
        f"{mark.kind} (found: {listed})",
        f"set {mark.option} to an empty directory; nothing here was touched",
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
        raise ForeignDirectory(
            f"the store {path.parent} belongs to cluster {owner}, the catalog to {mark.owner}",
            f"point catalog.url to that cluster's catalog, or {mark.option} to an empty "
            "directory; nothing was touched",
        )
