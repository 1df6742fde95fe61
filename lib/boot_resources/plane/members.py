"""Who counts: the keys that may speak on the plane port, each with its name and role.

Always true: a connection counts only if its certificate chain is valid (TLS sees to that) *and*
the certificate's key stands in the member list, in the role that the certificate itself names,
*and* the call is open to that role. The list has the last word: whoever leaves it has lost
access, however long the certificate is still valid.

A member is known by the fingerprint of its key, not of its certificate, so that a certificate
reissued for the same key needs no new list. Nothing here trusts a certificate's chain by itself:
hand ``admit`` only certificates that a TLS handshake has verified.
"""

import dataclasses
import enum
import functools
import hashlib
import json
import pathlib
import threading
from collections.abc import Callable, Collection
from typing import Annotated, Literal

import cryptography.exceptions
import pydantic
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from boot_resources import digests, errors
from boot_resources.plane import durable

FORMAT = 1
"""The version of the member list's file format."""
MAX_LIST_SIZE = 16 * 1024 * 1024
"""Bytes; a longer file is no member list."""
NAME_PATTERN = r"^[a-z0-9][a-z0-9.-]{0,63}$"
"""A member's name. X.509 gives a common name 64 characters (RFC 5280, ``ub-common-name``)."""

Name = Annotated[str, pydantic.StringConstraints(pattern=NAME_PATTERN)]
Fingerprint = Annotated[str, pydantic.AfterValidator(digests.check_sha256)]


class MembersError(errors.BootResourcesError):
    """The member list cannot be read, or contradicts itself."""


class NotAMember(errors.BootResourcesError):
    """A verified certificate does not give the right that was asked for.

    Attributes:
        fingerprint: of the key that was presented; empty where none could be read.
        why: one clause, for example ``"its key is not in the member list"``.
    """

    def __init__(self, fingerprint: str, why: str) -> None:
        super().__init__(
            f"refused the key {fingerprint or '(unreadable)'}: {why}",
            "see `boot-resources ca list`; issue it a certificate with `boot-resources ca issue`",
        )
        self.fingerprint = fingerprint
        self.why = why


class Role(enum.StrEnum):
    """What a member is; each call on the plane port names the roles it is open to."""

    REGION = "region"
    RACK = "rack"
    OPERATOR = "operator"


@dataclasses.dataclass(frozen=True)
class Member:
    """One entry of the member list.

    Attributes:
        name: unique in the list; a Juju unit ``region/0`` is written ``region-0``.
        role: what it is.
        fingerprint: of its key, see ``fingerprint``; unique in the list.
        addresses: IP addresses and DNS names in its certificate; informative here.
    """

    name: Name
    role: Role
    fingerprint: Fingerprint
    addresses: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Claims:
    """What a certificate says of its holder.

    Attributes:
        name: its common name.
        role: its organisational unit, as written; it may be no ``Role`` at all.
        fingerprint: of its key.
    """

    name: str
    role: str
    fingerprint: str


def fingerprint(certificate_der: bytes) -> str:
    """Return the sha256, in hexadecimal, of the certificate's SubjectPublicKeyInfo (RFC 5280).

    Raises:
        ValueError: where it is not a certificate with a key that we can read.
    """
    return claims(certificate_der).fingerprint


