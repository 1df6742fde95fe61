"""A damaged large object is set aside by itself; the others come along."""

import contextlib
import os
import pathlib
import threading
from collections.abc import Iterator

import psycopg
import pytest

from boot_resources import units
from boot_resources.catalog import cluster, database, names
from boot_resources.migration import database as maas_databases
from boot_resources.migration import export, handover, inventory, preflight, readers
from support import exporting, maas, postgres, stores, syncing

BODIES = [stores.noise(units.MIB + 70_000 + number, number) for number in range(4)]
NOBLE = "ubuntu/amd64/ga-24.04/noble/stable/202405{:02}"
BLOCK = 8192
"""Bytes of a block of PostgreSQL's files."""


@pytest.fixture
def region(sqlite_catalog: database.Catalog, tmp_path: pathlib.Path) -> Iterator[syncing.Region]:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


@pytest.fixture
def own_server() -> Iterator[postgres.Server]:
    """Give a server whose files may be damaged."""
    with postgres.running_server() as server:
        yield server


@pytest.fixture
def damaged(
    own_server: postgres.Server, request: pytest.FixtureRequest
) -> Iterator[tuple[maas.MaasDatabase, maas.Stored]]:
    """Give a database, and which of its large objects has a damaged last page."""
    for found in maas.made(own_server, maas.V3_5):
        victim = exporting.scene(found, *BODIES)[2]
        if request.param == "a page that is too long":
            _make_too_long(found, victim)
        else:
            _make_unreadable(own_server, found, victim)
        yield found, victim


def _make_too_long(found: maas.MaasDatabase, victim: maas.Stored) -> None:
    with found.session("postgres") as conn:
        conn.execute("SET allow_system_table_mods = on")
        conn.execute(
            "UPDATE pg_largeobject SET data = repeat('x', 3000)::bytea WHERE loid = %s AND pageno"
            " = (SELECT max(pageno) FROM pg_largeobject WHERE loid = %s)",
            [victim.oid, victim.oid],
        )


def _make_unreadable(
    server: postgres.Server, found: maas.MaasDatabase, victim: maas.Stored
) -> None:
    ((path, place),) = found.execute(
        "SELECT pg_relation_filepath('pg_largeobject'), ctid::text FROM pg_largeobject"
        " WHERE loid = %s ORDER BY pageno DESC LIMIT 1",
        victim.oid,
        role="postgres",
    )
    found.leave()
    server.stop()
    with (server.directory / "data" / path).open("r+b") as pages:
        pages.seek(int(place.strip("()").partition(",")[0]) * BLOCK)
        pages.write(os.urandom(64))
    server.start()


KINDS = pytest.mark.parametrize(
    "damaged", ["a page that is too long", "a block that is unreadable"], indirect=True
)
ROLES = pytest.mark.parametrize("role", [maas.MAAS, maas.READER])


@KINDS
@ROLES
def test_the_others_come_along(
    damaged: tuple[maas.MaasDatabase, maas.Stored], region: syncing.Region, role: str
) -> None:
    found, victim = damaged
    done = handover.migrate(
        maas_databases.Database(found.url(role)),
        region.catalog,
        region.name,
        region.store,
        handover.Orders(
            accept_lost=[names.ImageName.parse(NOBLE.format(2))],
            rules=export.Rules(2, exporting.IMPATIENT),
        ),
        lambda _: None,
        threading.Event(),
    )
    assert [each.sha256 for each in done.outcome.set_aside] == [victim.sha256]
    assert done.outcome.set_aside[0].reason
    whole = {stores.name_of(body) for body in BODIES} - {victim.sha256}
    assert region.store.held().keys() == whole
    assert len(syncing.available(region.catalog)) == len(whole)


@KINDS
@ROLES
def test_the_check_counts_it_and_its_sample_passes_it_over(
    damaged: tuple[maas.MaasDatabase, maas.Stored], tmp_path: pathlib.Path, role: str
) -> None:
    found, victim = damaged
    url = maas_databases.Database(found.url(role))
    looked = preflight.check(url, tmp_path / "image-storage", 0, set())
    assert looked.ready
    assert looked.counts.distinct == len(BODIES)
    assert looked.seconds is not None, "what is sound tells the rate"
    with url.snapshot() as conn:
        sizes = {each.oid: each.size for each in inventory.read(conn).objects.values()}
    # By the copy reader a page that is too long has a size like any other.
    assert sizes.pop(victim.oid) != victim.size
    assert set(sizes.values()) == {len(body) for body in BODIES} - {victim.size}


@pytest.mark.parametrize("role", [maas.MAAS, maas.READER])
def test_a_server_that_goes_away_is_no_damage(maas_3_5: maas.MaasDatabase, role: str) -> None:
    exporting.scene(maas_3_5, *BODIES)
    url = maas_databases.Database(maas_3_5.url(role))
    with contextlib.closing(url.connect()) as conn:
        access = readers.probe(conn)
        maas_3_5.end_sessions()
        with pytest.raises(psycopg.OperationalError):
            readers.measure(conn, access)
