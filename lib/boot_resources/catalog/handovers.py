"""The handover of images out of a MAAS database, as a fact of the catalog.

Always true: that it has succeeded is written in the transaction in which the images arrive, so
either both are so or neither; and it is never taken back: what a later run leaves open is recorded
beside it. A loss that an operator accepted stays accepted, with who said so and when. In a cluster
that never had an image to offer when a region was told to migrate, nothing is offered before that
success; one that serves already goes on serving. Whenever that changes, the epoch rises.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from boot_resources.catalog import clock, cluster, names, schema, upserts

LOST, OPEN = "lost", "open"
"""The resolutions of what an operator gave up, and of what somebody has to decide."""
TakenOver = Mapping[str, Mapping[str, str]]
"""The sha256 of each file of each image, by the image's name and the file's."""


@dataclasses.dataclass(frozen=True)
class SetAside:
    """A file that did not come along, or with no file name the image itself.

    Attributes:
        image: its name.
        filename: the file's.
        sha256: of the file.
        size: bytes that it is to have.
        reason: why it did not come.
        resolution: what becomes of it: ``re-download``, ``lost`` or ``open``.
        accepted_by: who accepted the loss; empty where it is none.
        accepted: when, by the database's clock, in ISO 8601; empty where it is none.
    """

    image: str
    filename: str
    sha256: str
    size: int
    reason: str
    resolution: str
    accepted_by: str = ""
    accepted: str = ""


@dataclasses.dataclass(frozen=True)
class Handover:
    """How the handover stands.

    Attributes:
        region: which region was told to migrate.
        maas: out of which database, without a password; empty before anyone looked there.
        withholds: whether nothing is offered until it has succeeded; never again after that.
        succeeded: when all of it was accounted for, the first time.
        finished: since when MAAS's database no longer holds the images.
        set_aside: what did not come along in the last run.
        taken_over: what came along in the last run that succeeded, whatever became of it since.
    """

    region: str
    maas: str
    withholds: bool
    succeeded: datetime.datetime | None
    finished: datetime.datetime | None
    set_aside: tuple[SetAside, ...]
    taken_over: TakenOver

    def lost(self) -> frozenset[names.ImageName]:
        """Return the images whose loss was accepted."""
        lost = {each.image for each in self.set_aside if each.resolution == LOST}
        return frozenset(map(names.ImageName.parse, lost))

    def open(self) -> tuple[SetAside, ...]:
        """Return what somebody has to decide: before there is success, or since."""
        return tuple(each for each in self.set_aside if each.resolution == OPEN)


def find(conn: sa.Connection) -> Handover | None:
    """Return how the handover stands; None where no region was told to migrate."""
    row = conn.execute(sa.select(schema.handover)).one_or_none()
    if row is None:
        return None
    return Handover(
        region=row.region,
        maas=row.maas,
        withholds=row.withholds,
        succeeded=row.succeeded,
        finished=row.finished,
        set_aside=tuple(SetAside(**each) for each in row.set_aside),
        taken_over=row.taken_over,
    )


def begin(conn: sa.Connection, region: str, maas: str) -> None:
    """Note that a region was told to migrate; where one was before, that stays as it is."""
    cluster.lock(conn)
    offered = sa.exists().where(schema.images.c.available_since.is_not(None))
    withholds = not conn.execute(sa.select(offered)).scalar_one()
    values = {
        "id": 1,
        "region": region,
        "maas": maas,
        "withholds": withholds,
        "begun": clock.now(),
        "set_aside": [],
        "taken_over": {},
    }
    new = upserts.insert(conn, schema.handover).values(values).on_conflict_do_nothing()
    if conn.execute(new).rowcount and withholds:
        # What is withheld from now on is withheld under an epoch of its own.
        cluster.bump_epoch(conn)
    # Who was told at the start had not looked there yet.
    unnamed = sa.update(schema.handover).where(schema.handover.c.maas == "")
    conn.execute(unnamed.values(maas=maas))


def call_off(conn: sa.Connection, region: str) -> bool:
    """Forget a handover that this region was told and that has not succeeded.

    Returns:
        whether there was one.
    """
    not_yet = sa.delete(schema.handover).where(
        schema.handover.c.region == region, schema.handover.c.succeeded.is_(None)
    )
    if not conn.execute(not_yet).rowcount:
        return False
    # What was withheld until now is offered under an epoch of its own.
    cluster.bump_epoch(conn)
    return True


def judged(
    conn: sa.Connection,
    maas: str,
    set_aside: Iterable[SetAside],
    by: str,
    taken_over: TakenOver,
    *,
    succeeded: bool,
) -> None:
    """Record what a migration came to, in the transaction in which its images arrive.

    Args:
        conn: a transaction that writes; ``begin`` was called.
        maas: out of which database.
        set_aside: what did not come along.
        by: who accepts the losses that were not accepted before.
        taken_over: what comes along where all of it is accounted for.
        succeeded: whether it is.
    """
    before = find(conn)
    accepted = {
        (each.image, each.filename): each
        for each in (before.set_aside if before else ())
        if each.resolution == LOST
    }
    now = conn.execute(sa.select(clock.now())).scalar_one().isoformat(timespec="seconds")
    entries = []
    for each in set_aside:
        if each.resolution == LOST:
            known = accepted.get((each.image, each.filename))
            who, when = (known.accepted_by, known.accepted) if known else (by, now)
            each = dataclasses.replace(each, accepted_by=who, accepted=when)
        entries.append(dataclasses.asdict(each))
    values: dict[str, object] = {"maas": maas, "set_aside": entries, "finished": None}
    if succeeded:
        values["taken_over"] = taken_over
        values["withholds"] = False
        values["succeeded"] = sa.func.coalesce(schema.handover.c.succeeded, clock.now())
    conn.execute(sa.update(schema.handover).values(values))
    if succeeded and before is not None and before.withholds:
        cluster.bump_epoch(conn)


def finished(conn: sa.Connection) -> None:
    """Record that MAAS's database no longer holds the images."""
    conn.execute(sa.update(schema.handover).values(finished=clock.now()))


def awaited(conn: sa.Connection) -> dict[str, int]:
    """Return the bytes of each object that an open handover still waits for, by sha256."""
    found = find(conn)
    waiting = found.open() if found else ()
    return {each.sha256: each.size for each in waiting if each.filename}


def withholds(conn: sa.Connection) -> bool:
    """Return whether nothing may be offered yet."""
    found = find(conn)
    return found is not None and found.withholds


def is_open(conn: sa.Connection) -> bool:
    """Return whether a region was told to migrate and never succeeded."""
    found = find(conn)
    return found is not None and found.succeeded is None
