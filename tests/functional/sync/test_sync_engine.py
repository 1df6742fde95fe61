"""One region brings what the catalog wants from a real signed source, each byte once."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from boot_resources import notices, units
from boot_resources.catalog import (
    availability,
    cluster,
    database,
    failures,
    holdings,
    images,
    leases,
    sources,
)
from boot_resources.demo import origin, signed_source
from boot_resources.region import membership
from boot_resources.store import blocks, facts, objects
from boot_resources.sync import engine as engines
from boot_resources.sync import metering, refresh, upstream
from support import disks, stores, syncing

SIZE = 12 * units.MIB
"""The largest object then has three blocks and a part of one."""
PATIENCE = 30.0
"""Seconds after which a test that is stuck fails."""
OLD, NEW = "20250718", "20250801"


@pytest.fixture
def cloud(tmp_path: pathlib.Path) -> Iterator[syncing.Cloud]:
    yield from syncing.small_cloud(tmp_path / "source", SIZE)


@pytest.fixture
def region(
    sqlite_catalog: database.Catalog, cloud: syncing.Cloud, tmp_path: pathlib.Path
) -> Iterator[syncing.Region]:
    """Give a region whose catalog has the cloud as its source, everything selected."""
    syncing.declare(sqlite_catalog, cloud)
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        yield region


def assert_all_is_here(region: syncing.Region, cloud: syncing.Cloud) -> None:
    """Read every object that the cloud offers from the region's store."""
    for sha256 in cloud.wanted():
        assert stores.name_of(stores.read(region.store, sha256)) == sha256


def holding(region: syncing.Region) -> frozenset[str]:
    with region.catalog.read() as conn:
        return holdings.held(conn, region.name)


# What a pass brings


def test_the_first_pass_brings_everything_once_and_the_second_nothing(
    catalog: database.Catalog, cloud: syncing.Cloud, tmp_path: pathlib.Path
) -> None:
    syncing.declare(catalog, cloud)
    wanted = cloud.wanted()
    with syncing.Region(catalog, tmp_path / "store") as region:
        outcome = region.sync()
        assert outcome == engines.Outcome(len(wanted), sum(wanted.values()))
        assert cloud.server.payload_bytes == sum(wanted.values())
        assert syncing.upstream_bytes(catalog) == sum(wanted.values())
        assert region.store.held().keys() == wanted.keys() == holding(region)
        assert_all_is_here(region, cloud)
        assert region.board.standing() == []
        names = {
            f"{t.os}/{t.arch}/{t.subarch}/{t.release}/{t.label}/{t.version}"
            for t in cloud.source.truth
        }
        assert syncing.available(catalog) == dict.fromkeys(names, False)
        assert region.offers > 0

        documents = cloud.server.document_bytes
        assert region.sync() == engines.Outcome()
        assert cloud.server.payload_bytes == sum(wanted.values())
        assert cloud.server.document_bytes == documents


