"""Attacks with what was really signed: older, other, early and late documents, or none at all."""

import datetime

import pytest

from boot_resources import units
from boot_resources.demo import origin
from boot_resources.source import document, failures, guard
from boot_resources.sync import refresh
from support import feed as feeds
from support.feed import DOCUMENT, INDEX, OTHER, Feed

EITHER = pytest.mark.parametrize("path", [INDEX, DOCUMENT])


def set_clock(monkeypatch: pytest.MonkeyPatch, ahead: datetime.timedelta) -> None:
    """Set the clock by which a region judges its source."""

    class Clock:
        utc_now = staticmethod(lambda: units.utc_now() + ahead)

    monkeypatch.setattr(refresh, "units", Clock)


@EITHER
def test_a_rollback_is_refused(feed: Feed, path: str) -> None:
    signed = (feed.source.directory / path).read_bytes()
    feed.sign(path, feed.document(path))
    feed.sync()
    feed.write(path, signed)
    feed.refuses(path, guard.Rollback, "older than the accepted one")


def test_a_product_document_in_the_place_of_another_is_refused(feed: Feed) -> None:
    feed.sign(DOCUMENT, feed.document(DOCUMENT, of=OTHER))
    feed.refuses(DOCUMENT, document.DocumentRefused, f"the index says {feeds.UBUNTU!r}")


def test_the_index_in_the_place_of_a_product_document_is_refused(feed: Feed) -> None:
    feed.sign(DOCUMENT, feed.document(DOCUMENT, of=INDEX))
    feed.refuses(DOCUMENT, document.DocumentRefused, "'index:1.0', not 'products:1.0'")


def test_a_product_document_in_the_place_of_the_index_is_refused(feed: Feed) -> None:
    feed.sign(INDEX, feed.document(INDEX, of=DOCUMENT))
    feed.refuses(INDEX, document.DocumentRefused, "'products:1.0', not 'index:1.0'")


@EITHER
def test_other_bytes_of_the_same_date_are_refused(feed: Feed, path: str) -> None:
    feed.heal(path)
    feed.sync()
    feed.sign(path, {**feed.document(path, date=feed.date), "addition": "x"})
    feed.refuses(path, guard.Equivocation, "but another")


@EITHER
def test_a_document_dated_far_ahead_is_refused_and_never_recorded(
    own_feed: Feed, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    early = units.utc_now().replace(microsecond=0) + 3 * feeds.DAY
    own_feed.sign(path, own_feed.document(path, date=early))
    own_feed.refuses(path, guard.FromTheFuture, "more than a day ahead of this host")
    # Nor does the honest one lose to it once that date has passed.
    set_clock(monkeypatch, 4 * feeds.DAY)
    own_feed.recovers(path)


def test_a_document_dated_ahead_at_the_first_reading_is_not_recorded(own_feed: Feed) -> None:
    own_feed.source.add_product(
        "com.example:new", "com.example:new:1", {"os": "a", "label": "b"}, "1", {}
    )
    path = "streams/v1/com.example:new.sjson"
    early = units.utc_now() + 3 * feeds.DAY
    own_feed.heal(INDEX, DOCUMENT, OTHER)
    own_feed.sign(path, own_feed.document(path, date=early))
    own_feed.sync()
    own_feed.says(path, "ahead of this host")
    assert path not in own_feed.held().accepted
    own_feed.sign(path, own_feed.document(path))
    own_feed.sync()
    assert own_feed.held().accepted[path][0] == own_feed.date
    assert own_feed.error(path) is None


@pytest.mark.parametrize("how", ["the same", "nothing"])
def test_a_freeze_is_noticed_by_the_age_of_what_is_in_force(
    own_feed: Feed, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    before = own_feed.held()
    own_feed.sync(stale_after=10 * feeds.DAY)
    assert own_feed.status() == []
    set_clock(monkeypatch, 11 * feeds.DAY)
    if how == "nothing":
        own_feed.server.on_request = lambda _: origin.Reply(503, {"Content-Length": "0"})
    own_feed.sync(stale_after=10 * feeds.DAY)
    own_feed.says("is the source frozen?", f"{INDEX} of 11 days ago", DOCUMENT, OTHER)
    if how == "nothing":
        assert type(own_feed.error(INDEX)) is failures.SourceUnreachable
        own_feed.says(INDEX, "it answers 503: not now")
    assert own_feed.held() == before
    own_feed.date += 11 * feeds.DAY
    own_feed.recovers()


def test_a_freeze_of_one_document_is_noticed_too(
    own_feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, 91 * feeds.DAY)
    own_feed.date += 91 * feeds.DAY
    own_feed.heal(INDEX, OTHER)
    own_feed.sync()
    own_feed.says("is the source frozen?", f"{DOCUMENT} of 91 days ago")
    assert not any(OTHER in notice["text"] for notice in own_feed.status())
    own_feed.recovers()


def test_an_index_that_lists_no_more_takes_nothing_away(feed: Feed) -> None:
    before = feed.held()
    feed.sign(INDEX, {**feed.document(INDEX), "index": {}})
    feed.sync()
    feed.says("matches nothing that the source offers", severity="info")
    assert feed.held().available == before.available
    assert feed.held().objects == before.objects
    feed.recovers(INDEX)


def test_a_document_that_was_away_comes_back_no_older(feed: Feed) -> None:
    # Taking it from the index for a while must not make the region forget its date.
    old = (feed.source.directory / DOCUMENT).read_bytes()
    feed.heal(DOCUMENT)
    feed.sync()
    index = feed.document(INDEX)
    del index["index"][feeds.UBUNTU]
    feed.sign(INDEX, index)
    feed.sync()
    assert feed.status() == []
    feed.heal(INDEX)
    feed.write(DOCUMENT, old)
    feed.sync()
    assert type(feed.error(DOCUMENT)) is guard.Rollback
    feed.says(DOCUMENT, "older than the accepted one")
    feed.recovers(DOCUMENT)
