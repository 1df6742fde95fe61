"""Transactions that read and write, and what happens when the database is not there."""

import stat
import subprocess
import sys
import threading
from concurrent import futures
from pathlib import Path

import pytest
import sqlalchemy as sa

from boot_resources.catalog import (
    clock,
    cluster,
    database,
    failures,
    ledger,
    migrations,
    schema,
)
from support import catalogs, databases, postgres


def test_a_write_is_kept_whole_or_not_at_all(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
    with pytest.raises(cluster.UnknownRegion), catalog.write() as conn:
        _join_and_fail(conn)
    with catalog.read() as conn:
        assert [member.name for member in cluster.members(conn)] == ["region-0"]


def test_a_read_cannot_write(catalog: database.Catalog) -> None:
    refusal = pytest.raises(failures.CatalogUnavailable, match=r"readonly|read-only")
    with refusal, catalog.read() as conn:
        cluster.bump_epoch(conn)
    with catalog.write() as conn:
        cluster.bump_epoch(conn)


def test_a_read_sees_one_moment(catalog: database.Catalog) -> None:
    with catalog.read() as reader:
        before = cluster.identity(reader)
        with catalog.write() as writer:
            raised = cluster.bump_epoch(writer)
        assert cluster.identity(reader) == before
    with catalog.read() as reader:
        assert cluster.identity(reader).epoch == raised == before.epoch + 1


def test_writers_of_several_threads_follow_one_another(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")

    def count(_: int) -> None:
        with catalog.write() as conn:
            ledger.add(conn, "region-0", {"upstream_bytes": 1})

    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(80)))
    with catalog.read() as conn:
        assert ledger.totals(conn) == {"region-0": {"upstream_bytes": 80}}


def test_a_read_then_write_loses_no_update(catalog: database.Catalog) -> None:
    def raise_epoch(_: int) -> None:
        with catalog.write() as conn:
            epoch = cluster.lock(conn)
            conn.execute(sa.update(schema.cluster).values(epoch=epoch + 1))

    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(raise_epoch, range(40)))
    with catalog.read() as conn:
        assert cluster.identity(conn).epoch == 41


