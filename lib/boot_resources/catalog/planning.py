"""What should become of every image: a decision from plain values, without a database.

The rules, image by image, of one source:

- What is selected and new becomes wanted. An older version of the same product is no longer
  wanted from then on; if it is available it goes on serving until the newer one is, otherwise it
  goes at once.
- What the source offers no more is *dropped*: it stays, wanted as before, until an operator
  removes it. A source may lose an image by mistake; a cloud must not lose it with it.
- What is selected no more goes at once.
- What has become available never changes under its name. A source that gives the same version
  other files is refused for that image; before it was offered to anyone, the newer word is taken.
- A refused image leaves what the catalog holds of its product as it is.
- An image that came from no source, as one that was migrated, becomes the source's own where the
  source offers it, or a newer version of it. MAAS keeps no manifests: an available image that has
  none goes without. What an operator uploaded is never touched.
"""

import dataclasses
import enum
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from boot_resources.catalog import names

MANIFEST = "manifest"
"""The file type of a list of packages: nothing boots from it."""


@dataclasses.dataclass(frozen=True)
class WantedItem:
    """One file of an image, as the stream names it; ``size`` in bytes."""

    filename: str
    ftype: str
    path: str
    sha256: str
    size: int
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class WantedImage:
    """An image that a selection picks: the newest version of its product.

    Attributes:
        name: how it is called.
        items: its files, each under another file name, in any order.
        product: the key of its product in the stream.
        title: for people, for example ``24.04 LTS``.
        bootloader_type: ``pxe``, ``uefi`` or ``open-firmware``; None for what is no bootloader.
        extra: what else the stream says of it, as JSON can hold it.
    """

    name: names.ImageName
    items: tuple[WantedItem, ...]
    product: str = ""
    title: str = ""
    bootloader_type: str | None = None
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def files(self) -> dict[str, str]:
        """Return the sha256 of each file, by file name."""
        return {item.filename: item.sha256 for item in self.items}

    def says_the_same_as(self, other: "WantedImage") -> bool:
        """Return whether both say the same, in whatever order they list the files."""
        mine, theirs = (
            dataclasses.replace(each, items=tuple(sorted(each.items, key=_by_filename)))
            for each in (self, other)
        )
        return mine == theirs


@dataclasses.dataclass(frozen=True)
class Present:
    """An image that the catalog holds.

    Attributes:
        image: what it was told of it.
        own: whether it came from the source that is judged.
        adoptable: whether it came from no source, and no operator made it.
        wanted: whether it is the version of its product that members should get.
        available: whether every member had proved it.
        dropped: whether the source no longer offered it, last time.
    """

    image: WantedImage
    own: bool
    wanted: bool
    available: bool
    dropped: bool
    adoptable: bool = False


@dataclasses.dataclass(frozen=True)
class KnownObject:
    """An object's size in bytes, and whether somebody proved it."""

    size: int
    proved: bool


@dataclasses.dataclass(frozen=True)
class Refused:
    """An image that could not be taken over as the source gives it, and why."""

    name: names.ImageName
    reason: str


