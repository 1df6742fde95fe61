"""The authority of a deployment: its key is in a Juju secret, and the leader alone signs with it.

``held_by``   the leader's way to the authority: found in the application's secret, made once
``enrol``     who gets which certificate, as a pure function of who asks and what was issued

Always true: the signer decides. Unit and role are what Juju says of whoever asks; a request gives
its public key and nothing else. The address is the unit's own word: it says where a region
answers, and gives nobody a right. While an authority exists no second one is made:
its certificate is published to the regions, and where that is so but the secret is gone, nothing
is signed. A certificate is issued anew where something in it has changed, or when less than a
third of its life is left; otherwise it stays as it is, so that nobody is told of a change that
is none.
"""

import contextlib
import dataclasses
import datetime
import ipaddress
from collections.abc import Iterable, Mapping

import ops
from cryptography import exceptions, x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from boot_resources import errors, units
from boot_resources.plane import certificates, keys, members

from . import problems

LABEL = "authority"
"""The secret's label, by which the application finds it."""
_NAME = "boot-resources"
_CERTIFICATE = "certificate"
_KEY = "key"


@dataclasses.dataclass(frozen=True)
class Applicant:
    """A unit that asks for a certificate.

    Attributes:
        unit: as Juju names it: ``rack/0``.
        role: by the relation over which it asks.
        address: where it is reached: an IP address or a host name.
        request: a certificate request, PEM.
    """

    unit: str
    role: members.Role
    address: str
    request: str

    @property
    def name(self) -> str:
        """Its name on the plane."""
        return plane_name(self.unit)


@dataclasses.dataclass(frozen=True)
class Roll:
    """Who belongs to the deployment.

    Attributes:
        certificates: PEM, by unit; of those who ask now and of nobody else.
        members: the same units, as a member list has them.
        refused: why a unit got none, by unit.
    """

    certificates: Mapping[str, str]
    members: tuple[members.Member, ...]
    refused: Mapping[str, problems.Problem]


class Authority:
    """A key, and the certificate that all members trust."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, now: datetime.datetime) -> "Authority":
        """Make a new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, certificates.of_authority(key, _NAME, now))

    @classmethod
    def of_content(cls, content: Mapping[str, str]) -> "Authority":
        """Return the one whose secret has this content.

        Raises:
            problems.Problem: it is not what ``content`` once gave.
        """
        try:
            key = serialization.load_pem_private_key(content[_KEY].encode(), password=None)
            certificate = x509.load_pem_x509_certificate(content[_CERTIFICATE].encode())
        except (KeyError, ValueError, TypeError, exceptions.UnsupportedAlgorithm):
            # The parser's own words are left out: they might quote a key.
            raise _damaged() from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise _damaged()
        if key.public_key() != certificate.public_key():
            raise _damaged()
        return cls(key, certificate)

    def content(self) -> dict[str, str]:
        """Return what its secret holds."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {_CERTIFICATE: self.certificate_pem, _KEY: pem.decode()}

    @property
    def certificate_pem(self) -> str:
        """The certificate that all members trust, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def expires(self) -> datetime.datetime:
        """When it ends, and all it ever issued, in UTC."""
        return self._certificate.not_valid_after_utc

    def certify(self, applicant: Applicant, now: datetime.datetime) -> str:
        """Return a new certificate for who asks, PEM.

        Raises:
            errors.BootResourcesError: its name, its address or its key cannot be certified.
        """
        certificate = certificates.of_member(
            self._certificate,
            self._key,
            name=applicant.name,
            role=applicant.role,
            addresses=[applicant.address],
            key=keys.read_public(applicant.request.encode()),
            now=now,
            days=certificates.LEAF_DAYS,
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def stands_by(self, issued: str, applicant: Applicant, now: datetime.datetime) -> bool:
        """Return whether a certificate, PEM, is still what who asks should have.

        Raises:
            errors.BootResourcesError: its key cannot be certified.
        """
        key = keys.read_public(applicant.request.encode())
        try:
            certificate = x509.load_pem_x509_certificate(issued.encode())
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, exceptions.InvalidSignature):
            return False
        claims = members.claims(certificate.public_bytes(serialization.Encoding.DER))
        return (
            certificate.public_key() == key
            and (claims.name, claims.role) == (applicant.name, applicant.role)
            and _addresses(certificate) == (_as_certified(applicant.address),)
            and _life_left(certificate, now) >= 1 / 3
        )


