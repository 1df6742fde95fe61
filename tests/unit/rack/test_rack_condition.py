"""What is said of a cache, from plain figures."""

import pytest

from boot_resources import units
from boot_resources.rack import cache, condition, passthrough

MIB = units.MIB
CALM = cache.Usage(
    limit=100 * MIB,
    used=60 * MIB,
    over=0,
    beside=MIB,
    objects=3,
    partials=0,
    pinned=1,
    stuck=0,
    evictions=0,
)


def usage(
    limit: int, used: int, *, pinned: int = 0, beside: int = MIB, stuck: int = 0
) -> cache.Usage:
    return cache.Usage(limit, used, max(0, used - limit), beside, 3, 0, pinned, stuck, 0)


def test_of_a_cache_below_its_bound_nothing_is_said() -> None:
    assert list(condition.of_the_bound(CALM)) == []
    assert list(condition.of_the_disk(CALM, "/c", 40 * MIB)) == []
    assert list(condition.of_what_passed(passthrough.Lately((), 0), CALM.limit)) == []
    assert list(condition.of_what_was_spoilt({})) == []


@pytest.mark.parametrize(
    ("found", "key", "words"),
    [
        (usage(10 * MIB, 30 * MIB, pinned=2), "shrinking", "20.0 MiB over the new bound of 10.0"),
        (usage(10 * MIB, 30 * MIB), "stuck", "could not be removed"),
        (usage(30 * MIB, 10 * MIB, stuck=2), "stuck", "2 objects in the cache can be neither"),
        (usage(MIB, 2 * MIB, beside=2 * MIB), "too-small", "an empty cache takes 2.0 MiB"),
    ],
)
def test_what_keeps_a_cache_from_its_bound_or_its_use_is_said(
    found: cache.Usage, key: str, words: str
) -> None:
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
    (notice,) = condition.of_what_passed(passthrough.Lately((7 * MIB, 9 * MIB), 3), 5 * MIB)
    assert (notice.key, "9.0 MiB" in notice.text) == ("too-large", True)
    (notice,) = condition.of_what_passed(passthrough.Lately((), 3), 5 * MIB)
    assert (notice.key, notice.text.startswith("3 objects")) == ("no-room", True)


def test_what_passed_through_is_said_for_a_while_and_only_of_what_is_listed() -> None:
    now = [1000.0]
    passed = passthrough.Passed(lambda: now[0])
    listed = {"large", "small", "late"}
    for name, size in (("large", 9), ("small", 2), ("late", 3), ("unlisted", 4)):
        passed.note(name, size)
    assert passed.lately(listed, (5).__gt__) == passthrough.Lately((9,), 2)
    assert len(passed) == 3
    passed.forget("late")
    assert passed.lately(listed, (5).__gt__) == passthrough.Lately((9,), 1)
    now[0] += passthrough.LATELY
    # What is too large would pass through again; what found no room once may find it now.
    assert passed.lately(listed, (5).__gt__) == passthrough.Lately((9,), 0)
    assert passed.lately(listed, (10).__gt__) == passthrough.Lately((), 0)
    assert len(passed) == 0


@pytest.mark.parametrize(("spoilt", "said"), [(1, 1), (3, 3), (4, 4), (10_000, 4)])
def test_of_many_spoilt_objects_three_are_named_and_the_rest_is_counted(
    spoilt: int, said: int
) -> None:
    problem = "block 1 is not what was proved"
    dropped = {f"{number:05}".ljust(64, "0"): problem for number in range(spoilt)}
    found = list(condition.of_what_was_spoilt(dropped))
    assert len({notice.key for notice in found}) == len(found) == said
    if spoilt > said:
        assert found[-1].text.startswith("9997 more")
