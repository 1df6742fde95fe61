"""The doors: who gets in, on both ends of a real TLS connection."""

import contextlib
import datetime
import pathlib
import socket
import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from boot_resources import units
from boot_resources.plane import authority, certificates, client, keys, members, tls
from support import plane_region

REGION, RACK, OPERATOR = members.Role


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> plane_region.Cluster:
    return plane_region.Cluster(tmp_path / "cluster")


@pytest.fixture
def region(cluster: plane_region.Cluster) -> Iterator[plane_region.PlaneRegion]:
    with plane_region.PlaneRegion(tls.server_context(cluster.region())) as region:
        yield region


def ask(
    address: str, identity: tls.Identity, member_file: members.MemberFile | None
) -> client.RegionError | None:
    """Ask for health; return how that was refused, None where it was not."""
    with contextlib.closing(client.RegionClient(address, identity, member_file)) as asking:
        try:
            asking.health()
        except client.RegionError as error:
            refusal = error
        else:
            return None
    assert refusal.cure
    assert "\n" not in str(refusal)
    return refusal


def raw_answer(context: ssl.SSLContext, region: plane_region.PlaneRegion) -> bytes:
    """Ask for health with a context of the test's own; return what came back."""
    with socket.create_connection(("127.0.0.1", region.port), timeout=10) as connection:
        with context.wrap_socket(connection, server_hostname="127.0.0.1") as wrapped:
            with contextlib.suppress(ssl.SSLEOFError, ConnectionError):
                wrapped.sendall(b"GET /v1/health HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n")
            return wrapped.recv(65536)


def bare_context(cluster: plane_region.Cluster) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cluster.trust)
    return context


def bare_server(identity: tls.Identity) -> ssl.SSLContext:
    """Return what a stranger would run: any certificate, and nobody is asked for theirs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def dated(
    cluster: plane_region.Cluster, name: str, role: members.Role, issued: datetime.datetime
) -> tls.Identity:
    """Issue a certificate as if it were another day; it is valid for ten days."""
    directory = cluster.directory / "authority"
    key = cluster.directory / f"{name}.key"
    certificate = certificates.of_member(
        x509.load_pem_x509_certificate((directory / authority.CERTIFICATE).read_bytes()),
        keys.load(directory / authority.KEY),
        name=name,
        role=role,
        addresses=["127.0.0.1"],
        key=keys.read_public(keys.public_of(key)),
        now=issued,
        days=10,
    )
    path = cluster.directory / f"{name}.crt"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return tls.Identity(path, key, cluster.trust)


def test_a_rack_and_its_region_recognise_one_another(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    rack = cluster.rack()
    region.member_file = cluster.member_file()
    assert ask(region.address, rack, cluster.member_file()) is None


def test_no_certificate_no_answer(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        raw_answer(bare_context(cluster), region)
    assert region.requests == []


def test_a_strangers_certificate_gets_no_answer(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion, tmp_path: pathlib.Path
) -> None:
    stranger = plane_region.Cluster(tmp_path / "stranger", "test-authority")
    identity = stranger.rack()
    context = bare_context(cluster)
    context.load_cert_chain(identity.certificate, identity.key)
    with pytest.raises(ssl.SSLError, match="ALERT"):
        raw_answer(context, region)
    assert region.requests == []


@pytest.mark.parametrize("days", [-20, +20], ids=["expired", "not yet valid"])
def test_a_certificate_out_of_its_time_gets_no_answer(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion, days: int
) -> None:
    when = units.utc_now() + datetime.timedelta(days=days)
    identity = dated(cluster, "rack-old", RACK, when)
    context = bare_context(cluster)
    context.load_cert_chain(identity.certificate, identity.key)
    with pytest.raises(ssl.SSLError, match="ALERT"):
        raw_answer(context, region)
    assert region.requests == []


def test_a_controller_with_an_expired_certificate_says_so_itself(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    long_ago = units.utc_now() - datetime.timedelta(days=20)
    identity = dated(cluster, "rack-old", RACK, long_ago)
    with pytest.raises(tls.IdentityUnusable, match="expired"):
        client.RegionClient(region.address, identity, cluster.member_file())


def test_tls_12_is_refused(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    identity = cluster.rack()
    context = bare_context(cluster)
    context.load_cert_chain(identity.certificate, identity.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        raw_answer(context, region)


def test_no_session_is_resumed_so_the_chain_is_always_looked_at(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    identity = cluster.rack()
    context = bare_context(cluster)
    context.load_cert_chain(identity.certificate, identity.key)
    address = ("127.0.0.1", region.port)
    with socket.create_connection(address, timeout=10) as connection:
        with context.wrap_socket(connection, server_hostname="127.0.0.1") as wrapped:
            wrapped.sendall(b"GET /v1/health HTTP/1.1\r\nHost: r\r\n\r\n")
            assert wrapped.recv(65536)
            session = wrapped.session
    assert session is None or not session.has_ticket
    with socket.create_connection(address, timeout=10) as connection:
        with context.wrap_socket(
            connection, server_hostname="127.0.0.1", session=session
        ) as wrapped:
            assert not wrapped.session_reused


def test_a_racks_certificate_used_as_a_server_is_not_trusted(
    cluster: plane_region.Cluster,
) -> None:
    rack = cluster.identity("rack-1", RACK, ["127.0.0.1"])
    with plane_region.PlaneRegion(bare_server(rack)) as imposter:
        for member_file in (cluster.member_file(), None):
            error = ask(imposter.address, cluster.rack(), member_file)
            assert isinstance(error, client.RegionNotTrusted)
            assert "purpose" in str(error)
    assert imposter.requests == []


def test_without_a_member_list_the_certificate_must_say_that_it_is_a_regions(
    cluster: plane_region.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A careless authority: it lets a rack's certificate be used by a server."""
    careless = certificates._EXTENDED_USE | {RACK: certificates._EXTENDED_USE[REGION]}
    monkeypatch.setattr(certificates, "_EXTENDED_USE", careless)
    rack = cluster.identity("rack-1", RACK, ["127.0.0.1"])
    with plane_region.PlaneRegion(bare_server(rack)) as imposter:
        error = ask(imposter.address, cluster.rack(), None)
    assert isinstance(error, client.RegionNotTrusted)
    assert imposter.requests == []
    with plane_region.PlaneRegion(tls.server_context(cluster.region())) as region:
        assert ask(region.address, cluster.rack(), None) is None


