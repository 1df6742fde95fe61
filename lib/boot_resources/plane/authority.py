"""The authority: one directory from which controllers get their certificates.

``authority.key``   the private key, 0600; it never leaves this directory
``authority.crt``   its certificate; every controller trusts it
``members.json``    all that were issued a certificate and not removed since

Always true: the signer decides. Name, role and addresses come from whoever runs ``issue``; a
request contributes its public key and nothing else, whatever it asks for. A crash leaves an
authority that is there in full or not at all: its certificate is written last, and a key without
one is an interrupted ``create``, which the next ``create`` completes.
"""

import dataclasses
import datetime
import pathlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

from boot_resources import errors, units
from boot_resources.plane import certificates, durable, keys, members

KEY = "authority.key"
CERTIFICATE = "authority.crt"
MEMBERS = "members.json"


class AuthorityError(errors.BootResourcesError):
    """There is no authority, or there is one already, or its files are damaged."""


@dataclasses.dataclass(frozen=True)
class Issued:
    """A new certificate.

    Attributes:
        certificate_pem: in PEM.
        fingerprint: of the key it certifies, as the member list has it.
        expires: when it stops being valid, in UTC.
    """

    certificate_pem: bytes
    fingerprint: str
    expires: datetime.datetime


class Authority:
    """An authority that exists; ``create`` makes one, ``open`` finds it."""

    def __init__(
        self,
        directory: pathlib.Path,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
    ) -> None:
        self.directory = directory
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, directory: pathlib.Path, name: str) -> "Authority":
        """Make an authority in ``directory``, with an empty member list, and return it.

        Args:
            directory: made if it is missing; otherwise it must hold nothing else. Its mode
                becomes 0700.
            name: the common name of its certificate, for people to read.

        Raises:
            AuthorityError: there is an authority already, or something else is there.
            durable.NotWritten: the directory or a file cannot be made.
        """
        certificates.check_name(name)
        durable.make_directory(directory)
        with durable.locked(directory):
            _check_free(directory)
            durable.make_private(directory)
            key_path = directory / KEY
            key = keys.load(key_path) if key_path.exists() else keys.new(key_path)
            certificate = certificates.of_authority(key, name, units.utc_now())
            if not (directory / MEMBERS).exists():
                members.write(directory / MEMBERS, members.Members())
            durable.write(
                directory / CERTIFICATE,
                certificate.public_bytes(serialization.Encoding.PEM),
                mode=durable.PUBLIC,
            )
        return cls(directory, key, certificate)

    @classmethod
    def open(cls, directory: pathlib.Path) -> "Authority":
        """Return the authority in ``directory``.

        Raises:
            AuthorityError: there is none, its certificate cannot be read, or its key is
                another's.
            keys.KeyRefused: its key cannot be read.
        """
        try:
            content = (directory / CERTIFICATE).read_bytes()
            certificate = x509.load_pem_x509_certificate(content)
        except FileNotFoundError as error:
            raise AuthorityError(
                f"there is no authority in {directory}",
                "make one with `boot-resources ca create`, or name its place with --directory",
            ) from error
        except OSError as error:
            raise AuthorityError(
                f"cannot read {directory / CERTIFICATE}: {error.strerror}",
                "run this as the owner of the authority, usually root",
            ) from error
        except ValueError as error:
            raise AuthorityError(
                f"{directory / CERTIFICATE} holds no certificate in PEM",
                "restore the authority from its backup",
            ) from error
        key = keys.load(directory / KEY)
        if key.public_key() != certificate.public_key():
            raise AuthorityError(
                f"{KEY} and {CERTIFICATE} in {directory} do not belong together",
                "restore the authority from its backup",
            )
        return cls(directory, key, certificate)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate that every controller trusts, in PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def name(self) -> str:
        """The common name of its certificate."""
        return str(
            self._certificate.subject.get_attributes_for_oid(oid.NameOID.COMMON_NAME)[0].value
        )

    @property
    def expires(self) -> datetime.datetime:
        """When its certificate, and all it ever issued, stop being valid, in UTC."""
        return self._certificate.not_valid_after_utc

    @property
    def members_path(self) -> pathlib.Path:
        """The list of all that were issued a certificate and not removed since."""
        return self.directory / MEMBERS

    def issue(
        self,
        name: str,
        role: members.Role,
        addresses: Sequence[str],
        *,
        public_key: bytes,
        days: int = certificates.LEAF_DAYS,
    ) -> Issued:
        """Certify a key. This changes no member list.

        Args:
            name: the member's name; a Juju unit ``region/0`` is written ``region-0``.
            role: its role. Only a region's certificate can answer as a server.
            addresses: the IP addresses and DNS names it is reached at; a region needs one.
            public_key: a certificate request or a public key, in PEM. Of a request the
                signature is verified and the key taken; all else it says is ignored.
            days: how long the certificate is valid; never longer than the authority's own.

        Raises:
            certificates.NotIssued: the name or an address cannot be certified.
            keys.KeyRefused: the key cannot be certified.
            AuthorityError: the authority has expired.
        """
        now = units.utc_now()
        if now >= self.expires:
            raise AuthorityError(
                f"the authority in {self.directory} expired at {self.expires:%Y-%m-%d}",
                "make a new one in another directory, and let every controller trust both",
            )
        certificate = certificates.of_member(
            self._certificate,
            self._key,
            name=name,
            role=role,
            addresses=addresses,
            key=keys.read_public(public_key),
            now=now,
            days=days,
        )
        return Issued(
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
            fingerprint=members.fingerprint(certificate.public_bytes(serialization.Encoding.DER)),
            expires=certificate.not_valid_after_utc,
        )

    def enrol(
        self,
        name: str,
        role: members.Role,
        addresses: Sequence[str],
        *,
        public_key: bytes,
        days: int = certificates.LEAF_DAYS,
    ) -> Issued:
        """Certify a key and enter it in the member list; the arguments are those of ``issue``.

        A member is issued a new certificate as often as is wanted, for the same key and role.

        Raises:
            certificates.NotIssued: see ``issue``; or the name has another key or role in the
                list, or the key another name.
            keys.KeyRefused: see ``issue``.
            AuthorityError: see ``issue``.
            members.MembersError: the list cannot be read.
            durable.NotWritten: the list cannot be written.
        """
        issued = self.issue(name, role, addresses, public_key=public_key, days=days)
        member = members.Member(name, role, issued.fingerprint, tuple(addresses))
        members.update(self.members_path, lambda listed: _entered(listed, member))
        return issued

    def expel(self, name: str) -> members.Member:
        """Take a member out of the list; return it. Its certificate stays valid and useless.

        Raises:
            AuthorityError: there is no such member.
            members.MembersError: the list cannot be read.
            durable.NotWritten: the list cannot be written.
        """
        expelled: list[members.Member] = []

        def leave(listed: members.Members) -> members.Members:
            member = listed.named(name)
            if member is None:
                raise AuthorityError(
                    f"there is no member {name[:80]!r}", "`boot-resources ca list` shows them all"
                )
            expelled.append(member)
            return listed.without(name)

        members.update(self.members_path, leave)
        return expelled[0]

    def trusted_with(self, existing_pem: bytes) -> bytes:
        """Return ``existing_pem`` with this authority's certificate added, if it lacks it.

        So a reissue during a rotation never takes away the trust in the other authority.

        Raises:
            AuthorityError: ``existing_pem`` is not empty and holds no certificate.
        """
        if not existing_pem.strip():
            return self.certificate_pem
        try:
            trusted = x509.load_pem_x509_certificates(existing_pem)
        except ValueError as error:
            raise AuthorityError(
                f"the {CERTIFICATE} that is there already holds no certificate in PEM",
                "move it away, or choose another directory with --out",
            ) from error
        if self._certificate not in trusted:
            trusted.append(self._certificate)
        return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in trusted)


