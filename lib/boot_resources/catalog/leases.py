"""Leases: what only one region may do at a time, for as long as it says that it is alive.

The database's clock decides, in one statement. A lease's epoch rises whenever its holder changes,
and never falls: whoever acts under a lease names its epoch, and what comes with an older one is
refused. A holder that cannot reach the database must stop by its own monotonic clock, counted
from before it asked: nobody else tells it that its time is over.

Where the database's clock steps back, a lease would stand for as long again. So one whose end is
farther away than any that begins now is over: it was made by the clock before the step. Its
holder may believe in it for a little while yet; that its epoch is an older one by then keeps what
it does from counting, as after any other takeover.
"""

import dataclasses
import datetime

import sqlalchemy as sa

from boot_resources.catalog import clock, schema, upserts


@dataclasses.dataclass(frozen=True)
class Lease:
    """Who may do ``name``, until when by the database's clock, and the how-manieth in a row."""

    name: str
    holder: str
    epoch: int
    expires: datetime.datetime


def acquire(conn: sa.Connection, name: str, holder: str, seconds: float) -> Lease | None:
    """Take or renew the lease for ``seconds`` from now; None where another one holds it.

    Renewing keeps the epoch; taking over from another holder, whose time is over, raises it.

    Args:
        conn: a transaction that writes.
        name: what may be done.
        holder: who wants to do it.
        seconds: for how long; the same for all who want it.
    """
    leases = schema.leases
    statement = upserts.insert(conn, leases).values(
        name=name, holder=holder, epoch=1, expires=clock.now(seconds)
    )
    taken = statement.on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={
            "holder": holder,
            "epoch": leases.c.epoch + sa.case((leases.c.holder == holder, 0), else_=1),
            # Not what was to be inserted: that is from before a wait for the row.
            "expires": clock.now(seconds),
        },
        where=sa.or_(
            leases.c.holder == holder,
            leases.c.expires <= clock.now(),
            # Twice as long: clocks are also set back by milliseconds, and often.
            leases.c.expires > clock.now(2 * seconds),
        ),
    )
    row = conn.execute(taken.returning(leases.c.epoch, leases.c.expires)).one_or_none()
    return None if row is None else Lease(name, holder, row.epoch, row.expires)


def release(conn: sa.Connection, lease: Lease) -> bool:
    """End the lease now; return whether it was still this one. Its epoch stays remembered."""
    ended = (
        sa.update(schema.leases)
        .where(
            schema.leases.c.name == lease.name,
            schema.leases.c.holder == lease.holder,
            schema.leases.c.epoch == lease.epoch,
            schema.leases.c.expires > clock.now(),
        )
        .values(expires=clock.now())
    )
    return conn.execute(ended).rowcount == 1


def holder(conn: sa.Connection, name: str) -> Lease | None:
    """Return the lease as it stands; None where nobody holds it now."""
    leases = schema.leases
    found = sa.select(leases.c.holder, leases.c.epoch, leases.c.expires)
    alive = found.where(leases.c.name == name, leases.c.expires > clock.now())
    row = conn.execute(alive).one_or_none()
    return None if row is None else Lease(name, row.holder, row.epoch, row.expires)
