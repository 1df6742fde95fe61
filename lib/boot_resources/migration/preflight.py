"""Would it fit, and work? Everything that can be known before the first byte; changes nothing.

What stands in the way is said completely, not one thing at a time: an operator plans one downtime,
not several.
"""

import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet

import psycopg

from boot_resources import errors
from boot_resources.catalog import names
from boot_resources.migration import (
    clients,
    contents,
    database,
    export,
    inventory,
    naming,
    outcome,
    readers,
    schema,
)
from boot_resources.store import blocks, identity, objects, space

SAMPLE_SECONDS = 3.0
SAMPLE_BLOCKS = 64
"""How long, and how much, is read to estimate how long all of it takes."""
_NAMED = 3
"""How many images a blocker names."""


Judge = Callable[[inventory.Inventory, AbstractSet[str]], outcome.Outcome]
"""Says what a migration would come to with these objects on the disk."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many of each kind there are.

    Attributes:
        synced: resources that MAAS fetched from a boot source.
        uploaded: resources that an operator made.
        files: files of all of them that count.
        distinct: the objects that they come to.
        shared: objects that are several files.
        leftovers: files of an old kind that nobody serves.
        unused: large files that no file names.
        orphans: large objects that no large file names.
        orphan_bytes: bytes of those, as far as we may look.
        twins: short names of MAAS's that stand for several objects.
    """

    synced: int
    uploaded: int
    files: int
    distinct: int
    shared: int
    leftovers: int
    unused: int
    orphans: int
    orphan_bytes: int
    twins: int


@dataclasses.dataclass(frozen=True)
class Blocker:
    """What stands in the way, and what to do about it."""

    text: str
    cure: str


@dataclasses.dataclass(frozen=True)
class Check:
    """What is known before an export.

    Attributes:
        generation: which MAAS left the database.
        counts: what is there.
        broken: files that cannot be exported: the image, the file and the reason.
        to_read: bytes that are still to be read.
        room: what they need on the disk, and what is there.
        seconds: about how long that takes over one connection; None where nothing is to be read.
        clients: who is connected besides us.
        query: the SQL that tells the bytes needed by hand.
        way: how large objects are read; None where no way is open.
        grant: the SQL that opens ``copy``; empty where that is the way.
        blockers: what stands in the way.
    """

    generation: schema.Generation
    counts: Counts
    broken: tuple[tuple[str, naming.Flaw], ...]
    to_read: int
    room: space.Room
    seconds: float | None
    clients: tuple[clients.Client, ...]
    query: str
    way: readers.Way | None
    grant: str
    blockers: tuple[Blocker, ...]

    @property
    def ready(self) -> bool:
        """Whether an export would fit and work."""
        return not self.blockers


def check(
    maas: database.Database,
    root: pathlib.Path,
    reserve: int,
    held: AbstractSet[str],
    judge: Judge | None = None,
    *,
    online: bool = False,
) -> Check:
    """Look at a MAAS database, and at the store that its images would go to.

    Args:
        maas: the database.
        root: the store's directory, or where it would be.
        reserve: bytes that are to stay free there.
        held: objects that the store has.
        judge: says what it would come to; ``guess`` where nobody can be asked what is listed.
        online: whether MAAS may be connected.

    Raises:
        schema.NotMaas: as ``inventory.read``, and so are its other errors.
        database.Unreachable: the database cannot be reached, or broke off.
    """
    with maas.snapshot() as conn:
        found = inventory.read(conn)
        known = contents.classify(found)
        missing = [each for each in known.whole() if each.sha256 not in held]
        connected = clients.connected(conn)
        standby = clients.is_standby(conn)
        way, blockers = _way(found.access)
        rate = _sample(conn, readers.reader(found.access, way), missing) if way else None
    room, unusable = _room(root, reserve, missing)
    blockers += unusable
    blockers += list(_foreign(root))
    blockers += list(_refusals(lambda: export.require_room(room)))
    if not online:
        blockers += list(_refusals(lambda: clients.require_no_maas(connected, standby=standby)))
    blockers += list(_no_files(found))
    sound = {*held, *(each.sha256 for each in missing)}
    blockers += list(_would_stay_open((judge or guess)(found, sound)))
    to_read = sum(each.size for each in missing)
    return Check(
        generation=found.generation,
        counts=_count(found, known),
        broken=tuple(
            (str(migrant.image.name), flaw)
            for migrant in naming.migrants(found, known)
            for flaw in migrant.flaws
        ),
        to_read=to_read,
        room=room,
        seconds=to_read / rate if rate else None,
        clients=connected,
        query=schema.query_for_space(found.generation),
        way=way,
        grant="" if way is readers.Way.COPY else found.access.grant,
        blockers=tuple(blockers),
    )


