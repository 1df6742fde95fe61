"""What a MAAS database holds of images, as one moment of it shows them.

Only rows and sizes are read here, no image's bytes: of each large object at most its last page.
What the rows mean is for ``contents`` and ``naming``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from psycopg import rows

from boot_resources import errors
from boot_resources.migration import database, readers, schema

SYNCED, GENERATED, UPLOADED = 0, 1, 2
"""MAAS's resource types; the second is gone since 3.5, whose migration 0307 made it the third."""


class AlreadyExported(errors.BootResourcesError):
    """MAAS moved all its images to its regions' disks."""


@dataclasses.dataclass(frozen=True)
class Resource:
    """A product as MAAS has it; ``name`` is ``os/series``, or what an uploader called it."""

    id: int
    rtype: int
    name: str
    architecture: str
    kflavor: str | None
    bootloader_type: str | None
    base_image: str
    rolling: bool
    extra: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class ResourceSet:
    """A version of a resource."""

    id: int
    resource_id: int
    version: str
    label: str


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a set.

    Attributes:
        largefile_id: None where MAAS moved its bytes to disk.
        sha256: of its own row, so empty in a 3.4.
        size: of its own row in bytes, so 0 in a 3.4.
    """

    id: int
    set_id: int
    filename: str
    filetype: str
    extra: Mapping[str, Any]
    largefile_id: int | None
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class LargeFile:
    """What MAAS says of a large object: of ``total_size`` bytes it wrote ``size``."""

    id: int
    sha256: str
    oid: int
    size: int
    total_size: int


@dataclasses.dataclass(frozen=True)
class Title:
    """What MAAS's copy of the stream calls a product."""

    os: str
    arch: str
    subarch: str
    release: str
    label: str
    title: str


@dataclasses.dataclass(frozen=True)
class Inventory:
    """All that a MAAS database holds of images, in the order of their row numbers.

    Attributes:
        database: its name, for messages.
        generation: which MAAS left it.
        access: how the bytes of its large objects can be had.
        objects: every large object of the database, by its oid.
        holders: hosts of MAAS's regions on whose disks some images are already.
    """

    database: str
    generation: schema.Generation
    access: readers.Access
    resources: tuple[Resource, ...]
    sets: tuple[ResourceSet, ...]
    files: tuple[File, ...]
    largefiles: tuple[LargeFile, ...]
    titles: tuple[Title, ...]
    objects: Mapping[int, readers.LargeObject]
    holders: tuple[str, ...]

    def rows(self) -> tuple[object, ...]:
        """Return what two inventories share if MAAS changed nothing in between."""
        return (self.resources, self.sets, self.files, self.largefiles)


def read(conn: database.Connection, *, emptied: bool = False) -> Inventory:
    """Return what the database holds, in the transaction of ``conn``.

    Args:
        conn: in a transaction.
        emptied: whether its images may have left it already.

    Raises:
        schema.NotMaas: as ``schema.recognise``, and so are TooOld, TooNew and NotAllowed.
        AlreadyExported: no image is in the database any more.
    """
    shape = schema.read(conn)
    generation = schema.recognise(shape)
    files = _files(conn, generation)
    holders = _holders(conn, shape)
    if not emptied and files and all(file.largefile_id is None for file in files):
        raise _already_exported(shape.database, holders)
    access = readers.probe(conn)
    return Inventory(
        database=shape.database,
        generation=generation,
        access=access,
        resources=_select(
            conn,
            Resource,
            "SELECT id, rtype, name, architecture, kflavor, bootloader_type, base_image, rolling,"
            " extra FROM public.maasserver_bootresource ORDER BY id",
        ),
        sets=_select(
            conn,
            ResourceSet,
            "SELECT id, resource_id, version, label"
            " FROM public.maasserver_bootresourceset ORDER BY id",
        ),
        files=files,
        largefiles=_select(
            conn,
            LargeFile,
            "SELECT id, sha256, content::bigint AS oid, size, total_size"
            " FROM public.maasserver_largefile ORDER BY id",
        ),
        titles=_titles(conn, shape),
        objects=readers.measure(conn, access),
        holders=holders,
    )


_Row = TypeVar("_Row")


def _select(conn: database.Connection, kind: type[_Row], query: str) -> tuple[_Row, ...]:
    with conn.cursor(row_factory=rows.class_row(kind)) as cursor:
        return tuple(cursor.execute(query.encode()))


def _files(conn: database.Connection, generation: schema.Generation) -> tuple[File, ...]:
    own = "sha256, size" if generation is schema.Generation.V3_5 else "'' AS sha256, 0 AS size"
    return _select(
        conn,
        File,
        f"SELECT id, resource_set_id AS set_id, filename, filetype, extra, largefile_id, {own}"  # noqa: S608  both are ours
        " FROM public.maasserver_bootresourcefile ORDER BY id",
    )


def _titles(conn: database.Connection, shape: schema.Shape) -> tuple[Title, ...]:
    if "maasserver_bootsourcecache" not in shape.columns:
        return ()
    return _select(
        conn,
        Title,
        "SELECT DISTINCT os, arch, subarch, release, label, release_title AS title"
        " FROM public.maasserver_bootsourcecache WHERE release_title <> ''"
        " ORDER BY os, arch, subarch, release, label, title",
    )


def _holders(conn: database.Connection, shape: schema.Shape) -> tuple[str, ...]:
    if not {"maasserver_bootresourcefilesync", "maasserver_node"} <= shape.columns.keys():
        return ()
    found = conn.execute(
        "SELECT DISTINCT n.hostname FROM public.maasserver_bootresourcefilesync s"
        " JOIN public.maasserver_node n ON n.id = s.region_id ORDER BY n.hostname"
    )
    return tuple(hostname for (hostname,) in found)


def _already_exported(name: str, holders: tuple[str, ...]) -> AlreadyExported:
    where = f"those of {', '.join(holders)}" if holders else "its regions' own"
    by_us = "" if holders else "; or 'migrate --finish' removed them, once they were here"
    return AlreadyExported(
        f"MAAS exported the images of the database {name!r} already, to disks: {where}{by_us}",
        "there, run 'boot-resources store adopt /var/lib/maas/image-storage'"
        " (MAAS from a snap: /var/snap/maas/common/maas/image-storage); images that somebody"
        " uploaded come from a backup of the database from before that",
    )
