"""MAAS databases for tests, built by our own SQL on a real PostgreSQL: those of 3.4 and 3.5.

The tables are those that hold images, with MAAS's own columns and constraints, and as much of the
rest as tells one MAAS from another. They and the large objects belong to MAAS's own role, which
is no superuser. Once a test has called ``seal``, not a row and not a byte may change any more:
that is held against a checksum of everything when the test ends.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from support import postgres

MAAS, READER, PUPIL = "maas", "maas_reader", "maas_pupil"
"""The owner; one that was granted all there is to read; one that may read the tables only."""
V3_4, V3_5 = "3.4", "3.5"
KINDS = (V3_4, V3_5)
SYNCED, GENERATED, UPLOADED = 0, 1, 2
_OURS = "boot-resources tests"
"""How the tests' own sessions are called: they do not count as anybody."""
_NOW = "2024-05-01T12:00:00+00:00"
_DATES = "created timestamptz NOT NULL, updated timestamptz NOT NULL"
_FILE_3_5 = ", sha256 varchar(64) NOT NULL, size bigint NOT NULL"
_MIGRATIONS = {
    V3_4: ["0001_initial", "0304_interface_params_no_autoconf"],
    V3_5: [
        *("0001_initial", "0304_interface_params_no_autoconf", "0305_add_temporal_schema"),
        *("0308_remove_images_from_db", "0311_image_sync_tracking", "0330_filename_on_disk"),
    ],
}
TABLES = (
    "django_migrations",
    "maasserver_bootresource",
    "maasserver_bootresourceset",
    "maasserver_bootresourcefile",
    "maasserver_largefile",
    "maasserver_bootsource",
    "maasserver_bootsourceselection",
    "maasserver_bootsourcecache",
    "maasserver_config",
    "maasserver_node",
)
SYNC_TABLE = "maasserver_bootresourcefilesync"


def schema(kind: str) -> str:
    """Return the SQL that makes the tables of one kind of MAAS."""
    reference = "bigint NOT NULL REFERENCES {} DEFERRABLE INITIALLY DEFERRED"
    largefile = "maasserver_largefile DEFERRABLE INITIALLY DEFERRED"
    file_extra, not_null = (_FILE_3_5, "") if kind == V3_5 else ("", "NOT NULL")
    ddl = f"""
    CREATE TABLE django_migrations (
        id bigserial PRIMARY KEY, app varchar(255) NOT NULL, name varchar(255) NOT NULL,
        applied timestamptz NOT NULL);
    CREATE TABLE maasserver_config (
        id bigserial PRIMARY KEY, name varchar(255) NOT NULL UNIQUE, value jsonb);
    CREATE TABLE maasserver_node (
        id bigserial PRIMARY KEY, {_DATES}, system_id varchar(41) NOT NULL,
        hostname varchar(255) NOT NULL, node_type int NOT NULL);
    CREATE TABLE maasserver_bootresource (
        id bigserial PRIMARY KEY, {_DATES}, rtype int NOT NULL, name varchar(255) NOT NULL,
        architecture varchar(255) NOT NULL, extra jsonb NOT NULL, kflavor varchar(32),
        bootloader_type varchar(32), rolling bool NOT NULL, base_image varchar(255) NOT NULL,
        UNIQUE (name, architecture));
    CREATE TABLE maasserver_bootresourceset (
        id bigserial PRIMARY KEY, {_DATES}, version varchar(255) NOT NULL,
        label varchar(255) NOT NULL, resource_id {reference.format("maasserver_bootresource")},
        UNIQUE (resource_id, version));
    CREATE TABLE maasserver_largefile (
        id bigserial PRIMARY KEY, {_DATES}, sha256 varchar(64) NOT NULL UNIQUE,
        total_size bigint NOT NULL, content oid NOT NULL, size bigint NOT NULL);
    CREATE TABLE maasserver_bootresourcefile (
        id bigserial PRIMARY KEY, {_DATES}, filename varchar(255) NOT NULL,
        filetype varchar(20) NOT NULL, extra jsonb NOT NULL,
        largefile_id bigint {not_null} REFERENCES {largefile},
        resource_set_id {reference.format("maasserver_bootresourceset")}{file_extra},
        UNIQUE (resource_set_id, filename));
    CREATE TABLE maasserver_bootsource (
        id bigserial PRIMARY KEY, {_DATES}, url varchar(200) NOT NULL UNIQUE,
        keyring_filename varchar(4096) NOT NULL, keyring_data bytea NOT NULL);
    CREATE TABLE maasserver_bootsourceselection (
        id bigserial PRIMARY KEY, {_DATES}, os varchar(20) NOT NULL, release varchar(20) NOT NULL,
        arches text[], subarches text[], labels text[],
        boot_source_id {reference.format("maasserver_bootsource")},
        UNIQUE (boot_source_id, os, release));
    CREATE TABLE maasserver_bootsourcecache (
        id bigserial PRIMARY KEY, {_DATES}, os varchar(32) NOT NULL, arch varchar(32) NOT NULL,
        subarch varchar(32) NOT NULL, release varchar(32) NOT NULL, label varchar(32) NOT NULL,
        kflavor varchar(32), bootloader_type varchar(32), release_codename varchar(255),
        release_title varchar(255), support_eol date, extra jsonb NOT NULL,
        boot_source_id {reference.format("maasserver_bootsource")});
    """
    if kind == V3_5:
        ddl += f"""
        CREATE TABLE {SYNC_TABLE} (
            id bigserial PRIMARY KEY, {_DATES}, size bigint NOT NULL,
            file_id {reference.format("maasserver_bootresourcefile")},
            region_id {reference.format("maasserver_node")}, UNIQUE (file_id, region_id));
        """
    return ddl


