"""A simplestreams index and its product documents, as frozen values.

Only payloads that ``keyring`` returned come here. A document whose shape, names, paths, sizes or
hashes cannot be trusted to be what they claim is refused whole (``document.DocumentRefused``).
What is merely unknown or incomplete in one product is left out, listed as a ``Problem``, and the
rest goes on: nothing is dropped in silence.

In simplestreams a tag applies to everything below the place where it stands unless it is given
again further down; the names of an image come from its version, so inherited.
"""

import dataclasses
import datetime
import re
from collections.abc import Mapping

from boot_resources.source import checks, document, quoting

INDEX_FORMAT = "index:1.0"
PRODUCTS_FORMAT = "products:1.0"

_ROOT_DD = ("", ".tar", ".raw", ".bz2", ".gz", ".xz", ".tar.bz2", ".tar.xz")
KNOWN_FTYPES = frozenset(
    {
        *("root-tgz", "root-tbz", "root-txz"),
        *(f"root-dd{packing}" for packing in _ROOT_DD),
        *("squashfs", "root-image.gz", "boot-kernel", "boot-initrd", "boot-dtb"),
        *("bootloader", "archive.tar.xz", "manifest"),
    }
)
"""The file types that MAAS 3.4 stores, and ``manifest``, which MAAS skips and we keep."""