def claims(certificate_der: bytes) -> Claims:
    """Return what a certificate says; the caller has its chain verified.

    Raises:
        ValueError: where it is not a certificate with a key that we can read.
    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        key = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except cryptography.exceptions.UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    return Claims(
        name=_only(certificate.subject, x509.NameOID.COMMON_NAME),
        role=_only(certificate.subject, x509.NameOID.ORGANIZATIONAL_UNIT_NAME),
        fingerprint=hashlib.sha256(key).hexdigest(),
    )


def _only(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    """Return the one attribute of that kind; two would be one too many to trust either."""
    values = [attribute.value for attribute in name.get_attributes_for_oid(oid)]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""


@dataclasses.dataclass(frozen=True)
class Members:
    """A member list: immutable, every name and every fingerprint once.

    Raises:
        ValueError: where a name or a fingerprint occurs twice.
    """

    members: tuple[Member, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("name", "fingerprint"):
            seen: set[str] = set()
            for value in (getattr(member, kind) for member in self.members):
                if value in seen:
                    raise ValueError(f"the {kind} {value} occurs twice")
                seen.add(value)

    def admit(self, certificate_der: bytes, roles: Collection[Role]) -> Member:
        """Return the member that holds this verified certificate, if its role is in ``roles``.

        Raises:
            NotAMember: the key is not in the list; the certificate names another role than the
                list; the role is not one of ``roles``.
        """
        try:
            holder = claims(certificate_der)
        except ValueError as error:
            raise NotAMember("", f"its certificate cannot be read ({error})") from error
        member = self._by_fingerprint.get(holder.fingerprint)
        if member is None:
            raise NotAMember(
                holder.fingerprint,
                f"its key is not in the member list (the certificate says {holder.name!r})",
            )
        if holder.role != member.role:
            raise NotAMember(
                holder.fingerprint,
                f"{member.name} is a {member.role} in the member list, "
                f"but its certificate says {holder.role!r}",
            )
        if member.role not in roles:
            allowed = " or ".join(sorted(roles))
            raise NotAMember(
                holder.fingerprint,
                f"{member.name} is a {member.role}, and this is for {allowed} only",
            )
        return member

    def named(self, name: str) -> Member | None:
        """Return the member of that name."""
        return next((member for member in self.members if member.name == name), None)

    def with_member(self, member: Member) -> "Members":
        """Return the list with ``member`` in it, in place of the entry of the same name.

        Raises:
            ValueError: where another name has the same fingerprint.
        """
        others = tuple(m for m in self.members if m.name != member.name)
        return Members(tuple(sorted((*others, member), key=lambda m: m.name)))

    def without(self, name: str) -> "Members":
        """Return the list without the member of that name."""
        return Members(tuple(member for member in self.members if member.name != name))

    @functools.cached_property
    def _by_fingerprint(self) -> dict[str, Member]:
        return {member.fingerprint: member for member in self.members}


@dataclasses.dataclass(frozen=True)
class _Document:
    """The file: ``{"format": 1, "members": [...]}``."""

    format: Literal[1]
    members: tuple[Member, ...]


_DOCUMENT = pydantic.TypeAdapter(_Document)


def load(path: pathlib.Path) -> Members:
    """Return the member list in the file ``path``.

    Raises:
        MembersError: the file is missing, is not JSON, has another format, or names an unknown
            role, or one name or one fingerprint twice.
    """
    cure = "copy members.json from the authority's directory to this controller"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LIST_SIZE + 1)
        if len(content) > MAX_LIST_SIZE:
            raise MembersError(f"the member list {path} is longer than 16 MiB", cure)
        return Members(_DOCUMENT.validate_json(content).members)
    except OSError as error:
        raise MembersError(
            f"cannot read the member list {path}: {error.strerror}", cure
        ) from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise MembersError(
            f"the member list {path} is not valid: {place + ': ' if place else ''}{first['msg']}",
            cure,
        ) from error
    except ValueError as error:
        raise MembersError(f"the member list {path} is not valid: {error}", cure) from error


def write(path: pathlib.Path, members: Members) -> None:
    """Make ``members`` the content of the file ``path``, durably and in one step.

    Raises:
        durable.NotWritten: the file then holds the old list or the new one, whole.
    """
    entries = [dataclasses.asdict(member) for member in members.members]
    document = json.dumps({"format": FORMAT, "members": entries}, indent=2)
    durable.write(path, f"{document}\n".encode(), mode=durable.PUBLIC)


def update(path: pathlib.Path, change: Callable[[Members], Members]) -> Members:
    """Replace the list in ``path`` by what ``change`` makes of it; return that.

    Two that update one list at a time take turns; neither change is lost.

    Raises:
        MembersError: the list cannot be read.
        durable.NotWritten: the file then holds the old list or the new one, whole.
    """
    with durable.locked(path.parent):
        members = change(load(path))
        write(path, members)
    return members


class MemberFile:
    """The member list of a running controller: read again whenever its file changes.

    A file that is broken, half copied or gone changes nothing: the last good list stays in
    force, and ``problem`` says what is wrong until the file is good again. So ``current`` never
    raises, and one ``stat`` is all it costs while nothing changes. Safe to use from several
    threads.

    To close the connections of whoever left, look at all that are open whenever ``current``
    returns another list than before.

    Raises:
        MembersError: where there is no good list to begin with.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._problem: MembersError | None = None
        self._stamp = _stamp(path)
        self._members = load(path)

    @property
    def problem(self) -> MembersError | None:
        """What is wrong with the file, as ``current`` found it last."""
        return self._problem

    def current(self) -> Members:
        """Return the list in force now; the same object for as long as the file is the same."""
        with self._lock:
            stamp = _stamp(self.path)
            if stamp != self._stamp or self._problem is not None:
                # The stamp is taken before the file is read: a file that changes in between
                # gives another stamp next time, and is read again.
                self._stamp = stamp
                try:
                    self._members = load(self.path)
                    self._problem = None
                except MembersError as error:
                    self._problem = error
            return self._members


def _stamp(path: pathlib.Path) -> tuple[int, ...]:
    """Return what changes when a file is replaced or rewritten; empty where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