@dataclasses.dataclass(frozen=True)
class Stored:
    """A large file: its row and its large object."""

    id: int
    sha256: str
    oid: int
    size: int


class MaasDatabase:
    """One MAAS database, and a session of MAAS's own role in it.

    Attributes:
        kind: of ``KINDS``.
        name: the database's.
        sealed: the checksum that it must have when the test ends; empty while it may change.
    """

    def __init__(self, server: postgres.Server, kind: str) -> None:
        self.kind = kind
        self._server = server
        self.sealed = ""
        self._own: psycopg.Connection[Any] | None = None
        _make_roles(server)
        self.name = server.create_database()
        server.execute(f"ALTER DATABASE {self.name} OWNER TO {MAAS}")
        with self.session("postgres", _OURS) as conn:
            conn.execute(f"ALTER SCHEMA public OWNER TO {MAAS}".encode())
            conn.execute(f"GRANT SELECT ON pg_catalog.pg_largeobject TO {READER}".encode())
        with self.session(MAAS, _OURS) as conn:
            conn.execute(schema(kind).encode())
            grant = f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}, {PUPIL}"
            conn.execute(grant.encode())
            for migration in _MIGRATIONS[kind]:
                self._insert("django_migrations", app="maasserver", name=migration, applied=_NOW)

    def close(self) -> None:
        """Drop the database."""
        self.leave()
        self._server.drop_database(self.name)

    def seal(self) -> None:
        """Say that from now on nothing may change; a test that changes something seals anew."""
        self.sealed = self.checksum()

    def assert_unchanged(self) -> None:
        """Fail if anything changed since it was sealed."""
        if self.sealed:
            assert self.sealed == self.checksum(), "MAAS's database was changed"

    def url(self, role: str = MAAS) -> str:
        """Return the URL by which a role reaches it."""
        return self._server.url(self.name).replace("postgres@", f"{role}@")

    def session(
        self, role: str = MAAS, application: str = "maas-regiond"
    ) -> psycopg.Connection[Any]:
        """Open a session in which every statement counts at once."""
        return psycopg.connect(self.url(role), autocommit=True, application_name=application)

    def execute(self, statement: str, *values: object, role: str = MAAS) -> list[Any]:
        """Run one statement and return its rows."""
        if role == MAAS:
            return _rows(self._session().execute(statement.encode(), values))
        with self.session(role, _OURS) as conn:
            return _rows(conn.execute(statement.encode(), values))

    def _session(self) -> psycopg.Connection[Any]:
        """Return the test's own session, which does not count as one of MAAS's."""
        if self._own is None:
            self._own = self.session(MAAS, _OURS)
        return self._own

    def leave(self) -> None:
        """End the test's own session; the next statement opens another."""
        if self._own is not None:
            self._own.close()
            self._own = None

    def checksum(self) -> str:
        """Return what changes with any row or any byte of the database."""
        tables = [*TABLES, *([SYNC_TABLE] if self.kind == V3_5 else [])]
        tables += ["pg_catalog.pg_largeobject", "pg_catalog.pg_largeobject_metadata"]
        whole = hashlib.sha256()
        with self.session("postgres", _OURS) as conn:
            present = {row[0] for row in conn.execute("SELECT tablename FROM pg_tables")}
            for table in tables:
                if table.rpartition(".")[2] in present:
                    query = f"COPY (SELECT t.* FROM {table} t ORDER BY t::text) TO STDOUT"
                    with conn.cursor() as cursor, cursor.copy(query.encode()) as rows:
                        whole.update(table.encode())
                        for row in rows:
                            whole.update(row)
        return whole.hexdigest()

    def end_sessions(self) -> None:
        """End every session in this database."""
        self.leave()
        self._server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{self.name}' AND pid <> pg_backend_pid()"
        )

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Let nobody connect meanwhile."""
        self.leave()
        self._server.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        try:
            yield
        finally:
            self._server.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")

    # What MAAS does

    def large_object(self, content: bytes) -> int:
        """Make a large object as MAAS does; return its oid."""
        ((oid,),) = self.execute("SELECT lo_create(0)")
        step = 10 * 1024 * 1024
        for start in range(0, len(content), step):
            part = content[start : start + step]
            self.execute("SELECT lo_put(%s, %s, %s)", oid, start, part)
        return int(oid)

    def store(
        self, content: bytes, *, says: bytes | None = None, written: int | None = None
    ) -> Stored:
        """Store a large file.

        Args:
            content: what its large object holds.
            says: the bytes whose sha256 and size its row has; ``content``, by default.
            written: its row's ``size``; all of it, by default.
        """
        promised = content if says is None else says
        sha256, size = hashlib.sha256(promised).hexdigest(), len(promised)
        if known := self.execute(
            "SELECT id, content FROM maasserver_largefile WHERE sha256=%s", sha256
        ):
            return Stored(known[0][0], sha256, int(known[0][1]), size)
        oid = self.large_object(content)
        number = self._insert(
            "maasserver_largefile",
            **self._dates(),
            sha256=sha256,
            total_size=size,
            size=size if written is None else written,
            content=oid,
        )
        return Stored(number, sha256, oid, size)

    def resource(
        self,
        name: str,
        architecture: str = "amd64/generic",
        *,
        rtype: int = SYNCED,
        kflavor: str | None = None,
        bootloader_type: str | None = None,
        base_image: str = "",
        extra: dict[str, Any] | None = None,
    ) -> int:
        """Add a resource; return its row number."""
        return self._insert(
            "maasserver_bootresource",
            **self._dates(),
            rtype=rtype,
            name=name,
            architecture=architecture,
            extra=json.dumps(extra or {}),
            kflavor=kflavor,
            bootloader_type=bootloader_type,
            rolling=False,
            base_image=base_image,
        )

    def version(self, resource: int, version: str, label: str = "stable") -> int:
        """Add a set to a resource; return its row number."""
        values = {"version": version, "label": label, "resource_id": resource}
        return self._insert("maasserver_bootresourceset", **self._dates(), **values)

    def file(
        self,
        of_set: int,
        filename: str,
        stored: Stored | None,
        filetype: str | None = None,
        *,
        extra: dict[str, Any] | None = None,
        sha256: str = "",
        size: int = 0,
    ) -> int:
        """Add a file to a set; ``stored`` None is a file that MAAS moved to disk."""
        own = {}
        if self.kind == V3_5:
            own = {
                "sha256": stored.sha256 if stored else sha256,
                "size": stored.size if stored else size,
            }
        return self._insert(
            "maasserver_bootresourcefile",
            **self._dates(),
            filename=filename,
            filetype=filetype or filename,
            extra=json.dumps(extra or {}),
            largefile_id=stored.id if stored else None,
            resource_set_id=of_set,
            **own,
        )

    def title(self, name: str, architecture: str, label: str, title: str) -> None:
        """Have MAAS's copy of the stream give a product a title."""
        source = self._insert(
            "maasserver_bootsource",
            **self._dates(),
            url=f"http://images.example.com/{name}/{architecture}/",
            keyring_filename="/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg",
            keyring_data=b"",
        )
        os, _, release = name.partition("/")
        arch, _, subarch = architecture.partition("/")
        names = {"os": os, "arch": arch, "subarch": subarch, "release": release, "label": label}
        more = {"release_title": title, "extra": "{}", "boot_source_id": source}
        self._insert("maasserver_bootsourcecache", **self._dates(), **names, **more)

    def region(self, hostname: str, *files: int) -> None:
        """Add a region that has these files on its disk. For a 3.5."""
        names = {"system_id": hostname[:6], "hostname": hostname, "node_type": 4}
        node = self._insert("maasserver_node", **self._dates(), **names)
        for file in files:
            values = {"size": 1, "file_id": file, "region_id": node}
            self._insert(SYNC_TABLE, **self._dates(), **values)

    def remove(self, stored: Stored) -> None:
        """Lose a large object while its row stays."""
        self.execute("SELECT lo_unlink(%s)", stored.oid)

    def _dates(self) -> dict[str, str]:
        return {"created": _NOW, "updated": _NOW}

    def _insert(self, table: str, **values: object) -> int:
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        ((number,),) = self._session().execute(statement, list(values.values())).fetchall()
        return int(number)


def made(server: postgres.Server, kind: str) -> Iterator[MaasDatabase]:
    """Yield an empty MAAS database, and drop it."""
    maas = MaasDatabase(server, kind)
    try:
        yield maas
        maas.assert_unchanged()
    finally:
        maas.close()


def _rows(cursor: psycopg.Cursor[Any]) -> list[Any]:
    return cursor.fetchall() if cursor.description else []


def _make_roles(server: postgres.Server) -> None:
    for role in (MAAS, READER, PUPIL):
        server.execute(
            f"DO $$ BEGIN CREATE ROLE {role} LOGIN;"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
