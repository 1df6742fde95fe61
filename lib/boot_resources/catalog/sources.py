"""The boot source, and which of what it offers is selected.

What a settings file declares is made so here, exactly, and then only the file changes it: the
managing calls refuse and say so. What it does not declare, the managing calls keep.

One source manages images: the first. The tables could hold more; nothing here makes a second.
Whoever changes anything locks the cluster first, so that two commands follow one another.
"""

import dataclasses
from collections.abc import Collection

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import cluster, schema


class Declared(errors.BootResourcesError):
    """The settings file says it, so a command cannot change it."""


class NoSource(errors.BootResourcesError):
    """There is no boot source yet."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where images come from, and the keyring that must have signed it.

    Attributes:
        url: the stream's address, as the operator wrote it.
        keyring: the keys, armoured or binary; None only where unsigned documents are allowed.
        allow_unsigned: whether documents that nobody signed are accepted.
    """

    url: str
    keyring: bytes | None
    allow_unsigned: bool = False


@dataclasses.dataclass(frozen=True)
class ManagedSource:
    """The source as the catalog holds it, and what of it the settings file declares."""

    id: int
    source: Source
    declared: bool
    selections_declared: bool


@dataclasses.dataclass(frozen=True, order=True)
class Selection:
    """Images that are wanted: ``*`` is any, and no filter at all is any, too."""

    os: str
    release: str
    arches: tuple[str, ...] = ()
    subarches: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.os}/{self.release}"


def declare(
    conn: sa.Connection, source: Source | None, selections: Collection[Selection] | None
) -> None:
    """Make the catalog equal what the settings file declares.

    Args:
        conn: a transaction that writes.
        source: the declared source; None where the file declares none.
        selections: the declared selections, all of them; None where the file declares none.

    Raises:
        NoSource: selections without a source, and the catalog has none.
    """
    cluster.lock(conn)
    if source is not None:
        _put(conn, source)
    present = get_source(conn)
    if present is None:
        if selections is not None:
            raise _no_source()
        return
    flags = {"declared": source is not None, "selections_declared": selections is not None}
    conn.execute(sa.update(schema.sources).where(_is(present.id)).values(flags))
    if selections is not None:
        stated = set(selections)
        before = set(list_selections(conn))
        _delete_selections(conn, present.id, before - stated)
        _insert_selections(conn, present.id, stated - before)


def get_source(conn: sa.Connection) -> ManagedSource | None:
    """Return the source that manages images; None where none was ever set."""
    row = conn.execute(sa.select(schema.sources).order_by(schema.sources.c.id).limit(1)).first()
    if row is None:
        return None
    source = Source(row.url, row.keyring, row.allow_unsigned)
    return ManagedSource(row.id, source, row.declared, row.selections_declared)


def set_source(conn: sa.Connection, source: Source) -> bool:
    """Make ``source`` the one that manages images; return whether that changed anything.

    Images stay, and are judged by what the new source offers. See ``_put`` for its documents.

    Raises:
        Declared: the settings file declares the source.
    """
    cluster.lock(conn)
    present = get_source(conn)
    if present is not None and present.declared:
        raise Declared(
            f"the settings file declares the boot source {present.source.url}",
            "change [source] in the settings file and restart the region",
        )
    return _put(conn, source)


def list_selections(conn: sa.Connection) -> tuple[Selection, ...]:
    """Return the selections of the source that manages images, in order."""
    present = get_source(conn)
    if present is None:
        return ()
    found = sa.select(schema.selections).where(schema.selections.c.source_id == present.id)
    return tuple(sorted(_selection(row) for row in conn.execute(found)))


def add_selection(conn: sa.Connection, selection: Selection) -> bool:
    """Select more; return whether that was not selected in these words before.

    Raises:
        Declared: the settings file declares the selections.
        NoSource: there is nothing to select from.
    """
    present = _managed(conn)
    if selection in list_selections(conn):
        return False
    _insert_selections(conn, present.id, {selection})
    return True


def remove_selection(conn: sa.Connection, os: str, release: str) -> tuple[Selection, ...]:
    """Remove every selection that names this ``os`` and ``release``, and return them.

    The names are compared letter by letter: ``*`` removes only a selection that says ``*``.

    Raises:
        Declared: the settings file declares the selections.
        NoSource: there is nothing to select from.
    """
    present = _managed(conn)
    gone = {s for s in list_selections(conn) if (s.os, s.release) == (os, release)}
    _delete_selections(conn, present.id, gone)
    return tuple(sorted(gone))


def _managed(conn: sa.Connection) -> ManagedSource:
    """Return the source whose selections a command may change."""
    cluster.lock(conn)
    present = get_source(conn)
    if present is None:
        raise _no_source()
    if present.selections_declared:
        raise Declared(
            "the settings file declares the selections",
            "change [[selections]] in the settings file and restart the region",
        )
    return present


def _put(conn: sa.Connection, source: Source) -> bool:
    """Make ``source`` the first source's row.

    Another URL is another feed: the old one's documents say nothing about it and are forgotten.
    Other keys for the same URL keep the guard's dates, but every document is fetched and verified
    once more.
    """
    present = get_source(conn)
    if present is None:
        flags = {"declared": False, "selections_declared": False}
        conn.execute(sa.insert(schema.sources).values(dataclasses.asdict(source) | flags))
        return True
    if present.source == source:
        return False
    conn.execute(
        sa.update(schema.sources).where(_is(present.id)).values(dataclasses.asdict(source))
    )
    of_source = schema.documents.c.source_id == present.id
    if present.source.url != source.url:
        conn.execute(sa.delete(schema.documents).where(of_source))
    else:
        unknown = {"etag": None, "last_modified": None}
        conn.execute(sa.update(schema.documents).where(of_source).values(unknown))
    return True


def _insert_selections(conn: sa.Connection, source_id: int, added: Collection[Selection]) -> None:
    rows = [{"source_id": source_id, **dataclasses.asdict(each)} for each in sorted(added)]
    if rows:
        conn.execute(sa.insert(schema.selections), rows)


def _delete_selections(conn: sa.Connection, source_id: int, gone: Collection[Selection]) -> None:
    found = sa.select(schema.selections).where(schema.selections.c.source_id == source_id)
    numbers = [row.id for row in conn.execute(found) if _selection(row) in gone]
    conn.execute(sa.delete(schema.selections).where(schema.selections.c.id.in_(numbers)))


def _selection(row: sa.Row[tuple[object, ...]]) -> Selection:
    return Selection(
        row.os, row.release, tuple(row.arches), tuple(row.subarches), tuple(row.labels)
    )


def _is(source_id: int) -> sa.ColumnElement[bool]:
    return schema.sources.c.id == source_id


def _no_source() -> NoSource:
    return NoSource(
        "there is no boot source to select from",
        "set one: 'boot-resources sources set URL --keyring FILE', or [source] in the settings",
    )
