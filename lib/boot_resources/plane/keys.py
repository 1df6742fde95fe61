"""Keys: making one, reading our own, and reading the public one that somebody sent.

Always true: a private key is 0600 from before its first byte, and no message ever quotes a file
that should hold a key. A public key is certified only if it is of a kind and size that is trusted
today; a certificate request must be signed with the very key it is for.
"""

import pathlib

import cryptography.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, types

from boot_resources import errors
from boot_resources.plane import durable

SMALLEST_RSA = 2048
"""Bits; NIST SP 800-131A disallows less."""

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_CURE_REQUEST = "give a certificate request or a public key in PEM, for example from `openssl req`"


class KeyRefused(errors.BootResourcesError):
    """A key, or a request for one, cannot be read or is not accepted."""


def new(path: pathlib.Path) -> ec.EllipticCurvePrivateKey:
    """Make an EC P-256 key, write it to ``path`` with mode 0600, and return it.

    Raises:
        durable.NotWritten: it could not be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    durable.write(path, pem, mode=durable.PRIVATE)
    return key


def public_of(path: pathlib.Path) -> bytes:
    """Return the public key, in PEM, of the key in ``path``; make that if it is not there.

    Raises:
        KeyRefused: there is something else.
        durable.NotWritten: it could not be written.
    """
    key = _load(path) if path.exists() else new(path)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def load(path: pathlib.Path) -> ec.EllipticCurvePrivateKey:
    """Return the EC key in ``path``, as ``new`` wrote it.

    Raises:
        KeyRefused: it cannot be read, or is not an EC private key.
    """
    key = _load(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyRefused(f"{path} is not an EC key", "restore it from a backup")
    return key


def read_public(pem: bytes) -> PublicKey:
    """Return the key in a certificate request or public key in PEM, if it is strong enough.

    Raises:
        KeyRefused: it is neither; the request's signature is wrong; the key is of a kind or size
            that is not accepted.
    """
    key = _request_key(pem) if b"CERTIFICATE REQUEST-----" in pem else _bare_key(pem)
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= SMALLEST_RSA:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(
        key.curve, ec.SECP256R1 | ec.SECP384R1
    ):
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise KeyRefused(
        f"a key of this kind or size is not accepted ({_describe(key)})",
        "make the request with an EC P-256 or P-384, an Ed25519, or an RSA key of at least "
        f"{SMALLEST_RSA} bits",
    )


def _load(path: pathlib.Path) -> types.PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise KeyRefused(
            f"cannot read the key {path}: {error.strerror}", "run this as its owner, usually root"
        ) from error
    except (ValueError, TypeError, cryptography.exceptions.UnsupportedAlgorithm) as error:
        raise KeyRefused(
            f"{path} is not a private key in PEM, or is encrypted", "restore it from a backup"
        ) from error


def _request_key(pem: bytes) -> object:
    try:
        request = x509.load_pem_x509_csr(pem)
        key, signed = request.public_key(), request.is_signature_valid
    except (ValueError, cryptography.exceptions.UnsupportedAlgorithm) as error:
        raise KeyRefused("the certificate request cannot be read", _CURE_REQUEST) from error
    if not signed:
        raise KeyRefused(
            "the certificate request is not signed by the key it is for",
            "make it again on the controller that holds the key",
        )
    return key


def _bare_key(pem: bytes) -> object:
    try:
        return serialization.load_pem_public_key(pem)
    except (ValueError, cryptography.exceptions.UnsupportedAlgorithm) as error:
        # The parser's own words are left out: the file might be a private key by mistake.
        raise KeyRefused("this is neither a request nor a public key", _CURE_REQUEST) from error


def _describe(key: object) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.lstrip("_").removesuffix("PublicKey")
