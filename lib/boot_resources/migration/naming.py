"""How MAAS's images are called here, and what each is made of.

A synced image keeps the names that the stream gives it, so that the next reading of the source
finds it under its own name. An image that somebody uploaded has the label ``uploaded``: by that
label no boot source has a say in it. One without an operating system in its name is of ``custom``.
Files that MAAS 3.5 would have renamed (0310) have the new names, from whichever MAAS they come.

Always true: a name is a segment of a URL; characters that no such segment may hold are replaced,
and an image whose name is then that of another, or that then has two files of one name, is named
as flawed, never mixed up.
"""

import dataclasses
import re
from collections.abc import Iterator

from boot_resources.catalog import names, planning
from boot_resources.migration import contents, inventory

CUSTOM = "custom"
_RENAMED = {"root-tgz": "root.tgz", "root-tbz": "root.tbz", "root-txz": "root.txz"}
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._+~-]+")
_PLAIN_FLAVOURS = ("", "generic")


@dataclasses.dataclass(frozen=True)
class Flaw:
    """A file that an image lacks, and why; without a file it is the image itself."""

    filename: str
    sha256: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Migrant:
    """A version of a MAAS resource, as an image of ours.

    Attributes:
        image: with all its files.
        age: larger is newer, among the versions of one product.
        flaws: what is known to be wrong before anything was exported.
    """

    image: planning.WantedImage
    age: int
    flaws: tuple[Flaw, ...]


def migrants(found: inventory.Inventory, known: contents.Contents) -> tuple[Migrant, ...]:
    """Return every version of every resource that has a file, in the order of MAAS's rows."""
    resources = {each.id: each for each in found.resources}
    titles = {(t.os, t.arch, t.subarch, t.release, t.label): t.title for t in found.titles}
    files: dict[int, list[inventory.File]] = {}
    for file in found.files:
        if file.id in known.of_file:
            files.setdefault(file.set_id, []).append(file)
    seen: set[names.ImageName] = set()
    made = []
    for each in found.sets:
        if each.id in files:
            resource = resources[each.resource_id]
            name = image_name(resource, each)
            flaws = [
                *_flaws(resource, files[each.id], known),
                *_same_names(resource, files[each.id]),
            ]
            if name in seen:
                flaws.append(Flaw("", "", "another image of MAAS's has this name here"))
            seen.add(name)
            image = planning.WantedImage(
                name=name,
                items=tuple(_item(resource, file, known) for file in files[each.id]),
                title=_title(resource, titles.get(dataclasses.astuple(name.product), "")),
                bootloader_type=resource.bootloader_type or None,
                extra=_extra(resource),
            )
            made.append(Migrant(image, each.id, tuple(flaws)))
    return tuple(made)


def image_name(resource: inventory.Resource, of_set: inventory.ResourceSet) -> names.ImageName:
    """Return the name of one version of a resource."""
    os, slash, release = resource.name.removeprefix(f"{CUSTOM}/").partition("/")
    if not slash:
        os, release = CUSTOM, os
    arch, _, subarch = resource.architecture.partition("/")
    flavour = resource.kflavor or ""
    if flavour not in _PLAIN_FLAVOURS and flavour not in subarch.split("-"):
        subarch = f"{subarch}-{flavour}"
    label = of_set.label if resource.rtype == inventory.SYNCED else names.UPLOADED
    product = names.ProductName(*map(_segment, (os, arch, subarch or "generic", release, label)))
    return names.ImageName(product, _segment(of_set.version))


def _segment(text: str) -> str:
    plain = _NOT_IN_A_NAME.sub("-", text)
    # A segment may not begin like an option or a hidden file.
    return plain if plain[:1].isalnum() else f"0{plain}"


def _filename(resource: inventory.Resource, file: inventory.File) -> str:
    if resource.rtype != inventory.SYNCED and file.filename == file.filetype:
        return _RENAMED.get(file.filename, _segment(file.filename))
    return _segment(file.filename)


def _item(
    resource: inventory.Resource, file: inventory.File, known: contents.Contents
) -> planning.WantedItem:
    content = known.of_file[file.id]
    return planning.WantedItem(
        filename=_filename(resource, file),
        ftype=file.filetype,
        # Where a stream has it, MAAS did not keep.
        path="",
        sha256=content.sha256,
        size=content.size,
        extra=dict(file.extra),
    )


def _flaws(
    resource: inventory.Resource, files: list[inventory.File], known: contents.Contents
) -> Iterator[Flaw]:
    for file in files:
        content = known.of_file[file.id]
        if content.state is not contents.State.WHOLE:
            yield Flaw(_filename(resource, file), content.sha256, content.reason)


def _same_names(resource: inventory.Resource, files: list[inventory.File]) -> Iterator[Flaw]:
    called: dict[str, list[str]] = {}
    for file in files:
        called.setdefault(_filename(resource, file), []).append(file.filename)
    for filename, theirs in called.items():
        if len(theirs) > 1:
            of_maas = ", ".join(map(repr, theirs))
            yield Flaw("", "", f"its files {of_maas} have one name here: {filename}")


def _title(resource: inventory.Resource, of_stream: str) -> str:
    return str(resource.extra.get("title") or of_stream or resource.name)


def _extra(resource: inventory.Resource) -> dict[str, object]:
    """Return what MAAS says of a resource beside its names, under MAAS's own words."""
    said: dict[str, object] = {k: v for k, v in resource.extra.items() if k != "title"}
    if resource.kflavor:
        said["kflavor"] = resource.kflavor
    if resource.base_image:
        said["base_image"] = resource.base_image
    if resource.rolling:
        said["rolling"] = True
    return said