def _entered(listed: members.Members, member: members.Member) -> members.Members:
    """Return the list with ``member`` in it; only its addresses may differ from what is listed."""
    before = listed.named(member.name) or member
    if (before.role, before.fingerprint) != (member.role, member.fingerprint):
        raise certificates.NotIssued(
            f"{member.name} is a member already: a {before.role} with the key "
            f"{before.fingerprint}",
            f"reissue for that key and role; to replace them, `boot-resources ca remove "
            f"{member.name}` first",
        )
    try:
        return listed.with_member(member)
    except ValueError as error:
        raise certificates.NotIssued(
            f"the key of {member.name} is another member's already: {error}",
            "give every member a key of its own",
        ) from error


def _check_free(directory: pathlib.Path) -> None:
    """Return if ``directory`` is empty, or holds what an interrupted ``create`` left."""
    if (directory / CERTIFICATE).exists():
        raise AuthorityError(
            f"there is an authority in {directory} already",
            "issue from it with `boot-resources ca issue`; to replace it, make the new one in "
            "another directory",
        )
    foreign = [p.name for p in directory.iterdir() if p.name not in {KEY, MEMBERS}]
    foreign = [name for name in foreign if not name.endswith(".new")]
    if foreign:
        raise AuthorityError(
            f"{directory} holds something else ({min(foreign)})", "choose a directory of its own"
        )
