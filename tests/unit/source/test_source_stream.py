import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources.source import document, stream
from support import streams

NAME = "streams/v1/com.example:v3:download.sjson"


def parse(changed: dict[str, Any]) -> stream.Products:
    return stream.parse_products(NAME, streams.encode(changed))


def refusal(changed: dict[str, Any]) -> str:
    with pytest.raises(document.DocumentRefused) as caught:
        parse(changed)
    assert str(caught.value).startswith(NAME)
    return str(caught.value)


def only(products: stream.Products) -> stream.Product:
    (product,) = products.products
    return product


# What a good document says.


def test_a_product_has_the_names_that_maas_gives_it() -> None:
    product = only(parse(streams.products()))
    assert product.names == ("ubuntu", "amd64", "ga-24.04", "noble", "stable")
    assert product.title == "24.04 LTS"
    assert product.kflavor == "generic"
    assert product.bootloader_type == ""
    assert product.extra["subarches"] == "generic, ga-24.04"


def test_an_item_has_its_file_name_from_its_path() -> None:
    (version,) = only(parse(streams.products())).versions
    kernel = version.items[1]
    assert kernel.filename == "boot-kernel"
    assert kernel.extra == {"kpackage": "linux-generic"}
    assert (kernel.sha256, kernel.size) == ("b" * 64, 70)


def test_a_bootloader_is_released_under_its_type() -> None:
    changed = streams.products()
    product = streams.product(changed)
    for tag in ("release", "subarch", "kflavor"):
        del product[tag]
    product |= {"os": "grub-efi-signed", "bootloader-type": "uefi"}
    changed["products"] = {"com.example:1:grub-efi-signed:uefi:amd64": product}
    found = only(parse(changed))
    assert found.names == ("grub-efi-signed", "amd64", "generic", "uefi", "stable")
    assert found.bootloader_type == "uefi"


@pytest.mark.parametrize(
    ("subarch", "kflavor", "expected"),
    [
        ("hwe-24.04", "lowlatency", "hwe-24.04-lowlatency"),
        ("hwe-24.04-lowlatency", "lowlatency", "hwe-24.04-lowlatency"),
        ("ga-24.04", "generic", "ga-24.04"),
    ],
)
def test_a_kernel_flavour_is_appended_once(subarch: str, kflavor: str, expected: str) -> None:
    changed = streams.products()
    streams.product(changed).update(subarch=subarch, kflavor=kflavor)
    assert only(parse(changed)).subarch == expected


def test_a_tag_holds_for_everything_below_it() -> None:
    changed = streams.products()
    product = streams.product(changed)
    changed["arch"] = product.pop("arch")
    changed["label"] = "daily"
    product["ftype"] = streams.items(changed)["squashfs"].pop("ftype")
    found = only(parse(changed))
    assert found.arch == "amd64"
    assert found.label == "stable"
    assert [item.ftype for item in found.versions[0].items] == ["squashfs", "boot-kernel"]


def test_a_version_that_has_a_label_of_its_own_is_a_product_of_its_own() -> None:
    changed = streams.products()
    versions = streams.product(changed)["versions"]
    versions["20250719"] = {**versions["20250718"], "label": "candidate"}
    found = parse(changed).products
    assert [p.label for p in found] == ["stable", "candidate"]
    assert [[v.name for v in p.versions] for p in found] == [["20250718"], ["20250719"]]


def test_dates_are_read_as_utc() -> None:
    changed = streams.products()
    changed["updated"] = "Fri, 18 Jul 2025 14:00:00 +0200"
    noon = datetime.datetime(2025, 7, 18, 12, tzinfo=datetime.UTC)
    assert parse(changed).updated == noon
    changed["updated"] = "Fri, 18 Jul 2025 12:00:00 -0000"
    assert parse(changed).updated == noon


def test_a_squashfs_replaces_the_root_image() -> None:
    changed = streams.products()
    items = streams.items(changed)
    items["root"] = {**items["squashfs"], "ftype": "root-image.gz", "path": "a/root-image.gz"}
    found = parse(changed)
    assert [i.ftype for i in only(found).versions[0].items] == ["squashfs", "boot-kernel"]
    assert found.problems == ()
    del items["squashfs"]
    assert [i.ftype for i in only(parse(changed)).versions[0].items][-1] == "root-image.gz"


def test_manifests_are_kept() -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"] |= {"ftype": "manifest"}
    assert only(parse(changed)).versions[0].items[0].ftype == "manifest"


