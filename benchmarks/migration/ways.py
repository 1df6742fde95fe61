r"""The ways to the bytes of large objects, each measured as processes of its own.

``COPY``        their pages by psql, into nothing: the limit
``copy``, ``lo``  our export with either reader: proved, durable, recorded
``\lo_export``  by psql, into files
``MAAS's way``  64 KiB after 64 KiB over one connection, then hashed from the files
``the disk``    as many bytes written and synced, from nowhere
"""

import contextlib
import dataclasses
import enum
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks import processes
from benchmarks.migration import objects, server, worker


class Way(enum.StrEnum):
    """A way, as it is called in the tables."""

    LIMIT = "COPY to /dev/null"
    COPY = "ours, copy"
    LO_EXPORT = r"psql \lo_export"
    LO = "ours, lo"
    MAAS = "MAAS's way"
    DISK = "write and fsync alone"


@dataclasses.dataclass(frozen=True)
class Cost:
    """What it took to go a way once.

    Attributes:
        rate: bytes a second.
        client: seconds of processor time in the client, for each GB.
        server: the same in PostgreSQL.
        memory: bytes that the client had in memory at the most.
    """

    rate: float
    client: float
    server: float
    memory: int


def go(
    way: Way, running: server.Server, wanted: Sequence[objects.Object], place: pathlib.Path
) -> Cost:
    """Bring the objects, one way, into an empty directory that is gone afterwards."""
    # What an earlier way wrote must not meet this one at the disk.
    os.sync()
    size = sum(each.size for each in wanted)
    with _emptied(place):
        before = processes.cpu_seconds(running.pid)
        done = _psql(way, running, wanted, place) or _worker(way, running, wanted, place)
        _wait_for_backends(running.pid)
        spent = processes.cpu_seconds(running.pid) - before
    return Cost(size / done.seconds, done.cpu / size * 1e9, spent / size * 1e9, done.memory)


@contextlib.contextmanager
def _emptied(place: pathlib.Path) -> Iterator[None]:
    place.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(place)


def _psql(
    way: Way, running: server.Server, wanted: Sequence[objects.Object], place: pathlib.Path
) -> processes.Done | None:
    """Go a way of psql's, one session for all; None where it is none."""
    if way is Way.LIMIT:
        orders = [
            "COPY (SELECT pageno, data FROM pg_catalog.pg_largeobject"
            f" WHERE loid = {each.oid} ORDER BY pageno) TO STDOUT (FORMAT binary)"
            for each in wanted
        ]
        role = objects.READER
    elif way is Way.LO_EXPORT:
        orders = [rf"\lo_export {each.oid} {place}/{each.oid}" for each in wanted]
        role = objects.OWNER
    else:
        return None
    words = [str(running.psql), "-qX", "-v", "ON_ERROR_STOP=1", running.url(role)]
    return processes.done([*words, *(word for order in orders for word in ("-c", order))])


def _worker(
    way: Way, running: server.Server, wanted: Sequence[objects.Object], place: pathlib.Path
) -> processes.Done:
    """Go a way that is Python: its process measures itself, without its own start."""
    task = worker.Task(
        kind={Way.COPY: "copy", Way.LO: "lo", Way.MAAS: "maas", Way.DISK: "disk"}[way],
        url=running.url(objects.READER if way is Way.COPY else objects.OWNER),
        objects=tuple(wanted),
        place=str(place),
    )
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.migration.worker"],
        input=json.dumps(dataclasses.asdict(task)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return processes.Done(**json.loads(ran.stdout))


def _wait_for_backends(pid: int) -> None:
    """Wait until no session is left: its time counts for the server once it ended."""
    while any("postgres: maas" in title or "postgres: reader" in title for title in _titles(pid)):
        time.sleep(0.01)


def _titles(pid: int) -> Iterator[str]:
    for child in processes.children(pid):
        with contextlib.suppress(OSError):
            yield pathlib.Path(f"/proc/{child}/cmdline").read_text()
