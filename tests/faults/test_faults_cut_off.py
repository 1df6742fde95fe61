"""Cut off: the database, the source, the regions or the network are gone.

Whatever is cut off, what is available goes on being served, status names the cause with a cure,
and when the cause is gone nobody has to do anything.
"""

import dataclasses
import functools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import pytest

from boot_resources import units
from boot_resources.catalog import database
from boot_resources.demo import origin
from boot_resources.plane import client as plane_client
from boot_resources.region import commands, syncing
from boot_resources.source import retrying
from support import cloud, on_thread, outposts, postgres, relays

Outpost = outposts.Outpost
pytestmark = pytest.mark.usefixtures("no_defects")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what waits for minutes wait for moments."""
    for name in ("_RETRY_SECONDS", "_CATALOG_RETRY_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(syncing, name, 0.1)
    monkeypatch.setattr(commands, "_CATALOG_SECONDS", 0.5)
    monkeypatch.setattr(database, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    hasty = functools.partial(retrying.Policy, attempts=2, first=0.01)
    monkeypatch.setattr(retrying, "Policy", hasty)


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """Give a PostgreSQL server that a test may hold up, or forbid; it is well again afterwards."""
    with postgres.running_server() as server:
        yield server


@pytest.fixture
def clustered(tmp_path: Path, server: postgres.Server) -> Iterator[Outpost]:
    """Give a region whose catalog lies on ``server``, and its rack."""
    with outposts.begin(tmp_path, server.url(server.create_database())) as outpost:
        yield outpost


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Outpost]:
    """Give a region whose catalog is a SQLite file, and its rack."""
    with outposts.begin(tmp_path) as outpost:
        yield outpost


# The database


def test_however_many_wait_for_a_database_that_hangs_serving_does_not(
    clustered: Outpost, server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = clustered.region
    region.stop()
    # Nobody gives up within this story.
    monkeypatch.setattr(database, "ANSWER_SECONDS", 10 * on_thread.PATIENCE)
    monkeypatch.setattr(database, "CONNECT_SECONDS", int(10 * on_thread.PATIENCE))
    region.start()
    region.sync()
    lost = clustered.smallest()
    with futures.ThreadPoolExecutor(12) as operators:
        with server.hanging():
            asked = [operators.submit(region.local.get, "/images") for _ in range(12)]
            (region.store / "objects" / lost).write_bytes(b"something else")
            with clustered.world.member() as member:
                assert member.get(f"/v1/objects/{lost}").status == 404
            assert clustered.serves_all_but(lost)
            assert "does not answer" in region.status()["catalog"]
        assert all(answer.result()["images"] for answer in asked)
    cloud.wait_until(lambda: lost in region.store_names())
    assert clustered.serves_all()


def test_a_database_that_hangs_is_named_and_needs_nobody_afterwards(
    clustered: Outpost, server: postgres.Server
) -> None:
    with server.hanging():
        notice = clustered.wait_for_notice("database")
        assert notice["severity"] == "critical"
        assert "the server runs" in notice["cure"]
        assert clustered.serves_all()
    clustered.wait_until_all_is_well()
    clustered.brings_a_new_version()


def test_a_region_starts_while_its_database_hangs(
    clustered: Outpost, server: postgres.Server
) -> None:
    clustered.region.stop()
    clustered.rack.stop()
    with server.hanging():
        clustered.region.start()
        clustered.rack.start()
        assert clustered.serves_all()
        clustered.wait_for_notice("database")
    clustered.wait_until_all_is_well()
    clustered.brings_a_new_version()


def test_a_region_stops_while_its_database_hangs(
    clustered: Outpost, server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = clustered.region
    region.stop()
    monkeypatch.setattr(database, "ANSWER_SECONDS", 10 * on_thread.PATIENCE)
    region.start()
    region.sync()
    with server.hanging():
        # By then the sync waits for the database, too.
        cloud.wait_until(lambda: "does not answer" in region.status()["catalog"])
        stopping = threading.Thread(target=region.stop)
        stopping.start()
        stopping.join(on_thread.PATIENCE)
        assert not stopping.is_alive()
    region.start()
    clustered.wait_until_all_is_well()


def test_a_database_that_crashes_is_spoken_of_before_anybody_needs_it(
    clustered: Outpost, server: postgres.Server
) -> None:
    passes = clustered.region.sync()["passes"]
    server.crash()
    try:
        notice = clustered.wait_for_notice("database")
        assert "what is available goes on being served" in notice["text"]
        assert clustered.region.status()["sync"]["passes"] > passes
        assert clustered.serves_all()
    finally:
        server.start()
    clustered.wait_until_all_is_well()
    clustered.brings_a_new_version()


def test_a_password_that_was_changed_is_named_and_shown_nowhere(
    tmp_path: Path, server: postgres.Server, caplog: pytest.LogCaptureFixture
) -> None:
    hba = server.directory / "data" / "pg_hba.conf"
    open_door = hba.read_text()
    hba.write_text("local all guarded scram-sha-256\n" + open_door)
    server.execute("SELECT pg_reload_conf()")
    server.execute("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'hunter2'")
    url = server.url(server.create_database()).replace("postgres@", "guarded:hunter2@")
    try:
        with outposts.begin(tmp_path, url) as outpost:
            outpost.region.stop()
            server.execute("ALTER ROLE guarded PASSWORD 'another'")
            outpost.region.start()
            notice = outpost.wait_for_notice("database")
            assert "password" in notice["cure"]
            assert outpost.serves_all()
            assert "hunter2" not in str(outpost.region.status()) + caplog.text
            server.execute("ALTER ROLE guarded PASSWORD 'hunter2'")
            outpost.wait_until_all_is_well()
    finally:
        hba.write_text(open_door)
        server.execute("SELECT pg_reload_conf()")


def test_a_standby_is_named_and_taken_once_it_is_promoted(
    clustered: Outpost, server: postgres.Server
) -> None:
    clustered.region.stop()
    with server.standing_by():
        clustered.region.start()
        assert clustered.serves_all()
        assert "primary" in clustered.wait_for_notice("database")["cure"]
    clustered.wait_until_all_is_well()
    clustered.brings_a_new_version()


def test_a_sqlite_file_that_another_process_holds_is_named(alone: Outpost) -> None:
    region = alone.region
    other = sqlite3.connect(alone.catalog, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ended = region.sync()
    assert "is busy" in ended["last_error"]
    assert alone.serves_all()
    alone.wait_for_notice("database")
    other.execute("ROLLBACK")
    alone.wait_until_all_is_well()
    region.stop()
    # Now nobody else can even read it.
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    region.start()
    assert alone.serves_all()
    assert "locked" in alone.wait_for_notice("database")["text"]
    other.close()
    alone.wait_until_all_is_well()
    alone.brings_a_new_version()


def test_a_sqlite_file_that_cannot_be_opened_keeps_no_region_from_serving(alone: Outpost) -> None:
    alone.region.stop()
    aside = alone.catalog.rename(alone.catalog.with_name("aside"))
    alone.catalog.mkdir()
    alone.region.start()
    assert alone.serves_all()
    assert str(alone.catalog) in alone.wait_for_notice("database")["text"]
    alone.catalog.rmdir()
    aside.rename(alone.catalog)
    alone.wait_until_all_is_well()
    alone.brings_a_new_version()


# The source


def status_500(_: origin.Request) -> origin.Reply:
    return origin.Reply(500, {"Content-Length": "0"})


def cut_at_once(_: origin.Request) -> origin.Cut:
    return origin.Cut(1)


@pytest.mark.parametrize("misbehave", [status_500, cloud.refuse, cut_at_once])
def test_a_source_that_is_out_of_order_is_named_and_asked_again(
    alone: Outpost, misbehave: Callable[[origin.Request], origin.Reply | origin.Cut]
) -> None:
    alone.world.publish()
    alone.world.origin.on_request = misbehave
    alone.region.sync()
    notice = alone.wait_for_notice("source")
    assert (notice["severity"], notice["cure"] != "") == ("warning", True)
    assert alone.serves_all()
    alone.world.origin.on_request = None
    cloud.wait_until(alone.has_all_of_the_source)
    alone.wait_until_all_is_well()


def test_a_source_whose_name_is_not_known_is_named(alone: Outpost) -> None:
    region = alone.region
    right = region.settings
    assert right.source is not None
    source = right.source.model_copy(update={"url": "http://images.invalid/"})
    region.stop()
    region.settings = right.model_copy(update={"source": source})
    region.start()
    assert "images.invalid" in alone.wait_for_notice("source")["text"]
    assert alone.serves_all()
    region.stop()
    region.settings = right
    region.start()
    alone.wait_until_all_is_well()


def test_a_source_that_hangs_holds_nobody_up(alone: Outpost) -> None:
    gate = cloud.Gate()

    def wait(_: origin.Request) -> None:
        gate.wait()

    alone.world.publish()
    alone.world.origin.on_request = wait
    with futures.ThreadPoolExecutor(1) as operator:
        asked = operator.submit(alone.region.sync)
        gate.wait_for_arrival()
        assert alone.region.status()["sync"]["phase"] == "source"
        assert alone.serves_all()
        alone.world.origin.on_request = None
        gate.open()
        assert asked.result()["last_error"] == ""
    assert alone.has_all_of_the_source()


# The network between rack and region

SQUASHFS = cloud.noise(6 * units.MIB + 5)
IMAGE = cloud.Image({"squashfs": SQUASHFS})


@dataclasses.dataclass(frozen=True)
class _Hasty(plane_client.Timeouts):
    connect: float = 0.5
    read: float = 0.5


@pytest.fixture
def hasty_racks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let racks take a region that is silent for a moment for dead."""
    monkeypatch.setattr(plane_client, "Timeouts", _Hasty)


