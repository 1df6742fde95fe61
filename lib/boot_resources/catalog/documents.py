"""What a source's documents last said: the guard's memory, and the last good copy.

Only a document that was verified and accepted is recorded. What is refused changes nothing here:
the last accepted payload stays in force, and its date goes on guarding against an older one.
"""

import dataclasses
import datetime

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import clock, schema, upserts


class UnknownDocument(errors.BootResourcesError):
    """No document of this name was ever accepted from the source."""


class NoReason(errors.BootResourcesError):
    """A guard is to be lowered, and nobody says why."""


@dataclasses.dataclass(frozen=True)
class Document:
    """A document as it was last accepted.

    Attributes:
        path: relative to the source's base, for example ``streams/v1/index.sjson``.
        updated: the date that the document itself gives.
        sha256: of ``payload``.
        etag: the server's validator, for the next conditional request; None where it gave none.
        last_modified: the server's other validator, as it wrote it.
        payload: the verified bytes, without the signature.
    """

    path: str
    updated: datetime.datetime
    sha256: str
    etag: str | None
    last_modified: str | None
    payload: bytes


def accepted(conn: sa.Connection, source_id: int) -> dict[str, Document]:
    """Return the last accepted documents of the source, by path."""
    columns = [schema.documents.c[field.name] for field in dataclasses.fields(Document)]
    found = sa.select(*columns).where(schema.documents.c.source_id == source_id)
    return {row.path: Document(*row) for row in conn.execute(found)}


def record(conn: sa.Connection, source_id: int, document: Document) -> None:
    """Remember the document as accepted now; where its guard was lowered, raise it again."""
    values = dataclasses.asdict(document) | {
        "accepted": clock.now(),
        "guard_lowered_reason": None,
    }
    key = {"source_id": source_id, "path": values.pop("path")}
    statement = upserts.insert(conn, schema.documents).values(key | values)
    conn.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def lower_guard(conn: sa.Connection, source_id: int, path: str, reason: str) -> None:
    """Let the next document at ``path`` be older than the accepted one, once.

    Raises:
        NoReason: the reason says nothing.
        UnknownDocument: none was accepted under this path, so nothing guards it.
    """
    if not reason.strip():
        raise NoReason(
            f"the guard of {path} is not lowered without a reason",
            "say why the source may go back; it is logged, and shown until a document has come",
        )
    lowered = sa.update(schema.documents).where(
        schema.documents.c.source_id == source_id, schema.documents.c.path == path
    )
    if conn.execute(lowered.values(guard_lowered_reason=reason)).rowcount == 0:
        known = ", ".join(sorted(accepted(conn, source_id))) or "none"
        raise UnknownDocument(
            f"no document {path} was accepted from the source", f"accepted documents: {known}"
        )


def lowered(conn: sa.Connection, source_id: int) -> dict[str, str]:
    """Return the reasons for which guards are lowered now, by path."""
    reason = schema.documents.c.guard_lowered_reason
    found = sa.select(schema.documents.c.path, reason).where(
        schema.documents.c.source_id == source_id, reason.is_not(None)
    )
    return {row.path: row.guard_lowered_reason for row in conn.execute(found)}
