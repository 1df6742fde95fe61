"""Who holds what; the first prover's block map is the one that counts."""

from concurrent import futures

import pytest

from boot_resources.catalog import availability, cluster, database, holdings
from support import catalogs

NOBLE = catalogs.image(catalogs.NOBLE_1, {"squashfs": "shared", "boot-kernel": "ga"})
HWE = catalogs.image(catalogs.NOBLE_HWE, {"squashfs": "shared", "boot-kernel": "hwe"})
SHARED = catalogs.proof(catalogs.sha256("shared"), len("shared"))
OTHER_MAP = holdings.Proof(SHARED.sha256, SHARED.size, catalogs.sha256("another map"))


def test_a_region_holds_what_it_recorded(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        holdings.record(conn, "region-0", [SHARED])
        holdings.record(conn, "region-0", [SHARED, SHARED])
        assert holdings.held(conn, "region-0") == {SHARED.sha256}
        assert holdings.held(conn, "region-1") == frozenset()
        holdings.drop(conn, "region-0", [SHARED.sha256, catalogs.sha256("never held")])
        assert holdings.held(conn, "region-0") == frozenset()


def test_a_region_states_all_that_it_holds(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        holdings.record(conn, "region-0", catalogs.proofs(NOBLE))
        holdings.state(conn, "region-0", catalogs.proofs(HWE))
        assert holdings.held(conn, "region-0") == {item.sha256 for item in HWE.items}
        holdings.state(conn, "region-0", [])
        assert holdings.held(conn, "region-0") == frozenset()


def test_every_prover_must_agree_with_the_first(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        holdings.record(conn, "region-0", [SHARED])
        holdings.record(conn, "region-1", [SHARED])
    with pytest.raises(holdings.MapDisagreement) as caught, catalog.write() as conn:
        holdings.record(conn, "region-1", [*catalogs.proofs(HWE), OTHER_MAP])
    assert caught.value.sha256 == SHARED.sha256
    with catalog.read() as conn:
        assert holdings.held(conn, "region-1") == {SHARED.sha256}


def test_the_first_map_is_remembered_when_nobody_holds_the_object(
    catalog: database.Catalog,
) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        holdings.record(conn, "region-0", [SHARED])
        holdings.drop(conn, "region-0", [SHARED.sha256])
        with pytest.raises(holdings.MapDisagreement):
            holdings.record(conn, "region-0", [OTHER_MAP])


def test_a_size_is_part_of_what_is_proved(catalog: database.Catalog) -> None:
    longer = holdings.Proof(SHARED.sha256, SHARED.size + 1, SHARED.map_digest)
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        holdings.record(conn, "region-0", [SHARED])
        with pytest.raises(holdings.MapDisagreement, match=r"6 bytes.*7 bytes"):
            holdings.record(conn, "region-0", [longer])


def test_the_first_proof_corrects_the_size_that_a_document_claimed(
    catalog: database.Catalog,
) -> None:
    longer = holdings.Proof(SHARED.sha256, 2**41, SHARED.map_digest)
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE)
        holdings.record(conn, "region-0", [longer])
        sizes = {wanted.sha256: wanted.size for wanted in holdings.wanted_objects(conn)}
    assert sizes[SHARED.sha256] == 2**41


def test_a_region_that_is_not_a_member_holds_nothing(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        cluster.retire(conn, "region-0")
        with pytest.raises(cluster.NotAMember) as caught:
            holdings.record(conn, "region-0", [SHARED])
        assert "restart the region" in caught.value.cure
        with pytest.raises(cluster.NotAMember):
            holdings.record(conn, "stranger", [SHARED])


def test_an_object_is_wanted_once_with_all_its_origins(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.offer(conn, NOBLE, HWE)
        wanted = {each.sha256: each for each in holdings.wanted_objects(conn)}
    assert set(wanted) == {item.sha256 for image in (NOBLE, HWE) for item in image.items}
    shared = wanted[SHARED.sha256]
    assert shared.size == SHARED.size
    assert shared.images == (NOBLE.name, HWE.name)
    assert shared.origins == tuple(
        holdings.Origin(catalogs.SOURCE.url, f"{image.name}/squashfs") for image in (NOBLE, HWE)
    )


def test_the_serving_version_is_held_until_the_newer_one_is_available(
    catalog: database.Catalog,
) -> None:
    newer = catalogs.image(catalogs.NOBLE_2, {"squashfs": "shared", "boot-kernel": "newer"})
    old_kernel = catalogs.sha256("ga")
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE)
        catalogs.prove(conn, "region-0", NOBLE)
        catalogs.offer(conn, newer)
        assert old_kernel in {each.sha256 for each in holdings.wanted_objects(conn)}
        catalogs.prove(conn, "region-0", newer)
        assert old_kernel not in {each.sha256 for each in holdings.wanted_objects(conn)}
        assert old_kernel in holdings.referenced(conn)
        availability.expire_superseded(conn, 0)
        assert old_kernel not in holdings.referenced(conn)


def test_a_withdrawn_object_is_not_fetched(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.offer(conn, NOBLE)
        availability.withdraw(conn, SHARED.sha256, "two regions disagree")
        assert [each.sha256 for each in holdings.wanted_objects(conn)] == [catalogs.sha256("ga")]
        assert SHARED.sha256 in holdings.referenced(conn)


def test_many_proofs_are_one_call(catalog: database.Catalog) -> None:
    many = [catalogs.proof(catalogs.sha256(str(n)), n) for n in range(3000)]
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        holdings.state(conn, "region-0", many)
        holdings.state(conn, "region-0", many[1000:])
        assert holdings.held(conn, "region-0") == {each.sha256 for each in many[1000:]}


def test_regions_that_prove_the_same_objects_at_once_all_hold_them(
    catalog: database.Catalog,
) -> None:
    regions = [f"region-{number}" for number in range(4)]
    many = [catalogs.proof(catalogs.sha256(str(n)), n) for n in range(200)]
    with catalog.write() as conn:
        catalogs.join(conn, *regions)

    def record(number: int) -> None:
        turned = many[number * 50 :] + many[: number * 50]
        with catalog.write() as conn:
            holdings.record(conn, regions[number], turned)

    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(record, range(4)))
    with catalog.read() as conn:
        assert {len(holdings.held(conn, region)) for region in regions} == {200}
