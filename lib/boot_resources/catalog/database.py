"""A catalog: one database, opened by URL; transactions that read, and transactions that write.

Always true:

- A read sees one moment of the database, however many statements it runs, and cannot write.
- Writes of one SQLite catalog follow one another (``BEGIN IMMEDIATE``). On PostgreSQL each
  statement of a write sees what was committed before it began (READ COMMITTED), so that what is
  read after a row was locked is true until the end; queries that depend on one another lock the
  one row of ``cluster`` first.
- A committed write survives a power cut (``synchronous=FULL``; PostgreSQL's own default).
- Nothing is retried here. Who gets ``CatalogBusy`` may run the whole transaction again.
- No transaction can hold the others up for ever: waiting for a lock ends after
  ``LOCK_SECONDS``, and PostgreSQL ends a transaction that idles for ``IDLE_SECONDS``.

A ``Catalog`` may be used from several threads; a connection from one.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import failures

LOCK_SECONDS = 10
"""How long a statement waits for a lock before the catalog counts as busy."""
IDLE_SECONDS = 30
"""How long a PostgreSQL transaction may do nothing, as in a host that was suspended."""
CONNECT_SECONDS = 5
"""How long a connection to PostgreSQL may take to come about."""

_POSTGRESQL = "postgresql+psycopg"
_BEGIN = "boot_resources_begin"


class Catalog:
    """One open catalog. ``open_catalog`` makes it; ``close`` ends it.

    Attributes:
        name: the database's URL without password and options, for people.
        shared: whether regions on several hosts can use it: it is PostgreSQL.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.name = name
        self.shared = engine.dialect.name == "postgresql"
        self._engine = engine
        self._password = engine.url.password
        if self.shared:
            self._readers = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self._writers = engine.execution_options(isolation_level="READ COMMITTED")
        else:
            self._readers = engine.execution_options(**{_BEGIN: "BEGIN"})
            self._writers = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection whose statements all see one moment and cannot write.

        Raises:
            CatalogBusy: a connection could not be had in time.
            CatalogUnavailable: the database cannot be reached or used.
        """
        with failures.translated(self.name, self._password), self._readers.begin() as conn:
            yield conn

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give a connection whose changes are committed together at the end, or not at all.

        Raises:
            CatalogBusy: other transactions were in the way; nothing was changed.
            CatalogUnavailable: the database cannot be reached or used.
        """
        with failures.translated(self.name, self._password), self._writers.begin() as conn:
            yield conn

    def close(self) -> None:
        """Close every connection; those in use close when their transaction ends."""
        self._engine.dispose()


def open_catalog(url: str) -> Catalog:
    """Open the catalog at ``url``, without looking at what it holds.

    A SQLite file is created where there is none, with its directory, for this user alone. A
    PostgreSQL server is not contacted before the first transaction.

    Args:
        url: ``sqlite:////absolute/path``, or ``postgresql://user:password@host:port/database``.

    Raises:
        SettingsError: the URL is of neither kind.
        CatalogBusy: other processes are opening the same SQLite file for too long.
        CatalogUnavailable: the SQLite file or its directory cannot be made or used.
    """
    parsed = _parse(url)
    name = _name(parsed)
    if parsed.drivername == _POSTGRESQL:
        return Catalog(_postgresql_engine(parsed), name)
    catalog = Catalog(_sqlite_engine(parsed, name), name)
    with failures.translated(name, None):
        _keep_a_log_of_writes(str(parsed.database))
    return catalog


def _parse(url: str) -> sa.URL:
    """Return ``url`` with the driver we use. An error never shows it: it may hold a password."""
    cure = "write sqlite:////absolute/path or postgresql://user:password@host:port/database"
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise errors.SettingsError("the database URL cannot be read", cure) from None
    if parsed.drivername in ("postgres", "postgresql", _POSTGRESQL):
        return parsed.set(drivername=_POSTGRESQL)
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise errors.SettingsError(
        f"{parsed.drivername!r} is not a kind of database that can hold a catalog"
        if parsed.drivername != "sqlite"
        else "the database URL names no file",
        cure,
    )


def _name(url: sa.URL) -> str:
    """Return ``url`` for people: without password, options and driver."""
    bare = url.set(drivername=url.get_backend_name(), query={})
    return sa.URL.create(
        bare.drivername, bare.username, None, bare.host, bare.port, bare.database
    ).render_as_string()


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    """Return an engine that notices a dead server soon; the URL's own options go first."""
    limits: Mapping[str, Any] = {
        "application_name": "boot-resources",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "options": f"-c lock_timeout={LOCK_SECONDS}s -c timezone=UTC"
        f" -c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
    }
    return sa.create_engine(
        url,
        connect_args={key: value for key, value in limits.items() if key not in url.query},
        hide_parameters=True,
        pool_pre_ping=True,
        pool_timeout=LOCK_SECONDS,
    )


def _sqlite_engine(url: sa.URL, name: str) -> sa.Engine:
    """Return an engine whose transactions begin as the reader or the writer asks."""
    path = Path(str(url.database))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise failures.CatalogUnavailable(
            f"the catalog at {name} cannot be opened: {error.strerror}",
            f"make {path} readable and writable for the region's user",
        ) from error
    engine = sa.create_engine(
        url,
        connect_args={"timeout": LOCK_SECONDS},
        hide_parameters=True,
        pool_timeout=LOCK_SECONDS,
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Take the beginning of transactions away from the driver, and set what a connection sets."""
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(conn: sa.Connection) -> None:
    begin = conn.get_execution_options()[_BEGIN]
    conn.exec_driver_sql(f"PRAGMA query_only={'ON' if begin == 'BEGIN' else 'OFF'}")
    conn.exec_driver_sql(begin)


def _keep_a_log_of_writes(path: str) -> None:
    """Put the file into WAL mode, where reads and a write do not wait for one another.

    The mode stays with the file. While another process changes it, SQLite answers that the file
    is locked at once, whatever the time-out, so the waiting is done here.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.DatabaseError as error:
                locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not locked or time.monotonic() > deadline:
                    raise sa.exc.DBAPIError("PRAGMA journal_mode=WAL", (), error) from error
            time.sleep(0.05)
    finally:
        connection.close()
