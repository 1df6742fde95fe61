"""Large objects become objects of the store: the same bytes, proved, by either reader."""

import hashlib
import pathlib
import struct
import threading
from collections.abc import Iterator

import pytest

from boot_resources import digests, units
from boot_resources.migration import copystream, database, export, pages, progress, readers
from boot_resources.store import partial, space, storage
from support import exporting, maas, stores

WAYS = {readers.Way.COPY: maas.READER, readers.Way.LO: maas.MAAS}
PAGE = 2048
BODIES = {
    "nothing": b"",
    "one byte": b"x",
    "less than a page": stores.noise(PAGE - 1),
    "a page": stores.noise(PAGE),
    "a page and a byte": stores.noise(PAGE + 1),
    "a block": stores.noise(units.MIB),
    "blocks and a part of one": stores.noise(),
}


@pytest.fixture(params=readers.Way)
def exporter(
    request: pytest.FixtureRequest, any_maas: maas.MaasDatabase, store: storage.Storage
) -> exporting.Exporter:
    """Give what exports each kind of database in each way, by the role that way is open to."""
    return exporting.Exporter(any_maas, store, WAYS[request.param], request.param)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[storage.Storage]:
    yield stores.storage_at(tmp_path / "store")
    stores.leave(tmp_path / "store")


def test_objects_of_any_size_arrive_as_they_are(exporter: exporting.Exporter) -> None:
    exporting.scene(exporter.found, *BODIES.values())
    exported = exporter.export()
    assert exported.set_aside == {}
    assert exported.done == {stores.name_of(body) for body in BODIES.values()}
    assert exported.read == sum(map(len, BODIES.values()))
    for body in BODIES.values():
        assert stores.read(exporter.store, stores.name_of(body)) == body
    last = exporter.reports[-1]
    assert (last.objects, last.size) == (len(BODIES), exported.read)
    assert (last.of_objects, last.of_size) == (len(BODIES), exported.read)


def test_holes_read_as_zeros(exporter: exporting.Exporter) -> None:
    body = bytearray(3 * units.MIB + 5000)
    oid = exporter.found.large_object(b"")
    for start, data in (
        (0, b"head"),
        (units.MIB + 3000, b"in the middle"),
        (len(body) - 4, b"tail"),
    ):
        exporter.found.execute("SELECT lo_put(%s, %s, %s)", oid, start, data)
        body[start : start + len(data)] = data
    stored = exporting.scene(exporter.found, bytes(body))[0]
    exporter.found.execute("UPDATE maasserver_largefile SET content = %s", oid)
    pages = exporter.found.execute(
        "SELECT count(*) FROM pg_largeobject WHERE loid = %s", oid, role=maas.READER
    )
    assert pages[0][0] < 10, "it has holes"
    assert exporter.export().done == {stored.sha256}
    assert stores.read(exporter.store, stored.sha256) == body


def test_what_is_done_is_not_read_again(exporter: exporting.Exporter) -> None:
    exporting.scene(exporter.found, *BODIES.values())
    first = exporter.export()
    again = exporter.export()
    assert again.done == first.done
    assert again.read == 0


def test_maas_waits_for_nothing_while_its_images_are_exported(
    exporter: exporting.Exporter,
) -> None:
    found = exporter.found
    exporting.scene(found, stores.noise(3 * units.MIB))
    write, taken = partial.Partial.write, []

    def look(incoming: partial.Partial, index: int, data: partial.Buffer) -> None:
        write(incoming, index, data)
        taken.extend(
            found.execute(
                "SELECT c.relname, l.mode FROM pg_locks l"
                " JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation"
                " WHERE a.application_name = %s AND c.relkind = 'r'",
                database.APPLICATION,
                role="postgres",
            )
        )
        if index == 1:
            # Nobody who holds any lock on a table lets it be altered.
            found.execute("SET lock_timeout = '10s'")
            found.execute("ALTER TABLE maasserver_bootresourcefile ADD COLUMN later int")
            found.seal()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(partial.Partial, "write", look)
        assert exporter.export().set_aside == {}
    assert taken
    assert not [table for table, _ in taken if table.startswith("maasserver_")]
    # The server's own functions open a large object, even to read it, as an UPDATE opens a table.
    assert {mode for _, mode in taken} <= {"AccessShareLock", "RowExclusiveLock"}


def test_as_many_objects_as_were_ordered_are_read_at_once(exporter: exporting.Exporter) -> None:
    exporter.parallel = 3
    exporting.scene(exporter.found, *(stores.noise(seed=number) for number in range(3)))
    write, together = partial.Partial.write, threading.Barrier(3)

    def meet(incoming: partial.Partial, index: int, data: partial.Buffer) -> None:
        if index == 0:
            # Broken, unless all three are in the midst of it.
            together.wait(30)
        write(incoming, index, data)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(partial.Partial, "write", meet)
        assert exporter.export().set_aside == {}


def test_an_object_is_read_on_behind_the_blocks_that_are_here(
    exporter: exporting.Exporter,
) -> None:
    body = stores.noise(5 * units.MIB + 7)
    (stored,) = exporting.scene(exporter.found, body)
    incoming = exporter.store.begin(stored.sha256, stored.size)
    for index in (0, 1, 3):
        incoming.write(index, stores.block_of(body, index))
    incoming.close()
    assert exporter.export().read == len(body) - 3 * units.MIB
    assert stores.read(exporter.store, stored.sha256) == body


