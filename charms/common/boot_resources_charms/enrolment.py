"""What a unit was given by the regions' leader: who it is on the plane, and whom it trusts.

Always true: an ``Enrolment`` can be used, for certificate, key and authority belong together and
the member list has members and no contradiction. What cannot be used is never written over what
can.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from cryptography import exceptions, x509

from boot_resources import errors
from boot_resources.plane import keys, members

from . import failures, places, problems, workload

_CERTIFICATE = "controller.crt"
_AUTHORITY = "authority.crt"
_MEMBERS = "members.json"


@dataclasses.dataclass(frozen=True)
class Enrolment:
    """What the leader gave.

    Attributes:
        certificate: the unit's own, PEM.
        authority: the certificate that it trusts, PEM.
        members: all that may speak on the plane.
    """

    certificate: str
    authority: str
    members: tuple[members.Member, ...]

    def files(self) -> dict[str, workload.File | None]:
        """Return the files that hold it, by name."""
        entries = [dataclasses.asdict(member) for member in self.members]
        listed = json.dumps({"format": members.FORMAT, "members": entries}, indent=2)
        return {
            _CERTIFICATE: workload.File(self.certificate.encode()),
            _AUTHORITY: workload.File(self.authority.encode()),
            _MEMBERS: workload.File(f"{listed}\n".encode()),
        }


def plane_table(where: places.Places) -> dict[str, Any]:
    """Return the table ``[plane]`` of the settings, which names these files and the key."""
    return {
        "certificate": str(where.settings_directory / _CERTIFICATE),
        "key": str(where.key),
        "authority": str(where.settings_directory / _AUTHORITY),
        "members": str(where.settings_directory / _MEMBERS),
    }


def read_at_start(where: places.Places) -> str:
    """Return what of it the engine reads only when it starts; the member list it rereads.

    Raises:
        failures.InstallFailed: it cannot be read.
    """
    directory = where.settings_directory
    with failures.installing(f"read what is in {directory}", "see that directory"):
        files = [(directory / name).read_bytes() for name in (_CERTIFICATE, _AUTHORITY)]
    return b"".join(files).decode(errors="replace")


def given(
    unit: str,
    request: str,
    authority: str,
    certificates: Mapping[str, str],
    listed: tuple[members.Member, ...],
) -> Enrolment:
    """Return what the leader gave to ``unit``.

    Args:
        unit: as Juju names it: ``rack/0``.
        request: what it asked with, PEM.
        authority: PEM.
        certificates: PEM, by unit.
        listed: all that may speak on the plane.

    Raises:
        problems.Problem: the leader has no certificate for it yet, or one for another key; or
            what it gave cannot be used.
    """
    certificate = certificates.get(unit, "")
    if not _is_for(certificate, request):
        raise problems.Waiting("waiting for the regions' leader to issue a certificate")
    if not _is_by(certificate, authority):
        raise _unusable("an authority that did not issue the certificate of this unit")
    if not _is_list(listed):
        raise _unusable("a member list that is empty, or contradicts itself")
    return Enrolment(certificate, authority, listed)


def _is_for(certificate: str, request: str) -> bool:
    """Return whether a certificate has the key of a request; both PEM."""
    try:
        key = keys.read_public(request.encode())
        return x509.load_pem_x509_certificate(certificate.encode()).public_key() == key
    except (ValueError, exceptions.UnsupportedAlgorithm, errors.BootResourcesError):
        return False


def _is_by(certificate: str, authority: str) -> bool:
    """Return whether one of the authorities has issued a certificate that can be read; all PEM."""
    issued = x509.load_pem_x509_certificate(certificate.encode())
    try:
        trusted = x509.load_pem_x509_certificates(authority.encode())
    except ValueError:
        return False
    return any(_has_issued(each, issued) for each in trusted)


def _has_issued(authority: x509.Certificate, issued: x509.Certificate) -> bool:
    try:
        issued.verify_directly_issued_by(authority)
    except (
        ValueError,
        TypeError,
        exceptions.InvalidSignature,
        exceptions.UnsupportedAlgorithm,
    ):
        return False
    return True


def _is_list(listed: tuple[members.Member, ...]) -> bool:
    try:
        return bool(members.Members(listed).members)
    except ValueError:
        return False


def _unusable(what: str) -> problems.Problem:
    return problems.Problem(
        f"the regions' leader gave {what}",
        "see the region in juju status; if it has no complaint, juju refresh its application",
    )