def test_an_object_without_bytes_is_legal() -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["size"] = 0
    assert only(parse(changed)).versions[0].items[0].size == 0


# What refuses a document.


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "a//b",
        "./a",
        "a\\b",
        "a\\b/c",
        "a/b\x01",
        "a\x01/b",
        "a/" * 520 + "b",
        "",
        "a/",
        ".hidden",
        "a\u0301/b",
        "\u202eb/a",
        "\U0001f600" * 257 + "/b",
        5,
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: object) -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["path"] = path
    assert "items / squashfs" in refusal(changed)


def test_the_longest_path_is_read() -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["path"] = "d/" * 510 + "f" * 4
    assert len(only(parse(changed)).versions[0].items[0].path) == 1024


@pytest.mark.parametrize("size", [-1, 2**44 + 1, 10**30, 1.5, "12", True, [1], {"a": 1}])
def test_a_size_that_is_none_is_refused(size: object) -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["size"] = size
    assert "the size is" in refusal(changed)


@pytest.mark.parametrize("sha256", ["", "5" * 63, "g" * 64, "5" * 65, "5" * 64 + "\n", 5])
def test_a_sha256_that_is_none_is_refused(sha256: object) -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["sha256"] = sha256
    assert "not 64 hexadecimal digits" in refusal(changed)


def test_a_sha256_is_named_in_lower_case() -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["sha256"] = "AB" * 32
    assert only(parse(changed)).versions[0].items[0].sha256 == "ab" * 32


def test_one_sha256_with_two_sizes_is_refused() -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["sha256"] = "b" * 64
    assert f"the sha256 {'b' * 64} has two sizes, 5000 and 70" in refusal(changed)


def test_two_items_with_one_file_name_are_refused() -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["path"] = "elsewhere/boot-kernel"
    assert "two items have the file name 'boot-kernel'" in refusal(changed)


@pytest.mark.parametrize("updated", [None, "", "yesterday", "Fri, 40 Jul 2025 12:00:00 +0000", 5])
def test_a_document_without_a_date_is_refused(updated: object) -> None:
    changed = streams.products()
    changed["updated"] = updated
    assert "updated" in refusal(changed)


@pytest.mark.parametrize("wrong", ["index:1.0", "products:2.0", None, 1])
def test_a_document_of_another_format_is_refused(wrong: object) -> None:
    changed = streams.products()
    changed["format"] = wrong
    assert "format" in refusal(changed)


@pytest.mark.parametrize("tag", ["os", "arch", "subarch", "release", "label", "kflavor"])
@pytest.mark.parametrize("name", ["../x", "a/b", "-a", "", "a b", "é", "x" * 129, 5, ["a"]])
def test_a_name_that_cannot_be_a_segment_of_a_url_is_refused(tag: str, name: object) -> None:
    changed = streams.products()
    streams.product(changed)[tag] = name
    refusal(changed)


def test_a_version_that_cannot_be_a_segment_of_a_url_is_refused() -> None:
    changed = streams.products()
    versions = streams.product(changed)["versions"]
    versions["a/b"] = versions.pop("20250718")
    assert "the version is 'a/b', which cannot be a name" in refusal(changed)


@pytest.mark.parametrize("key", ["products", "versions", "items"])
@pytest.mark.parametrize("value", [None, [], "x", {"a": 5}])
def test_a_holder_of_another_type_is_refused(key: str, value: object) -> None:
    changed = streams.products()
    holders = {
        "products": changed,
        "versions": streams.product(changed),
        "items": streams.product(changed)["versions"]["20250718"],
    }
    holders[key][key] = value
    refusal(changed)


# What is a problem of one product, and leaves the rest.


def test_an_unknown_file_type_is_left_out_and_listed() -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["ftype"] = "root-image.zst"
    found = parse(changed)
    assert [i.ftype for i in only(found).versions[0].items] == ["boot-kernel"]
    (problem,) = found.problems
    assert problem.where.endswith("items / squashfs")
    assert "'root-image.zst' is not known" in problem.text


def test_a_version_of_which_nothing_is_known_is_refused() -> None:
    changed = streams.products()
    for item in streams.items(changed).values():
        item["ftype"] = "root-image.zst"
    (version,) = only(parse(changed)).versions
    assert "it has no item of a known type" in version.refused


