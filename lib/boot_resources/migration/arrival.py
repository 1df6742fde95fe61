"""MAAS's images become images of the catalog, all in one transaction.

They came from no boot source; the first reading of one that offers them takes those over that it
lists (``catalog.planning``), and they are fetched from nowhere. The newest version of a product is
the wanted one, unless the catalog wants another already; older versions serve until it is
available, as they would after any sync. What is in the catalog under the same name stays as it
is, but for manifests: MAAS keeps none, so an image that nobody was offered yet does without. Where
the catalog has other files under that name, MAAS's image cannot arrive (``candidates``).

Always true: a holding is recorded only of what an image of the catalog needs.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from boot_resources.catalog import (
    availability,
    cluster,
    holdings,
    names,
    planning,
    schema,
    wanting,
)
from boot_resources.migration import contents, inventory, naming
from boot_resources.store import facts

_DIFFERS = naming.Flaw(
    "",
    "",
    "the catalog has an image of this name with other files, which stays unless you say"
    " 'boot-resources images remove'",
)


@dataclasses.dataclass(frozen=True)
class Arrived:
    """What an arrival changed.

    Attributes:
        added: images that are new in the catalog.
        available: those, and such as were in the catalog already, that can be had from now on.
    """

    added: tuple[names.ImageName, ...]
    available: tuple[names.ImageName, ...]


def candidates(conn: sa.Connection, found: inventory.Inventory) -> tuple[naming.Migrant, ...]:
    """Return MAAS's images; one of which the catalog has other files is flawed."""
    present = wanting.read_images(conn)
    return tuple(
        dataclasses.replace(each, flaws=(*each.flaws, _DIFFERS))
        if each.image.name in present and _differ(each.image, present[each.image.name])
        else each
        for each in naming.migrants(found, contents.classify(found))
    )


def _differ(image: planning.WantedImage, present: planning.Present) -> bool:
    return not image.files().items() <= present.image.files().items()


def arrive(
    conn: sa.Connection,
    region: str,
    images: Iterable[planning.WantedImage],
    held: Mapping[str, facts.Proof],
) -> Arrived:
    """Make the images the catalog's own, and record what the region holds of them.

    Args:
        conn: a transaction that writes.
        region: whose store holds the objects.
        images: those of ``candidates`` that may (``outcome``), the oldest of each product first.
        held: everything that is in that store.

    Raises:
        holdings.MapDisagreement: another region proved something else of an object.
        cluster.NotAMember: the region is not a member.
    """
    cluster.lock(conn)
    arriving = list(images)
    present = wanting.read_images(conn)
    new = [image for image in arriving if image.name not in present]
    before = {each.image.name.product for each in present.values() if each.wanted}
    wanting.put_images(conn, None, new)
    _do_without_manifests(conn, [image for image in arriving if image.name in present])
    named = {item.sha256 for image in arriving for item in image.items}
    needed = named & holdings.referenced(conn) & held.keys()
    proofs = (holdings.Proof(each, held[each].size, held[each].map_digest) for each in needed)
    holdings.record(conn, region, proofs)
    first = availability.refresh(conn)
    _want_only_the_newest(conn, new, before)
    second = availability.refresh(conn)
    if new:
        cluster.bump_epoch(conn)
    return Arrived(
        added=tuple(image.name for image in new),
        available=tuple(sorted({*first.available, *second.available})),
    )


def _do_without_manifests(conn: sa.Connection, images: Iterable[planning.WantedImage]) -> None:
    """Let images that the catalog has, and nobody was offered, need what MAAS had of them."""
    for image in images:
        of_image = sa.select(schema.images.c.id).where(
            *(schema.images.c[column] == text for column, text in image.name.columns().items()),
            schema.images.c.available_since.is_(None),
        )
        conn.execute(
            sa.delete(schema.items).where(
                schema.items.c.image_id.in_(of_image),
                schema.items.c.ftype == planning.MANIFEST,
                schema.items.c.filename.not_in(image.files().keys()),
            )
        )


def _want_only_the_newest(
    conn: sa.Connection,
    images: Iterable[planning.WantedImage],
    wanted_before: Iterable[names.ProductName],
) -> None:
    """Send the others out; those of them that cannot be had are of no use to anyone."""
    others = set(wanted_before)
    outgoing = []
    for image in reversed(list(images)):
        if image.name.product in others:
            outgoing.append(image.name)
        others.add(image.name.product)
    for name in outgoing:
        called = [schema.images.c[column] == text for column, text in name.columns().items()]
        conn.execute(sa.update(schema.images).where(*called).values(wanted=False))
        useless = sa.delete(schema.images).where(
            *called, schema.images.c.available_since.is_(None)
        )
        conn.execute(useless)
