"""What is offered, and when: every member had proved it all."""

from concurrent import futures

import sqlalchemy as sa

from boot_resources.catalog import availability, clock, cluster, database, holdings, names, schema
from support import catalogs

NOBLE_1 = catalogs.image(catalogs.NOBLE_1)
NOBLE_2 = catalogs.image(catalogs.NOBLE_2)
HWE = catalogs.image(catalogs.NOBLE_HWE)
JAMMY = catalogs.image(catalogs.JAMMY)
CANDIDATE = catalogs.image("ubuntu/amd64/ga-24.04/noble/candidate/20250801")


def test_an_image_is_available_when_every_member_has_proved_it_all(
    catalog: database.Catalog,
) -> None:
    half = catalogs.proofs(NOBLE_1)[:1]
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        catalogs.offer(conn, NOBLE_1, JAMMY)
        assert catalogs.prove(conn, "region-0", NOBLE_1).available == ()
        holdings.record(conn, "region-1", half)
        assert availability.refresh(conn).available == ()
        before = cluster.identity(conn).epoch
        changes = catalogs.prove(conn, "region-1", NOBLE_1)
        assert changes.available == (NOBLE_1.name,)
        assert changes.epoch == cluster.identity(conn).epoch == before + 1
        assert availability.refresh(conn) == availability.Changes(changes.epoch, (), (), ())


def test_the_list_says_all_that_a_rack_needs(catalog: database.Catalog) -> None:
    shim = catalogs.image(catalogs.SHIM, bootloader_type="uefi", title="", extra={"a": ["b"]})
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, shim, NOBLE_1)
        catalogs.prove(conn, "region-0", shim, NOBLE_1)
        offered = availability.available(conn)
        present = cluster.identity(conn)
    assert (offered.cluster_uuid, offered.epoch) == (present.uuid, present.epoch)
    assert [image.name for image in offered.images] == [shim.name, NOBLE_1.name]
    found = offered.images[0]
    assert (found.product, found.bootloader_type, found.extra) == (
        shim.product,
        "uefi",
        {"a": ["b"]},
    )
    assert found.superseded is None
    assert found.since.tzinfo is not None
    kernel = shim.items[0]
    assert found.items[0] == availability.AvailableItem(
        filename=kernel.filename,
        ftype=kernel.ftype,
        sha256=kernel.sha256,
        size=kernel.size,
        map_digest=catalogs.proof(kernel.sha256, kernel.size).map_digest,
        extra=kernel.extra,
    )


