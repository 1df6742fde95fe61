"""What is offered to machines: images that every member had proved at some epoch.

Once available, an image stays so when another region joins: that one catches up. It is withdrawn
only when some object of it is held by no member at all, or an operator's check withdrew the
object. When the wanted version of a product becomes available, the others are superseded: they
can still be had under their own versions, for a grace time, and then go.

``refresh`` decides all of this anew from who holds what, under the lock of the cluster, so it may
be called at any time by anyone: after a proof, a loss, a join, a retirement.
"""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from boot_resources.catalog import clock, cluster, names, schema, wanting


@dataclasses.dataclass(frozen=True)
class AvailableItem:
    """One file of an available image.

    Attributes:
        filename: under which machines ask for it.
        ftype: what it is, in the stream's words.
        sha256: the object.
        size: in bytes.
        map_digest: the sha256 of the object's block map.
        extra: what else the stream says of it.
    """

    filename: str
    ftype: str
    sha256: str
    size: int
    map_digest: str
    extra: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class AvailableImage:
    """An image that machines may have; where superseded, since when."""

    name: names.ImageName
    product: str
    title: str
    bootloader_type: str | None
    extra: Mapping[str, Any]
    since: datetime.datetime
    superseded: datetime.datetime | None
    items: tuple[AvailableItem, ...]


@dataclasses.dataclass(frozen=True)
class Availability:
    """All that is offered, at one epoch of one cluster.

    Attributes:
        cluster_uuid: the cluster's identity.
        epoch: the cluster's.
        images: every image that can be had.
        withheld: whether they are withheld, so that there are none (``handovers``).
    """

    cluster_uuid: str
    epoch: int
    images: tuple[AvailableImage, ...]
    withheld: bool = False


@dataclasses.dataclass(frozen=True)
class Changes:
    """What ``refresh`` changed.

    Attributes:
        epoch: the cluster's, afterwards.
        available: images that can be had from now on.
        superseded: images whose successor can be had from now on.
        withdrawn: images that can no longer be had: no member can produce them. Critical.
    """

    epoch: int
    available: tuple[names.ImageName, ...]
    superseded: tuple[names.ImageName, ...]
    withdrawn: tuple[names.ImageName, ...]


def refresh(conn: sa.Connection) -> Changes:
    """Decide anew what is available, and return what that changed."""
    epoch = cluster.lock(conn)
    withdrawn = _change(
        conn,
        sa.and_(_IS_AVAILABLE, _SOME_OBJECT_IS_NOWHERE),
        {"available_epoch": None, "available_since": None},
    )
    available = _change(
        conn,
        sa.and_(schema.images.c.wanted, sa.not_(_IS_AVAILABLE), _EVERY_MEMBER_HOLDS_IT),
        {"available_epoch": epoch + 1, "available_since": clock.now()},
    )
    superseded = _change(
        conn,
        sa.and_(
            sa.not_(schema.images.c.wanted),
            schema.images.c.superseded.is_(None),
            _SUCCESSOR_IS_AVAILABLE,
        ),
        {"superseded": clock.now()},
    )
    if withdrawn:
        # What is neither wanted nor available has no way back.
        useless = sa.and_(sa.not_(schema.images.c.wanted), sa.not_(_IS_AVAILABLE))
        conn.execute(sa.delete(schema.images).where(useless))
    if withdrawn or available or superseded:
        epoch = cluster.bump_epoch(conn)
    return Changes(epoch, available, superseded, withdrawn)


def available(conn: sa.Connection) -> Availability:
    """Return all that is offered, by name, superseded images included."""
    # The epoch first: should the list change meanwhile, the next look finds a newer epoch.
    present = cluster.identity(conn)
    items: dict[int, list[AvailableItem]] = {}
    for row in conn.execute(_AVAILABLE_ITEMS):
        item = AvailableItem(
            row.filename, row.ftype, row.sha256, row.size, row.map_digest, row.extra
        )
        items.setdefault(row.image_id, []).append(item)
    rows = conn.execute(sa.select(schema.images).where(_IS_AVAILABLE))
    images = (
        AvailableImage(
            name=names.ImageName.of(row),
            product=row.product,
            title=row.title,
            bootloader_type=row.bootloader_type,
            extra=row.extra,
            since=row.available_since,
            superseded=row.superseded,
            items=tuple(items[row.id]),
        )
        for row in rows
    )
    return Availability(present.uuid, present.epoch, tuple(sorted(images, key=_by_name)))


def expire_superseded(conn: sa.Connection, grace: float) -> tuple[names.ImageName, ...]:
    """Remove images that have been superseded for ``grace`` seconds; return them."""
    cluster.lock(conn)
    found = sa.select(schema.images).where(schema.images.c.superseded <= clock.now(-grace))
    expired = {names.ImageName.of(row): row.id for row in conn.execute(found)}
    if expired:
        wanting.remove_images(conn, list(expired.values()))
        cluster.bump_epoch(conn)
    return tuple(sorted(expired))


