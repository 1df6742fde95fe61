"""The two ways to the bytes of a large object, and who may go which.

``copy`` reads the pages of ``pg_largeobject``: for a superuser, a member of ``pg_read_all_data``,
or whoever was granted SELECT on that table; MAAS's own role is none of these. ``lo`` asks the
server's large object functions for the blocks: for the role that owns the large objects, which is
MAAS's, and its members. Which one applies is found out by asking the server, never by trying and
failing half-way.

Always true: both give the same bytes, either can begin at any block, and both come as one stream
of COPY, a row for each block, so that nobody waits for an answer between two blocks.
"""

import dataclasses
import enum
from collections.abc import Generator, Iterator
from typing import Any, Protocol

import psycopg
from psycopg import sql

from boot_resources import errors
from boot_resources.migration import copystream, database, pages
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
        """Return the way to go: ``copy`` where it is open.

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
        """The SQL by which a superuser opens ``copy``."""
        return f'GRANT SELECT ON pg_catalog.pg_largeobject TO "{self.role}";'


@dataclasses.dataclass(frozen=True)
class LargeObject:
    """A large object: its number, its size in bytes, or None where that cannot be seen."""

    oid: int
    size: int | None


class Reader(Protocol):
    """Reads blocks of a large object."""

    def read(
        self, conn: database.Connection, oid: int, size: int, run: range
    ) -> Generator[tuple[int, copystream.Buffer], None, None]:
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
    """Return every large object of the database, by its oid; of each the last page is read.

    Where the server cannot do that for all at once, each is asked for by itself: one that is
    damaged gets no size, and does not hide the others.
    """
    query, values = _sizes(access)
    try:
        with conn.transaction():
            found = conn.execute(query, values).fetchall()
    except psycopg.Error:
        if conn.closed:
            raise
        found = list(_measure_singly(conn, query, values))
    return {oid: LargeObject(oid, size) for oid, size in found}


def _measure_singly(
    conn: database.Connection, query: bytes, values: list[int]
) -> Iterator[tuple[int, int | None]]:
    oids = conn.execute("SELECT oid::bigint FROM pg_catalog.pg_largeobject_metadata").fetchall()
    for (oid,) in oids:
        try:
            with conn.transaction():
                found = conn.execute(query + b" WHERE m.oid = %s", [*values, oid]).fetchall()
        except psycopg.Error:
            if conn.closed:
                raise
            found = [(oid, None)]
        yield from found


def _sizes(access: Access) -> tuple[bytes, list[int]]:
    """Return the query for the oid and the size of each large object ``m``, and its values."""
    if access.copy:
        query = """
            SELECT m.oid::bigint, coalesce(p.pageno::bigint * %s + octet_length(p.data), 0)
            FROM pg_catalog.pg_largeobject_metadata m
            LEFT JOIN LATERAL (
                SELECT l.pageno, l.data FROM pg_catalog.pg_largeobject l
                WHERE l.loid = m.oid ORDER BY l.pageno DESC LIMIT 1
            ) p ON true
            """
        return query.encode(), [access.page_size]
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
    return query.encode(), []


class CopyReader:
    """Reads the pages of ``pg_largeobject``, a block's at a time, as one stream."""

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size

    def read(
        self, conn: database.Connection, oid: int, size: int, run: range
    ) -> Generator[tuple[int, copystream.Buffer], None, None]:
        """See ``Reader.read``."""
        # The planner overrates what this costs, and would compile it for each object anew.
        conn.execute("SET LOCAL jit = off")
        # Joined by the server: a row for each page would cost us more than its bytes do.
        query = sql.SQL(
            """
            COPY (
                SELECT block, joined.*
                FROM generate_series({first}::int, {last}::int) AS block, LATERAL (
                    SELECT string_agg(int4send(pageno), ''),
                           string_agg(int4send(octet_length(data)), ''), string_agg(data, '')
                    FROM (
                        SELECT pageno, data FROM pg_catalog.pg_largeobject
                        WHERE loid = {oid} AND pageno BETWEEN block * {pages}
                                               AND block * {pages} + {pages} - 1
                        ORDER BY pageno
                    ) AS page
                ) AS joined
            ) TO STDOUT (FORMAT binary)
            """
        ).format(
            oid=oid,
            first=run.start,
            last=run.stop - 1,
            pages=blocks.BLOCK_SIZE // self._page_size,
        )
        for index, *fields in _rows(conn, query, 4):
            found = pages.Pages(*(b"" if field is None else field for field in fields))
            yield index, pages.block(found, self._page_size, index, size)


class LoReader:
    """Has the server's large object functions give one block after another, as one stream."""

    def read(
        self, conn: database.Connection, oid: int, size: int, run: range
    ) -> Generator[tuple[int, copystream.Buffer], None, None]:
        """See ``Reader.read``."""
        query = sql.SQL(
            """
            COPY (
                SELECT block, lo_get({oid}::oid, block * {length}::bigint, {length}::int)
                FROM generate_series({first}::int, {last}::int) AS block
            ) TO STDOUT (FORMAT binary)
            """
        ).format(oid=oid, first=run.start, last=run.stop - 1, length=blocks.BLOCK_SIZE)
        for index, data in _rows(conn, query, 2):
            length = blocks.block_length(index, size)
            if data is None or len(data) < length:
                raise NotThere(f"large object {oid} ends within its block {index}")
            yield index, data[:length]


def _rows(
    conn: database.Connection, query: sql.Composed, width: int
) -> Generator[tuple[Any, ...], None, None]:
    """Yield the rows of a COPY, the first field as the number of a block."""
    with conn.cursor() as cursor, cursor.copy(query) as messages:
        for block, *fields in copystream.rows(messages, width):
            yield int.from_bytes(block or b"", "big"), *fields
        # psycopg wants to have seen the end of the stream.
        for _ in messages:
            pass


def reader(access: Access, way: Way | None = None) -> Reader:
    """Return what reads the large objects: by the way to go, or by the one asked for.

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