class Fate(enum.Enum):
    """What becomes of an image that the source does not offer as the newest of its product."""

    STAYS = "stays"
    OUTGOING = "outgoing"
    DROPPED = "dropped"
    RETURNED = "returned"
    REMOVED = "removed"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What changes; what is not named stays as it is.

    Attributes:
        stored: new images, and those of which the source now says something else.
        outgoing: no longer wanted; they serve until the newer version is available.
        dropped: the source no longer offers them; they stay.
        returned: dropped before, and offered again.
        removed: they go.
        refused: the source's word was not taken.
    """

    stored: tuple[WantedImage, ...] = ()
    outgoing: tuple[names.ImageName, ...] = ()
    dropped: tuple[names.ImageName, ...] = ()
    returned: tuple[names.ImageName, ...] = ()
    removed: tuple[names.ImageName, ...] = ()
    refused: tuple[Refused, ...] = ()

    def changes_something(self) -> bool:
        """Return whether the catalog will differ."""
        return self != Plan(refused=self.refused)


Selected = Callable[[names.ProductName, str | None], bool]
"""Whether a product, by its name and bootloader type, is selected or always wanted."""


def plan(
    wanted: Iterable[WantedImage],
    offered: Collection[names.ProductName],
    selected: Selected,
    present: Iterable[Present],
    objects: Mapping[str, KnownObject],
) -> Plan:
    """Decide what becomes of every image.

    Args:
        wanted: what the selections pick out of what the source offers.
        offered: every product that the source offers in any version, selected or not.
        selected: the selections' judgement.
        present: every image of the catalog, those of other sources included.
        objects: every object of the catalog, by sha256.
    """
    before = {each.image.name: each for each in present}
    taken: dict[names.ImageName, WantedImage] = {}
    refused: list[Refused] = []
    # Until an object is proved its size is what a document claims, and the newest word counts.
    sizes = {sha256: known.size for sha256, known in objects.items() if known.proved}
    for offer in wanted:
        image = _without_new_manifests(offer, before.get(offer.name))
        reason = _objection(image, taken, before.get(image.name), sizes)
        if reason is None:
            taken[image.name] = image
            sizes.update({item.sha256: item.size for item in image.items})
        else:
            refused.append(Refused(image.name, reason))
    judged = taken.keys() | {each.name for each in refused}
    newest = {name.product for name in taken}
    fates: dict[Fate, list[names.ImageName]] = {fate: [] for fate in Fate}
    for name in sorted(before.keys() - judged):
        fates[_fate(before[name], newest, offered, selected)].append(name)
    return Plan(
        stored=tuple(image for image in taken.values() if _news(image, before.get(image.name))),
        outgoing=tuple(fates[Fate.OUTGOING]),
        dropped=tuple(fates[Fate.DROPPED]),
        returned=tuple(fates[Fate.RETURNED]),
        removed=tuple(fates[Fate.REMOVED]),
        refused=tuple(refused),
    )


def _without_new_manifests(image: WantedImage, before: Present | None) -> WantedImage:
    """Return the image without the manifests that the available one has not."""
    if before is None or not before.available:
        return image
    there = before.image.files()
    items = (each for each in image.items if each.ftype != MANIFEST or each.filename in there)
    return dataclasses.replace(image, items=tuple(items))


def _objection(
    image: WantedImage,
    taken: Mapping[names.ImageName, WantedImage],
    before: Present | None,
    sizes: Mapping[str, int],
) -> str | None:
    """Return why the image cannot be taken over as the source gives it, or None."""
    if not image.items:
        return "it has no files"
    if len(image.files()) < len(image.items):
        return "two of its files have one name"
    if image.name in taken:
        return "the source names it twice, and the first is taken"
    if before is not None and not (before.own or before.adoptable):
        return "an image of this name came from elsewhere"
    if before is not None and before.available and before.image.files() != image.files():
        return "the source changed the files of a version that is served already"
    known = dict(sizes)
    for item in image.items:
        if item.size != known.setdefault(item.sha256, item.size):
            return f"{item.filename} is to have {item.size} bytes, its object {known[item.sha256]}"
    return None


def _news(image: WantedImage, before: Present | None) -> bool:
    """Return whether the catalog must be told of the image."""
    if before is None or before.dropped or not before.wanted or not before.own:
        return True
    return not image.says_the_same_as(before.image)


def _fate(
    before: Present,
    newest: Collection[names.ProductName],
    offered: Collection[names.ProductName],
    selected: Selected,
) -> Fate:
    product = before.image.name.product
    if product in newest and (before.own or before.adoptable):
        if not before.available:
            return Fate.REMOVED
        return Fate.OUTGOING if before.wanted else Fate.STAYS
    if not before.own:
        return Fate.STAYS
    if not selected(product, before.image.bootloader_type):
        return Fate.REMOVED
    if product in offered:
        return Fate.RETURNED if before.dropped else Fate.STAYS
    return Fate.DROPPED if before.wanted and not before.dropped else Fate.STAYS


def _by_filename(item: WantedItem) -> str:
    return item.filename
