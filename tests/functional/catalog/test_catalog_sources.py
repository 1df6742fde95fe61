"""The source and its selections: declared by the settings file, or managed by commands."""

import dataclasses
import datetime

import pytest
import sqlalchemy as sa

from boot_resources.catalog import database, documents, sources
from support import catalogs

OTHER = sources.Source("https://mirror.example.com/stable/", b"keys")
NOBLE = sources.Selection("ubuntu", "noble", ("amd64",), ("*",), ("stable",))
NOBLE_ARM = sources.Selection("ubuntu", "noble", ("arm64",))
CENTOS = sources.Selection("centos", "8")
INDEX = documents.Document(
    path="streams/v1/index.sjson",
    updated=datetime.datetime(2025, 7, 24, tzinfo=datetime.UTC),
    sha256=catalogs.sha256("index"),
    etag='"one"',
    last_modified="Thu, 24 Jul 2025 00:00:00 GMT",
    payload=b"{}",
)


def test_a_new_catalog_has_no_source(catalog: database.Catalog) -> None:
    with catalog.read() as conn:
        assert sources.get_source(conn) is None
        assert sources.list_selections(conn) == ()


def test_commands_manage_what_nobody_declares(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        assert sources.set_source(conn, catalogs.SOURCE)
        assert not sources.set_source(conn, catalogs.SOURCE)
        assert sources.add_selection(conn, NOBLE)
        assert not sources.add_selection(conn, NOBLE)
        assert sources.add_selection(conn, NOBLE_ARM)
        assert sources.add_selection(conn, CENTOS)
        present = sources.get_source(conn)
        assert present is not None
        assert present.source == catalogs.SOURCE
        assert not present.declared
        assert not present.selections_declared
        assert sources.list_selections(conn) == (CENTOS, NOBLE, NOBLE_ARM)
        assert sources.remove_selection(conn, "ubuntu", "noble") == (NOBLE, NOBLE_ARM)
        assert sources.remove_selection(conn, "ubuntu", "noble") == ()
        assert sources.list_selections(conn) == (CENTOS,)


def test_a_wildcard_removes_only_itself(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        sources.set_source(conn, catalogs.SOURCE)
        sources.add_selection(conn, NOBLE)
        assert sources.remove_selection(conn, "*", "*") == ()


def test_a_selection_needs_a_source(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        with pytest.raises(sources.NoSource):
            sources.add_selection(conn, NOBLE)
        with pytest.raises(sources.NoSource) as caught:
            sources.declare(conn, None, [NOBLE])
    assert "sources set" in caught.value.cure


def test_a_declaration_is_made_so_exactly(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        sources.set_source(conn, OTHER)
        sources.add_selection(conn, CENTOS)
        sources.add_selection(conn, NOBLE)
        sources.declare(conn, catalogs.SOURCE, [NOBLE, NOBLE_ARM, NOBLE])
        present = sources.get_source(conn)
        assert present is not None
        assert present.source == catalogs.SOURCE
        assert sources.list_selections(conn) == (NOBLE, NOBLE_ARM)
        sources.declare(conn, catalogs.SOURCE, [])
        assert sources.list_selections(conn) == ()


def test_commands_cannot_change_what_is_declared(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        sources.declare(conn, catalogs.SOURCE, [])
        with pytest.raises(sources.Declared) as caught:
            sources.set_source(conn, OTHER)
        assert "settings file" in caught.value.cure
        with pytest.raises(sources.Declared):
            sources.add_selection(conn, NOBLE)
        with pytest.raises(sources.Declared):
            sources.remove_selection(conn, "ubuntu", "noble")


def test_source_and_selections_are_declared_apart(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        sources.declare(conn, catalogs.SOURCE, None)
        assert sources.add_selection(conn, NOBLE)
        sources.declare(conn, None, [CENTOS])
        assert sources.set_source(conn, OTHER)
        with pytest.raises(sources.Declared):
            sources.add_selection(conn, NOBLE)


def test_what_is_no_longer_declared_stays_and_can_be_managed(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        sources.declare(conn, catalogs.SOURCE, [NOBLE])
        sources.declare(conn, None, None)
        assert sources.list_selections(conn) == (NOBLE,)
        assert sources.add_selection(conn, CENTOS)
        assert sources.set_source(conn, OTHER)


def test_a_document_is_remembered_as_it_was_accepted(catalog: database.Catalog) -> None:
    newer = dataclasses.replace(INDEX, payload=b"newer", etag=None)
    with catalog.write() as conn:
        source_id = some_source(conn)
        documents.record(conn, source_id, INDEX)
        assert documents.accepted(conn, source_id) == {INDEX.path: INDEX}
        documents.record(conn, source_id, newer)
        assert documents.accepted(conn, source_id) == {INDEX.path: newer}


def test_a_guard_is_lowered_once(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        source_id = some_source(conn)
        documents.record(conn, source_id, INDEX)
        documents.lower_guard(conn, source_id, INDEX.path, "the mirror was restored")
        assert documents.lowered(conn, source_id) == {INDEX.path: "the mirror was restored"}
        assert documents.accepted(conn, source_id) == {INDEX.path: INDEX}
        documents.record(conn, source_id, INDEX)
        assert documents.lowered(conn, source_id) == {}


def test_the_guard_of_an_unknown_document_cannot_be_lowered(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        source_id = some_source(conn)
        documents.record(conn, source_id, INDEX)
        with pytest.raises(documents.UnknownDocument) as caught:
            documents.lower_guard(conn, source_id, "streams/v1/idnex.sjson", "a slip")
    assert INDEX.path in caught.value.cure


def test_another_url_is_another_feed(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        source_id = some_source(conn)
        documents.record(conn, source_id, INDEX)
        assert sources.set_source(conn, OTHER)
        assert documents.accepted(conn, source_id) == {}


def test_other_keys_keep_the_guard_and_verify_anew(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        source_id = some_source(conn)
        documents.record(conn, source_id, INDEX)
        assert sources.set_source(conn, dataclasses.replace(catalogs.SOURCE, keyring=b"other"))
        anew = dataclasses.replace(INDEX, etag=None, last_modified=None)
        assert documents.accepted(conn, source_id) == {INDEX.path: anew}


def some_source(conn: sa.Connection) -> int:
    sources.set_source(conn, catalogs.SOURCE)
    present = sources.get_source(conn)
    assert present is not None
    return present.id
