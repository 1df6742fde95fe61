"""Hundreds of megabytes, holes of hundreds of megabytes, and thousands of small files."""

import hashlib
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Iterator

import pytest

from boot_resources import units
from boot_resources.migration import database, inventory, readers, removal
from boot_resources.store import blocks
from support import exporting, maas, mortals, postgres, stores, vast

WAYS = {readers.Way.COPY: maas.READER, readers.Way.LO: maas.MAAS}
DENSE = 256 * units.MIB + 777
SPARSE = 384 * units.MIB + 5
HEAD, ISLAND, TAIL = range(700), range(102_000, 102_003), range(196_608, 196_609)
SPARE_MEMORY = 32 * units.MIB
"""What an export of hundreds of megabytes may take more than one of a few bytes."""
BEYOND = 5 * units.GIB + 777
MANY = 2000
MORE_THAN_LOCKS = 20_000
"""More large objects than the tests' servers have room for locks."""


@pytest.fixture(scope="module")
def vast_maas(postgresql_server: postgres.Server) -> Iterator[maas.MaasDatabase]:
    """Give a MAAS with two images of hundreds of megabytes, one of them full of holes."""
    for found in maas.made(postgresql_server, maas.V3_5):
        resource = found.resource("ubuntu/noble", "amd64/ga-24.04")
        dense = vast.store(found, DENSE, range(DENSE // vast.PAGE + 1))
        sparse = vast.store(found, SPARSE, HEAD, ISLAND, TAIL)
        for number, stored in enumerate((dense, sparse)):
            found.file(found.version(resource, f"2024050{number}"), "squashfs", stored)
        yield found


@pytest.fixture
def memory() -> Iterator[pathlib.Path]:
    """Give a directory in memory, where there is one: thousands of fsyncs take their time."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as directory:
        yield pathlib.Path(directory)


@pytest.mark.parametrize("way", readers.Way)
def test_hundreds_of_megabytes_arrive_whole_and_take_no_more_memory(
    way: readers.Way,
    vast_maas: maas.MaasDatabase,
    maas_3_5: maas.MaasDatabase,
    tmp_path: pathlib.Path,
) -> None:
    exporting.scene(maas_3_5, b"a few bytes")
    peaks = []
    with mortals.Mortals("support.exporting:weighed") as processes:
        for found in (maas_3_5, vast_maas):
            life = processes.work(str(tmp_path / found.name), found.url(WAYS[way]))
            assert life.said is not None
            peaks.append(int(life.said))
    rows = vast_maas.execute("SELECT sha256, total_size FROM maasserver_largefile")
    for sha256, size in rows:
        path = tmp_path / vast_maas.name / "objects" / sha256
        assert path.stat().st_size == size
        with path.open("rb") as stream:
            assert hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    assert len(rows) == 2
    assert peaks[1] - peaks[0] < SPARE_MEMORY
    shutil.rmtree(tmp_path / vast_maas.name)


@pytest.mark.parametrize("way", readers.Way)
def test_blocks_beyond_four_gigabytes_are_read(
    way: readers.Way, maas_3_5: maas.MaasDatabase
) -> None:
    oid = maas_3_5.large_object(b"")
    last = BEYOND // vast.PAGE
    vast.add_pages(maas_3_5, oid, BEYOND, range(last - 1, last + 1))
    first_block = blocks.block_count(BEYOND) - 2
    with database.Database(maas_3_5.url(WAYS[way])).snapshot() as conn:
        looked = inventory.read(conn)
        assert looked.objects[oid].size == BEYOND
        reader = readers.reader(looked.access, way)
        run = range(first_block, first_block + 2)
        read = [bytes(data) for _, data in reader.read(conn, oid, BEYOND, run)]
    both = b"".join(read)
    assert len(both) == BEYOND - blocks.block_start(first_block)
    assert both.rstrip(b"\0").lstrip(b"\0") == vast.page(last - 1) + vast.page(last)[:777]
    assert both.endswith(vast.page(last)[:777])


@pytest.mark.parametrize("way", readers.Way)
def test_thousands_of_small_files_arrive(
    way: readers.Way, maas_3_5: maas.MaasDatabase, memory: pathlib.Path
) -> None:
    names = vast.store_many(maas_3_5, MANY)
    store = stores.storage_at(memory / "store")
    assert exporting.Exporter(maas_3_5, store, WAYS[way]).export().done == names
    assert store.verify(lambda _: None, lambda: False).sound.keys() == names
    stores.leave(store.root)


def test_more_large_objects_go_than_the_server_has_locks(maas_3_4: maas.MaasDatabase) -> None:
    maas_3_4.execute(
        "SELECT count(lo_from_bytea(0, 'x')) FROM generate_series(1, %s)", MORE_THAN_LOCKS
    )
    maas_3_4.leave()
    found = database.Database(maas_3_4.url())
    with found.snapshot() as conn:
        planned = removal.plan(inventory.read(conn), orphans=True)
    removed = removal.remove(found, planned, lambda: None, lambda *_: None, threading.Event())
    assert removed.objects == MORE_THAN_LOCKS