def withdraw(conn: sa.Connection, sha256: str, reason: str) -> Changes:
    """Give this object to nobody any more, nor fetch it; the images that need it go with it.

    It stays so until ``reinstate``.
    """
    cluster.lock(conn)
    withdrawn = {"withdrawn": clock.now(), "withdrawn_reason": reason}
    conn.execute(sa.update(schema.objects).where(_is(sha256)).values(withdrawn))
    return refresh(conn)


def reinstate(conn: sa.Connection, sha256: str) -> bool:
    """Let the object be fetched and proved from the beginning; return whether it was withdrawn.

    Nobody's proof counts any more, so every region proves it anew.
    """
    cluster.lock(conn)
    anew = {"withdrawn": None, "withdrawn_reason": None, "map_digest": None}
    found = sa.update(schema.objects).where(_is(sha256), schema.objects.c.withdrawn.is_not(None))
    if conn.execute(found.values(anew)).rowcount == 0:
        return False
    conn.execute(sa.delete(schema.holdings).where(schema.holdings.c.sha256 == sha256))
    cluster.bump_epoch(conn)
    return True


def withdrawn_objects(conn: sa.Connection) -> dict[str, str]:
    """Return why each withdrawn object is withdrawn, by sha256."""
    columns = (schema.objects.c.sha256, schema.objects.c.withdrawn_reason)
    found = sa.select(*columns).where(schema.objects.c.withdrawn.is_not(None))
    return {row.sha256: row.withdrawn_reason for row in conn.execute(found)}


def _change(
    conn: sa.Connection, condition: sa.ColumnElement[bool], values: Mapping[str, Any]
) -> tuple[names.ImageName, ...]:
    columns = (schema.images.c[column] for column in names.COLUMNS)
    changed = sa.update(schema.images).where(condition).values(values).returning(*columns)
    return tuple(sorted(names.ImageName.of(row) for row in conn.execute(changed)))


def _by_name(image: AvailableImage) -> names.ImageName:
    return image.name


def _is(sha256: str) -> sa.ColumnElement[bool]:
    return schema.objects.c.sha256 == sha256


def _items_of_image(*conditions: sa.ColumnElement[bool]) -> sa.Exists:
    """Return whether the image at hand has an item with these conditions."""
    needed = schema.items.join(schema.objects)
    found = sa.select(sa.literal(1)).select_from(needed)
    return (
        found.where(schema.items.c.image_id == schema.images.c.id, *conditions)
        .correlate(schema.images)
        .exists()
    )


def _members(*conditions: sa.ColumnElement[bool]) -> sa.Exists:
    """Return whether there is a member with these conditions."""
    found = sa.select(sa.literal(1)).select_from(schema.regions)
    return (
        found.where(schema.regions.c.retired.is_(None), *conditions)
        .correlate(schema.items)
        .exists()
    )


_IS_AVAILABLE = schema.images.c.available_since.is_not(None)

_MEMBER_HOLDS_ITEM = (
    sa.select(sa.literal(1))
    .where(
        schema.holdings.c.sha256 == schema.items.c.sha256,
        schema.holdings.c.region == schema.regions.c.name,
    )
    .correlate(schema.items, schema.regions)
    .exists()
)

_IS_WITHDRAWN = schema.objects.c.withdrawn.is_not(None)

_EVERY_MEMBER_HOLDS_IT = sa.and_(
    _members(),
    _items_of_image(),
    sa.not_(_items_of_image(sa.or_(_IS_WITHDRAWN, _members(sa.not_(_MEMBER_HOLDS_ITEM))))),
)

_SOME_OBJECT_IS_NOWHERE = _items_of_image(
    sa.or_(_IS_WITHDRAWN, sa.not_(_members(_MEMBER_HOLDS_ITEM)))
)

_successor = schema.images.alias("successor")
_SUCCESSOR_IS_AVAILABLE = (
    sa.select(sa.literal(1))
    .select_from(_successor)
    .where(
        *(_successor.c[column] == schema.images.c[column] for column in names.COLUMNS[:-1]),
        _successor.c.wanted,
        _successor.c.available_since.is_not(None),
    )
    .correlate(schema.images)
    .exists()
)

_AVAILABLE_ITEMS = (
    sa.select(schema.items, schema.objects.c.size, schema.objects.c.map_digest)
    .select_from(schema.items.join(schema.images).join(schema.objects))
    .where(_IS_AVAILABLE)
    .order_by(schema.items.c.image_id, schema.items.c.filename)
)
