"""What becomes of every image, by the rules of ``planning``."""

import dataclasses

import pytest

from boot_resources.catalog import names, planning
from support import catalogs

NOBLE_1 = catalogs.image(catalogs.NOBLE_1)
NOBLE_2 = catalogs.image(catalogs.NOBLE_2)
NOBLE_HWE = catalogs.image(catalogs.NOBLE_HWE)
JAMMY = catalogs.image(catalogs.JAMMY)


def present(image: planning.WantedImage, **other: bool) -> planning.Present:
    state = {"own": True, "wanted": True, "available": True, "dropped": False} | other
    return planning.Present(image, **state)


def decide(
    wanted: list[planning.WantedImage],
    before: list[planning.Present],
    *,
    besides: set[names.ProductName] = frozenset(),  # type: ignore[assignment]
    selected: planning.Selected = catalogs.everything,
    objects: dict[str, planning.KnownObject] | None = None,
) -> planning.Plan:
    offered = {image.name.product for image in wanted} | besides
    return planning.plan(wanted, offered, selected, before, objects or {})


def test_a_new_image_is_stored() -> None:
    assert decide([NOBLE_1], []) == planning.Plan(stored=(NOBLE_1,))


def test_an_image_that_is_as_it_was_changes_nothing() -> None:
    turned = dataclasses.replace(NOBLE_1, items=NOBLE_1.items[::-1])
    plan = decide([turned], [present(NOBLE_1)])
    assert plan == planning.Plan()
    assert not plan.changes_something()


def test_a_newer_version_sends_the_available_one_out() -> None:
    plan = decide([NOBLE_2], [present(NOBLE_1)])
    assert plan == planning.Plan(stored=(NOBLE_2,), outgoing=(NOBLE_1.name,))


def test_a_newer_version_removes_one_that_nobody_was_offered() -> None:
    plan = decide([NOBLE_2], [present(NOBLE_1, available=False)])
    assert plan == planning.Plan(stored=(NOBLE_2,), removed=(NOBLE_1.name,))


def test_an_outgoing_image_stays_until_its_successor_is_available() -> None:
    plan = decide([NOBLE_2], [present(NOBLE_1, wanted=False), present(NOBLE_2, available=False)])
    assert plan == planning.Plan()


def test_an_older_version_is_wanted_again_where_the_source_goes_back_to_it() -> None:
    plan = decide([NOBLE_1], [present(NOBLE_1, wanted=False), present(NOBLE_2)])
    assert plan == planning.Plan(stored=(NOBLE_1,), outgoing=(NOBLE_2.name,))


def test_what_the_source_offers_no_more_is_dropped_and_stays() -> None:
    plan = decide([JAMMY], [present(NOBLE_1), present(JAMMY)])
    assert plan == planning.Plan(dropped=(NOBLE_1.name,))


def test_what_was_dropped_is_not_dropped_again() -> None:
    assert decide([], [present(NOBLE_1, dropped=True)]) == planning.Plan()


def test_a_dropped_image_that_is_offered_again_is_wanted_as_before() -> None:
    assert decide([NOBLE_1], [present(NOBLE_1, dropped=True)]).stored == (NOBLE_1,)


def test_a_dropped_product_whose_new_version_cannot_be_used_has_returned() -> None:
    plan = decide([], [present(NOBLE_1, dropped=True)], besides={NOBLE_1.name.product})
    assert plan == planning.Plan(returned=(NOBLE_1.name,))


def test_a_product_that_is_offered_but_yields_nothing_keeps_what_it_had() -> None:
    plan = decide([], [present(NOBLE_1)], besides={NOBLE_1.name.product})
    assert plan == planning.Plan()


@pytest.mark.parametrize("offered", [True, False], ids=["offered", "dropped"])
def test_what_is_selected_no_more_is_removed(offered: bool) -> None:
    def only_jammy(product: names.ProductName, bootloader_type: str | None) -> bool:
        return product.release == "jammy"

    besides = {NOBLE_1.name.product} if offered else set()
    before = [present(NOBLE_1), present(JAMMY)]
    plan = decide([JAMMY], before, besides=besides, selected=only_jammy)
    assert plan == planning.Plan(removed=(NOBLE_1.name,))


def test_bootloaders_are_judged_by_their_type() -> None:
    def bootloaders(product: names.ProductName, bootloader_type: str | None) -> bool:
        return bootloader_type == "uefi"

    shim = catalogs.image(catalogs.SHIM, bootloader_type="uefi")
    plan = decide([], [present(shim), present(JAMMY)], selected=bootloaders)
    assert plan == planning.Plan(removed=(JAMMY.name,), dropped=(shim.name,))


def test_images_of_other_sources_are_left_alone() -> None:
    before = [present(NOBLE_1, own=False), present(JAMMY, own=False)]
    assert decide([NOBLE_2], before).stored == (NOBLE_2,)
    assert decide([], before, selected=lambda *_: False) == planning.Plan()


def test_an_image_of_the_same_name_from_elsewhere_keeps_its_name() -> None:
    plan = decide([NOBLE_1], [present(NOBLE_1, own=False)])
    assert not plan.changes_something()
    assert "came from elsewhere" in plan.refused[0].reason


