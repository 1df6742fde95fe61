"""Which images an operator's selections want of what a source offers. Pure.

Of each product the newest version is wanted, and only that one: where the newest is refused as
incomplete, the product yields nothing new, so that whoever keeps the last good one goes on with
it. Bootloaders are wanted whatever is selected: without them no machine boots.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from boot_resources.source import quoting, stream

ANY = "*"
BOOTLOADER_TYPES = frozenset({"pxe", "uefi", "open-firmware"})
"""The firmware that MAAS boots; a bootloader for any other is listed as a problem."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """What an operator wants; ``*`` matches everything, an empty filter matches everything."""

    os: str
    release: str
    arches: tuple[str, ...] = ()
    subarches: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def matches(self, product: stream.Product) -> bool:
        """Return whether this selection wants ``product``.

        A subarchitecture matches by the product's own, or by any that it says it also serves
        (the stream's ``subarches``), as MAAS does it.
        """
        own_and_served = {product.subarch, *_split(product.extra.get("subarches", ""))}
        return (
            self.os in (ANY, product.os)
            and self.release in (ANY, product.release)
            and _filter_admits(self.arches, {product.arch})
            and _filter_admits(self.subarches, own_and_served)
            and _filter_admits(self.labels, {product.label})
        )


@dataclasses.dataclass(frozen=True)
class Wanted:
    """An image that should be had: a product's names, one version, and its items."""

    key: str
    os: str
    arch: str
    subarch: str
    release: str
    label: str
    title: str
    kflavor: str
    bootloader_type: str
    extra: Mapping[str, str] = dataclasses.field(hash=False)
    version: str
    items: tuple[stream.Item, ...]


@dataclasses.dataclass(frozen=True)
class Choice:
    """What the selections want, in the order of the source, and what stands in the way.

    Attributes:
        wanted: what can be had.
        lacking: what is wanted and cannot be had as the source gives it.
        problems: what is left out for another reason.
    """

    wanted: tuple[Wanted, ...]
    lacking: tuple[stream.Problem, ...]
    problems: tuple[stream.Problem, ...]


def choose(products: Iterable[stream.Product], selections: Iterable[Selection]) -> Choice:
    """Return what ``selections`` want of ``products``.

    Where two products have the same names, the first counts (as in MAAS) and the other is listed.
    """
    selections = tuple(selections)
    wanted: list[Wanted] = []
    lacking: list[stream.Problem] = []
    problems: list[stream.Problem] = []
    seen: dict[tuple[str, ...], str] = {}
    for product in products:
        key = quoting.shown(product.key)
        if product.bootloader_type:
            if product.bootloader_type not in BOOTLOADER_TYPES:
                text = f"bootloaders of type {product.bootloader_type!r} are not served"
                problems.append(stream.Problem(key, text))
                continue
        elif not any(selection.matches(product) for selection in selections):
            continue
        if product.names in seen:
            text = f"has the same names as {seen[product.names]}, which came first; it is left out"
            problems.append(stream.Problem(key, text))
            continue
        seen[product.names] = key
        newest = max(product.versions, key=lambda version: natural_order(version.name))
        if newest.refused:
            text = f"its newest version, {newest.name}, cannot be had: {newest.refused}"
            lacking.append(stream.Problem(key, text))
        else:
            wanted.append(_want(product, newest))
    return Choice(tuple(wanted), tuple(lacking), tuple(problems))


def natural_order(version: str) -> tuple[tuple[str, int], ...]:
    """Return a key that sorts versions as people do: ``20250718.10`` after ``20250718.9``."""
    parts = re.split(r"([0-9]+)", version)
    texts, numbers = parts[0::2], [*parts[1::2], "-1"]
    return tuple((text, int(number)) for text, number in zip(texts, numbers, strict=True))


def _want(product: stream.Product, version: stream.Version) -> Wanted:
    return Wanted(
        key=product.key,
        os=product.os,
        arch=product.arch,
        subarch=product.subarch,
        release=product.release,
        label=product.label,
        title=product.title,
        kflavor=product.kflavor,
        bootloader_type=product.bootloader_type,
        extra=product.extra,
        version=version.name,
        items=version.items,
    )


def _filter_admits(admitted: tuple[str, ...], values: set[str]) -> bool:
    return not admitted or ANY in admitted or not values.isdisjoint(admitted)


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
