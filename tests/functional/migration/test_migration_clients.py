"""Who else is connected: whoever may change MAAS's images is MAAS, and nobody sees a finish."""

import pathlib
import threading
from collections.abc import Iterator

import psycopg
import pytest

from boot_resources.catalog import cluster, database
from boot_resources.migration import clients, export, finish, handover, preflight
from boot_resources.migration import database as maas_databases
from support import exporting, maas, postgres, stores, syncing

BODIES = [stores.noise(70_000 + number, number) for number in range(3)]
SYSADMIN = "postgres"
"""The superuser, who owns the tables in some installations."""


@pytest.fixture
def region(sqlite_catalog: database.Catalog, tmp_path: pathlib.Path) -> Iterator[syncing.Region]:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


@pytest.fixture
def owned_by_another(maas_3_5: maas.MaasDatabase) -> maas.MaasDatabase:
    """Give a database whose tables belong to another role than the one that MAAS connects as."""
    exporting.scene(maas_3_5, *BODIES)
    for table in [*maas.TABLES, maas.SYNC_TABLE]:
        maas_3_5.execute(f"ALTER TABLE {table} OWNER TO {SYSADMIN}", role=SYSADMIN)
        maas_3_5.execute(f"GRANT ALL ON {table} TO {maas.MAAS}", role=SYSADMIN)
    return maas_3_5


def migrate(
    found: maas.MaasDatabase, region: syncing.Region, *, online: bool = False
) -> handover.Handover:
    return handover.migrate(
        maas_databases.Database(found.url()),
        region.catalog,
        region.name,
        region.store,
        handover.Orders(online, rules=export.Rules(2, exporting.IMPATIENT)),
        lambda _: None,
        threading.Event(),
    )


def ended(found: maas.MaasDatabase, region: syncing.Region) -> finish.Finished:
    url = maas_databases.Database(found.url())
    return exporting.finished(url, region.catalog, region.store)


def test_maas_is_whoever_may_change_its_images(
    owned_by_another: maas.MaasDatabase, region: syncing.Region
) -> None:
    owned_by_another.seal()
    with owned_by_another.session() as conn:
        conn.execute("SELECT 1")
        with pytest.raises(clients.MaasConnected, match="maas maas-regiond") as caught:
            migrate(owned_by_another, region)
        assert "--online" in caught.value.cure
    with owned_by_another.session(maas.READER) as conn:
        conn.execute("SELECT 1")
        assert migrate(owned_by_another, region).outcome.succeeded


@pytest.mark.parametrize("role", [maas.MAAS, maas.READER, SYSADMIN])
def test_nothing_goes_while_anybody_else_is_there(
    owned_by_another: maas.MaasDatabase, region: syncing.Region, role: str
) -> None:
    migrate(owned_by_another, region)
    owned_by_another.seal()
    with owned_by_another.session(role) as conn:
        conn.execute("SELECT 1")
        with pytest.raises(clients.SomebodyConnected, match=f"{role} maas-regiond") as caught:
            ended(owned_by_another, region)
    assert "--online" not in caught.value.cure, "which a finish refuses"
    owned_by_another.sealed = ""
    assert ended(owned_by_another, region).removed.objects == len(BODIES)


def test_a_session_is_named_with_where_it_comes_from_and_since_when() -> None:
    with postgres.running_server(loopback=True) as server:
        for found in maas.made(server, maas.V3_5):
            url = f"postgresql://{maas.MAAS}@127.0.0.1:{server.port}/{found.name}"
            with psycopg.connect(url, application_name="maas-regiond") as conn:
                conn.execute("SELECT 1")
                with maas_databases.Database(url).snapshot() as ours:
                    (client,) = clients.connected(ours)
            assert client.since.endswith("Z")
            assert str(client) == f"maas maas-regiond 127.0.0.1 since {client.since} (1)"


def test_on_a_standby_nobody_can_be_ruled_out(
    region: syncing.Region, tmp_path: pathlib.Path
) -> None:
    with postgres.running_server() as server:
        for found in maas.made(server, maas.V3_5):
            exporting.scene(found, *BODIES)
            found.leave()
            with server.standing_by():
                with pytest.raises(clients.OnStandby, match="standby") as caught:
                    migrate(found, region)
                assert "--online" in caught.value.cure
                url = maas_databases.Database(found.url())
                (blocker,) = preflight.check(url, tmp_path / "s", 0, set()).blockers
                assert "standby" in blocker.text
                assert migrate(found, region, online=True).outcome.succeeded
                with pytest.raises(clients.OnStandby, match="nothing can be removed") as caught:
                    ended(found, region)
                assert "primary" in caught.value.cure
                found.leave()
