"""The cluster: one row with an identity and an epoch, and the regions that belong to it.

Whoever joins, retires, makes available, withdraws or removes locks the one row first and raises
its epoch, so that none of them races another: what is read after ``lock`` stays true until the
transaction ends. The epoch only rises, and it rises with every change of the list of members or
of available images; whoever has seen an epoch need not look again before it is another one.
"""

import dataclasses
import datetime

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import clock, schema


class SecondRegion(errors.BootResourcesError):
    """A second region came to a catalog that only one host can use."""


class UnknownRegion(errors.BootResourcesError):
    """No region of this name ever joined."""


class NotAMember(errors.BootResourcesError):
    """A region that is not a member did what only members may do."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The cluster's identity, for life, and its present epoch."""

    uuid: str
    epoch: int
    created: datetime.datetime


@dataclasses.dataclass(frozen=True)
class Member:
    """A region that counts for availability, and where the others reach it."""

    name: str
    address: str
    joined: datetime.datetime


def identity(conn: sa.Connection) -> Cluster:
    """Return who this cluster is. The first migration made the row, so there is always one."""
    columns = (schema.cluster.c.uuid, schema.cluster.c.epoch, schema.cluster.c.created)
    row = conn.execute(sa.select(*columns)).one()
    return Cluster(row.uuid, row.epoch, row.created)


def lock(conn: sa.Connection) -> int:
    """Wait until nobody else changes the cluster, keep it so, and return its epoch."""
    epoch: int = conn.execute(sa.select(schema.cluster.c.epoch).with_for_update()).scalar_one()
    return epoch


def bump_epoch(conn: sa.Connection) -> int:
    """Raise the epoch by one and return it; this locks the cluster, too."""
    raised = sa.update(schema.cluster).values(epoch=schema.cluster.c.epoch + 1)
    epoch: int = conn.execute(raised.returning(schema.cluster.c.epoch)).scalar_one()
    return epoch


def join(conn: sa.Connection, name: str, address: str, *, same_host: bool = False) -> bool:
    """Make the region a member at ``address``; return whether that changed anything.

    A region that was retired joins anew and holds nothing until it records what it holds.

    Args:
        conn: a transaction that writes.
        name: the region's own name.
        address: where the other regions reach it, ``host:port``.
        same_host: allow several members in a SQLite file: they all run on this host.

    Raises:
        SecondRegion: there is a member already and the catalog is a SQLite file.
    """
    lock(conn)
    present = {member.name: member for member in members(conn)}
    others = sorted(present.keys() - {name})
    if others and conn.dialect.name == "sqlite" and not same_host:
        raise SecondRegion(
            f"region {name} cannot join {', '.join(others)}: the catalog is a SQLite file",
            "move the catalog to PostgreSQL and give every region its URL",
        )
    if name in present and present[name].address == address:
        return False
    if name in present:
        conn.execute(sa.update(schema.regions).where(_called(name)).values(address=address))
    else:
        _admit(conn, name, address)
    bump_epoch(conn)
    return True


def _admit(conn: sa.Connection, name: str, address: str) -> None:
    values = {"address": address, "joined": clock.now(), "retired": None}
    known = conn.execute(sa.update(schema.regions).where(_called(name)).values(values))
    if known.rowcount == 0:
        conn.execute(sa.insert(schema.regions).values(name=name, **values))


def retire(conn: sa.Connection, name: str) -> bool:
    """End the region's membership and forget what it held; return whether it was a member.

    A migration that it was told, and that has not succeeded, is called off: nobody else could.

    Raises:
        UnknownRegion: there never was one of this name.
    """
    lock(conn)
    present = conn.execute(sa.select(schema.regions.c.retired).where(_called(name))).one_or_none()
    if present is None:
        names = ", ".join(member.name for member in members(conn)) or "none"
        raise UnknownRegion(f"there is no region called {name}", f"members are: {names}")
    if present.retired is not None:
        return False
    conn.execute(sa.update(schema.regions).where(_called(name)).values(retired=clock.now()))
    conn.execute(sa.delete(schema.holdings).where(schema.holdings.c.region == name))
    told = schema.handover.c.region == name
    conn.execute(sa.delete(schema.handover).where(told, schema.handover.c.succeeded.is_(None)))
    bump_epoch(conn)
    return True


def members(conn: sa.Connection) -> tuple[Member, ...]:
    """Return the members, by name."""
    columns = (schema.regions.c.name, schema.regions.c.address, schema.regions.c.joined)
    found = sa.select(*columns).where(schema.regions.c.retired.is_(None))
    rows = conn.execute(found.order_by(schema.regions.c.name))
    return tuple(Member(row.name, row.address, row.joined) for row in rows)


def require_member(conn: sa.Connection, name: str) -> None:
    """Keep the region from being retired before this transaction ends.

    Raises:
        NotAMember: it is not a member now.
    """
    present = sa.select(schema.regions.c.name).where(
        _called(name), schema.regions.c.retired.is_(None)
    )
    if conn.execute(present.with_for_update(read=True)).one_or_none() is None:
        raise NotAMember(
            f"region {name} is not a member of the cluster",
            "it was retired, or never joined: restart the region so that it joins",
        )


def _called(name: str) -> sa.ColumnElement[bool]:
    return schema.regions.c.name == name
