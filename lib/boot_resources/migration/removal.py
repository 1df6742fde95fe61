"""Images leave a MAAS database: the one module that changes it. Irreversible.

Which rows go depends on the schema. In a 3.4 a file cannot be without its large file, so the rows
of both go; later ones keep the file's row, as MAAS's own export leaves it, with its large file
taken off. A row never outlives its large object, nor the other way round: both go in one
transaction, at most ``BATCH`` of them, because each unlinked object is a lock of PostgreSQL's. So
a kill at any point leaves a database that MAAS could run on, and the next run goes on.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterator

import psycopg

from boot_resources import errors
from boot_resources.migration import clients, database, export, inventory, schema

BATCH = 1000
"""Large objects in one transaction: as ``vacuumlo`` does it (max_locks_per_transaction)."""
_FILES = "public.maasserver_bootresourcefile"
_LARGEFILES = "public.maasserver_largefile"
_DELETE_FILES = b"DELETE FROM public.maasserver_bootresourcefile WHERE largefile_id = ANY(%s)"
_CLEAR_FILES = (
    b"UPDATE public.maasserver_bootresourcefile SET largefile_id = NULL"
    b" WHERE largefile_id = ANY(%s)"
)
_DELETE_LARGEFILES = b"DELETE FROM public.maasserver_largefile WHERE id = ANY(%s)"
_VACUUM = "VACUUM (FULL) pg_catalog.pg_largeobject"

Tell = Callable[[str, int, int], None]
"""Called with what is done now, how much of it is done, and how much there is."""


class NotOwner(errors.BootResourcesError):
    """The role that we are may not remove what is to go."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What goes.

    Attributes:
        generation: which MAAS left the database.
        alone: large objects that no row names.
        largefiles: rows of large files, each with its large object.
        spared: large objects that a row names which stays.
    """

    generation: schema.Generation
    alone: tuple[int, ...]
    largefiles: tuple[tuple[int, int], ...]
    spared: frozenset[int]

    @property
    def oids(self) -> list[int]:
        """The large objects that go."""
        named = (oid for _, oid in self.largefiles if oid not in self.spared)
        return [*self.alone, *named]

    def rows(self) -> str:
        """Return which rows go, for people."""
        if self.generation is schema.Generation.V3_4:
            return "rows of maasserver_bootresourcefile and maasserver_largefile go"
        return "rows of maasserver_largefile go; those of maasserver_bootresourcefile stay"


@dataclasses.dataclass(frozen=True)
class Removed:
    """What went.

    Attributes:
        largefiles: rows of large files.
        objects: large objects.
        given_back: bytes by which ``pg_largeobject`` became smaller on the server's disk.
        vacuum: the SQL by which a superuser gives the space back; empty where that was done.
    """

    largefiles: int
    objects: int
    given_back: int
    vacuum: str


def plan(found: inventory.Inventory, *, orphans: bool) -> Plan:
    """Return what goes: what files name; and with ``orphans`` also what nothing names."""
    used = {file.largefile_id for file in found.files}
    going = {each: None for each in found.largefiles if orphans or each.id in used}
    named = {each.oid for each in found.largefiles}
    return Plan(
        generation=found.generation,
        alone=tuple(sorted(found.objects.keys() - named)) if orphans else (),
        largefiles=tuple((each.id, each.oid) for each in going),
        spared=frozenset(each.oid for each in found.largefiles if each not in going),
    )


def require_rights(conn: database.Connection, planned: Plan) -> None:
    """Do nothing where our role may remove all of it.

    Raises:
        NotOwner: it may not, and who may.
    """
    owners = conn.execute(
        "SELECT DISTINCT pg_get_userbyid(lomowner)::text FROM pg_catalog.pg_largeobject_metadata"
        " WHERE oid = ANY(%s::oid[]) AND NOT pg_has_role(lomowner, 'USAGE') ORDER BY 1",
        [planned.oids],
    ).fetchall()
    change = "DELETE" if planned.generation is schema.Generation.V3_4 else "UPDATE"
    allowed = conn.execute(
        "SELECT has_table_privilege(%s, %s) AND has_table_privilege(%s, 'DELETE'), current_user,"
        " (SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = %s::regclass)",
        [_FILES, change, _LARGEFILES, _LARGEFILES],
    ).fetchone()
    assert allowed is not None, "a SELECT without FROM gives one row"
    may, role, owner = allowed
    if owners or not may:
        needed = owners[0][0] if owners else owner
        raise NotOwner(
            f"the role {role!r} does not own MAAS's large objects or may not change its tables",
            f"connect as {needed!r}: name that role in the URL of the settings",
        )


def remove(
    maas: database.Database,
    planned: Plan,
    confirm: Callable[[], None],
    tell: Tell,
    stop: threading.Event,
) -> Removed:
    """Remove all of it, batch by batch, and give the space back where our role may.

    Args:
        maas: the database.
        planned: what goes.
        confirm: raises where we may not go on; called before each batch.
        tell: is told how far it is.
        stop: set it to end after the batch that is under way.

    Raises:
        clients.MaasConnected: MAAS is there.
        export.Stopped: ``stop`` was set; the next run goes on.
        database.Unreachable: the database broke off.
    """
    connection = maas.connect()
    try:
        # The only session of ours that may write.
        connection.read_only = False
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        before = _size(connection)
        rows = unlinked = 0
        for ids, oids in _batches(planned):
            if stop.is_set():
                raise export.Stopped
            confirm()
            with connection.transaction():
                clients.require_nobody(clients.connected(connection))
                rows += _take_off(connection, planned.generation, ids)
                unlinked += _unlink(connection, oids)
            tell("removing", unlinked, len(planned.oids))
        vacuum = _vacuum(connection)
        return Removed(rows, unlinked, max(0, before - _size(connection)), vacuum)
    except psycopg.Error as error:
        raise maas.unreachable(error) from error
    finally:
        connection.close()


def _batches(planned: Plan) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the rows and the large objects of each transaction; a row goes with its object."""
    for start in range(0, len(planned.alone), BATCH):
        yield [], list(planned.alone[start : start + BATCH])
    for start in range(0, len(planned.largefiles), BATCH):
        some = planned.largefiles[start : start + BATCH]
        yield [number for number, _ in some], [oid for _, oid in some if oid not in planned.spared]