# Which generation of product names MAAS understands, by the kind of product.
_UBUNTU = re.compile(r":v[23]:|:v3\+platform:")
_UBUNTU_CORE = re.compile(r":v4:")
_BOOTLOADER = re.compile(r":1:")
_NAME_TAGS = ("os", "arch", "subarch", "release", "label", "kflavor", "bootloader-type")
_ITEM_TAGS = ("ftype", "path", "sha256", "size")


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something of the source that we do not use, and why.

    Attributes:
        where: the document and the place in it.
        text: what is the matter there.
    """

    where: str
    text: str


@dataclasses.dataclass(frozen=True)
class IndexEntry:
    """A document that the index lists; ``path`` ends in ``.json``, relative to the source."""

    content_id: str
    path: str
    datatype: str
    format: str
    updated: datetime.datetime | None


@dataclasses.dataclass(frozen=True)
class Index:
    """What a source offers; ``updated`` is in UTC."""

    updated: datetime.datetime
    entries: tuple[IndexEntry, ...]


@dataclasses.dataclass(frozen=True)
class Item:
    """One file of an image.

    Attributes:
        name: its key in the stream.
        ftype: one of ``KNOWN_FTYPES``.
        path: where the source has it, relative to the source's URL.
        sha256: the object's name.
        size: bytes.
        extra: its other tags, such as ``kpackage``.
    """

    name: str
    ftype: str
    path: str
    sha256: str
    size: int
    extra: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def filename(self) -> str:
        """The last segment of the path: the name under which machines ask for it."""
        return self.path.rpartition("/")[2]


@dataclasses.dataclass(frozen=True)
class Version:
    """The files of a product that belong together.

    ``refused`` says where in the source, and why, the version cannot be used (then it has no
    items), or is empty.
    """

    name: str
    items: tuple[Item, ...]
    refused: str = ""


@dataclasses.dataclass(frozen=True)
class Product:
    """A product under the names that MAAS gives it.

    Attributes:
        key: the product's name in the stream.
        subarch: ``generic`` where the stream gives none; with the kernel's flavour where it has
            one of its own, for example ``hwe-24.04-lowlatency``.
        release: of a bootloader its type, for example ``uefi``.
        bootloader_type: empty for an operating system.
        extra: the product's other tags, such as ``subarches`` or ``support_eol``.
    """

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
    versions: tuple[Version, ...]

    @property
    def names(self) -> tuple[str, str, str, str, str]:
        """``(os, arch, subarch, release, label)``: what an operator calls it."""
        return self.os, self.arch, self.subarch, self.release, self.label


@dataclasses.dataclass(frozen=True)
class Products:
    """A product document; ``updated`` is in UTC."""

    content_id: str
    updated: datetime.datetime
    products: tuple[Product, ...]
    problems: tuple[Problem, ...]


def parse_index(name: str, payload: bytes) -> Index:
    """Return the index that ``payload`` holds; ``name`` is the document's path.

    Raises:
        document.DocumentRefused: it is not an index, or not one that can be trusted.
    """
    top = document.parse(name, payload)
    _check_format(top, INDEX_FORMAT)
    entries = []
    for content_id, node in top.children("index"):
        path = checks.path_below(node, node.text("path"))
        updated = node.optional_text("updated")
        entries.append(
            IndexEntry(
                content_id=content_id,
                path=path,
                datatype=node.optional_text("datatype") or "",
                format=node.optional_text("format") or "",
                updated=None if updated is None else checks.date(node, updated),
            )
        )
    return Index(checks.date(top, top.text("updated")), tuple(entries))


def parse_products(name: str, payload: bytes) -> Products:
    """Return the products that ``payload`` holds; ``name`` is the document's path.

    Raises:
        document.DocumentRefused: it is not a product document, or not one that can be trusted.
    """
    top = document.parse(name, payload)
    _check_format(top, PRODUCTS_FORMAT)
    content_id = top.text("content_id")
    updated = checks.date(top, top.text("updated"))
    parser = _ProductsParser()
    for key, node in top.children("products"):
        parser.product(key, node, _own_tags(top))
    return Products(content_id, updated, tuple(parser.products), tuple(parser.problems))


class _ProductsParser:
    """Collects the products of one document, what is wrong with them, and the sizes it names."""

    def __init__(self) -> None:
        self.products: list[Product] = []
        self.problems: list[Problem] = []
        self._sizes: dict[str, int] = {}

    def product(self, key: str, node: document.Node, inherited: Mapping[str, str | int]) -> None:
        """Read the product at ``node``: as many ``Product`` values as its versions have names."""
        of_product = {**inherited, **_own_tags(node)}
        named: dict[tuple[str, ...], Product] = {}
        left_out: dict[str, None] = {}
        for name, place in node.children("versions"):
            of_version = {**of_product, **_own_tags(place)}
            product = _name_product(key, place, of_version)
            if isinstance(product, str):
                left_out[product] = None
                continue
            product = named.get(product.names, product)
            versions = (*product.versions, self._version(name, place, of_version))
            named[product.names] = dataclasses.replace(product, versions=versions)
        if not named and not left_out:
            left_out["it has no version"] = None
        for why in left_out:
            self._problem(node, f"{why}; it is left out")
        self.products.extend(named.values())

    def _version(
        self, name: str, node: document.Node, inherited: Mapping[str, str | int]
    ) -> Version:
        checks.url_segment(node, "the version", name)
        items: list[Item] = []
        incomplete: list[str] = []
        for key, place in node.children("items"):
            tags = {**inherited, **_own_tags(place)}
            if any(tags.get(tag) != inherited.get(tag) for tag in _NAME_TAGS):
                incomplete.append(f"its item {quoting.shown(key)} has names of its own")
                continue
            item, missing = self._item(key, place, tags)
            ftype = tags.get("ftype", "")
            if ftype not in KNOWN_FTYPES:
                kind = quoting.shown(str(ftype))
                self._problem(place, f"the file type {kind!r} is not known; the item is left out")
            elif item is None:
                incomplete.append(f"its item {quoting.shown(key)} gives no {missing}")
            else:
                items.append(item)
        items = _without_root_image(items)
        _check_filenames(node, items)
        if not items and not incomplete:
            incomplete.append("it has no item of a known type")
        if incomplete:
            more = f", and {len(incomplete) - 1} more" if len(incomplete) > 1 else ""
            refused = f"the version is refused as incomplete: {incomplete[0]}{more}"
            self._problem(node, refused)
            return Version(name, (), f"{node.document}, {node.where}: {refused}")
        return Version(name, tuple(items))

    def _item(
        self, key: str, node: document.Node, tags: Mapping[str, str | int]
    ) -> tuple[Item | None, str]:
        """Return the item, or None and what it lacks; what it has is checked all the same."""
        # The types are those of the item itself: a size of 1.5 is no tag, but is here.
        given = {tag: node.value(tag) for tag in _ITEM_TAGS}
        given = {tag: tags.get(tag) if given[tag] is None else given[tag] for tag in given}
        path = None if given["path"] is None else checks.path_below(node, given["path"])
        if path is not None:
            checks.url_segment(node, "the file name", path.rpartition("/")[2])
        sha256 = checks.sha256(node, given["sha256"])
        size = checks.size(node, given["size"])
        if sha256 and size is not None and self._sizes.setdefault(sha256, size) != size:
            node.refuse(f"the sha256 {sha256} has two sizes, {self._sizes[sha256]} and {size}")
        if path is None or sha256 is None or size is None:
            absent = {"path": path, "sha256": sha256, "size": size}
            return None, " and no ".join(tag for tag, value in absent.items() if value is None)
        return Item(key, str(given["ftype"] or ""), path, sha256, size, _extra(node.tags())), ""

    def _problem(self, node: document.Node, text: str) -> None:
        self.problems.append(Problem(f"{node.document}, {node.where}", text))


def _check_format(top: document.Node, wanted: str) -> None:
    if top.text("format") != wanted:
        top.refuse(f"is {top.text('format')[:80]!r}, not {wanted!r}", "format")


def _name_product(key: str, node: document.Node, tags: Mapping[str, str | int]) -> Product | str:
    """Return the product, without versions, that ``tags`` name; or why they name none."""
    named = {tag: str(tags[tag]) for tag in _NAME_TAGS if tag in tags}
    bootloader_type = named.get("bootloader-type", "")
    if bootloader_type:
        named["release"] = bootloader_type
    missing = [tag for tag in ("os", "arch", "release", "label") if tag not in named]
    if missing:
        return f"it gives no {' and no '.join(missing)}"
    for tag in named:
        checks.url_segment(node, tag, named[tag])
    if not _is_understood(key, named["os"], bootloader_type):
        return "its key is of a format that we do not know"
    return Product(
        key=key,
        os=named["os"],
        arch=named["arch"],
        subarch=_subarch(named.get("subarch", "generic"), named.get("kflavor", "")),
        release=named["release"],
        label=named["label"],
        title=str(tags.get("release_title") or f"{named['os']} {named['release']}"),
        kflavor=named.get("kflavor", ""),
        bootloader_type=bootloader_type,
        extra=_extra(tags),
        versions=(),
    )


def _own_tags(node: document.Node) -> dict[str, str | int]:
    """Return the tags given at ``node`` itself; a name that is not a text refuses the document."""
    for tag in (*_NAME_TAGS, "ftype"):
        node.optional_text(tag)
    return node.tags()


def _is_understood(key: str, os: str, bootloader_type: str) -> bool:
    if bootloader_type:
        return _BOOTLOADER.search(key) is not None
    if os == "ubuntu-core":
        return _UBUNTU_CORE.search(key) is not None
    return os != "ubuntu" or _UBUNTU.search(key) is not None


def _subarch(subarch: str, kflavor: str) -> str:
    if kflavor in ("", "generic") or kflavor in subarch.split("-"):
        return subarch
    return f"{subarch}-{kflavor}"


def _extra(tags: Mapping[str, str | int]) -> dict[str, str]:
    structural = {*_NAME_TAGS, *_ITEM_TAGS, "format", "content_id", "datatype", "updated"}
    return {tag: str(value) for tag, value in tags.items() if tag not in structural}


def _without_root_image(items: list[Item]) -> list[Item]:
    """Leave out the root image where there is a squashfs, which MAAS boots in its place."""
    if any(item.ftype == "squashfs" for item in items):
        return [item for item in items if item.ftype != "root-image.gz"]
    return items


def _check_filenames(node: document.Node, items: list[Item]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.filename in seen:
            node.refuse(f"two items have the file name {item.filename!r}")
        seen.add(item.filename)
