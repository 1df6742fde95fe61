"""Whose store this is: ``store.json`` names the cluster that its objects belong to.

Always true: a region writes only below a directory that was empty when it first came, or that
carries this cluster's name. A store of another cluster, an old store beside a new empty catalog,
or a directory with content and no identity (MAAS's own image-storage is one) is refused, and
nothing in it is touched.
"""

import json
import pathlib

from boot_resources import errors, units
from boot_resources.store import disk as disks

FILE = "store.json"
FORMAT = 1
_HARMLESS = frozenset({"lost+found"})


class ForeignStore(errors.BootResourcesError):
    """The directory is not a store of this cluster."""


def establish(root: pathlib.Path, cluster: str, disk: disks.Disk) -> None:
    """Make sure that ``root`` is a store of ``cluster``; an empty directory becomes one.

    Args:
        root: the directory, made if it is not there.
        cluster: the cluster's UUID, as its catalog has it.
        disk: the file layer.

    Raises:
        ForeignStore: it is something else; the message names what, and the cure.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        identity = root / FILE
        if identity.exists():
            _check(identity, cluster)
            return
        content = sorted(e.name for e in root.iterdir() if e.name not in _HARMLESS)
    except OSError as error:
        raise ForeignStore(
            f"the store {root} cannot be used: {error.strerror}",
            "check the path, its owner and its mount",
        ) from error
    leftovers = {f".{FILE}.new"}
    if set(content) - leftovers:
        raise ForeignStore(
            f"{root} has content and no {FILE}: it was not made by boot-resources "
            f"(found: {', '.join(content[:3])}{', ...' if len(content) > 3 else ''})",
            "set storage.path to an empty directory; nothing here was touched",
        )
    created = units.utc_now().isoformat(timespec="seconds")
    body = {"format": FORMAT, "cluster": cluster, "created": created}
    disk.publish(identity, json.dumps(body, indent=2).encode() + b"\n")


def _check(identity: pathlib.Path, cluster: str) -> None:
    try:
        body = json.loads(identity.read_text())
        owner, form = str(body["cluster"]), int(body["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise ForeignStore(
            f"{identity} cannot be read: {error}",
            "restore it from a backup; nothing was touched",
        ) from error
    if form != FORMAT:
        raise ForeignStore(
            f"the store {identity.parent} has format {form}; this version reads format {FORMAT}",
            "install the version of boot-resources that wrote it",
        )
    if owner != cluster:
        raise ForeignStore(
            f"the store {identity.parent} belongs to cluster {owner}, the catalog to {cluster}",
            "point catalog.url to that cluster's catalog, or storage.path to an empty directory; "
            "nothing was touched",
        )
