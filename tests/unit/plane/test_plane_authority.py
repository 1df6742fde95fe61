"""The authority: what it certifies, and what it refuses to."""

import datetime
import ipaddress
import os
import pathlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, types
from cryptography.x509 import oid

from boot_resources import units
from boot_resources.plane import authority, certificates, durable, keys, members

REGION, RACK, OPERATOR = members.Role
PEM = serialization.Encoding.PEM


@pytest.fixture
def signer(tmp_path: pathlib.Path) -> authority.Authority:
    return authority.Authority.create(tmp_path / "authority", "test")


def public(key: types.PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def some_key() -> bytes:
    return public(ec.generate_private_key(ec.SECP256R1()))


def read(issued: authority.Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.certificate_pem)


def uses(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def names(certificate: x509.Certificate) -> list[object]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [name.value for name in extension.value]


def test_an_authority_signs_members_only_and_keeps_its_key_to_itself(
    signer: authority.Authority,
) -> None:
    certificate = x509.load_pem_x509_certificate(signer.certificate_pem)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert signer.directory.stat().st_mode & 0o777 == 0o700
    assert (signer.directory / "authority.key").stat().st_mode & 0o777 == 0o600
    years = (certificate.not_valid_after_utc - units.utc_now()).days / 365
    assert 9.9 < years < 10.1
    assert members.load(signer.members_path) == members.Members()


def test_an_authority_is_not_made_twice(signer: authority.Authority) -> None:
    before = {path: path.read_bytes() for path in signer.directory.iterdir()}
    with pytest.raises(authority.AuthorityError, match=r"an authority in .* already"):
        authority.Authority.create(signer.directory, "other")
    assert {path: path.read_bytes() for path in signer.directory.iterdir()} == before


def test_an_authority_is_not_made_among_other_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "letter.txt").write_text("")
    mode = tmp_path.stat().st_mode
    with pytest.raises(authority.AuthorityError, match=r"letter\.txt"):
        authority.Authority.create(tmp_path, "test")
    assert tmp_path.stat().st_mode == mode


def test_an_empty_directory_that_others_can_enter_is_closed_to_them(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    made = authority.Authority.create(tmp_path / "open", "test")
    assert made.directory.stat().st_mode & 0o777 == 0o700


def test_an_interrupted_create_is_completed_with_the_same_key(tmp_path: pathlib.Path) -> None:
    key = keys.new(tmp_path / authority.KEY)
    made = authority.Authority.create(tmp_path, "test")
    certificate = x509.load_pem_x509_certificate(made.certificate_pem)
    assert certificate.public_key() == key.public_key()


@pytest.mark.parametrize("nth", range(1, 9))
def test_a_create_that_fails_at_any_write_can_be_run_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    calls = 0
    really = os.fsync

    def fail(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(5, "Input/output error")
        really(fd)

    monkeypatch.setattr(os, "fsync", fail)
    try:
        authority.Authority.create(tmp_path / "authority", "test")
    except durable.NotWritten:
        if not (tmp_path / "authority" / authority.CERTIFICATE).exists():
            authority.Authority.create(tmp_path / "authority", "test")
    else:
        assert nth == 8, "the last of the parameters is one more than there are writes"
    monkeypatch.undo()
    opened = authority.Authority.open(tmp_path / "authority")
    opened.enrol("rack-0", RACK, [], public_key=some_key())


def test_opening_what_is_not_there_says_how_to_make_it(tmp_path: pathlib.Path) -> None:
    with pytest.raises(authority.AuthorityError, match="no authority") as caught:
        authority.Authority.open(tmp_path)
    assert "ca create" in caught.value.cure


def test_an_authority_with_another_key_is_refused(signer: authority.Authority) -> None:
    (signer.directory / authority.KEY).unlink()
    keys.new(signer.directory / authority.KEY)
    with pytest.raises(authority.AuthorityError, match="do not belong together"):
        authority.Authority.open(signer.directory)


@pytest.mark.parametrize("name", [authority.KEY, authority.CERTIFICATE])
def test_an_authority_with_a_damaged_file_is_refused(
    signer: authority.Authority, name: str
) -> None:
    (signer.directory / name).write_text("noise")
    with pytest.raises((authority.AuthorityError, keys.KeyRefused)) as caught:
        authority.Authority.open(signer.directory)
    assert name in str(caught.value)
    assert "backup" in caught.value.cure


def test_a_certificate_says_name_role_and_addresses(signer: authority.Authority) -> None:
    addresses = ["192.0.2.1", "2001:db8::1", "region-0.example"]
    issued = signer.issue("region-0", REGION, addresses, public_key=some_key())
    certificate = read(issued)
    claims = members.claims(certificate.public_bytes(serialization.Encoding.DER))
    assert claims == members.Claims("region-0", "region", issued.fingerprint)
    assert names(certificate) == [
        ipaddress.ip_address("192.0.2.1"),
        ipaddress.ip_address("2001:db8::1"),
        "region-0.example",
    ]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_only_a_regions_certificate_is_good_for_a_server(signer: authority.Authority) -> None:
    server, client = oid.ExtendedKeyUsageOID.SERVER_AUTH, oid.ExtendedKeyUsageOID.CLIENT_AUTH
    issued = {
        role: uses(read(signer.issue("m", role, ["m.example"], public_key=some_key())))
        for role in members.Role
    }
    assert issued == {REGION: {server, client}, RACK: {client}, OPERATOR: {client}}


def test_a_certificate_is_backdated_two_days_and_never_outlives_the_authority(
    signer: authority.Authority,
) -> None:
    issued = signer.issue("rack-0", RACK, [], public_key=some_key(), days=36500)
    assert issued.expires == signer.expires
    before = units.utc_now() - read(issued).not_valid_before_utc
    assert before >= datetime.timedelta(days=2)


def test_an_expired_authority_issues_nothing(tmp_path: pathlib.Path) -> None:
    key = keys.new(tmp_path / "k")
    long_ago = units.utc_now() - datetime.timedelta(days=certificates.AUTHORITY_DAYS + 1)
    expired = authority.Authority(tmp_path, key, certificates.of_authority(key, "test", long_ago))
    with pytest.raises(authority.AuthorityError, match="expired"):
        expired.issue("rack-0", RACK, [], public_key=some_key())


def test_a_request_contributes_its_key_and_nothing_else(signer: authority.Authority) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(oid.NameOID.COMMON_NAME, "region-0"),
                    x509.NameAttribute(oid.NameOID.ORGANIZATIONAL_UNIT_NAME, "region"),
                ]
            )
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("region-0.example")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    issued = signer.issue("rack-7", RACK, ["192.0.2.7"], public_key=request.public_bytes(PEM))
    certificate = read(issued)
    assert certificate.public_key() == key.public_key()
    claims = members.claims(certificate.public_bytes(serialization.Encoding.DER))
    assert (claims.name, claims.role) == ("rack-7", "rack")
    assert names(certificate) == [ipaddress.ip_address("192.0.2.7")]
    assert uses(certificate) == {oid.ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_request_for_somebody_elses_key_is_refused(signer: authority.Authority) -> None:
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    signed = bytearray(request.public_bytes(serialization.Encoding.DER))
    point = request.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    place = signed.index(point)
    signed[place : place + len(point)] = other.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    forged = x509.load_der_x509_csr(bytes(signed)).public_bytes(PEM)
    with pytest.raises(keys.KeyRefused, match="not signed by the key"):
        signer.issue("rack-0", RACK, [], public_key=forged)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_strong_keys_are_certified(
    signer: authority.Authority, key: types.PrivateKeyTypes
) -> None:
    issued = signer.issue("rack-0", RACK, [], public_key=public(key))
    assert read(issued).public_key() == key.public_key()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (rsa.generate_private_key(65537, 1024), "RSA, 1024 bits"),
        (ec.generate_private_key(ec.SECP521R1()), "EC secp521r1"),
        (ec.generate_private_key(ec.SECP256K1()), "EC secp256k1"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
    ],
)
def test_weak_or_unusual_keys_are_refused_with_a_cure(
    signer: authority.Authority, key: types.PrivateKeyTypes, says: str
) -> None:
    with pytest.raises(keys.KeyRefused, match=says) as caught:
        signer.issue("rack-0", RACK, [], public_key=public(key))
    assert "P-256" in caught.value.cure


def test_a_private_key_given_by_mistake_is_refused_and_not_quoted(
    signer: authority.Authority, tmp_path: pathlib.Path
) -> None:
    keys.new(tmp_path / "k")
    secret = (tmp_path / "k").read_bytes()
    with pytest.raises(keys.KeyRefused) as caught:
        signer.issue("rack-0", RACK, [], public_key=secret)
    assert secret.splitlines()[1].decode()[:16] not in f"{caught.value}{caught.value.cure}"


@pytest.mark.parametrize("noise", [b"", b"x", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA"])
def test_what_is_neither_request_nor_key_is_refused(
    signer: authority.Authority, noise: bytes
) -> None:
    with pytest.raises(keys.KeyRefused):
        signer.issue("rack-0", RACK, [], public_key=noise)


@pytest.mark.parametrize(
    "name", ["", "region/0", "../x", "-x", ".x", "Region", "a b", "a\n", "é", "x" * 65]
)
def test_a_name_that_is_no_name_is_refused(signer: authority.Authority, name: str) -> None:
    with pytest.raises(certificates.NotIssued, match="cannot be a name"):
        signer.issue(name, RACK, [], public_key=some_key())


@pytest.mark.parametrize(
    "address",
    ["", "*.example", "a_b", "host:5290", "Region.example", "a..b", "-a", "192.0.2.0/24", "a\n",
     "x" * 64],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(signer: authority.Authority, address: str) -> None:
    with pytest.raises(certificates.NotIssued, match="neither an IP address nor a DNS name"):
        signer.issue("rack-0", RACK, [address], public_key=some_key())


def test_a_region_without_an_address_is_refused(signer: authority.Authority) -> None:
    with pytest.raises(certificates.NotIssued, match="no address") as caught:
        signer.issue("region-0", REGION, [], public_key=some_key())
    assert "--address" in caught.value.cure


def test_enrolling_enters_the_list_and_expelling_leaves_it(signer: authority.Authority) -> None:
    issued = signer.enrol("region-0", REGION, ["192.0.2.1"], public_key=some_key())
    expected = members.Member("region-0", REGION, issued.fingerprint, ("192.0.2.1",))
    assert members.load(signer.members_path).members == (expected,)
    assert signer.expel("region-0") == expected
    assert members.load(signer.members_path).members == ()
    with pytest.raises(authority.AuthorityError, match="no member 'region-0'"):
        signer.expel("region-0")


def test_a_member_is_reissued_for_the_same_key(signer: authority.Authority) -> None:
    key = some_key()
    signer.enrol("region-0", REGION, ["192.0.2.1"], public_key=key)
    signer.enrol("region-0", REGION, ["192.0.2.2"], public_key=key)
    (listed,) = members.load(signer.members_path).members
    assert listed.addresses == ("192.0.2.2",)


def test_another_key_or_role_under_a_listed_name_is_refused(signer: authority.Authority) -> None:
    key = some_key()
    signer.enrol("rack-0", RACK, [], public_key=key)
    before = signer.members_path.read_bytes()
    with pytest.raises(certificates.NotIssued, match="a member already: a rack") as caught:
        signer.enrol("rack-0", RACK, [], public_key=some_key())
    assert "ca remove rack-0" in caught.value.cure
    with pytest.raises(certificates.NotIssued, match="a member already"):
        signer.enrol("rack-0", OPERATOR, [], public_key=key)
    assert signer.members_path.read_bytes() == before


def test_one_key_for_two_names_is_refused(signer: authority.Authority) -> None:
    key = some_key()
    signer.enrol("rack-0", RACK, [], public_key=key)
    with pytest.raises(certificates.NotIssued, match="another member's already"):
        signer.enrol("rack-1", RACK, [], public_key=key)


def test_trust_is_added_and_never_taken_away(
    signer: authority.Authority, tmp_path: pathlib.Path
) -> None:
    new = authority.Authority.create(tmp_path / "new", "test")
    both = new.trusted_with(signer.certificate_pem)
    assert both == signer.certificate_pem + new.certificate_pem
    assert new.trusted_with(both) == both
    assert new.trusted_with(b"") == new.certificate_pem
    with pytest.raises(authority.AuthorityError, match="no certificate"):
        new.trusted_with(b"noise")