def test_no_page_before_the_first_block_is_read(
    maas_3_5: maas.MaasDatabase, store: storage.Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = stores.noise(2 * units.MIB + PAGE)
    (stored,) = exporting.scene(maas_3_5, body)
    incoming = store.begin(stored.sha256, stored.size)
    incoming.write(0, stores.block_of(body, 0))
    incoming.close()
    block = pages.block
    numbers: list[int] = []

    def count(found: pages.Pages, *rest: int) -> copystream.Buffer:
        numbers.extend(number for (number,) in struct.iter_unpack(">I", found.numbers))
        return block(found, *rest)

    monkeypatch.setattr(pages, "block", count)
    assert exporting.Exporter(maas_3_5, store, maas.READER).export().done == {stored.sha256}
    assert numbers == list(range(units.MIB // PAGE, 2 * units.MIB // PAGE + 1))


def test_blocks_of_an_earlier_run_that_are_wrong_are_read_anew(
    exporter: exporting.Exporter,
) -> None:
    body = stores.noise()
    (stored,) = exporting.scene(exporter.found, body)
    incoming = exporter.store.begin(stored.sha256, stored.size)
    incoming.write(0, bytes(units.MIB))
    incoming.close()
    assert exporter.export().done == {stored.sha256}
    assert stores.read(exporter.store, stored.sha256) == body


# What cannot be exported


def test_what_is_wrong_is_set_aside_and_the_rest_arrives(exporter: exporting.Exporter) -> None:
    found, whole, wrong = exporter.found, b"whole" * 1000, stores.noise(seed=1)
    (good,) = exporting.scene(found, whole)
    resource = found.resource("ubuntu/jammy")
    other = bytearray(wrong)
    other[units.MIB] ^= 1
    bad = found.store(bytes(other), says=wrong)
    found.file(found.version(resource, "1"), "squashfs", bad)
    exported = exporter.export()
    assert exported.done == {good.sha256}
    assert exported.set_aside.keys() == {bad.sha256}
    assert (
        f"have the sha256 {hashlib.sha256(other).hexdigest()[:12]}"
        in exported.set_aside[bad.sha256]
    )
    assert exporting.holding(exporter.store.root) == {good.sha256}
    assert list((exporter.store.root / "partial").iterdir()) == []


def test_a_large_object_that_goes_away_is_set_aside(exporter: exporting.Exporter) -> None:
    good, gone = exporting.scene(exporter.found, b"good" * 1000, b"gone" * 1000)
    looked = exporter.look()
    exporter.found.remove(gone)
    exporter.found.seal()
    exported = exporter.export(looked)
    assert exported.done == {good.sha256}
    assert exported.set_aside.keys() == {gone.sha256}


def test_nothing_is_read_where_not_all_of_it_fits(exporter: exporting.Exporter) -> None:
    exporting.scene(exporter.found, *BODIES.values())
    exporter.store.reserve = 1 << 60
    with pytest.raises(space.NotEnoughSpace, match="missing") as caught:
        exporter.export()
    assert caught.value.cure.endswith("and run it again")
    assert exporting.holding(exporter.store.root) == set()
    assert exporter.reports == []


def test_an_export_that_is_stopped_keeps_what_it_has(exporter: exporting.Exporter) -> None:
    body = stores.noise(6 * units.MIB)
    (stored,) = exporting.scene(exporter.found, body)
    write, written = partial.Partial.write, []

    def stop_at_the_third(incoming: partial.Partial, index: int, data: partial.Buffer) -> None:
        write(incoming, index, data)
        written.append(index)
        if len(written) == 3:
            exporter.stop.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(partial.Partial, "write", stop_at_the_third)
        with pytest.raises(export.Stopped):
            exporter.export()
    assert exporting.holding(exporter.store.root) == set()
    exporter.stop.clear()
    assert exporter.export().read == 3 * units.MIB
    assert stores.read(exporter.store, stored.sha256) == body


def test_a_connection_that_is_lost_is_made_anew(exporter: exporting.Exporter) -> None:
    body = stores.noise(6 * units.MIB)
    (stored,) = exporting.scene(exporter.found, body)
    write, cut = partial.Partial.write, []

    def cut_at_the_second(incoming: partial.Partial, index: int, data: partial.Buffer) -> None:
        write(incoming, index, data)
        if index in (1, 4) and index not in cut:
            cut.append(index)
            exporter.found.end_sessions()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(partial.Partial, "write", cut_at_the_second)
        exported = exporter.export()
    assert cut
    assert exported.done == {stored.sha256}
    assert exported.read == len(body)
    assert stores.read(exporter.store, stored.sha256) == body


def test_a_connection_that_cannot_be_had_ends_the_export(exporter: exporting.Exporter) -> None:
    exporting.scene(exporter.found, stores.noise())
    looked = exporter.look()
    with exporter.found.closed():
        with pytest.raises(database.Unreachable, match="cannot be used"):
            exporter.export(looked)


def test_progress_tells_the_rate_and_what_is_left() -> None:
    now = [0.0]
    told: list[progress.Progress] = []
    meter = progress.Meter(2, 300, told.append, lambda: now[0])
    meter.resumed(100)
    now[0] = 10.0
    meter.read(50)
    assert told[-1] == progress.Progress(0, 2, 150, 300, 5.0)
    assert told[-1].seconds_left == 30.0
    assert str(told[-1]) == "0 of 2 objects, 150 B of 300 B, 5 B/s, 30 s left"
    meter.read(-50)
    meter.ended()
    assert told[-1].size == 150, "no more often than is of use"
    meter.ended()
    assert told[-1].objects == 2


def test_an_empty_object_needs_no_large_object_with_pages(exporter: exporting.Exporter) -> None:
    exporting.scene(exporter.found, b"")
    assert exporter.export().done == {digests.EMPTY_SHA256}
