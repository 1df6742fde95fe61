"""Attacks with documents that are signed and broken: their JSON, their names, sizes and hashes.

Whoever holds the key may err, or be somebody else; a signature is no reason to believe nonsense.
"""

from collections.abc import Callable
from typing import Any

import pytest

from boot_resources.source import document, keyring
from support import feed as feeds
from support.feed import DOCUMENT, EL8, INDEX, NOBLE, OTHER, UBUNTU, Feed

EITHER = pytest.mark.parametrize("path", [INDEX, DOCUMENT])
Spoil = Callable[[dict[str, Any]], object]


def lines(*many: bytes) -> bytes:
    """Return them as lines: gpg reads none of more than 19,000 bytes."""
    return b"\n".join(many) + b"\n"


# JSON.


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (lines(*[b"[" * 1000] * 100, *[b"]" * 1000] * 100), "nested deeper than 32"),
        (lines(*[b'{"a":' * 1000] * 100), "nested deeper than 32"),
        (b'{"a": ' * 33 + b"1" + b"}" * 33 + b"\n", "nested deeper than 32"),
        (b'{"a": ' + b"9" * 18_000 + b"}\n", "is not JSON as we read it"),
        (b'{"a": NaN}\n', "NaN is not a number"),
        (b'{"a": -Infinity}\n', "-Infinity is not a number"),
        (b'{"a": 1, "a": 2}\n', "the key 'a' is given twice in one object"),
        (b'{"a": "' + b"x" * 17_000 + b'"}\n', "has 17000 characters; the limit is 16384"),
        (b'{"a": "\xff"}\n', "is not UTF-8 at byte 7"),
        (b'{"a": "\\u0000"}\n', "holds a NUL"),
        (b'{"a": "\\ud800"}\n', "is not Unicode"),
        (b'\xef\xbb\xbf{"a": 1}\n', "is not JSON"),
        (b'{"a": 1} {"b": 2}\n', "is not JSON"),
        (b"[1, 2]\n", "is a list, not an object"),
        (b"\n", "is not JSON"),
    ],
    ids=[
        *("100,000 lists", "100,000 objects", "33 objects", "18,000 digits", "nan", "infinity"),
        *("twice", "a long text", "utf-8", "nul", "surrogate", "bom", "two", "list", "nothing"),
    ],
)
def test_json_that_is_not_sane_is_refused(feed: Feed, payload: bytes, why: str) -> None:
    feed.sign(DOCUMENT, payload)
    feed.refuses(DOCUMENT, document.DocumentRefused, why)


def test_the_index_is_read_as_strictly(feed: Feed) -> None:
    feed.sign(INDEX, b'{"format": "index:1.0", "format": "index:1.0"}\n')
    feed.refuses(INDEX, document.DocumentRefused, "the key 'format' is given twice")


@pytest.mark.parametrize("value", [b"9" * 1_000_000, b'"' + b"x" * 50_000 + b'"'])
def test_a_line_that_gpg_does_not_read_whole_is_refused(feed: Feed, value: bytes) -> None:
    feed.sign(DOCUMENT, b"{}\n")
    signed = (feed.source.directory / DOCUMENT).read_bytes()
    feed.write(DOCUMENT, signed.replace(b"{}", b'{"a": ' + value[:90_000] + b"}"))
    feed.refuses(DOCUMENT, keyring.SignatureRefused, "a line is longer than 19000 bytes")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"9" * 90_000, "is not JSON as we read it"),
        (b'"' + b"x" * 90_000 + b'"', "has 90000 characters"),
        (b'{"\\u001b[2J":' * 40 + b"1" + b"}" * 40, "nested deeper than 32"),
    ],
    ids=["digits", "text", "depth"],
)
def test_nor_does_a_document_that_nobody_signed_get_away_with_it(
    own_feed: Feed, value: bytes, why: str
) -> None:
    path = feeds.plain(DOCUMENT)
    own_feed.trust(None)
    own_feed.sync()
    before = own_feed.held()
    own_feed.write(path, b'{"a": ' + value + b"}")
    own_feed.sync()
    own_feed.says(path, why)
    assert own_feed.held() == before


# Items.


def spoilt(feed: Feed, **values: object) -> None:
    """Publish a newer document whose item has these values."""
    newer = feed.document(DOCUMENT)
    feeds.item(newer).update(values)
    feed.sign(DOCUMENT, newer)


