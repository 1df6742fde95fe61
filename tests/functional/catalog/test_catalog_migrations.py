"""The migrated schema is the one in ``schema``, and migrating is safe whoever else does it."""

import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic import autogenerate
from alembic.runtime import migration

from boot_resources.catalog import cluster, database, failures, migrations, schema

MIGRATE = (
    "import sys\n"
    "from boot_resources.catalog import database, migrations\n"
    "print(migrations.migrate(database.open_catalog(sys.argv[1])))\n"
)


def test_the_migrated_schema_is_the_one_in_the_code(catalog: database.Catalog) -> None:
    with catalog.read() as conn:
        context = migration.MigrationContext.configure(conn, opts={"compare_type": True})
        assert autogenerate.compare_metadata(context, schema.metadata) == []


def test_even_its_constraints_are(catalog: database.Catalog, empty_url_of_kind: str) -> None:
    fresh = database.open_catalog(empty_url_of_kind)
    with fresh.write() as conn:
        schema.metadata.create_all(conn)
    with fresh.read() as created, catalog.read() as migrated:
        assert _constraints(migrated) == _constraints(created)
    fresh.close()


def test_migrating_twice_changes_nothing(empty_url: str) -> None:
    catalog = database.open_catalog(empty_url)
    assert migrations.migrate(catalog)
    with catalog.read() as conn:
        before = cluster.identity(conn)
    assert not migrations.migrate(catalog)
    with catalog.read() as conn:
        assert cluster.identity(conn) == before
    catalog.close()


def test_every_catalog_is_a_cluster_of_its_own(
    sqlite_catalog: database.Catalog, postgresql_catalog: database.Catalog
) -> None:
    with sqlite_catalog.read() as one, postgresql_catalog.read() as other:
        assert cluster.identity(one).uuid != cluster.identity(other).uuid


def test_of_regions_that_start_at_once_one_migrates(empty_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", MIGRATE, empty_url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = sorted(process.communicate()[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert answers == ["False", "False", "True"]


def test_nobody_migrates_while_another_does(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 1)
    first, second = database.open_catalog(empty_url), database.open_catalog(empty_url)
    with first.write() as conn:
        migrations.wait_for_turn(conn)
        with pytest.raises(failures.CatalogBusy):
            migrations.migrate(second)
    assert migrations.migrate(second)
    first.close()
    second.close()


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    catalog = database.open_catalog(empty_url)
    with catalog.write() as conn:
        conn.exec_driver_sql("CREATE TABLE items (in_the_way TEXT)")
    with pytest.raises(sa.exc.DBAPIError, match="items"):
        migrations.migrate(catalog)
    with catalog.write() as conn:
        assert sa.inspect(conn).get_table_names() == ["items"]
        conn.exec_driver_sql("DROP TABLE items")
    assert migrations.migrate(catalog)
    catalog.close()


def test_the_release_before_runs_on_a_schema_with_additions(catalog: database.Catalog) -> None:
    _pretend_newer(catalog, oldest_code=int(migrations.newest_revision()))
    assert not migrations.migrate(catalog)


def test_a_schema_that_is_too_new_is_refused(catalog: database.Catalog) -> None:
    _pretend_newer(catalog, oldest_code=int(migrations.newest_revision()) + 1)
    with pytest.raises(failures.CatalogTooNew, match="needs revision 0003") as caught:
        migrations.migrate(catalog)
    assert "upgrade boot-resources" in caught.value.cure


@pytest.fixture
def empty_url_of_kind(request: pytest.FixtureRequest, catalog: database.Catalog) -> str:
    """Give the URL of an empty database of the same kind as ``catalog``."""
    if catalog.shared:
        url: str = request.getfixturevalue("empty_postgresql_url")
        return url
    return f"sqlite:///{request.getfixturevalue('tmp_path')}/other.sqlite"


def _pretend_newer(catalog: database.Catalog, oldest_code: int) -> None:
    with catalog.write() as conn:
        conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        conn.execute(sa.update(schema.cluster).values(oldest_code=oldest_code))


def _constraints(conn: sa.Connection) -> dict[tuple[str, str], str]:
    """Return every constraint and index, by table and name, as the database itself writes it."""
    if conn.dialect.name == "postgresql":
        rows = conn.exec_driver_sql(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
            " UNION SELECT tablename, indexname, indexdef FROM pg_indexes"
            " WHERE schemaname = 'public'"
        )
        found = {(row[0], row[1]): str(row[2]) for row in rows}
    else:
        inspector = sa.inspect(conn)
        found = {}
        for table in inspector.get_table_names():
            constraints = [
                *inspector.get_check_constraints(table),
                *inspector.get_foreign_keys(table),
                *inspector.get_unique_constraints(table),
                *inspector.get_indexes(table),
                inspector.get_pk_constraint(table),
            ]
            found.update({(table, str(each["name"])): str(each) for each in constraints})
    return {place: text for place, text in found.items() if place[0] != "alembic_version"}
