"""What a machine is answered: names, objects, ranges, conditions, and plain refusals."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources import units
from support import cloud as clouds

MIB = units.MIB
KERNEL = clouds.noise(2 * MIB + 77, seed=1)
OLD_KERNEL = clouds.noise(MIB, seed=2)
NEW = clouds.Image({"boot-kernel": KERNEL, "empty": b""}, version="20250801")
OLD = clouds.Image({"boot-kernel": OLD_KERNEL, "boot-initrd": clouds.noise(99)})
TAG = f'"{clouds.name_of(KERNEL)}"'
SIZE = len(KERNEL)


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clouds.Rack]:
    """Give one rack that nobody changes."""
    directory: Path = tmp_path_factory.mktemp("answers")
    with clouds.Cloud(directory) as cloud:
        yield cloud.rack(cloud.region(NEW, OLD))


def ask(rack: clouds.Rack, path: str, **headers: str) -> clouds.Got:
    return clouds.get(
        rack, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_a_file_has_its_object_as_entity_tag(rack: clouds.Rack) -> None:
    got = ask(rack, NEW.path("boot-kernel"))
    assert (got.status, got.body) == (200, KERNEL)
    assert got.headers["ETag"] == TAG
    assert got.headers["Content-Length"] == str(SIZE)
    assert got.headers["Accept-Ranges"] == "bytes"


def test_a_head_has_the_headers_and_no_body(rack: clouds.Rack) -> None:
    whole = ask(rack, NEW.path("boot-kernel"))
    head = clouds.get(rack, NEW.path("boot-kernel"), method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k != "Date"} == {
        k: v for k, v in whole.headers.items() if k != "Date"
    }


def test_a_head_of_a_cold_file_fetches_nothing(cloud: clouds.Cloud) -> None:
    region = cloud.region(NEW)
    rack = cloud.rack(region)
    head = clouds.get(rack, NEW.path("boot-kernel"), method="HEAD")
    assert head.headers["Content-Length"] == str(SIZE)
    assert region.asked == []


def test_a_name_without_version_redirects_to_the_newest(rack: clouds.Rack) -> None:
    got = ask(rack, NEW.path("boot-kernel", version=False))
    assert got.status == 307
    assert got.headers["Location"] == NEW.path("boot-kernel")
    assert got.headers["Cache-Control"] == "no-cache"


def test_the_older_version_is_served_under_its_own_name(rack: clouds.Rack) -> None:
    assert ask(rack, OLD.path("boot-kernel")).body == OLD_KERNEL


def test_a_boot_never_mixes_versions(rack: clouds.Rack) -> None:
    # Only the older version has an initrd: without a version the newest one is meant, and that
    # has none.
    assert ask(rack, NEW.path("boot-initrd", version=False)).status == 404


@pytest.mark.parametrize("label", ["a", "a/b", "ubuntu/amd64/ga-24.04/noble/stable"])
def test_an_object_is_served_under_any_labels(rack: clouds.Rack, label: str) -> None:
    got = ask(rack, f"/images/{clouds.name_of(KERNEL)}/{label}/boot-kernel")
    assert (got.status, got.body) == (200, KERNEL)


@pytest.mark.parametrize(
    "path",
    [
        NEW.path("no-such-file"),
        "/images/ubuntu",
        f"/images/{'0' * 64}/ubuntu/boot-kernel",
        "/images/../../../etc/passwd",
        "/images/%2e%2e/%2e%2e/cache.json",
        "/images//boot-kernel",
        "/images/%00",
        "/images/%ff%fe",
        "/images/" + "a/" * 3000,
    ],
)
def test_what_is_not_there_is_a_404_in_plain_words(rack: clouds.Rack, path: str) -> None:
    got = ask(rack, path)
    assert got.status == 404
    assert got.text.startswith("no available image has the ")
    assert got.text.endswith("\n")
    assert got.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/", "/cache.json", "/objects/" + "0" * 64, "/status"])
def test_nothing_but_images_is_served(rack: clouds.Rack, path: str) -> None:
    assert ask(rack, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_machines_can_only_read(rack: clouds.Rack, method: str) -> None:
    assert clouds.get(rack, NEW.path("boot-kernel"), method=method).status == 405


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-", 5, SIZE - 1),
        ("bytes=-7", SIZE - 7, SIZE - 1),
        (f"bytes={MIB - 1}-{MIB}", MIB - 1, MIB),
        (f"bytes=10-{SIZE + 99}", 10, SIZE - 1),
        (f"bytes=-{SIZE + 99}", 0, SIZE - 1),
    ],
)
def test_a_range_is_answered_with_exactly_its_bytes(
    rack: clouds.Rack, asked: str, first: int, last: int
) -> None:
    got = ask(rack, NEW.path("boot-kernel"), Range=asked)
    assert (got.status, got.body) == (206, KERNEL[first : last + 1])
    assert got.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", f"bytes={SIZE + 5}-{SIZE + 9}"])
def test_a_range_beyond_the_end_is_a_416(rack: clouds.Rack, asked: str) -> None:
    got = ask(rack, NEW.path("boot-kernel"), Range=asked)
    assert (got.status, got.body) == (416, b"")
    assert got.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("asked", ["bytes=9-5", "lines=0-1", "bytes=0-1,4-5", "bytes=a-b", "-"])
def test_a_range_that_is_none_is_answered_with_the_whole(rack: clouds.Rack, asked: str) -> None:
    got = ask(rack, NEW.path("boot-kernel"), Range=asked)
    assert (got.status, len(got.body)) == (200, SIZE)


@pytest.mark.parametrize("known", [TAG, f'"other", {TAG}', f"W/{TAG}", "*"])
def test_what_a_machine_has_already_is_not_sent(rack: clouds.Rack, known: str) -> None:
    got = ask(rack, NEW.path("boot-kernel"), If_None_Match=known)
    assert (got.status, got.body) == (304, b"")
    assert got.headers["ETag"] == TAG


def test_what_a_machine_has_of_another_object_is_no_condition(rack: clouds.Rack) -> None:
    assert ask(rack, NEW.path("boot-kernel"), If_None_Match='"other"').body == KERNEL


def test_a_resumed_transfer_of_the_same_object_goes_on(rack: clouds.Rack) -> None:
    got = ask(rack, NEW.path("boot-kernel"), Range="bytes=100-", If_Range=TAG)
    assert (got.status, got.body) == (206, KERNEL[100:])


def test_a_resumed_transfer_of_another_object_begins_anew(rack: clouds.Rack) -> None:
    got = ask(rack, NEW.path("boot-kernel"), Range="bytes=100-", If_Range='"other"')
    assert (got.status, got.body) == (200, KERNEL)


def test_an_empty_file_is_a_file(rack: clouds.Rack) -> None:
    got = ask(rack, NEW.path("empty"))
    assert (got.status, got.body, got.headers["Content-Length"]) == (200, b"", "0")
    assert ask(rack, NEW.path("empty"), Range="bytes=0-").status == 416


def test_one_connection_carries_many_requests(rack: clouds.Rack) -> None:
    machine = clouds.Machine(rack)
    machine.ask(NEW.path("boot-kernel", version=False))
    assert machine.rest().status == 307
    machine.ask(NEW.path("boot-kernel"))
    port = machine.local_port
    assert machine.rest().body == KERNEL
    machine.ask(NEW.path("no-such-file"))
    assert machine.rest().status == 404
    machine.ask(NEW.path("boot-kernel"), headers={"If-None-Match": TAG})
    assert machine.rest().status == 304
    machine.ask(NEW.path("boot-kernel"), headers={"Range": f"bytes={SIZE}-"})
    assert machine.rest().status == 416
    machine.ask(NEW.path("boot-kernel"), headers={"Range": "bytes=1-3"})
    assert machine.rest().body == KERNEL[1:4]
    machine.ask(NEW.path("boot-kernel"), method="HEAD")
    assert machine.rest().body == b""
    machine.ask(NEW.path("empty"))
    assert machine.rest().status == 200
    assert machine.local_port == port
    machine.close()


def test_a_new_version_is_known_at_once(cloud: clouds.Cloud) -> None:
    region = cloud.region(OLD)
    rack = cloud.rack(region)
    assert ask(rack, OLD.path("boot-kernel", version=False)).headers["Location"] == OLD.path(
        "boot-kernel"
    )
    region.offer(NEW, OLD)
    rack.wait_for_epoch(region.images["epoch"])
    assert ask(rack, OLD.path("boot-kernel", version=False)).headers["Location"] == NEW.path(
        "boot-kernel"
    )


def test_before_the_first_list_a_machine_is_told_to_come_back(cloud: clouds.Cloud) -> None:
    region = cloud.region()
    region.kill()
    rack = cloud.rack(region, known=False)
    for path in (NEW.path("boot-kernel"), f"/images/{'0' * 64}/a/boot-kernel"):
        got = ask(rack, path)
        assert (got.status, got.headers["Retry-After"]) == (503, "5")
        assert "not yet heard from a region" in got.text


def test_a_path_that_is_not_text_is_no_error_of_the_rack(rack: clouds.Rack) -> None:
    with clouds.raw_connection(rack) as machine:
        machine.sendall(b"GET /images/\xff\xfe HTTP/1.1\r\nHost: rack\r\n\r\n")
        assert machine.recv(100).split()[1] in (b"400", b"404")
