"""What is said of a cache, from plain figures."""

import pytest

from boot_resources import units
from boot_resources.rack import cache, condition

MIB = units.MIB
CALM = cache.Usage(
    limit=100 * MIB,
    used=60 * MIB,
    over=0,
    beside=MIB,
    objects=3,
    partials=0,
    pinned=1,
    evictions=0,
)


def usage(limit: int, used: int, *, pinned: int = 0, beside: int = MIB) -> cache.Usage:
    return cache.Usage(limit, used, max(0, used - limit), beside, 3, 0, pinned, 0)


def test_of_a_cache_below_its_bound_nothing_is_said() -> None:
    assert list(condition.of_the_bound(CALM)) == []
    assert list(condition.of_the_disk(CALM, "/c", 40 * MIB)) == []
    assert list(condition.of_what_passed([], 0, CALM.limit)) == []


@pytest.mark.parametrize(
    ("found", "key", "words"),
    [
        (usage(10 * MIB, 30 * MIB, pinned=2), "shrinking", "20.0 MiB over the new bound of 10.0"),
        (usage(10 * MIB, 30 * MIB), "stuck", "could not be removed"),
        (usage(MIB, 2 * MIB, beside=2 * MIB), "too-small", "an empty cache takes 2.0 MiB"),
    ],
)
def test_why_a_cache_is_above_its_bound_is_said(found: cache.Usage, key: str, words: str) -> None:
    (notice,) = condition.of_the_bound(found)
    assert notice.key == key
    assert words in notice.text
    assert notice.cure


def test_a_disk_that_cannot_hold_the_bound_is_said_with_figures() -> None:
    (notice,) = condition.of_the_disk(CALM, "/c", 40 * MIB - 1)
    assert "may take 100.0 MiB" in notice.text
    assert "60.0 MiB in use, 40.0 MiB free" in notice.text
    assert "99M" in notice.cure


def test_what_can_never_fit_is_said_before_what_did_not_fit_once() -> None:
    (notice,) = condition.of_what_passed([7 * MIB, 9 * MIB], 3, 5 * MIB)
    assert (notice.key, "9.0 MiB" in notice.text) == ("too-large", True)
    (notice,) = condition.of_what_passed([], 3, 5 * MIB)
    assert (notice.key, notice.text.startswith("3 objects")) == ("no-room", True)