@pytest.mark.parametrize("hashes", [{}, {"md5": "5" * 32}, {"sha1": "a" * 40}])
def test_an_image_without_sha256_is_not_taken_and_said_to_be_missing(
    feed: Feed, hashes: dict[str, str]
) -> None:
    before = feed.held()
    newer = feed.document(DOCUMENT)
    item = feeds.item(newer)
    del item["sha256"]
    item.update(hashes)
    feed.sign(DOCUMENT, newer)
    feed.sync()
    feed.says(NOBLE, "cannot be had", DOCUMENT, "squashfs gives no sha256")
    assert feed.held().available == before.available
    assert feed.held().objects == before.objects
    feed.recovers(DOCUMENT)


@pytest.mark.parametrize("sha256", ["", "5" * 63, "g" * 64, 5, ["5" * 64], "../" * 21 + "a"])
def test_a_sha256_that_is_none_is_refused(feed: Feed, sha256: object) -> None:
    spoilt(feed, sha256=sha256)
    feed.refuses(DOCUMENT, document.DocumentRefused, "not 64 hexadecimal digits")


@pytest.mark.parametrize(
    ("size", "why"),
    [
        (-1, "the size is -1 bytes, which no image has"),
        (2**44 + 1, "bytes, which no image has"),
        (10**4000, "bytes, which no image has"),
        (8.0, "not a whole number of bytes"),
        (True, "not a whole number of bytes"),
        ("8", "not a whole number of bytes"),
        ([8], "not a whole number of bytes"),
    ],
    ids=["negative", "absurd", "4,000 digits", "float", "bool", "string", "list"],
)
def test_a_size_that_is_none_is_refused(feed: Feed, size: object, why: str) -> None:
    spoilt(feed, size=size)
    feed.refuses(DOCUMENT, document.DocumentRefused, why)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "noble/../../squashfs",
        "noble/./squashfs",
        "noble//squashfs",
        "noble\\squashfs",
        "noble/squashfs\n",
        "http://elsewhere.example/squashfs",
        "noble/\u202esquashfs",
        "nobl\u0065\u0301/squashfs",
        "noble/squ\u00e4shfs",
        "noble/.squashfs",
        "n" * 1025,
        "\U0001f600" * 300 + "/squashfs",
        "",
        "/",
        5,
    ],
)
def test_a_path_that_is_none_is_refused(feed: Feed, path: object) -> None:
    spoilt(feed, path=path)
    feed.refuses(DOCUMENT, document.DocumentRefused, "products / com.example:v3:noble")


def test_a_path_with_a_nul_is_refused(feed: Feed) -> None:
    spoilt(feed, path="noble/squashfs\0.txt")
    feed.refuses(DOCUMENT, document.DocumentRefused, "holds a NUL")


@pytest.mark.parametrize("path", ["/etc/passwd.json", "../x.json", "streams/v1/\\x.json", ""])
def test_a_path_in_the_index_that_is_none_is_refused(feed: Feed, path: str) -> None:
    index = feed.document(INDEX)
    index["index"][UBUNTU]["path"] = path
    feed.sign(INDEX, index)
    feed.refuses(INDEX, document.DocumentRefused, f"index / {UBUNTU}")


@EITHER
@pytest.mark.parametrize(
    "date",
    ["soon", "", 5, None, "Wed, 31 Dec 1969 23:59:59 +0000", "Fri, 31 Dec 9999 23:59:59 -2359"],
)
def test_a_date_that_is_none_is_refused(feed: Feed, path: str, date: object) -> None:
    feed.sign(path, {**feed.document(path), "updated": date})
    feed.refuses(path, document.DocumentRefused, "updated")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".", "a b", "x" * 129, "\x1b[2J"])
def test_a_name_that_cannot_be_one_is_refused(feed: Feed, name: str) -> None:
    newer = feed.document(DOCUMENT)
    newer["products"][NOBLE]["release"] = name
    feed.sign(DOCUMENT, newer)
    feed.refuses(DOCUMENT, document.DocumentRefused, "which cannot be a name")


def test_names_of_the_source_do_not_fill_the_status_nor_move_a_cursor(feed: Feed) -> None:
    before = feed.held()
    newer = feed.document(DOCUMENT)
    product = newer["products"].pop(NOBLE)
    (version,) = list(product["versions"].values())[-1:]
    version["items"] = {"\x1b[2J\n" + "x" * 9000: {"ftype": "squashfs"}}
    newer["products"][f"{NOBLE}\x1b[2J\n{'y' * 9000}"] = product
    feed.sign(DOCUMENT, newer)
    feed.sync()
    assert feed.status()
    for notice in feed.status():
        assert (notice["text"] + notice["key"]).isprintable()
        assert len(notice["text"] + notice["key"]) < 2000
    assert feed.held().available == before.available
    feed.recovers(DOCUMENT)