def test_a_server_of_another_authority_is_not_trusted(
    cluster: plane_region.Cluster, tmp_path: pathlib.Path
) -> None:
    stranger = plane_region.Cluster(tmp_path / "stranger", "test-authority")
    with plane_region.PlaneRegion(bare_server(stranger.region())) as imposter:
        error = ask(imposter.address, cluster.rack(), cluster.member_file())
    assert isinstance(error, client.RegionNotTrusted)
    assert imposter.requests == []


def test_a_region_with_an_expired_certificate_is_not_trusted(
    cluster: plane_region.Cluster,
) -> None:
    long_ago = units.utc_now() - datetime.timedelta(days=20)
    expired = dated(cluster, "region-0", REGION, long_ago)
    with plane_region.PlaneRegion(bare_server(expired)) as region:
        error = ask(region.address, cluster.rack(), cluster.member_file())
    assert isinstance(error, client.RegionNotTrusted)
    assert "certificate has expired" in str(error)
    assert region.requests == []


@pytest.mark.parametrize("address", ["192.0.2.1", "region-0.example"])
def test_a_region_under_another_name_or_address_is_not_trusted(
    cluster: plane_region.Cluster, address: str
) -> None:
    elsewhere = cluster.identity("region-0", REGION, [address])
    with plane_region.PlaneRegion(tls.server_context(elsewhere)) as region:
        error = ask(region.address, cluster.rack(), cluster.member_file())
    assert isinstance(error, client.RegionNotTrusted)
    assert region.requests == []


def test_a_region_is_found_by_its_dns_name_and_by_its_ipv6_address(
    cluster: plane_region.Cluster,
) -> None:
    identity = cluster.identity("region-0", REGION, ["localhost", "::1"])
    rack = cluster.rack()
    with plane_region.PlaneRegion(tls.server_context(identity)) as region:
        assert ask(f"localhost:{region.port}", rack, cluster.member_file()) is None
    with plane_region.PlaneRegion(tls.server_context(identity), "::1") as region:
        assert ask(region.address, rack, cluster.member_file()) is None


def test_a_region_that_is_not_in_the_member_list_gets_no_request(
    cluster: plane_region.Cluster,
) -> None:
    unlisted = cluster.identity("region-9", REGION, ["127.0.0.1"], enrolled=False)
    with plane_region.PlaneRegion(tls.server_context(unlisted)) as region:
        error = ask(region.address, cluster.rack(), cluster.member_file())
    assert isinstance(error, client.RegionNotTrusted)
    assert tls.examine(unlisted).fingerprint in str(error)
    assert region.requests == []


