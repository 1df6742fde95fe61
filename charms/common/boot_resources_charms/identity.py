"""A unit's private key, and the request for a certificate that it sends to the leader.

Always true: the key is made on this machine and never leaves it. The request stays the same for
as long as the key does: a signature has chance in it, and a request made anew at each hook would
wake every other unit.
"""

import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

from boot_resources.plane import keys

from . import failures, files


def ensure(
    key_path: pathlib.Path, request_path: pathlib.Path, name: str, owner: files.Owner
) -> bytes:
    """Return the certificate request, in PEM, for the key in ``key_path``; make what is missing.

    Args:
        key_path: the private key, for ``owner`` alone.
        request_path: the request that is kept.
        name: the unit. Whoever signs gives names by what Juju says, and never by this.
        owner: the unit's user.

    Raises:
        failures.InstallFailed: there is something else, or the disk refuses.
    """
    with failures.installing(f"make the key {key_path}", f"see {key_path.parent}"):
        key = _key(key_path, owner)
        kept = _kept(request_path, key)
        if kept is not None:
            return kept
        request = _request(key, name)
        files.ensure(request_path, request, files.SHARED, owner)
        return request


def _key(path: pathlib.Path, owner: files.Owner) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        files.ensure(path, pem, files.SECRET, owner)
        return made
    try:
        key = keys.load(path)
    except keys.KeyRefused as error:
        raise failures.InstallFailed(
            str(error), f"remove {path}; the next hook makes another and asks for its certificate"
        ) from None
    # A hook may have been killed, or the user may have come back with another number.
    files.ensure(path, path.read_bytes(), files.SECRET, owner)
    return key


def _request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _kept(path: pathlib.Path, key: ec.EllipticCurvePrivateKey) -> bytes | None:
    """Return the request that is kept, if it is one for this key."""
    try:
        pem = path.read_bytes()
        request = x509.load_pem_x509_csr(pem)
    except (OSError, ValueError):
        return None
    return pem if request.public_key() == key.public_key() else None
