"""Who gets through the plane port's door, on both ends; what is said of those who do not.

Each is refused, and seen: in the log, in the metrics, and as a notice in the status.
"""

import contextlib
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boot_resources.plane import members, tls
from boot_resources.service import logs, refusals
from support import cloud as clouds
from support import forgeries, plane_region, real_region, wire

REGION, RACK, OPERATOR = members.Role
HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: region\r\nConnection: close\r\n\r\n"
Forge = Callable[[plane_region.Cluster, Path], tls.Identity | None]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real_region.World]:
    with pytest.MonkeyPatch.context() as patched:
        # Each test wants to see its own lines.
        patched.setattr(refusals, "LINES", 1_000_000)
        with real_region.begin(tmp_path_factory.mktemp("world")) as world:
            yield world


def says(port: int, context: ssl.SSLContext, request: bytes = HEALTH) -> bytes:
    """Connect and ask; return all that came. A refusal in the handshake is an empty answer."""
    plain = clouds.raw_connection(port)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with plain, contextlib.suppress(ssl.SSLError, ConnectionError):
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
            return wire.exchange(wrapped, request)
    return b""


def counted(world: real_region.World, reason: refusals.Reason) -> int:
    """Return what the metrics count as refused for that reason."""
    url = f"http://127.0.0.1:{world.region.settings.metrics.port}/metrics"
    with urllib.request.urlopen(url, timeout=clouds.PATIENCE) as reply:
        text = reply.read().decode()
    name = f'boot_resources_plane_refused_total{{reason="{reason}"}} '
    (line,) = (line for line in text.splitlines() if line.startswith(name))
    return int(float(line.removeprefix(name)))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log would have, as a terminal would get it."""
    written = logs.OneLine("%(levelname)s %(message)s")
    return [written.format(record) for record in list(caplog.records)]


def a_stranger(_: plane_region.Cluster, directory: Path) -> tls.Identity:
    return plane_region.Cluster(directory / "stranger", "test-authority").rack()


FORGERIES: dict[str, tuple[Forge, refusals.Reason, str]] = {
    "none": (
        lambda cluster, _: None,
        refusals.Reason.HANDSHAKE,
        "peer did not return a certificate",
    ),
    "a stranger's": (a_stranger, refusals.Reason.HANDSHAKE, "does not count"),
    "self-signed with the right names": (
        lambda cluster, _: forgeries.named(cluster, "rack-0", "rack", signed=False),
        refusals.Reason.HANDSHAKE,
        "self-signed certificate",
    ),
    "expired": (
        lambda cluster, _: forgeries.dated(cluster, "late", RACK, -20),
        refusals.Reason.HANDSHAKE,
        "certificate has expired",
    ),
    "not yet valid": (
        lambda cluster, _: forgeries.dated(cluster, "early", RACK, +20),
        refusals.Reason.HANDSHAKE,
        "certificate is not yet valid",
    ),
    "not in the list": (
        lambda cluster, _: cluster.identity("rack-9", RACK, enrolled=False),
        refusals.Reason.MEMBER,
        "its key is not in the member list (the certificate says 'rack-9')",
    ),
    "in the list as a rack, by its own word a region": (
        lambda cluster, _: promoted(cluster, "rack-8", "region"),
        refusals.Reason.MEMBER,
        "rack-8 is a rack in the member list, but its certificate says 'region'",
    ),
    "in the list as a rack, by its own word an operator": (
        lambda cluster, _: promoted(cluster, "rack-7", "operator"),
        refusals.Reason.MEMBER,
        "rack-7 is a rack in the member list, but its certificate says 'operator'",
    ),
    "a name with a line feed": (
        lambda cluster, _: forgeries.named(cluster, "x\nERROR all is lost\x1b[2J", "rack"),
        refusals.Reason.MEMBER,
        r"'x\nERROR all is lost\x1b[2J'",
    ),
}


def promoted(cluster: plane_region.Cluster, name: str, role: str) -> tls.Identity:
    """Enter a key in the list as a rack's, and have a certificate that says more of it."""
    identity = forgeries.named(cluster, name, role)
    shown = ssl.PEM_cert_to_DER_cert(identity.certificate.read_text())
    rack = members.Member(name, RACK, members.fingerprint(shown))
    members.update(cluster.list_path, lambda listed: listed.with_member(rack))
    return identity


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_certificate_that_does_not_count_is_refused_and_seen(
    world: real_region.World, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    forge, reason, why = FORGERIES[kind]
    shown = forge(world.cluster, tmp_path)
    before = counted(world, reason)
    said = says(world.region.port, forgeries.client(world.cluster.trust, shown))
    if reason is refusals.Reason.MEMBER:
        (answer,) = wire.answers(said)
        assert answer.status == 403
    else:
        assert said == b""
    clouds.wait_until(lambda: counted(world, reason) > before)
    (line,) = (line for line in lines(caplog) if why in line)
    assert line.startswith("WARNING refused 127.0.0.1 at the plane port: ")
    assert line.isprintable()
    last = world.region.status()["refused"]["last"]
    assert (last["who"], last["reason"]) == ("127.0.0.1", reason)
    assert why in last["why"]
    clouds.wait_until(lambda: f"refused-{reason}" in noticed(world))


def noticed(world: real_region.World) -> dict[str, str]:
    """Return the notices about who was refused: their texts by their keys."""
    found = world.region.status()["notices"]
    return {each["key"]: each["text"] for each in found if each["scope"] == refusals.SCOPE}


def test_a_path_cannot_write_a_line_of_the_log(
    world: real_region.World, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = world.cluster.identity("rack-6", RACK, enrolled=False)
    path = b"/v1/%0aERROR%20all%20is%20lost%0d%1b[2J%e2%80%ae"
    said = says(
        world.region.port,
        forgeries.client(world.cluster.trust, stranger),
        HEALTH.replace(b"/v1/health", path),
    )
    assert wire.answers(said)[0].status == 403
    assert any("all is lost" in line for line in lines(caplog))
    assert all(line.isprintable() for line in lines(caplog))


def hello(version: int) -> bytes:
    """Return a ClientHello of an old version, with suites that were weak even then."""
    suites = bytes.fromhex("0004 0005 000a 002f 0035 0009 0003")
    body = version.to_bytes(2, "big") + b"\x11" * 32 + b"\x00"
    body += len(suites).to_bytes(2, "big") + suites + b"\x01\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


NO_TLS = {
    "SSL 3.0": hello(0x0300),
    "TLS 1.0": hello(0x0301),
    "TLS 1.1": hello(0x0302),
    "TLS 1.2 with weak suites": hello(0x0303),
    "plain HTTP": HEALTH,
    "a proxy's question": b"CONNECT region:5290 HTTP/1.1\r\n\r\n",
    "noise": bytes(range(256)) * 8,
    "a record that is too long": b"\x16\x03\x03\xff\xff" + b"\x00" * 70000,
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "data before the handshake": b"\x17\x03\x03\x00\x05hello",
}


@pytest.mark.parametrize("kind", NO_TLS)
def test_what_is_no_handshake_of_ours_is_refused_and_seen(
    world: real_region.World, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    before = counted(world, refusals.Reason.HANDSHAKE)
    said = wire.exchange(clouds.raw_connection(world.region.port), NO_TLS[kind])
    # An alert at most (RFC 8446, 5.1: 15 is its type).
    assert said == b"" or said[0] == 0x15
    clouds.wait_until(lambda: counted(world, refusals.Reason.HANDSHAKE) > before)
    assert [line for line in lines(caplog) if not line.isprintable()] == []
    with world.member() as member:
        assert member.get("/v1/health").status == 200


def test_tls_1_2_is_refused_whatever_its_certificate(world: real_region.World) -> None:
    context = forgeries.client(world.cluster.trust, world.cluster.rack())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert says(world.region.port, context) == b""
    assert b" 200 " in says(
        world.region.port, forgeries.client(world.cluster.trust, world.cluster.rack())
    )


@pytest.mark.parametrize("names", [["h2"], ["h2", "http/1.1"], ["http/0.9"], ["x" * 255]])
def test_a_wish_for_another_protocol_changes_nothing(
    world: real_region.World, names: list[str]
) -> None:
    context = forgeries.client(world.cluster.trust, world.cluster.rack())
    said = says(world.region.port, forgeries.protocols(context, names))
    assert wire.answers(said)[0].status == 200


@pytest.mark.parametrize("kind", ["noise", "a second hello"])
def test_what_does_not_belong_into_an_open_connection_ends_it(
    world: real_region.World, kind: str
) -> None:
    plain = clouds.raw_connection(world.region.port)
    context = forgeries.client(world.cluster.trust, world.cluster.rack())
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
        wrapped.sendall(HEALTH.replace(b"Connection: close\r\n", b""))
        assert wrapped.recv(9) == b"HTTP/1.1 "
        # Below TLS, which would encrypt it.
        os.write(wrapped.fileno(), hello(0x0303) if kind == "a second hello" else b"x" * 999)
        wire.rest(wrapped)
    with world.member() as member:
        assert member.get("/v1/health").status == 200


def test_a_member_list_of_garbage_changes_nothing_and_is_said(world: real_region.World) -> None:
    listed = world.cluster.list_path.read_bytes()
    with world.member() as member:
        assert member.get("/v1/health").status == 200
        for garbage in (b"", b"\x00\xff" * 999, b'{"format": 1, "members": null}', b"[" * 99999):
            world.cluster.list_path.write_bytes(garbage)
            assert member.get("/v1/health").status == 200
        clouds.wait_until(
            lambda: any(each["scope"] == "members" for each in world.region.status()["notices"])
        )
        world.cluster.list_path.write_bytes(listed)
        clouds.wait_until(
            lambda: all(each["scope"] != "members" for each in world.region.status()["notices"])
        )


def test_a_member_that_leaves_is_cut_off_in_the_middle_of_a_long_transfer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(real_region, "SIZE", 48 * 1024 * 1024)
    with real_region.begin(tmp_path) as world:
        name, content = max(world.objects.items(), key=lambda each: len(each[1]))
        plain = clouds.raw_connection(world.region.port)
        context = forgeries.client(world.cluster.trust, world.cluster.rack("rack-5"))
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as leaving:
            leaving.sendall(f"GET /v1/objects/{name} HTTP/1.1\r\nHost: r\r\n\r\n".encode())
            assert leaving.recv(9) == b"HTTP/1.1 "
            world.cluster.authority.expel("rack-5")
            clouds.wait_until(lambda: any("cut a connection" in line for line in lines(caplog)))
            assert len(wire.rest(leaving)) < len(content)
        with world.member("rack-6") as other:
            assert other.get(f"/v1/objects/{name}").body == content


IMPOSTORS: dict[str, Callable[[plane_region.Cluster, Path], tls.Identity]] = {
    "a rack": lambda cluster, _: cluster.identity("rack-1", RACK, ["127.0.0.1"]),
    "a rack whose certificate says region": lambda cluster, _: promoted(
        cluster, "rack-1", "region"
    ),
    "a region of another address": lambda cluster, _: cluster.identity(
        "region-1", REGION, ["192.0.2.1"]
    ),
    "a region of another cluster": lambda cluster, directory: plane_region.Cluster(
        directory / "other", "test-authority"
    ).region(),
    "nobody, by its own word": lambda cluster, _: forgeries.named(
        cluster, "region-0", "region", signed=False
    ),
    "a region whose time is over": lambda cluster, _: forgeries.dated(
        cluster, "region-0", REGION, -20
    ),
    "a region that is not in the list": lambda cluster, _: cluster.identity(
        "region-1", REGION, ["127.0.0.1"], enrolled=False
    ),
}


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_a_rack_asks_nothing_of_an_impostor_and_says_so(tmp_path: Path, kind: str) -> None:
    with clouds.Cloud(tmp_path) as cloud:
        shown = IMPOSTORS[kind](cloud.members, tmp_path)
        with plane_region.PlaneRegion(forgeries.server(shown)) as impostor:
            rack = cloud.rack_of([impostor.address])
            clouds.wait_until(lambda: notices_of(rack))
            assert "is not trusted" in notices_of(rack)
            assert clouds.get(rack, "/images/any").status == 503
            assert impostor.requests == []
            rack.stop()


def notices_of(rack: clouds.Rack) -> str:
    return " ".join(each["text"] for each in rack.status()["notices"])


def test_tls_on_the_machines_port_is_answered_with_plain_words(tmp_path: Path) -> None:
    with clouds.Cloud(tmp_path) as cloud:
        rack = cloud.rack(cloud.region(clouds.Image({"boot-kernel": b"kernel"})))
        (answer,) = wire.answers(wire.exchange(clouds.raw_connection(rack), hello(0x0303)))
        assert answer.status == 400
        assert rack.status()["refused"]["request"] == 1


def test_a_flood_of_refusals_is_no_flood_of_the_log(
    world: real_region.World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "LINES", 5)
    monkeypatch.setattr(refusals, "WINDOW", 10_000.0)
    before = counted(world, refusals.Reason.HANDSHAKE)
    # The present window began with another bound: its lines are all used up.
    caplog.clear()
    for _ in range(200):
        wire.exchange(clouds.raw_connection(world.region.port), HEALTH)
    clouds.wait_until(lambda: counted(world, refusals.Reason.HANDSHAKE) == before + 200)
    about = [line for line in lines(caplog) if "refused" in line and "plane port" in line]
    assert len(about) <= 6