def test_waiting_for_another_transaction_ends_as_busy(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    catalog = database.open_catalog(catalog_url)
    with catalog.write() as first:
        cluster.lock(first)
        with pytest.raises(failures.CatalogBusy), catalog.write() as second:
            cluster.lock(second)
    with catalog.write() as third:
        cluster.lock(third)
    catalog.close()


def test_no_connection_left_is_busy(catalog_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    catalog = database.open_catalog(catalog_url)
    all_taken, release = threading.Barrier(16, timeout=60), threading.Event()

    def occupy() -> None:
        with catalog.read():
            all_taken.wait()
            release.wait()

    threads = [threading.Thread(target=occupy) for _ in range(15)]
    for thread in threads:
        thread.start()
    try:
        all_taken.wait()
        with pytest.raises(failures.CatalogBusy, match="no connection"), catalog.read():
            pass
    finally:
        release.set()
        for thread in threads:
            thread.join()
    catalog.close()


def test_a_sqlite_file_is_durable_and_private(sqlite_catalog: database.Catalog) -> None:
    with sqlite_catalog.write() as conn:
        settings = {
            pragma: conn.exec_driver_sql(f"PRAGMA {pragma}").scalar()
            for pragma in ("journal_mode", "synchronous", "foreign_keys")
        }
        path = Path(str(conn.engine.url.database))
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {
        "catalog.sqlite": 0o600,
        "catalog.sqlite-wal": 0o600,
        "catalog.sqlite-shm": 0o600,
    }
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_foreign_keys_hold(catalog: database.Catalog) -> None:
    with pytest.raises(sa.exc.IntegrityError), catalog.write() as conn:
        ledger.add(conn, "nobody", {"upstream_bytes": 1})


def test_several_processes_open_one_new_sqlite_file(sqlite_url: str) -> None:
    program = (
        "import sys\n"
        "from boot_resources.catalog import cluster, database, migrations\n"
        "catalog = database.open_catalog(sys.argv[1])\n"
        "migrations.migrate(catalog)\n"
        "with catalog.write() as conn:\n"
        "    cluster.bump_epoch(conn)\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, sqlite_url]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    catalog = database.open_catalog(sqlite_url)
    with catalog.read() as conn:
        assert cluster.identity(conn).epoch == 5
    catalog.close()


def test_a_file_that_is_no_database_is_named_with_a_cure(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    path.write_text("these are not the bytes of a database" * 40)
    catalog = database.open_catalog(f"sqlite:///{path}")
    with pytest.raises(failures.CatalogUnavailable, match=str(path)) as caught, catalog.read():
        pass
    assert "not a SQLite database" in caught.value.cure


def test_a_file_that_cannot_be_made_is_named_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    catalog = database.open_catalog(f"sqlite:///{tmp_path}/file/catalog.sqlite")
    with pytest.raises(failures.CatalogUnavailable, match="cannot be opened") as caught:
        with catalog.read():
            pass
    assert "readable and writable" in caught.value.cure
    (tmp_path / "file").unlink()
    assert migrations.migrate(catalog)
    catalog.close()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    # Port 1 of the loopback interface: nobody listens there.
    catalog = database.open_catalog("postgresql://maas:hunter2@127.0.0.1:1/boot")
    with pytest.raises(failures.CatalogUnavailable) as caught, catalog.read():
        pass
    assert "postgresql://maas@127.0.0.1:1/boot" in str(caught.value)
    assert "server runs" in caught.value.cure
    assert "hunter2" not in str(caught.value)


def test_a_database_that_is_not_there_is_unavailable(postgresql_server: postgres.Server) -> None:
    catalog = database.open_catalog(postgresql_server.url("nowhere"))
    with pytest.raises(failures.CatalogUnavailable, match="nowhere"), catalog.read():
        pass


def test_a_wrong_password_is_unavailable_and_not_shown(
    postgresql_server: postgres.Server,
) -> None:
    postgresql_server.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    hba = postgresql_server.directory / "data" / "pg_hba.conf"
    open_door = hba.read_text()
    hba.write_text("local all guarded scram-sha-256\n" + open_door)
    postgresql_server.execute("SELECT pg_reload_conf()")
    url = postgresql_server.url(databases.TEMPLATE)
    try:
        right = database.open_catalog(url.replace("postgres@", "guarded:right@"))
        with right.read():
            pass
        right.close()
        wrong = database.open_catalog(url.replace("postgres@", "guarded:hunter2@"))
        with pytest.raises(failures.CatalogUnavailable) as caught, wrong.read():
            pass
    finally:
        hba.write_text(open_door)
        postgresql_server.execute("SELECT pg_reload_conf()")
    assert "hunter2" not in str(caught.value) + caught.value.cure
    assert "password" in caught.value.cure


@pytest.mark.parametrize("loopback", [False, True], ids=["socket", "tcp"])
def test_a_server_that_goes_and_comes_is_unavailable_and_then_there(loopback: bool) -> None:
    with postgres.running_server(loopback=loopback) as server:
        name = server.create_database()
        url = server.url(name)
        if loopback:
            url = f"postgresql://postgres@127.0.0.1:{server.port}/{name}"
        catalog = databases.migrated(url)
        with pytest.raises(failures.CatalogUnavailable), catalog.write() as conn:
            _join_and_lose(conn, server)
        with pytest.raises(failures.CatalogUnavailable), catalog.read():
            pass
        server.start()
        with catalog.write() as conn:
            assert cluster.members(conn) == ()
            catalogs.join(conn, "region-0")
        # Gone and back while nobody looked: the next transaction does not even notice.
        server.stop()
        server.start()
        with catalog.read() as conn:
            assert len(cluster.members(conn)) == 1
        catalog.close()


def test_a_transaction_that_sleeps_does_not_hold_the_others_up(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "IDLE_SECONDS", 1)
    catalog = database.open_catalog(postgresql_url)

    def sleep_with_the_lock() -> None:
        with catalog.write() as conn:
            cluster.lock(conn)
            locked.set()
            done.wait()
            cluster.bump_epoch(conn)

    locked, done = threading.Event(), threading.Event()
    with futures.ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(sleep_with_the_lock)
        locked.wait()
        try:
            with catalog.write() as conn:
                assert cluster.bump_epoch(conn) == 2
        finally:
            done.set()
        with pytest.raises(failures.CatalogUnavailable):
            sleeper.result()
    catalog.close()


def test_the_databases_clock_decides_and_can_be_shifted(catalog: database.Catalog) -> None:
    with catalog.read() as conn:
        assert conn.execute(sa.select(clock.now(0.5) > clock.now())).scalar()
        assert not conn.execute(sa.select(clock.now(-0.5) > clock.now())).scalar()
        later = conn.execute(sa.select(clock.now(90.25), clock.now())).one()
    assert later[0].tzinfo is not None
    assert abs((later[0] - later[1]).total_seconds() - 90.25) < 1


def test_a_catalog_can_be_closed_twice(catalog_url: str) -> None:
    catalog = database.open_catalog(catalog_url)
    assert not migrations.migrate(catalog)
    catalog.close()
    catalog.close()


def _join_and_fail(conn: sa.Connection) -> None:
    catalogs.join(conn, "region-1")
    cluster.retire(conn, "a region that never joined")


def _join_and_lose(conn: sa.Connection, server: postgres.Server) -> None:
    catalogs.join(conn, "region-0")
    server.stop()
    cluster.identity(conn)
