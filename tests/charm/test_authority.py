"""Who signs what for whom: the pure part of the deployment's authority."""

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from boot_resources.plane import keys, members, tls
from boot_resources_charms import authority, problems
from support import stages

NOW = datetime.datetime(2026, 11, 22, 4, 0, tzinfo=datetime.UTC)
RACK, REGION = members.Role.RACK, members.Role.REGION


@pytest.fixture(scope="module")
def signer() -> authority.Authority:
    return authority.Authority.create(NOW)


def applicant(
    unit: str = "rack/0", role: members.Role = RACK, address: str = "192.0.2.20", request: str = ""
) -> authority.Applicant:
    return authority.Applicant(unit, role, address, request or stages.request())


def enrolled(
    signer: authority.Authority,
    *applicants: authority.Applicant,
    issued: Mapping[str, str] | None = None,
    silent: Iterable[str] = (),
    now: datetime.datetime = NOW,
) -> authority.Roll:
    return authority.enrol(signer, applicants, silent, issued or {}, now)


def test_a_certificate_works_with_its_key_and_the_authority(
    signer: authority.Authority, tmp_path: Path
) -> None:
    key = keys.new(tmp_path / "key")
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    asking = applicant("region/3", REGION, request=pem.decode())
    roll = enrolled(signer, asking)
    (tmp_path / "crt").write_text(roll.certificates["region/3"])
    (tmp_path / "authority").write_text(signer.certificate_pem)
    found = tls.examine(
        tls.Identity(tmp_path / "crt", tmp_path / "key", tmp_path / "authority"), NOW
    )
    assert (found.name, found.role) == ("region-3", REGION)
    (member,) = roll.members
    assert (member.name, member.role, member.fingerprint) == (
        "region-3",
        REGION,
        found.fingerprint,
    )
    assert member.addresses == ("192.0.2.20",)


def test_the_secret_brings_the_same_authority_back(signer: authority.Authority) -> None:
    again = authority.Authority.of_content(signer.content())
    asking = applicant()
    roll = enrolled(signer, asking)
    assert again.certificate_pem == signer.certificate_pem
    assert enrolled(again, asking, issued=roll.certificates).certificates == roll.certificates


@pytest.mark.parametrize(
    "address", ["192.0.2.20", "2001:db8::5", "2001:DB8:0::5", "fe80::1%eth0", "rack.example"]
)
def test_what_stands_is_not_issued_again(signer: authority.Authority, address: str) -> None:
    asking = applicant(address=address)
    first = enrolled(signer, asking)
    again = enrolled(signer, asking, issued=first.certificates)
    assert again.certificates == first.certificates
    assert not again.refused


class TestIssuedAnew:
    """What makes a certificate one that does not stand any more."""

    def again(self, signer: authority.Authority, asking: authority.Applicant, pem: str) -> bool:
        """Return whether who asks and has a certificate gets another."""
        roll = enrolled(signer, asking, issued={asking.unit: pem})
        assert not roll.refused
        return roll.certificates[asking.unit] != pem

    def test_another_key(self, signer: authority.Authority) -> None:
        pem = enrolled(signer, applicant()).certificates["rack/0"]
        assert self.again(signer, applicant(), pem)

    @pytest.mark.parametrize(
        ("unit", "role", "address"),
        [
            ("rack/1", RACK, "192.0.2.20"),
            ("rack/0", REGION, "192.0.2.20"),
            ("rack/0", RACK, "192.0.2.21"),
        ],
    )
    def test_another_name_role_or_address(
        self, signer: authority.Authority, unit: str, role: members.Role, address: str
    ) -> None:
        before = applicant()
        pem = enrolled(signer, before).certificates["rack/0"]
        assert self.again(signer, applicant(unit, role, address, before.request), pem)

    def test_another_authority(self, signer: authority.Authority) -> None:
        asking = applicant()
        other = authority.Authority.create(NOW)
        assert self.again(signer, asking, enrolled(other, asking).certificates["rack/0"])

    def test_one_that_is_none(self, signer: authority.Authority) -> None:
        assert self.again(signer, applicant(), "garbage")

    @pytest.mark.parametrize(("days", "is_renewed"), [(0, False), (242, False), (244, True)])
    def test_less_than_a_third_of_its_life_left(
        self, signer: authority.Authority, days: int, is_renewed: bool
    ) -> None:
        asking = applicant()
        first = enrolled(signer, asking)
        later = NOW + datetime.timedelta(days=days)
        roll = enrolled(signer, asking, issued=first.certificates, now=later)
        assert (roll.certificates != first.certificates) is is_renewed


def test_whoever_asks_no_more_belongs_no_more(signer: authority.Authority) -> None:
    first, second = applicant("rack/0"), applicant("rack/1")
    before = enrolled(signer, first, second)
    after = enrolled(signer, second, issued=before.certificates)
    assert list(after.certificates) == ["rack/1"]
    assert [member.name for member in after.members] == ["rack-1"]


def test_the_silent_keep_what_they_have(signer: authority.Authority) -> None:
    before = enrolled(signer, applicant("rack/0"), applicant("rack/1"))
    issued = dict(before.certificates) | {"rack/2": "garbage"}
    after = enrolled(signer, issued=issued, silent=["rack/0", "rack/2", "rack/9"])
    assert after.certificates == {"rack/0": before.certificates["rack/0"]}
    assert after.members == before.members[:1]


def test_a_copied_key_gives_nobody_else_a_name(signer: authority.Authority) -> None:
    owner = applicant("rack/5")
    before = enrolled(signer, owner)
    thief = applicant("rack/0", request=owner.request)
    after = enrolled(signer, thief, owner, issued=before.certificates)
    assert after.certificates == before.certificates
    assert list(after.refused) == ["rack/0"]


def test_an_authority_that_ended_is_not_taken_for_a_copied_key(
    signer: authority.Authority,
) -> None:
    later = NOW + datetime.timedelta(days=4000)
    (problem,) = enrolled(signer, applicant(), now=later).refused.values()
    assert "another unit's" not in problem.sentence


def test_one_that_is_refused_keeps_nobody_else_out(signer: authority.Authority) -> None:
    too_long = applicant(f"{'r' * 70}/0")
    roll = enrolled(signer, too_long, applicant("rack/1"))
    assert list(roll.certificates) == ["rack/1"]
    (problem,) = roll.refused.values()
    assert isinstance(problem, problems.Problem)
    assert "cannot be a name" in problem.sentence


def test_what_a_request_asks_for_beside_its_key_counts_for_nothing(
    signer: authority.Authority,
) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "region-0")])
    )
    names = x509.SubjectAlternativeName([x509.DNSName("region-0.example")])
    key = ec.generate_private_key(ec.SECP256R1())
    greedy = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = greedy.public_bytes(serialization.Encoding.PEM).decode()
    issued = enrolled(signer, applicant(request=pem)).certificates["rack/0"]
    certificate = x509.load_pem_x509_certificate(issued.encode())
    assert certificate.subject.rfc4514_string() == "CN=rack-0,OU=rack"
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [str(name.value) for name in found.value] == ["192.0.2.20"]