def test_only_what_is_selected_is_brought_and_bootloaders_always(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    jammy = sources.Selection("ubuntu", "jammy", ("amd64",), ("*",), ("*",))
    syncing.declare(region.catalog, cloud, jammy)
    region.sync()
    releases = {name.split("/")[3] for name in syncing.available(region.catalog)}
    assert releases == {"jammy", "pxe", "uefi", "open-firmware"}
    wanted = {t.sha256: t.size for t in cloud.source.truth if t.release in releases}
    assert cloud.server.payload_bytes == sum(wanted.values())


def test_without_a_source_there_is_a_notice_and_nothing_else(
    sqlite_catalog: database.Catalog, tmp_path: pathlib.Path
) -> None:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        assert region.sync() == engines.Outcome()
        (notice,) = region.notices(engines.SOURCE)
        assert "there is no boot source" in notice.text


def test_an_unsigned_source_is_used_only_where_that_is_allowed_and_every_status_says_so(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    for signed in cloud.source.directory.rglob("*.sjson"):
        signed.unlink()
    region.sync()
    assert syncing.available(region.catalog) == {}
    assert region.notices(engines.SOURCE)
    syncing.declare(region.catalog, cloud, allow_unsigned=True)
    region.sync()
    assert len(syncing.available(region.catalog)) == 8
    stated = membership.state_of_catalog(region.catalog)
    assert [notice.key for notice in stated] == ["unsigned"]


# Transfers that break off


@pytest.mark.parametrize(
    "cuts", [[1_500_000], [0], [blocks.BLOCK_SIZE], [1], [100_000] * 12, [1_000_000, 1, 0, 1]]
)
def test_a_connection_that_is_cut_costs_no_byte_twice(
    region: syncing.Region, cloud: syncing.Cloud, cuts: list[int]
) -> None:
    left = list(cuts)
    path = cloud.path(cloud.largest())
    cloud.misbehave(path, lambda _: origin.Cut(left.pop(0)) if left else None)
    assert region.sync().failures == ()
    assert left == []
    assert cloud.server.payload_bytes == sum(cloud.wanted().values())
    assert syncing.upstream_bytes(region.catalog) == cloud.server.payload_bytes
    asked = [each.headers for each in cloud.server.requests if each.path == path]
    assert [("Range" in headers, "If-Range" in headers) for headers in asked[1:]] == [
        (any(cuts[: number + 1]), any(cuts[: number + 1])) for number in range(len(cuts))
    ]


def test_a_source_that_sends_all_of_it_again_is_read_from_where_it_broke_off(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    largest = cloud.largest()
    path = cloud.path(largest)
    content = (cloud.source.directory / path.lstrip("/")).read_bytes()
    whole = origin.Reply(headers={"Content-Length": str(len(content))}, body=[content])
    answers: list[origin.Reply | origin.Cut] = [origin.Cut(1_500_000), whole]
    cloud.misbehave(path, lambda _: answers.pop(0))
    assert region.sync().failures == ()
    assert answers == []
    assert_all_is_here(region, cloud)
    assert cloud.server.payload_bytes == sum(cloud.wanted().values()) + 1_500_000


def test_a_source_that_only_cuts_is_given_up_and_the_rest_comes(
    region: syncing.Region, cloud: syncing.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "_PAUSE", 0.001)
    largest = cloud.largest()
    cloud.misbehave(cloud.path(largest), lambda _: origin.Cut(0))
    outcome = region.sync()
    assert len(outcome.failures) == 1
    assert region.store.held().keys() == cloud.wanted().keys() - {largest}
    cloud.server.on_request = None
    assert region.sync() == engines.Outcome(1, cloud.wanted()[largest])
    assert region.notices(engines.SYNC) == []


def held_up(
    cloud: syncing.Cloud, sha256: str, after: int, then: Callable[[], None]
) -> Callable[[origin.Request], origin.Reply]:
    """Send so many bytes of an object, have something happen, and break off."""

    def body() -> Iterator[bytes]:
        path = cloud.source.directory / cloud.path(sha256).lstrip("/")
        yield path.read_bytes()[:after]
        then()

    size = str(cloud.wanted()[sha256])
    return lambda _: origin.Reply(headers={"Content-Length": size}, body=body())


def wait_for_blocks(root: pathlib.Path, sha256: str, count: int) -> None:
    """Return once the journal of a partial object has so many blocks."""
    journal = root / "partial" / f"{sha256}.journal"
    deadline = time.monotonic() + PATIENCE
    while len(journal.read_bytes().partition(b"\n")[2]) < count * 40:
        assert time.monotonic() < deadline, "the blocks did not come"
        time.sleep(0.005)


UNFINISHED = 300_000
ARRIVED = 2 * blocks.BLOCK_SIZE + UNFINISHED
"""Of a transfer that ends there, two blocks are kept."""


def test_a_pass_that_is_stopped_keeps_its_blocks(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    largest = cloud.largest()

    def stop() -> None:
        wait_for_blocks(region.root, largest, 2)
        region.stop.set()

    cloud.misbehave(cloud.path(largest), held_up(cloud, largest, ARRIVED, stop))
    with syncing.Region(region.catalog, region.root, parallel=1) as stopped:
        stopped.stop = region.stop
        with pytest.raises(upstream.Stopped):
            stopped.sync()
    cloud.server.on_request = None
    with syncing.Region(region.catalog, region.root) as again:
        again.sync()
        assert_all_is_here(again, cloud)
    assert cloud.server.payload_bytes == sum(cloud.wanted().values()) + UNFINISHED


def test_a_region_that_is_killed_fetches_only_the_unfinished_block_again(
    sqlite_catalog: database.Catalog,
    sqlite_url: str,
    cloud: syncing.Cloud,
    tmp_path: pathlib.Path,
) -> None:
    syncing.declare(sqlite_catalog, cloud)
    largest = cloud.largest()
    arrived, killed = threading.Event(), threading.Event()

    def wait() -> None:
        arrived.set()
        assert killed.wait(PATIENCE)

    cloud.misbehave(cloud.path(largest), held_up(cloud, largest, ARRIVED, wait))
    tests = pathlib.Path(syncing.__file__).parent.parent
    words = [sys.executable, "-m", "support.syncing", str(tmp_path / "store"), sqlite_url]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(tests)}) as process:
        assert arrived.wait(PATIENCE)
        wait_for_blocks(tmp_path / "store", largest, 2)
        process.send_signal(signal.SIGKILL)
    killed.set()
    cloud.server.on_request = None
    with syncing.Region(sqlite_catalog, tmp_path / "store") as region:
        assert region.report.findings == ()
        region.sync()
        assert_all_is_here(region, cloud)
        assert len(syncing.available(sqlite_catalog)) == 8
    assert cloud.server.payload_bytes == sum(cloud.wanted().values()) + UNFINISHED


# A source that is wrong, or down


def wrong(cloud: syncing.Cloud, sha256: str) -> Callable[[origin.Request], origin.Reply]:
    """Answer with as many bytes, of another content."""
    content = stores.noise(cloud.wanted()[sha256], seed=7)
    headers = {"Content-Length": str(len(content))}
    return lambda _: origin.Reply(headers=headers, body=[content])


def test_wrong_bytes_are_named_and_never_held_and_the_rest_goes_on(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    largest = cloud.largest()
    path = cloud.path(largest)
    cloud.misbehave(path, wrong(cloud, largest))
    outcome = region.sync()
    assert region.store.held().keys() == cloud.wanted().keys() - {largest}
    assert list((region.root / "partial").iterdir()) == []
    (notice,) = region.notices(engines.SYNC)
    assert "is not what the source signed" in notice.text
    assert path in notice.text
    assert outcome.failures == (notice.text,)
    # Two images share it.
    assert len(syncing.available(region.catalog)) == 6

    # It is not fetched again for nothing, and still said.
    before = cloud.server.payload_bytes
    region.sync()
    assert cloud.server.payload_bytes == before
    assert region.notices(engines.SYNC)

    cloud.server.on_request = None
    region.engine.forget_failures()
    assert region.sync() == engines.Outcome(1, cloud.wanted()[largest])
    assert len(syncing.available(region.catalog)) == 8
    assert region.notices(engines.SYNC) == []


def test_news_of_the_source_are_a_reason_to_try_again(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    largest = cloud.largest()
    cloud.misbehave(cloud.path(largest), wrong(cloud, largest))
    region.sync()
    cloud.server.on_request = None
    now = units.utc_now() + datetime.timedelta(seconds=5)
    cloud.source.publish(now)
    region.sync()
    assert_all_is_here(region, cloud)


def test_an_object_whose_first_part_was_wrong_is_fetched_from_its_beginning(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    largest = cloud.largest()
    size = cloud.wanted()[largest]

    def body() -> Iterator[bytes]:
        yield stores.noise(ARRIVED, seed=7)
        wait_for_blocks(region.root, largest, 2)
        region.stop.set()

    reply = origin.Reply(headers={"Content-Length": str(size)}, body=body())
    cloud.misbehave(cloud.path(largest), lambda _: reply)
    with pytest.raises(upstream.Stopped):
        region.sync()
    cloud.server.on_request = None
    region.stop.clear()
    region.sync()
    (notice,) = region.notices(engines.SYNC)
    assert "or its first part was not" in notice.text
    assert largest not in region.store.held()
    assert region.sync() == engines.Outcome(1, size)
    assert_all_is_here(region, cloud)


def test_a_source_that_is_down_takes_nothing_away(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.sync()
    before = syncing.available(region.catalog)
    cloud.server.on_request = lambda _: origin.Reply(status=503)
    assert region.sync().dropped == 0
    assert syncing.available(region.catalog) == before
    assert_all_is_here(region, cloud)
    assert {notice.severity for notice in region.notices(engines.SOURCE)} == {
        notices.Severity.WARNING
    }
    cloud.server.on_request = None
    region.sync()
    assert region.notices(engines.SOURCE) == []


def test_a_region_that_does_not_lead_leaves_the_source_to_the_one_that_does(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    cloud.server.on_request = lambda _: origin.Reply(status=503)
    region.sync()
    assert region.notices(engines.SOURCE)
    cloud.server.on_request = None
    with region.catalog.write() as conn:
        mine = leases.holder(conn, refresh.LEADER)
        assert mine is not None
        leases.release(conn, mine)
        leases.acquire(conn, refresh.LEADER, "region-1", 60)
    asked = len(cloud.server.requests)
    region.sync()
    assert len(cloud.server.requests) == asked
    assert region.notices(engines.SOURCE) == []


# A disk that is full, or fails


def test_without_room_for_all_of_it_not_a_byte_is_fetched(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.store.reserve = 2**60
    outcome = region.sync()
    assert cloud.server.payload_bytes == 0
    (notice,) = region.notices(engines.SYNC)
    assert notice.severity is notices.Severity.CRITICAL
    for word in (str(region.root), "needed", "free", "missing"):
        assert word in notice.text
    # A pass that failed is tried again soon.
    assert outcome.failures == (notice.text,)
    region.store.reserve = 0
    region.sync()
    assert cloud.server.payload_bytes == sum(cloud.wanted().values())
    assert region.notices(engines.SYNC) == []


def test_a_disk_that_is_full_all_the_same_ends_the_pass(
    sqlite_catalog: database.Catalog, cloud: syncing.Cloud, tmp_path: pathlib.Path
) -> None:
    syncing.declare(sqlite_catalog, cloud)
    full = disks.Full()
    with syncing.Region(sqlite_catalog, tmp_path / "store", parallel=2, disk=full) as region:
        full.full = True
        done = threading.Thread(target=region.sync, daemon=True)
        done.start()
        done.join(PATIENCE)
        assert not done.is_alive()
        assert cloud.server.payload_bytes == 0
        (notice,) = region.notices(engines.SYNC)
        assert "refused a write: No space left on device" in notice.text
        full.full = False
        region.sync()
        assert_all_is_here(region, cloud)
        assert region.notices(engines.SYNC) == []


def test_whichever_call_of_the_disk_fails_only_what_is_proved_is_held_and_the_next_pass_ends_it(
    sqlite_catalog: database.Catalog, cloud: syncing.Cloud, tmp_path: pathlib.Path
) -> None:
    jammy = sources.Selection("ubuntu", "jammy", ("amd64",), ("*",), ("*",))
    syncing.declare(sqlite_catalog, cloud, jammy)
    for nth in range(0, 240, 14):
        refusing = disks.Refusing(10**9)
        root = tmp_path / f"store-{nth}"
        with syncing.Region(sqlite_catalog, root, parallel=1, disk=refusing) as region:
            refusing.fail_at(nth)
            region.sync()
            # A file that could only not be closed was dealt with by then.
            if refusing.failed and refusing.call != "close":
                (notice,) = region.notices(engines.SYNC)
                assert "refused a write: Input/output error" in notice.text
            for sha256 in region.store.held():
                assert stores.name_of(stores.read(region.store, sha256)) == sha256
            region.sync()
            assert region.notices(engines.SYNC) == []
            assert region.store.held().keys() == holding(region)


def test_a_disk_that_fails_after_the_transfers_is_said_too(
    sqlite_catalog: database.Catalog, cloud: syncing.Cloud, tmp_path: pathlib.Path
) -> None:
    syncing.declare(sqlite_catalog, cloud)
    refusing = disks.Refusing(10**9)
    with syncing.Region(sqlite_catalog, tmp_path / "store", disk=refusing) as region:
        region.sync()
        syncing.declare(sqlite_catalog, cloud, sources.Selection("centos", "*", ("*",)))
        refusing.fail_at(0)
        outcome = region.sync()
        (notice,) = region.notices(engines.SYNC)
        assert "refused a write: Input/output error" in notice.text
        assert outcome.failures == (notice.text,)
        region.sync()
        assert region.notices(engines.SYNC) == []
        assert region.store.held().keys() == holding(region)
        assert not any("ubuntu" in name for name in syncing.available(sqlite_catalog))


# The disk is the truth


def test_what_is_lost_on_the_disk_is_fetched_again_and_nothing_else(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.sync()
    before = cloud.server.payload_bytes
    largest = cloud.largest()
    stores.damage(region.root / "objects" / largest)
    with pytest.raises(objects.ObjectChanged):
        region.store.open(largest)
    assert region.sync(read_source=False).objects == 1
    assert cloud.server.payload_bytes == before + cloud.wanted()[largest]
    assert_all_is_here(region, cloud)


def test_what_is_lost_and_cannot_be_had_is_withdrawn(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.sync()
    largest = cloud.largest()
    stores.damage(region.root / "objects" / largest)
    with pytest.raises(objects.ObjectChanged):
        region.store.open(largest)
    cloud.server.on_request = lambda _: origin.Reply(status=404)
    region.sync()
    assert holding(region) == cloud.wanted().keys() - {largest}
    assert len(syncing.available(region.catalog)) == 6


def test_what_the_catalog_does_not_know_of_the_disk_it_is_told(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.sync()
    before = cloud.server.payload_bytes
    with region.catalog.write() as conn:
        holdings.drop(conn, region.name, holding(region))
        availability.refresh(conn)
    assert syncing.available(region.catalog) == {}
    region.sync()
    assert len(syncing.available(region.catalog)) == 8
    assert cloud.server.payload_bytes == before


def test_another_prover_that_found_something_else_is_a_critical_notice_that_stays(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    largest = cloud.largest()
    size = cloud.wanted()[largest]
    with region.catalog.write() as conn:
        cluster.join(conn, "region-1", "region-1.example.com:5290", same_host=True)
        holdings.record(conn, "region-1", [holdings.Proof(largest, size, "f" * 64)])
    for _ in range(2):
        region.sync()
        (notice,) = region.notices(engines.SYNC)
        assert notice.severity is notices.Severity.CRITICAL
        assert "two provers" in notice.text
        assert largest not in holding(region)
        assert largest not in region.store.held()
    # It came once, and comes again only where there is a reason to hope.
    assert cloud.server.payload_bytes == sum(cloud.wanted().values())


def test_a_disputed_object_of_an_earlier_life_is_set_aside_and_comes_anew(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.sync()
    largest = cloud.largest()
    # Facts of which only this region's disk knows that they are wrong.
    path = region.root / "facts" / largest
    known = facts.Facts.from_bytes(path.read_bytes())
    digests = bytes(len(known.block_map.digests))
    wrong = dataclasses.replace(known, block_map=blocks.BlockMap(known.size, digests))
    path.write_bytes(wrong.to_bytes())
    with region.catalog.write() as conn:
        holdings.drop(conn, region.name, [largest])
    with syncing.Region(region.catalog, region.root) as again:
        assert again.sync(read_source=False) == engines.Outcome(1, cloud.wanted()[largest])
        assert again.notices(engines.SYNC) == []
        assert holding(again) == cloud.wanted().keys()
        assert (again.root / "damaged" / largest).exists()


# What is counted


def test_what_came_is_in_the_ledger_while_it_still_comes(
    region: syncing.Region, cloud: syncing.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "WRITE_SECONDS", 0.01)
    largest = cloud.largest()

    def wait() -> None:
        deadline = time.monotonic() + PATIENCE
        while syncing.upstream_bytes(region.catalog) < ARRIVED:
            assert time.monotonic() < deadline, "the ledger does not say what came"
            time.sleep(0.005)
        written.set()

    written = threading.Event()
    cloud.misbehave(cloud.path(largest), held_up(cloud, largest, ARRIVED, wait))
    region.stop.clear()
    passing = threading.Thread(target=region.sync, daemon=True)
    passing.start()
    assert written.wait(PATIENCE)
    cloud.server.on_request = None
    passing.join(PATIENCE)
    assert syncing.upstream_bytes(region.catalog) == cloud.server.payload_bytes


def test_what_could_not_be_counted_is_counted_later(
    sqlite_catalog: database.Catalog, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    meter = metering.Meter(sqlite_catalog, syncing.REGION)
    meter.count(5)
    with monkeypatch.context() as away:

        def refuse(_: object) -> contextlib.AbstractContextManager[None]:
            raise failures.CatalogUnavailable("the database is away")

        away.setattr(database.Catalog, "write", refuse)
        meter.write()
    meter.count(2)
    assert syncing.upstream_bytes(sqlite_catalog) == 0
    meter.write()
    meter.write()
    assert syncing.upstream_bytes(sqlite_catalog) == meter.total == 7


def test_no_notice_and_no_log_line_holds_the_password_of_the_source(
    region: syncing.Region, cloud: syncing.Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "boot_resources")
    keys = cloud.source.keyring.read_bytes()
    url = cloud.server.url.replace("http://", "http://user:s3same@")
    with region.catalog.write() as conn:
        sources.declare(conn, sources.Source(url, keys, False), [syncing.EVERYTHING])
    largest = cloud.largest()
    answers: list[Callable[[origin.Request], origin.Reply | origin.Cut]] = [
        lambda _: origin.Cut(1_500_000),
        wrong(cloud, largest),
    ]
    cloud.misbehave(cloud.path(largest), lambda request: answers.pop(0)(request))
    region.sync()
    assert answers == []
    (notice,) = region.notices(engines.SYNC)
    assert "is not what the source signed" in notice.text
    assert "s3same" not in f"{notice}{caplog.text}"


def test_a_source_that_could_not_be_read_is_told_apart(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    cloud.server.on_request = lambda _: origin.Reply(status=503)
    assert region.sync().unread
    assert not region.sync(read_source=False).unread
    cloud.server.on_request = None
    assert not region.sync().unread


# Versions, selections and what the source drops


def publish_new_version(cloud: syncing.Cloud) -> None:
    signed_source.add_version(cloud.source, NEW, SIZE, seed=2)
    cloud.source.publish(units.utc_now() + datetime.timedelta(seconds=5))


def versions(region: syncing.Region) -> dict[str, bool]:
    """Return the versions of noble that are available, and whether each is superseded."""
    found = syncing.available(region.catalog).items()
    return {name.split("/")[5]: old for name, old in found if "ga-24.04/noble" in name}


def test_an_older_version_serves_until_the_newer_can_be_had_and_then_goes_slowly(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.sync()
    old = cloud.wanted(OLD)
    publish_new_version(cloud)
    squashfs = cloud.largest(NEW)
    cloud.misbehave(cloud.path(squashfs), lambda _: origin.Reply(status=404))
    region.sync()
    assert versions(region) == {OLD: False}

    cloud.server.on_request = None
    region.sync()
    assert versions(region) == {OLD: True, NEW: False}
    assert region.store.held().keys() == cloud.wanted().keys()
    assert cloud.server.payload_bytes == sum(cloud.wanted().values())

    with syncing.Region(region.catalog, region.root, superseded_grace=0.0) as hasty:
        assert hasty.sync().dropped == len(old.keys() - cloud.wanted(NEW).keys())
        assert versions(hasty) == {NEW: False}
        assert hasty.store.held().keys() == cloud.wanted(NEW).keys() == holding(hasty)
    gone = {path.name for path in (region.root / "removed").iterdir()}
    assert gone == old.keys() - cloud.wanted(NEW).keys()


def test_what_only_a_newer_catalog_knew_outlasts_a_lack_of_space_and_comes_back(
    region: syncing.Region, cloud: syncing.Cloud, sqlite_url: str, tmp_path: pathlib.Path
) -> None:
    older = tmp_path / "older.db"
    region.sync()
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as catalog:
        catalog.execute("VACUUM INTO ?", [str(older)])
    publish_new_version(cloud)
    region.sync()
    new = cloud.wanted().keys() - cloud.wanted(OLD).keys()
    before = cloud.server.payload_bytes

    cloud.server.on_request = lambda _: origin.Reply(status=503)
    with contextlib.closing(database.open_catalog(f"sqlite:///{older}")) as restored:
        with syncing.Region(restored, region.root) as again:
            assert again.sync().dropped == len(new)
            free = os.statvfs(region.root)
            again.store.reserve = free.f_bavail * free.f_frsize
            again.store.room_for({"0" * 64: 1})
            again.store.reserve = 0
            cloud.server.on_request = None
            assert again.sync().restored == len(new)
            assert_all_is_here(again, cloud)
    assert cloud.server.payload_bytes == before


def test_what_is_selected_no_more_goes_and_comes_back_without_a_byte_from_upstream(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.sync()
    before = cloud.server.payload_bytes
    syncing.declare(region.catalog, cloud, sources.Selection("centos", "*", ("*",)))
    outcome = region.sync()
    assert outcome.dropped > 0
    assert not any("ubuntu" in name for name in syncing.available(region.catalog))
    syncing.declare(region.catalog, cloud)
    assert region.sync() == engines.Outcome(restored=outcome.dropped)
    assert len(syncing.available(region.catalog)) == 8
    assert cloud.server.payload_bytes == before
    assert_all_is_here(region, cloud)


def test_a_document_that_cannot_be_read_drops_nothing(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.sync()
    before = syncing.available(region.catalog)
    path = f"/streams/v1/{signed_source.CENTOS}.sjson"
    cloud.misbehave(path, lambda _: origin.Reply(status=404))
    # With news in the index, so that all is judged anew.
    cloud.source.publish(units.utc_now() + datetime.timedelta(seconds=5))
    region.sync()
    assert syncing.available(region.catalog) == before
    with region.catalog.read() as conn:
        assert [each.name for each in images.listing(conn) if each.dropped] == []
    assert any(signed_source.CENTOS in each.key for each in region.notices(engines.SOURCE))


def test_what_the_source_drops_stays_until_an_operator_removes_it(
    region: syncing.Region, cloud: syncing.Cloud
) -> None:
    region.sync()
    centos = sources.Selection("centos", "*", ("*",))
    syncing.declare(region.catalog, cloud, centos)
    region.sync()
    documents = cloud.source.documents(units.utc_now() + datetime.timedelta(seconds=5))
    index = json.loads(documents[signed_source.INDEX])
    del index["index"][signed_source.CENTOS]
    cloud.source.write_document(signed_source.INDEX, signed_source.encode(index))
    region.sync()
    name = next(name for name in syncing.available(region.catalog) if "centos" in name)
    with region.catalog.read() as conn:
        (listed,) = [each for each in images.listing(conn) if str(each.name) == name]
    assert listed.dropped
    with region.catalog.write() as conn:
        images.remove(conn, listed.name)
    assert region.sync().dropped == 2
    assert name not in syncing.available(region.catalog)


def test_a_selection_that_matches_nothing_is_named(
    cloud: syncing.Cloud, region: syncing.Region
) -> None:
    syncing.declare(region.catalog, cloud, sources.Selection("ubuntu", "nosuch"))
    region.sync()
    assert [notice.text for notice in region.notices(engines.SOURCE)] == [
        "the selection 'ubuntu' 'nosuch' matches nothing that the source offers"
    ]
