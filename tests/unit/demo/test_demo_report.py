"""When a demonstration counts as right, and what machines are sent to fetch."""

import dataclasses

import pytest

from boot_resources import errors
from boot_resources.demo import report, truth

GOOD = report.Report(
    regions=1, racks=1, machines=2, images=1, objects=3, bytes=100, upstream_bytes=100,
    rack_fill_bytes=50, served_bytes=100, mismatches=0, seconds=1.0, asked_bytes=50,
    hit_ratio=0.5, sync_seconds=0.5, boot_seconds=0.5, regions_detail=(), disagreements=(),
)  # fmt: skip


def test_a_run_without_a_flaw_is_right() -> None:
    assert GOOD.right
    assert GOOD.rows()[-1] == ("every byte", "right")


@pytest.mark.parametrize("flaw", [{"mismatches": 1}, {"disagreements": ("a: 1, 2",)}])
def test_one_flaw_is_enough_to_be_wrong(flaw: dict[str, int]) -> None:
    flawed = dataclasses.replace(GOOD, **flaw)  # type: ignore[arg-type]
    assert not flawed.right
    assert flawed.rows()[-1] == ("every byte", "wrong")


def test_every_difference_between_count_and_ledger_is_named() -> None:
    counted = {"a": 1, "b": 2000, "c": 3}
    assert report.compare(counted, dict(counted)) == ()
    assert report.compare(counted, {"a": 1, "b": 2001, "c": 0}) == (
        "b: 2,000 were counted, the ledger says 2,001",
        "c: 3 were counted, the ledger says 0",
    )


def test_a_byte_too_many_or_too_few_is_named() -> None:
    objects = {"a" * 64: 10, "b" * 64: 5}
    assert report.each_once("upstream_bytes", 15, objects) == ()
    for came in (14, 16):
        (line,) = report.each_once("upstream_bytes", came, objects)
        assert line.startswith(f"upstream_bytes: {came} came, 15 ")


def file(image: str, filename: str) -> truth.File:
    return truth.File(image, "1", filename, f"{image}/{filename}", 1)


def test_machines_boot_the_bootable_images_in_turn() -> None:
    known = truth.Truth(
        (
            *(file("noble", name) for name in (*truth.BOOT_FILES, "manifest")),
            *(file("jammy", name) for name in truth.BOOT_FILES),
            file("centos", "root-tgz"),
        )
    )
    menus = known.menus(3)
    assert [[wanted.path for wanted in menu] for menu in menus] == [
        [f"/images/{image}/{name}" for name in truth.BOOT_FILES]
        for image in ("noble", "jammy", "noble")
    ]


def test_where_nothing_boots_whole_images_are_fetched() -> None:
    menus = truth.Truth((file("centos", "root-tgz"), file("centos", "manifest"))).menus(2)
    assert [len(menu) for menu in menus] == [2, 2]


def test_where_there_is_nothing_machines_have_nothing_to_do() -> None:
    with pytest.raises(errors.BootResourcesError, match="want nothing"):
        truth.Truth(()).menus(1)
