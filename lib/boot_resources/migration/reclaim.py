"""The space that large objects took comes back to the server's disk.

A deleted row leaves its room to the next one; only VACUUM FULL gives it back. That writes what is
left of the table anew, under a lock for which every reader and writer waits. So it is done at the
very end, when the removal is on record, and nothing depends on it.
"""

import dataclasses

import psycopg

from boot_resources.migration import database

VACUUM = "VACUUM (FULL) pg_catalog.pg_largeobject"


@dataclasses.dataclass(frozen=True)
class Space:
    """What came back.

    Attributes:
        given_back: bytes by which ``pg_largeobject`` became smaller on the server's disk.
        vacuum: the SQL that gives the space back; empty where that was done.
        problem: why it was not done; empty where it was.
    """

    given_back: int
    vacuum: str = ""
    problem: str = ""


def size(maas: database.Database) -> int:
    """Return the bytes that all large objects take on the server's disk.

    Raises:
        database.Unreachable: the database cannot be reached, or broke off.
    """
    with maas.snapshot() as conn:
        return _size(conn)


def give_back(maas: database.Database, before: int) -> Space:
    """Give the space back where our role may and nobody is in the way; else say how it is done.

    Args:
        maas: the database.
        before: the bytes that all large objects took.
    """
    try:
        connection = maas.connect()
    except database.Unreachable as error:
        return Space(0, VACUUM, str(error))
    try:
        connection.read_only = False
        # It runs in no transaction block.
        connection.autocommit = True
        if not _may(connection):
            return Space(0, VACUUM, "the role does not own the database")
        connection.execute(VACUUM.encode())
        return Space(max(0, before - _size(connection)))
    except psycopg.Error as error:
        return Space(0, VACUUM, str(maas.unreachable(error)))
    finally:
        connection.close()


def _size(conn: database.Connection) -> int:
    query = "SELECT pg_total_relation_size('pg_catalog.pg_largeobject')"
    found = conn.execute(query).fetchone()
    return int(found[0]) if found else 0


def _may(conn: database.Connection) -> bool:
    owner = conn.execute(
        "SELECT pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database"
        " WHERE datname = current_database()"
    ).fetchone()
    return bool(owner and owner[0])
