"""An identity on disk is used whole, or refused in one line with its cure."""

import dataclasses
import datetime
import pathlib
import ssl

import pytest
from cryptography.hazmat.primitives import serialization

from boot_resources import units
from boot_resources.plane import authority, members, tls
from support import plane_region


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> plane_region.Cluster:
    return plane_region.Cluster(tmp_path)


def refusal(identity: tls.Identity, now: datetime.datetime | None = None) -> tls.IdentityUnusable:
    with pytest.raises(tls.IdentityUnusable) as caught:
        tls.examine(identity, now)
    assert "\n" not in str(caught.value)
    assert caught.value.cure
    return caught.value


def test_an_identity_says_who_it_is(cluster: plane_region.Cluster) -> None:
    me = tls.examine(cluster.rack("rack-3"))
    assert (me.name, me.role) == ("rack-3", members.Role.RACK)
    listed = members.load(cluster.list_path).named("rack-3")
    assert listed is not None
    assert listed.fingerprint == me.fingerprint


@pytest.mark.parametrize("field", ["certificate", "key", "authority"])
def test_a_missing_file_is_named(cluster: plane_region.Cluster, field: str) -> None:
    missing = cluster.directory / "none.pem"
    identity = dataclasses.replace(cluster.rack(), **{field: missing})
    error = refusal(identity)
    assert f"{missing}: No such file" in str(error)
    assert "boot-resources ca issue" in error.cure


@pytest.mark.parametrize("field", ["certificate", "key", "authority"])
@pytest.mark.parametrize("noise", [b"", b"noise", b"-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_a_file_that_is_something_else_is_named(
    cluster: plane_region.Cluster, field: str, noise: bytes
) -> None:
    path = cluster.directory / "noise.pem"
    path.write_bytes(noise)
    error = refusal(dataclasses.replace(cluster.rack(), **{field: path}))
    assert str(path) in str(error)


def test_a_key_of_another_certificate_is_refused_and_the_cure_names_the_member(
    cluster: plane_region.Cluster,
) -> None:
    mixed = dataclasses.replace(cluster.rack("rack-0"), key=cluster.rack("rack-1").key)
    error = refusal(mixed)
    assert "do not belong together" in str(error)
    assert error.cure == "boot-resources ca issue rack-0 --role rack"


def test_an_encrypted_key_is_refused_and_nobody_is_asked(cluster: plane_region.Cluster) -> None:
    identity = cluster.rack()
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    identity.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    assert "is encrypted" in str(refusal(identity))


def test_a_key_that_everyone_can_read_is_refused_and_one_for_a_group_is_not(
    cluster: plane_region.Cluster,
) -> None:
    identity = cluster.rack()
    identity.key.chmod(0o640)
    tls.examine(identity)
    identity.key.chmod(0o644)
    assert "everyone on this host can read" in str(refusal(identity))


def test_an_expired_certificate_is_refused_with_its_date(cluster: plane_region.Cluster) -> None:
    identity = cluster.rack()
    error = refusal(identity, units.utc_now() + datetime.timedelta(days=366))
    assert "expired at 20" in str(error)
    assert error.cure == "boot-resources ca issue rack-0 --role rack"


def test_a_certificate_of_the_future_points_to_the_clock(cluster: plane_region.Cluster) -> None:
    identity = cluster.rack()
    error = refusal(identity, units.utc_now() - datetime.timedelta(days=3))
    assert "not valid before" in str(error)
    assert "clock" in error.cure


def test_a_certificate_of_another_authority_is_refused(
    cluster: plane_region.Cluster, tmp_path: pathlib.Path
) -> None:
    other = plane_region.Cluster(tmp_path / "other")
    error = refusal(dataclasses.replace(cluster.rack(), authority=other.trust))
    assert "issued by none of the authorities" in str(error)


def test_a_certificate_without_a_role_is_refused(cluster: plane_region.Cluster) -> None:
    identity = cluster.rack()
    error = refusal(
        tls.Identity(
            cluster.trust, cluster.directory / "authority" / authority.KEY, identity.authority
        )
    )
    assert "names no role" in str(error)


def test_only_a_region_can_be_a_server(cluster: plane_region.Cluster) -> None:
    with pytest.raises(tls.IdentityUnusable, match="is for a rack; a region's is needed"):
        tls.server_context(cluster.rack())


def test_contexts_speak_tls_13_only_resume_nothing_and_trust_only_our_authority(
    cluster: plane_region.Cluster,
) -> None:
    server, client = tls.server_context(cluster.region()), tls.client_context(cluster.rack())
    for context in (server, client):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert len(context.get_ca_certs()) == 1
    assert server.num_tickets == 0
    assert client.check_hostname
