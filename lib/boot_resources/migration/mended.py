"""What an operator gave up and MAAS has mended since: that is not to be lost unseen.

An image is mended where nothing keeps it from coming along any more: MAAS's rows show no flaw, its
name here is free, and its bytes are what their sha256 says. Only reading them can tell, so they
are read, and thrown away; of such images alone, and where the rows show nothing.
"""

import hashlib
import threading
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import psycopg

from boot_resources import errors
from boot_resources.catalog import names
from boot_resources.migration import (
    contents,
    copystream,
    database,
    export,
    inventory,
    naming,
    readers,
)
from boot_resources.store import blocks


class Mended(errors.BootResourcesError):
    """What was given up can be had again."""


def require_none(
    maas: database.Database,
    found: inventory.Inventory,
    given_up: Iterable[naming.Migrant],
    held: AbstractSet[str],
    stop: threading.Event,
) -> None:
    """Do nothing where all that was given up is as wrong as it was.

    Args:
        maas: the database.
        found: what it holds.
        given_up: images whose loss was accepted, with all that keeps them from coming along.
        held: objects that are proved here, whose bytes need no reading.
        stop: set it to end early.

    Raises:
        Mended: something can be had again.
        export.Stopped: ``stop`` was set.
        readers.Unreadable: no way to the large objects is open.
        database.Unreachable: the database broke off.
    """
    suspects = [each for each in given_up if not each.flaws]
    if not suspects:
        return
    known = contents.classify(found).distinct()
    reader = readers.reader(found.access)

    def is_sound(sha256: str) -> bool:
        return sha256 in held or _is_sound(conn, reader, known[sha256], stop)

    with maas.snapshot() as conn:
        back = [
            each.image.name
            for each in suspects
            if all(is_sound(item.sha256) for item in each.image.items)
        ]
    if back:
        raise _mended(back)


def _is_sound(
    conn: database.Connection,
    reader: readers.Reader,
    content: contents.Content,
    stop: threading.Event,
) -> bool:
    """Return whether the bytes of a large object are what they should be."""
    assert content.oid is not None, "what has no flaw has a large object"
    read = hashlib.sha256()
    run = range(blocks.block_count(content.size))
    try:
        with conn.transaction():
            for _, data in reader.read(conn, content.oid, content.size, run):
                read.update(data)
                if stop.is_set():
                    raise export.Stopped
    except (psycopg.Error, readers.NotThere, copystream.BadStream):
        if conn.closed:
            raise
        return False
    return read.hexdigest() == content.sha256


def _mended(back: list[names.ImageName]) -> Mended:
    return Mended(
        f"MAAS has mended what was given up: {', '.join(map(str, back))}",
        "run `boot-resources migrate`, which takes it over; nothing was removed",
    )
