import itertools

import pytest

from boot_resources.source import select, stream
from support import streams

ALL = select.Selection("*", "*")


def product(*versions: str, refused: str = "", **names: str) -> stream.Product:
    item = stream.Item("squashfs", "squashfs", "a/squashfs", "5" * 64, 5)
    read = [
        stream.Version(v, (), "because") if v == refused else stream.Version(v, (item,))
        for v in versions
    ]
    given = {
        "key": "k",
        "os": "ubuntu",
        "arch": "amd64",
        "subarch": "ga-24.04",
        "release": "noble",
        "label": "stable",
        "title": "24.04 LTS",
        "kflavor": "generic",
        "bootloader_type": "",
    }
    extra = {"subarches": "generic, hwe-p,ga-24.04"}
    return stream.Product(**{**given, **names}, extra=extra, versions=tuple(read))


def matched(selection: select.Selection) -> bool:
    return bool(select.choose([product("1")], [selection]).wanted)


@pytest.mark.parametrize(
    "selection",
    [
        ALL,
        select.Selection("ubuntu", "noble"),
        select.Selection("ubuntu", "*", ("*",), ("*",), ("*",)),
        select.Selection("*", "noble", ("arm64", "amd64"), ("ga-24.04",), ("daily", "stable")),
        select.Selection("ubuntu", "noble", subarches=("hwe-p",)),
    ],
)
def test_a_selection_wants_what_it_names(selection: select.Selection) -> None:
    assert matched(selection)


@pytest.mark.parametrize(
    "selection",
    [
        select.Selection("centos", "*"),
        select.Selection("ubuntu", "jammy"),
        select.Selection("ubuntu", "noble", ("arm64",)),
        select.Selection("ubuntu", "noble", subarches=("hwe",)),
        select.Selection("ubuntu", "noble", labels=("daily",)),
        select.Selection("ubunt*", "noble"),
    ],
)
def test_a_selection_wants_nothing_else(selection: select.Selection) -> None:
    assert not matched(selection)


def test_without_selections_only_bootloaders_are_wanted() -> None:
    uefi = product("1", key="b", os="grub-efi", release="uefi", bootloader_type="uefi")
    choice = select.choose([product("1"), uefi], [])
    assert [wanted.key for wanted in choice.wanted] == ["b"]


@pytest.mark.parametrize("kind", ["pxe", "uefi", "open-firmware"])
def test_bootloaders_are_wanted_whatever_is_selected(kind: str) -> None:
    loader = product("1", os="loader", release=kind, bootloader_type=kind)
    choice = select.choose([loader], [select.Selection("centos", "8")])
    assert [wanted.bootloader_type for wanted in choice.wanted] == [kind]


def test_a_bootloader_of_another_type_is_listed() -> None:
    choice = select.choose([product("1", release="s390", bootloader_type="s390")], [ALL])
    assert choice.wanted == ()
    assert "'s390' are not served" in choice.problems[0].text


def test_only_the_newest_version_is_wanted() -> None:
    versions = ("20250718.9", "20250718.10", "20250718", "20241231.99")
    for order in itertools.permutations(versions):
        (wanted,) = select.choose([product(*order)], [ALL]).wanted
        assert wanted.version == "20250718.10"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("20250718", "20250718.1"),
        ("20250718.9", "20250718.10"),
        ("20240604_01", "20240622_01"),
        ("9", "10"),
        ("1.0-rc1", "1.0-rc2"),
        ("a", "b"),
    ],
)
def test_versions_are_ordered_as_people_do(older: str, newer: str) -> None:
    assert select.natural_order(older) < select.natural_order(newer)


def test_a_newest_version_that_was_refused_yields_nothing_and_is_listed() -> None:
    choice = select.choose([product("1", "2", refused="2")], [ALL])
    assert choice.wanted == ()
    assert "its newest version, 2, cannot be had: because" in choice.lacking[0].text
    assert choice.problems == ()


def test_an_older_version_that_was_refused_does_not_matter() -> None:
    (wanted,) = select.choose([product("1", "2", refused="1")], [ALL]).wanted
    assert wanted.version == "2"


def test_of_two_products_with_the_same_names_the_first_counts() -> None:
    choice = select.choose([product("1", key="a"), product("2", key="b")], [ALL])
    assert [wanted.key for wanted in choice.wanted] == ["a"]
    assert choice.problems == (
        stream.Problem("b", "has the same names as a, which came first; it is left out"),
    )


def test_a_product_that_two_selections_name_is_wanted_once() -> None:
    assert len(select.choose([product("1")], [ALL, ALL]).wanted) == 1


def real_products() -> list[stream.Product]:
    names = ("bootloaders", "centos", "ubuntu")
    return [p for n in names for p in stream.parse_products(n, streams.real(n)).products]


@pytest.mark.parametrize(
    ("selections", "files", "size"),
    [
        ([], 7, 4_411_296),
        ([select.Selection("centos", "*")], 9, 4_411_296 + 1_198_768_900),
        ([select.Selection("ubuntu", "*")], 19, 4_411_296 + 1_838_727_489),
        ([ALL], 21, 3_041_907_685),
    ],
)
def test_selections_of_the_real_stream_give_the_right_files(
    selections: list[select.Selection], files: int, size: int
) -> None:
    choice = select.choose(real_products(), selections)
    items = [item for wanted in choice.wanted for item in wanted.items]
    objects = {item.sha256: item.size for item in items if item.ftype != "manifest"}
    assert (len(objects), sum(objects.values())) == (files, size)
    assert choice.problems == ()


def test_the_real_stream_gives_one_image_for_one_release_and_architecture() -> None:
    selection = select.Selection("ubuntu", "noble", ("amd64",))
    choice = select.choose(real_products(), [selection])
    (wanted,) = (w for w in choice.wanted if not w.bootloader_type)
    assert (wanted.subarch, wanted.version) == ("ga-24.04", "20250709")
    assert sorted(i.filename for i in wanted.items) == [
        "boot-initrd",
        "boot-kernel",
        "squashfs",
        "squashfs.manifest",
    ]
