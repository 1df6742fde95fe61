"""Asking a region: what comes back is what was asked, or an error that says what it means."""

import hashlib
import pathlib
import random
import socket
import threading
from collections.abc import Callable, Generator, Iterator

import pytest

from boot_resources import units
from boot_resources.plane import client, connection, tls
from support import plane_region

PAYLOAD = random.Random(5290).randbytes(3 * units.MIB + 4321)
NAME = hashlib.sha256(PAYLOAD).hexdigest()
ABSENT = "0" * 64
Misbehave = Callable[[plane_region.Handler], bool]


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> plane_region.Cluster:
    return plane_region.Cluster(tmp_path / "cluster")


@pytest.fixture
def region(cluster: plane_region.Cluster) -> Iterator[plane_region.PlaneRegion]:
    with plane_region.PlaneRegion(tls.server_context(cluster.region())) as region:
        region.objects[NAME] = PAYLOAD
        region.maps[NAME] = b"a block map"
        yield region


@pytest.fixture
def asking(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> Iterator[client.RegionClient]:
    timeouts = client.Timeouts(connect=5, read=5)
    asking = client.RegionClient(region.address, cluster.rack(), cluster.member_file(), timeouts)
    yield asking
    asking.close()


def whole(asking: client.RegionClient, start: int, stop: int) -> bytes:
    return b"".join(asking.read(NAME, start, stop))


def collect(chunks: Iterator[bytes], into: bytearray) -> None:
    for chunk in chunks:
        into += chunk


def answers(status: int, body: bytes = b"", **headers: str) -> Misbehave:
    def misbehave(handler: plane_region.Handler) -> bool:
        handler.reply(status, body, **headers)
        return True

    return misbehave


def part(start: int, body: bytes, **headers: str) -> Misbehave:
    """Answer 206 with ``body``, said to begin at ``start``."""
    said = f"bytes {start}-{start + len(body) - 1}/{len(PAYLOAD)}"
    return answers(206, body, **({"Content_Range": said} | headers))


def test_health_is_what_the_region_says(asking: client.RegionClient) -> None:
    health = asking.health()
    assert (health.name, health.serving) == ("region-0", True)


def test_images_are_all_or_nothing_newer(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    first = asking.images(None, wait=0)
    assert first is not None
    assert first.epoch == 1
    assert asking.images(first.epoch, wait=20) is None
    region.images["epoch"] = 2
    second = asking.images(first.epoch, wait=0.5)
    assert second is not None
    assert second.epoch == 2
    assert region.requests == [
        "/v1/images?wait=0",
        "/v1/images?since=1&wait=20",
        "/v1/images?since=1&wait=0.5",
    ]


def test_nothing_newer_than_nothing_is_a_bad_reply(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    region.misbehave = answers(304)
    with pytest.raises(client.BadReply, match="status 304"):
        asking.images(None, wait=0)


def test_a_long_poll_may_be_silent_for_as_long_as_was_allowed(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    answered = threading.Event()

    def late(_handler: plane_region.Handler) -> bool:
        answered.wait(0.6)
        return False

    region.misbehave = late
    hasty = client.Timeouts(connect=5, read=0.2)
    asking = client.RegionClient(region.address, cluster.rack(), cluster.member_file(), hasty)
    assert asking.images(1, wait=10) is None
    with pytest.raises(client.RegionUnreachable, match="did not answer in time"):
        asking.health()
    asking.close()


def test_a_redirect_is_a_bad_reply_and_its_body_is_not_read(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    # Much is announced, and nothing comes: who reads it waits until the time is over.
    region.misbehave = answers(307, Location="https://region-1:5290/", Content_Length=str(2**40))
    hasty = client.Timeouts(connect=5, read=1)
    asking = client.RegionClient(region.address, cluster.rack(), cluster.member_file(), hasty)
    with pytest.raises(client.BadReply, match="status 307"):
        asking.health()
    asking.close()


@pytest.mark.parametrize(
    ("body", "says"),
    [(b"", "EOF"), (b"[]", "object"), (b'{"cluster": "c", "epoch": "x", "images": []}', "epoch")],
)
def test_images_that_are_none_are_a_bad_reply(
    asking: client.RegionClient, region: plane_region.PlaneRegion, body: bytes, says: str
) -> None:
    region.misbehave = answers(200, body)
    with pytest.raises(client.BadReply, match="no valid AvailableImages") as caught:
        asking.images(None, wait=0)
    assert says in str(caught.value)


def test_a_block_map_comes_as_it_is(asking: client.RegionClient) -> None:
    assert asking.block_map(NAME) == b"a block map"


def test_an_endless_block_map_is_cut_off(
    asking: client.RegionClient,
    region: plane_region.PlaneRegion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "MAX_BLOCK_MAP", 100_000)
    region.maps[NAME] = bytes(100_000)
    assert len(asking.block_map(NAME)) == 100_000
    region.maps[NAME] = bytes(100_001)
    with pytest.raises(client.BadReply, match="more than"):
        asking.block_map(NAME)


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, 1),
        (0, len(PAYLOAD)),
        (units.MIB, 2 * units.MIB),
        (units.MIB - 1, 2 * units.MIB + 1),
        (len(PAYLOAD) - 1, len(PAYLOAD)),
    ],
)
def test_a_read_gives_exactly_the_bytes_asked(
    asking: client.RegionClient, start: int, stop: int
) -> None:
    chunks = list(asking.read(NAME, start, stop))
    assert b"".join(chunks) == PAYLOAD[start:stop]
    assert all(len(chunk) == client.CHUNK for chunk in chunks[:-1])
    assert 0 < len(chunks[-1]) <= client.CHUNK


@pytest.mark.parametrize(("start", "stop"), [(5, 5), (5, 4), (-1, 4)])
def test_an_empty_or_backward_range_is_a_mistake_of_the_caller(
    asking: client.RegionClient, region: plane_region.PlaneRegion, start: int, stop: int
) -> None:
    with pytest.raises(ValueError, match="not a range"):
        whole(asking, start, stop)
    assert region.requests == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "a" * 63, ""])