def test_an_image_without_members_is_not_available(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.offer(conn, NOBLE_1)
        assert availability.refresh(conn).available == ()


def test_a_region_that_joins_takes_nothing_back(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1, JAMMY)
        catalogs.prove(conn, "region-0", NOBLE_1)
        catalogs.join(conn, "region-1")
        assert availability.refresh(conn).withdrawn == ()
        assert catalogs.available_names(conn) == [catalogs.NOBLE_1]
        catalogs.prove(conn, "region-0", JAMMY)
        assert catalogs.available_names(conn) == [catalogs.NOBLE_1]


def test_a_region_that_is_retired_is_no_longer_waited_for(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "gone")
        catalogs.offer(conn, NOBLE_1)
        assert catalogs.prove(conn, "region-0", NOBLE_1).available == ()
        cluster.retire(conn, "gone")
        assert availability.refresh(conn).available == (NOBLE_1.name,)


def test_a_loss_that_another_member_can_repair_withdraws_nothing(
    catalog: database.Catalog,
) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        catalogs.offer(conn, NOBLE_1)
        catalogs.prove(conn, "region-0", NOBLE_1)
        catalogs.prove(conn, "region-1", NOBLE_1)
        holdings.state(conn, "region-0", [])
        assert availability.refresh(conn).withdrawn == ()
        assert catalogs.available_names(conn) == [catalogs.NOBLE_1]


def test_an_image_that_no_member_can_produce_is_withdrawn_until_it_is_proved_again(
    catalog: database.Catalog,
) -> None:
    lost = NOBLE_1.items[0]
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        catalogs.offer(conn, NOBLE_1, JAMMY)
        for region in ("region-0", "region-1"):
            catalogs.prove(conn, region, NOBLE_1, JAMMY)
        for region in ("region-0", "region-1"):
            holdings.drop(conn, region, [lost.sha256])
        changes = availability.refresh(conn)
        assert changes.withdrawn == (NOBLE_1.name,)
        assert catalogs.available_names(conn) == [catalogs.JAMMY]
        assert lost.sha256 in {each.sha256 for each in holdings.wanted_objects(conn)}
        catalogs.prove(conn, "region-0", NOBLE_1)
        assert catalogs.prove(conn, "region-1", NOBLE_1).available == (NOBLE_1.name,)


def test_retiring_the_last_holder_withdraws_what_only_it_held(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1)
        catalogs.prove(conn, "region-0", NOBLE_1)
        catalogs.join(conn, "region-1")
        cluster.retire(conn, "region-0")
        assert availability.refresh(conn).withdrawn == (NOBLE_1.name,)


def test_an_older_version_serves_until_the_newer_one_is_available(
    catalog: database.Catalog,
) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1, HWE, CANDIDATE)
        catalogs.prove(conn, "region-0", NOBLE_1, HWE, CANDIDATE)
        catalogs.offer(conn, NOBLE_2, HWE, CANDIDATE)
        assert availability.refresh(conn).superseded == ()
        assert len(catalogs.available_names(conn)) == 3
        changes = catalogs.prove(conn, "region-0", NOBLE_2)
        assert changes.available == (NOBLE_2.name,)
        assert changes.superseded == (NOBLE_1.name,)
        superseded = {
            str(image.name): image.superseded is not None
            for image in availability.available(conn).images
        }
    assert superseded == {
        catalogs.NOBLE_1: True,
        catalogs.NOBLE_2: False,
        catalogs.NOBLE_HWE: False,
        str(CANDIDATE.name): False,
    }


def test_a_superseded_image_goes_after_its_grace(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1)
        catalogs.prove(conn, "region-0", NOBLE_1)
        catalogs.offer(conn, NOBLE_2)
        catalogs.prove(conn, "region-0", NOBLE_2)
        epoch = cluster.identity(conn).epoch
        assert availability.expire_superseded(conn, 3600) == ()
        assert cluster.identity(conn).epoch == epoch
        conn.execute(
            sa.update(schema.images)
            .where(schema.images.c.superseded.is_not(None))
            .values(superseded=clock.now(-3601))
        )
        assert availability.expire_superseded(conn, 3600) == (NOBLE_1.name,)
        assert catalogs.available_names(conn) == [catalogs.NOBLE_2]
        assert cluster.identity(conn).epoch == epoch + 1


def test_a_source_that_goes_back_supersedes_the_version_it_took_back(
    catalog: database.Catalog,
) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1)
        catalogs.prove(conn, "region-0", NOBLE_1)
        catalogs.offer(conn, NOBLE_2)
        catalogs.prove(conn, "region-0", NOBLE_2)
        catalogs.offer(conn, NOBLE_1)
        assert availability.refresh(conn).superseded == (NOBLE_2.name,)
        assert availability.expire_superseded(conn, 0) == (NOBLE_2.name,)
        assert catalogs.available_names(conn) == [catalogs.NOBLE_1]


def test_a_superseded_image_that_is_lost_is_gone(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1)
        catalogs.prove(conn, "region-0", NOBLE_1)
        catalogs.offer(conn, NOBLE_2)
        catalogs.prove(conn, "region-0", NOBLE_2)
        holdings.state(conn, "region-0", catalogs.proofs(NOBLE_2))
        assert availability.refresh(conn).withdrawn == (NOBLE_1.name,)
        assert availability.refresh(conn).withdrawn == ()
        assert NOBLE_1.items[0].sha256 not in holdings.referenced(conn)


