"""Certificates that must open no door, and what shows them.

Each is a PEM file with its key beside it; ``client`` and ``server`` make contexts of them that
check nothing of their own side, as an attacker's would.
"""

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

from boot_resources import units
from boot_resources.plane import authority, certificates, keys, members, tls
from support import plane_region

ADDRESS = "127.0.0.1"


def dated(cluster: plane_region.Cluster, name: str, role: members.Role, days: int) -> tls.Identity:
    """Have the cluster's authority issue a certificate ``days`` from now, for ten days."""
    key = cluster.directory / f"{name}.key"
    cluster.authority.enrol(name, role, [ADDRESS], public_key=keys.public_of(key))
    certificate = certificates.of_member(
        x509.load_pem_x509_certificate(cluster.trust.read_bytes()),
        keys.load(cluster.directory / "authority" / authority.KEY),
        name=name,
        role=role,
        addresses=[ADDRESS],
        key=keys.read_public(keys.public_of(key)),
        now=units.utc_now() + datetime.timedelta(days=days),
        days=10,
    )
    return _kept(cluster, f"{name}-dated", certificate, key)


def named(
    cluster: plane_region.Cluster, name: str, role: str, *, signed: bool = True
) -> tls.Identity:
    """Make a certificate of any name and role, good for a server, too.

    Args:
        cluster: whose authority signs it.
        name: its common name, whatever that is.
        role: its organisational unit.
        signed: by the authority; else by its own key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    path = cluster.directory / f"forged-{len(list(cluster.directory.iterdir()))}.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    subject = _subject(name, role)
    issuer = x509.load_pem_x509_certificate(cluster.trust.read_bytes()).subject
    signer = keys.load(cluster.directory / "authority" / authority.KEY) if signed else key
    now = units.utc_now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer if signed else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]),
            critical=False,
        )
        .add_extension(
            x509.ExtendedKeyUsage(
                [oid.ExtendedKeyUsageOID.SERVER_AUTH, oid.ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    return _kept(cluster, path.stem, certificate, path)


def _subject(name: str, role: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(oid.NameOID.COMMON_NAME, name),
            x509.NameAttribute(oid.NameOID.ORGANIZATIONAL_UNIT_NAME, role),
        ]
    )


def _kept(
    cluster: plane_region.Cluster, stem: str, certificate: x509.Certificate, key: Path
) -> tls.Identity:
    path = cluster.directory / f"{stem}.crt"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return tls.Identity(path, key, cluster.trust)


def client(trust: Path, identity: tls.Identity | None) -> ssl.SSLContext:
    """Return what connects with that identity, or with none, to a server that ``trust`` signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(trust)
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def server(identity: tls.Identity) -> ssl.SSLContext:
    """Return what answers with that identity to anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def protocols(context: ssl.SSLContext, names: Sequence[str]) -> ssl.SSLContext:
    """Return the context, offering these protocols by ALPN."""
    context.set_alpn_protocols(list(names))
    return context
