"""Who may speak on the plane port, and who may not."""

import datetime
import ssl
import threading
from collections.abc import Collection
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from boot_resources.plane import authority, certificates, keys, members, tls
from boot_resources.region import serving
from support import cloud, on_thread, plane_region, real_region

REFUSED = (ssl.SSLError, ConnectionError)


def test_a_region_a_rack_and_an_operator_may_ask(world: real_region.World) -> None:
    for name, role in (
        ("region-1", members.Role.REGION),
        ("rack-7", members.Role.RACK),
        ("alice", members.Role.OPERATOR),
    ):
        identity = world.cluster.identity(name, role, ["127.0.0.1"])
        with real_region.Member(world.region.port, identity) as member:
            assert member.get("/v1/health").status == 200


def test_without_a_certificate_nobody_is_heard(world: real_region.World) -> None:
    with real_region.Member(world.region.port, None, world.cluster.trust) as member:
        with pytest.raises(REFUSED):
            member.get("/v1/health")


def test_a_strangers_certificate_is_refused(world: real_region.World, tmp_path: Path) -> None:
    stranger = plane_region.Cluster(tmp_path / "stranger").rack()
    trusting = tls.Identity(stranger.certificate, stranger.key, stranger.authority)
    context = ssl.create_default_context(cafile=world.cluster.trust)
    context.load_cert_chain(trusting.certificate, trusting.key)
    with real_region.Member(world.region.port, None, world.cluster.trust) as member:
        member.use(context)
        with pytest.raises(REFUSED):
            member.get("/v1/health")


def test_an_expired_certificate_is_refused(world: real_region.World, tmp_path: Path) -> None:
    key = tmp_path / "late.key"
    public = keys.read_public(keys.public_of(key))
    signer = keys.load(world.cluster.directory / "authority" / authority.KEY)
    issuer = x509.load_pem_x509_certificate(world.cluster.trust.read_bytes())
    last_year = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=400)
    expired = certificates.of_member(
        issuer,
        signer,
        name="late",
        role=members.Role.RACK,
        addresses=(),
        key=public,
        now=last_year,
        days=30,
    )
    world.cluster.authority.enrol("late", members.Role.RACK, (), public_key=keys.public_of(key))
    certificate = tmp_path / "late.crt"
    certificate.write_bytes(expired.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(cafile=world.cluster.trust)
    context.load_cert_chain(certificate, key)
    with real_region.Member(world.region.port, None, world.cluster.trust) as member:
        member.use(context)
        with pytest.raises(REFUSED):
            member.get("/v1/health")


def test_a_good_certificate_that_is_not_in_the_list_is_refused_by_name(
    world: real_region.World,
) -> None:
    identity = world.cluster.identity("rack-9", members.Role.RACK, enrolled=False)
    with real_region.Member(world.region.port, identity) as member:
        got = member.get("/v1/images")
    assert got.status == 403
    said = cloud.document(got)
    assert "its key is not in the member list" in said["error"]
    assert "boot-resources ca issue" in said["cure"]


def test_a_member_that_leaves_is_cut_off(world: real_region.World) -> None:
    with world.member("rack-5") as idle, world.member("rack-6") as other:
        assert idle.get("/v1/health").status == 200
        assert other.get("/v1/health").status == 200
        world.cluster.authority.expel("rack-5")
        idle.wait_for_the_end()
        assert other.get("/v1/health").status == 200


def test_a_member_that_leaves_is_cut_off_in_the_middle_of_a_long_poll(
    world: real_region.World,
) -> None:
    with world.member("rack-5") as member, world.member("rack-6") as other:
        epoch = cloud.document(member.get("/v1/images"))["epoch"]
        member.send(f"/v1/images?since={epoch}&wait=60")
        # Once later questions of others are answered, this one is being looked after.
        for _ in range(3):
            other.get("/v1/health")
        world.cluster.authority.expel("rack-5")
        member.wait_for_the_end()


def test_a_defect_while_members_are_watched_does_not_end_the_watch(
    world: real_region.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    current, failed = members.MemberFile.current, threading.Event()

    def fail_once(file: members.MemberFile) -> members.Members:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("a defect")
        return current(file)

    with world.member("rack-5") as member:
        assert member.get("/v1/health").status == 200
        monkeypatch.setattr(members.MemberFile, "current", fail_once)
        assert failed.wait(on_thread.PATIENCE)
        world.cluster.authority.expel("rack-5")
        member.wait_for_the_end()


def test_open_connections_are_looked_at_once_for_each_list(
    world: real_region.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    current, admit = members.MemberFile.current, members.Members.admit
    turns, looks = [], []

    def count_turn(file: members.MemberFile) -> members.Members:
        turns.append(file)
        return current(file)

    def count_look(
        listed: members.Members, shown: bytes, roles: Collection[members.Role]
    ) -> members.Member:
        looks.append(shown)
        return admit(listed, shown, roles)

    with world.member("rack-5") as member:
        assert member.get("/v1/health").status == 200
        monkeypatch.setattr(serving, "_WATCH_SECONDS", 0.01)
        monkeypatch.setattr(members.MemberFile, "current", count_turn)
        monkeypatch.setattr(members.Members, "admit", count_look)
        on_thread.wait_until(lambda: len(turns) > 20)
    assert len(looks) == len(set(looks))


def test_a_refused_connection_is_refused_with_every_request(world: real_region.World) -> None:
    with world.member("rack-5") as member:
        assert member.get("/v1/health").status == 200
        listed = world.cluster.list_path.read_bytes()
        world.cluster.authority.expel("rack-5")
        assert member.get("/v1/health").status == 403
        world.cluster.list_path.write_bytes(listed)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_members_can_only_read(world: real_region.World, method: str) -> None:
    with world.member() as member:
        assert member.get("/v1/images", method=method).status == 405


def test_plain_http_is_not_answered(world: real_region.World) -> None:
    with cloud.raw_connection(world.region.port) as stranger:
        stranger.sendall(b"GET /v1/health HTTP/1.1\r\nHost: region\r\n\r\n")
        try:
            said = stranger.recv(100)
        except ConnectionError:
            said = b""
        assert not said.startswith(b"HTTP")
