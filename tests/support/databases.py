"""Fixtures for tests that need a catalog: an empty one, migrated, on both kinds of database.

``catalog`` runs a test twice, on SQLite and on PostgreSQL. ``sqlite_catalog`` and
``postgresql_catalog`` are one of them; ``postgresql_server`` is the session's server, for tests
that make databases of their own. A test that stops a server starts one with
``postgres.running_server`` instead.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources.catalog import database, migrations
from support import postgres

TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgres.Server]:
    """Give one server for all tests of the session, started by the first that asks."""
    with postgres.running_server() as server:
        server.execute(f"CREATE DATABASE {TEMPLATE}")
        migrated(server.url(TEMPLATE)).close()
        yield server


@pytest.fixture
def empty_postgresql_url(postgresql_server: postgres.Server) -> Iterator[str]:
    """Give the URL of a database without any table."""
    name = postgresql_server.create_database()
    yield postgresql_server.url(name)
    postgresql_server.drop_database(name)


@pytest.fixture
def postgresql_url(postgresql_server: postgres.Server) -> Iterator[str]:
    """Give the URL of a database with an empty, migrated catalog."""
    name = postgresql_server.create_database(TEMPLATE)
    yield postgresql_server.url(name)
    postgresql_server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Give the URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/catalog/catalog.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a database without any table, of both kinds."""
    wanted = "sqlite_url" if request.param == "sqlite" else "empty_postgresql_url"
    url: str = request.getfixturevalue(wanted)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty, migrated catalog, of both kinds."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_url")
        migrated(url).close()
    else:
        url = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[database.Catalog]:
    """Give an empty, migrated catalog, of both kinds."""
    opened = database.open_catalog(catalog_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_catalog(sqlite_url: str) -> Iterator[database.Catalog]:
    """Give an empty, migrated catalog in a SQLite file."""
    opened = migrated(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def postgresql_catalog(postgresql_url: str) -> Iterator[database.Catalog]:
    """Give an empty, migrated catalog in a PostgreSQL database."""
    opened = database.open_catalog(postgresql_url)
    yield opened
    opened.close()


def migrated(url: str) -> database.Catalog:
    """Open the catalog at ``url`` and bring its schema up to date."""
    opened = database.open_catalog(url)
    migrations.migrate(opened)
    return opened
