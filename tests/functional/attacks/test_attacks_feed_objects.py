"""Attacks on the files of the feed: other bytes, too few, too many, too slow, elsewhere.

What a source signed of a file is its sha256 and its size; nothing else is held, and what was held
before goes on being offered.
"""

import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from boot_resources import units
from boot_resources.demo import origin
from boot_resources.source import fetch
from boot_resources.sync import upstream
from support import feed as feeds
from support import stores
from support.feed import DOCUMENT, Feed

CONTENT = stores.noise(units.MIB + 5000, seed=3)
SIZE = len(CONTENT)


def trickle() -> Iterator[bytes]:
    while True:
        yield b"x"
        time.sleep(0.02)


def in_two_parts() -> Iterator[bytes]:
    """Yield a whole block, and after a while, so that it was taken, more than there should be."""
    yield bytes(units.MIB)
    time.sleep(0.2)
    yield from itertools.repeat(b"x" * 9999)


def reply(*body: bytes, **headers: str) -> Callable[[], origin.Reply]:
    """Answer with this body, its length announced truly."""
    length = {"Content-Length": str(sum(map(len, body)))}
    return lambda: origin.Reply(200, {**length, **headers}, body)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a transfer that broke off go on at once."""
    monkeypatch.setattr(upstream, "_PAUSE", 0.001)


@pytest.fixture
def version(feed: Feed) -> str:
    """Have the feed offer a newer version than any before."""
    count = sum("noble" in name for name in feed.held().available)
    return f"202508{count:02}"


def is_not_had(
    feed: Feed, version: str, why: str, *, limits: fetch.Limits = feeds.PATIENT
) -> None:
    """Check that the newest version is named and not held, and comes when the source is well."""
    before = feed.held()
    image = f"ubuntu/amd64/generic/noble/stable/{version}"
    feed.sync(limits)
    feed.says(image, why)
    assert feed.held().available == before.available
    assert feed.held().objects == before.objects
    feed.recovers(DOCUMENT)
    assert image in feed.held().available


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(bytes(SIZE)), "is not what the source signed"),
        (reply(CONTENT[:-1]), f"announces {SIZE - 1} bytes where the stream says {SIZE}"),
        (reply(CONTENT, b"x"), f"announces {SIZE + 1} bytes where the stream says {SIZE}"),
        (lambda: origin.Reply(body=[CONTENT[:-1]]), f"after {SIZE - 1} of {SIZE} bytes"),
        (lambda: origin.Reply(body=[CONTENT, b"x"]), f"more than the {SIZE} bytes"),
        (lambda: origin.Reply(body=in_two_parts()), f"more than the {SIZE} bytes"),
        (reply(CONTENT, **{"Content-Encoding": "gzip"}), "it sends the encoding 'gzip'"),
        (lambda: origin.Reply(206, {}, [CONTENT]), "it answers 206, not 200 or 206"),
        (lambda: origin.Reply(404), "it answers 404"),
        (lambda: origin.Reply(302, {"Location": "file:///etc/passwd"}), "another scheme"),
    ],
    ids=[
        *("wrong", "announced shorter", "announced longer", "shorter", "longer", "endless"),
        *("encoded", "a part", "404", "redirected"),
    ],
)
def test_a_file_that_is_not_as_it_was_signed_is_not_held(
    feed: Feed, version: str, answer: Callable[[], origin.Reply], why: str
) -> None:
    # Another content each time: what the region holds already it does not fetch.
    content = CONTENT[: -len(version)] + version.encode()
    file = feed.offer(content, version)
    feed.answer(file.path, answer)
    is_not_had(feed, version, why)


def test_a_file_that_trickles_is_given_up(feed: Feed, version: str) -> None:
    file = feed.offer(stores.noise(SIZE, seed=4), version)
    feed.answer(file.path, lambda: origin.Reply(200, {"Content-Length": str(SIZE)}, trickle()))
    is_not_had(feed, version, "it sent less than", limits=feeds.IMPATIENT)


@pytest.mark.parametrize(
    ("range_", "why"),
    [
        ("bytes 0-4999/{size}", "it sends bytes 0-4999"),
        ("bytes {start}-{last}/{wrong}", "was asked for"),
        ("bytes */{size}", "it sends a part and does not say which"),
        ("", "it sends a part and does not say which"),
    ],
    ids=["another place", "another size", "no place", "nothing"],
)
def test_another_part_than_was_asked_for_is_refused(
    feed: Feed, version: str, range_: str, why: str
) -> None:
    content = stores.noise(SIZE, seed=len(range_) * 7)
    file = feed.offer(content, version)
    text = range_.format(size=SIZE, wrong=SIZE + 1, start=units.MIB, last=SIZE - 1)
    broken_off = iter([origin.Cut(units.MIB + 100)])

    def answer(asked: origin.Request) -> origin.Reply | origin.Cut | None:
        if asked.path != f"/{file.path}":
            return None
        if "Range" not in asked.headers:
            return next(broken_off, None)
        headers = {"Content-Range": text} if text else {}
        start = int(asked.headers["Range"].removeprefix("bytes=").split("-")[0])
        return origin.Reply(206, headers, [content[start:]])

    feed.server.on_request = answer
    is_not_had(feed, version, why)


def test_a_file_that_changes_half_way_is_fetched_again_and_held_only_if_it_is_right(
    feed: Feed, version: str
) -> None:
    content = stores.noise(SIZE, seed=5)
    file = feed.offer(content, version)
    place = feed.source.directory / file.path
    place.write_bytes(bytes(SIZE))
    cuts = iter([origin.Cut(units.MIB + 100)])

    def answer(asked: origin.Request) -> origin.Cut | None:
        if asked.path != f"/{file.path}":
            return None
        cut = next(cuts, None)
        if cut is None:
            # The server's own answer: what is there now, whole, since it is another file.
            place.write_bytes(content)
        return cut

    feed.server.on_request = answer
    before = feed.held()
    feed.sync()
    # Its first block was another file's: the whole is wrong, and none of it is kept.
    feed.says(f"noble/stable/{version}", "is not what the source signed")
    assert feed.held().objects == before.objects
    feed.recovers(DOCUMENT)
    assert file.sha256 in feed.held().objects


def test_a_server_that_knows_no_ranges_costs_bytes_and_nothing_else(
    feed: Feed, version: str
) -> None:
    content = stores.noise(SIZE, seed=6)
    file = feed.offer(content, version)
    answers = iter([origin.Cut(units.MIB + 100)])
    whole = {"Content-Length": str(SIZE)}

    def answer(asked: origin.Request) -> origin.Reply | origin.Cut | None:
        if asked.path != f"/{file.path}":
            return None
        return next(answers, origin.Reply(200, whole, [content]))

    feed.server.on_request = answer
    feed.sync()
    assert feed.status() == []
    assert file.sha256 in feed.held().objects