@pytest.mark.parametrize("tag", ["sha256", "size", "path"])
def test_an_item_that_is_incomplete_refuses_its_whole_version(tag: str) -> None:
    changed = streams.products()
    del streams.items(changed)["squashfs"][tag]
    streams.items(changed)["squashfs"]["md5"] = "5" * 32
    found = parse(changed)
    (version,) = only(found).versions
    assert version.items == ()
    assert f"squashfs gives no {tag}" in version.refused
    (problem,) = found.problems
    assert version.refused == f"{problem.where}: {problem.text}"


def test_an_item_with_names_of_its_own_refuses_its_version() -> None:
    changed = streams.products()
    streams.items(changed)["squashfs"]["arch"] = "arm64"
    (version,) = only(parse(changed)).versions
    assert "squashfs has names of its own" in version.refused


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("com.example:v9:boot:24.04:amd64:ga-24.04", {}),
        ("com.example:v3:core", {"os": "ubuntu-core"}),
        ("com.example:2:grub:uefi:amd64", {"os": "grub", "bootloader-type": "uefi"}),
    ],
)
def test_a_product_of_an_unknown_format_is_left_out_and_listed(
    key: str, changes: dict[str, str]
) -> None:
    changed = streams.products()
    changed["products"][key] = {**streams.product(changed), **changes}
    found = parse(changed)
    assert only(found).key == streams.KEY
    (problem,) = found.problems
    assert "a format that we do not know" in problem.text


@pytest.mark.parametrize("tag", ["os", "arch", "release", "label"])
def test_a_product_without_a_name_is_left_out_and_listed(tag: str) -> None:
    changed = streams.products()
    del streams.product(changed)[tag]
    found = parse(changed)
    assert found.products == ()
    assert f"gives no {tag}" in found.problems[0].text


# The index.


def test_an_index_lists_its_documents() -> None:
    entry = {
        "path": "streams/v1/a.json",
        "datatype": "image-ids",
        "format": "products:1.0",
        "updated": streams.DATE,
    }
    changed = {"format": "index:1.0", "updated": streams.DATE, "index": {"a": entry}}
    index = stream.parse_index("i", streams.encode(changed))
    noon = datetime.datetime(2025, 7, 18, 12, tzinfo=datetime.UTC)
    assert index.updated == noon
    assert index.entries == (
        stream.IndexEntry("a", "streams/v1/a.json", "image-ids", "products:1.0", noon),
    )
    entry["path"] = "../a.json"
    with pytest.raises(document.DocumentRefused, match=r"index / a: the path '../a.json'"):
        stream.parse_index("i", streams.encode(changed))


# The real documents.


@pytest.mark.parametrize(
    ("name", "products", "items"),
    [("bootloaders", 5, 13), ("centos", 2, 8), ("ubuntu", 4, 32)],
)
def test_every_product_and_item_of_the_real_stream_is_read(
    name: str, products: int, items: int
) -> None:
    found = stream.parse_products(name, streams.real(name))
    assert len(found.products) == products
    assert sum(len(v.items) for p in found.products for v in p.versions) == items
    assert found.problems == ()
    assert not any(version.refused for p in found.products for version in p.versions)


def test_the_real_index_is_read() -> None:
    index = stream.parse_index("index", streams.real("index"))
    assert [entry.content_id for entry in index.entries] == [
        "com.ubuntu.maas:stable:1:bootloader-download",
        "com.ubuntu.maas:stable:centos-bases-download",
        "com.ubuntu.maas:stable:v3:download",
    ]


# Whatever comes.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@given(st.binary(max_size=300))
def test_no_bytes_give_anything_but_products_or_a_refusal(payload: bytes) -> None:
    parse_either(payload)


@given(st.data())
def test_no_change_of_a_document_gives_anything_but_products_or_a_refusal(
    data: st.DataObject,
) -> None:
    changed: Any = streams.products()
    holder: Any = changed
    while True:
        key = data.draw(st.sampled_from(sorted(holder)))
        if not isinstance(holder[key], dict) or not holder[key] or data.draw(st.booleans()):
            break
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[key] = data.draw(json_values)
    else:
        holder[data.draw(st.text(max_size=20))] = holder.pop(key)
    parse_either(json.dumps(changed).encode())


def parse_either(payload: bytes) -> None:
    try:
        found = stream.parse_products(NAME, payload)
    except document.DocumentRefused:
        return
    for product in found.products:
        assert all(name and "/" not in name for name in product.names)
        for version in product.versions:
            assert bool(version.items) != bool(version.refused)
            assert len({item.filename for item in version.items}) == len(version.items)
