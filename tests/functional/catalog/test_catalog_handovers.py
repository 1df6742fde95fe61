"""What the catalog remembers of a migration, on each kind of database."""

import dataclasses
import types

import pytest

from boot_resources.catalog import (
    availability,
    cluster,
    database,
    handovers,
    holdings,
    names,
    wanting,
)
from support import catalogs

MAAS = "db.example:5432/maasdb"
BROKEN = handovers.SetAside(
    str(catalogs.NOBLE_1), "boot-kernel", "a" * 64, 5, "it is short", handovers.OPEN
)
OTHERS = {str(catalogs.NOBLE_HWE): {"squashfs": "b" * 64}}
LOST = dataclasses.replace(BROKEN, resolution="lost")


def found(catalog: database.Catalog) -> handovers.Handover:
    with catalog.read() as conn:
        known = handovers.find(conn)
    assert known is not None
    return known


def epoch(catalog: database.Catalog) -> int:
    with catalog.read() as conn:
        return cluster.identity(conn).epoch


def begin(catalog: database.Catalog, region: str = "region-0") -> None:
    with catalog.write() as conn:
        handovers.begin(conn, region, MAAS)


def judged(
    catalog: database.Catalog,
    *entries: handovers.SetAside,
    by: str = "",
    taken_over: handovers.TakenOver = types.MappingProxyType({}),
    succeeded: bool = True,
) -> None:
    with catalog.write() as conn:
        handovers.judged(conn, MAAS, entries, by, dict(taken_over), succeeded=succeeded)


def offer_something(catalog: database.Catalog) -> None:
    image = catalogs.image(catalogs.NOBLE_1)
    with catalog.write() as conn:
        cluster.join(conn, "region-0", "region-0.example.com:5290")
        wanting.put_images(conn, None, [image])
        proofs = [holdings.Proof(i.sha256, i.size, "f" * 64) for i in image.items]
        holdings.record(conn, "region-0", proofs)
        availability.refresh(conn)


def test_nobody_was_told(catalog: database.Catalog) -> None:
    with catalog.read() as conn:
        assert handovers.find(conn) is None
        assert not handovers.withholds(conn)
        assert not handovers.is_open(conn)


def test_a_cluster_that_never_offered_anything_withholds_until_success(
    catalog: database.Catalog,
) -> None:
    untold = epoch(catalog)
    begin(catalog)
    assert epoch(catalog) == untold + 1, "what was offered until now is offered no more"
    # What becomes complete meanwhile does not change that, nor does a second start.
    offer_something(catalog)
    told = epoch(catalog)
    begin(catalog)
    assert epoch(catalog) == told
    judged(catalog, BROKEN, succeeded=False)
    with catalog.read() as conn:
        assert handovers.withholds(conn)
        assert handovers.is_open(conn)
    before = epoch(catalog)
    judged(catalog)
    with catalog.read() as conn:
        assert not handovers.withholds(conn)
        assert not handovers.is_open(conn)
    assert epoch(catalog) > before, "racks have to hear of it"


def test_one_that_offers_something_goes_on(catalog: database.Catalog) -> None:
    offer_something(catalog)
    before = epoch(catalog)
    begin(catalog)
    with catalog.read() as conn:
        assert handovers.is_open(conn)
        assert not handovers.withholds(conn)
    assert epoch(catalog) == before


def test_one_that_has_succeeded_goes_on_whatever_a_later_run_finds(
    catalog: database.Catalog,
) -> None:
    begin(catalog)
    judged(catalog)
    before = epoch(catalog)
    first = found(catalog)
    judged(catalog, BROKEN, taken_over=OTHERS, succeeded=False)
    with catalog.read() as conn:
        assert not handovers.is_open(conn), "the sync goes on"
        assert not handovers.withholds(conn)
    again = found(catalog)
    assert again.succeeded == first.succeeded
    assert again.open() == (BROKEN,)
    assert again.taken_over == {}, "nothing arrived"
    judged(catalog, taken_over=OTHERS)
    assert epoch(catalog) == before
    last = found(catalog)
    assert (last.succeeded, last.open(), last.taken_over) == (first.succeeded, (), OTHERS)


def test_a_loss_stays_accepted_by_whom_it_was(catalog: database.Catalog) -> None:
    begin(catalog)
    judged(catalog, LOST, by="somebody")
    (first,) = found(catalog).set_aside
    assert (first.accepted_by, first.reason) == ("somebody", "it is short")
    assert first.accepted
    other = dataclasses.replace(LOST, filename="squashfs")
    judged(catalog, LOST, other, by="another")
    again, second = found(catalog).set_aside
    assert again == first
    assert second.accepted_by == "another"
    assert found(catalog).lost() == {names.ImageName.parse(catalogs.NOBLE_1)}


def test_what_an_open_handover_waits_for_is_what_is_open(catalog: database.Catalog) -> None:
    begin(catalog)
    name_taken = dataclasses.replace(BROKEN, filename="", sha256="", size=0)
    listed = dataclasses.replace(BROKEN, sha256="b" * 64, resolution="re-download")
    judged(catalog, BROKEN, name_taken, listed, succeeded=False)
    with catalog.read() as conn:
        assert handovers.awaited(conn) == {"a" * 64: 5}
    judged(catalog, LOST)
    with catalog.read() as conn:
        assert handovers.awaited(conn) == {}


def test_only_who_was_told_calls_off_and_only_what_is_open(catalog: database.Catalog) -> None:
    begin(catalog)
    before = epoch(catalog)
    with catalog.write() as conn:
        assert not handovers.call_off(conn, "region-1")
        assert handovers.call_off(conn, "region-0")
        assert not handovers.call_off(conn, "region-0")
    assert epoch(catalog) == before + 1
    begin(catalog)
    judged(catalog)
    with catalog.write() as conn:
        assert not handovers.call_off(conn, "region-0")
    assert found(catalog).succeeded


@pytest.mark.parametrize("another_run", [False, True])
def test_the_end_is_remembered_until_another_run(
    catalog: database.Catalog, another_run: bool
) -> None:
    begin(catalog)
    judged(catalog)
    with catalog.write() as conn:
        handovers.finished(conn)
    if another_run:
        judged(catalog)
    assert (found(catalog).finished is None) == another_run