def _take_off(conn: database.Connection, generation: schema.Generation, ids: list[int]) -> int:
    """Take large files off their files, and return how many rows of large files went."""
    # In a 3.4 a file's large file may not be null.
    conn.execute(_DELETE_FILES if generation is schema.Generation.V3_4 else _CLEAR_FILES, [ids])
    return conn.execute(_DELETE_LARGEFILES, [ids]).rowcount


def _unlink(conn: database.Connection, oids: list[int]) -> int:
    """Unlink those that are there: one that is not would end the transaction."""
    found = conn.execute(
        "SELECT count(lo_unlink(oid)) FROM pg_catalog.pg_largeobject_metadata"
        " WHERE oid = ANY(%s::oid[])",
        [oids],
    ).fetchone()
    return int(found[0]) if found else 0


def _size(conn: database.Connection) -> int:
    with conn.transaction():
        query = "SELECT pg_total_relation_size('pg_catalog.pg_largeobject')"
        found = conn.execute(query).fetchone()
    return int(found[0]) if found else 0


def _vacuum(conn: database.Connection) -> str:
    """Give the space back, which a database's owner may; return the SQL for who may otherwise."""
    with conn.transaction():
        owner = conn.execute(
            "SELECT pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database"
            " WHERE datname = current_database()"
        ).fetchone()
    if not (owner and owner[0]):
        return _VACUUM
    # It runs in no transaction block, and writes what is left anew: next to nothing.
    conn.autocommit = True
    conn.execute(_VACUUM.encode())
    conn.autocommit = False
    return ""
