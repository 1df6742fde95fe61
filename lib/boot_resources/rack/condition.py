"""What an operator should know of this rack's cache, said from what is so now."""

from collections.abc import Collection, Iterable

from boot_resources import notices, units
from boot_resources.rack import cache as caches

SCOPE = "cache"
"""The scope of notices about this rack's cache."""


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
        yield notices.Notice(
            "stuck",
            notices.Severity.WARNING,
            f"the cache takes {over} more than its bound of {limit}: what should go could not "
            "be removed",
            "check the disk of cache.path, its mount and its owner; the log names the objects",
        )


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


def of_what_passed(
    too_large: Collection[int], others: int, limit: int
) -> Iterable[notices.Notice]:
    """Say what passed through when it was last asked for.

    Args:
        too_large: sizes in bytes of the objects that could not fit even into an empty cache.
        others: how many others passed through.
        limit: the bound of the cache, bytes.
    """
    if too_large:
        yield notices.Notice(
            "too-large",
            notices.Severity.WARNING,
            f"an object of {units.format_size(max(too_large))} is larger than the cache of "
            f"{units.format_size(limit)} can hold; it passes through whenever it is asked for",
            "raise cache.size, and reload",
        )
    elif others:
        yield notices.Notice(
            "no-room",
            notices.Severity.WARNING,
            f"{others} objects passed through, because the cache was in use or its disk full "
            "when they were asked for",
            "raise cache.size, or free space on its disk",
        )
