"""Images leave a MAAS database: the one module that changes it. Irreversible.

Which rows go depends on the schema. In a 3.4 a file cannot be without its large file, so the rows
of both go; later ones keep the file's row, as MAAS's own export leaves it, with its large file
taken off. A row never outlives its large object, nor the other way round: both go in one
transaction, at most ``BATCH`` of them, because each unlinked object is a lock of PostgreSQL's. So
a kill at any point leaves a database that MAAS could run on, and the next run goes on. Rows go
only as they were when all of it was found to be proved: where one changed since, none goes.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

import psycopg

from boot_resources import errors
from boot_resources.migration import clients, database, export, inventory, schema

BATCH = 1000
"""Large objects in one transaction: as ``vacuumlo`` does it (max_locks_per_transaction)."""
_FILES = "public.maasserver_bootresourcefile"
_LARGEFILES = "public.maasserver_largefile"
_DELETE_FILES = b"""
    DELETE FROM public.maasserver_bootresourcefile WHERE largefile_id = ANY(%s)
    RETURNING id, resource_set_id, filename
    """
_CLEAR_FILES = b"""
    UPDATE public.maasserver_bootresourcefile SET largefile_id = NULL
    WHERE largefile_id = ANY(%s) RETURNING id, resource_set_id, filename
    """
_DELETE_LARGEFILES = b"""
    DELETE FROM public.maasserver_largefile WHERE id = ANY(%s)
    RETURNING id, sha256, content::bigint, size, total_size
    """

Tell = Callable[[str, int, int], None]
"""Called with what is done now, how much of it is done, and how much there is."""


class NotOwner(errors.BootResourcesError):
    """The role that we are may not remove what is to go."""


class Changed(errors.BootResourcesError):
    """MAAS's images are not what they were when all of them were found to be proved."""

    def __init__(self) -> None:
        super().__init__(
            "MAAS's images changed while they were removed; what changed stays",
            "run `boot-resources migrate`, then finish again: it goes on where it stopped",
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """What goes.

    Attributes:
        generation: which MAAS left the database.
        alone: large objects that no row names.
        largefiles: rows of large files, each with its large object.
        spared: large objects that a row names which stays.
        files: the files of each of these large files, by its row number.
    """

    generation: schema.Generation
    alone: tuple[int, ...]
    largefiles: tuple[inventory.LargeFile, ...]
    spared: frozenset[int]
    files: Mapping[int, tuple[inventory.File, ...]]

    @property
    def oids(self) -> list[int]:
        """The large objects that go."""
        return [*self.alone, *self.unlinked(self.largefiles)]

    def unlinked(self, largefiles: Iterable[inventory.LargeFile]) -> list[int]:
        """Return the large objects that go with these rows."""
        return [each.oid for each in largefiles if each.oid not in self.spared]

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
    """

    largefiles: int
    objects: int


def plan(found: inventory.Inventory, *, orphans: bool) -> Plan:
    """Return what goes: what files name; and with ``orphans`` also what nothing names."""
    files: dict[int, tuple[inventory.File, ...]] = {}
    for file in found.files:
        if file.largefile_id is not None:
            files[file.largefile_id] = (*files.get(file.largefile_id, ()), file)
    going = {each: None for each in found.largefiles if orphans or each.id in files}
    named = {each.oid for each in found.largefiles}
    return Plan(
        generation=found.generation,
        alone=tuple(sorted(found.objects.keys() - named)) if orphans else (),
        largefiles=tuple(going),
        spared=frozenset(each.oid for each in found.largefiles if each not in going),
        files=files,
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
    """Remove all of it, batch by batch.

    Args:
        maas: the database.
        planned: what goes.
        confirm: raises where we may not go on; called before each batch.
        tell: is told how far it is.
        stop: set it to end after the batch that is under way.

    Raises:
        clients.SomebodyConnected: somebody else works on the database.
        Changed: MAAS has other images by now; what is not as planned stays.
        export.Stopped: ``stop`` was set; the next run goes on.
        database.Unreachable: the database broke off.
    """
    connection = maas.connect()
    try:
        # The only session of ours that may write.
        connection.read_only = False
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        rows = unlinked = 0
        for alone, largefiles in _batches(planned):
            if stop.is_set():
                raise export.Stopped
            confirm()
            with connection.transaction():
                clients.require_nobody(connection)
                _require_nameless(connection, alone)
                _take_off(connection, planned, largefiles)
                unlinked += _unlink(connection, [*alone, *planned.unlinked(largefiles)])
            rows += len(largefiles)
            tell("removing", unlinked, len(planned.oids))
        return Removed(rows, unlinked)
    except psycopg.IntegrityError as error:
        # A file came between what was read and what was to go.
        raise Changed from error
    except psycopg.Error as error:
        raise maas.unreachable(error) from error
    finally:
        connection.close()


def _batches(planned: Plan) -> Iterator[tuple[list[int], list[inventory.LargeFile]]]:
    """Yield the large objects without a row, and the rows, of each transaction."""
    for start in range(0, len(planned.alone), BATCH):
        yield list(planned.alone[start : start + BATCH]), []
    for start in range(0, len(planned.largefiles), BATCH):
        yield [], list(planned.largefiles[start : start + BATCH])


def _require_nameless(conn: database.Connection, oids: list[int]) -> None:
    named = conn.execute(
        "SELECT FROM public.maasserver_largefile WHERE content = ANY(%s::oid[]) LIMIT 1", [oids]
    )
    if named.fetchall():
        raise Changed


def _take_off(
    conn: database.Connection, planned: Plan, largefiles: Iterable[inventory.LargeFile]
) -> None:
    """Take large files off their files, and remove their rows, all of them as planned.

    Raises:
        Changed: some row is not as planned; the caller's transaction is to be undone.
    """
    rows = {each.id: each for each in largefiles}
    files = [file for each in rows for file in planned.files.get(each, ())]
    # In a 3.4 a file's large file may not be null.
    off = _DELETE_FILES if planned.generation is schema.Generation.V3_4 else _CLEAR_FILES
    gone_files = set(conn.execute(off, [list(rows)]))
    gone = set(conn.execute(_DELETE_LARGEFILES, [list(rows)]))
    if gone_files != {(file.id, file.set_id, file.filename) for file in files}:
        raise Changed
    if gone != {(e.id, e.sha256, e.oid, e.size, e.total_size) for e in rows.values()}:
        raise Changed


def _unlink(conn: database.Connection, oids: list[int]) -> int:
    """Unlink those that are there: one that is not would end the transaction."""
    found = conn.execute(
        "SELECT count(lo_unlink(oid)) FROM pg_catalog.pg_largeobject_metadata"
        " WHERE oid = ANY(%s::oid[])",
        [oids],
    ).fetchone()
    return int(found[0]) if found else 0
