"""Brings a catalog's schema to what this code knows.

Migrations are numbered ``0001``, ``0002``, ... and only ever add within a minor release, so that
this release and the one before run side by side on the newer schema. One that the older code
could not live with raises ``cluster.oldest_code``, and code older than that is refused by name.

All of it happens in one transaction under a lock of the database: a crash leaves the old schema,
and of several regions that start at once one migrates while the others wait and find it done.
The first migration founds the cluster: it gives it its identity.
"""

import threading
import time
from pathlib import Path

import sqlalchemy as sa
from alembic import command, config, script
from alembic.runtime import migration

from boot_resources.catalog import database, failures, schema

LOCK_SECONDS = 300
"""How long to wait for another region that migrates a PostgreSQL catalog."""
_LOOK_SECONDS = 0.2

# Alembic keeps the running migration in module globals: one at a time in a process.
_one_at_a_time = threading.Lock()
# Any number that nobody else in the database uses for an advisory lock.
_ADVISORY_LOCK = 0x626F6F74


def migrate(catalog: database.Catalog) -> bool:
    """Bring the schema up to date; return whether there was anything to do.

    Raises:
        CatalogTooNew: a newer release has changed the schema so that this code may not use it.
        CatalogBusy: another region was migrating for too long.
        CatalogUnavailable: the database cannot be reached or used.
    """
    with _one_at_a_time, catalog.write() as conn:
        wait_for_turn(conn)
        head = newest_revision()
        present = migration.MigrationContext.configure(conn).get_current_revision()
        if present == head:
            return False
        if present is not None and int(present) > int(head):
            _check_that_it_is_usable(conn, catalog.name, int(head))
            return False
        settings = _settings()
        settings.attributes["connection"] = conn
        command.upgrade(settings, "head")
        return True


def wait_for_turn(conn: sa.Connection) -> None:
    """Let nobody else migrate before this transaction ends.

    A SQLite transaction that writes is alone already.

    Raises:
        CatalogBusy: somebody did for too long.
    """
    if conn.dialect.name != "postgresql":
        return
    deadline = time.monotonic() + LOCK_SECONDS
    # Not one long question: a server that says nothing for long is taken for dead.
    while not conn.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({_ADVISORY_LOCK})").scalar():
        if time.monotonic() > deadline:
            raise failures.CatalogBusy(
                f"another region has been migrating the catalog for more than {LOCK_SECONDS} s",
                "wait until it is done, or see the log of the region that does it",
            )
        time.sleep(_LOOK_SECONDS)


def newest_revision() -> str:
    """Return the newest revision that this code knows, for example ``"0001"``."""
    head = script.ScriptDirectory.from_config(_settings()).get_current_head()
    assert head is not None, "the package holds no migrations"
    return head


def _check_that_it_is_usable(conn: sa.Connection, name: str, known: int) -> None:
    needed = conn.execute(sa.select(schema.cluster.c.oldest_code)).scalar_one()
    if needed > known:
        raise failures.CatalogTooNew(
            f"the catalog at {name} needs revision {needed:04}, and this release knows {known:04}",
            "upgrade boot-resources on this host to the release that the other regions run",
        )


def _settings() -> config.Config:
    settings = config.Config()
    # The options are read by a parser for which a percent sign begins a reference.
    here = str(Path(__file__).resolve().parent).replace("%", "%%")
    settings.set_main_option("script_location", here)
    settings.set_main_option("path_separator", "os")
    return settings