def test_an_index_of_very_many_documents_is_refused(feed: Feed) -> None:
    index = feed.document(INDEX)
    entry = index["index"][UBUNTU]
    index["index"] = {f"x{n}": {**entry, "path": f"streams/v1/{n}.json"} for n in range(257)}
    feed.sign(INDEX, index)
    feed.refuses(INDEX, document.DocumentRefused, "it lists 257 documents; the limit is 256")


# What contradicts itself.


def test_one_sha256_with_two_sizes_in_one_document_is_refused(feed: Feed) -> None:
    newer = feed.document(DOCUMENT)
    item = feeds.item(newer)
    versions = newer["products"][NOBLE]["versions"]
    other = {**item, "path": "noble/other/squashfs", "size": item["size"] + 1}
    versions["29990101"] = {"items": {"squashfs": other}}
    feed.sign(DOCUMENT, newer)
    feed.refuses(DOCUMENT, document.DocumentRefused, "has two sizes")


def test_one_sha256_with_two_sizes_in_two_documents_is_refused(feed: Feed) -> None:
    newer = feed.document(OTHER)
    squashfs = feeds.item(feed.document(DOCUMENT))
    feeds.item(newer, EL8).update(sha256=squashfs["sha256"], size=squashfs["size"] + 1)
    feed.sign(OTHER, newer)
    feed.refuses(OTHER, document.DocumentRefused, "has two sizes")


def test_another_size_than_that_of_a_proved_object_is_refused(feed: Feed) -> None:
    before = feed.held()
    newer = feed.document(DOCUMENT)
    versions = newer["products"][NOBLE]["versions"]
    item = feeds.item(newer)
    item["size"] += 1
    versions["29990101"] = versions.pop(max(versions))
    feed.sign(DOCUMENT, newer)
    feed.sync()
    feed.says("noble/stable/29990101 is refused", "squashfs is to have")
    assert feed.held().available == before.available
    assert feed.held().objects == before.objects
    feed.recovers(DOCUMENT)


def test_other_files_for_a_version_that_is_served_are_refused(feed: Feed) -> None:
    before = feed.held()
    evil = feed.source.add_payload("evil/squashfs", b"evil")
    newer = feed.document(DOCUMENT)
    feeds.item(newer).update(path=evil.path, sha256=evil.sha256, size=evil.size)
    feed.sign(DOCUMENT, newer)
    feed.sync()
    feed.says("is refused: the source changed the files of a version that is served already")
    assert feed.held().available == before.available
    assert feed.held().objects == before.objects
    feed.recovers(DOCUMENT)


def test_of_two_products_of_the_same_names_the_first_counts(feed: Feed) -> None:
    before = feed.held()
    evil = feed.source.add_payload("evil/squashfs", b"evil")
    newer = feed.document(DOCUMENT)
    item = {"ftype": "squashfs", "path": evil.path, "sha256": evil.sha256, "size": evil.size}
    twin = {**newer["products"][NOBLE], "versions": {"29990101": {"items": {"squashfs": item}}}}
    newer["products"][f"{NOBLE}:z"] = twin
    feed.sign(DOCUMENT, newer)
    feed.sync()
    feed.says(f"{NOBLE}:z", f"has the same names as {NOBLE}", severity="info")
    assert feed.held().available == before.available
    assert evil.sha256 not in feed.held().objects
    feed.recovers(DOCUMENT)


def test_two_items_of_one_file_name_are_refused(feed: Feed) -> None:
    newer = feed.document(DOCUMENT)
    versions = newer["products"][NOBLE]["versions"]
    items = versions[max(versions)]["items"]
    items["again"] = {**feeds.item(newer), "sha256": "a" * 64}
    feed.sign(DOCUMENT, newer)
    feed.refuses(DOCUMENT, document.DocumentRefused, "two items have the file name 'squashfs'")


def test_of_two_items_of_one_path_only_the_one_whose_hash_is_right_is_held(feed: Feed) -> None:
    before = feed.held()
    newer = feed.document(OTHER)
    squashfs = feeds.item(feed.document(DOCUMENT))
    wrong = {**squashfs, "ftype": "root-tgz", "sha256": "a" * 64}
    newer["products"][EL8]["versions"]["29990101"] = {"items": {"root-tgz": wrong}}
    feed.sign(OTHER, newer)
    feed.sync()
    feed.says("centos/amd64/generic/8/stable/29990101", "is not what the source signed")
    assert feed.held().available == before.available
    assert feed.held().objects == before.objects
    feed.recovers(OTHER)