def test_the_files_of_an_available_version_never_change() -> None:
    changed = catalogs.image(catalogs.NOBLE_1, {"boot-kernel": "other bytes"})
    plan = decide([changed], [present(NOBLE_1)])
    assert not plan.changes_something()
    assert plan.refused[0].name == NOBLE_1.name
    assert "served already" in plan.refused[0].reason


def test_before_it_was_available_the_newer_word_is_taken() -> None:
    changed = catalogs.image(catalogs.NOBLE_1, {"boot-kernel": "other bytes"})
    assert decide([changed], [present(NOBLE_1, available=False)]).stored == (changed,)


def test_words_about_an_available_version_may_change() -> None:
    renamed = dataclasses.replace(NOBLE_1, title="Another title")
    assert decide([renamed], [present(NOBLE_1)]).stored == (renamed,)


def test_an_image_named_twice_is_taken_once() -> None:
    plan = decide([NOBLE_1, catalogs.image(catalogs.NOBLE_1, {"a": "b"})], [])
    assert plan.stored == (NOBLE_1,)
    assert "twice" in plan.refused[0].reason


def test_an_image_without_files_is_refused() -> None:
    plan = decide([catalogs.image(catalogs.NOBLE_1, {})], [])
    assert plan.refused == (planning.Refused(NOBLE_1.name, "it has no files"),)


def test_two_files_of_one_name_are_refused() -> None:
    double = dataclasses.replace(NOBLE_1, items=NOBLE_1.items[:1] * 2)
    assert "one name" in decide([double], []).refused[0].reason


def test_two_sizes_for_one_object_are_refused() -> None:
    def squashfs_of(text: str, size: int) -> planning.WantedImage:
        one = catalogs.image(text, {"squashfs": "shared"})
        items = (dataclasses.replace(one.items[0], size=size),)
        return dataclasses.replace(one, items=items)

    plan = decide([squashfs_of(catalogs.NOBLE_1, 6), squashfs_of(catalogs.NOBLE_HWE, 7)], [])
    assert [image.name for image in plan.stored] == [NOBLE_1.name]
    assert "7 bytes" in plan.refused[0].reason
    one_image = dataclasses.replace(
        NOBLE_1,
        items=(
            dataclasses.replace(NOBLE_1.items[0], filename="a", size=6),
            dataclasses.replace(NOBLE_1.items[0], filename="b", size=7),
        ),
    )
    assert "7 bytes" in decide([one_image], []).refused[0].reason


@pytest.mark.parametrize(("proved", "taken"), [(True, False), (False, True)])
def test_a_size_is_believed_until_the_object_is_proved(proved: bool, taken: bool) -> None:
    known = planning.KnownObject(NOBLE_1.items[0].size + 1, proved=proved)
    plan = decide([NOBLE_1], [], objects={NOBLE_1.items[0].sha256: known})
    assert bool(plan.stored) is taken


def test_a_refused_image_leaves_its_product_as_it_is() -> None:
    broken = catalogs.image(catalogs.NOBLE_2, {})
    plan = decide([broken], [present(NOBLE_1)])
    assert not plan.changes_something()


def test_products_that_differ_in_one_part_do_not_replace_one_another() -> None:
    plan = decide([NOBLE_1, NOBLE_HWE], [present(NOBLE_1)])
    assert plan == planning.Plan(stored=(NOBLE_HWE,))


# Images that came from no source, as a migration leaves them


def migrated(image: planning.WantedImage, **other: bool) -> planning.Present:
    return present(image, **({"own": False, "adoptable": True} | other))


def test_an_image_from_no_source_becomes_the_sources_own() -> None:
    assert decide([NOBLE_1], [migrated(NOBLE_1)]) == planning.Plan(stored=(NOBLE_1,))


def test_one_whose_files_are_others_keeps_them() -> None:
    changed = catalogs.image(catalogs.NOBLE_1, {"boot-kernel": "other bytes"})
    plan = decide([changed], [migrated(NOBLE_1)])
    assert not plan.changes_something()
    assert "served already" in plan.refused[0].reason


def test_one_goes_out_when_the_source_has_a_newer_version() -> None:
    plan = decide([NOBLE_2], [migrated(NOBLE_1)])
    assert plan == planning.Plan(stored=(NOBLE_2,), outgoing=(NOBLE_1.name,))
    plan = decide([NOBLE_2], [migrated(NOBLE_1, available=False)])
    assert plan == planning.Plan(stored=(NOBLE_2,), removed=(NOBLE_1.name,))


def test_one_stays_whatever_is_selected_and_offered() -> None:
    assert decide([], [migrated(NOBLE_1)], selected=lambda *_: False) == planning.Plan()
    assert decide([JAMMY], [migrated(NOBLE_1)]).dropped == ()


def test_an_available_image_does_without_a_manifest_that_it_never_had() -> None:
    manifest = planning.WantedItem("squashfs.manifest", planning.MANIFEST, "m", "a" * 64, 5)
    offered = dataclasses.replace(NOBLE_1, items=(*NOBLE_1.items, manifest))
    assert decide([offered], [migrated(NOBLE_1)]).stored == (NOBLE_1,)
    assert decide([offered], [present(NOBLE_1)]) == planning.Plan()
    assert decide([offered], [present(offered)]) == planning.Plan()
    unseen = [migrated(NOBLE_1, available=False)]
    assert decide([offered], unseen).stored == (offered,)
