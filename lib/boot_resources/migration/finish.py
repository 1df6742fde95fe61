"""The end of a migration: MAAS's images leave its database, once all of them are proved here.

Always true: nothing goes but images that a migration took over, or whose loss was accepted and
that could not be taken over now either (``mended``). Each of their objects was hashed from this
region's disk, all of it in this very run, and found to be what MAAS recorded; or was proved here
once and let go by this cluster since, as an older version is. Nobody else is connected, our role
owns what goes, and no other region has to be asked: all of that is said before the first byte is
hashed. That it is done is recorded before the space comes back, which others can hold up.
"""

import dataclasses
import threading
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import cluster, handovers, holdings, planning
from boot_resources.catalog import database as catalogs
from boot_resources.migration import (
    arrival,
    clients,
    contents,
    database,
    inventory,
    mended,
    naming,
    outcome,
    reclaim,
    removal,
    turns,
)
from boot_resources.store import storage

_SHOWN = 3
"""How many images or files a refusal names."""


class NotSucceeded(errors.BootResourcesError):
    """The migration out of that database has not succeeded."""


class NotAlone(errors.BootResourcesError):
    """Other regions keep images too, and nobody can ask them to hash theirs."""


class NotTakenOver(errors.BootResourcesError):
    """MAAS has images that the migration did not see."""


class Unproved(errors.BootResourcesError):
    """Something of MAAS's is not proved here, and has no resolution."""


@dataclasses.dataclass(frozen=True)
class Finished:
    """What the end came to.

    Attributes:
        hashed: bytes that were hashed on this region's disk.
        objects: objects that they are.
        removed: what went out of MAAS's database.
        space: what of its disk came back.
        rows: which of its rows, for people.
    """

    hashed: int
    objects: int
    removed: removal.Removed
    space: reclaim.Space
    rows: str


def finish(
    maas: database.Database,
    catalog: catalogs.Catalog,
    region: str,
    store: storage.Storage,
    tell: removal.Tell,
    stop: threading.Event,
    *,
    orphans: bool,
) -> Finished:
    """Remove MAAS's images from its database; irreversible.

    Args:
        maas: the database.
        catalog: what exists here.
        region: whose store it is: the only member.
        store: its store.
        tell: is told what is done, and how far it is.
        stop: set it to end early; the next run goes on.
        orphans: whether what nothing names goes, too.

    Raises:
        errors.BootResourcesError: what stands in the way; nothing was removed, or the database
            broke off half-way, and the next run goes on.
    """
    with turns.turn(catalog, region, stop) as lease, maas.severed_by(stop):
        found, _ = _look(maas, orphans=orphans)
        held = store.held()
        _require_accounted(maas, catalog, region, found, held.keys(), stop)
        sizes = {sha256: proof.size for sha256, proof in held.items()}
        hashed = _hash(store, sum(sizes.values()), tell, stop)
        # Hashing takes long enough for MAAS to have come and gone.
        found, planned = _look(maas, orphans=orphans)
        _require_accounted(maas, catalog, region, found, hashed, stop)

        def confirm() -> None:
            with catalog.write() as conn:
                turns.confirm(conn, lease)

        before = reclaim.size(maas)
        removed = removal.remove(maas, planned, confirm, tell, stop)
        with catalog.write() as conn:
            turns.confirm(conn, lease)
            handovers.finished(conn)
        tell("giving the space back", 0, 0)
        space = reclaim.give_back(maas, before)
    size = sum(sizes.get(sha256, 0) for sha256 in hashed)
    return Finished(size, len(hashed), removed, space, planned.rows())


def _look(maas: database.Database, *, orphans: bool) -> tuple[inventory.Inventory, removal.Plan]:
    """Return what MAAS has and what is to go, where nobody and nothing stands in the way."""
    with maas.snapshot() as session:
        found = inventory.read(session, emptied=True)
        clients.require_nobody(session)
        planned = removal.plan(found, orphans=orphans)
        removal.require_rights(session, planned)
    return found, planned


def _hash(
    store: storage.Storage, total: int, tell: removal.Tell, stop: threading.Event
) -> AbstractSet[str]:
    """Hash all that is held, from the disk; return what is sound."""
    lock = threading.Lock()
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        with lock:
            done += size
            tell("hashing", done, total)

    return store.verify(advance, stop.is_set).sound.keys()


def _require_accounted(
    maas: database.Database,
    catalog: catalogs.Catalog,
    region: str,
    found: inventory.Inventory,
    proved: AbstractSet[str],
    stop: threading.Event,
) -> None:
    """Do nothing where all that the database holds of images may go."""
    with catalog.read() as conn:
        _require_alone(conn, region)
        known = _require_succeeded(conn, maas)
        _require_proved(conn, known, found, proved)
        lost = known.lost()
        given_up = [e for e in arrival.candidates(conn, found) if e.image.name in lost]
    mended.require_none(maas, found, given_up, proved, stop)


def _require_alone(conn: sa.Connection, region: str) -> None:
    others = [each.name for each in cluster.members(conn) if each.name != region]
    if others:
        raise NotAlone(
            f"{', '.join(others)} keep images, too, and cannot be asked yet to hash theirs",
            "nothing needs to be removed: MAAS's database does no harm where it is",
        )


def _require_succeeded(conn: sa.Connection, maas: database.Database) -> handovers.Handover:
    """Return how the migration out of that database stands, where its last run succeeded."""
    known = handovers.find(conn)
    if known is None or known.succeeded is None or known.maas != maas.place:
        raise NotSucceeded(
            f"the migration out of {maas.name} has not succeeded", "boot-resources migrate"
        )
    if known.open():
        some = "; ".join(f"{e.image} {e.filename}".rstrip() for e in known.open()[:_SHOWN])
        raise NotSucceeded(
            f"the last run of the migration out of {maas.name} left something open: {some}",
            "mend it, or give its image up, with `boot-resources migrate`",
        )
    return known


def _require_proved(
    conn: sa.Connection,
    known: handovers.Handover,
    found: inventory.Inventory,
    proved: AbstractSet[str],
) -> None:
    """Do nothing where everything that the database holds of images is accounted for."""
    migrants = naming.migrants(found, contents.classify(found))
    new = [str(each.image.name) for each in migrants if not _is_known(each.image, known)]
    if new:
        raise NotTakenOver(
            f"MAAS has {len(new)} images that are not as the migration saw them: "
            + ", ".join(new[:_SHOWN]),
            "run `boot-resources migrate` again; nothing was removed",
        )
    # That the source listed an object once proves nothing: it has to have come.
    judged = outcome.judge(migrants, proved | holdings.let_go(conn), {}, set(), known.lost())
    if not judged.succeeded:
        some = "; ".join(f"{each.image} {each.filename}".rstrip() for each in judged.open[:_SHOWN])
        raise Unproved(
            f"{len(judged.open)} files that MAAS has are not proved on this region's disk: {some}",
            "`boot-resources sync` brings what the boot source lists, `boot-resources migrate`"
            " what MAAS has; nothing was removed",
        )


def _is_known(image: planning.WantedImage, known: handovers.Handover) -> bool:
    """Return whether MAAS has no more of the image now than when it was taken over or given up."""
    if image.name in known.lost():
        return True
    taken_over = known.taken_over.get(str(image.name), {})
    return image.files().items() <= taken_over.items()
