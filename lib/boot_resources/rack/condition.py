"""What an operator should know of this rack's cache, said from what is so now."""

import itertools
from collections.abc import Iterable, Mapping

from boot_resources import notices, units
from boot_resources.rack import cache as caches
from boot_resources.rack import passthrough

SCOPE = "cache"
"""The scope of notices about this rack's cache."""
_SHOWN = 3
"""How many of many objects are named."""


def of_the_bound(usage: caches.Usage) -> Iterable[notices.Notice]:
    """Say where the cache is not below the bound that was set."""
    over, limit = units.format_size(usage.over), units.format_size(usage.limit)
    if usage.beside >= usage.limit:
        yield notices.Notice(
            "too-small",
            notices.Severity.WARNING,
            f"an empty cache takes {units.format_size(usage.beside)}, and the bound is {limit}: "
            "nothing is cached, all passes through",
            "raise cache.size, and reload",
        )
    elif usage.over and usage.pinned:
        yield notices.Notice(
            "shrinking",
            notices.Severity.INFO,
            f"shrinking: {over} over the new bound of {limit} until transfers end; what is not "
            "cached passes through meanwhile",
            "nothing needs to be done",
        )
    elif usage.over:
        yield _stuck(
            f"the cache takes {over} more than its bound of {limit}: what should go could not "
            "be removed"
        )
    elif usage.stuck:
        yield _stuck(
            f"{usage.stuck} objects in the cache can be neither read nor removed; they pass "
            "through, and what they take is lost to others"
        )


def _stuck(text: str) -> notices.Notice:
    cure = "check the disk of cache.path, its mount and its owner; the log names the objects"
    return notices.Notice("stuck", notices.Severity.WARNING, text, cure)


def of_the_disk(usage: caches.Usage, path: str, free: int) -> Iterable[notices.Notice]:
    """Say where the disk, with ``free`` bytes left, cannot hold all that the bound allows."""
    holds = usage.used + free
    if holds < usage.limit:
        yield notices.Notice(
            "disk",
            notices.Severity.WARNING,
            f"the cache may take {units.format_size(usage.limit)}, and the disk of {path} has "
            f"room for {units.format_size(holds)} of it: {units.format_size(usage.used)} in "
            f"use, {units.format_size(free)} free",
            f"set cache.size to {holds // units.MIB}M or less, or free space on that disk",
        )


def of_what_passed(passed: passthrough.Lately, limit: int) -> Iterable[notices.Notice]:
    """Say what passed through a cache whose bound is ``limit`` bytes."""
    if passed.too_large:
        yield notices.Notice(
            "too-large",
            notices.Severity.WARNING,
            f"an object of {units.format_size(max(passed.too_large))} is larger than the cache of "
            f"{units.format_size(limit)} can hold; it passes through whenever it is asked for",
            "raise cache.size, and reload",
        )
    elif passed.others:
        yield notices.Notice(
            "no-room",
            notices.Severity.WARNING,
            f"{passed.others} objects passed through within the last "
            f"{passthrough.LATELY / 60:.0f} minutes, because the cache was in use or its disk "
            "took no more when they were asked for",
            "raise cache.size, or free space on its disk",
        )


def of_what_was_spoilt(dropped: Mapping[str, str]) -> Iterable[notices.Notice]:
    """Say what the scrub dropped and is not here again.

    Args:
        dropped: what was wrong with each object, the first found first.
    """
    for sha256, problem in itertools.islice(dropped.items(), _SHOWN):
        yield notices.Notice(
            sha256[:12],
            notices.Severity.WARNING,
            f"object {sha256[:12]} in the cache was damaged: {problem}; it was dropped",
            "it is brought again by itself; check the disk's health",
        )
    if len(dropped) > _SHOWN:
        yield notices.Notice(
            "more",
            notices.Severity.WARNING,
            f"{len(dropped) - _SHOWN} more objects in the cache were damaged and dropped",
            "they are brought again by themselves; check the disk's health, the log names them",
        )
