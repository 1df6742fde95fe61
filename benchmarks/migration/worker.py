"""A way that is Python, gone once: reads its task from standard input, writes what it took.

It is a process of its own so that its memory and its processor time are the way's alone.
"""

import dataclasses
import hashlib
import json
import mmap
import pathlib
import sys
import threading
import time
from typing import Any

import psycopg

from benchmarks import processes
from benchmarks.migration import objects
from boot_resources.migration import contents, database, export, readers
from boot_resources.store import blocks, disk, storage

_CLUSTER = "7c9d5a4e-0000-4000-8000-00000000be7c"
_MAAS_READ = 64 * 1024
_INV_READ = 0x40000
_PAGE_SIZE = 2048
"""Of a server that nobody built otherwise."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Which way, of what, whereto.

    Attributes:
        kind: ``copy``, ``lo``, ``maas`` or ``disk``.
        url: the database.
        objects: what to bring.
        place: an empty directory.
    """

    kind: str
    url: str
    objects: tuple[objects.Object, ...]
    place: str


def main() -> None:
    """Do the task and measure it."""
    told = json.load(sys.stdin)
    task = Task(**told | {"objects": tuple(objects.Object(**each) for each in told["objects"])})
    work = {"copy": _ours, "lo": _ours, "maas": _maas, "disk": _disk}[task.kind]
    began, spent = time.monotonic(), time.process_time()
    work(task)
    seconds, cpu = time.monotonic() - began, time.process_time() - spent
    done = processes.Done(seconds, cpu, processes.peak("self"))
    json.dump(dataclasses.asdict(done), sys.stdout)


def _ours(task: Task) -> None:
    """Export as a region does, into a store of its own."""
    store = storage.Storage(pathlib.Path(task.place) / "store", reserve=0, grace=0.0)
    store.start(_CLUSTER)
    way = readers.Way(task.kind)
    found = [
        contents.Content(each.sha256, each.size, each.oid, contents.State.WHOLE)
        for each in task.objects
    ]
    access = readers.Access("", copy=True, owners=(), page_size=_PAGE_SIZE)
    exported = export.export(
        database.Database(task.url),
        readers.reader(access, way),
        sorted(found, key=lambda each: -each.size),
        store,
        export.Rules(),
        lambda _: None,
        threading.Event(),
    )
    store.stop()
    assert len(exported.done) == len(found), exported.set_aside


def _maas(task: Task) -> None:
    """Read as MAAS does: small reads in turn, into memory that is a file, then the file again."""
    with psycopg.connect(task.url) as conn, conn.cursor(binary=True) as cursor:
        for each in task.objects:
            path = pathlib.Path(task.place) / str(each.oid)
            with path.open("w+b") as stream:
                stream.truncate(each.size)
                with mmap.mmap(stream.fileno(), each.size) as target:
                    _pour(cursor, each.oid, target)
            whole = hashlib.sha256()
            with path.open("rb") as stream:
                while data := stream.read(_MAAS_READ):
                    whole.update(data)
            assert whole.hexdigest() == each.sha256


def _pour(cursor: psycopg.Cursor[Any], oid: int, target: mmap.mmap) -> None:
    """Read a large object from its beginning to its end, one answer after the other."""

    def ask(question: str, *values: int) -> Any:
        row = cursor.execute(question.encode(), values).fetchone()
        assert row is not None, "a SELECT without FROM gives one row"
        return row[0]

    descriptor = ask("SELECT lo_open(%s::oid, %s)", oid, _INV_READ)
    while data := ask("SELECT loread(%s, %s)", descriptor, _MAAS_READ):
        target.write(data)
    ask("SELECT lo_close(%s)", descriptor)


def _disk(task: Task) -> None:
    """Write as many bytes as the store does, through its own file layer, and sync them."""
    files = disk.Disk()
    data = hashlib.shake_128(b"noise").digest(blocks.BLOCK_SIZE)
    for each in task.objects:
        fd = files.create(pathlib.Path(task.place) / str(each.oid), each.size)
        for index in range(blocks.block_count(each.size)):
            length = blocks.block_length(index, each.size)
            files.write(fd, data[:length], blocks.block_start(index))
        files.sync(fd)
        files.release(fd)


if __name__ == "__main__":
    main()