@pytest.mark.usefixtures("hasty_racks")
def test_a_connection_that_nobody_knows_any_more_does_not_end_a_fill(tmp_path: Path) -> None:
    with cloud.Cloud(tmp_path) as town:
        region = town.region(IMAGE)
        with relays.Relay(region.port) as relay:
            rack = town.rack_of([f"127.0.0.1:{relay.port}"])
            rack.wait_for_epoch(1)
            relay.hold(after=2 * units.MIB)
            with cloud.later(lambda: cloud.get(rack, IMAGE.path("squashfs"))) as got:
                cloud.wait_until(lambda: relay.is_still)
                relay.forget()
                assert got.result().body == SQUASHFS


@pytest.mark.usefixtures("hasty_racks")
def test_a_network_that_is_cut_in_the_middle_is_named_and_the_fill_goes_on_later(
    tmp_path: Path,
) -> None:
    with cloud.Cloud(tmp_path) as town:
        region = town.region(IMAGE)
        with relays.Relay(region.port) as relay:
            rack = town.rack_of([f"127.0.0.1:{relay.port}"])
            rack.wait_for_epoch(1)
            relay.hold(after=2 * units.MIB)
            with cloud.later(lambda: cloud.get(rack, IMAGE.path("squashfs"))) as got:
                cloud.wait_until(lambda: rack.status()["regions"][0]["problem"])
                cloud.wait_until(lambda: rack.status()["notices"])
                assert "did not answer in time" in rack.status()["notices"][0]["text"]
                relay.flow()
                assert got.result().body == SQUASHFS
            cloud.wait_until(lambda: not rack.status()["notices"])


@pytest.mark.usefixtures("hasty_racks")
def test_with_the_network_silent_a_rack_starts_and_serves_what_it_has(tmp_path: Path) -> None:
    with cloud.Cloud(tmp_path) as town:
        region = town.region(IMAGE)
        with relays.Relay(region.port) as relay:
            rack = town.rack_of([f"127.0.0.1:{relay.port}"])
            rack.wait_for_epoch(1)
            cloud.get(rack, IMAGE.path("squashfs"))
            rack.wait_until_whole(SQUASHFS)
            town.wait_until_names_are_kept(rack)
            rack.stop()
            relay.hold()
            rack.start()
            location = cloud.get(rack, IMAGE.path("squashfs", version=False)).headers["Location"]
            assert cloud.get(rack, location).body == SQUASHFS
            relay.flow()
            region.offer(IMAGE)
            rack.wait_for_epoch(region.images["epoch"])
