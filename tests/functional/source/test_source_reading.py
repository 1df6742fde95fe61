"""One reading of a real source on loopback, with real signatures: what comes out of it.

The attacks on it, as a region sees them, are in tests/functional/attacks.
"""

import dataclasses
import datetime
import email.utils
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from boot_resources import errors
from boot_resources.demo import origin, signed_source
from boot_resources.source import (
    failures,
    fetch,
    keyring,
    reading,
    retrying,
    select,
)
from support import streams

NOW = datetime.datetime(2025, 7, 25, tzinfo=datetime.UTC)
DATE = datetime.datetime(2025, 7, 18, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
INDEX = "streams/v1/index.sjson"
UBUNTU = "com.example:v3:download"
CENTOS = "com.example:w:centos"
DOCUMENT = f"streams/v1/{UBUNTU}.sjson"
OTHER = f"streams/v1/{CENTOS}.sjson"
NEW, UNCHANGED = reading.Outcome.NEW, reading.Outcome.UNCHANGED
REFUSED, UNREACHABLE = reading.Outcome.REFUSED, reading.Outcome.UNREACHABLE


@dataclasses.dataclass
class Feed:
    """A source, its server, and a reader that remembers as a catalog would."""

    source: signed_source.SignedSource
    server: origin.Origin
    fetcher: fetch.Fetcher
    boot_source: reading.BootSource
    accepted: dict[str, reading.Accepted] = dataclasses.field(default_factory=dict)

    def read(self, now: datetime.datetime = NOW, **options: Any) -> reading.Reading:
        found = reading.read(self.boot_source, self.fetcher, self.accepted, now, **options)
        for one in found.documents:
            if one.accepted is not None:
                self.accepted[one.path] = one.accepted
        return found

    def write(self, path: str, signed: bytes) -> None:
        (self.server.directory / path).write_bytes(signed)

    def document(self, path: str, updated: datetime.datetime = DATE) -> dict[str, Any]:
        """Return one of its documents, to be spoilt."""
        made = self.source.documents(updated)[path.replace(".sjson", ".json")]
        found: dict[str, Any] = json.loads(made)
        return found

    def sign(self, path: str, payload: Mapping[str, Any] | bytes) -> None:
        if not isinstance(payload, bytes):
            payload = signed_source.encode(payload)
        self.write(path, self.source.sign(payload))


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    with signed_source.SignedSource(tmp_path / "source") as source:
        squashfs = source.add_payload("noble/squashfs", b"squashfs")
        tarball = source.add_payload("centos/root-tgz", b"tarball")
        names = {"os": "ubuntu", "arch": "amd64", "release": "noble", "label": "stable"}
        items = {"squashfs": ("squashfs", squashfs)}
        source.add_product(UBUNTU, "com.example:v3:noble", names, "20250718", items)
        names = {"os": "centos", "arch": "amd64", "release": "8", "label": "stable"}
        items = {"root-tgz": ("root-tgz", tarball)}
        source.add_product(CENTOS, "com.example:centos:8", names, "20250718", items)
        source.publish(DATE)
        ring = keyring.Keyring.from_file(source.keyring)
        policy = retrying.Policy(attempts=2, sleep=lambda _: None)
        limits = fetch.Limits(document=100_000, min_rate=1000, window=0.2, read=0.2)
        with (
            origin.Origin(source.directory) as server,
            fetch.Fetcher(policy=policy, limits=limits) as fetcher,
        ):
            yield Feed(source, server, fetcher, reading.BootSource(server.url, ring))


def outcomes(found: reading.Reading) -> list[reading.Outcome]:
    return [one.outcome for one in found.documents]


def offered(found: reading.Reading) -> list[str]:
    return sorted(product.os for product in found.products)


# An honest source.


def test_a_signed_source_is_read(feed: Feed) -> None:
    found = feed.read()
    assert outcomes(found) == [NEW, NEW, NEW]
    assert [one.path for one in found.documents] == [INDEX, DOCUMENT, OTHER]
    assert offered(found) == ["centos", "ubuntu"]
    assert found.complete
    assert found.problems == ()
    accepted = found.documents[0].accepted
    assert accepted is not None
    assert accepted.updated == DATE
    assert json.loads(accepted.payload)["format"] == "index:1.0"


def test_a_second_reading_fetches_nothing_that_is_known(feed: Feed) -> None:
    feed.read()
    sent = feed.server.document_bytes
    found = feed.read()
    assert outcomes(found) == [UNCHANGED, UNCHANGED, UNCHANGED]
    assert offered(found) == ["centos", "ubuntu"]
    assert feed.server.document_bytes == sent


def test_without_validators_the_same_document_is_unchanged_too(feed: Feed) -> None:
    feed.read()
    unknown = fetch.Validators()
    feed.accepted = {
        path: dataclasses.replace(accepted, validators=unknown)
        for path, accepted in feed.accepted.items()
    }
    found = feed.read()
    assert outcomes(found) == [UNCHANGED, UNCHANGED, UNCHANGED]
    assert feed.accepted[INDEX].validators != unknown


def test_a_newer_version_is_read(feed: Feed) -> None:
    feed.read()
    squashfs = feed.source.add_payload("noble/new/squashfs", b"newer")
    names = {"os": "ubuntu", "arch": "amd64", "release": "noble", "label": "stable"}
    items = {"squashfs": ("squashfs", squashfs)}
    feed.source.add_product(UBUNTU, "com.example:v3:noble", names, "20250719", items)
    feed.source.publish(DATE + HOUR)
    found = feed.read()
    assert outcomes(found) == [NEW, NEW, NEW]
    (wanted,) = select.choose(found.products, [select.Selection("ubuntu", "*")]).wanted
    assert (wanted.version, wanted.items[0].sha256) == ("20250719", squashfs.sha256)


@pytest.mark.parametrize("tail", ["", INDEX])
def test_a_source_is_read_without_a_slash_and_by_its_index(feed: Feed, tail: str) -> None:
    url = feed.server.url + tail if tail else feed.server.url.rstrip("/")
    feed.boot_source = dataclasses.replace(feed.boot_source, url=url)
    assert feed.read().complete


def test_documents_may_be_of_different_dates(feed: Feed) -> None:
    feed.sign(DOCUMENT, feed.document(DOCUMENT, DATE - 100 * HOUR))
    feed.sign(OTHER, feed.document(OTHER, DATE + HOUR))
    assert outcomes(feed.read()) == [NEW, NEW, NEW]


# Unsigned sources.


def test_an_unsigned_source_is_read_only_where_that_is_allowed(feed: Feed) -> None:
    with pytest.raises(errors.SettingsError, match="has no keyring") as caught:
        reading.BootSource(feed.server.url, None)
    assert "allow-unsigned" in caught.value.cure
    feed.boot_source = reading.BootSource(feed.server.url, None, allow_unsigned=True)
    found = feed.read()
    assert found.documents[0].path == "streams/v1/index.json"
    assert offered(found) == ["centos", "ubuntu"]
    assert all(request.path.endswith(".json") for request in feed.server.requests)


def test_an_unsigned_index_is_refused_for_a_source_with_a_keyring(feed: Feed) -> None:
    url = feed.server.url + "streams/v1/index.json"
    with pytest.raises(errors.SettingsError, match="an index that is not signed"):
        dataclasses.replace(feed.boot_source, url=url)


# What is too old.


def test_a_lowered_guard_lets_one_document_in(feed: Feed) -> None:
    feed.read()
    for path in (DOCUMENT, OTHER):
        feed.sign(path, feed.document(path, DATE - HOUR))
    found = feed.read(lowered=frozenset({DOCUMENT}))
    assert outcomes(found) == [UNCHANGED, NEW, REFUSED]
    assert feed.accepted[DOCUMENT].updated == DATE - HOUR
    # A server that compares dates would otherwise answer that nothing is newer.
    asked = [r for r in feed.server.requests if r.path == f"/{DOCUMENT}"][-1]
    assert "If-None-Match" not in asked.headers
    assert "If-Modified-Since" not in asked.headers


def test_a_frozen_source_is_stale_and_still_read(feed: Feed) -> None:
    feed.read()
    found = feed.read(now=DATE + 31 * 24 * HOUR, max_age=datetime.timedelta(days=30))
    assert outcomes(found) == [UNCHANGED, UNCHANGED, UNCHANGED]
    assert list(found.stale) == [INDEX, DOCUMENT, OTHER]
    assert offered(found) == ["centos", "ubuntu"]


@pytest.mark.parametrize("hashes", [{}, {"md5": "5" * 32}])
def test_an_item_without_sha256_takes_its_version_out(feed: Feed, hashes: dict[str, str]) -> None:
    changed = feed.document(DOCUMENT)
    product = changed["products"]["com.example:v3:noble"]
    item = product["versions"]["20250718"]["items"]["squashfs"]
    del item["sha256"]
    item.update(hashes)
    feed.sign(DOCUMENT, changed)
    found = feed.read()
    assert outcomes(found) == [NEW, NEW, NEW]
    assert "gives no sha256" in found.problems[0].text
    choice = select.choose(found.products, [select.Selection("*", "*")])
    assert [wanted.os for wanted in choice.wanted] == ["centos"]
    assert "cannot be had" in choice.lacking[0].text
    assert DOCUMENT in choice.lacking[0].text


def test_documents_of_other_kinds_are_listed(feed: Feed) -> None:
    index = feed.document(INDEX, DATE)
    index["index"]["com.example:ids"] = {
        "datatype": "image-downloads",
        "format": "products:1.0",
        "path": "streams/v1/ids.json",
    }
    index["index"]["com.example:text"] = {**index["index"][UBUNTU], "path": "streams/v1/a.txt"}
    index["index"]["com.example:v4"] = index["index"][UBUNTU]
    feed.sign(INDEX, index)
    found = feed.read()
    assert [problem.where.rpartition(" / ")[2] for problem in found.problems] == [
        "com.example:ids",
        "com.example:text",
        "com.example:v4",
    ]
    assert outcomes(found) == [NEW, NEW, NEW]


# Attacks on the way, and plain bad luck.


def test_a_source_that_is_down_leaves_everything_in_force_and_is_asked_once(feed: Feed) -> None:
    feed.read()
    before = len(feed.server.requests)
    feed.server.on_request = lambda _: origin.Reply(503)
    found = feed.read()
    assert outcomes(found) == [UNREACHABLE]
    assert type(found.errors[0]) is failures.SourceUnreachable
    assert offered(found) == ["centos", "ubuntu"]
    assert found.complete
    assert len(feed.server.requests) == before + 2
    feed.server.on_request = None
    assert feed.read().errors == ()


def test_a_source_that_is_down_at_the_first_reading_offers_nothing(feed: Feed) -> None:
    feed.server.on_request = lambda _: origin.Reply(503)
    found = feed.read()
    assert (found.products, found.complete) == ((), False)


def at(path: str, reply: Callable[[], origin.Reply]) -> origin.Hook:
    return lambda request: reply() if request.path == f"/{path}" else None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (lambda: origin.Reply(404), failures.SourceRefused),
        (lambda: origin.Reply(302, {"Location": "file:///etc/passwd"}), failures.RedirectRefused),
        (lambda: origin.Reply(200, {"Content-Length": str(2**30)}), failures.TooLarge),
        (lambda: origin.Reply(body=iter(lambda: b"x" * 1000, b"")), failures.TooLarge),
    ],
)
def test_one_document_that_cannot_be_had_does_not_stop_the_others(
    feed: Feed, reply: Callable[[], origin.Reply], kind: type[failures.FetchError]
) -> None:
    feed.read()
    feed.sign(OTHER, feed.document(OTHER, DATE + HOUR))
    feed.server.on_request = at(DOCUMENT, reply)
    found = feed.read()
    assert outcomes(found) == [UNCHANGED, UNREACHABLE, NEW]
    assert type(found.errors[0]) is kind
    assert DOCUMENT in str(found.errors[0])
    assert offered(found) == ["centos", "ubuntu"]


