from concurrent import futures

import pytest

from boot_resources.catalog import cluster, database, holdings
from support import catalogs


def test_a_region_joins_once_and_the_epoch_rises(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        before = cluster.identity(conn)
        assert cluster.join(conn, "region-0", "10.0.0.1:5290")
        assert not cluster.join(conn, "region-0", "10.0.0.1:5290")
        after = cluster.identity(conn)
    assert after.epoch == before.epoch + 1
    assert after.uuid == before.uuid
    assert after.created.tzinfo is not None


def test_a_region_that_moves_has_its_new_address(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        cluster.join(conn, "region-0", "10.0.0.1:5290")
        joined = cluster.members(conn)[0].joined
        assert cluster.join(conn, "region-0", "10.0.0.2:5290")
        assert cluster.members(conn) == (cluster.Member("region-0", "10.0.0.2:5290", joined),)


def test_a_retired_region_is_no_member_and_holds_nothing(catalog: database.Catalog) -> None:
    noble = catalogs.image(catalogs.NOBLE_1)
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        holdings.record(conn, "region-1", catalogs.proofs(noble))
        epoch = cluster.identity(conn).epoch
        assert cluster.retire(conn, "region-1")
        assert not cluster.retire(conn, "region-1")
        assert [member.name for member in cluster.members(conn)] == ["region-0"]
        assert holdings.held(conn, "region-1") == frozenset()
        assert cluster.identity(conn).epoch == epoch + 1


def test_a_retired_region_can_join_anew(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        cluster.retire(conn, "region-0")
        catalogs.join(conn, "region-0")
        assert [member.name for member in cluster.members(conn)] == ["region-0"]


def test_retiring_a_stranger_names_the_members(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        with pytest.raises(cluster.UnknownRegion, match="regoin-1") as caught:
            cluster.retire(conn, "regoin-1")
    assert caught.value.cure == "members are: region-0, region-1"


def test_a_second_region_needs_postgresql(sqlite_catalog: database.Catalog) -> None:
    with sqlite_catalog.write() as conn:
        cluster.join(conn, "region-0", "10.0.0.1:5290")
        with pytest.raises(cluster.SecondRegion, match="region-1 cannot join region-0") as caught:
            cluster.join(conn, "region-1", "10.0.0.2:5290")
        assert "PostgreSQL" in caught.value.cure
        assert cluster.join(conn, "region-1", "10.0.0.2:5290", same_host=True)


def test_a_second_region_joins_on_postgresql(postgresql_catalog: database.Catalog) -> None:
    with postgresql_catalog.write() as conn:
        cluster.join(conn, "region-0", "10.0.0.1:5290")
        assert cluster.join(conn, "region-1", "10.0.0.2:5290")


def test_regions_that_join_at_once_each_raise_the_epoch(catalog: database.Catalog) -> None:
    def join(number: int) -> None:
        with catalog.write() as conn:
            catalogs.join(conn, f"region-{number}")

    with futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(join, range(6)))
    with catalog.read() as conn:
        assert len(cluster.members(conn)) == 6
        assert cluster.identity(conn).epoch == 7


def test_one_region_that_joins_twice_at_once_is_one_member(catalog: database.Catalog) -> None:
    def join(_: int) -> bool:
        with catalog.write() as conn:
            return cluster.join(conn, "region-0", "10.0.0.1:5290")

    with futures.ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(join, range(6))) == [False] * 5 + [True]
