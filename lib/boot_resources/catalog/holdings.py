"""Who holds which object, and what the cluster should hold.

A holding says that a member proved the object on its disk: all bytes, in order, gave its sha256.
The region's own disk is the truth and this its copy: a region states what it found when it
starts, records what it proves and drops what it loses. The first prover's block map is the one
that everyone must agree with; a disagreement is recorded by nobody and becomes an error.
"""

import dataclasses
from collections.abc import Iterable

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import clock, cluster, names, schema, upserts


class MapDisagreement(errors.BootResourcesError):
    """Two provers of one object found different bytes, blocks or sizes.

    Attributes:
        sha256: the object.
    """

    def __init__(self, sha256: str, message: str) -> None:
        super().__init__(message, "withdraw the object, and verify the storage of every region")
        self.sha256 = sha256


@dataclasses.dataclass(frozen=True)
class Proof:
    """What a region found when it proved an object.

    Attributes:
        sha256: the object.
        size: in bytes.
        map_digest: the sha256 of the object's block map.
    """

    sha256: str
    size: int
    map_digest: str


@dataclasses.dataclass(frozen=True, order=True)
class Origin:
    """Where an object may be fetched upstream: a path below a source's base."""

    source_url: str
    path: str


@dataclasses.dataclass(frozen=True)
class WantedObject:
    """An object that every member should hold.

    Attributes:
        sha256: the object.
        size: in bytes.
        origins: where upstream has it; empty where it came from no source.
        images: the images that need it.
    """

    sha256: str
    size: int
    origins: tuple[Origin, ...]
    images: tuple[names.ImageName, ...]


def record(conn: sa.Connection, region: str, proofs: Iterable[Proof]) -> None:
    """Remember that the region proved these objects; what it held already stays as it is.

    Raises:
        MapDisagreement: an earlier prover found something else; nothing was recorded.
        NotAMember: the region is not a member.
    """
    cluster.require_member(conn, region)
    found: dict[str, Proof] = {}
    for proof in proofs:
        _agree(proof, found.setdefault(proof.sha256, proof))
    if not found:
        return
    # In one order, so that two regions with much in common do not wait for one another.
    ordered = [found[sha256] for sha256 in sorted(found)]
    for proof, first in zip(ordered, _first_proofs(conn, ordered), strict=True):
        _agree(proof, first)
    held = upserts.insert(conn, schema.holdings).on_conflict_do_nothing()
    rows = [{"region": region, "sha256": proof.sha256} for proof in ordered]
    conn.execute(held.values(proved=clock.now()), rows)


def state(conn: sa.Connection, region: str, proofs: Iterable[Proof]) -> None:
    """Make these proofs the whole of what the region holds.

    Raises:
        MapDisagreement: as ``record``.
        NotAMember: as ``record``.
    """
    stated = list(proofs)
    drop(conn, region, held(conn, region) - {proof.sha256 for proof in stated})
    record(conn, region, stated)


def drop(conn: sa.Connection, region: str, gone: Iterable[str]) -> None:
    """Forget that the region holds the objects with these sha256."""
    lost = sa.delete(schema.holdings).where(
        schema.holdings.c.region == region, schema.holdings.c.sha256 == sa.bindparam("gone")
    )
    rows = [{"gone": sha256} for sha256 in sorted(set(gone))]
    if rows:
        conn.execute(lost, rows)


def held(conn: sa.Connection, region: str) -> frozenset[str]:
    """Return the sha256 of every object that the region holds."""
    found = sa.select(schema.holdings.c.sha256).where(schema.holdings.c.region == region)
    return frozenset(conn.execute(found).scalars())


def referenced(conn: sa.Connection) -> frozenset[str]:
    """Return the sha256 of every object that some image needs, superseded images included."""
    return frozenset(conn.execute(sa.select(schema.items.c.sha256).distinct()).scalars())


def let_go(conn: sa.Connection) -> frozenset[str]:
    """Return the sha256 of every object that was proved here once, and that no image needs."""
    proved = sa.select(schema.objects.c.sha256).where(schema.objects.c.map_digest.is_not(None))
    return frozenset(conn.execute(proved).scalars()) - referenced(conn)


def wanted_objects(conn: sa.Connection) -> tuple[WantedObject, ...]:
    """Return what every member should hold, those that the oldest images need first.

    These are the objects of wanted images, and of an available one that goes on serving until
    the wanted version of its product is available. A withdrawn object is not among them.
    """
    # Dictionaries without values, as sets that keep their order.
    sizes: dict[str, int] = {}
    origins: dict[str, dict[Origin, None]] = {}
    images: dict[str, dict[names.ImageName, None]] = {}
    for row in conn.execute(_WANTED):
        sizes[row.sha256] = row.size
        images.setdefault(row.sha256, {})[names.ImageName.of(row)] = None
        known = origins.setdefault(row.sha256, {})
        if row.url is not None:
            known[Origin(row.url, row.path)] = None
    return tuple(
        WantedObject(sha256, size, tuple(origins[sha256]), tuple(images[sha256]))
        for sha256, size in sizes.items()
    )


_WANTED = (
    sa.select(
        schema.items.c.sha256,
        schema.items.c.path,
        schema.objects.c.size,
        schema.sources.c.url,
        *(schema.images.c[column] for column in names.COLUMNS),
    )
    .select_from(schema.images.join(schema.items).join(schema.objects).outerjoin(schema.sources))
    .where(
        schema.objects.c.withdrawn.is_(None),
        sa.or_(
            schema.images.c.wanted,
            sa.and_(
                schema.images.c.available_since.is_not(None),
                schema.images.c.superseded.is_(None),
            ),
        ),
    )
    .order_by(schema.images.c.id, schema.items.c.filename)
)


def _first_proofs(conn: sa.Connection, ordered: list[Proof]) -> list[Proof]:
    """Put the proofs where there are none yet, and return those that are in force, in order.

    Until an object is proved its size is what a document claims, so the first proof decides.
    """
    objects = schema.objects
    statement = upserts.insert(conn, objects)
    unproved = objects.c.map_digest.is_(None)
    settled = statement.on_conflict_do_update(
        index_elements=[objects.c.sha256],
        set_={
            "size": sa.case((unproved, statement.excluded.size), else_=objects.c.size),
            "map_digest": sa.func.coalesce(objects.c.map_digest, statement.excluded.map_digest),
        },
    ).returning(objects.c.sha256, objects.c.size, objects.c.map_digest)
    rows = conn.execute(settled, [dataclasses.asdict(proof) for proof in ordered])
    return sorted((Proof(*row) for row in rows), key=lambda proof: proof.sha256)


def _agree(proof: Proof, first: Proof) -> None:
    if proof != first:
        raise MapDisagreement(
            proof.sha256,
            f"two provers of object {proof.sha256} disagree:"
            f" {first.size} bytes with block map {first.map_digest[:12]},"
            f" and {proof.size} bytes with block map {proof.map_digest[:12]}",
        )
