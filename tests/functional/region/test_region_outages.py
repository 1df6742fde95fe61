"""A region whose catalog or source is gone goes on serving what is available."""

import contextlib
import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources import errors
from boot_resources.catalog import cluster, database
from boot_resources.demo import origin
from boot_resources.region import syncing
from boot_resources.store import blocks, disk, facts, identity
from support import cloud, on_thread, postgres, real_region

World = real_region.World


def everything_is_served(world: World) -> bool:
    with world.member() as member:
        listed = cloud.document(member.get("/v1/images"))["images"]
        items = [item for image in listed for item in image["items"]]
        assert {item["sha256"] for item in items} == set(world.objects)
        return all(
            member.get(f"/v1/objects/{sha256}").body == content
            for sha256, content in world.objects.items()
        )


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """Give a PostgreSQL server that a test may stop; it runs again afterwards."""
    with postgres.running_server() as server:
        yield server


@pytest.fixture
def clustered(tmp_path: Path, server: postgres.Server) -> Iterator[World]:
    """Give a world whose catalog lies on ``server``."""
    with real_region.begin(tmp_path, server.url(server.create_database())) as world:
        yield world


@contextlib.contextmanager
def stopped(server: postgres.Server) -> Iterator[None]:
    """Stop the server for the length of the block."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def test_with_the_catalog_down_serving_goes_on_even_after_a_restart(
    clustered: World, server: postgres.Server
) -> None:
    region = clustered.region
    with stopped(server):
        assert everything_is_served(clustered)
        assert region.status()["source"] is None
        region.stop()
        region.start()
        assert everything_is_served(clustered)
        cloud.wait_until(lambda: region.status()["notices"])
        (notice,) = region.status()["notices"]
        assert notice["severity"] == "critical"
        assert "what is available goes on being served" in notice["text"]
    cloud.wait_until(lambda: not region.status()["notices"])
    clustered.publish()
    assert region.sync()["last_outcome"]["objects"] > 0


def test_before_any_list_members_are_told_to_wait(
    clustered: World, server: postgres.Server
) -> None:
    region = clustered.region
    region.stop()
    (region.store / "available.json").unlink()
    with stopped(server):
        region.start()
        with clustered.member() as member:
            assert member.get("/v1/images").status == 503
            assert member.get("/v1/images?wait=0.05").status == 503
            assert cloud.document(member.get("/v1/health"))["serving"] is False
    with clustered.member() as member:
        assert member.get("/v1/images?wait=60").status == 200


def test_an_object_lost_while_the_catalog_is_down_is_made_good_afterwards(
    clustered: World, server: postgres.Server
) -> None:
    sha256, content = next(iter(clustered.objects.items()))
    with clustered.member() as member:
        with stopped(server):
            (clustered.region.store / "objects" / sha256).write_bytes(b"something else")
            assert member.get(f"/v1/objects/{sha256}").status == 404
        cloud.wait_until(lambda: member.get(f"/v1/objects/{sha256}").status == 200)
        assert member.get(f"/v1/objects/{sha256}").body == content


def test_with_the_source_down_a_sync_says_so_and_serving_goes_on(own_world: World) -> None:
    own_world.origin.on_request = cloud.refuse
    ended = own_world.region.sync()
    (notice,) = [each for each in ended["notices"] if each["scope"] == "source"]
    assert notice["severity"] == "warning"
    assert everything_is_served(own_world)
    own_world.origin.on_request = None
    assert own_world.region.sync()["notices"] == []


def test_a_store_of_another_cluster_is_refused_and_left_alone(
    own_world: World, tmp_path: Path
) -> None:
    region = own_world.region
    region.stop()
    for file in tmp_path.glob("catalog.db*"):
        file.unlink()
    before = sorted(path.name for path in region.store.rglob("*"))
    with pytest.raises(
        identity.ForeignDirectory, match=r"belongs to cluster .* is new and empty"
    ) as refused:
        region.run()
    assert "catalog.url" in refused.value.cure
    assert sorted(path.name for path in region.store.rglob("*")) == before
    shutil.rmtree(region.store)
    region.start()
    region.wait_for_images(1)


def test_a_source_that_is_away_at_the_start_is_asked_again_soon(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncing, "_RETRY_SECONDS", 0.05)
    region = own_world.region
    region.stop()
    own_world.publish()
    own_world.origin.on_request = lambda _: origin.Reply(404, {"Content-Length": "0"})
    region.start()
    cloud.wait_until(lambda: region.status()["sync"]["passes"] > 2)
    before = len(region.store_names())
    own_world.origin.on_request = None
    # Nobody asks for a sync.
    cloud.wait_until(lambda: len(region.store_names()) > before)


def test_the_list_is_offered_though_the_disk_takes_no_file_and_written_later(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncing, "_RETRY_SECONDS", 0.05)
    region = own_world.region
    real = disk.Disk.publish

    def refuse(self: disk.Disk, path: Path, data: bytes) -> None:
        if path.name == "available.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, path, data)

    with monkeypatch.context() as full:
        full.setattr(disk.Disk, "publish", refuse)
        own_world.publish()
        assert region.sync()["last_error"] == ""
        epoch = region.status()["epoch"]
        with own_world.member() as member:
            assert cloud.document(member.get("/v1/images"))["epoch"] == epoch
        (notice,) = region.status()["notices"]
        assert "No space left on device" in notice["text"]
    cloud.wait_until(lambda: not region.status()["notices"])
    written = json.loads((region.store / "available.json").read_bytes())
    assert written["epoch"] == epoch


def test_a_status_is_given_though_the_store_cannot_be_looked_at(own_world: World) -> None:
    partial = own_world.region.store / "partial"
    partial.rename(partial.with_name("aside"))
    assert own_world.region.status()["storage"]["free"] == 0
    partial.with_name("aside").rename(partial)
    assert own_world.region.status()["storage"]["free"] > 0


def test_a_region_that_may_not_join_says_why_and_not_that_the_database_is_away(
    own_world: World,
) -> None:
    region = own_world.region
    region.stop()
    catalog = database.open_catalog(region.settings.catalog.url)
    with catalog.write() as conn:
        cluster.retire(conn, "region-0")
        cluster.join(conn, "region-1", "region-1.example.com:5290")
    catalog.close()
    region.start()
    cloud.wait_until(lambda: region.status()["notices"])
    (notice,) = region.status()["notices"]
    assert notice["key"] == "refused"
    assert "the catalog is a SQLite file" in notice["text"]
    assert "PostgreSQL" in notice["cure"]


def test_one_disputed_object_does_not_keep_a_region_from_joining(own_world: World) -> None:
    region = own_world.region
    sha256, content = max(own_world.objects.items(), key=lambda each: len(each[1]))
    region.stop()
    # Facts of which only this region's disk knows that they are wrong.
    path = region.store / "facts" / sha256
    known = facts.Facts.from_bytes(path.read_bytes())
    wrong = blocks.BlockMap(known.size, bytes(len(known.block_map.digests)))
    path.write_bytes(dataclasses.replace(known, block_map=wrong).to_bytes())
    region.start()
    ended = region.sync()
    assert (ended["last_error"], ended["notices"]) == ("", [])
    with own_world.member() as member:
        assert member.get(f"/v1/objects/{sha256}").body == content
        asked = member.get(f"/v1/objects/{sha256}/map")
        assert blocks.BlockMap.from_bytes(asked.body) == cloud.map_of(content)
    assert (region.store / "damaged" / sha256).exists()


def test_a_second_region_on_the_same_store_is_refused_and_harms_nothing(
    own_world: World, tmp_path: Path
) -> None:
    first = own_world.region
    ports = on_thread.free_ports(2)
    other = first.settings.model_copy(
        update={
            "plane": first.settings.plane.model_copy(update={"port": ports[0]}),
            "metrics": first.settings.metrics.model_copy(update={"port": ports[1]}),
            "control": first.settings.control.model_copy(
                update={"socket": tmp_path / "other.sock"}
            ),
        }
    )
    with pytest.raises(identity.InUse, match="another controller is running"):
        real_region.RealRegion(other).run()
    assert everything_is_served(own_world)


def test_a_second_region_on_the_same_port_is_refused(own_world: World) -> None:
    with pytest.raises(errors.BootResourcesError, match=r"taken by|another controller is running"):
        real_region.RealRegion(own_world.region.settings).run()
    assert everything_is_served(own_world)
