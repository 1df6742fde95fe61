"""What an operator sees of the images, and removes."""

import dataclasses

import pytest
import sqlalchemy as sa

from boot_resources.catalog import availability, cluster, database, holdings, images, sources
from support import catalogs

NOBLE_1 = catalogs.image(catalogs.NOBLE_1, {"squashfs": "shared", "root": "shared", "kernel": "k"})
NOBLE_2 = catalogs.image(catalogs.NOBLE_2)
JAMMY = catalogs.image(catalogs.JAMMY)


def test_the_list_says_how_much_each_member_has(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1", "gone")
        cluster.retire(conn, "gone")
        catalogs.offer(conn, NOBLE_1)
        holdings.record(conn, "region-0", [p for p in catalogs.proofs(NOBLE_1) if p.size == 6])
        (listed,) = images.listing(conn)
    assert listed == images.ListedImage(
        name=NOBLE_1.name,
        title=NOBLE_1.title,
        bootloader_type=None,
        source_url=catalogs.SOURCE.url,
        state=images.ImageState.SYNCING,
        dropped=None,
        since=None,
        superseded=None,
        size=7,
        held={"region-0": 6, "region-1": 0},
    )


def test_the_list_says_where_every_image_stands(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1, JAMMY)
        catalogs.prove(conn, "region-0", NOBLE_1)
        assert states(conn) == {NOBLE_1.name: "available", JAMMY.name: "syncing"}
        catalogs.offer(conn, NOBLE_2)
        catalogs.prove(conn, "region-0", NOBLE_2)
        availability.withdraw(conn, JAMMY.items[0].sha256, "upstream gives other bytes")
        assert states(conn) == {
            NOBLE_1.name: "superseded",
            NOBLE_2.name: "available",
            JAMMY.name: "withdrawn",
        }
        dropped = [listed.name for listed in images.listing(conn) if listed.dropped]
        assert dropped == [JAMMY.name]


def test_an_image_is_shown_with_its_files_and_their_holders(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        catalogs.offer(conn, NOBLE_1, JAMMY)
        catalogs.prove(conn, "region-1", NOBLE_1)
        holdings.record(conn, "region-0", catalogs.proofs(NOBLE_1)[:1])
        detail = images.show(conn, NOBLE_1.name)
        assert detail.image in images.listing(conn)
        assert detail.items == tuple(sorted(NOBLE_1.items, key=lambda item: item.filename))
        assert detail.holders == {
            catalogs.sha256("shared"): ("region-0", "region-1"),
            catalogs.sha256("k"): ("region-1",),
        }
        with pytest.raises(images.UnknownImage, match=catalogs.NOBLE_2):
            images.show(conn, NOBLE_2.name)


def test_a_selected_image_is_not_removed_by_a_slip(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.offer(conn, NOBLE_1)
        sources.add_selection(conn, sources.Selection("ubuntu", "noble"))
        sources.add_selection(conn, sources.Selection("ubuntu", "jammy"))
        with pytest.raises(images.StillSelected, match="is selected") as caught:
            images.remove(conn, NOBLE_1.name)
        assert "boot-resources selections remove 'ubuntu' 'noble';" in caught.value.cure
        epoch = cluster.identity(conn).epoch
        images.remove(conn, NOBLE_1.name, force=True)
        assert images.listing(conn) == ()
        assert cluster.identity(conn).epoch == epoch + 1
        with pytest.raises(images.UnknownImage):
            images.remove(conn, NOBLE_1.name)


def test_a_bootloader_is_not_removed_by_a_slip(catalog: database.Catalog) -> None:
    shim = catalogs.image(catalogs.SHIM, bootloader_type="uefi")
    with catalog.write() as conn:
        catalogs.offer(conn, shim)
        with pytest.raises(images.StillSelected, match="bootloader"):
            images.remove(conn, shim.name)


def test_dropped_and_superseded_images_are_removed(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        catalogs.offer(conn, NOBLE_1, JAMMY)
        catalogs.prove(conn, "region-0", NOBLE_1)
        catalogs.offer(conn, NOBLE_2)
        catalogs.prove(conn, "region-0", NOBLE_2)
        images.remove(conn, NOBLE_1.name)
        images.remove(conn, JAMMY.name)
        assert list(states(conn)) == [NOBLE_2.name]
        assert holdings.referenced(conn) == {item.sha256 for item in NOBLE_2.items}


def test_the_newer_word_about_an_image_is_kept(catalog: database.Catalog) -> None:
    changed = dataclasses.replace(
        catalogs.image(catalogs.NOBLE_1, {"kernel": "another"}), title="Another title"
    )
    with catalog.write() as conn:
        catalogs.offer(conn, NOBLE_1)
        catalogs.offer(conn, changed)
        detail = images.show(conn, NOBLE_1.name)
    assert detail.image.title == "Another title"
    assert detail.items == changed.items


def states(conn: sa.Connection) -> dict[object, str]:
    return {listed.name: listed.state.value for listed in images.listing(conn)}
