"""What a region gives to members: what is available, proved objects, their maps."""

import hashlib
import logging
from collections.abc import Iterator
from concurrent import futures

import pytest
import requests

from boot_resources.demo import origin
from boot_resources.store import blocks
from support import cloud, real_region

World = real_region.World
NAME = ("os", "arch", "subarch", "release", "label", "version")


def largest(world: World) -> tuple[str, bytes]:
    return max(world.objects.items(), key=lambda each: len(each[1]))


def epoch_of(world: World) -> int:
    with world.member() as member:
        epoch: int = cloud.document(member.get("/v1/images"))["epoch"]
        return epoch


def test_the_list_is_what_the_source_offers(world: World) -> None:
    with world.member() as member:
        listed = cloud.document(member.get("/v1/images"))
    files = {
        (*(image[key] for key in NAME), item["filename"], item["sha256"], item["size"])
        for image in listed["images"]
        for item in image["items"]
    }
    assert files == {
        (t.os, t.arch, t.subarch, t.release, t.label, t.version, t.filename, t.sha256, t.size)
        for t in world.source.truth
    }


def test_every_object_and_its_map_are_right(world: World) -> None:
    with world.member() as member:
        listed = cloud.document(member.get("/v1/images"))
        for item in (item for image in listed["images"] for item in image["items"]):
            got = member.get(f"/v1/objects/{item['sha256']}")
            assert hashlib.sha256(got.body).hexdigest() == item["sha256"]
            its_map = member.get(f"/v1/objects/{item['sha256']}/map").body
            assert hashlib.sha256(its_map).hexdigest() == item["map_digest"]
            assert blocks.BlockMap.from_bytes(its_map) == cloud.map_of(got.body)


def test_a_range_of_an_object(world: World) -> None:
    sha256, content = largest(world)
    with world.member() as member:
        part = member.get(f"/v1/objects/{sha256}", headers={"Range": "bytes=1000-200000"})
        assert (part.status, part.body) == (206, content[1000:200001])
        beyond = {"Range": f"bytes={len(content)}-"}
        assert member.get(f"/v1/objects/{sha256}", headers=beyond).status == 416
        head = member.get(f"/v1/objects/{sha256}", method="HEAD")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(content)))


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "0" * 63,
        "0" * 65,
        "A" * 64,
        "..%2f..%2fstore.json",
        "..",
        "0" * 64 + "%00",
        "%30" * 63 + "g",
        "store.json",
        "²" * 64,
    ],
)
@pytest.mark.parametrize("suffix", ["", "/map"])
def test_what_is_not_the_name_of_an_object_is_not_found(
    world: World, name: str, suffix: str
) -> None:
    with world.member() as member:
        path = f"/v1/objects/{name}{suffix}".encode().decode("latin-1")
        assert member.get(path.encode("ascii", "ignore").decode()).status == 404


def test_an_object_that_is_not_held_is_not_found(world: World) -> None:
    with world.member() as member:
        for path in (f"/v1/objects/{'0' * 64}", f"/v1/objects/{'0' * 64}/map"):
            got = member.get(path)
            assert got.status == 404
            assert "not held here" in cloud.document(got)["error"]


def test_health_says_who_answers(world: World) -> None:
    with world.member() as member:
        said = cloud.document(member.get("/v1/health"))
    assert said["name"] == "region-0"
    assert said["serving"] is True
    assert said["cluster"] == world.region.status()["cluster"]


def test_the_metrics_port_is_for_everybody_on_this_host(world: World) -> None:
    base = f"http://127.0.0.1:{world.region.settings.metrics.port}"
    text = requests.get(f"{base}/metrics", timeout=10).text
    assert f"boot_resources_objects {len(world.objects)}.0" in text
    assert requests.get(f"{base}/health", timeout=10).json()["serving"] is True


