"""The guard: a document that is signed may still be an old one, or one from tomorrow. Pure.

An attacker who cannot sign can still serve what was signed once. So the date of the last accepted
document is remembered for each path, and a document may only be as new or newer. One dated far
ahead is refused too and never recorded: once accepted it would lock out every honest one after.
A clock of ours that is wrong must not poison the guard either, hence only the documents' own dates
are compared with each other. No rule compares the dates of different documents: in real streams
the index and its product documents differ.
"""

import dataclasses
import datetime
import hashlib

from boot_resources.source import document, fetch

MAX_AHEAD = datetime.timedelta(hours=24)
"""How far ahead of this host's clock a document may be dated."""


@dataclasses.dataclass(frozen=True)
class Accepted:
    """A document as it was last accepted: all that has to be remembered of it.

    Attributes:
        updated: its date, in UTC.
        sha256: of the payload.
        validators: what the server called it. Whoever changes a source's keyring forgets them,
            so that the document is fetched and verified again.
        payload: the verified bytes.
    """

    updated: datetime.datetime
    sha256: str
    validators: fetch.Validators
    payload: bytes = dataclasses.field(repr=False)


class Rollback(document.DocumentRefused):
    """The document is older than the one that was accepted."""


class Equivocation(document.DocumentRefused):
    """The document has the date of the one that was accepted, and another content."""


class FromTheFuture(document.DocumentRefused):
    """The document is dated too far ahead of this host's clock."""


def accept(
    name: str,
    payload: bytes,
    updated: datetime.datetime,
    validators: fetch.Validators,
    *,
    last: Accepted | None,
    now: datetime.datetime,
    lowered: bool,
) -> Accepted:
    """Return the document as it should be remembered.

    Args:
        name: its path.
        payload: its verified bytes.
        updated: the date they give.
        validators: what the server called it.
        last: the document that was accepted before under this path.
        now: this host's clock, in UTC.
        lowered: whether an operator lets an older, or another, document in this once.

    Raises:
        Rollback: it is older than ``last``.
        Equivocation: it is of the same date as ``last`` and has other bytes.
        FromTheFuture: it is dated more than ``MAX_AHEAD`` after ``now``.
    """
    if updated - now > MAX_AHEAD:
        raise FromTheFuture(
            name,
            f"it is dated {updated:%Y-%m-%d %H:%M} UTC, more than a day ahead of this host",
            cure="check this host's clock; if it is right, tell whoever publishes the source",
        )
    sha256 = hashlib.sha256(payload).hexdigest()
    if last is not None and not lowered:
        command = f"boot-resources sources accept-older --document {name} --reason TEXT"
        cure = f"if that is meant, run: {command}"
        if updated < last.updated:
            was, now_is = (f"{date:%Y-%m-%d %H:%M:%S}" for date in (last.updated, updated))
            why = f"it is of {now_is} UTC, older than the accepted one of {was} UTC"
            raise Rollback(name, why, cure=cure)
        if updated == last.updated and sha256 != last.sha256:
            why = f"it is of {updated:%Y-%m-%d %H:%M:%S} UTC as the accepted one, but another"
            raise Equivocation(name, why, cure=cure)
    return Accepted(updated, sha256, validators, payload)
