"""What an operator sees of the images, and how one is removed.

An image that a selection still picks is not removed by a slip: the refusal names the selection.
Its objects are not touched here; what no image needs any more, each region removes by itself.
"""

import dataclasses
import datetime
import enum
from collections.abc import Mapping

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import cluster, names, planning, schema, sources, wanting


class UnknownImage(errors.BootResourcesError):
    """There is no image of this name."""


class StillSelected(errors.BootResourcesError):
    """The image would come back at the next sync: a selection still picks it."""


class ImageState(enum.Enum):
    """Where an image stands; whether the source dropped it is another matter."""

    SYNCING = "syncing"
    """Not every member has proved it yet."""
    AVAILABLE = "available"
    """Machines get it."""
    SUPERSEDED = "superseded"
    """A newer version is available; this one can be had under its version for a while."""
    WITHDRAWN = "withdrawn"
    """It needs an object that was withdrawn."""


@dataclasses.dataclass(frozen=True)
class ListedImage:
    """An image, and how much of it each member has.

    Attributes:
        name: how it is called.
        title: for people.
        bootloader_type: None for what is no bootloader.
        source_url: the source that offered it; None where it came from none.
        state: where it stands.
        dropped: since when the source no longer offers it; None while it does.
        since: since when it is available.
        superseded: since when a newer version is available.
        size: bytes of its distinct objects.
        held: bytes of them that each member has proved, by region; every member is named.
    """

    name: names.ImageName
    title: str
    bootloader_type: str | None
    source_url: str | None
    state: ImageState
    dropped: datetime.datetime | None
    since: datetime.datetime | None
    superseded: datetime.datetime | None
    size: int
    held: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class ImageDetail:
    """An image with its files, by file name, and who has proved each: regions by sha256."""

    image: ListedImage
    items: tuple[planning.WantedItem, ...]
    holders: Mapping[str, tuple[str, ...]]


def listing(conn: sa.Connection) -> tuple[ListedImage, ...]:
    """Return every image of the catalog, by name."""
    return _list(conn, sa.true())


def show(conn: sa.Connection, name: names.ImageName) -> ImageDetail:
    """Return one image with its files.

    Raises:
        UnknownImage: there is none of this name.
    """
    listed = _list(conn, _called(name))
    if not listed:
        raise _unknown(name)
    rows = conn.execute(
        sa.select(schema.items, schema.objects.c.size)
        .select_from(schema.items.join(schema.objects).join(schema.images))
        .where(_called(name))
        .order_by(schema.items.c.filename)
    )
    items = tuple(
        planning.WantedItem(r.filename, r.ftype, r.path, r.sha256, r.size, r.extra) for r in rows
    )
    holders: dict[str, list[str]] = {item.sha256: [] for item in items}
    for row in conn.execute(_HELD.where(_called(name))):
        holders[row.sha256].append(row.region)
    return ImageDetail(listed[0], items, {s: tuple(sorted(r)) for s, r in holders.items()})


def remove(conn: sa.Connection, name: names.ImageName, *, force: bool = False) -> None:
    """Remove an image that no selection picks: dropped, superseded, outgoing, or from no source.

    Args:
        conn: a transaction that writes.
        name: the image.
        force: remove it although it is still selected; the next sync will bring it back.

    Raises:
        UnknownImage: there is none of this name.
        StillSelected: the source offers it, and it is selected.
    """
    cluster.lock(conn)
    row = conn.execute(sa.select(schema.images).where(_called(name))).one_or_none()
    if row is None:
        raise _unknown(name)
    picked = row.wanted and row.dropped is None and row.source_id is not None
    if picked and not force:
        raise _still_selected(conn, name, row.bootloader_type)
    wanting.remove_images(conn, [row.id])
    cluster.bump_epoch(conn)


def _list(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[ListedImage, ...]:
    regions = [member.name for member in cluster.members(conn)]
    sizes: dict[int, int] = {}
    withdrawn: set[int] = set()
    for row in conn.execute(_NEEDED.where(condition)):
        sizes[row.image_id] = sizes.get(row.image_id, 0) + row.size
        if row.withdrawn is not None:
            withdrawn.add(row.image_id)
    held: dict[int, dict[str, int]] = {}
    for row in conn.execute(_HELD.where(condition)):
        by_region = held.setdefault(row.image_id, dict.fromkeys(regions, 0))
        by_region[row.region] += row.size
    found = sa.select(schema.images, schema.sources.c.url)
    rows = conn.execute(found.outerjoin(schema.sources).where(condition))
    return tuple(
        sorted(
            (
                ListedImage(
                    name=names.ImageName.of(row),
                    title=row.title,
                    bootloader_type=row.bootloader_type,
                    source_url=row.url,
                    state=_state(row.available_since, row.superseded, row.id in withdrawn),
                    dropped=row.dropped,
                    since=row.available_since,
                    superseded=row.superseded,
                    size=sizes.get(row.id, 0),
                    held=held.get(row.id) or dict.fromkeys(regions, 0),
                )
                for row in rows
            ),
            key=_by_name,
        )
    )


def _state(
    since: datetime.datetime | None, superseded: datetime.datetime | None, withdrawn: bool
) -> ImageState:
    if withdrawn:
        return ImageState.WITHDRAWN
    if superseded is not None:
        return ImageState.SUPERSEDED
    return ImageState.SYNCING if since is None else ImageState.AVAILABLE


def _still_selected(
    conn: sa.Connection, name: names.ImageName, bootloader_type: str | None
) -> StillSelected:
    if bootloader_type is not None:
        return StillSelected(
            f"{name} is a bootloader, and those are always wanted",
            "with --force it goes until the next sync",
        )
    picking = {
        f"{each.os!r} {each.release!r}"
        for each in sources.list_selections(conn)
        if each.os in ("*", name.product.os) and each.release in ("*", name.product.release)
    }
    if not picking:
        return StillSelected(f"{name} is wanted until the next sync", "run boot-resources sync")
    return StillSelected(
        f"{name} is selected",
        "select less: "
        + " and ".join(f"boot-resources selections remove {each}" for each in sorted(picking))
        + "; with --force this one goes until the next sync",
    )


def _called(name: names.ImageName) -> sa.ColumnElement[bool]:
    parts = name.columns().items()
    return sa.and_(*(schema.images.c[column] == value for column, value in parts))


def _unknown(name: names.ImageName) -> UnknownImage:
    return UnknownImage(f"there is no image {name}", "see 'boot-resources images list'")


def _by_name(image: ListedImage) -> names.ImageName:
    return image.name


# One row for each object of each image, however many of its files are this object.
_NEEDED = (
    sa.select(
        schema.items.c.image_id,
        schema.objects.c.sha256,
        schema.objects.c.size,
        schema.objects.c.withdrawn,
    )
    .select_from(schema.items.join(schema.images).join(schema.objects))
    .distinct()
)

# One row for each object of each image and each region that holds it; only members hold any.
_HELD = (
    sa.select(
        schema.items.c.image_id,
        schema.holdings.c.region,
        schema.objects.c.sha256,
        schema.objects.c.size,
    )
    .select_from(
        schema.items.join(schema.images)
        .join(schema.objects)
        .join(schema.holdings, schema.holdings.c.sha256 == schema.items.c.sha256)
    )
    .distinct()
)