def test_what_members_were_given_is_counted_by_role(world: World) -> None:
    before = world.region.status()["served"]
    sha256, content = largest(world)
    with world.member() as member:
        member.get(f"/v1/objects/{sha256}")
        member.get(f"/v1/objects/{sha256}", headers={"Range": "bytes=0-9"})
        member.get(f"/v1/objects/{sha256}", method="HEAD")
        member.get(f"/v1/objects/{sha256}/map")
    after = world.region.status()["served"]
    assert after["rack"] - before["rack"] == len(content) + 10
    assert after["region"] == before["region"]


@pytest.mark.parametrize("wait", ["0", "0.05", "-5", "nan"])
def test_where_nothing_is_newer_the_answer_is_304(world: World, wait: str) -> None:
    epoch = epoch_of(world)
    with world.member() as member:
        got = member.get(f"/v1/images?since={epoch}&wait={wait}")
        assert (got.status, got.body) == (304, b"")


@pytest.mark.parametrize("query", ["since=x", "since=1.5", "wait=soon", "since="])
def test_a_question_that_is_none_is_a_400(world: World, query: str) -> None:
    with world.member() as member:
        assert member.get(f"/v1/images?{query}").status == 400


def test_an_older_epoch_is_answered_at_once(world: World) -> None:
    with world.member() as member:
        assert member.get("/v1/images?since=0&wait=60").status == 200


def test_a_long_poll_wakes_when_something_becomes_available(own_world: World) -> None:
    world = own_world
    epoch = epoch_of(world)
    with futures.ThreadPoolExecutor(1) as pool, world.member() as member:
        waiting = pool.submit(member.get, f"/v1/images?since={epoch}&wait=60")
        world.publish()
        assert world.region.sync()["last_outcome"]["objects"] > 0
        got = waiting.result()
    assert got.status == 200
    assert cloud.document(got)["epoch"] > epoch


def test_of_two_versions_the_newest_comes_first(own_world: World) -> None:
    world = own_world
    world.publish()
    world.region.sync()
    with world.member() as member:
        listed = cloud.document(member.get("/v1/images"))["images"]
    versions = [image["version"] for image in listed if image["release"] == "jammy"]
    assert versions == ["20250801", "20250718"]


def test_only_what_is_proved_is_served_while_a_sync_runs(own_world: World) -> None:
    world = own_world
    gate = cloud.Gate()
    path = "/noble/amd64/20250801/squashfs"

    def drip(request: origin.Request) -> origin.Reply | None:
        if request.path != path:
            return None
        content = (world.source.directory / path[1:]).read_bytes()
        headers = {"Content-Length": str(len(content))}

        def body() -> Iterator[bytes]:
            yield content[:-1]
            gate.wait()
            yield content[-1:]

        return origin.Reply(200, headers, body())

    world.origin.on_request = drip
    world.publish()
    content = (world.source.directory / path[1:]).read_bytes()
    sha256 = cloud.name_of(content)
    with futures.ThreadPoolExecutor(1) as pool, world.member() as member:
        syncing = pool.submit(world.region.sync)
        gate.wait_for_arrival()
        assert member.get(f"/v1/objects/{sha256}").status == 404
        assert member.get(f"/v1/objects/{sha256}/map").status == 404
        listed = cloud.document(member.get("/v1/images"))["images"]
        assert sha256 not in str(listed)
        gate.open()
        syncing.result()
        assert member.get(f"/v1/objects/{sha256}").body == content


def test_an_object_that_somebody_touched_is_not_served_and_comes_again(
    own_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = own_world
    sha256, content = largest(world)
    path = world.region.store / "objects" / sha256
    path.write_bytes(content[:-1] + b"x")
    with world.member() as member:
        with caplog.at_level(logging.WARNING):
            assert member.get(f"/v1/objects/{sha256}").status == 404
        # Nobody asked for a sync: the region noticed, and mends itself.
        cloud.wait_until(lambda: member.get(f"/v1/objects/{sha256}").status == 200)
        assert member.get(f"/v1/objects/{sha256}").body == content
    assert sha256 in caplog.text
    assert (world.region.store / "damaged" / sha256).exists()
