"""What our certificates say: pure functions from plain values to a signed certificate.

Always true: subject, role and addresses are the signer's. The subject is ``CN=<name>`` and
``OU=<role>``; only a region's certificate may be used by a server. An authority signs members and
never another authority (RFC 5280, path length 0).
"""

import datetime
import ipaddress
import re
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

from boot_resources import errors
from boot_resources.plane import keys, members

AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
BACKDATED = datetime.timedelta(days=2)
"""How far a member's clock may be behind the authority's without refusing a new certificate: a
host whose clock is off by a day, or by the wrong time zone, goes on talking to the others."""

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_CLIENT = oid.ExtendedKeyUsageOID.CLIENT_AUTH
_SERVER = oid.ExtendedKeyUsageOID.SERVER_AUTH
_EXTENDED_USE = {
    members.Role.REGION: [_SERVER, _CLIENT],
    members.Role.RACK: [_CLIENT],
    members.Role.OPERATOR: [_CLIENT],
}


class NotIssued(errors.BootResourcesError):
    """A name or an address cannot be certified."""


def check_name(name: str) -> None:
    """Return if ``name`` can be a member's or an authority's.

    Raises:
        NotIssued: otherwise.
    """
    if re.fullmatch(members.NAME_PATTERN, name) is None:
        raise NotIssued(
            f"{name[:80]!r} cannot be a name",
            "use up to 64 of a-z 0-9 . - and begin with a letter or digit; write the Juju unit "
            "region/0 as region-0",
        )


def of_authority(
    key: ec.EllipticCurvePrivateKey, name: str, now: datetime.datetime
) -> x509.Certificate:
    """Return the certificate with which an authority signs for itself.

    Raises:
        NotIssued: ``name`` cannot be one.
    """
    check_name(name)
    subject = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_use(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def of_member(
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    name: str,
    role: members.Role,
    addresses: Sequence[str],
    key: keys.PublicKey,
    now: datetime.datetime,
    days: int,
) -> x509.Certificate:
    """Return a member's certificate; it never outlives its issuer's.

    Raises:
        NotIssued: the name or an address cannot be certified, or a region has no address.
    """
    check_name(name)
    if role is members.Role.REGION and not addresses:
        raise NotIssued(
            f"the region {name} has no address, so nobody could verify it",
            "give each IP address and DNS name it is reached at with --address",
        )
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    expires = min(now + datetime.timedelta(days=days), issuer.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(name, role))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(expires)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_use(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_EXTENDED_USE[role]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(signer, critical=False)
    )
    if addresses:
        names = x509.SubjectAlternativeName([_general_name(a) for a in addresses])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _subject(name: str, role: members.Role) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(oid.NameOID.ORGANIZATIONAL_UNIT_NAME, str(role)),
            x509.NameAttribute(oid.NameOID.COMMON_NAME, name),
        ]
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        pass
    if _HOST_NAME.fullmatch(address) is None:
        raise NotIssued(
            f"{address[:80]!r} is neither an IP address nor a DNS name",
            "give it without a port, a wildcard or upper-case letters",
        )
    return x509.DNSName(address)


def _key_use(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