def test_what_is_no_objects_name_is_never_sent(
    asking: client.RegionClient, region: plane_region.PlaneRegion, name: str
) -> None:
    with pytest.raises(ValueError, match="not a sha256"):
        asking.block_map(name)
    with pytest.raises(ValueError, match="not a sha256"):
        next(asking.read(name, 0, 1))
    assert region.requests == []


def test_an_object_that_the_region_does_not_offer_is_missing(
    asking: client.RegionClient,
) -> None:
    with pytest.raises(client.ObjectMissing, match=ABSENT):
        asking.block_map(ABSENT)
    with pytest.raises(client.ObjectMissing, match=ABSENT):
        next(asking.read(ABSENT, 0, 1))


@pytest.mark.parametrize(
    ("misbehave", "says"),
    [
        (answers(200, PAYLOAD[:10]), "status 200 where 206"),
        (answers(302, Location="https://127.0.0.1:1/"), "status 302"),
        (answers(416), "status 416"),
        (part(1, PAYLOAD[:10]), "the range 'bytes 1-10/"),
        (part(0, PAYLOAD[:9]), "the range 'bytes 0-8/"),
        (part(0, PAYLOAD[:11]), "the range 'bytes 0-10/"),
        (part(0, PAYLOAD[:10], Content_Range="bytes 0-9/9"), "the range"),
        (part(0, PAYLOAD[:10], Content_Range="bytes 0-9/x"), "the range"),
        (part(0, PAYLOAD[:10], Content_Range="items 0-9/10"), "the range"),
        (part(0, PAYLOAD[:10], Content_Length="11"), "'11' bytes where 10"),
        (part(0, PAYLOAD[:10], content_length="11"), "contradict themselves"),
        (part(0, PAYLOAD[:10], Content_Encoding="gzip"), "encoded its reply"),
    ],
)
def test_a_reply_that_is_not_what_was_asked_is_refused_before_its_first_byte(
    asking: client.RegionClient,
    region: plane_region.PlaneRegion,
    misbehave: Misbehave,
    says: str,
) -> None:
    region.misbehave = misbehave
    with pytest.raises(client.BadReply) as caught:
        whole(asking, 0, 10)
    assert says in str(caught.value)
    assert len(region.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_our_fingerprint(
    cluster: plane_region.Cluster,
    asking: client.RegionClient,
    region: plane_region.PlaneRegion,
    status: int,
) -> None:
    region.misbehave = answers(status, b"go away")
    with pytest.raises(client.RegionRefused) as caught:
        whole(asking, 0, 10)
    assert tls.examine(cluster.rack()).fingerprint in str(caught.value)


def test_a_region_that_cannot_serve_now_is_as_good_as_unreachable(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    region.misbehave = answers(503)
    with pytest.raises(client.RegionUnreachable, match="status 503"):
        asking.health()


def test_a_read_that_breaks_off_gives_what_came_and_then_the_error(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    came = 2 * units.MIB + 5000

    def cut(handler: plane_region.Handler) -> bool:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-{len(PAYLOAD) - 1}/{len(PAYLOAD)}")
        handler.send_header("Content-Length", str(len(PAYLOAD)))
        handler.end_headers()
        handler.wfile.write(PAYLOAD[:came])
        handler.close_connection = True
        return True

    region.misbehave = cut
    got = bytearray()
    with pytest.raises(client.RegionUnreachable, match="broke off"):
        collect(asking.read(NAME, 0, len(PAYLOAD)), got)
    assert got == PAYLOAD[: 2 * units.MIB], "a block cut short is not handed on"
    region.misbehave = None
    got += whole(asking, len(got), len(PAYLOAD))
    assert got == PAYLOAD


def test_a_region_that_falls_silent_in_mid_read_is_noticed(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    over = threading.Event()

    def stall(handler: plane_region.Handler) -> bool:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-{len(PAYLOAD) - 1}/{len(PAYLOAD)}")
        handler.send_header("Content-Length", str(len(PAYLOAD)))
        handler.end_headers()
        handler.wfile.write(PAYLOAD[: units.MIB])
        over.wait(10)
        handler.close_connection = True
        return True

    region.misbehave = stall
    hasty = client.Timeouts(connect=5, read=0.2)
    asking = client.RegionClient(region.address, cluster.rack(), cluster.member_file(), hasty)
    chunks = asking.read(NAME, 0, len(PAYLOAD))
    assert next(chunks) == PAYLOAD[: units.MIB]
    with pytest.raises(client.RegionUnreachable, match="did not answer in time"):
        next(chunks)
    over.set()
    asking.close()


def test_a_region_that_does_not_run_is_unreachable(cluster: plane_region.Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    asking = client.RegionClient(f"127.0.0.1:{port}", cluster.rack(), cluster.member_file())
    with pytest.raises(client.RegionUnreachable, match="Connection refused") as caught:
        asking.health()
    assert caught.value.exit_status == 3
    asking.close()


def test_a_region_that_accepts_and_says_nothing_is_noticed(cluster: plane_region.Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        asking = client.RegionClient(
            address, cluster.rack(), cluster.member_file(), client.Timeouts(connect=0.2)
        )
        with pytest.raises(client.RegionUnreachable, match="in time"):
            asking.health()
        asking.close()


def test_something_that_speaks_no_tls_is_unreachable(cluster: plane_region.Cluster) -> None:
    def answer_plainly(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_plainly, args=(server,))
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        asking = client.RegionClient(address, cluster.rack(), cluster.member_file())
        with pytest.raises(client.RegionUnreachable):
            asking.health()
        asking.close()
        thread.join()


def test_one_connection_serves_one_thing_after_another(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    asking.health()
    assert asking.images(1, wait=0) is None
    asking.images(None, wait=0)
    asking.block_map(NAME)
    with pytest.raises(client.ObjectMissing):
        asking.block_map(ABSENT)
    assert whole(asking, 0, len(PAYLOAD)) == PAYLOAD
    asking.health()
    assert region.connections == 1


def test_a_connection_that_the_region_closed_while_idle_is_no_error(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    def hang_up_once(handler: plane_region.Handler) -> bool:
        region.misbehave = None
        handler.close_connection = True
        return True

    asking.health()
    region.misbehave = hang_up_once
    asking.health()
    assert region.connections == 2


def test_who_hangs_up_does_not_ask_again(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    def hang_up(_: plane_region.Handler) -> bool:
        asking.hang_up()
        return False

    region.misbehave = hang_up
    with pytest.raises(client.RegionUnreachable):
        asking.images(None, wait=0)
    assert region.connections == 1


def test_a_read_given_up_closes_its_connection_and_the_next_has_its_own(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    chunks = asking.read(NAME, 0, len(PAYLOAD))
    next(chunks)
    assert isinstance(chunks, Generator)
    chunks.close()
    assert whole(asking, 7, 70) == PAYLOAD[7:70]
    assert region.connections == 2


def test_several_threads_read_through_one_client(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(10):
            start = rng.randrange(len(PAYLOAD) - 1)
            stop = rng.randrange(start + 1, len(PAYLOAD) + 1)
            if whole(asking, start, stop) != PAYLOAD[start:stop]:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(region.requests) == 60


def test_nothing_comes_in_through_the_environment(
    asking: client.RegionClient,
    region: plane_region.PlaneRegion,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    credentials: list[str | None] = []

    def watch(handler: plane_region.Handler) -> bool:
        credentials.append(handler.headers["Authorization"])
        return False

    region.misbehave = watch
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("NO_PROXY", "")
    assert asking.health().name == "region-0"
    assert credentials == [None]


def test_no_public_authority_ever_enters_our_context(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    context = tls.client_context(cluster.rack())
    with connection.open_session("127.0.0.1", region.port, context, lambda _: None) as session:
        assert session.get(f"https://{region.address}/v1/health").status_code == 200
    assert len(context.get_ca_certs()) == 1


def test_no_cookie_is_kept_and_no_encoding_asked_for(
    asking: client.RegionClient, region: plane_region.PlaneRegion
) -> None:
    seen: list[tuple[str | None, str | None]] = []

    def watch(handler: plane_region.Handler) -> bool:
        seen.append((handler.headers["Cookie"], handler.headers["Accept-Encoding"]))
        handler.reply(404, Set_Cookie="a=b; Path=/")
        return True

    region.misbehave = watch
    for _ in range(2):
        with pytest.raises(client.BadReply):
            asking.health()
    assert seen == [(None, "identity")] * 2