def guess(found: inventory.Inventory, sound: AbstractSet[str]) -> outcome.Outcome:
    """Return what it would come to if the boot source listed all that MAAS ever synced."""
    migrants = naming.migrants(found, contents.classify(found))
    synced = (each.image for each in migrants if each.image.name.product.label != names.UPLOADED)
    listed = {item.sha256 for image in synced for item in image.items}
    return outcome.judge(migrants, sound, {}, listed, ())


def _would_stay_open(judged: outcome.Outcome) -> Iterator[Blocker]:
    if judged.open:
        images = sorted({str(each.image) for each in judged.open})
        files = "1 file" if len(judged.open) == 1 else f"{len(judged.open)} files"
        yield Blocker(
            f"{files} would stay open, of {', '.join(images[:_NAMED])}",
            "upload such images to MAAS anew; or begin all the same, and then bring the files with"
            " boot-resources store adopt DIRECTORY, or give their images up:"
            " boot-resources migrate --accept-lost NAME",
        )


def _no_files(found: inventory.Inventory) -> Iterator[Blocker]:
    if found.sets and not found.files:
        yield Blocker(
            f"MAAS has {len(found.sets)} image versions and no file of any: its images left"
            " that database, as they do when a migration is finished",
            "there is nothing to take over: take [migration] out of the settings file",
        )


def _foreign(root: pathlib.Path) -> Iterator[Blocker]:
    """Say whether a region would refuse the directory."""
    # What cannot be looked at is said with the room.
    with contextlib.suppress(OSError):
        yield from _refusals(lambda: identity.require_takeable(root, identity.store_of("")))


def _way(access: readers.Access) -> tuple[readers.Way | None, list[Blocker]]:
    try:
        return access.way(), []
    except readers.Unreadable as error:
        return None, [Blocker(str(error), error.cure)]


def _room(
    root: pathlib.Path, reserve: int, missing: Collection[contents.Content]
) -> tuple[space.Room, list[Blocker]]:
    """Return the room for what is missing; partial objects have some of theirs already."""
    reserved: dict[str, int] = {}
    blockers = []
    try:
        partials = objects.ObjectTree(root).partials()
        reserved = {each.sha256: each.space for each in partials}
    except FileNotFoundError:
        # The region makes it when it starts.
        pass
    except OSError as error:
        text = f"storage.path {root} cannot be used: {error.strerror}"
        cure = "name a directory, and let the region's user, whom this check needs, read it"
        blockers.append(Blocker(text, cure))
    needed = sum(
        max(0, space.on_disk(each.size) - reserved.get(each.sha256, 0)) for each in missing
    )
    new = len({each.sha256 for each in missing} - reserved.keys())
    return space.room(_nearest(root), needed, reserve, new), blockers


def _nearest(path: pathlib.Path) -> pathlib.Path:
    """Return the path, or the nearest one above it, of whose file system we may ask."""
    for there in (path, *path.parents):
        with contextlib.suppress(OSError):
            os.statvfs(there)
            return there
    raise AssertionError("everybody may ask that of the root of all paths")


def _refusals(require: Callable[[], None]) -> Iterator[Blocker]:
    try:
        require()
    except errors.BootResourcesError as error:
        yield Blocker(str(error), error.cure)


def _sample(
    conn: database.Connection, reader: readers.Reader, missing: Iterable[contents.Content]
) -> float | None:
    """Read some of the largest objects; return bytes a second, None where there is nothing."""
    begun = time.monotonic()
    came = 0
    for content in missing:
        assert content.oid is not None, "what is whole has a large object"
        run = range(min(SAMPLE_BLOCKS, blocks.block_count(content.size)))
        stream = reader.read(conn, content.oid, content.size, run)
        try:
            with conn.transaction(), contextlib.closing(stream):
                for _, data in stream:
                    came += len(data)
                    enough = came >= SAMPLE_BLOCKS * blocks.BLOCK_SIZE
                    if enough or time.monotonic() - begun > SAMPLE_SECONDS:
                        return came / (time.monotonic() - begun)
        except (psycopg.Error, readers.NotThere):
            # The export sets it aside, with what the server says.
            if conn.closed:
                raise
    return came / (time.monotonic() - begun) if came else None


def _count(found: inventory.Inventory, known: contents.Contents) -> Counts:
    synced = sum(each.rtype == inventory.SYNCED for each in found.resources)
    return Counts(
        synced=synced,
        uploaded=len(found.resources) - synced,
        files=len(known.of_file),
        distinct=len(known.distinct()),
        shared=known.shared(),
        leftovers=len(known.leftovers),
        unused=len(known.unused),
        orphans=len(known.orphans),
        orphan_bytes=sum(size or 0 for size in known.orphans.values()),
        twins=len(known.twins),
    )
