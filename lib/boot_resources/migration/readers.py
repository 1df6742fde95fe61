"""The two ways to the bytes of a large object, and who may go which.

``copy`` reads the pages of ``pg_largeobject`` as a stream: the faster one, for a superuser, a
member of ``pg_read_all_data``, or whoever was granted SELECT on that table; MAAS's own role is
none of these. ``lo`` asks the server's large object functions for one block after another: for
the role that owns the large objects, which is MAAS's, and its members. Which one applies is found
out by asking the server, never by trying and failing half-way.

Always true: both give the same bytes, and either can begin at any block.
"""

import dataclasses
import enum
from collections.abc import Generator
from typing import Protocol

from psycopg import sql

from boot_resources import errors
from boot_resources.migration import database, pages
from boot_resources.store import blocks

_INV_READ = 0x40000
_PAGES_PER_BLOCK = 4
"""LOBLKSIZE is BLCKSZ / 4: PostgreSQL's src/include/storage/large_object.h."""


class Unreadable(errors.BootResourcesError):
    """Our role may not read the large objects in any way."""


class NotThere(errors.BootResourcesError):
    """There is no large object of that number, or not all of it."""


class Way(enum.StrEnum):
    """How large objects are read."""

    COPY = "copy"
    LO = "lo"


@dataclasses.dataclass(frozen=True)
class Access:
    """What our role may read.

    Attributes:
        role: who we are in the database.
        copy: whether it may read ``pg_largeobject``.
        owners: the roles whose large objects it may not read by function.
        page_size: bytes of a whole page of a large object.
    """

    role: str
    copy: bool
    owners: tuple[str, ...]
    page_size: int

    def way(self) -> Way:
        """Return the faster way that is open.

        Raises:
            Unreadable: none is; the cure gives the GRANT for either.
        """
        if self.copy:
            return Way.COPY
        if self.owners:
            raise Unreadable(
                f"the role {self.role!r} may not read the large objects of"
                f" {', '.join(map(repr, self.owners))}",
                f"as superuser: {self.grant} (or connect as {self.owners[0]!r})",
            )
        return Way.LO

    @property
    def grant(self) -> str:
        """The SQL by which a superuser opens the faster way."""
        return f'GRANT SELECT ON pg_catalog.pg_largeobject TO "{self.role}";'


@dataclasses.dataclass(frozen=True)
class LargeObject:
    """A large object: its number, its size in bytes, or None where nobody lets us look."""

    oid: int
    size: int | None


class Reader(Protocol):
    """Reads blocks of a large object."""

    def read(
        self, conn: database.Connection, oid: int, size: int, run: range
    ) -> Generator[tuple[int, pages.Buffer], None, None]:
        """Yield the index and the bytes of each block of ``run``, in order.

        Args:
            conn: in a transaction of its own.
            oid: the large object.
            size: the bytes that it is to have; none beyond them is given.
            run: indexes of blocks.

        Raises:
            NotThere: it is gone, or shorter than the blocks that were asked for (``lo``; where
                ``copy`` finds no page it gives zeros, and the object's hash tells).
            psycopg.Error: the server's.
        """
        ...


def probe(conn: database.Connection) -> Access:
    """Return what our role may read. Nothing is tried; the server is asked."""
    found = conn.execute(
        """
        SELECT current_user, has_table_privilege('pg_catalog.pg_largeobject', 'SELECT'),
               current_setting('block_size')::int
        """
    ).fetchone()
    assert found is not None, "a SELECT without FROM gives one row"
    role, copy, block_size = found
    owners = conn.execute(
        f"""
        SELECT DISTINCT pg_get_userbyid(m.lomowner)::text
        FROM pg_catalog.pg_largeobject_metadata m
        JOIN public.maasserver_largefile f ON f.content = m.oid
        WHERE NOT {_MAY_READ} ORDER BY 1
        """.encode()  # noqa: S608  the condition is ours
    )
    return Access(role, copy, tuple(owner for (owner,) in owners), block_size // _PAGES_PER_BLOCK)


def measure(conn: database.Connection, access: Access) -> dict[int, LargeObject]:
    """Return every large object of the database, by its oid; of each the last page is read."""
    if access.copy:
        query = """
            SELECT m.oid::bigint, coalesce(p.pageno::bigint * %s + octet_length(p.data), 0)
            FROM pg_catalog.pg_largeobject_metadata m
            LEFT JOIN LATERAL (
                SELECT l.pageno, l.data FROM pg_catalog.pg_largeobject l
                WHERE l.loid = m.oid ORDER BY l.pageno DESC LIMIT 1
            ) p ON true
            """
        found = conn.execute(query, [access.page_size])
    else:
        # OFFSET 0 keeps the planner from opening it once for each use of the descriptor.
        query = f"""
            SELECT m.oid::bigint, o.size
            FROM (
                SELECT oid, {_MAY_READ} AS readable FROM pg_catalog.pg_largeobject_metadata m
            ) m
            LEFT JOIN LATERAL (
                SELECT lo_lseek64(d.fd, 0, 2) AS size, lo_close(d.fd)
                FROM (SELECT lo_open(m.oid, {_INV_READ}) AS fd WHERE m.readable OFFSET 0) d
                OFFSET 0
            ) o ON true
            """  # noqa: S608  both are ours
        found = conn.execute(query.encode())
    return {oid: LargeObject(oid, size) for oid, size in found}


class CopyReader:
    """Reads the pages of ``pg_largeobject`` as a stream."""

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size

    def read(
        self, conn: database.Connection, oid: int, size: int, run: range
    ) -> Generator[tuple[int, pages.Buffer], None, None]:
        """See ``Reader.read``."""
        per_block = blocks.BLOCK_SIZE // self._page_size
        query = sql.SQL(
            "COPY (SELECT pageno, data FROM pg_catalog.pg_largeobject WHERE loid = {oid}"
            " AND pageno >= {first} AND pageno < {stop} ORDER BY pageno)"
            " TO STDOUT (FORMAT binary)"
        ).format(oid=oid, first=run.start * per_block, stop=run.stop * per_block)
        with conn.cursor() as cursor, cursor.copy(query) as messages:
            yield from pages.assemble(pages.parse(messages), self._page_size, run, size)
            # psycopg wants to have seen the end of the stream.
            for _ in messages:
                pass


class LoReader:
    """Asks the server's large object functions for one block after another."""

    def read(
        self, conn: database.Connection, oid: int, size: int, run: range
    ) -> Generator[tuple[int, pages.Buffer], None, None]:
        """See ``Reader.read``."""
        with conn.cursor(binary=True) as cursor:
            for index in run:
                length = blocks.block_length(index, size)
                asked = [oid, blocks.block_start(index), length]
                cursor.execute("SELECT lo_get(%s::oid, %s::bigint, %s::int)", asked)
                row = cursor.fetchone()
                data = b"" if row is None else row[0]
                if len(data) < length:
                    raise NotThere(f"large object {oid} ends within its block {index}")
                yield index, data


def reader(access: Access, way: Way | None = None) -> Reader:
    """Return what reads the large objects: the faster way that is open, or the one asked for.

    Raises:
        Unreadable: no way is open.
    """
    chosen = way or access.way()
    return CopyReader(access.page_size) if chosen is Way.COPY else LoReader()


_MAY_READ = """(
    pg_has_role(m.lomowner, 'USAGE')
    OR current_setting('lo_compat_privileges')::bool
    OR EXISTS (
        SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
        AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE'))
    )
)"""