def test_a_region_that_the_list_calls_a_rack_gets_no_request(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    listed = members.load(cluster.list_path).named("region-0")
    assert listed is not None
    as_rack = members.Member(listed.name, RACK, listed.fingerprint)
    members.update(cluster.list_path, lambda now: now.with_member(as_rack))
    error = ask(region.address, cluster.rack(), cluster.member_file())
    assert isinstance(error, client.RegionNotTrusted)
    assert region.requests == []


def test_a_region_that_left_the_list_gets_no_further_request_on_an_open_connection(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    asking = client.RegionClient(region.address, cluster.rack(), cluster.member_file())
    asking.health()
    cluster.authority.expel("region-0")
    with pytest.raises(client.RegionNotTrusted, match="not in the member list"):
        asking.health()
    asking.close()
    assert region.requests == ["/v1/health"]


def test_a_rack_just_removed_is_refused_on_its_open_connection_and_told_its_fingerprint(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion
) -> None:
    identity = cluster.rack()
    region.member_file = cluster.member_file()
    asking = client.RegionClient(region.address, identity, cluster.member_file())
    asking.health()
    cluster.authority.expel("rack-0")
    with pytest.raises(client.RegionRefused) as caught:
        asking.health()
    asking.close()
    assert region.connections == 1
    fingerprint = tls.examine(identity).fingerprint
    assert fingerprint in str(caught.value)
    assert [refusal.fingerprint for refusal in region.refusals] == [fingerprint]


@pytest.mark.parametrize("role", [REGION, OPERATOR])
def test_another_role_is_refused_where_only_racks_are_answered(
    cluster: plane_region.Cluster, region: plane_region.PlaneRegion, role: members.Role
) -> None:
    region.member_file = cluster.member_file()
    other = cluster.identity("other", role, ["127.0.0.1"])
    assert isinstance(ask(region.address, other, cluster.member_file()), client.RegionRefused)


def test_a_region_that_does_not_know_our_authority_is_a_refusal_with_our_fingerprint(
    cluster: plane_region.Cluster, tmp_path: pathlib.Path
) -> None:
    other = plane_region.Cluster(tmp_path / "other", "other-authority")
    cluster_region = cluster.region()
    with plane_region.PlaneRegion(tls.server_context(cluster_region)) as region:
        foreign = other.rack()
        both = tmp_path / "both.crt"
        both.write_bytes(cluster.trust.read_bytes() + other.trust.read_bytes())
        identity = tls.Identity(foreign.certificate, foreign.key, both)
        error = ask(region.address, identity, cluster.member_file())
    assert isinstance(error, client.RegionRefused)
    assert tls.examine(identity).fingerprint in str(error)


def test_an_authority_is_rotated_without_an_interruption(
    cluster: plane_region.Cluster, tmp_path: pathlib.Path
) -> None:
    """Trust old and new, reissue each in turn, drop the old: every step still talks."""
    region, rack = cluster.region(), cluster.rack()
    new = authority.Authority.create(tmp_path / "new", "test-authority")
    new.members_path.write_bytes(cluster.list_path.read_bytes())

    def talks() -> bool:
        with plane_region.PlaneRegion(tls.server_context(region)) as served:
            return ask(served.address, rack, members.MemberFile(new.members_path)) is None

    def reissue(identity: tls.Identity, name: str, role: members.Role) -> None:
        key = keys.public_of(identity.key)
        issued = new.enrol(name, role, ["127.0.0.1"], public_key=key)
        identity.certificate.write_bytes(issued.certificate_pem)

    assert talks()
    cluster.trust.write_bytes(new.trusted_with(cluster.trust.read_bytes()))
    assert talks()
    reissue(rack, "rack-0", RACK)
    assert talks()
    old_certificate = region.certificate.read_bytes()
    reissue(region, "region-0", REGION)
    assert talks()
    cluster.trust.write_bytes(new.certificate_pem)
    assert talks()

    (tmp_path / "old.crt").write_bytes(old_certificate)
    left_behind = tls.Identity(tmp_path / "old.crt", region.key, cluster.trust)
    with plane_region.PlaneRegion(bare_server(left_behind)) as served:
        error = ask(served.address, rack, members.MemberFile(new.members_path))
    assert isinstance(error, client.RegionNotTrusted)
