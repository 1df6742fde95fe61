"""One holder at a time, by the database's clock. Times are moved by rewriting the row."""

from concurrent import futures

import sqlalchemy as sa

from boot_resources.catalog import clock, database, leases, schema


def test_a_free_lease_is_taken_and_another_is_refused(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        taken = leases.acquire(conn, "leader", "region-0", 60)
        assert taken is not None
        assert (taken.holder, taken.epoch) == ("region-0", 1)
        assert leases.acquire(conn, "leader", "region-1", 60) is None
        assert leases.holder(conn, "leader") == taken


def test_renewing_keeps_the_epoch_and_moves_the_end(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        first = leases.acquire(conn, "leader", "region-0", 60)
        second = leases.acquire(conn, "leader", "region-0", 600)
    assert first is not None
    assert second is not None
    assert second.epoch == first.epoch
    assert (second.expires - first.expires).total_seconds() > 500


def test_a_lease_whose_time_is_over_is_taken_over_with_a_higher_epoch(
    catalog: database.Catalog,
) -> None:
    with catalog.write() as conn:
        leases.acquire(conn, "leader", "region-0", 60)
        expire(conn)
        assert leases.holder(conn, "leader") is None
        taken = leases.acquire(conn, "leader", "region-1", 60)
        assert taken is not None
        assert (taken.holder, taken.epoch) == ("region-1", 2)
        assert leases.acquire(conn, "leader", "region-0", 60) is None


def test_a_late_holder_keeps_its_epoch_where_nobody_took_over(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        leases.acquire(conn, "leader", "region-0", 60)
        expire(conn)
        renewed = leases.acquire(conn, "leader", "region-0", 60)
    assert renewed is not None
    assert renewed.epoch == 1


def test_a_released_lease_is_free_and_its_epoch_goes_on(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        lease = leases.acquire(conn, "leader", "region-0", 60)
        assert lease is not None
        assert leases.release(conn, lease)
        assert not leases.release(conn, lease)
        taken = leases.acquire(conn, "leader", "region-1", 60)
        assert taken is not None
        assert taken.epoch == 2


def test_a_lease_that_was_taken_over_cannot_be_released(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        stale = leases.acquire(conn, "leader", "region-0", 60)
        assert stale is not None
        expire(conn)
        leases.acquire(conn, "leader", "region-1", 60)
        expire(conn)
        again = leases.acquire(conn, "leader", "region-0", 60)
        assert not leases.release(conn, stale)
        assert leases.holder(conn, "leader") == again


def test_leases_of_other_names_are_other_leases(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        assert leases.acquire(conn, "leader", "region-0", 60)
        assert leases.acquire(conn, "migration", "region-1", 60)


def test_of_many_who_ask_at_once_one_gets_a_free_lease(catalog: database.Catalog) -> None:
    winners = race(catalog)
    assert [lease.epoch for lease in winners] == [1]


def test_of_many_who_ask_at_once_one_takes_over(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        leases.acquire(conn, "leader", "gone", 60)
        expire(conn)
    winners = race(catalog)
    assert [lease.epoch for lease in winners] == [2]


def test_a_lease_from_before_the_clock_stepped_back_holds_nobody_up(
    catalog: database.Catalog,
) -> None:
    with catalog.write() as conn:
        leases.acquire(conn, "leader", "region-0", 60)
        conn.execute(sa.update(schema.leases).values(expires=clock.now(86400)))
        taken = leases.acquire(conn, "leader", "region-1", 60)
        assert taken is not None
        assert (taken.holder, taken.epoch) == ("region-1", 2)


def test_a_clock_that_is_set_back_a_little_takes_no_lease_away(
    catalog: database.Catalog,
) -> None:
    with catalog.write() as conn:
        leases.acquire(conn, "leader", "region-0", 60)
        conn.execute(sa.update(schema.leases).values(expires=clock.now(61)))
        assert leases.acquire(conn, "leader", "region-1", 60) is None


def race(catalog: database.Catalog) -> list[leases.Lease]:
    def ask(number: int) -> leases.Lease | None:
        with catalog.write() as conn:
            return leases.acquire(conn, "leader", f"region-{number}", 60)

    with futures.ThreadPoolExecutor(8) as pool:
        return [lease for lease in pool.map(ask, range(8)) if lease is not None]


def expire(conn: sa.Connection) -> None:
    conn.execute(sa.update(schema.leases).values(expires=clock.now(-1)))
