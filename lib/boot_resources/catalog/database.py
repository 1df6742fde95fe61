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
  ``LOCK_SECONDS``, and PostgreSQL ends a transaction that idles for ``IDLE_SECONDS``. A server
  that stands still is given up after ``ANSWER_SECONDS``.
- Whatever is wrong with the database, it is the transactions that say so, never ``open_catalog``:
  a region starts without its catalog.

A ``Catalog`` may be used from several threads; a connection from one.
"""

import contextlib
import functools
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import answering, failures

LOCK_SECONDS = 10
"""How long a statement waits for a lock before the catalog counts as busy."""
IDLE_SECONDS = 30
"""How long a PostgreSQL transaction may do nothing, as in a host that was suspended."""
CONNECT_SECONDS = 5
"""How long a connection to PostgreSQL may take to come about."""
ANSWER_SECONDS = 20
"""How long PostgreSQL may take for one answer, waiting for locks included."""
HURRIED_SECONDS = 2
"""The same once the controller is to stop."""

_POSTGRESQL = "postgresql+psycopg"
_BEGIN = "boot_resources_begin"


class Catalog:
    """One open catalog. ``open_catalog`` makes it; ``close`` ends it.

    Attributes:
        name: the database's URL without password and options, for people.
        shared: whether regions on several hosts can use it: it is PostgreSQL.
    """

    def __init__(self, engine: sa.Engine, name: str, patience: answering.Patience) -> None:
        self.name = name
        self._patience = patience
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
        with self._within(self._readers) as conn:
            yield conn

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give a connection whose changes are committed together at the end, or not at all.

        Raises:
            CatalogBusy: other transactions were in the way; nothing was changed.
            CatalogUnavailable: the database cannot be reached or used.
        """
        with self._within(self._writers) as conn:
            yield conn

    @contextlib.contextmanager
    def _within(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        with failures.translated(self.name, self._password), engine.connect() as conn:
            try:
                with conn.begin():
                    yield conn
            except sa.exc.DBAPIError:
                # What was wrong may be so for this session only, as where the server was set to
                # read-only when it began: no later transaction gets it.
                conn.invalidate()
                raise

    def hurry(self) -> None:
        """Give a server that stands still up soon: the controller stops. From any thread."""
        self._patience.seconds = min(self._patience.seconds, HURRIED_SECONDS)

    def close(self) -> None:
        """Close every connection; those in use close when their transaction ends."""
        self._engine.dispose()


def open_catalog(url: str) -> Catalog:
    """Return the catalog at ``url``, without looking at it: the first transaction does.

    A SQLite file is created where there is none, with its directory, for this user alone.

    Args:
        url: ``sqlite:////absolute/path``, or ``postgresql://user:password@host:port/database``.

    Raises:
        SettingsError: the URL is of neither kind.
    """
    parsed = _parse(url)
    name = _name(parsed)
    patience = answering.Patience(ANSWER_SECONDS)
    if parsed.drivername == _POSTGRESQL:
        return Catalog(_postgresql_engine(parsed, patience), name, patience)
    return Catalog(_sqlite_engine(parsed, name), name, patience)


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


def _postgresql_engine(url: sa.URL, patience: answering.Patience) -> sa.Engine:
    """Return an engine that notices a dead server soon; the URL's own options go first."""

    def connect(_dialect: object, _record: object, args: list[Any], options: Any) -> object:
        return answering.connect(patience, *args, **options)

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
    engine = sa.create_engine(
        url,
        connect_args={key: value for key, value in limits.items() if key not in url.query},
        hide_parameters=True,
        pool_pre_ping=True,
        pool_timeout=LOCK_SECONDS,
    )
    sa.event.listen(engine, "do_connect", connect)
    return engine


def _sqlite_engine(url: sa.URL, name: str) -> sa.Engine:
    """Return an engine whose transactions begin as the reader or the writer asks."""
    engine = sa.create_engine(
        url,
        creator=functools.partial(_connect_sqlite, Path(str(url.database)), name),
        hide_parameters=True,
        pool_timeout=LOCK_SECONDS,
    )
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_sqlite(path: Path, name: str) -> sqlite3.Connection:
    """Open the file and set what a connection sets; transactions are begun by us alone.

    Raises:
        CatalogUnavailable: the file or its directory cannot be made or used.
        sqlite3.DatabaseError: as for any statement.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise failures.CatalogUnavailable(
            f"the catalog at {name} cannot be opened: {error.strerror}",
            f"make {path} readable and writable for the region's user, on a disk with free space",
        ) from error
    # SQLAlchemy's pool hands a connection from thread to thread, to one at a time.
    connection = sqlite3.connect(
        path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _keep_a_log_of_writes(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _begin_sqlite(conn: sa.Connection) -> None:
    begin = conn.get_execution_options()[_BEGIN]
    conn.exec_driver_sql(f"PRAGMA query_only={'ON' if begin == 'BEGIN' else 'OFF'}")
    conn.exec_driver_sql(begin)


def _keep_a_log_of_writes(connection: sqlite3.Connection) -> None:
    """Put the file into WAL mode, where reads and a write do not wait for one another.

    The mode stays with the file. While another process changes it, SQLite answers that the file
    is locked at once, whatever the time-out, so the waiting is done here.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.DatabaseError as error:
            locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not locked or time.monotonic() > deadline:
                raise
        time.sleep(0.05)
