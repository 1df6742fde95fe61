import dataclasses
import datetime

import pytest

from boot_resources.source import fetch, guard

NOW = datetime.datetime(2025, 7, 20, 12, tzinfo=datetime.UTC)
THEN = datetime.datetime(2025, 7, 18, 12, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
DAY = datetime.timedelta(days=1)
UNKNOWN = fetch.Validators()


def accept(
    updated: datetime.datetime,
    payload: bytes = b"one",
    last: guard.Accepted | None = None,
    lowered: bool = False,
) -> guard.Accepted:
    return guard.accept("d", payload, updated, UNKNOWN, last=last, now=NOW, lowered=lowered)


LAST = accept(THEN)


def test_the_first_document_is_accepted_whatever_its_age() -> None:
    old = datetime.datetime(1999, 1, 1, tzinfo=datetime.UTC)
    assert accept(old).updated == old


def test_a_newer_document_is_accepted() -> None:
    assert accept(THEN + SECOND, b"two", LAST).payload == b"two"


def test_the_same_document_is_accepted_again() -> None:
    assert accept(THEN, b"one", LAST) == LAST


def test_an_older_document_is_refused() -> None:
    with pytest.raises(guard.Rollback, match=r"^d: it is of 2025-07-18 11:59:59 UTC, older") as e:
        accept(THEN - SECOND, b"one", LAST)
    assert "accept-older --document d" in e.value.cure


def test_another_document_of_the_same_date_is_refused() -> None:
    with pytest.raises(guard.Equivocation, match="as the accepted one, but another"):
        accept(THEN, b"two", LAST)


def test_a_document_from_a_day_ahead_is_accepted_and_from_further_refused() -> None:
    assert accept(NOW + DAY, b"two", LAST).updated == NOW + DAY
    with pytest.raises(guard.FromTheFuture, match="more than a day ahead of this host"):
        accept(NOW + DAY + SECOND, b"two", LAST)


def test_a_lowered_guard_lets_older_and_other_documents_in() -> None:
    assert accept(THEN - SECOND, b"two", LAST, lowered=True).updated == THEN - SECOND
    assert accept(THEN, b"two", LAST, lowered=True).payload == b"two"


def test_a_lowered_guard_does_not_let_the_future_in() -> None:
    with pytest.raises(guard.FromTheFuture):
        accept(NOW + 2 * DAY, lowered=True)


def test_a_wrong_clock_of_ours_does_not_make_an_honest_document_older() -> None:
    behind = dataclasses.replace(LAST, updated=NOW + DAY)
    with pytest.raises(guard.Rollback):
        accept(THEN, b"two", behind)
    assert accept(NOW + DAY, b"one", behind) == behind