def test_a_withdrawn_object_takes_its_images_with_it_until_it_is_reinstated(
    catalog: database.Catalog,
) -> None:
    bad = NOBLE_1.items[0].sha256
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1, JAMMY)
        catalogs.prove(conn, "region-0", NOBLE_1, JAMMY)
        changes = availability.withdraw(conn, bad, "two regions disagree")
        assert changes.withdrawn == (NOBLE_1.name,)
        assert availability.withdrawn_objects(conn) == {bad: "two regions disagree"}
        assert catalogs.prove(conn, "region-0", NOBLE_1).available == ()
        assert availability.reinstate(conn, bad)
        assert not availability.reinstate(conn, bad)
        assert availability.withdrawn_objects(conn) == {}
        assert availability.refresh(conn).available == ()
        assert catalogs.prove(conn, "region-0", NOBLE_1).available == (NOBLE_1.name,)


def test_an_image_that_is_selected_no_more_is_offered_no_more(catalog: database.Catalog) -> None:
    def only_jammy(product: names.ProductName, bootloader_type: str | None) -> bool:
        return product.release == "jammy"

    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1, JAMMY)
        catalogs.prove(conn, "region-0", NOBLE_1, JAMMY)
        epoch = cluster.identity(conn).epoch
        plan = catalogs.offer(conn, JAMMY, besides=[NOBLE_1.name.product], selected=only_jammy)
        assert plan.removed == (NOBLE_1.name,)
        assert catalogs.available_names(conn) == [catalogs.JAMMY]
        assert cluster.identity(conn).epoch == epoch + 1


def test_an_offer_that_changes_nothing_leaves_the_epoch(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.offer(conn, NOBLE_1, JAMMY)
        epoch = cluster.identity(conn).epoch
        assert not catalogs.offer(conn, JAMMY, NOBLE_1).changes_something()
        assert cluster.identity(conn).epoch == epoch


def test_a_dropped_image_goes_on_being_available(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1, JAMMY)
        catalogs.prove(conn, "region-0", NOBLE_1, JAMMY)
        assert catalogs.offer(conn, JAMMY).dropped == (NOBLE_1.name,)
        assert availability.refresh(conn).withdrawn == ()
        assert len(catalogs.available_names(conn)) == 2
        assert NOBLE_1.items[0].sha256 in {o.sha256 for o in holdings.wanted_objects(conn)}


def test_the_last_of_regions_that_prove_at_once_makes_it_available(
    catalog: database.Catalog,
) -> None:
    regions = [f"region-{number}" for number in range(4)]
    with catalog.write() as conn:
        catalogs.join(conn, *regions)
        catalogs.offer(conn, NOBLE_1)

    def prove(region: str) -> int:
        with catalog.write() as conn:
            return len(catalogs.prove(conn, region, NOBLE_1).available)

    with futures.ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(prove, regions)) == [0, 0, 0, 1]


def test_two_regions_that_prove_the_last_of_it_in_each_others_absence_make_it_available(
    catalog: database.Catalog,
) -> None:
    one, other = catalogs.proofs(NOBLE_1)
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        catalogs.offer(conn, NOBLE_1)
        holdings.record(conn, "region-0", [one])
        holdings.record(conn, "region-1", [other])

    def prove() -> None:
        with catalog.write() as conn:
            holdings.record(conn, "region-1", [one])
            availability.refresh(conn)

    with futures.ThreadPoolExecutor(1) as pool:
        with catalog.write() as conn:
            holdings.record(conn, "region-0", [other])
            availability.refresh(conn)
            second = pool.submit(prove)
            # It must wait for this transaction; if it did not, this is time enough to show.
            futures.wait([second], timeout=1)
        second.result()
    with catalog.read() as conn:
        assert catalogs.available_names(conn) == [catalogs.NOBLE_1]


def test_hundreds_of_images_are_kept_in_step(catalog: database.Catalog) -> None:
    first = [catalogs.image(f"ubuntu/amd64/s{n}/noble/stable/1") for n in range(300)]
    second = [catalogs.image(f"ubuntu/amd64/s{n}/noble/stable/2") for n in range(300)]
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        catalogs.offer(conn, *first)
        catalogs.prove(conn, "region-0", *first)
        assert len(catalogs.prove(conn, "region-1", *first).available) == 300
        plan = catalogs.offer(conn, *second[:200])
        assert (len(plan.stored), len(plan.outgoing), len(plan.dropped)) == (200, 200, 100)
        assert len(holdings.wanted_objects(conn)) == 1000
        assert len(availability.available(conn).images) == 300