def test_an_index_that_is_refused_leaves_the_last_one_in_force(feed: Feed) -> None:
    feed.read()
    feed.write(INDEX, b"nonsense")
    feed.sign(OTHER, feed.document(OTHER, DATE + HOUR))
    found = feed.read()
    assert outcomes(found) == [REFUSED, UNCHANGED, NEW]
    assert found.complete


def test_what_was_accepted_and_can_no_longer_be_read_is_listed(feed: Feed) -> None:
    feed.read()
    feed.accepted[DOCUMENT] = dataclasses.replace(feed.accepted[DOCUMENT], payload=b"{}")
    feed.server.on_request = at(DOCUMENT, lambda: origin.Reply(404))
    found = feed.read()
    assert not found.complete
    assert "what was accepted before: " in found.problems[0].text
    assert offered(found) == ["centos"]


# The real documents.


def test_the_real_documents_signed_by_a_test_key_are_read(tmp_path: Path) -> None:
    names = {
        "streams/v1/index.json": "index",
        "streams/v1/com.ubuntu.maas:stable:1:bootloader-download.json": "bootloaders",
        "streams/v1/com.ubuntu.maas:stable:centos-bases-download.json": "centos",
        "streams/v1/com.ubuntu.maas:stable:v3:download.json": "ubuntu",
    }
    documents = {path: streams.real(name) for path, name in names.items()}
    with signed_source.SignedSource(tmp_path) as source:
        for path, payload in documents.items():
            source.add_document(path, payload)
        source.publish()
        ring = keyring.Keyring.from_file(source.keyring)
    with origin.Origin(tmp_path) as server, fetch.Fetcher() as fetcher:
        found = reading.read(reading.BootSource(server.url, ring), fetcher, {}, NOW)
    assert outcomes(found) == [NEW] * 4
    assert found.problems == ()
    assert len(found.products) == 11
    assert sum(len(v.items) for p in found.products for v in p.versions) == 53
    published = email.utils.parsedate_to_datetime("Thu, 24 Jul 2025 08:01:49 +0000")
    assert found.documents[0].age == NOW - published
