"""What should be held: the catalog's images are made to follow what the source offers.

One transaction reads what the catalog holds, has ``planning`` decide, and writes what changes; a
second call with the same input writes nothing. Only images of the given source are touched, and
such as came from none and are the source's own from now on.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from boot_resources.catalog import clock, cluster, names, planning, schema, upserts


def want(
    conn: sa.Connection,
    source_id: int,
    wanted: Iterable[planning.WantedImage],
    offered: Collection[names.ProductName],
    selected: planning.Selected,
) -> planning.Plan:
    """Make the source's images follow what it offers and what is selected; return what changed.

    Nothing becomes available here: call ``availability.refresh`` in the same transaction.

    Args:
        conn: a transaction that writes.
        source_id: the source that offers.
        wanted: what the selections pick: of each product the newest version.
        offered: every product that the source offers in any version, selected or not.
        selected: whether a product is selected, or always wanted as bootloaders are.
    """
    cluster.lock(conn)
    present = _read_present(conn, source_id)
    decided = planning.plan(wanted, offered, selected, present.values(), _read_objects(conn))
    if not decided.changes_something():
        return decided
    numbers = {each.image.name: number for number, each in present.items()}
    _set(conn, numbers, decided.outgoing, {"wanted": False, "dropped": None})
    _set(conn, numbers, decided.returned, {"dropped": None})
    _set(conn, numbers, decided.dropped, {"dropped": clock.now()})
    remove_images(conn, [numbers[name] for name in decided.removed])
    put_images(conn, source_id, decided.stored)
    cluster.bump_epoch(conn)
    return decided


def put_images(
    conn: sa.Connection, source_id: int | None, images: Collection[planning.WantedImage]
) -> None:
    """Insert images, all wanted, or bring them up to date. Whoever calls this raises the epoch.

    Args:
        conn: a transaction that writes, with the cluster locked.
        source_id: the source that offers them; None where they came from none.
        images: each under another name.
    """
    if images:
        _store_objects(conn, images)
        _store_images(conn, source_id, images)


def remove_images(conn: sa.Connection, numbers: Collection[int]) -> None:
    """Remove images with their items, by row number. Whoever calls this raises the epoch."""
    gone = sa.delete(schema.images).where(schema.images.c.id == sa.bindparam("number"))
    if numbers:
        conn.execute(gone, [{"number": number} for number in numbers])


def read_images(conn: sa.Connection) -> dict[names.ImageName, planning.Present]:
    """Return every image of the catalog, by name; to no source any of them is its own."""
    return {each.image.name: each for each in _read_present(conn, None).values()}


def _read_present(conn: sa.Connection, source_id: int | None) -> dict[int, planning.Present]:
    """Return every image of the catalog, by row number, as the source sees it."""
    files: dict[int, list[planning.WantedItem]] = {}
    for row in conn.execute(sa.select(schema.items, schema.objects.c.size).join(schema.objects)):
        item = planning.WantedItem(
            row.filename, row.ftype, row.path, row.sha256, row.size, row.extra
        )
        files.setdefault(row.image_id, []).append(item)
    present: dict[int, planning.Present] = {}
    for row in conn.execute(sa.select(schema.images)):
        image = planning.WantedImage(
            name=names.ImageName.of(row),
            items=tuple(files.get(row.id, ())),
            product=row.product,
            title=row.title,
            bootloader_type=row.bootloader_type,
            extra=row.extra,
        )
        present[row.id] = planning.Present(
            image=image,
            own=row.source_id is not None and row.source_id == source_id,
            wanted=row.wanted,
            available=row.available_since is not None,
            dropped=row.dropped is not None,
            adoptable=row.source_id is None and row.label != names.UPLOADED,
        )
    return present


def _read_objects(conn: sa.Connection) -> dict[str, planning.KnownObject]:
    columns = (schema.objects.c.sha256, schema.objects.c.size, schema.objects.c.map_digest)
    rows = conn.execute(sa.select(*columns))
    return {r.sha256: planning.KnownObject(r.size, r.map_digest is not None) for r in rows}


def _set(
    conn: sa.Connection,
    numbers: Mapping[names.ImageName, int],
    which: Collection[names.ImageName],
    values: Mapping[str, Any],
) -> None:
    chosen = sa.update(schema.images).where(schema.images.c.id == sa.bindparam("number"))
    if which:
        conn.execute(chosen.values(values), [{"number": numbers[name]} for name in which])


def _store_objects(conn: sa.Connection, images: Iterable[planning.WantedImage]) -> None:
    """Add the objects that are new; of one that nobody proved, believe the size now given."""
    sizes = {item.sha256: item.size for image in images for item in image.items}
    statement = upserts.insert(conn, schema.objects)
    believed = statement.on_conflict_do_update(
        index_elements=[schema.objects.c.sha256],
        set_={"size": statement.excluded.size},
        where=schema.objects.c.map_digest.is_(None),
    )
    conn.execute(believed, [{"sha256": name, "size": sizes[name]} for name in sorted(sizes)])


def _store_images(
    conn: sa.Connection, source_id: int | None, images: Collection[planning.WantedImage]
) -> None:
    """Insert the images, or bring them up to date, with all their items."""
    told = ("product", "title", "bootloader_type", "extra")
    state = {"source_id": source_id, "wanted": True, "dropped": None, "superseded": None}
    statement = upserts.insert(conn, schema.images)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=list(names.COLUMNS),
            set_={column: statement.excluded[column] for column in (*told, *state)},
        ),
        [
            image.name.columns() | {column: getattr(image, column) for column in told} | state
            for image in images
        ],
    )
    found = sa.select(schema.images).where(schema.images.c.source_id == source_id)
    numbers = {names.ImageName.of(row): row.id for row in conn.execute(found)}
    before = sa.delete(schema.items).where(schema.items.c.image_id == sa.bindparam("number"))
    conn.execute(before, [{"number": numbers[image.name]} for image in images])
    conn.execute(
        sa.insert(schema.items),
        [
            {"image_id": numbers[image.name], **_columns(item)}
            for image in images
            for item in image.items
        ],
    )


def _columns(item: planning.WantedItem) -> dict[str, Any]:
    columns = dataclasses.asdict(item)
    del columns["size"]
    return columns
