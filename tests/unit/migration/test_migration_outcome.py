"""When a migration has succeeded: everything is proved on disk, or set aside with a resolution."""

import pytest

from boot_resources.catalog import names
from boot_resources.migration import naming, outcome
from support import catalogs

IMAGE = catalogs.image(catalogs.NOBLE_1)
OTHER = catalogs.image(catalogs.NOBLE_HWE)
KERNEL, SQUASHFS = (item.sha256 for item in IMAGE.items)
ALL = {item.sha256 for image in (IMAGE, OTHER) for item in image.items}
MIGRANTS = [naming.Migrant(IMAGE, 2, ()), naming.Migrant(OTHER, 1, ())]


def judge(
    held: set[str],
    *,
    failed: dict[str, str] | None = None,
    listed: set[str] = frozenset(),  # type: ignore[assignment]
    lost: tuple[names.ImageName, ...] = (),
    migrants: list[naming.Migrant] | None = None,
) -> outcome.Outcome:
    return outcome.judge(migrants or MIGRANTS, held, failed or {}, listed, lost)


def test_all_of_it_is_proved() -> None:
    found = judge(ALL)
    assert found.succeeded
    assert found.arriving == (OTHER, IMAGE), "the oldest first"
    assert found.set_aside == ()


def test_what_is_not_proved_is_open_and_its_image_does_not_arrive() -> None:
    found = judge(ALL - {KERNEL}, failed={KERNEL: "it is short"})
    assert not found.succeeded
    assert found.arriving == (OTHER,)
    (one,) = found.open
    assert (one.image, one.filename, one.reason) == (IMAGE.name, "boot-kernel", "it is short")
    assert str(one) == f"{IMAGE.name} boot-kernel: it is short (open)"


def test_what_the_source_lists_is_fetched_again() -> None:
    found = judge(ALL - {KERNEL}, listed={KERNEL})
    assert found.succeeded
    assert found.arriving == (OTHER, IMAGE)
    assert found.set_aside[0].resolution is outcome.Resolution.REDOWNLOAD


def test_what_an_operator_gives_up_is_lost_and_nothing_else() -> None:
    found = judge(ALL - {KERNEL}, lost=(IMAGE.name,))
    assert found.succeeded
    assert found.arriving == (OTHER,)
    assert found.set_aside[0].resolution is outcome.Resolution.LOST


def test_one_loss_does_not_cover_another() -> None:
    found = judge(set(), lost=(IMAGE.name,))
    assert {each.image for each in found.open} == {OTHER.name}


def test_the_loss_of_what_is_whole_is_refused() -> None:
    with pytest.raises(outcome.NothingToLose, match="nothing of"):
        outcome.require_something_to_lose(judge(ALL, lost=(IMAGE.name,)), [IMAGE.name])
    outcome.require_something_to_lose(judge(set(), lost=(IMAGE.name,)), [IMAGE.name])


def test_an_image_whose_files_are_half_listed_is_open() -> None:
    found = judge(ALL - {KERNEL, SQUASHFS}, listed={KERNEL})
    assert [each.resolution for each in found.set_aside] == [
        outcome.Resolution.REDOWNLOAD,
        outcome.Resolution.OPEN,
    ]
    assert found.arriving == (OTHER,)


def test_what_lies_on_disk_is_proved_whatever_maas_has_of_it() -> None:
    flaw = naming.Flaw("boot-kernel", KERNEL, "its large object is not in the database")
    flawed = [naming.Migrant(IMAGE, 1, (flaw,))]
    assert judge(ALL, migrants=flawed).succeeded
    (one,) = judge(ALL - {KERNEL}, migrants=flawed).open
    assert one.reason == flaw.reason


def test_a_name_that_is_taken_cannot_be_proved_away() -> None:
    taken = [naming.Migrant(IMAGE, 1, (naming.Flaw("", "", "the name is taken"),))]
    assert not judge(ALL, migrants=taken).succeeded
    assert judge(ALL, migrants=taken, lost=(IMAGE.name,)).succeeded