def plane_name(unit: str) -> str:
    """Return how a Juju unit is named on the plane: ``rack/0`` is ``rack-0``."""
    return unit.replace("/", "-")


def held_by(application: ops.Application, model: ops.Model, published: str) -> Authority:
    """Return the authority of an application, made now if there was none. For its leader only.

    Args:
        application: whose leader this unit is.
        model: where its secrets are.
        published: the certificate that the regions trust already, PEM; empty where there is none.

    Raises:
        problems.Problem: the secret is damaged, or gone although its certificate is published;
            or the authority has ended.
        ops.ModelError: Juju does not hand the secret out, or does not take it.
    """
    try:
        content = model.get_secret(label=LABEL).get_content()
    except ops.SecretNotFoundError:
        if published:
            raise problems.Problem(
                "the secret with the authority's key is gone: no certificate can be issued",
                "what has one works until it ends; then deploy both applications anew",
            ) from None
        authority = Authority.create(units.utc_now())
        application.add_secret(
            authority.content(),
            label=LABEL,
            description="The key that signs the certificates of regions and racks.",
        )
        return authority
    authority = Authority.of_content(content)
    if authority.expires <= units.utc_now():
        raise problems.Problem(
            f"the authority ended at {authority.expires:%Y-%m-%d}: no certificate can be issued",
            "deploy both applications anew",
        )
    return authority


def enrol(
    authority: Authority,
    applicants: Iterable[Applicant],
    silent: Iterable[str],
    issued: Mapping[str, str],
    now: datetime.datetime,
) -> Roll:
    """Return who belongs to the deployment, each with a certificate that stands.

    Args:
        authority: who signs.
        applicants: all who ask now.
        silent: units that are there, too, and ask for nothing that is understood: they keep what
            they have. Whoever is in neither belongs no more.
        issued: the certificates so far, PEM, by unit.
        now: in UTC.
    """
    given: dict[str, str] = {}
    refused: dict[str, problems.Problem] = {}
    listed = members.Members()
    for unit in sorted(set(silent) & set(issued)):
        # A certificate that cannot be read is none.
        with contextlib.suppress(ValueError):
            listed = listed.with_member(_member(issued[unit]))
            given[unit] = issued[unit]
    # Who has a certificate goes first, so that nobody loses it to one who copied the key.
    for applicant in sorted(applicants, key=lambda each: (each.unit not in issued, each.unit)):
        try:
            pem = issued.get(applicant.unit, "")
            if not authority.stands_by(pem, applicant, now):
                pem = authority.certify(applicant, now)
            member = _member(pem)
        except (errors.BootResourcesError, ValueError) as error:
            refused[applicant.unit] = _refusal(applicant, str(error))
            continue
        if member.fingerprint in {each.fingerprint for each in listed.members}:
            refused[applicant.unit] = _refusal(applicant, "its key is another unit's already")
            continue
        listed = listed.with_member(member)
        given[applicant.unit] = pem
    return Roll(dict(sorted(given.items())), listed.members, refused)


def _member(pem: str) -> members.Member:
    """Return what a certificate of ours says of its holder, as an entry of the member list."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    claims = members.claims(certificate.public_bytes(serialization.Encoding.DER))
    return members.Member(
        claims.name, members.Role(claims.role), claims.fingerprint, _addresses(certificate)
    )


def _refusal(applicant: Applicant, why: str) -> problems.Problem:
    return problems.Problem(
        f"{applicant.unit} gets no certificate: {why}",
        f"juju remove-unit {applicant.unit}, and add another",
    )


def _damaged() -> problems.Problem:
    return problems.Problem(
        f"the secret {LABEL!r} of this application does not hold an authority's key",
        "nothing but this charm may write it; deploy both applications anew",
    )


def _addresses(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the addresses in a certificate."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in extension.value)


def _as_certified(address: str) -> str:
    """Return an address as a certificate has it: of an IP address the bytes, and no scope."""
    try:
        return str(ipaddress.ip_address(ipaddress.ip_address(address).packed))
    except ValueError:
        return address


def _life_left(certificate: x509.Certificate, now: datetime.datetime) -> float:
    """Return the share of a certificate's life that is left, 1 to 0; after its end less."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (end - now) / (end - begin)
