"""TLS between controllers: an identity on disk becomes a context, or a refusal in one line.

Always true: TLS 1.3 and nothing older, for both ends are ours and 1.3 hides the client's
certificate from those who listen. Both ends present a certificate and verify the other's chain
against the authority file, and nothing else: the system's trusted authorities never count. No
session is ever resumed, because a resumed session would not look at the chain again, and
dropping an authority would not take effect until its tickets ran out.

The authority file may hold several certificates. That is how an authority is rotated: trust old
and new, reissue every certificate, drop the old.

A context proves who signed. Whether that member may do what it asks is for ``members`` to say.
"""

import dataclasses
import datetime
import pathlib
import ssl
import stat

import cryptography.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from boot_resources import errors, units
from boot_resources.plane import members

MAX_FILE_SIZE = 1024 * 1024
"""Bytes; a longer file is no certificate, no key and no list of authorities."""


class IdentityUnusable(errors.BootResourcesError):
    """A key, a certificate or an authority file cannot be used; the message says which and why."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """Where a controller's proof of who it is lies, all in PEM.

    Attributes:
        certificate: its certificate, from the authority.
        key: its private key, which others must not be able to read.
        authority: the certificates of every authority whose word it takes.
    """

    certificate: pathlib.Path
    key: pathlib.Path
    authority: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Credentials:
    """What the certificate of an identity says.

    Attributes:
        name: the member's name.
        role: its role.
        fingerprint: of its key, as the member list has it.
        expires: when it stops being valid, in UTC.
    """

    name: str
    role: members.Role
    fingerprint: str
    expires: datetime.datetime


def examine(identity: Identity, now: datetime.datetime | None = None) -> Credentials:
    """Return what ``identity`` says, after checking that its three files belong together.

    Args:
        identity: the files.
        now: the time for which the certificate must be valid; this host's clock if not given.

    Raises:
        IdentityUnusable: a file is missing, unreadable or not what it should be; others can
            read the key; the key is another certificate's; the certificate has expired, is not
            valid yet, names no role, or was issued by none of the authorities.
    """
    now = now or units.utc_now()
    authorities = _certificates(identity.authority, "authority file")
    chain = _certificates(identity.certificate, "certificate")
    holder = members.claims(chain[0].public_bytes(serialization.Encoding.DER))
    if holder.role not in list(members.Role):
        raise IdentityUnusable(
            f"the certificate {identity.certificate} names no role (region, rack or operator)",
            _issue("NAME", "region|rack|operator"),
        )
    cure = _issue(holder.name, holder.role)
    _check_key(identity, chain[0], cure)
    _check_dates(identity.certificate, chain[0], now, cure)
    if not any(_issued_by(chain[-1], authority) for authority in authorities):
        raise IdentityUnusable(
            f"the certificate {identity.certificate} was issued by none of the authorities "
            f"in {identity.authority}",
            f"use the authority.crt that came with the certificate, or: {cure}",
        )
    return Credentials(
        holder.name,
        members.Role(holder.role),
        holder.fingerprint,
        chain[0].not_valid_after_utc,
    )


def require_name(identity: Identity, name: str) -> None:
    """Refuse a certificate that is not ``name``'s.

    Raises:
        IdentityUnusable: it names another controller, or cannot be used at all.
    """
    found = examine(identity).name
    if found != name:
        raise IdentityUnusable(
            f"the certificate {identity.certificate} is {found}'s; this controller is {name}",
            "correct name in the settings file, or name this controller's own certificate",
        )


def server_context(identity: Identity) -> ssl.SSLContext:
    """Return the context of a region's plane port: whoever connects must show a certificate.

    Raises:
        IdentityUnusable: see ``examine``; or the certificate is not a region's, the only role
            that may answer as a server.
    """
    credentials = examine(identity)
    if credentials.role is not members.Role.REGION:
        raise IdentityUnusable(
            f"the certificate {identity.certificate} is for a {credentials.role}; "
            "a region's is needed here",
            _issue("NAME", members.Role.REGION),
        )
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return context


def client_context(identity: Identity) -> ssl.SSLContext:
    """Return the context with which a controller connects to a region.

    The context verifies the server's chain and that its certificate is for the name or address
    connected to; whether its key is a region's in the member list is for the caller to check.

    Raises:
        IdentityUnusable: see ``examine``.
    """
    examine(identity)
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity)


def _context(protocol: int, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cafile=identity.authority)
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def _check_key(identity: Identity, certificate: x509.Certificate, cure: str) -> None:
    content = _read(identity.key, "key", cure)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except TypeError as error:
        raise IdentityUnusable(
            f"the key {identity.key} is encrypted, and a service has nobody to ask", cure
        ) from error
    except (ValueError, cryptography.exceptions.UnsupportedAlgorithm) as error:
        # The parser's own words are left out: they might quote the file.
        raise IdentityUnusable(f"{identity.key} is not a private key in PEM", cure) from error
    if key.public_key() != certificate.public_key():
        raise IdentityUnusable(
            f"the key {identity.key} and the certificate {identity.certificate} "
            "do not belong together",
            cure,
        )
    # A group may read it: that is how a service that is not root gets at a key of root's.
    if stat.S_IMODE(identity.key.stat().st_mode) & stat.S_IROTH:
        raise IdentityUnusable(
            f"everyone on this host can read the key {identity.key}",
            f"chmod 0600 {identity.key}; if others may have seen it: `boot-resources ca remove "
            "NAME`, then issue a new one",
        )


def _check_dates(
    path: pathlib.Path, certificate: x509.Certificate, now: datetime.datetime, cure: str
) -> None:
    if now > certificate.not_valid_after_utc:
        raise IdentityUnusable(
            f"the certificate {path} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} "
            "UTC",
            cure,
        )
    if now < certificate.not_valid_before_utc:
        raise IdentityUnusable(
            f"the certificate {path} is not valid before "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            f"this host's clock says {now:%Y-%m-%d %H:%M} UTC; set it right",
        )


def _certificates(path: pathlib.Path, what: str) -> list[x509.Certificate]:
    """Return the certificates in ``path``, in their order; at least one."""
    cure = _issue("NAME", "region|rack|operator")
    try:
        return x509.load_pem_x509_certificates(_read(path, what, cure))
    except ValueError as error:
        raise IdentityUnusable(f"the {what} {path} holds no certificate in PEM", cure) from error


def _read(path: pathlib.Path, what: str, cure: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_SIZE)
    except OSError as error:
        raise IdentityUnusable(f"cannot read the {what} {path}: {error.strerror}", cure) from error


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, cryptography.exceptions.InvalidSignature):
        return False
    return True


def _issue(name: str, role: str) -> str:
    return f"boot-resources ca issue {name} --role {role}"
